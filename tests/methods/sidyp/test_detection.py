"""Who is probably mislabelled: naive twins, invariants, edges (`test_plain` has more)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from nlkit.methods.sidyp.detection import SCORES, detect, detect_by_both, margin, suspicion
from tests.reference import detection as twin

C = 3
DISTANCES = SCORES[2:]


@st.composite
def samples(draw: st.DrawFn) -> dict[str, Any]:
    n, seed = draw(st.integers(2, 12)), draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    M, E, D = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return {
        "trajectory": rng.normal(size=(M, E, n, D)),
        "dynamics": rng.dirichlet(np.ones(C), (M, E, n)),
        "label": rng.integers(-1 if draw(st.booleans()) else 0, C, n),
        "suspect": rng.random(n) < 0.3,
        "embedding": rng.normal(size=(n, D)),
    }


def clusters(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings around three centres, true labels, and labels of which 30 % are wrong."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, C, n)
    x = 4 * np.eye(C)[y] + rng.normal(size=(n, C))
    noisy = np.where(rng.random(n) < 0.3, (y + 1) % C, y)
    return x, y, noisy


class TestSuspicion:
    @given(samples(), st.sampled_from(DISTANCES), st.booleans())
    def test_equals_its_twin(self, case: dict[str, Any], score: Any, normalise: bool) -> None:
        label = case["label"]
        fast = suspicion(case["trajectory"], label, C, score=score, normalise=normalise)
        slow = twin.suspicion(case["trajectory"].tolist(), label.tolist(), C, score, normalise)
        np.testing.assert_allclose(fast, slow, atol=1e-7)

    @given(samples(), st.randoms())
    def test_the_order_of_samples_and_classes_does_not_matter(
        self, case: dict[str, Any], random: Any
    ) -> None:
        label, z = case["label"], case["trajectory"]
        plain = suspicion(z, label, C)
        order = np.array(random.sample(range(len(label)), len(label)))
        np.testing.assert_allclose(suspicion(z[:, :, order], label[order], C), plain[order], atol=1e-7)
        names = np.array(random.sample(range(C), C))
        renamed = np.where(label >= 0, names[label], -1)
        np.testing.assert_allclose(suspicion(z, renamed, C), plain, atol=1e-7)

    @pytest.mark.parametrize("score", DISTANCES)
    def test_finds_wrong_labels(self, score: Any) -> None:
        x, y, noisy = clusters()
        assert roc_auc_score(noisy != y, suspicion(x[None, None], noisy, C, score=score)) > 0.9

    def test_normalising_takes_away_the_length(self) -> None:
        x, _, noisy = clusters(30)
        longer = x * np.random.default_rng(1).uniform(0.5, 5, (30, 1))
        np.testing.assert_allclose(
            suspicion(longer[None, None], noisy, C), suspicion(x[None, None], noisy, C), atol=1e-9
        )

    def test_one_class_and_no_label(self) -> None:
        z = np.random.default_rng(0).normal(size=(1, 2, 4, 2))
        assert np.isfinite(suspicion(z, [0, 0, 0, 0], C)).all()
        assert np.isnan(suspicion(z, [-1, -1, -1, -1], C)).all()

    @pytest.mark.parametrize(
        ("shape", "label", "settings", "message"),
        [
            ((2, 3, 4), [0, 0, 0, 0], {}, r"trajectory=.*shape \(M, E, 4, D\)"),
            ((1, 0, 2, 3), [0, 0], {}, "E at least 1"),
            ((1, 1, 2, 3), [0, 3], {}, "noisy_label holds 0 to 3"),
            ((1, 1, 2, 3), [0, 1], {"score": "loss"}, "score='loss'.*relative, distance"),
            ((1, 1, 2, 3), [0, 1], {"score": "margin"}, "score='margin'.*relative, distance"),
        ],
    )
    def test_bad_arguments_are_named(self, shape: Any, label: Any, settings: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            suspicion(np.zeros(shape), label, C, **settings)


class TestMargin:
    @given(samples(), st.randoms())
    def test_the_order_of_samples_and_classes_does_not_matter(
        self, case: dict[str, Any], random: Any
    ) -> None:
        label, p = case["label"], case["dynamics"]
        plain = margin(p, label)
        order = np.array(random.sample(range(len(label)), len(label)))
        np.testing.assert_allclose(margin(p[:, :, order], label[order]), plain[order])
        names = np.array(random.sample(range(C), C))
        renamed, columns = np.where(label >= 0, names[label], -1), np.empty_like(p)
        columns[..., names] = p
        np.testing.assert_allclose(margin(columns, renamed), plain)

    @given(samples())
    def test_range_and_missing_labels(self, case: dict[str, Any]) -> None:
        p, label = case["dynamics"], case["label"]
        before = p.copy()
        score = margin(p, label)
        assert (np.isnan(score) == (label < 0)).all()
        assert (np.abs(score[label >= 0]) <= 1).all()
        # Below 0 exactly where the observed label is the likeliest one.
        likeliest = p.mean((0, 1)).argmax(1) == label
        assert ((score < 0) == likeliest)[label >= 0].all()
        assert np.array_equal(p, before)

    def test_its_ends(self) -> None:
        sure = np.eye(C)[[0, 0, 1]][None, None]
        assert margin(sure, [0, 1, -1])[:2].tolist() == [-1.0, 1.0]

    def test_with_two_classes_it_is_how_far_the_label_is_below_a_half(self) -> None:
        p = np.random.default_rng(0).dirichlet(np.ones(2), (2, 3, 20))
        label = np.arange(20) % 2
        own = p.mean((0, 1))[np.arange(20), label]
        np.testing.assert_allclose(margin(p, label), 1 - 2 * own)

    def test_half_precision_is_averaged_in_full(self) -> None:
        p = np.random.default_rng(0).dirichlet(np.ones(C), (3, 400, 10)).astype(np.float16)
        label = np.arange(10) % C
        np.testing.assert_allclose(margin(p, label), margin(p.astype(np.float64), label))

    def test_tells_asymmetric_classes_apart_where_distances_to_centroids_do_not(self) -> None:
        """40 % of a large class carry the name of a small one: both centroids are the large class's."""
        rng = np.random.default_rng(0)
        y = (np.arange(400) >= 380).astype(int)
        x = rng.normal(size=(400, 30)) + 1.5 * y[:, None] * np.eye(30)[0] + 3.0 * np.eye(30)[1]
        noisy = np.where(rng.random(400) < 0.4, 1, y)
        p = LogisticRegression(C=0.01).fit(x, noisy).predict_proba(x)
        by_margin = roc_auc_score(noisy != y, margin(p[None, None], noisy))
        by_distance = [
            roc_auc_score(noisy != y, suspicion(x[None, None], noisy, 2, score=score)) for score in DISTANCES
        ]
        assert by_margin > 0.9
        assert max(by_distance) < 0.7

    @pytest.mark.parametrize(
        ("shape", "label", "message"),
        [
            ((2, 3, 4), [0] * 4, r"dynamics=.*shape \(M, E, 4, C\)"),
            ((1, 1, 3, 4), [0] * 4, r"shape \(M, E, 4, C\)"),
            ((0, 1, 2, 3), [0, 0], "E at least 1"),
            ((1, 0, 2, 3), [0, 0], "E at least 1"),
            ((1, 1, 2, 1), [0, 0], "dynamics="),
            ((1, 1, 2, 3), [0, 3], "noisy_label holds 0 to 3"),
        ],
    )
    def test_bad_arguments_are_named(self, shape: Any, label: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            margin(np.zeros(shape), label)


class TestDetect:
    def test_takes_the_share_it_is_given(self) -> None:
        suspect, rate = detect([0.1, 0.9, np.nan, 0.5, 0.7], 0.5)
        assert suspect.tolist() == [False, True, False, False, True]
        assert rate == 0.5

    @pytest.mark.parametrize("rate", [0.0, 1.0])
    def test_nobody_and_everybody(self, rate: float) -> None:
        assert detect([0.3, 0.1, np.nan], rate)[0].tolist() == [bool(rate), bool(rate), False]

    @pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
    def test_estimates_a_mixture(self, share: float) -> None:
        rng = np.random.default_rng(0)
        high = rng.random(2000) < share
        _, rate = detect(rng.normal(np.where(high, 3.0, 0.0)), "auto")
        assert rate == pytest.approx(share, abs=0.05)

    def test_equal_scores_and_no_scores_name_nobody(self) -> None:
        assert detect([1.0, 1.0, 1.0], "auto") == (pytest.approx(np.zeros(3, bool)), 0.0)
        assert detect([np.nan], "auto")[1] == 0.0

    @pytest.mark.parametrize("rate", [-0.1, 1.5, "half", True])
    def test_bad_rates_are_refused(self, rate: Any) -> None:
        with pytest.raises(ValueError, match="noise_rate="):
            detect([1.0], rate)

    def test_clean_data_have_two_humps_too_but_none_above_zero(self) -> None:
        rng = np.random.default_rng(0)
        score = np.concatenate([rng.normal(-0.9, 0.05, 700), rng.normal(-0.3, 0.2, 300)])
        assert detect(score, "auto")[1] == pytest.approx(0.3, abs=0.1)
        assert detect(score, "auto", centred=True)[1] == (score > 0).mean() < 0.05

    def test_humps_on_both_sides_of_zero_are_wrong_and_right_labels(self) -> None:
        rng = np.random.default_rng(0)
        score = np.concatenate([rng.normal(-0.6, 0.2, 600), rng.normal(0.4, 0.2, 400)])
        assert detect(score, "auto", centred=True)[1] == pytest.approx(0.4, abs=0.03)


class TestDetectByBoth:
    @given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=12))
    def test_its_score_equals_its_twin(self, pairs: list[tuple[int, int]]) -> None:
        first, second = (np.array(column, float) for column in zip(*pairs, strict=True))
        first[0] = second[0] = np.nan
        suspect, _, score = detect_by_both(first, second, 0.5, agreement=-1.0)
        varied = len(set(first[1:])) > 1 and len(set(second[1:])) > 1
        wanted = twin.combined(first.tolist(), (second if varied else first).tolist())
        np.testing.assert_allclose(score, wanted)
        assert suspect.tolist() == detect(wanted, 0.5)[0].tolist()

    @staticmethod
    def two_views(n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Wrong labels of which each of two scores finds some that the other does not."""
        rng = np.random.default_rng(0)
        wrong = rng.random(n) < 0.5
        seen = rng.random((2, n)) < 0.75
        first, second = (rng.normal(np.where(wrong & s, 0.5, -0.5), 0.1) for s in seen)
        return wrong, first, second

    def test_either_score_makes_suspect(self) -> None:
        wrong, first, second = self.two_views()
        suspect, rate, score = detect_by_both(first, second, "auto", agreement=0.3)
        either = detect(first, centred=True)[0] | detect(second, centred=True)[0]
        assert suspect.tolist() == either.tolist()
        assert rate == suspect.mean()
        assert suspect[wrong].mean() > detect(first)[0][wrong].mean() + 0.1
        assert roc_auc_score(wrong, score) > max(roc_auc_score(wrong, s) for s in (first, second))

    def test_scores_that_contradict_each_other_leave_the_first_alone(self) -> None:
        _, first, second = self.two_views()
        contrary = -second
        suspect, rate, score = detect_by_both(first, contrary, "auto")
        assert suspect.tolist() == detect(first, centred=True)[0].tolist()
        assert rate == suspect.mean()
        assert np.argsort(score).tolist() == np.argsort(first).tolist()

    @pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
    def test_a_given_rate_is_taken(self, rate: float) -> None:
        _, first, second = self.two_views()
        suspect, used, score = detect_by_both(first, second, rate)
        assert suspect.mean() == pytest.approx(rate)
        assert used == rate
        if 0 < rate < 1:
            assert score[suspect].min() >= score[~suspect].max()

    def test_nothing_to_tell_apart(self) -> None:
        suspect, rate, _ = detect_by_both([np.nan, 0.2, 0.2], [np.nan, 0.1, 0.1])
        assert suspect.tolist() == [False, False, False]
        assert rate == 0.0

    def test_scores_of_other_samples_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"first \(2,\) and second \(3,\)"):
            detect_by_both([1.0, 2.0], [1.0, 2.0, 3.0])
        with pytest.raises(ValueError, match="the same samples"):
            detect_by_both([np.nan, 2.0], [1.0, 2.0])

"""Who is probably mislabelled: naive twins and edges (`test_plain` has more)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from nlkit.methods.sidyp.detection import SCORES, detect, detect_by_both, margin, suspects, suspicion
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
    return x, y, np.where(rng.random(n) < 0.3, (y + 1) % C, y)


class TestScores:
    @given(samples(), st.sampled_from(DISTANCES), st.booleans())
    def test_suspicion_equals_its_twin(self, case: dict[str, Any], score: str, normalise: bool) -> None:
        z, label = case["trajectory"], case["label"]
        found = suspicion(z, label, C, score=score, normalise=normalise)
        np.testing.assert_allclose(found, twin.suspicion(z, label, score, normalise), atol=1e-7)

    def test_one_class_and_no_label(self) -> None:
        z = np.random.default_rng(0).normal(size=(1, 2, 4, 2))
        assert np.isfinite(suspicion(z, [0, 0, 0, 0], C)).all()
        assert np.isnan(suspicion(z, [-1, -1, -1, -1], C)).all()

    def test_half_precision_is_averaged_in_full_and_left_as_it_was(self) -> None:
        p = np.random.default_rng(0).dirichlet(np.ones(C), (3, 400, 10)).astype(np.float16)
        before, label = p.copy(), np.arange(10) % C
        np.testing.assert_allclose(margin(p, label), margin(p.astype(np.float64), label))
        assert np.array_equal(p, before)

    def test_margin_tells_asymmetric_classes_apart_where_distances_to_centroids_do_not(self) -> None:
        """40 % of a large class carry the name of a small one: both centroids are the large class's."""
        rng = np.random.default_rng(0)
        y = (np.arange(400) >= 380).astype(int)
        x = rng.normal(size=(400, 30)) + 1.5 * y[:, None] * np.eye(30)[0] + 3.0 * np.eye(30)[1]
        noisy = np.where(rng.random(400) < 0.4, 1, y)
        p = LogisticRegression(C=0.01).fit(x, noisy).predict_proba(x)
        assert roc_auc_score(noisy != y, margin(p[None, None], noisy)) > 0.9
        for score in DISTANCES:
            assert roc_auc_score(noisy != y, suspicion(x[None, None], noisy, 2, score=score)) < 0.7

    @pytest.mark.parametrize(
        ("score", "shape", "label", "settings", "message"),
        [
            (suspicion, (2, 3, 4), [0, 0, 0, 0], {}, r"trajectory=.*shape \(M, E, 4, D\)"),
            (suspicion, (1, 0, 2, 3), [0, 0], {}, "E at least 1"),
            (suspicion, (1, 1, 2, 3), [0, 3], {}, "noisy_label holds 0 to 3"),
            (suspicion, (1, 1, 2, 3), [0, 1], {"score": "margin"}, "score='margin'.*relative, distance"),
            (margin, (2, 3, 4), [0] * 4, {}, r"dynamics=.*shape \(M, E, 4, C\)"),
            (margin, (1, 1, 3, 4), [0] * 4, {}, r"shape \(M, E, 4, C\)"),
            (margin, (1, 0, 2, 3), [0, 0], {}, "E at least 1"),
            (margin, (1, 1, 2, 1), [0, 0], {}, "dynamics="),
            (margin, (1, 1, 2, 3), [0, 3], {}, "noisy_label holds 0 to 3"),
        ],
    )
    def test_bad_arguments_are_named(
        self, score: Any, shape: Any, label: Any, settings: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            score(np.zeros(shape), label, *([C] if score is suspicion else []), **settings)


class TestDetect:
    @pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
    def test_estimates_a_mixture(self, share: float) -> None:
        rng = np.random.default_rng(0)
        high = rng.random(2000) < share
        assert detect(rng.normal(np.where(high, 3.0, 0.0)), "auto")[1] == pytest.approx(share, abs=0.05)

    def test_equal_scores_and_no_scores_name_nobody(self) -> None:
        assert detect([1.0, 1.0, 1.0], "auto") == (pytest.approx(np.zeros(3, bool)), 0.0)
        assert detect([np.nan], "auto")[1] == 0.0
        suspect, rate, _ = detect_by_both([np.nan, 0.2, 0.2], [np.nan, 0.1, 0.1])
        assert (suspect.tolist(), rate) == ([False, False, False], 0.0)

    @pytest.mark.parametrize("rate", [-0.1, 1.5, "half", True])
    def test_bad_rates_are_refused(self, rate: Any) -> None:
        with pytest.raises(ValueError, match="noise_rate="):
            detect([1.0], rate)

    @pytest.mark.parametrize(
        ("low", "high", "spread", "n", "share"),
        [(-0.9, -0.3, (0.05, 0.2), 300, 0.0), (-0.6, 0.4, (0.2, 0.2), 400, 0.4)],
    )
    def test_a_second_hump_is_wrong_labels_only_above_zero(
        self, low: float, high: float, spread: tuple[float, float], n: int, share: float
    ) -> None:
        rng = np.random.default_rng(0)
        score = np.concatenate([rng.normal(low, spread[0], 1000 - n), rng.normal(high, spread[1], n)])
        assert detect(score, "auto")[1] == pytest.approx(n / 1000, abs=0.1)
        rate = detect(score, "auto", centred=True)[1]
        assert rate == pytest.approx(share, abs=0.05)
        assert share or rate == (score > 0).mean()


def two_views(n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wrong labels of which each of two scores finds some that the other does not."""
    rng = np.random.default_rng(0)
    wrong = rng.random(n) < 0.5
    first, second = (rng.normal(np.where(wrong & s, 0.5, -0.5), 0.1) for s in rng.random((2, n)) < 0.75)
    return wrong, first, second


class TestBoth:
    @given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=12))
    def test_the_score_is_the_higher_rank(self, pairs: list[tuple[int, int]]) -> None:
        first, second = np.array(pairs, float).T.copy()
        first[0] = second[0] = np.nan
        suspect, _, score = detect_by_both(first, second, 0.5, agreement=-1.0)
        varied = len(set(first[1:])) > 1 and len(set(second[1:])) > 1
        wanted = np.maximum(twin.rank(first), twin.rank(second if varied else first))
        np.testing.assert_allclose(score, wanted)
        assert suspect.tolist() == detect(wanted, 0.5)[0].tolist()

    def test_either_score_makes_suspect(self) -> None:
        wrong, first, second = two_views()
        suspect, rate, score = detect_by_both(first, second, "auto", agreement=0.3)
        either = detect(first, centred=True)[0] | detect(second, centred=True)[0]
        assert suspect.tolist() == either.tolist()
        assert rate == suspect.mean()
        assert suspect[wrong].mean() > detect(first)[0][wrong].mean() + 0.1
        assert roc_auc_score(wrong, score) > max(roc_auc_score(wrong, s) for s in (first, second))

    def test_scores_that_contradict_each_other_leave_the_first_alone(self) -> None:
        _, first, second = two_views()
        suspect, rate, score = detect_by_both(first, -second, "auto")
        assert suspect.tolist() == detect(first, centred=True)[0].tolist()
        assert rate == suspect.mean()
        assert np.argsort(score).tolist() == np.argsort(first).tolist()

    @pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
    def test_a_given_rate_is_taken(self, rate: float) -> None:
        suspect, used, score = detect_by_both(*two_views()[1:], rate)
        assert suspect.mean() == pytest.approx(rate)
        assert used == rate
        assert score[suspect].min(initial=1.0) >= score[~suspect].max(initial=0.0)

    @pytest.mark.parametrize("second", [[1.0, 2.0, 3.0], [1.0, 2.0]])
    def test_scores_of_other_samples_are_refused(self, second: list[float]) -> None:
        with pytest.raises(ValueError, match=r"first \(2,\) and second \(.,\) must be scores of the same"):
            detect_by_both([np.nan, 2.0], second)


@pytest.mark.parametrize("rate", ["auto", 0.3])
@pytest.mark.parametrize("score", SCORES)
def test_suspects_by_each_score(score: str, rate: Any) -> None:
    x, _, noisy = clusters()
    rng = np.random.default_rng(0)
    z, p = x + rng.normal(size=(2, 5, *x.shape)), rng.dirichlet(np.ones(C), (2, 5, len(x)))
    early = margin(p[:, :3], noisy)  # 5 epochs: their first half, rounded up
    far = {s: suspicion(z, noisy, C, score=s, normalise=False) for s in DISTANCES}
    wanted = {
        "margin": (*detect(early, rate, centred=True), early),
        "relative": (*detect(far["relative"], rate, centred=True), far["relative"]),
        "distance": (*detect(far["distance"], rate), far["distance"]),
        "both": detect_by_both(early, far["relative"], rate, agreement=-0.5),
    }[score]
    found = suspects(p, z, noisy, score=score, noise_rate=rate, normalise=False, agreement=-0.5)
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one, other)

"""Noise detection and the neighbours' prior: naive twins, invariants, edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from nlkit.prior import CASES, SCORES, Prior, candidates, detect, neighbour_prior, reinforce, suspicion
from tests.reference import diffusion
from tests.reference import prior as twin

C = 3


@st.composite
def samples(draw: st.DrawFn) -> dict[str, Any]:
    n, seed = draw(st.integers(2, 12)), draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    M, E, D = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return {
        "trajectory": rng.normal(size=(M, E, n, D)),
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
    @given(samples(), st.sampled_from(SCORES), st.booleans())
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

    @pytest.mark.parametrize("score", SCORES)
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
        ],
    )
    def test_bad_arguments_are_named(self, shape: Any, label: Any, settings: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            suspicion(np.zeros(shape), label, C, **settings)


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


class TestPrior:
    @given(samples(), st.integers(1, 12), st.floats(0.3, 1.0), st.floats(0.3, 1.0))
    def test_equals_its_twin(self, case: dict[str, Any], k: int, certain: float, dominant: float) -> None:
        x, label, suspect = case["embedding"], case["label"], case["suspect"]
        if (suspect | (label < 0)).all():
            with pytest.raises(ValueError, match="nothing can be read off"):
                neighbour_prior(x, label, suspect, C, k=k)
            return
        found = neighbour_prior(x, label, suspect, C, k=k, certain=certain, dominant=dominant)
        near, u = twin.neighbour_distribution(x.tolist(), label.tolist(), suspect.tolist(), C, k)
        assert [[j for j in row if j >= 0] for row in found.neighbours.tolist()] == near
        wanted = [twin.candidates(row, certain, dominant) for row in u]
        np.testing.assert_allclose(found.weight, [w for w, _ in wanted], atol=1e-7)
        assert found.case.tolist() == [c for _, c in wanted]

    @given(samples(), st.integers(1, 12))
    def test_invariants(self, case: dict[str, Any], k: int) -> None:
        x, label, suspect = case["embedding"], case["label"], case["suspect"]
        trusted = ~suspect & (label >= 0)
        if not trusted.any():
            return
        found = neighbour_prior(x, label, suspect, C, k=k)
        np.testing.assert_allclose(found.weight.sum(1), 1)
        assert set(found.case) <= set(CASES)
        # Nobody is a neighbour of itself, and a class that nobody trusted has keeps its empty column.
        assert not (found.neighbours == np.arange(len(x))[:, None]).any()
        absent = ~np.isin(np.arange(C), label[trusted])
        assert found.weight.shape == (len(x), C)
        assert (found.weight[:, absent] == 0).all()

    def test_corrects_wrong_labels(self) -> None:
        x, y, noisy = clusters()
        suspect, _ = detect(suspicion(x[None, None], noisy, C), 0.3)
        found = neighbour_prior(x, noisy, suspect, C)
        assert (found.weight.argmax(1) == y).mean() > 0.9 > (noisy == y).mean()

    def test_missing_labels_are_filled(self) -> None:
        x, y, noisy = clusters()
        noisy[:50] = -1
        found = neighbour_prior(x, noisy, noisy != y, C)
        assert (found.weight.argmax(1) == y)[:50].mean() > 0.9
        assert not np.isin(np.arange(50), found.neighbours).any()

    def test_equal_texts_decide(self) -> None:
        x = np.array([[0.0], [0.0], [1.0], [1.1], [0.9]])
        found = neighbour_prior(x, [0, 1, 2, 2, 2], np.zeros(5, bool), C, k=4)
        assert found.weight[0].argmax() == 1
        assert found.case[0] == "certain"

    def test_a_single_trusted_sample_answers_for_all(self) -> None:
        found = neighbour_prior(np.zeros((3, 2)), [1, 0, -1], [False, True, False], C)
        assert found.weight.argmax(1).tolist() == [1, 1, 1]
        assert found.neighbours.tolist() == [[-1], [0], [0]]

    def test_the_table_is_readable(self) -> None:
        found: Prior = neighbour_prior([[0.0], [1.0], [1.2]], [0, 1, -1], [False] * 3, C, k=2, dominant=0.5)
        table = found.table(["earn", "acq", "ship"], [0, 1, -1])
        assert table["noisy_label"].tolist() == ["earn", "acq", ""]
        assert table["candidates"].tolist() == ["acq 1.00", "earn 1.00", "acq 0.86, earn 0.14"]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [({"k": 0}, "k=0"), ({"certain": 0.0}, "certain=0.0"), ({"dominant": 1.5}, "dominant=1.5")],
    )
    def test_bad_settings_are_named(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            neighbour_prior(np.zeros((2, 1)), [0, 1], [False, False], C, **settings)


def test_candidates_keep_one_two_or_all() -> None:
    weight, case = candidates([[0.95, 0.05, 0.0], [0.5, 0.4, 0.1], [0.4, 0.3, 0.3]], dominant=0.85)
    assert case.tolist() == ["certain", "dominant", "uncertain"]
    np.testing.assert_allclose(weight, [[1, 0, 0], [5 / 9, 4 / 9, 0], [0.4, 0.3, 0.3]])


class TestReinforce:
    @given(st.integers(0, 10_000), st.integers(1, 6))
    def test_equals_its_twin(self, seed: int, rounds: int) -> None:
        rng = np.random.default_rng(seed)
        weight = rng.random((2, 4, C)) * (rng.random((2, 4, C)) < 0.7) + 1e-3 * np.eye(C)[0]
        weight /= weight.sum(-1, keepdims=True)
        answer = rng.integers(0, C, (2, 4))
        fast = reinforce(weight, answer, rounds)
        for m, i in np.ndindex(2, 4):
            slow = diffusion.updated(weight[m, i].tolist(), int(answer[m, i]), rounds)
            np.testing.assert_allclose(fast[m, i], slow, atol=1e-9)
        np.testing.assert_allclose(fast.sum(-1), 1)

    @given(st.integers(0, C - 1), st.integers(0, C - 1))
    def test_a_one_hot_prior_is_a_fixed_point(self, own: int, answer: int) -> None:
        assert reinforce(np.eye(C)[own], answer, 4).tolist() == np.eye(C)[own].tolist()

    def test_an_answer_that_is_no_candidate_changes_nothing(self) -> None:
        np.testing.assert_allclose(reinforce([0.6, 0.4, 0.0], 2, 4), [0.6, 0.4, 0.0])

    def test_the_same_answer_again_and_again_wins(self) -> None:
        weight = np.array([0.6, 0.3, 0.1])
        for _ in range(6):
            weight = reinforce(weight, 2, 6)
        assert weight.argmax() == 2

"""Evidence from noisy labels: what it estimates, whom it believes, and that nothing is judged by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit.methods.sidyp.evidence import (
    SPACES,
    Neighbourhood,
    likelihood,
    mixture_weights,
    observed_posterior,
    pool_exponents,
    pooled,
    unmixed,
)
from nlkit.noise.estimating import estimate_noise_rate, estimate_transition
from tests.methods.sidyp.test_detection import C

SEEDS = st.integers(0, 10_000)
NOISY = 0.6 * np.eye(C) + 0.4 * (1 - np.eye(C)) / (C - 1)  # 40 % of each class wrong, symmetric


def told(n: int, accuracy: float, T: np.ndarray = NOISY, seed: int = 0) -> tuple[np.ndarray, ...]:
    """True labels, observed ones by T, and votes that are right as often as said, and sure of it."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, C, n)
    noisy = np.array([rng.choice(C, p=T[c]) for c in y])
    voted = np.where(rng.random(n) < accuracy, y, rng.integers(0, C, n))
    clear = rng.uniform(0.5, 1.0, n)[:, None]
    return y, noisy, clear * np.eye(C)[voted] + (1 - clear) / C


def distributions(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(C), shape)


class TestNoiseRate:
    @pytest.mark.parametrize("rate", [0.0, 0.2, 0.4])
    def test_good_votes_give_it(self, rate: float) -> None:
        T = (1 - rate) * np.eye(C) + rate * (1 - np.eye(C)) / (C - 1)
        _, noisy, vote = told(2000, 1.0, T)
        found, (low, high) = estimate_noise_rate(vote, noisy)
        assert found == pytest.approx(rate, abs=0.05)
        assert low <= found <= high

    def test_only_clear_votes_count_and_the_others_widen_the_interval(self) -> None:
        y, noisy, vote = told(2000, 1.0)
        clear = np.argsort(-vote.max(1))[:600]
        poor = np.full_like(vote, 1 / C) + 1e-3 * np.eye(C)[(y + np.arange(2000)) % C]
        poor[clear] = vote[clear]
        rate, (_, high) = estimate_noise_rate(poor, noisy)
        assert rate == pytest.approx(0.4, abs=0.05)
        assert high == pytest.approx((poor.argmax(1) != noisy).mean())
        assert high > rate + 0.1

    def test_few_labels_and_none(self) -> None:
        assert estimate_noise_rate(np.eye(C), [-1, -1, -1]) == (0.0, (0.0, 1.0))
        rate, (low, high) = estimate_noise_rate(np.eye(C), [0, 1, -1])
        assert rate == 0.0
        assert (low, high) == (pytest.approx(0.0), pytest.approx(0.79, abs=0.01))  # of one clear vote


class TestTransition:
    def test_it_finds_which_classes_are_confused(self) -> None:
        T = np.array([[0.9, 0.1, 0.0], [0.0, 0.6, 0.4], [0.2, 0.0, 0.8]])
        _, noisy, vote = told(3000, 1.0, T)
        np.testing.assert_allclose(estimate_transition(vote, noisy, 0.3), T, atol=0.06)

    @given(SEEDS, st.integers(0, 12), st.floats(0, 1))
    def test_rows_sum_to_one_whatever_there_is(self, seed: int, n: int, rate: float) -> None:
        label = np.random.default_rng(seed).integers(-1, C, n)
        T = estimate_transition(distributions(seed, n), label, rate)
        np.testing.assert_allclose(T.sum(1), 1.0)
        assert (T >= 0).all()

    def test_a_class_without_texts_has_the_usual_row(self) -> None:
        vote = np.eye(C)[[0] * 50 + [1] * 50]
        T = estimate_transition(vote, [0] * 50 + [1] * 50, 0.2)
        assert T[2, 2] == pytest.approx(0.8)


class TestObservedLabel:
    def test_it_outweighs_weak_evidence_alone(self) -> None:
        u = np.array([[0.5, 0.4, 0.1], [0.98, 0.01, 0.01], [0.2, 0.5, 0.3]])
        p = observed_posterior(u, [1, 1, -1], NOISY)
        assert p.argmax(1).tolist() == [1, 0, 1]  # kept, changed, and read off u
        np.testing.assert_allclose(p[2], u[2])

    @given(SEEDS)
    def test_it_stays_possible_and_rows_sum_to_one(self, seed: int) -> None:
        u = np.eye(C)[np.random.default_rng(seed).integers(0, C, 5)]
        label = np.random.default_rng(seed + 1).integers(0, C, 5)
        p = observed_posterior(u, label, NOISY)
        np.testing.assert_allclose(p.sum(1), 1.0)
        assert (p[np.arange(5), label] > 0).all()

    @given(SEEDS)
    def test_unmixing_undoes_t(self, seed: int) -> None:
        u = distributions(seed, 4)
        found = unmixed(u @ NOISY, NOISY)
        np.testing.assert_allclose(found.sum(1), 1.0)
        before, after = (np.abs(x @ NOISY - u @ NOISY).max() for x in (u @ NOISY, found))
        assert after <= before
        np.testing.assert_allclose(unmixed(u, np.eye(C)), u)


class TestWeights:
    def test_the_better_one_wins_as_labels_add_up(self) -> None:
        _, noisy, good = told(400, 0.95)
        p = np.stack([good, distributions(1, 400)])
        few, many = (
            mixture_weights(likelihood(p[:, :n], noisy[:n], NOISY), [5.0, 5.0])[0] for n in (10, 400)
        )
        assert 0.5 < few < many
        assert many > 0.8

    def test_without_labels_the_prior_stays(self) -> None:
        np.testing.assert_allclose(mixture_weights(np.empty((2, 0)), [1.0, 3.0]), [0.25, 0.75])

    @given(SEEDS, st.integers(1, 4), st.integers(0, 6))
    def test_likelihood_equals_a_loop(self, seed: int, J: int, n: int) -> None:
        u, label = distributions(seed, J, n), np.random.default_rng(seed).integers(-1, C, n)
        wanted = [
            [
                sum((0.95 * row[y] + 0.05 / C) * NOISY[y, c] for y in range(C))
                for row, c in zip(part, label, strict=True)
                if c >= 0
            ]
            for part in u
        ]
        np.testing.assert_allclose(likelihood(u, label, NOISY), wanted)


class TestPool:
    USUAL = np.array([0.5, 0.4])

    def test_a_stage_that_is_wrong_and_sure_is_left_out(self) -> None:
        y, noisy, good = told(200, 0.9)
        u = np.stack([good, 0.98 * np.eye(C)[(y + 1) % C] + 0.02 / C])
        exponent = pool_exponents(u, noisy, NOISY, self.USUAL)
        assert exponent[1] < 0.1 < exponent[0]
        assert (pooled(u, exponent).argmax(1) == y).mean() > (pooled(u, self.USUAL).argmax(1) == y).mean()

    def test_without_labels_the_usual_stays(self) -> None:
        found = pool_exponents(distributions(0, 2, 3), [-1, -1, -1], NOISY, self.USUAL)
        np.testing.assert_allclose(found, self.USUAL)

    def test_one_part_alone_is_itself_nearly(self) -> None:
        u = distributions(0, 2, 5)
        np.testing.assert_allclose(pooled(u, [1.0, 0.0]), u[0], atol=0.01)


class TestNeighbourhood:
    def clusters(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """True labels, observed ones, a text space that says nothing and a learned one that says all."""
        rng = np.random.default_rng(seed)
        y, noisy, _ = told(300, 1.0, seed=seed)
        return y, noisy, rng.normal(size=(300, 8)), (np.eye(C)[y] + 0.1 * rng.normal(size=(2, 300, C)))

    def test_a_space_that_misleads_loses_its_weight(self) -> None:
        y, noisy, text, learned = self.clusters()
        known, held = slice(0, 200), slice(200, 300)
        found = Neighbourhood(text[known], learned[:, known], noisy[known], C)
        votes = found.votes(text[held], learned[:, held])
        before = (found.mixed(votes).argmax(1) == y[held]).mean()
        found.weigh(votes, noisy[held], NOISY)
        table = found.table().groupby("space")[["weight", "log_likelihood"]].sum()
        assert table.loc["learned", "weight"] > 2 * table.loc["text", "weight"]
        assert table.loc["learned", "log_likelihood"] > table.loc["text", "log_likelihood"]
        assert (found.mixed(votes).argmax(1) == y[held]).mean() >= before

    def test_a_text_has_no_vote_on_itself(self) -> None:
        _, noisy, text, learned = self.clusters()
        found = Neighbourhood(text, learned, noisy, C, k=3)
        other = noisy.copy()
        other[0] = (noisy[0] + 1) % C
        votes = [
            Neighbourhood(text, learned, label, C, k=3).votes(text[:1], learned[:, :1])
            for label in (noisy, other)
        ]
        np.testing.assert_allclose(*votes)
        np.testing.assert_allclose(found.votes(text, learned).sum(-1), 1.0)

    @pytest.mark.parametrize("space", SPACES)
    def test_a_space_by_name_votes_alone(self, space: str) -> None:
        _, noisy, text, learned = self.clusters()
        named, all_ = (Neighbourhood(text, learned, noisy, C, space=s) for s in (space, "auto"))
        assert named.voters == [v for v in all_.voters if v[0] == space]
        mine = [j for j, v in enumerate(all_.voters) if v[0] == space]
        np.testing.assert_allclose(named.votes(text, learned), all_.votes(text, learned)[mine])

    def test_an_unknown_space_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"space='pixels'.*text, learned, both"):
            Neighbourhood(np.ones((1, 1)), np.ones((1, 1, 1)), [0], C, space="pixels")

"""What a denoiser says, its noise included: the sum over observed labels against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nlkit.methods.sidyp import plain
from nlkit.methods.sidyp import posterior as module
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.diffusion import Denoiser
from nlkit.methods.sidyp.posterior import answer_probabilities, conditions, new_denoiser, posterior, refined

M, N, C, P = 2, 5, 3, 4


def settings(**more: Any) -> SiDyPConfig:
    small = {"branches": M, "hidden_size": 16, "denoiser_blocks": 1, "diffusion_steps": 20,
             "prediction_steps": 3, "chains": 2, "device": "cpu"}  # fmt: skip
    return SiDyPConfig.make("quick", **{**small, **more})


def case(n: int = N, seed: int = 0) -> tuple[Denoiser, Tensor, Tensor]:
    """A denoiser that has learnt nothing, yet has strong opinions; conditions; P_clf."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        denoiser = new_denoiser(M, C, P, settings()).eval()
        with torch.no_grad():
            denoiser.out.weight.mul_(8)
        return denoiser, torch.randn(M, n, P), torch.rand(M, n, C).softmax(-1)


def naive_answer(denoiser: Denoiser, condition: Tensor, m: int, label: Tensor, config: SiDyPConfig) -> Tensor:
    """P_diff,m of each text and its label, (N, C), by the noise that the config's seed gives."""
    generator, (_, n, _) = torch.Generator().manual_seed(config.seed), condition.shape
    shape = (config.chains, config.prediction_steps + 1, M, 1, C)
    noise = torch.stack([torch.randn(shape[2:], generator=generator) for _ in range(shape[0] * shape[1])])

    def denoise(s_t: Tensor, level: Tensor, observed: Tensor, known: Tensor) -> Tensor:
        # Another text's condition stands at the other branches' places: it must not matter.
        inputs = torch.zeros(M, n, C), torch.ones(M, n), torch.zeros(M, n, C), torch.ones(M, n, P)
        for value, part in zip(inputs, (s_t, level, plain.to_simplex(observed, C), known), strict=True):
            value[m] = part
        logits: Tensor = denoiser(*inputs)[m]
        return logits

    chains = noise.reshape(shape)[:, :, m].expand(-1, -1, n, -1)
    return torch.stack([plain.p_sample_loop(denoise, label, condition[m], e) for e in chains]).mean(0)


def test_an_embedding_of_zeros_is_encoded_as_zeros() -> None:
    assert (conditions(np.zeros((M, 2, N, 3)), np.zeros((N, 3))) == 0).all()


class TestPosterior:
    @pytest.mark.parametrize(("chains", "mass"), [(1, 1.0), (3, 1.0), (1, 0.6)])
    def test_equals_the_naive_double_sum(self, chains: int, mass: float) -> None:
        denoiser, condition, p_observed = case()
        config = settings(chains=chains, seed=5)
        found = posterior(denoiser, condition, p_observed, config, mass=mass)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
        share, wanted = torch.zeros(M, N, C), torch.zeros(N, C)
        for i, p in enumerate(p_observed.transpose(0, 1)):  # the likeliest labels that hold the mass
            order, count = p.mean(0).argsort(descending=True), 1
            while count < C and p.mean(0)[order[:count]].sum() < mass:
                count += 1
            kept = order[:count]
            share[:, i, kept] = p[:, kept] / p[:, kept].sum(1, keepdim=True)
        for m, c in np.ndindex(M, C):
            answer = naive_answer(denoiser, condition, m, torch.full((N,), c), config)
            wanted += answer * share[m, :, c, None] / M
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        # It says something of its own: more than half of the texts get different answers.
        assert len(np.unique(found.round(3), axis=0)) > N // 2

    def test_the_seed_and_the_calls_chains_decide(self) -> None:
        one = posterior(*case(), settings(chains=1))
        torch.manual_seed(99)
        assert np.array_equal(posterior(*case(), settings(chains=5), chains=1), one)
        for other in ({"chains": 5}, {"chains": 1, "seed": 1}):
            assert not np.allclose(posterior(*case(), settings(**other)), one, atol=1e-3)

    @given(st.integers(0, 10_000), st.floats(0.05, 1))
    def test_leaving_out_unlikely_labels_stays_near(self, seed: int, mass: float) -> None:
        whole, near = (posterior(*case(seed=seed), settings(), chains=1, mass=m) for m in (1.0, mass))
        np.testing.assert_allclose(near.sum(1), 1, atol=1e-5)
        # What is left out is at most 1 − mass, and is dealt out again.
        assert (np.abs(near - whole).sum(1) <= 2 * (1 - mass) + 1e-4).all()

    def test_a_text_is_encoded_once_and_a_smaller_mass_sums_over_fewer_labels(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        denoiser, condition, _ = case(2)
        p_observed = torch.tensor([[0.8, 0.15, 0.05], [0.1, 0.5, 0.4]]).expand(M, -1, -1)
        labels: list[list[int]] = []
        encoded: list[int] = []
        encode = denoiser.encode_condition

        def counting(*arguments: Any, **named: Any) -> Tensor:
            labels.append(arguments[2].tolist())
            return answer_probabilities(*arguments, **named)

        monkeypatch.setattr(module, "answer_probabilities", counting)
        monkeypatch.setattr(denoiser, "encode_condition", lambda c: encoded.append(c.shape[1]) or encode(c))
        for mass in (1.0, 0.9, 0.75):
            posterior(denoiser, condition, p_observed, settings(chains=5), mass=mass)
        assert labels == [[0, 1, 2, 0, 1, 2], [0, 1, 1, 2], [0, 1, 2]]
        assert encoded == [2, 2, 2]

    def test_branches_that_are_sure_of_different_labels(self) -> None:
        denoiser, condition, _ = case(1)
        p_observed = torch.eye(C)[:M, None].contiguous()  # (M, 1, C): each branch sure of its own
        found = posterior(denoiser, condition, p_observed, settings(), mass=0.4)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)

    def test_a_text_depends_neither_on_the_others_nor_on_order_or_chunks(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        denoiser, condition, p_observed = case(12)
        label = np.resize([0, 1, 2, -1, 0, 1], 12)
        every = posterior(denoiser, condition, p_observed, settings())
        of_labels = refined(denoiser, condition, p_observed, label, settings())
        order = np.random.default_rng(0).permutation(12)
        for index in (order, [0], [7], []):  # also a batch of one, and no texts
            found = posterior(denoiser, condition[:, index], p_observed[:, index], settings())
            np.testing.assert_allclose(found, every[index], atol=1e-5)
        monkeypatch.setattr(module, "CHUNK", 4)
        np.testing.assert_allclose(posterior(denoiser, condition, p_observed, settings()), every, atol=1e-5)
        found = refined(denoiser, condition, p_observed, label, settings())
        np.testing.assert_allclose(found, of_labels, atol=1e-5)


class TestRefined:
    def test_equals_the_naive_answer_to_the_observed_label_and_the_posterior_without_one(self) -> None:
        denoiser, condition, p_observed = case()
        label, config = np.array([2, 0, -1, 1, 1]), settings(seed=3)
        found, known = refined(denoiser, condition, p_observed, label, config), label >= 0
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
        answers = [naive_answer(denoiser, condition, m, torch.from_numpy(label), config) for m in range(M)]
        np.testing.assert_allclose(found[known], torch.stack(answers).mean(0)[known], atol=1e-4)
        whole = posterior(denoiser, condition, p_observed, config)
        np.testing.assert_allclose(found[~known], whole[~known], atol=1e-5)
        assert not np.allclose(found[known], whole[known], atol=1e-3)
        assert np.array_equal(refined(denoiser, condition, p_observed, np.full(N, -1), config), whole)

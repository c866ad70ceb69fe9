"""What a denoiser says: its condition, and the sum over observed labels, against plain loops."""

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


def asked(n: int = N, seed: int = 0) -> tuple[Denoiser, Tensor, Tensor]:
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


class TestConditions:
    def test_the_width_does_not_depend_on_the_number_of_epochs(self) -> None:
        rng = np.random.default_rng(0)
        text = rng.normal(size=(N, 7))
        widths = {conditions(rng.normal(size=(M, e, N, 6)), text).shape[-1] for e in (1, 2, 9)}
        assert widths == {2 * 6 + 7}

    def test_only_directions_count_and_each_part_has_entries_of_about_one(self) -> None:
        rng = np.random.default_rng(0)
        z, text = rng.normal(size=(M, 1, N, 64)), rng.normal(size=(N, 128))
        found = conditions(z, text)
        torch.testing.assert_close(conditions(100 * z, 0.01 * text), found, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[..., :64].square().mean(-1), 1, rtol=1e-4)
        np.testing.assert_allclose(found[..., 128:].square().mean(-1), 1, rtol=1e-4)
        # One epoch goes nowhere.
        assert (found[..., 64:128] == 0).all()

    def test_an_embedding_of_zeros_is_told_as_zeros(self) -> None:
        assert (conditions(np.zeros((M, 2, N, 3)), np.zeros((N, 3))) == 0).all()


class TestPosterior:
    @pytest.mark.parametrize("chains", [1, 3])
    def test_equals_the_naive_double_sum(self, chains: int) -> None:
        denoiser, condition, p_observed = asked()
        config = settings(chains=chains, seed=5)
        found = posterior(denoiser, condition, p_observed, config, mass=1.0)
        assert found.shape == (N, C)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
        wanted = torch.zeros(N, C)
        for m, c in np.ndindex(M, C):
            label = torch.full((N,), c)
            wanted += naive_answer(denoiser, condition, m, label, config) * p_observed[m, :, c, None] / M
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        # It says something of its own: more than half of the texts are not told the same.
        assert len(np.unique(found.round(3), axis=0)) > N // 2

    def test_chains_of_the_call_win(self) -> None:
        denoiser, condition, p_observed = asked()
        one = posterior(denoiser, condition, p_observed, settings(chains=1))
        assert np.array_equal(posterior(denoiser, condition, p_observed, settings(chains=5), chains=1), one)
        assert not np.allclose(posterior(denoiser, condition, p_observed, settings(chains=5)), one, atol=1e-3)

    def test_the_seed_decides(self) -> None:
        denoiser, condition, p_observed = asked()
        first = posterior(denoiser, condition, p_observed, settings(seed=0))
        torch.manual_seed(99)
        assert np.array_equal(posterior(denoiser, condition, p_observed, settings(seed=0)), first)
        assert not np.allclose(posterior(denoiser, condition, p_observed, settings(seed=1)), first, atol=1e-3)

    @given(st.integers(0, 10_000), st.floats(0.05, 1))
    def test_leaving_out_unlikely_labels_stays_near(self, seed: int, mass: float) -> None:
        denoiser, condition, p_observed = asked(seed=seed)
        whole = posterior(denoiser, condition, p_observed, settings(), chains=1, mass=1.0)
        near = posterior(denoiser, condition, p_observed, settings(), chains=1, mass=mass)
        np.testing.assert_allclose(near.sum(1), 1, atol=1e-5)
        # What is left out is at most 1 − mass, and is dealt out again.
        assert (np.abs(near - whole).sum(1) <= 2 * (1 - mass) + 1e-4).all()

    def test_a_text_is_told_once_however_many_chains_and_labels_are_asked_about(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        denoiser, condition, p_observed = asked()
        encoded: list[int] = []
        plain = denoiser.encode_condition
        monkeypatch.setattr(denoiser, "encode_condition", lambda c: encoded.append(c.shape[1]) or plain(c))
        posterior(denoiser, condition, p_observed, settings(chains=5), mass=1.0)
        assert encoded == [N]

    def test_a_smaller_mass_asks_fewer_questions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        denoiser, condition, _ = asked(2)
        p_observed = torch.tensor([[0.8, 0.15, 0.05], [0.1, 0.5, 0.4]]).expand(M, -1, -1)
        questions: list[list[int]] = []

        def counting(*arguments: Any, **named: Any) -> Tensor:
            questions.append(arguments[2].tolist())
            return answer_probabilities(*arguments, **named)

        monkeypatch.setattr(module, "answer_probabilities", counting)
        for mass in (1.0, 0.9, 0.75):
            posterior(denoiser, condition, p_observed, settings(), mass=mass)
        assert questions == [[0, 1, 2, 0, 1, 2], [0, 1, 1, 2], [0, 1, 2]]

    def test_branches_that_are_sure_of_different_labels(self) -> None:
        denoiser, condition, _ = asked(1)
        p_observed = torch.eye(C)[:M, None].contiguous()  # (M, 1, C): each branch sure of its own
        found = posterior(denoiser, condition, p_observed, settings(), mass=0.4)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)

    def test_a_text_does_not_depend_on_the_others_or_their_order(self) -> None:
        denoiser, condition, p_observed = asked(12)
        config = settings()
        every = posterior(denoiser, condition, p_observed, config)
        order = np.random.default_rng(0).permutation(12)
        shuffled = posterior(denoiser, condition[:, order], p_observed[:, order], config)
        np.testing.assert_allclose(shuffled, every[order], atol=1e-5)
        for i in (0, 7):  # also a batch of one
            alone = posterior(denoiser, condition[:, i : i + 1], p_observed[:, i : i + 1], config)
            np.testing.assert_allclose(alone[0], every[i], atol=1e-5)

    def test_chunks_do_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        denoiser, condition, p_observed = asked(7)
        label = np.array([0, 1, 2, -1, 0, 1, -1])
        whole = posterior(denoiser, condition, p_observed, settings())
        labels = refined(denoiser, condition, p_observed, label, settings())
        monkeypatch.setattr(module, "CHUNK", 4)
        np.testing.assert_allclose(posterior(denoiser, condition, p_observed, settings()), whole, atol=1e-5)
        np.testing.assert_allclose(
            refined(denoiser, condition, p_observed, label, settings()), labels, atol=1e-5
        )

    def test_no_texts(self) -> None:
        denoiser, condition, p_observed = asked(0)
        assert posterior(denoiser, condition, p_observed, settings()).shape == (0, C)


class TestRefined:
    def test_equals_the_naive_answer_to_the_observed_label(self) -> None:
        denoiser, condition, p_observed = asked()
        label, config = np.array([2, 0, -1, 1, 1]), settings(seed=3)
        found = refined(denoiser, condition, p_observed, label, config)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
        answers = [naive_answer(denoiser, condition, m, torch.from_numpy(label), config) for m in range(M)]
        np.testing.assert_allclose(found[label >= 0], torch.stack(answers).mean(0)[label >= 0], atol=1e-4)

    def test_where_the_label_is_missing_it_is_the_posterior(self) -> None:
        denoiser, condition, p_observed = asked()
        plain = posterior(denoiser, condition, p_observed, settings())
        label = np.array([2, -1, 0, -1, 1])
        found = refined(denoiser, condition, p_observed, label, settings())
        np.testing.assert_allclose(found[label < 0], plain[label < 0], atol=1e-5)
        assert not np.allclose(found[label >= 0], plain[label >= 0], atol=1e-3)
        nobody = refined(denoiser, condition, p_observed, np.full(N, -1), settings())
        assert np.array_equal(nobody, plain)

    def test_the_observed_label_matters(self) -> None:
        denoiser, condition, p_observed = asked()
        encoded = [refined(denoiser, condition, p_observed, np.full(N, c), settings()) for c in range(C)]
        assert not np.allclose(encoded[0], encoded[1], atol=1e-3)
        # P_clf does not: the label is known.
        other = refined(denoiser, condition, p_observed.flip(-1), np.full(N, 0), settings())
        assert np.array_equal(other, encoded[0])

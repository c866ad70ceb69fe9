"""SiDyP on one page: the full method's parts give the same numbers, and the two are about as often right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from datasets import DatasetDict
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import nlkit as nk
from nlkit.methods.sidyp import detection, diffusion, plain, posterior, prior, refinement
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.training import losses
from tests.methods.sidyp.test_detection import C, samples

M, B, P = 2, 5, 4
SEEDS = st.integers(0, 10_000)


def tensors(case: dict[str, Any], *names: str) -> list[Tensor]:
    return [torch.from_numpy(case[name]) for name in names]


class TestDetection:
    @given(samples())
    def test_margin(self, case: dict[str, Any]) -> None:
        found = detection.margin(case["dynamics"], case["label"])
        np.testing.assert_allclose(found, plain.margin_score(*tensors(case, "dynamics", "label")), atol=1e-12)

    @given(samples())
    def test_relative_distance(self, case: dict[str, Any]) -> None:
        assume(len(set(case["label"]) - {-1}) > 1)
        found = detection.suspicion(case["trajectory"], case["label"], C)
        wanted = plain.distance_score(*tensors(case, "trajectory", "label"), C)
        np.testing.assert_allclose(found, wanted, atol=1e-7)

    @given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, np.nan]), max_size=12), st.floats(0, 1))
    def test_the_highest_scores(self, score: list[float], rate: float) -> None:
        found, _ = detection.detect(score, rate)
        assert found.tolist() == plain.detect(torch.tensor(score), rate).tolist()


class TestPrior:
    @given(samples(), st.integers(1, 12), st.floats(0.3, 1.0), st.floats(0.3, 1.0))
    def test_candidates_of_trusted_neighbours(
        self, case: dict[str, Any], k: int, gamma: float, delta: float
    ) -> None:
        x, label, suspect = tensors(case, "embedding", "label", "suspect")
        assume((~suspect & (label >= 0)).any())
        found = prior.neighbour_prior(x, label, suspect, C, k=k, gamma=gamma, delta=delta)
        wanted = plain.neighbour_prior(x, label.masked_fill(suspect, -1), C, k, gamma, delta)
        np.testing.assert_allclose(found.weight, wanted, atol=1e-7)
        assert (found.case == "certain").tolist() == (wanted == 1).any(-1).tolist()

    @given(SEEDS, st.integers(1, 6))
    def test_an_answer_moves_it(self, seed: int, rounds: int) -> None:
        rng = np.random.default_rng(seed)
        weight = rng.random((M, B, C)) * (rng.random((M, B, C)) < 0.7) + 1e-3 * np.eye(C)[0]
        weight /= weight.sum(-1, keepdims=True)
        answer = rng.integers(0, C, (M, B))
        wanted = plain.update_prior(torch.from_numpy(weight), torch.from_numpy(answer), rounds)
        np.testing.assert_allclose(prior.update_prior(weight, answer, rounds), wanted, atol=1e-12)

    @given(SEEDS, st.integers(1, 5), st.integers(2, 5))
    def test_labels_drawn_from_it(self, seed: int, n: int, classes: int) -> None:
        rng = np.random.default_rng(seed)
        # Eighths, so that a drawn number also falls on a border.
        weight = torch.from_numpy(rng.multinomial(8, np.full(classes, 1 / classes), (M, n)) / 8)
        uniform = torch.from_numpy(rng.integers(0, 16, n) / 16)
        assert torch.equal(refinement.sample_labels(weight, uniform), plain.sample_labels(weight, uniform))


class TestDiffusion:
    @pytest.mark.parametrize("steps", [1, 10, 500])
    def test_schedule(self, steps: int) -> None:
        torch.testing.assert_close(diffusion.alpha_bar(steps), plain.alpha_bar(steps), rtol=1e-5, atol=1e-9)

    @given(SEEDS, st.floats(0.5, 10), st.integers(2, 6))
    def test_forward_process(self, seed: int, k: float, classes: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        label = torch.randint(-1, classes, (M, B), generator=generator)
        start = diffusion.to_simplex(label, classes, k)
        torch.testing.assert_close(start, plain.to_simplex(label, classes, k))
        level, noise = torch.rand(M, B, generator=generator), torch.randn(B, classes, generator=generator)
        torch.testing.assert_close(
            diffusion.q_sample(start, level, noise, k), plain.q_sample(start, level, noise, k)
        )

    @pytest.mark.parametrize("steps", [1, 4])
    @pytest.mark.parametrize("k", [1.0, 5.0])
    def test_reverse_process(self, steps: int, k: float) -> None:
        """Given the same noise and the same denoiser's answers; a branch does not see the others."""
        torch.manual_seed(0)
        model = diffusion.Denoiser(M, C, P, hidden_size=16, scale=k).eval()
        condition, observed = torch.randn(M, B, P), torch.randint(-1, C, (M, B))
        found = diffusion.p_sample_loop(
            model, observed, model.encode_condition(condition), diffusion.alpha_bar(steps),
            generator=torch.Generator().manual_seed(3),
        )  # fmt: skip
        generator = torch.Generator().manual_seed(3)
        noise = torch.stack([torch.randn(M, B, C, generator=generator) for _ in range(steps + 1)])
        for m in range(M):

            def denoise(s_t: Tensor, a: Tensor, own: Tensor, known: Tensor, m: int = m) -> Tensor:
                # The other branches' places hold anything: it must not matter.
                inputs = torch.randn(M, B, C), torch.rand(M, B), torch.randn(M, B, C), torch.randn(M, B, P)
                for value, part in zip(inputs, (s_t, a, plain.to_simplex(own, C, k), known), strict=True):
                    value[m] = part
                answer: Tensor = model(*inputs)[m]
                return answer

            wanted = plain.p_sample_loop(denoise, observed[m], condition[m], noise[:, m], k)
            torch.testing.assert_close(found[m], wanted, rtol=1e-4, atol=1e-5)


class TestSecondStage:
    @given(SEEDS, st.integers(1, 4), st.integers(1, 4))
    def test_condition(self, seed: int, epochs: int, width: int) -> None:
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(M, epochs, B, width)).astype(np.float16)
        x = rng.normal(size=(B, width)).astype(np.float32)
        wanted = plain.encode_condition(torch.from_numpy(z).float(), torch.from_numpy(x))
        torch.testing.assert_close(posterior.conditions(z, x), wanted, rtol=1e-3, atol=1e-4)

    @given(SEEDS, st.integers(1, 4))
    def test_co_regularisation(self, seed: int, branches: int) -> None:
        logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 3, (branches, B, C)))
        found = losses.co_regularisation(logits).mean()
        torch.testing.assert_close(found, plain.co_regularisation(logits))

    @pytest.mark.parametrize("chains", [1, 3])
    def test_posterior(self, chains: int) -> None:
        """Of a denoiser that sees the observed label and the text alone: then noise makes no difference."""
        torch.manual_seed(0)
        model = diffusion.Denoiser(M, C, P, hidden_size=16).eval()
        with torch.no_grad():
            model.noised.weight.zero_()
            model.out.weight.mul_(8)
        condition, p_clf = torch.randn(M, B, P), torch.randn(M, B, C).softmax(-1)

        def of_branch(m: int) -> Any:
            def denoise(s_t: Tensor, a: Tensor, own: Tensor, known: Tensor) -> Tensor:
                inputs = s_t, a, plain.to_simplex(own, C), known
                answer: Tensor = model(*(part.expand(M, *part.shape) for part in inputs))[m]
                return answer

            return denoise

        config = SiDyPConfig.make("quick", branches=M, prediction_steps=1, chains=chains, device="cpu")
        found = posterior.posterior(model, condition, p_clf, config, mass=1.0)
        wanted = plain.posterior([of_branch(m) for m in range(M)], condition, p_clf, chains)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        assert found.std(0).min() > 0.05


@pytest.fixture(scope="module")
def accuracy(r8_small: DatasetDict) -> dict[str, np.ndarray]:
    """Test accuracy of both and of CE's last epoch for three draws of noise and seeds."""
    n, truth = len(r8_small["train"]), np.array(r8_small["test"]["label"])
    texts = [*r8_small["train"]["text"], *r8_small["test"]["text"]]
    features = nk.TextEncoder(trainable_layers=0).prepare(texts)
    x = torch.cat([torch.from_numpy(row) for row in features]).float()
    found: dict[str, list[float]] = {"plain": [], "full": [], "ce": []}
    for seed in (1, 2, 3):
        noisy = nk.add_noise(r8_small, kind="symmetric", rate=0.4, seed=seed)
        label = torch.full((len(x),), -1)
        label[:n] = torch.tensor(noisy["train"]["noisy_label"][:])
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            p, _ = plain.sidyp(x, label, C=8)
        found["plain"].append(float((p[n:].argmax(-1).numpy() == truth).mean()))
        full = nk.SiDyP(profile="quick", seed=seed).fit(noisy)
        found["full"].append(full.evaluate(noisy["test"])["accuracy"])
        ce = nk.Baseline(loss="ce", profile="quick", epochs=30, seed=seed).fit(noisy)
        found["ce"].append(ce.evaluate(noisy["test"])["accuracy"])
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.slow
def test_what_the_page_leaves_out_does_not_harm(accuracy: dict[str, np.ndarray]) -> None:
    # Seeds 1 to 3: 0.815 the page, 0.91 the full method, whose stages and spaces are weighed.
    assert accuracy["full"].mean() > accuracy["plain"].mean()


@pytest.mark.slow
def test_both_beat_the_last_epoch_of_ce(accuracy: dict[str, np.ndarray]) -> None:
    assert (accuracy["plain"] > accuracy["ce"]).all()
    assert (accuracy["full"] > accuracy["ce"]).all()

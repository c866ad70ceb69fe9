"""The second stage: its loss and the dynamic prior against the plain ones, and what it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nlkit.methods.sidyp import plain
from nlkit.methods.sidyp import refinement as module
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.diffusion import Denoiser, alpha_bar
from nlkit.methods.sidyp.posterior import answer_probabilities
from nlkit.methods.sidyp.prior import Prior, candidates, update_prior
from nlkit.methods.sidyp.refinement import Refinement, sample_labels
from nlkit.training.trainer import copied_weights
from tests.methods.helpers import interrupt
from tests.training.test_trainer import assert_same

M, N, C, P = 2, 12, 3, 4
CPU = torch.device("cpu")
ROUNDS = 3


def settings(**more: Any) -> SiDyPConfig:
    small = {"branches": M, "hidden_size": 16, "denoiser_blocks": 1, "diffusion_dropout": 0.0,
             "diffusion_steps": 20, "sampling_steps": 3, "update_rounds": ROUNDS, "diffusion_epochs": 3,
             "diffusion_warmup": 0.0, "diffusion_batch_size": 8, "diffusion_coregularisation": 1.0,
             "dynamic_prior": True, "ema_epochs": 2.0, "chains": 2, "device": "cpu"}  # fmt: skip
    return SiDyPConfig.make("quick", **{**small, **more})


def prior_of(u: Any) -> Prior:
    weight, case = candidates(u, gamma=0.95, delta=0.85)
    n = len(weight)
    return Prior(weight, case, np.full((n, 1), -1), np.zeros(n, bool))


def mixed_prior() -> Prior:
    """Every third text is certain; some of the others have a class that is no candidate."""
    u = np.random.default_rng(0).dirichlet(np.ones(C), N)
    u[::3] = np.eye(C)[np.arange(len(u[::3])) % C]
    u[1] = [0.55, 0.45, 0.0]
    return prior_of(u)


def make(prior: Prior | None = None, *, validation: Any = None, **more: Any) -> Refinement:
    prior = prior or mixed_prior()
    n = len(prior.weight)
    condition = torch.randn(M, n, P, generator=torch.Generator().manual_seed(1))
    observed = np.random.default_rng(2).integers(-1, C, n)
    return Refinement(condition, observed, prior, settings(**more), CPU, validation)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1 - 2**-24]))
def test_a_label_without_weight_is_never_drawn(seed: int, uniform: float) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.random((M, 6, C)) * (rng.random((M, 6, C)) < 0.5) + 1e-3 * np.eye(C)[rng.integers(C)]
    w = torch.from_numpy(weight / weight.sum(-1, keepdims=True)).float()
    found = sample_labels(w, torch.full((6,), uniform))
    assert (w.gather(-1, found[..., None]) > 0).all()


@given(st.integers(0, 10_000), st.integers(1, 9))
def test_the_prior_moves_on_a_device_as_in_numpy(seed: int, rounds: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.ones(C), (M, 6)) * (rng.random((M, 6, C)) < 0.7) + 1e-9 * np.eye(C)[0]
    weight /= weight.sum(-1, keepdims=True)
    answer = rng.integers(0, C, (M, 6))
    wanted = update_prior(weight, answer, rounds)
    for move in (module.move_prior, module._move_prior):  # what a CPU runs, and what a GPU does
        found = move(torch.from_numpy(weight), torch.from_numpy(answer), rounds)
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


class TestOneStep:
    @pytest.mark.parametrize("warm", [True, False])
    @pytest.mark.parametrize("weighted", [True, False])
    @pytest.mark.parametrize("index", [[3], [4, 0, 7, 1, 2]])
    def test_the_loss_equals_that_of_branches_in_a_loop(
        self, warm: bool, weighted: bool, index: list[int]
    ) -> None:
        run, rng = make(weighted_loss=weighted), np.random.default_rng(5)
        # Branches whose priors have been moved apart.
        weight = torch.from_numpy(rng.dirichlet(np.ones(C), (M, len(index)))).float()
        before = copied_weights(run.denoiser)
        run.denoiser.train()
        found = run._step(torch.tensor(index), weight, torch.Generator().manual_seed(7), warm)
        assert not torch.equal(run.denoiser.out.weight, before["out.weight"])

        drawn = torch.Generator().manual_seed(7)
        uniform = torch.rand(len(index), generator=drawn)
        level = alpha_bar(20)[torch.randint(1, 21, (len(index),), generator=drawn)]
        noise = torch.randn(len(index), C, generator=drawn)
        run.denoiser.load_state_dict(before)
        seen, logits, losses = plain.to_simplex(run.observed[index], C), [], []
        for m in range(M):
            label = plain.sample_labels(weight[m], uniform)
            noised = plain.q_sample(plain.to_simplex(label, C), level, noise)
            inputs = noised, level, seen, run.condition[m, index]
            with torch.no_grad():  # whatever the other branches are given makes no difference
                logits.append(run.denoiser(*(part.expand(M, *part.shape) for part in inputs))[m])
            entropy = torch.nn.functional.cross_entropy(logits[m], label, reduction="none")
            # As published a label counts as much as its prior weight.
            losses.append(entropy * weight[m].gather(-1, label[:, None])[:, 0] if weighted else entropy)
        apart = 0.0 if warm else plain.co_regularisation(torch.stack(logits))
        assert found == pytest.approx(float(torch.stack(losses).mean() + apart), rel=1e-4)

    def test_an_epoch_is_the_mean_of_its_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        monkeypatch.setattr(
            Refinement, "_step", lambda self, index, *_: sizes.append(len(index)) or float(len(index))
        )
        run = make(diffusion_epochs=1).fit()
        assert sizes == [8, 4]
        assert run.rows[0]["loss"] == pytest.approx((8 * 8 + 4 * 4) / 12)
        assert run.rows[0]["prior_certainty"] == pytest.approx(run.weight.max(-1).mean())


Steps = list[tuple[list[int], Tensor, bool]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """What each step learns from: texts in order, their prior weights, and whether it is of the warm-up."""
    seen: Steps = []
    step = Refinement._step

    def watched(self: Refinement, index: Tensor, weight: Tensor, generator: Any, warm: bool) -> Tensor:
        order = index.argsort()
        seen.append((index[order].tolist(), weight[:, order], warm))
        return step(self, index, weight, generator, warm)

    monkeypatch.setattr(Refinement, "_step", watched)
    return seen


class TestWarmUp:
    def test_it_learns_from_certain_texts_only(self, steps: Steps) -> None:
        run = make(diffusion_epochs=5, diffusion_warmup=0.3, diffusion_batch_size=100).fit()
        certain = np.flatnonzero(run.certain).tolist()
        assert 0 < len(certain) < N
        every = list(range(N))
        assert [(i, warm) for i, _, warm in steps] == [(certain, True)] * 2 + [(every, False)] * 3
        # Neither the prior nor its certainty moves in the warm-up.
        sure = [row["prior_certainty"] for row in run.rows]
        assert sure[0] == sure[1] == pytest.approx(mixed_prior().weight.max(1).mean())
        assert sure[2] > sure[1]

    def test_it_learns_from_all_if_none_is_certain(self, steps: Steps) -> None:
        open_prior = prior_of(np.full((N, C), 1 / C))
        make(open_prior, diffusion_epochs=2, diffusion_warmup=1.0, diffusion_batch_size=100).fit()
        assert [(i, warm) for i, _, warm in steps] == [(list(range(N)), True)] * 2


class Answers:
    """Stands in for the reverse chain: gives answers drawn beforehand, and keeps them."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.given: list[np.ndarray] = []

    def __call__(self, denoiser: Any, condition: Tensor, observed: Tensor, *_: Any, **named: Any) -> Tensor:
        assert not denoiser.training
        assert named.get("chains", 1) == 1
        self.given.append(self.rng.integers(0, C, condition.shape[:2]))
        return torch.from_numpy(np.eye(C)[self.given[-1]])


class TestDynamicPrior:
    @pytest.mark.parametrize("memory", [True, False])
    def test_equals_the_plain_one_given_the_same_answers_and_is_learnt(
        self, memory: bool, monkeypatch: pytest.MonkeyPatch, steps: Steps
    ) -> None:
        answers, prior = Answers(), mixed_prior()
        monkeypatch.setattr(module, "answer_probabilities", answers)
        run = make(prior, diffusion_epochs=2, prior_memory=memory, diffusion_batch_size=100).fit()
        assert len(answers.given) == 2 * ROUNDS
        assert np.array_equal(prior.weight, mixed_prior().weight)  # the neighbours' is left as it was
        open_ = np.flatnonzero(prior.case != "certain")
        for m in range(M):
            start = torch.from_numpy(prior.weight)
            for epoch in range(2):
                weight = start.clone()
                for answer in answers.given[epoch * ROUNDS : (epoch + 1) * ROUNDS]:
                    weight[open_] = plain.update_prior(weight[open_], torch.from_numpy(answer[m]), ROUNDS)
                torch.testing.assert_close(steps[epoch][1][m], weight.float())
                start = weight if memory else start
            np.testing.assert_allclose(run.weight[m], weight, atol=1e-12)

    @pytest.mark.parametrize("case", ["certain", "uncertain"])
    @pytest.mark.parametrize("memory", [True, False])
    def test_a_one_hot_prior_is_a_fixed_point(self, memory: bool, case: str) -> None:
        one_hot = np.eye(C)[np.arange(N) % C]
        prior = Prior(one_hot, np.full(N, case), np.full((N, 1), -1), np.zeros(N, bool))
        run = make(prior, prior_memory=memory).fit()
        assert np.array_equal(run.weight, np.repeat(one_hot[None], M, axis=0))
        assert [row["prior_certainty"] for row in run.rows] == [1.0] * 3

    def test_fixed_it_stays_and_no_chain_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "answer_probabilities", lambda *_, **__: pytest.fail("a chain ran"))
        assert np.array_equal(make(dynamic_prior=False).fit().weight[1], mixed_prior().weight)


class TestValidation:
    def split(self) -> tuple[Tensor, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(3)
        condition = torch.randn(M, 40, P, generator=torch.Generator().manual_seed(4))
        return condition, rng.integers(0, C, 40), rng.integers(0, C, 40)

    def test_agreement_and_the_best_weights(self) -> None:
        condition, observed, target = self.split()
        states, found = [], []

        def evaluate(denoiser: Denoiser, row: dict[str, float]) -> None:
            states.append(copied_weights(denoiser))
            p = answer_probabilities(
                denoiser, denoiser.encode_condition(condition), torch.from_numpy(observed),
                settings().prediction_steps, torch.Generator().manual_seed(0), chains=1,
            )  # fmt: skip
            found.append(float((p.mean(0).argmax(-1).numpy() == target).mean()))

        run = make(validation=self.split(), diffusion_epochs=6, lr_diffusion=0.03).fit(evaluate)
        assert [row["agreement_validation_prior"] for row in run.rows] == found
        assert len(set(found)) > 1
        assert run.best_agreement == max(found)
        assert run.best_epoch == max(e + 1 for e, a in enumerate(found) if a == max(found))
        assert_same(run.best_weights, states[run.best_epoch - 1])

    def test_of_equal_epochs_the_later_one_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "answer_probabilities", lambda *_, **__: torch.eye(C)[None, [0] * 40])
        run = make(validation=self.split(), diffusion_epochs=4, dynamic_prior=False).fit()
        assert run.best_epoch == 4
        assert_same(run.best_weights, copied_weights(run.denoiser))

    def test_it_changes_no_training_and_without_it_no_epoch_is_best(self) -> None:
        alone, watched = make().fit(), make(validation=self.split()).fit()
        assert_same(watched.denoiser.state_dict(), alone.denoiser.state_dict())
        assert (alone.best_epoch, alone.best_weights) == (0, {})
        assert set(alone.rows[0]) == {"epoch", "loss", "prior_certainty", "seconds"}


class TestTheRun:
    def test_same_seed_same_numbers_whatever_the_callers_are(self) -> None:
        torch.manual_seed(1)
        before = torch.random.get_rng_state()
        first = make(diffusion_dropout=0.3).fit()
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(2)
        again = make(diffusion_dropout=0.3).fit()
        assert_same(copied_weights(first.denoiser), copied_weights(again.denoiser))
        assert np.array_equal(first.weight, again.weight)
        other = make(diffusion_dropout=0.3, seed=1).fit()
        assert not torch.equal(other.denoiser.out.weight, first.denoiser.out.weight)

    def test_the_denoiser_that_is_evaluated_and_left_is_the_averaged_one(self) -> None:
        states: list[dict[str, Tensor]] = []

        def evaluate(denoiser: Denoiser, row: dict[str, float]) -> None:
            states.append(copied_weights(denoiser))
            row["mine"] = row["epoch"] * 2

        run = make().fit(evaluate)
        assert [(row["epoch"], row["mine"]) for row in run.rows] == [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]
        assert_same(copied_weights(run.denoiser), states[-1])
        assert all(map(torch.equal, run.denoiser.parameters(), run.average.weights))
        assert not run.denoiser.training
        # With a horizon of one step nothing is averaged.
        assert not torch.equal(make(ema_epochs=1e-9).fit().denoiser.out.weight, run.denoiser.out.weight)

    @pytest.mark.parametrize("where", ["evaluation", "step"])
    def test_interrupted_it_leaves_a_usable_denoiser(
        self, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def evaluate(denoiser: Denoiser, row: dict[str, float]) -> None:
            if where == "evaluation" and row["epoch"] == 2:
                raise KeyboardInterrupt

        if where == "step":  # the second and last one of the second epoch
            interrupt(monkeypatch, Refinement, "_step", 4)
        run = make()
        untrained = copied_weights(run.denoiser)
        with pytest.raises(KeyboardInterrupt):
            run.fit(evaluate)
        assert [row["epoch"] for row in run.rows] == [1.0]
        assert all(map(torch.equal, run.denoiser.parameters(), run.average.weights))
        assert not torch.equal(run.denoiser.out.weight, untrained["out.weight"])
        assert not run.denoiser.training

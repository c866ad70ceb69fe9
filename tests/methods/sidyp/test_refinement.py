"""The second stage: its loss and the dynamic prior against the plain ones, and what it keeps."""

from __future__ import annotations

import math
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
from nlkit.methods.sidyp.posterior import answer_probabilities, refined
from nlkit.methods.sidyp.prior import Prior, candidates
from nlkit.methods.sidyp.refinement import Refinement, sample_labels

M, N, C, P = 2, 12, 3, 4
CPU = torch.device("cpu")
ROUNDS = 3


def settings(**more: Any) -> SiDyPConfig:
    small = {"branches": M, "hidden_size": 16, "denoiser_blocks": 1, "diffusion_dropout": 0.0,
             "diffusion_steps": 20, "sampling_steps": 3, "update_rounds": ROUNDS, "diffusion_epochs": 3,
             "diffusion_warmup": 0.0,
             "diffusion_batch_size": 8, "diffusion_coregularisation": 1.0, "dynamic_prior": True,
             "ema_epochs": 2.0, "chains": 2, "device": "cpu"}  # fmt: skip
    return SiDyPConfig.make("quick", **{**small, **more})


def prior_of(u: Any) -> Prior:
    weight, case = candidates(u, gamma=0.95, delta=0.85)
    n = len(weight)
    return Prior(weight, case, np.full((n, 1), -1), np.zeros(n, bool))


def mixed_prior(n: int = N, seed: int = 0) -> Prior:
    """Every third text is certain; some of the others have a class that is no candidate."""
    u = np.random.default_rng(seed).dirichlet(np.ones(C), n)
    u[::3] = np.eye(C)[np.arange(len(u[::3])) % C]
    u[1] = [0.55, 0.45, 0.0]
    return prior_of(u)


def certain_prior(n: int = N) -> Prior:
    return prior_of(np.eye(C)[np.arange(n) % C])


def make(prior: Prior | None = None, *, validation: Any = None, **more: Any) -> Refinement:
    prior = prior or mixed_prior()
    n = len(prior.weight)
    condition = torch.randn(M, n, P, generator=torch.Generator().manual_seed(1))
    observed = np.random.default_rng(2).integers(-1, C, n)
    return Refinement(condition, observed, prior, settings(**more), CPU, validation)


def state(denoiser: Denoiser) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in denoiser.state_dict().items()}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


class TestDrawnLabels:
    def test_each_label_is_drawn_as_often_as_it_weighs(self) -> None:
        weight = torch.tensor([0.0, 0.2, 0.5, 0.0, 0.3])
        uniform = (torch.arange(1000) + 0.5) / 1000
        found = sample_labels(weight.expand(1, 1000, -1), uniform)[0]
        assert torch.bincount(found, minlength=5).tolist() == [0, 200, 500, 0, 300]

    @given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1 - 2**-24]))
    def test_never_a_label_without_weight(self, seed: int, uniform: float) -> None:
        rng = np.random.default_rng(seed)
        weight = rng.random((M, 6, C)) * (rng.random((M, 6, C)) < 0.5) + 1e-3 * np.eye(C)[rng.integers(C)]
        w = torch.from_numpy(weight / weight.sum(-1, keepdims=True)).float()
        found = sample_labels(w, torch.full((6,), uniform))
        assert (w.gather(-1, found[..., None]) > 0).all()

    def test_branches_with_the_same_prior_draw_the_same_label(self) -> None:
        weight = torch.rand(1, 200, C, generator=torch.Generator().manual_seed(0)).expand(M, -1, -1)
        found = sample_labels(weight, torch.rand(200, generator=torch.Generator().manual_seed(1)))
        assert torch.equal(found[0], found[1])
        assert len(found.unique()) == C


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
        before = state(run.denoiser)
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
            # As published a label counts as much as it is believed.
            losses.append(entropy * weight[m].gather(-1, label[:, None])[:, 0] if weighted else entropy)
        apart = 0.0 if warm else plain.co_regularisation(torch.stack(logits))
        assert found == pytest.approx(float(torch.stack(losses).mean() + apart), rel=1e-4)

    def test_an_epoch_is_the_mean_of_its_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []

        def step(self: Refinement, index: Tensor, *_: Any) -> float:
            sizes.append(len(index))
            return float(len(index))

        monkeypatch.setattr(Refinement, "_step", step)
        run = make(diffusion_epochs=1).fit()
        assert sizes == [8, 4]
        assert run.rows[0]["loss"] == pytest.approx((8 * 8 + 4 * 4) / 12)
        assert run.rows[0]["prior_certainty"] == pytest.approx(run.weight.max(-1).mean())


def watched_steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], bool]]:
    """Let every step happen, and tell which texts it learnt from and whether it was of the warm-up."""
    seen: list[tuple[list[int], bool]] = []
    plain = Refinement._step

    def step(self: Refinement, index: Tensor, weight: Tensor, draws: Any, warm: bool) -> float:
        seen.append((index.tolist(), warm))
        return plain(self, index, weight, draws, warm)

    monkeypatch.setattr(Refinement, "_step", step)
    return seen


class TestWarmUp:
    def test_it_learns_from_certain_texts_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = watched_steps(monkeypatch)
        run = make(diffusion_epochs=5, diffusion_warmup=0.3, diffusion_batch_size=100).fit()
        assert [warm for _, warm in seen] == [True, True, False, False, False]
        certain = np.flatnonzero(run.certain).tolist()
        assert 0 < len(certain) < N
        for index, warm in seen:
            assert sorted(index) == (certain if warm else list(range(N)))
        # Neither the prior nor its certainty moves in the warm-up.
        sure = [row["prior_certainty"] for row in run.rows]
        assert sure[0] == sure[1] == pytest.approx(mixed_prior().weight.max(1).mean())
        assert sure[2] > sure[1]

    def test_it_learns_from_all_if_none_is_certain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = watched_steps(monkeypatch)
        nobody = prior_of(np.full((N, C), 1 / C))
        make(nobody, diffusion_epochs=2, diffusion_warmup=1.0, diffusion_batch_size=100).fit()
        assert [(sorted(index), warm) for index, warm in seen] == [(list(range(N)), True)] * 2


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
    def test_equals_the_plain_one_given_the_same_answers(
        self, memory: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers, prior = Answers(), mixed_prior()
        monkeypatch.setattr(module, "answer_probabilities", answers)
        run = make(prior, diffusion_epochs=2, prior_memory=memory).fit()
        assert len(answers.given) == 2 * ROUNDS
        open_ = np.flatnonzero(prior.case != "certain")
        for m in range(M):
            weight = torch.from_numpy(prior.weight)
            for epoch in range(2):
                weight = weight.clone() if memory else torch.from_numpy(prior.weight.copy())
                for answer in answers.given[epoch * ROUNDS : (epoch + 1) * ROUNDS]:
                    weight[open_] = plain.update_prior(weight[open_], torch.from_numpy(answer[m]), ROUNDS)
            np.testing.assert_allclose(run.weight[m], weight, atol=1e-12)
        np.testing.assert_allclose(run.weight.sum(-1), 1)
        assert (run.weight[:, prior.weight == 0] == 0).all()

    def test_what_is_learnt_is_the_moved_prior(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "answer_probabilities", Answers())
        given: list[Tensor] = []
        plain = Refinement._step

        def step(self: Refinement, index: Tensor, weight: Tensor, *rest: Any) -> float:
            given.append(weight[:, index.argsort()])
            return plain(self, index, weight, *rest)

        monkeypatch.setattr(Refinement, "_step", step)
        run = make(diffusion_epochs=1, diffusion_batch_size=100).fit()
        np.testing.assert_allclose(given[0], run.weight, atol=1e-6)
        assert not np.allclose(run.weight[0], mixed_prior().weight)

    @pytest.mark.parametrize("memory", [True, False])
    def test_a_one_hot_prior_is_a_fixed_point(self, memory: bool) -> None:
        prior = certain_prior()
        run = make(prior, prior_memory=memory).fit()
        assert np.array_equal(run.weight, np.repeat(prior.weight[None], M, axis=0))
        assert [row["prior_certainty"] for row in run.rows] == [1.0] * 3

    def test_one_hot_weights_stay_even_where_they_are_asked_about(self) -> None:
        certain = certain_prior()
        asked = Prior(certain.weight, np.full(N, "uncertain"), certain.neighbours, certain.suspect)
        assert np.array_equal(make(asked).fit().weight[0], certain.weight)

    def test_fixed_it_stays_and_nobody_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "answer_probabilities", lambda *_, **__: pytest.fail("it asked"))
        run = make(dynamic_prior=False).fit()
        assert np.array_equal(run.weight[1], mixed_prior().weight)

    def test_the_priors_of_the_neighbours_are_left_as_they_were(self) -> None:
        prior = mixed_prior()
        before = prior.weight.copy()
        make(prior).fit()
        assert np.array_equal(prior.weight, before)


class TestValidation:
    def split(self) -> tuple[Tensor, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(3)
        condition = torch.randn(M, 40, P, generator=torch.Generator().manual_seed(4))
        return condition, rng.integers(0, C, 40), rng.integers(0, C, 40)

    def test_agreement_and_the_best_weights(self) -> None:
        validation, states, found = self.split(), [], []

        def watch(denoiser: Denoiser, row: dict[str, float]) -> None:
            states.append(state(denoiser))
            condition, observed, target = validation
            p = answer_probabilities(
                denoiser, denoiser.encode_condition(condition), torch.from_numpy(observed),
                settings().prediction_steps, torch.Generator().manual_seed(0), chains=1,
            )  # fmt: skip
            found.append(float((p.mean(0).argmax(-1).numpy() == target).mean()))

        run = make(validation=validation, diffusion_epochs=6, lr_diffusion=0.03).fit(watch)
        assert [row["agreement_validation_prior"] for row in run.rows] == found
        assert len(set(found)) > 1
        assert run.best_agreement == max(found)
        assert run.best_epoch == max(e + 1 for e, a in enumerate(found) if a == max(found))
        assert_same(run.best_weights, states[run.best_epoch - 1])

    def test_of_equal_epochs_the_later_one_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "answer_probabilities", lambda *_, **__: torch.eye(C)[None, [0] * 40])
        run = make(validation=self.split(), diffusion_epochs=4, dynamic_prior=False).fit()
        assert run.best_epoch == 4
        assert_same(run.best_weights, state(run.denoiser))

    def test_it_does_not_change_the_training(self) -> None:
        assert_same(state(make(validation=self.split()).fit().denoiser), state(make().fit().denoiser))

    def test_without_it_no_epoch_is_best(self) -> None:
        run = make().fit()
        assert (run.best_epoch, run.best_weights) == (0, {})
        assert set(run.rows[0]) == {"epoch", "loss", "prior_certainty", "seconds"}


class TestTheRun:
    def test_same_seed_same_numbers_whatever_the_callers_are(self) -> None:
        torch.manual_seed(1)
        before = torch.random.get_rng_state()
        first = make(diffusion_dropout=0.3).fit()
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(2)
        again = make(diffusion_dropout=0.3).fit()
        assert_same(state(first.denoiser), state(again.denoiser))
        assert np.array_equal(first.weight, again.weight)
        other = make(diffusion_dropout=0.3, seed=1).fit()
        assert not torch.equal(other.denoiser.out.weight, first.denoiser.out.weight)

    def test_the_denoiser_that_is_left_is_the_averaged_one(self) -> None:
        states: list[dict[str, Tensor]] = []
        run = make().fit(lambda denoiser, row: states.append(state(denoiser)))
        assert_same(state(run.denoiser), states[-1])
        assert all(map(torch.equal, run.denoiser.parameters(), run.average.weights))
        assert not run.denoiser.training
        # With a horizon of one step nothing is averaged.
        assert not torch.equal(make(ema_epochs=1e-9).fit().denoiser.out.weight, run.denoiser.out.weight)

    @pytest.mark.parametrize("n", [1, 9])
    def test_a_batch_of_one(self, n: int) -> None:
        run = make(prior_of(np.tile([0.5, 0.3, 0.2], (n, 1)))).fit()
        assert run.weight.shape == (M, n, C)
        np.testing.assert_allclose(run.weight.sum(-1), 1)
        assert all(math.isfinite(row["loss"]) for row in run.rows)

    def test_watch_writes_into_the_history(self) -> None:
        run = make().fit(lambda denoiser, row: row.update(mine=row["epoch"] * 2))
        assert [row["mine"] for row in run.rows] == [2.0, 4.0, 6.0]
        assert [row["epoch"] for row in run.rows] == [1.0, 2.0, 3.0]

    @pytest.mark.parametrize("where", ["watch", "step"])
    def test_interrupted_it_leaves_a_usable_denoiser(
        self, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain, calls = Refinement._step, 0

        def step(self: Refinement, *arguments: Any) -> float:
            nonlocal calls
            calls += 1
            if where == "step" and calls == 4:  # the second and last step of the second epoch
                raise KeyboardInterrupt
            return plain(self, *arguments)

        def watch(denoiser: Denoiser, row: dict[str, float]) -> None:
            if where == "watch" and row["epoch"] == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(Refinement, "_step", step)
        run = make()
        untrained = state(run.denoiser)
        with pytest.raises(KeyboardInterrupt):
            run.fit(watch)
        assert [row["epoch"] for row in run.rows] == [1.0]
        assert all(map(torch.equal, run.denoiser.parameters(), run.average.weights))
        assert not torch.equal(run.denoiser.out.weight, untrained["out.weight"])
        assert not run.denoiser.training
        p_observed = torch.full((M, N, C), 1 / C)
        p = refined(run.denoiser, run.condition, p_observed, run.observed.numpy(), run.config)
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("settings_", "right"),
    [({"weighted_loss": True, "prediction_steps": 5}, 0.85), ({"update_rounds": 6}, 0.85)],
)
def test_it_corrects_labels_that_the_condition_contradicts(settings_: dict[str, Any], right: float) -> None:
    rng = np.random.default_rng(0)
    n = 300
    y = rng.integers(0, C, n)
    noisy = np.where(rng.random(n) < 0.4, (y + 1) % C, y)
    # Half of the texts are certain, and right; the others' priors know nothing.
    u = np.where((np.arange(n) % 2 == 0)[:, None], np.eye(C)[y], 1 / C)
    condition = torch.from_numpy(3 * np.eye(C)[y] + rng.normal(size=(n, C))).float().expand(M, -1, -1)
    config = settings(
        diffusion_epochs=12, hidden_size=32, lr_diffusion=0.01, diffusion_batch_size=32, sampling_steps=5,
        diffusion_warmup=0.25, **settings_,
    )  # fmt: skip
    run = Refinement(condition, noisy, prior_of(u), config, CPU).fit()
    open_ = np.arange(n) % 2 == 1
    moved = run.weight.mean(0).argmax(1)
    assert (moved == y)[open_].mean() > 0.85
    found = refined(run.denoiser, condition, torch.full((M, n, C), 1 / C), noisy, config).argmax(1)
    assert (found == y)[open_].mean() > right
    assert (noisy == y)[open_].mean() < 0.7

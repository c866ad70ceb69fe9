"""SiDyP's first stage: M heads at once equal M heads in a loop, what keeps them together, trajectories."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nlkit.methods.sidyp import branches
from nlkit.methods.sidyp.branches import (
    BranchedClassifier,
    CoRegularisedLoss,
    Snapshots,
    TrajectoryRecorder,
    snapshot_epochs,
)
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.models.batching import Batch, Inputs
from nlkit.models.classifiers import Output
from nlkit.models.prediction import predict
from nlkit.models.saving import Tensors
from nlkit.training import Checkpoint, Trainer, losses
from tests.reference import branches as twin

M, N, C, D = 3, 60, 3, 8
CPU = torch.device("cpu")


class Words(nn.Module):
    """The mean of word vectors: an encoder that learns, and has no file."""

    width = D

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, D)

    def forward(self, batch: Batch) -> torch.Tensor:
        weight = batch.mask.unsqueeze(-1).float()
        return (self.words(batch.values.long()) * weight).sum(1) / weight.sum(1)


def classifier(seed: int = 0, count: int = M, dropout: float = 0.2) -> BranchedClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BranchedClassifier(Words(), C, count, dropout=dropout)  # type: ignore[arg-type]


def samples(n: int = N, seed: int = 0) -> tuple[Inputs, np.ndarray]:
    """Texts whose words tell the class, and labels of which 40 % are wrong."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, C, n)
    texts = [(rng.integers(1, 7, rng.integers(1, 9)) + 6 * c).astype(np.int32) for c in y]
    return Inputs(texts), np.where(rng.random(n) < 0.4, (y + rng.integers(1, C, n)) % C, y)


def make(epochs: int, *, model: BranchedClassifier | None = None, **settings: Any) -> Trainer:
    inputs, label = samples()
    model = model or classifier()
    return Trainer(
        {"branches": model}, {"branches": inputs}, {"branches": model.parameter_groups(0.02, 0.02)},
        CoRegularisedLoss(label), epochs=epochs, **{"batch_size": 16, "device": "cpu", **settings},
    )  # fmt: skip


def run(
    trainer: Trainer, recorder: TrajectoryRecorder | None = None, *, alpha: float = 5.0, folder: Any = None,
    until: int = 99,
) -> Trainer:  # fmt: skip
    """Train as SiDyP's first stage does; leave the loop in the epoch after `until`."""
    trainer.loss.weight = alpha  # type: ignore[attr-defined]
    with trainer.running(Checkpoint(folder, "run") if folder else None, recorder=recorder) as epochs:
        for _ in epochs:
            if recorder:
                recorder.record(trainer)
            if trainer.epoch > until:
                break
    return trainer


def apart(trainer: Trainer) -> float:
    """How far the branches' predictions of the training texts are from their mean."""
    p = torch.from_numpy(trainer.predict("branches", trainer.inputs["branches"]).probability)
    return float(losses.co_regularisation(p.log().transpose(0, 1)).mean())


class TestOneComputation:
    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("index", [[0], [5, 3, 8, 1]])
    def test_equals_heads_in_a_loop(self, count: int, index: list[int]) -> None:
        model, (inputs, _) = classifier(count=count).eval(), samples()
        batch = inputs.batch(np.array(index))
        found = model(batch)
        embedding, logits = twin.outputs(model, batch)
        assert found.embedding.shape == (len(index), count, D)
        assert found.logits.shape == (len(index), count, C)
        torch.testing.assert_close(found.embedding.transpose(0, 1), embedding)
        torch.testing.assert_close(found.logits.transpose(0, 1), logits)

    def test_predictions_equal_those_of_heads_in_a_loop(self) -> None:
        model, (inputs, _) = classifier(), samples()
        found = predict(model, inputs, CPU, batch_size=7)
        for i in range(N):
            embedding, logits = twin.outputs(model, inputs.batch(np.array([i])))
            np.testing.assert_allclose(found.embedding[i], embedding[:, 0].detach(), atol=1e-5)
            np.testing.assert_allclose(found.probability[i], logits[:, 0].detach().softmax(-1), atol=1e-5)
        np.testing.assert_allclose(found.class_probability(), found.probability.mean(1), atol=1e-6)

    @given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 6), st.floats(0, 10))
    def test_the_loss_equals_its_twin(self, seed: int, count: int, size: int, weight: float) -> None:
        rng = np.random.default_rng(seed)
        label = rng.integers(-1, C, 9)
        logits = torch.from_numpy(rng.normal(0, 2, (size, count, C)))
        index = rng.permutation(9)[:size]
        objective = CoRegularisedLoss(label)
        objective.weight = weight
        found, parts = objective("branches", None, Output(logits, logits), index, rng)
        wanted = twin.loss(logits.transpose(0, 1).tolist(), label[index].tolist(), weight)
        np.testing.assert_allclose(float(found), wanted[0], atol=1e-9)
        np.testing.assert_allclose([float(part) for part in parts.values()], wanted, atol=1e-9)
        assert list(parts) == ["loss", "loss_ce", "loss_coreg"]

    def test_each_branch_learns_as_it_would_alone(self) -> None:
        """Without co-regularisation, a branch's gradient is 1/M of that of the same head by itself."""
        model, (inputs, label) = classifier(dropout=0.0), samples()
        index = np.arange(12)
        objective = CoRegularisedLoss(label)
        output = model(inputs.batch(index))
        objective("branches", model, output, index, np.random.default_rng(0))[0].backward()
        text = model.encoder(inputs.batch(index)).detach()
        for m, head in enumerate(twin.heads(model)):
            nn.functional.cross_entropy(head(text), torch.from_numpy(label[index])).backward()
            torch.testing.assert_close(model.hidden.weight.grad[m].T * M, head[0].weight.grad)
            torch.testing.assert_close(model.out.weight.grad[m].T * M, head[2].weight.grad)
            torch.testing.assert_close(model.out.bias.grad[m, 0] * M, head[2].bias.grad)

    def test_the_encoder_learns_from_all_branches(self) -> None:
        model, (inputs, _) = classifier(), samples()
        for m in range(M):
            model.zero_grad()
            model(inputs.batch(np.arange(4))).logits[:, m].square().sum().backward()
            assert model.encoder.words.weight.grad.abs().sum() > 0
            of_branches = model.hidden.weight.grad.abs().sum((1, 2))
            assert (of_branches > 0).tolist() == [k == m for k in range(M)]

    def test_branches_have_weights_and_dropout_of_their_own(self) -> None:
        model, (inputs, _) = classifier(dropout=0.5), samples()
        for layer in (model.hidden, model.out):
            for m in range(1, M):
                assert not torch.allclose(layer.weight[m], layer.weight[0])
        with torch.no_grad():  # the same weights in all branches: what is left to differ is dropout
            for parameter in [*model.hidden.parameters(), *model.out.parameters()]:
                parameter.copy_(parameter[:1].expand_as(parameter))
        batch = inputs.batch(np.arange(4))
        torch.manual_seed(0)
        found = model.train()(batch)
        calm = model.eval()(batch)
        for m in range(1, M):
            assert not torch.allclose(found.embedding[:, m], found.embedding[:, 0])
            assert not torch.allclose(found.logits[:, m], found.logits[:, 0])
            torch.testing.assert_close(calm.logits[:, m], calm.logits[:, 0])

    def test_heads_are_in_float32_whatever_the_encoder_is_in(self) -> None:
        model, (inputs, _) = classifier().eval(), samples()
        with torch.autocast("cpu", torch.bfloat16):
            found = model(inputs.batch(np.arange(4)))
        assert found.embedding.dtype == found.logits.dtype == torch.float32

    def test_heads_learn_faster_than_the_encoder_and_a_frozen_one_has_no_group(self) -> None:
        model = classifier()
        slow, fast = model.parameter_groups(1e-5, 1e-3)
        assert [slow["lr"], fast["lr"]] == [1e-5, 1e-3]
        assert sum(p.numel() for g in (slow, fast) for p in g["params"]) == sum(  # type: ignore[attr-defined]
            p.numel() for p in model.parameters()
        )
        model.encoder.requires_grad_(False)
        assert [g["lr"] for g in model.parameter_groups(1e-5, 1e-3)] == [1e-3]


class TestMissingLabels:
    def test_they_do_not_change_the_loss_of_others(self) -> None:
        _, label = samples()
        holes = label.copy()
        holes[[1, 4]] = -1
        logits = torch.randn(6, M, C, generator=torch.Generator().manual_seed(0), requires_grad=True)
        every, known = np.arange(6), np.array([0, 2, 3, 5])
        rng = np.random.default_rng(0)
        objective = CoRegularisedLoss(holes)
        loss, parts = objective("branches", None, Output(logits, logits), every, rng)
        full = CoRegularisedLoss(label)
        alone, wanted = full("branches", None, Output(logits[known], logits[known]), known, rng)
        torch.testing.assert_close(parts["loss_ce"], wanted["loss_ce"])
        (got,) = torch.autograd.grad(loss, logits)
        (expected,) = torch.autograd.grad(alone, logits)
        torch.testing.assert_close(got, expected)
        assert (got[[1, 4]] == 0).all()

    def test_they_are_still_co_regularised(self) -> None:
        logits = torch.randn(4, M, C, generator=torch.Generator().manual_seed(0), requires_grad=True)
        objective = CoRegularisedLoss(np.full(4, -1))
        objective.weight = 2.0
        loss, parts = objective(
            "branches", None, Output(logits, logits), np.arange(4), np.random.default_rng(0)
        )
        assert parts["loss_ce"] == 0.0
        torch.testing.assert_close(parts["loss"], 2 * parts["loss_coreg"])
        loss.backward()
        assert logits.grad is not None
        assert (logits.grad.abs().sum((1, 2)) > 0).all()


class TestCoRegularisation:
    @pytest.mark.parametrize(
        ("epochs", "warmup", "wanted"),
        [(4, 0.0, [5, 5, 5, 5]), (5, 0.1, [0, 5, 5, 5, 5]), (5, 0.3, [0, 0, 5, 5, 5]), (3, 1.0, [0, 0, 0])],
    )
    def test_it_is_off_in_the_warm_up(self, epochs: int, warmup: float, wanted: list[float]) -> None:
        config = SiDyPConfig(epochs=epochs, coregularisation=5, coregularisation_warmup=warmup)
        assert [config.coregularisation_at(epoch) for epoch in range(epochs)] == wanted

    def test_it_keeps_the_branches_together(self) -> None:
        assert apart(run(make(15))) < 0.3 * apart(run(make(15), alpha=0.0))


class TestTrajectories:
    @pytest.mark.parametrize("ema_epochs", [0.0, 1.0])
    def test_they_hold_what_the_averaged_weights_say(self, ema_epochs: float) -> None:
        inputs, _ = samples()
        other, _ = samples(11, seed=1)
        recorder = TrajectoryRecorder("branches", {"train": inputs, "other": other}, [1, 3])
        trainer, seen = make(3, ema_epochs=ema_epochs), []
        with trainer.running() as epochs:
            for _ in epochs:
                recorder.record(trainer)
                # The averaged weights, in another way: the state dictionary inside the block.
                with trainer.averages["branches"].used() if ema_epochs else nullcontext():
                    state = trainer.models["branches"].state_dict()
                    seen.append({key: value.clone() for key, value in state.items()})
        assert sorted(recorder.weights) == [1, 3]
        for split, part in (("train", inputs), ("other", other)):
            z, p = recorder.trajectory(split), recorder.dynamics(split)
            assert z.shape == (M, 3, len(part), D)
            assert p.shape == (M, 3, len(part), C)
            assert z.dtype == p.dtype == np.float16
            np.testing.assert_allclose(p.astype(np.float64).sum(-1), 1, atol=3e-3)
            for epoch, weights in enumerate(seen):
                model = classifier(seed=9)
                model.load_state_dict(weights)
                found = predict(model, part, CPU)
                np.testing.assert_allclose(z[:, epoch], found.embedding.transpose(1, 0, 2), atol=2e-3)
                np.testing.assert_allclose(p[:, epoch], found.probability.transpose(1, 0, 2), atol=1e-3)
            now = trainer.predict("branches", part, averaged=True)
            assert np.array_equal(z[:, -1], now.embedding.astype(np.float16).transpose(1, 0, 2))
        for epoch, weights in recorder.weights.items():
            for key, value in weights.items():
                assert torch.equal(value, seen[epoch - 1][key]), key
        # Copies: the model goes on, they do not; the model itself has its own weights back.
        assert not torch.equal(recorder.weights[1]["out.weight"], recorder.weights[3]["out.weight"])
        averaged = torch.equal(
            trainer.models["branches"].state_dict()["out.weight"], recorder.weights[3]["out.weight"]
        )
        assert averaged == (ema_epochs == 0.0)

    def test_recording_does_not_change_the_training(self) -> None:
        inputs, _ = samples()
        recorder = TrajectoryRecorder("branches", {"train": inputs}, [1, 2])
        watched = run(make(2, ema_epochs=1.0), recorder).models["branches"].state_dict()
        alone = run(make(2, ema_epochs=1.0)).models["branches"].state_dict()
        for key, value in alone.items():
            assert torch.equal(watched[key], value), key

    def test_resumed_it_is_the_same_trajectory(self, tmp_path: Path) -> None:
        inputs, _ = samples()

        def recorded(folder: Path, until: int = 99) -> TrajectoryRecorder:
            recorder = TrajectoryRecorder("branches", {"train": inputs}, [1, 2, 4])
            run(make(4, ema_epochs=1.0), recorder, folder=folder, until=until)
            return recorder

        whole = recorded(tmp_path / "whole")
        recorded(tmp_path / "parts", until=2)
        resumed = recorded(tmp_path / "parts")
        assert np.array_equal(resumed.trajectory("train"), whole.trajectory("train"))
        assert np.array_equal(resumed.dynamics("train"), whole.dynamics("train"))
        assert sorted(resumed.weights) == sorted(whole.weights) == [1, 2, 4]
        for epoch, weights in whole.weights.items():
            assert resumed.weights[epoch].keys() == weights.keys()
            for key, value in weights.items():
                assert torch.equal(resumed.weights[epoch][key], value), (epoch, key)

    @given(st.integers(1, 40), st.integers(1, 10))
    def test_kept_epochs(self, epochs: int, points: int) -> None:
        kept = snapshot_epochs(epochs, points)
        assert kept[-1] == epochs
        assert kept[0] == (1 if points > 1 else epochs)
        assert len(kept) == min(points, epochs)
        # Evenly spaced, as far as whole epochs allow.
        gaps = np.diff(kept)
        assert not len(gaps) or 1 <= gaps.min() <= gaps.max() <= gaps.min() + 1

    def test_kept_epochs_by_example(self) -> None:
        assert snapshot_epochs(10, 4) == [1, 4, 7, 10]
        assert snapshot_epochs(3, 8) == [1, 2, 3]


class TestSnapshots:
    def states(self) -> list[Tensors]:
        return [classifier(seed).state_dict() for seed in (1, 2)]

    def test_round_trip(self) -> None:
        states = self.states()
        kept = Snapshots(states)
        # Filled with other numbers first, as loading does.
        again = Snapshots([classifier(7).state_dict()] * 2)
        again.load_state_dict(kept.state_dict())
        assert again.count == 2
        for snapshots in (kept, again):
            for number, state in enumerate(states):
                found = snapshots.state_of(number)
                assert found.keys() == state.keys()
                assert all(torch.equal(found[key], state[key]) for key in state)
        assert not list(kept.parameters())

    def test_they_are_copies(self) -> None:
        states = self.states()
        kept, before = Snapshots(states), states[0]["out.weight"].clone()
        states[0]["out.weight"].zero_()
        assert torch.equal(kept.state_of(0)["out.weight"], before)

    def test_ten_and_more_are_told_apart(self) -> None:
        kept = Snapshots([{"w": torch.tensor([float(n)])} for n in range(12)])
        assert [kept.state_of(n)["w"].item() for n in range(12)] == list(range(12))

    def test_each_one_predicts_and_the_model_keeps_its_own_weights(self) -> None:
        model, (inputs, _) = classifier(5), samples(9)
        own = {k: v.clone() for k, v in model.state_dict().items()}
        found = Snapshots(self.states()).predictions(model, inputs, CPU, "no")
        for seed, prediction in zip((1, 2, 5), found, strict=True):
            wanted = predict(classifier(seed), inputs, CPU)
            assert np.array_equal(prediction.probability, wanted.probability)
            assert np.array_equal(prediction.embedding, wanted.embedding)
        assert all(torch.equal(value, own[key]) for key, value in model.state_dict().items())

    def test_also_when_a_prediction_is_interrupted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model, (inputs, _) = classifier(5), samples(9)
        own = {k: v.clone() for k, v in model.state_dict().items()}

        def stop(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(branches, "predict", stop)
        with pytest.raises(KeyboardInterrupt):
            Snapshots(self.states()).predictions(model, inputs, CPU, "no")
        assert all(torch.equal(value, own[key]) for key, value in model.state_dict().items())

    def test_none_is_the_model_itself(self) -> None:
        model, (inputs, _) = classifier(5), samples(9)
        (found,) = Snapshots([]).predictions(model, inputs, CPU, "no")
        assert np.array_equal(found.probability, predict(model, inputs, CPU).probability)

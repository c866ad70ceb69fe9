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
from torch import Tensor, nn

from nlkit.methods.sidyp import branches, plain
from nlkit.methods.sidyp.branches import (
    BranchedClassifier,
    CoRegularisedLoss,
    Snapshots,
    TrajectoryRecorder,
    snapshot_epochs,
)  # fmt: skip
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.models.batching import Batch
from nlkit.models.prediction import predict
from nlkit.training import Checkpoint, Trainer, losses
from nlkit.training.trainer import copied_weights
from tests.methods.helpers import interrupt
from tests.training.test_trainer import CLASSES, Words, assert_same, samples

M, C, D = 3, CLASSES, Words.width
CPU = torch.device("cpu")
F = nn.functional


def classifier(seed: int = 0, count: int = M, dropout: float = 0.2) -> BranchedClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BranchedClassifier(Words(), C, count, dropout=dropout)  # type: ignore[arg-type]


def make(epochs: int, **settings: Any) -> Trainer:
    (inputs, label), model, rng = samples(), classifier(), np.random.default_rng(0)
    wrong = rng.random(len(label)) < 0.4  # or all branches would say the same
    label = np.where(wrong, (label + rng.integers(1, C, len(label))) % C, label)
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


def in_a_loop(model: BranchedClassifier, batch: Batch) -> tuple[Tensor, Tensor]:
    """Embeddings (M, B, D) and logits (M, B, C) of one head after the other, without dropout."""
    text, embedding, logits = model.encoder(batch), [], []
    for m in range(model.branches):
        embedding.append(F.gelu(F.linear(text, model.hidden.weight[m].T, model.hidden.bias[m, 0])))
        logits.append(F.linear(embedding[-1], model.out.weight[m].T, model.out.bias[m, 0]))
    return torch.stack(embedding), torch.stack(logits)


def naive_losses(logits: Tensor, label: np.ndarray, alpha: float) -> list[Tensor]:
    """Loss, mean cross-entropy of the labels that are there, and co-regularisation, of logits (M, B, C)."""
    known, y = label >= 0, torch.from_numpy(label)
    ce = sum(F.cross_entropy(z[known], y[known]) for z in logits) / len(logits) if known.any() else 0.0
    apart = plain.co_regularisation(logits)
    return [ce + alpha * apart, torch.as_tensor(ce), apart]


class TestOneComputation:
    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("index", [[0], [5, 3, 8, 1]])
    def test_equals_heads_in_a_loop(self, count: int, index: list[int]) -> None:
        model, (inputs, _) = classifier(count=count), samples()
        embedding, logits = (part.transpose(0, 1) for part in in_a_loop(model, inputs.batch(np.array(index))))
        found = model.eval()(inputs.batch(np.array(index)))
        torch.testing.assert_close(found.embedding, embedding)
        torch.testing.assert_close(found.logits, logits)
        whole = predict(model, inputs, CPU, batch_size=7)
        np.testing.assert_allclose(whole.embedding[index], embedding.detach(), atol=1e-5)
        np.testing.assert_allclose(whole.probability[index], logits.detach().softmax(-1), atol=1e-5)
        np.testing.assert_allclose(whole.class_probability(), whole.probability.mean(1), atol=1e-6)

    @given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 6), st.floats(0, 10))
    def test_loss_and_gradients_equal_those_of_a_loop(
        self, seed: int, count: int, size: int, alpha: float
    ) -> None:
        rng = np.random.default_rng(seed)
        label, index = rng.integers(-1, C, 9), rng.permutation(9)[:size]
        model, inputs = classifier(seed, count, dropout=0.0), samples(9)[0]
        loss = CoRegularisedLoss(label)
        loss.weight = alpha
        found, parts = loss("branches", model, model(inputs.batch(index)), index, rng)
        wanted = naive_losses(in_a_loop(model, inputs.batch(index))[1], label[index], alpha)
        assert list(parts) == ["loss", "loss_ce", "loss_coreg"]
        for part, naive in zip((found, *parts.values()), (wanted[0], *wanted), strict=True):
            torch.testing.assert_close(part, naive, atol=1e-6, rtol=1e-4)
        weights = list(model.parameters())  # the encoder's too
        for one, other in zip(*(torch.autograd.grad(v, weights) for v in (found, wanted[0])), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)

    def test_branches_have_weights_and_dropout_of_their_own(self) -> None:
        model, batch = classifier(dropout=0.5), samples()[0].batch(np.arange(4))
        for layer in (model.hidden, model.out):
            assert not any(torch.allclose(layer.weight[m], layer.weight[0]) for m in range(1, M))
        with torch.no_grad():  # the same weights in all branches: what is left to differ is dropout
            for parameter in [*model.hidden.parameters(), *model.out.parameters()]:
                parameter.copy_(parameter[:1].expand_as(parameter))
        torch.manual_seed(0)
        found, calm = model.train()(batch), model.eval()(batch)
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
        groups: Any = model.parameter_groups(1e-5, 1e-3)
        assert [g["lr"] for g in groups] == [1e-5, 1e-3]
        sizes = [p.numel() for g in groups for p in g["params"]]
        assert sum(sizes) == sum(p.numel() for p in model.parameters())
        model.encoder.requires_grad_(False)
        assert [g["lr"] for g in model.parameter_groups(1e-5, 1e-3)] == [1e-3]


class TestCoRegularisation:
    @pytest.mark.parametrize(
        ("epochs", "warmup", "wanted"),
        [(4, 0.0, [5, 5, 5, 5]), (5, 0.1, [0, 5, 5, 5, 5]), (5, 0.3, [0, 0, 5, 5, 5]), (3, 1.0, [0, 0, 0])],
    )
    def test_it_is_off_in_the_warm_up(self, epochs: int, warmup: float, wanted: list[float]) -> None:
        config = SiDyPConfig(epochs=epochs, coregularisation=5, coregularisation_warmup=warmup)
        assert [config.coregularisation_at(epoch) for epoch in range(epochs)] == wanted

    def test_it_keeps_the_branches_together(self) -> None:
        def apart(alpha: float) -> float:
            trainer = run(make(15), alpha=alpha)
            p = torch.from_numpy(trainer.predict("branches", trainer.inputs["branches"]).probability)
            return float(losses.co_regularisation(p.log().transpose(0, 1)).mean())

        assert apart(5.0) < 0.3 * apart(0.0)


class TestTrajectories:
    @pytest.mark.parametrize("ema_epochs", [0.0, 1.0])
    def test_they_hold_what_the_averaged_weights_say(self, ema_epochs: float) -> None:
        splits = {"train": samples()[0], "other": samples(11, seed=1)[0]}
        recorder, trainer = TrajectoryRecorder("branches", splits, [1, 3]), make(3, ema_epochs=ema_epochs)
        model, seen = trainer.models["branches"], []
        with trainer.running() as epochs:
            for _ in epochs:
                recorder.record(trainer)
                # The averaged weights, in another way: the state dictionary inside the block.
                with trainer.averages["branches"].used() if ema_epochs else nullcontext():
                    seen.append(copied_weights(model))
        for split, part in splits.items():
            z, p = recorder.trajectory(split), recorder.dynamics(split)
            assert z.shape == (M, 3, len(part), D)
            assert z.dtype == p.dtype == np.float16
            for epoch, weights in enumerate(seen):
                other = classifier(seed=9)
                other.load_state_dict(weights)
                found = predict(other, part, CPU)
                np.testing.assert_allclose(z[:, epoch], found.embedding.transpose(1, 0, 2), atol=2e-3)
                np.testing.assert_allclose(p[:, epoch], found.probability.transpose(1, 0, 2), atol=1e-3)
        assert sorted(recorder.weights) == [1, 3]
        for epoch, weights in recorder.weights.items():
            assert_same(weights, seen[epoch - 1])
        # Copies: the model goes on, they do not; the model itself has its own weights back.
        assert not torch.equal(recorder.weights[1]["out.weight"], recorder.weights[3]["out.weight"])
        averaged = torch.equal(model.state_dict()["out.weight"], recorder.weights[3]["out.weight"])
        assert averaged == (ema_epochs == 0.0)

    def test_recording_does_not_change_the_training(self) -> None:
        recorder = TrajectoryRecorder("branches", {"train": samples()[0]}, [1, 2])
        recorded, alone = run(make(2, ema_epochs=1.0), recorder), run(make(2, ema_epochs=1.0))
        assert_same(recorded.models["branches"].state_dict(), alone.models["branches"].state_dict())

    def test_resumed_it_is_the_same_trajectory(self, tmp_path: Path) -> None:
        def recorded(folder: str, until: int = 99) -> dict[str, Tensor]:
            recorder = TrajectoryRecorder("branches", {"train": samples()[0]}, [1, 2, 4])
            run(make(4, ema_epochs=1.0), recorder, folder=tmp_path / folder, until=until)
            return recorder.state()[0]

        recorded("parts", until=2)
        whole = recorded("whole")
        assert {"z.train", "p.train", "w.1.out.weight", "w.2.out.weight", "w.4.out.weight"} <= whole.keys()
        assert len(whole["z.train"]) == len(whole["p.train"]) == 4
        assert_same(recorded("parts"), whole)

    @given(st.integers(1, 40), st.integers(1, 10))
    def test_kept_epochs(self, epochs: int, points: int) -> None:
        kept = snapshot_epochs(epochs, points)
        assert kept[-1] == epochs
        assert kept[0] == (1 if points > 1 else epochs)
        assert len(kept) == min(points, epochs)
        # Evenly spaced, as far as whole epochs allow.
        gaps = np.diff(kept)
        assert not len(gaps) or 1 <= gaps.min() <= gaps.max() <= gaps.min() + 1


class TestSnapshots:
    def test_round_trip_of_copies(self) -> None:
        states = [copied_weights(classifier(seed)) for seed in range(11)]  # 1 and 10 are told apart
        kept = Snapshots(states)
        # Filled with other numbers first, as loading does.
        again = Snapshots([classifier(77).state_dict()] * 11)
        again.load_state_dict(kept.state_dict())
        before = copied_weights(classifier(0))
        states[0]["out.weight"].zero_()
        for snapshots in (kept, again):
            assert_same(snapshots.state_of(0), before)
            for number in range(1, 11):
                assert_same(snapshots.state_of(number), states[number])
        assert not list(kept.parameters())

    @pytest.mark.parametrize("seeds", [(), (1, 2)])
    def test_each_one_predicts_and_the_model_keeps_its_own_weights(
        self, seeds: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model, (inputs, _) = classifier(5), samples(9)
        snapshots = Snapshots([classifier(seed).state_dict() for seed in seeds])
        own = copied_weights(model)
        found = snapshots.predictions(model, inputs, CPU, "no")
        for seed, prediction in zip((*seeds, 5), found, strict=True):
            wanted = predict(classifier(seed), inputs, CPU)
            assert np.array_equal(prediction.probability, wanted.probability)
            assert np.array_equal(prediction.embedding, wanted.embedding)
        assert_same(copied_weights(model), own)
        interrupt(monkeypatch, branches, "predict")
        with pytest.raises(KeyboardInterrupt):
            snapshots.predictions(model, inputs, CPU, "no")
        assert_same(copied_weights(model), own)

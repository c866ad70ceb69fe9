from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from nlkit.models.batching import Batch, Inputs
from nlkit.models.classifiers import Output
from nlkit.training import Checkpoint, DynamicsRecorder, Interrupted, Trainer, losses

N, CLASSES = 90, 3


class Words(nn.Module):
    """The mean of word vectors: an encoder that learns, and has no file."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, self.width)

    def forward(self, batch: Batch) -> torch.Tensor:
        weight = batch.mask.unsqueeze(-1).float()
        return (self.words(batch.values.long()) * weight).sum(1) / weight.sum(1)


class Tiny(nn.Module):
    """Words to logits, with dropout so that random numbers matter."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.encoder, self.head = Words(), nn.Linear(Words.width, CLASSES)
        self.dropout = nn.Dropout(0.2)

    def forward(self, batch: Batch) -> Output:
        embedding = self.encoder(batch)
        return Output(embedding, self.classify(embedding))

    def classify(self, embedding: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(embedding))


def samples(n: int = N, seed: int = 0) -> tuple[Inputs, np.ndarray]:
    """Texts of random length whose words tell the class."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, n)
    texts = [(rng.integers(1, 7, rng.integers(1, 9)) + 6 * y).astype(np.int32) for y in label]
    return Inputs(texts), label


class CrossEntropy:
    """Draws from `rng`, too, so that its state matters."""

    def __init__(self, label: np.ndarray) -> None:
        self.label = torch.from_numpy(label)
        self.calls = 0

    def __call__(self, name: str, model: Any, output: Output, index: Any, rng: Any) -> Any:
        self.calls += 1
        weight = torch.from_numpy(rng.random(len(index))).float()
        loss = (weight * losses.cross_entropy(output.logits, self.label[index])).mean()
        return loss, {"loss": loss}


def make(epochs: int = 5, *, names: tuple[str, ...] = ("a", "b"), **settings: Any) -> Trainer:
    inputs, label = samples()
    models = {name: Tiny(seed) for seed, name in enumerate(names)}
    groups: Any = {name: [{"params": list(m.parameters()), "lr": 0.02}] for name, m in models.items()}
    settings = {"batch_size": 16, "device": "cpu", **settings}
    loss = settings.pop("loss", None) or CrossEntropy(label)
    return Trainer(models, dict.fromkeys(names, inputs), groups, loss, epochs=epochs, **settings)


def run(
    trainer: Trainer, folder: Path | None = None, *, until: int = 99, identity: str = "run",
    then: Callable[[], None] = lambda: None, **parts: Any,
) -> Trainer:  # fmt: skip
    """Train, as a method's fit does, with the dynamics recorded; leave the loop after epoch `until`."""
    checkpoint = Checkpoint(folder, identity) if folder else None
    with trainer.running(checkpoint, **parts) as epochs:
        for _ in epochs:
            for part in parts.values():
                part.record(**{name: trainer.predict(name, averaged=True) for name in trainer.models})
            then()
            if trainer.epoch > until:
                break  # as if killed: this epoch is in no checkpoint
    return trainer


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    models = trainer.models.items()
    return {f"{name}.{key}": v.clone() for name, model in models for key, v in model.state_dict().items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


def plain_history(trainer: Trainer) -> Any:
    return trainer.history.drop(columns="seconds")


def test_learning_happens() -> None:
    trainer = run(make(12))
    history = trainer.history
    assert history["epoch"].tolist() == list(range(1, 13))
    for name in ("a", "b"):
        assert history[f"loss_{name}"].iloc[-1] < 0.5 * history[f"loss_{name}"].iloc[0]
    assert (trainer.predict("a").probability.argmax(1) == samples()[1]).mean() > 0.95


def test_the_loss_of_an_epoch_is_the_mean_over_samples() -> None:
    class One(CrossEntropy):
        def __call__(self, *arguments: Any) -> Any:
            loss, _ = super().__call__(*arguments)
            return loss, {"loss": torch.tensor(float(len(arguments[3])))}  # shows the batch's size

    history = run(make(1, names=("a",), batch_size=13, loss=One(samples()[1]))).history
    assert list(history.columns) == ["epoch", "loss", "seconds", "bits"]  # of one model: without its name
    assert history["loss"][0] == pytest.approx((6 * 13 * 13 + 12 * 12) / 90)


def test_same_seed_same_numbers_another_seed_others() -> None:
    first, again, other = (run(make(3, seed=s)) for s in (0, 0, 1))
    assert_same(weights(first), weights(again))
    assert plain_history(first).equals(plain_history(again))
    assert not torch.equal(weights(first)["a.head.weight"], weights(other)["a.head.weight"])


def test_the_callers_random_numbers_are_left_alone_and_do_not_matter() -> None:
    torch.manual_seed(7)
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = run(make(2), recorder=DynamicsRecorder())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002
    torch.manual_seed(2)
    assert_same(weights(first), weights(run(make(2))))


@pytest.mark.parametrize(
    "settings", [{}, {"lr_decay_share": 0.5, "lr_warmup_ratio": 0.3}, {"ema_epochs": 1.5}]
)
@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_is_the_same_run(tmp_path: Path, stop: int, settings: dict[str, Any]) -> None:
    whole, of_whole = make(**settings), DynamicsRecorder()
    run(whole, tmp_path / "whole", recorder=of_whole)
    run(make(**settings), tmp_path / "parts", until=stop, recorder=DynamicsRecorder())
    second, recorder = make(**settings), DynamicsRecorder()
    run(second, tmp_path / "parts", recorder=recorder)
    assert second.loss.calls == (5 - stop) * 6 * 2  # type: ignore[attr-defined]
    assert_same(weights(second), weights(whole))
    assert plain_history(second).equals(plain_history(whole))
    for name in ("a", "b"):
        assert np.array_equal(recorder.stacked()[name], of_whole.stacked()[name])
        now, then = (t.predict(name, averaged=True).probability for t in (second, whole))
        assert np.array_equal(now, then)
    # A finished run is finished: starting it again computes nothing and knows everything.
    third, again = make(**settings), DynamicsRecorder()
    run(third, tmp_path / "parts", recorder=again)
    assert third.loss.calls == 0  # type: ignore[attr-defined]
    assert third.history.equals(second.history)
    assert np.array_equal(again.stacked()["a"], recorder.stacked()["a"])
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "checkpoint.safetensors"]


def test_a_checkpoint_holds_tensors_and_json_only(tmp_path: Path) -> None:
    run(make(1), tmp_path)
    (path,) = tmp_path.rglob("*.*")
    with safe_open(str(path), framework="pt") as file:
        keys = set(file.keys())
    assert {"model.a.head.weight", "optimizer.b.0.exp_avg"} <= keys
    raw = path.read_bytes()
    assert not raw.startswith((b"\x80", b"PK"))
    assert b"torch._utils" not in raw


def test_a_checkpoint_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    run(make(1), tmp_path)
    for more, message in (
        ({"identity": "other"}, "belongs to another run"),
        ({"recorder": DynamicsRecorder()}, "recorder"),
    ):
        with pytest.raises(ValueError, match=message):
            run(make(1), tmp_path, **more)  # type: ignore[arg-type]
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"checkpoint.safetensors.*damaged"):
        run(make(1), tmp_path)
    for metadata, remedy in (
        ({"identity": "run"}, "format 1.*fit again"),
        ({"format": 99}, "format 99.*newer"),
    ):
        save_file({"x": torch.zeros(1)}, path, metadata={"nlkit": json.dumps(metadata)})
        with pytest.raises(ValueError, match=rf"checkpoint.safetensors.*{remedy}"):
            run(make(1), tmp_path)


class Breaks(CrossEntropy):
    """Interrupts in the middle of the third epoch."""

    def __call__(self, *arguments: Any) -> Any:
        if self.calls == 2 * 2 * 6 + 5:
            raise KeyboardInterrupt
        return super().__call__(*arguments)


@pytest.mark.parametrize("where", ["training", "afterwards"])
def test_interrupted_keeps_whole_epochs_and_goes_on(tmp_path: Path, where: str) -> None:
    trainer = make(loss=Breaks(samples()[1]) if where == "training" else None)

    def stop() -> None:
        if where == "afterwards" and trainer.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="interrupted"):
        run(trainer, tmp_path, then=stop, recorder=DynamicsRecorder())
    assert issubclass(Interrupted, KeyboardInterrupt)  # so that `except Exception` does not swallow it
    assert trainer.epoch == len(trainer.history) == (2 if where == "training" else 3)
    # The models are those of the last whole epoch, without the steps of the broken one.
    shorter = run(make(), until=trainer.epoch - 1)
    assert_same(weights(trainer), weights(shorter))
    second, whole = run(make(), tmp_path, recorder=DynamicsRecorder()), run(make())
    assert_same(weights(second), weights(whole))
    assert plain_history(second).equals(plain_history(whole))


def test_an_epoch_counts_all_its_seconds_and_what_is_added_to_its_row_is_history() -> None:
    trainer = make(2, names=("a",))
    with trainer.running() as epochs:
        for row in epochs:
            row["mine"] = 10 * trainer.epoch
            time.sleep(0.2)
    assert trainer.history["mine"].tolist() == [10, 20]
    assert (trainer.history["seconds"] > 0.2).all()


def test_gradients_are_clipped() -> None:
    class Steep(CrossEntropy):
        def __call__(self, *arguments: Any) -> Any:
            loss, parts = super().__call__(*arguments)
            return 1e4 * loss, parts

    norms: list[float] = []
    trainer = make(1, names=("a",), loss=Steep(samples()[1]), max_grad_norm=0.5)
    parameters = list(trainer.models["a"].parameters())
    trainer.optimizers["a"].register_step_pre_hook(
        lambda *_: norms.append(float(torch.cat([p.grad.flatten() for p in parameters]).norm()))
    )
    run(trainer)
    assert len(norms) == 6
    assert max(norms) == pytest.approx(0.5, rel=1e-3)


def test_learning_rates_rise_stay_and_fall() -> None:
    def rates(**settings: Any) -> list[float]:
        trainer, seen = make(5, names=("a",), **settings), []
        trainer.optimizers["a"].register_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["lr"]))
        run(trainer)
        return seen

    constant = rates(lr_warmup_ratio=0.2)
    np.testing.assert_allclose(constant[:6], 0.02 * np.arange(1, 7) / 6)
    assert set(constant[6:]) == {0.02}
    falling = rates(lr_warmup_ratio=0.2, lr_decay_share=0.5)
    assert len(falling) == 30
    assert falling[:15] == constant[:15]
    assert (np.diff(falling[15:]) <= 0).all()
    assert falling[-1] == pytest.approx(0.002)


def test_biases_and_normalisation_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.LSTM(3, 2))
    groups: Any = {"m": [{"params": list(model.parameters()), "lr": 0.5}]}
    inputs = Inputs([np.zeros(1, np.int32)] * 4)
    trainer = Trainer(
        {"m": model}, {"m": inputs}, groups, CrossEntropy(np.zeros(4, int)), epochs=1, weight_decay=0.1,
        device="cpu",
    )  # fmt: skip
    groups = trainer.optimizers["m"].param_groups
    decay = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    kept = {name: decay[id(p)] for name, p in model.named_parameters()}
    assert {name for name, value in kept.items() if value} == {"0.weight", "2.weight_ih_l0", "2.weight_hh_l0"}
    assert set(kept.values()) == {0.0, 0.1}
    assert {g["lr"] / trainer.schedulers["m"].lr_lambdas[0](0) for g in groups} == {0.5}


def test_the_recorder_keeps_every_sample_of_every_epoch() -> None:
    recorder = DynamicsRecorder()
    trainer = run(make(3), recorder=recorder)
    for name, dynamics in recorder.stacked().items():
        assert dynamics.shape == (3, N, CLASSES)
        assert dynamics.dtype == np.float16
        np.testing.assert_allclose(dynamics.astype(float).sum(2), 1, atol=2e-3)
        assert np.array_equal(dynamics[-1], trainer.predict(name).probability.astype(np.float16))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_and_keeps_weights_in_float32(tmp_path: Path, precision: str) -> None:
    half, again = (run(make(8, mixed_precision=precision)) for _ in range(2))
    assert set(half.history["bits"]) == {16}
    assert set(make(1).history["bits"]) <= {32}
    single = run(make(8))
    label = samples()[1]
    for trainer in (half, single):
        assert (trainer.predict("a").probability.argmax(1) == label).mean() > 0.9
        assert all(v.dtype == torch.float32 for v in weights(trainer).values())
    assert_same(weights(half), weights(again))
    assert not torch.equal(weights(half)["a.head.weight"], weights(single)["a.head.weight"])
    # The scale of fp16's gradients travels in checkpoints too.
    run(make(8, mixed_precision=precision), tmp_path, until=3)
    assert_same(weights(run(make(8, mixed_precision=precision), tmp_path)), weights(half))

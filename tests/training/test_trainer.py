from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from safetensors import safe_open
from torch import nn

from nlkit.models.batching import Batch, Inputs
from nlkit.models.classifiers import Output
from nlkit.training import Callback, Checkpoint, DynamicsRecorder, Interrupted, Trainer, losses
from nlkit.training.trainer import _accelerator

N, CLASSES = 90, 3


class Tiny(nn.Module):
    """Word numbers to mean word vector to logits, with dropout so that random numbers matter."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.words = nn.Embedding(20, 8)
            self.head = nn.Linear(8, CLASSES)
        self.dropout = nn.Dropout(0.2)

    def forward(self, batch: Batch) -> Output:
        weight = batch.mask.unsqueeze(-1).float()
        embedding = (self.words(batch.values.long()) * weight).sum(1) / weight.sum(1)
        return Output(embedding, self.classify(embedding))

    def classify(self, embedding: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(embedding))


def samples() -> tuple[Inputs, np.ndarray]:
    """Texts of random length whose words tell the class."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, CLASSES, N)
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
        return loss, {"loss": loss.item()}


def make(
    epochs: int = 5, *, names: tuple[str, ...] = ("a", "b"), callbacks: Any = (), **settings: Any
) -> Trainer:
    inputs, label = samples()
    models = {name: Tiny(seed) for seed, name in enumerate(names)}
    groups: Any = {name: [{"params": list(m.parameters()), "lr": 0.02}] for name, m in models.items()}
    settings = {"batch_size": 16, "device": "cpu", **settings}
    objective = settings.pop("objective", None) or CrossEntropy(label)
    return Trainer(
        models,
        dict.fromkeys(names, inputs),
        groups,
        objective,
        epochs=epochs,
        callbacks=list(callbacks),
        **settings,
    )


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name in trainer.models
        for key, value in trainer.raw(name).state_dict().items()
    }


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


def plain_history(trainer: Trainer) -> Any:
    return trainer.history.drop(columns="seconds")


def test_learning_happens() -> None:
    trainer = make(12).fit()
    history = trainer.history
    assert history["epoch"].tolist() == list(range(1, 13))
    for name in ("a", "b"):
        assert history[f"loss_{name}"].iloc[-1] < 0.5 * history[f"loss_{name}"].iloc[0]
    inputs, label = samples()
    prediction = trainer.predict("a", inputs)
    assert (prediction.probability.argmax(1) == label).mean() > 0.95


def test_one_model_keeps_plain_column_names() -> None:
    assert list(make(1, names=("a",)).fit().history.columns) == ["epoch", "loss", "seconds"]


def test_the_loss_of_an_epoch_is_the_mean_over_samples() -> None:
    class One(CrossEntropy):
        def __call__(self, *arguments: Any) -> Any:
            loss, _ = super().__call__(*arguments)
            return loss, {"loss": float(len(arguments[3]))}  # a "loss" that shows the batch's size

    history = make(1, names=("a",), objective=One(samples()[1])).fit().history
    assert history["loss"][0] == pytest.approx((5 * 16 * 16 + 10 * 10) / 90)


def test_same_seed_same_numbers_another_seed_others() -> None:
    first, again, other = (make(3, seed=s).fit() for s in (0, 0, 1))
    assert_same(weights(first), weights(again))
    assert plain_history(first).equals(plain_history(again))
    assert not torch.equal(weights(first)["a.head.weight"], weights(other)["a.head.weight"])


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(7)
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    make(2, callbacks=[DynamicsRecorder()]).fit()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


def test_the_callers_random_numbers_do_not_matter() -> None:
    torch.manual_seed(1)
    a = make(2).fit()
    torch.manual_seed(2)
    assert_same(weights(a), weights(make(2).fit()))


class StopAfter(Callback):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        trainer.stop = trainer.epoch >= self.epochs


def recorded(folder: Path, epochs: int = 5, **settings: Any) -> tuple[Trainer, DynamicsRecorder]:
    recorder = DynamicsRecorder(embeddings=True)
    callbacks = [recorder, *settings.pop("more", []), Checkpoint(folder, settings.pop("identity", "run"))]
    return make(epochs, callbacks=callbacks, **settings), recorder


@pytest.mark.parametrize("settings", [{}, {"lr_decay_share": 0.5, "warmup": 0.3}])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_is_the_same_run(tmp_path: Path, stop: int, settings: dict[str, Any]) -> None:
    whole, whole_recorder = recorded(tmp_path / "whole", **settings)
    whole.fit()
    first, _ = recorded(tmp_path / "parts", more=[StopAfter(stop)], **settings)
    first.fit()
    assert first.epoch == stop
    second, recorder = recorded(tmp_path / "parts", **settings)
    second.fit()
    assert_same(weights(second), weights(whole))
    assert plain_history(second).equals(plain_history(whole))
    for name in ("a", "b"):
        assert np.array_equal(recorder.stacked(name), whole_recorder.stacked(name))
        assert np.array_equal(np.stack(recorder.embedding[name]), np.stack(whole_recorder.embedding[name]))
        assert np.array_equal(recorder.latest[name].probability, whole_recorder.latest[name].probability)
    # A finished run is finished: starting it again computes nothing and knows everything.
    third, again = recorded(tmp_path / "parts", **settings)
    third.fit()
    assert third.objective.calls == 0  # type: ignore[attr-defined]
    assert third.history.equals(second.history)
    assert np.array_equal(again.stacked("a"), recorder.stacked("a"))
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "checkpoint.safetensors"]


def test_a_checkpoint_holds_tensors_and_json_only(tmp_path: Path) -> None:
    trainer, _ = recorded(tmp_path, epochs=1)
    trainer.fit()
    (path,) = tmp_path.rglob("*.*")
    with safe_open(str(path), framework="pt") as file:
        keys = set(file.keys())
    assert {"model.a.head.weight", "optimizer.b.0.exp_avg"} <= keys
    raw = path.read_bytes()
    assert not raw.startswith((b"\x80", b"PK"))
    assert b"torch._utils" not in raw


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    recorded(tmp_path, epochs=1)[0].fit()
    with pytest.raises(ValueError, match="belongs to another run"):
        recorded(tmp_path, epochs=1, identity="other")[0].fit()


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    recorded(tmp_path, epochs=1)[0].fit()
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"checkpoint.safetensors.*damaged"):
        recorded(tmp_path, epochs=1)[0].fit()


def test_callbacks_without_a_state_may_come_and_go(tmp_path: Path) -> None:
    recorded(tmp_path, more=[StopAfter(2), Callback()])[0].fit()
    trainer, _ = recorded(tmp_path)
    trainer.fit()
    assert_same(weights(trainer), weights(make(5).fit()))


def test_callbacks_with_a_state_may_not(tmp_path: Path) -> None:
    recorded(tmp_path, more=[StopAfter(2)])[0].fit()
    with pytest.raises(ValueError, match="DynamicsRecorder"):
        make(5, callbacks=[Checkpoint(tmp_path, "run")]).fit()


def test_saving_every_second_epoch(tmp_path: Path) -> None:
    make(5, callbacks=[StopAfter(3), Checkpoint(tmp_path, "run", every=2)]).fit()
    trainer = make(5, callbacks=[Checkpoint(tmp_path, "run", every=2)])
    seen = []
    trainer.callbacks.append(
        type("Seen", (Callback,), {"on_epoch_end": lambda *a: seen.append(a[1].epoch)})()
    )
    trainer.fit()
    assert seen == [3, 4, 5]
    assert_same(weights(trainer), weights(make(5).fit()))


class Breaks(CrossEntropy):
    """Interrupts in the middle of the third epoch."""

    def __call__(self, *arguments: Any) -> Any:
        if self.calls == 2 * 2 * 6 + 5:
            raise KeyboardInterrupt
        return super().__call__(*arguments)


class BreaksAfter(Callback):
    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        if trainer.epoch == 3:
            raise KeyboardInterrupt


def test_another_device_is_not_taken_for_the_old_one() -> None:
    _accelerator("no", "cpu")
    try:
        # As after a run on a GPU, which this machine need not have.
        for state in (PartialState._shared_state, AcceleratorState._shared_state):
            state["device"] = torch.device("cuda")
        assert _accelerator("no", "cpu").device.type == "cpu"
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("where", ["objective", "callback"])
def test_interrupted_keeps_whole_epochs_and_goes_on(tmp_path: Path, where: str) -> None:
    settings: Any = {"objective": Breaks(samples()[1])} if where == "objective" else {"more": [BreaksAfter()]}
    trainer, _ = recorded(tmp_path, **settings)
    with pytest.raises(Interrupted, match="interrupted"):
        trainer.fit()
    assert len(trainer.history) == (2 if where == "objective" else 3)
    # The models are those of the last whole epoch, without the steps of the broken one.
    shorter = make(5, callbacks=[StopAfter(len(trainer.history))]).fit()
    np.testing.assert_array_equal(
        trainer.predict("a", samples()[0]).probability, shorter.predict("a", samples()[0]).probability
    )
    second, _ = recorded(tmp_path)
    second.fit()
    whole = make(5).fit()
    assert_same(weights(second), weights(whole))
    assert plain_history(second).equals(plain_history(whole))


def test_interrupted_is_a_keyboard_interrupt() -> None:
    assert issubclass(Interrupted, KeyboardInterrupt)  # so that `except Exception` does not swallow it


def test_gradients_are_clipped() -> None:
    class Steep(CrossEntropy):
        def __call__(self, *arguments: Any) -> Any:
            loss, parts = super().__call__(*arguments)
            return 1e4 * loss, parts

    norms: list[float] = []
    trainer = make(1, names=("a",), objective=Steep(samples()[1]), max_grad_norm=0.5)
    optimizer = trainer.optimizers["a"]
    step = optimizer.step

    def watched(*arguments: Any) -> Any:
        gradients = [p.grad for p in trainer.raw("a").parameters() if p.grad is not None]
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
        return step(*arguments)

    optimizer.step = watched
    trainer.fit()
    assert len(norms) == 6
    assert max(norms) == pytest.approx(0.5, rel=1e-3)


def test_learning_rates_rise_stay_and_fall() -> None:
    def rates(**settings: Any) -> list[float]:
        trainer, seen = make(5, names=("a",), **settings), []
        step = trainer._step

        def watched(*arguments: Any) -> Any:
            seen.append(trainer.optimizers["a"].param_groups[0]["lr"])
            return step(*arguments)

        trainer._step = watched  # type: ignore[method-assign]
        trainer.fit()
        return seen

    constant = rates(warmup=0.2)
    np.testing.assert_allclose(constant[:6], 0.02 * np.arange(1, 7) / 6)
    assert set(constant[6:]) == {0.02}
    falling = rates(warmup=0.2, lr_decay_share=0.5)
    assert len(falling) == 30
    assert falling[:15] == constant[:15]
    assert (np.diff(falling[15:]) <= 0).all()
    assert falling[-1] == pytest.approx(0.002)


def test_the_recorder_keeps_every_sample_of_every_epoch() -> None:
    recorder = DynamicsRecorder(embeddings=True)
    trainer = make(3, callbacks=[recorder]).fit()
    for name in ("a", "b"):
        assert recorder.stacked(name).shape == (3, N, CLASSES)
        assert recorder.stacked(name).dtype == np.float16
        np.testing.assert_allclose(recorder.stacked(name).astype(float).sum(2), 1, atol=2e-3)
        assert np.stack(recorder.embedding[name]).shape == (3, N, 8)
        now = trainer.predict(name, trainer.inputs[name])
        assert np.array_equal(recorder.latest[name].probability, now.probability)


def test_predictions_do_not_depend_on_batch_size_and_leave_the_mode() -> None:
    trainer = make(1).fit()
    inputs, _ = samples()
    model = trainer.raw("a").train()
    big, small = trainer.predict("a", inputs), trainer.predict("a", inputs, batch_size=1)
    np.testing.assert_allclose(big.probability, small.probability, atol=1e-6)
    np.testing.assert_allclose(big.embedding, small.embedding, atol=1e-6)
    assert model.training
    assert big.probability.dtype == np.float32


def test_bfloat16_on_the_cpu_beside_single_precision() -> None:
    half = make(8, mixed_precision="bf16").fit()
    single = make(8).fit()  # accelerate keeps one state a process: the next run is not bound to it
    again = make(8, mixed_precision="bf16").fit()
    inputs, label = samples()
    for trainer in (half, single):
        assert (trainer.predict("a", inputs).probability.argmax(1) == label).mean() > 0.9
        assert all(v.dtype == torch.float32 for v in weights(trainer).values())
    assert_same(weights(half), weights(again))
    assert not torch.equal(weights(half)["a.head.weight"], weights(single)["a.head.weight"])
    # What is handed out is the plain model, without the wrapper of the run's precision.
    assert single.raw("a").forward.__func__ is half.raw("a").forward.__func__ is Tiny.forward


TWO = """
import gc
import sys
import numpy as np
from tests.training.test_trainer import make, samples, weights
from nlkit.training import Checkpoint, DynamicsRecorder
recorder = DynamicsRecorder()
trainer = make(6, callbacks=[recorder, Checkpoint(sys.argv[1] + "/checkpoint", "run")], names=("a", "b"))
assert trainer.accelerator.num_processes == 2
trainer.fit()
inputs, label = samples()
rank = trainer.accelerator.process_index
few = type(inputs)(inputs.arrays[:5])  # one batch for two processes
np.savez(
    f"{sys.argv[1]}/{rank}.npz", p=trainer.predict("a", inputs).probability,
    few=trainer.predict("a", few).probability, dynamics=recorder.stacked("b"),
    **{key: value.numpy() for key, value in weights(trainer).items()},
)
# torch's wrapper holds the process group: it goes first, or the group's threads may abort the exit.
accelerator = trainer.accelerator
accelerator.free_memory()
del trainer
gc.collect()
accelerator.wait_for_everyone()
accelerator.end_training()
"""


def test_two_processes_learn_one_model(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    root = str(Path(__file__).parents[2])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # `accelerate launch` starts two processes on CPUs by MPI only; torch's own launcher needs nothing else.
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
               "--master_addr", "127.0.0.1", "--master_port", port, str(script), str(tmp_path)]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    zero, one = (np.load(tmp_path / f"{rank}.npz") for rank in (0, 1))
    assert set(zero.files) == set(one.files)
    for key in zero.files:
        assert np.array_equal(zero[key], one[key]), key
    _, label = samples()
    assert zero["p"].shape == (N, CLASSES)
    np.testing.assert_allclose(zero["p"].sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(zero["few"], zero["p"][:5], atol=1e-6)
    assert (zero["p"].argmax(1) == label).mean() > 0.9
    assert zero["dynamics"].shape == (6, N, CLASSES)
    assert (tmp_path / "checkpoint" / "checkpoint.safetensors").exists()


def test_epochs_are_announced_also_the_first_one_after_a_resume(tmp_path: Path) -> None:
    seen: list[int] = []

    class Announced(Callback):
        def on_epoch_start(self, trainer: Trainer) -> None:
            seen.append(trainer.epoch)

    make(2, callbacks=[Announced(), Checkpoint(tmp_path, "run")]).fit()
    assert seen == [0, 1]
    make(4, callbacks=[Announced(), Checkpoint(tmp_path, "run")]).fit()
    assert seen == [0, 1, 2, 3]

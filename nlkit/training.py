"""The one training loop: several models side by side on the same samples, with callbacks.

Random numbers come from (seed, epoch) alone, so a run that is stopped and resumed after any epoch gives the
same numbers as one that was not. `accelerate` places models and gradients, in mixed precision and on several
GPUs if asked; each process then learns from its share of every batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from numpy.typing import NDArray
from torch import Tensor, nn

from nlkit._util import progress
from nlkit.batching import Inputs, bucketed_batches, sorted_batches
from nlkit.classifiers import Output
from nlkit.persistence import load_tensors, save_tensors

__all__ = ["Callback", "Checkpoint", "DynamicsRecorder", "Interrupted", "Objective", "Prediction", "Trainer"]

Tensors = dict[str, Tensor]


class Objective(Protocol):
    """Computes the loss of one model on one batch."""

    def __call__(
        self, name: str, model: Any, output: Output, index: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss (a scalar with gradient) and its parts, for the progress bar and the history.

        `index`, shape (B,), holds the positions of the batch's samples in the training set.
        """


@dataclass(frozen=True)
class Prediction:
    """What one model says of N texts: class probabilities (N, C), rows sum to 1, and embeddings (N, D)."""

    probability: NDArray[np.float32]
    embedding: NDArray[np.float32]


class Callback:
    """Hook into the loop; subclasses override what they need. Their state travels in checkpoints."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch, or before the first one after a resume."""

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        """After each epoch; what is put in `row` becomes columns of `Trainer.history`."""

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return tensors and JSON values that a checkpoint has to hold."""
        return {}, {}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned."""


class DynamicsRecorder(Callback):
    """Record every training sample's class probabilities after each epoch, for each model.

    Attributes
    ----------
    probability : dict of str to list of ndarray
        For each model, one array (N, C) of float16 an epoch: its training dynamics.
    embedding : dict of str to list of ndarray
        The same for sentence embeddings, (N, D); empty unless asked for.
    latest : dict of str to Prediction
        The last epoch's predictions, in full precision.
    """

    def __init__(self, *, embeddings: bool = False) -> None:
        self.embeddings = embeddings
        self.probability: dict[str, list[NDArray[np.float16]]] = {}
        self.embedding: dict[str, list[NDArray[np.float16]]] = {}
        self.latest: dict[str, Prediction] = {}

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        """Predict the training set once with each model."""
        for name, inputs in trainer.inputs.items():
            self.latest[name] = trainer.predict(name, inputs)
            self.probability.setdefault(name, []).append(self.latest[name].probability.astype(np.float16))
            if self.embeddings:
                self.embedding.setdefault(name, []).append(self.latest[name].embedding.astype(np.float16))

    def stacked(self, name: str) -> NDArray[np.float16]:
        """Return the recorded probabilities of a model, shape (E, N, C); E epochs."""
        return np.stack(self.probability[name])

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all that was recorded."""
        tensors = {f"p.{name}": torch.from_numpy(np.stack(v)) for name, v in self.probability.items()}
        tensors |= {f"z.{name}": torch.from_numpy(np.stack(v)) for name, v in self.embedding.items()}
        for name, last in self.latest.items():
            tensors[f"latest.p.{name}"] = torch.from_numpy(last.probability)
            tensors[f"latest.z.{name}"] = torch.from_numpy(last.embedding)
        return tensors, {"names": list(self.latest)}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what was recorded."""
        for name in values["names"]:
            self.probability[name] = list(tensors[f"p.{name}"].numpy())
            if f"z.{name}" in tensors:
                self.embedding[name] = list(tensors[f"z.{name}"].numpy())
            self.latest[name] = Prediction(
                tensors[f"latest.p.{name}"].numpy(), tensors[f"latest.z.{name}"].numpy()
            )


class Interrupted(KeyboardInterrupt):
    """Training was interrupted; what was learned up to the last whole epoch is kept."""


class Trainer:
    """Train one or more models on the same samples.

    Parameters
    ----------
    models : mapping of str to module
        Each has ``forward(Batch) -> Output``.
    inputs : mapping of str to Inputs
        The N training samples as each model sees them.
    groups : mapping of str to list of dict
        Parameter groups of each model's AdamW, with learning rates.
    objective : Objective
        Loss of a model on a batch.
    epochs, batch_size : int
        Passes over the data, and samples a step (over all processes together).
    seed : int
        Of the order of samples, of dropout, and of what the objective draws.
    callbacks : sequence of Callback
        Called in this order.
    lengths_of : str
        The model by whose input lengths batches are bucketed.
    max_grad_norm : float
        Gradients of each model are scaled down to this L2 norm.
    weight_decay : float
        Of AdamW.
    warmup : float
        Share of all steps over which learning rates rise linearly from 0.
    decay : bool
        Let learning rates then fall linearly, to a tenth at the end.
    mixed_precision : str
        ``"no"``, ``"bf16"`` or ``"fp16"``, as `accelerate` names them.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``.
    description : str
        Shown at the progress bar.
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        inputs: Mapping[str, Inputs],
        groups: Mapping[str, list[dict[str, object]]],
        objective: Objective,
        *,
        epochs: int,
        batch_size: int = 32,
        seed: int = 0,
        callbacks: Sequence[Callback] = (),
        lengths_of: str | None = None,
        max_grad_norm: float = 1.0,
        weight_decay: float = 0.01,
        warmup: float = 0.05,
        decay: bool = False,
        mixed_precision: str = "no",
        device: str = "auto",
        description: str = "training",
    ) -> None:
        self.accelerator = _accelerator(mixed_precision, device)
        self.inputs, self.objective, self.epochs, self.batch_size = (
            dict(inputs),
            objective,
            epochs,
            batch_size,
        )
        self.seed, self.callbacks, self.max_grad_norm = seed, list(callbacks), max_grad_norm
        self.description = description
        self._lengths = self.inputs[lengths_of or next(iter(self.inputs))].lengths
        self.models: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Any] = {}
        for name, model in models.items():
            optimizer = torch.optim.AdamW(cast(Any, groups[name]), weight_decay=weight_decay)
            self.models[name], self.optimizers[name] = self.accelerator.prepare(model, optimizer)
        self._base_rates = {n: [g["lr"] for g in o.param_groups] for n, o in self.optimizers.items()}
        steps = math.ceil(len(self._lengths) / batch_size)
        self._total_steps, self._warmup_steps = steps * epochs, max(1, round(warmup * steps * epochs))
        self._decay = decay
        self.epoch = 0
        self.stop = False
        self.rows: list[dict[str, float]] = []

    @property
    def history(self) -> pd.DataFrame:
        """One row a finished epoch."""
        return pd.DataFrame(self.rows)

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return cast(torch.device, self.accelerator.device)

    def raw(self, name: str) -> Any:
        """Return a model without the wrapper that several GPUs need."""
        return self.accelerator.unwrap_model(self.models[name])

    def fit(self) -> Trainer:
        """Run the epochs that are left.

        Raises
        ------
        Interrupted
            On Ctrl-C or the notebook's stop button. History, models and callbacks stay usable, and with a
            `Checkpoint` another run goes on after the last whole epoch.
        """
        for callback in self.callbacks:
            callback.on_fit_start(self)
        steps = math.ceil(len(self._lengths) / self.batch_size)
        shown = self.accelerator.is_main_process
        with progress(
            total=self.epochs * steps, initial=self.epoch * steps, desc=self.description, unit="batch",
            **({} if shown else {"disable": True}),
        ) as bar:  # fmt: skip
            try:
                while self.epoch < self.epochs and not self.stop:
                    # A caller's own random numbers are left as they were.
                    with torch.random.fork_rng(devices=_cuda_devices(self.device)):
                        self._run_epoch(bar)
            except KeyboardInterrupt as stop:
                raise Interrupted(
                    f"{self.description} was interrupted in epoch {self.epoch + 1} of {self.epochs}; "
                    f"{self.epoch} whole epochs are kept"
                ) from stop
        return self

    def _run_epoch(self, bar: Any) -> None:
        rng = np.random.default_rng([self.seed, self.epoch])
        torch.manual_seed(int(rng.integers(2**62)) + self.accelerator.process_index)
        started = time.perf_counter()
        sums: dict[str, float] = {}
        for model in self.models.values():
            model.train()
        batches = bucketed_batches(self._lengths, self.batch_size, rng)
        for step, index in enumerate(batches):
            self._set_rates(self.epoch * len(batches) + step)
            part = self._share(index)
            for name in self.models:
                for key, value in self._step(name, part, rng).items():
                    key = key if len(self.models) == 1 else f"{key}_{name}"
                    sums[key] = sums.get(key, 0.0) + value * len(index) / len(self._lengths)
            bar.update()
            if step % 10 == 0:
                seen = (step + 1) / len(batches)
                bar.set_postfix(epoch=self.epoch + 1, **{k: f"{v / seen:.3f}" for k, v in sums.items()})
        row = {"epoch": float(self.epoch + 1), **sums, "seconds": time.perf_counter() - started}
        self.epoch += 1
        self.rows.append(row)
        for callback in self.callbacks:
            callback.on_epoch_end(self, row)

    def _share(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's part of a batch; every process gets at least one sample."""
        share = index[self.accelerator.process_index :: self.accelerator.num_processes]
        return share if len(share) else index[:1]

    def _step(self, name: str, index: NDArray[np.int64], rng: np.random.Generator) -> dict[str, float]:
        model, optimizer = self.models[name], self.optimizers[name]
        batch = self.inputs[name].batch(index).to(self.device)
        with self.accelerator.autocast():
            output = model(batch)
        output = Output(output.embedding.float(), output.logits.float())
        loss, parts = self.objective(name, self.raw(name), output, index, rng)
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(model.parameters(), self.max_grad_norm)
        optimizer.step()
        return parts

    def _set_rates(self, step: int) -> None:
        factor = min(1.0, (step + 1) / self._warmup_steps)
        if self._decay and step >= self._warmup_steps:
            left = (self._total_steps - step) / max(1, self._total_steps - self._warmup_steps)
            factor = max(0.1, left)
        for name, optimizer in self.optimizers.items():
            for group, base in zip(optimizer.param_groups, self._base_rates[name], strict=True):
                group["lr"] = base * factor

    def predict(self, name: str, inputs: Inputs, *, batch_size: int = 64) -> Prediction:
        """Return a model's class probabilities and embeddings of N prepared texts, without dropout."""
        return predict(
            self.models[name], inputs, self.device, batch_size=batch_size, accelerator=self.accelerator
        )

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all that a later process needs to go on after the last whole epoch."""
        tensors: Tensors = {}
        for name in self.models:
            tensors |= {f"model.{name}.{k}": v for k, v in self.raw(name).state_dict().items()}
            for number, entry in self.optimizers[name].state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{number}.{k}": v for k, v in entry.items()}
        values: dict[str, Any] = {"epoch": self.epoch, "rows": self.rows, "seed": self.seed, "callbacks": []}
        for number, callback in enumerate(self.callbacks):
            own, described = callback.state()
            tensors |= {f"callback.{number}.{k}": v for k, v in own.items()}
            values["callbacks"].append(described)
        return tensors, values

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned, models, optimizers and callbacks alike."""
        for name in self.models:
            self.raw(name).load_state_dict(_below(tensors, f"model.{name}."))
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _below(tensors, f"optimizer.{name}.").items():
                number, field = key.split(".", 1)
                state.setdefault(int(number), {})[field] = tensor
            optimizer = self.optimizers[name]
            optimizer.load_state_dict(
                {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
            )
        self.epoch, self.rows = int(values["epoch"]), list(values["rows"])
        for number, callback in enumerate(self.callbacks):
            callback.restore(_below(tensors, f"callback.{number}."), values["callbacks"][number])


class Checkpoint(Callback):
    """Save the run after each epoch, and go on from there when the same run is started again.

    Parameters
    ----------
    folder : path
        Holds one file, ``checkpoint.safetensors``, replaced by a rename.
    identity : str
        What the run is (its config and data, hashed): a checkpoint of another run is refused.
    every : int
        Epochs between two saves.
    """

    def __init__(self, folder: str | Path, identity: str, *, every: int = 1) -> None:
        self.path, self.identity, self.every = Path(folder) / "checkpoint.safetensors", identity, every

    def on_fit_start(self, trainer: Trainer) -> None:
        """Resume, if there is something to resume from."""
        if not self.path.exists():
            return
        tensors, values = load_tensors(self.path)
        if values.get("identity") != self.identity:
            raise ValueError(
                f"checkpoint={str(self.path)!r} belongs to another run (other settings or data): "
                "delete it or choose another folder"
            )
        trainer.restore(tensors, values["trainer"])

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        """Save; put this callback last, so that it sees what the others did."""
        if trainer.epoch % self.every and trainer.epoch < trainer.epochs:
            return
        if trainer.accelerator.is_main_process:
            tensors, values = trainer.state()
            save_tensors(self.path, tensors, {"identity": self.identity, "trainer": values})
        trainer.accelerator.wait_for_everyone()


@torch.inference_mode()
def predict(
    model: Callable[..., Output] | nn.Module,
    inputs: Inputs,
    device: torch.device,
    *,
    batch_size: int = 64,
    accelerator: Accelerator | None = None,
) -> Prediction:
    """Return class probabilities (N, C) and embeddings (N, D) of N prepared texts, in evaluation mode."""
    module = cast(nn.Module, model)
    learning = module.training
    module.eval()
    batches = list(sorted_batches(inputs.lengths, batch_size))
    several = accelerator is not None and accelerator.num_processes > 1
    if several:
        assert accelerator is not None
        batches = batches[accelerator.process_index :: accelerator.num_processes] or batches[:0]
    probability = embedding = torch.empty(0)
    for index in batches:
        with accelerator.autocast() if accelerator else torch.no_grad():
            output = module(inputs.batch(index).to(device))
        p, z = output.logits.float().softmax(-1), output.embedding.float()
        if not probability.numel():
            probability, embedding = (
                p.new_zeros(len(inputs), p.shape[1]),
                z.new_zeros(len(inputs), z.shape[1]),
            )
        rows = torch.from_numpy(index).to(device)
        probability[rows], embedding[rows] = p, z
    if several:
        assert accelerator is not None
        # Each process filled its own rows of zeros, so the sum over processes is the whole.
        probability = accelerator.reduce(probability, "sum")
        embedding = accelerator.reduce(embedding, "sum")
    module.train(learning)
    return Prediction(probability.cpu().numpy(), embedding.cpu().numpy())


def _accelerator(mixed_precision: str, device: str) -> Accelerator:
    state = AcceleratorState._shared_state
    if state and state.get("_mixed_precision", mixed_precision) != mixed_precision:
        # accelerate keeps one state a process and refuses another precision; a notebook trains many models.
        AcceleratorState._reset_state(reset_partial_state=False)
    return Accelerator(mixed_precision=mixed_precision, cpu=device == "cpu")


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

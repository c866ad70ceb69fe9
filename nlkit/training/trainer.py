"""The one training loop: several models side by side on the same samples, with callbacks.

Random numbers come from (seed, epoch) alone, so a run that is stopped and resumed after any epoch gives the
same numbers as one that was not. `accelerate` places models and gradients, in mixed precision and on several
GPUs if asked; each process then learns from its share of every batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from numpy.typing import NDArray
from torch import Tensor, nn

from nlkit._util import progress
from nlkit.models.batching import Inputs, bucketed_batches
from nlkit.models.classifiers import Output
from nlkit.models.device import autocast, choose_device, choose_precision
from nlkit.models.prediction import Prediction, predict
from nlkit.training.ema import WeightAverage
from nlkit.training.recording import Callback, Checkpoint, DynamicsRecorder, Tensors

__all__ = [
    "Callback",
    "Checkpoint",
    "DynamicsRecorder",
    "Interrupted",
    "Objective",
    "Prediction",
    "Tensors",
    "Trainer",
    "copied_weights",
    "predict",
]


class Objective(Protocol):
    """Computes the loss of one model on one batch."""

    def __call__(
        self, name: str, model: Any, output: Output, index: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss (a scalar with gradient) and its parts, for the progress bar and the history.

        `index`, shape (B,), holds the positions of the batch's samples in the training set.
        """


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
    max_grad_norm : float
        Gradients of each model are scaled down to this L2 norm.
    weight_decay : float
        Of AdamW.
    warmup : float
        Share of all steps over which learning rates rise linearly from 0.
    lr_decay_share : float
        Share of all steps, at the end, over which learning rates fall linearly to a tenth. 0: they stay.
    ema_epochs : float
        How many epochs a moving average of each model's weights reaches back (`nlkit.training.ema`); 0: none
        is kept. See `predict`.
    mixed_precision : str
        ``"no"``, ``"bf16"`` or ``"fp16"``, as `accelerate` names them, or ``"auto"``: see
        `nlkit.models.encoder.choose_precision`.
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
        max_grad_norm: float = 1.0,
        weight_decay: float = 0.01,
        warmup: float = 0.05,
        lr_decay_share: float = 0.0,
        ema_epochs: float = 0.0,
        mixed_precision: str = "no",
        device: str = "auto",
        description: str = "training",
    ) -> None:
        self.precision = choose_precision(mixed_precision, choose_device(device))
        self.accelerator = _accelerator(self.precision, device)
        self.inputs, self.objective, self.epochs, self.batch_size = (
            dict(inputs),
            objective,
            epochs,
            batch_size,
        )
        self.seed, self.callbacks, self.max_grad_norm = seed, list(callbacks), max_grad_norm
        self.description = description
        self._lengths = _telling_lengths(self.inputs)
        self.models: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Any] = {}
        for name, model in models.items():
            optimizer = torch.optim.AdamW(cast(Any, groups[name]), weight_decay=weight_decay)
            self.models[name], self.optimizers[name] = self.accelerator.prepare(model, optimizer)
        self._base_rates = {n: [g["lr"] for g in o.param_groups] for n, o in self.optimizers.items()}
        steps = math.ceil(len(self._lengths) / batch_size)
        self._total_steps, self._warmup_steps = steps * epochs, max(1, round(warmup * steps * epochs))
        self._decay_steps = round(lr_decay_share * self._total_steps)
        self.averages = (
            {name: WeightAverage(self.raw(name), max(1.0, ema_epochs * steps)) for name in self.models}
            if ema_epochs
            else {}
        )
        self.epoch = 0
        self.stop = False
        self.rows: list[dict[str, float]] = []
        self._whole: dict[str, Tensors] = {}

    @property
    def history(self) -> pd.DataFrame:
        """One row a finished epoch."""
        return pd.DataFrame(self.rows)

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return cast(torch.device, self.accelerator.device)

    def raw(self, name: str) -> Any:
        """Return a model without the wrappers that several GPUs and mixed precision need."""
        return self.accelerator.unwrap_model(self.models[name], keep_fp32_wrapper=False)

    def fit(self) -> Trainer:
        """Run the epochs that are left.

        Raises
        ------
        Interrupted
            On Ctrl-C or the notebook's stop button. Models, history and callbacks are those of the last whole
            epoch, if there was one, and with a `Checkpoint` another run goes on after it.
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
                for name, weights in self._whole.items():
                    self.raw(name).load_state_dict(weights)
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
        for callback in self.callbacks:
            callback.on_epoch_start(self)
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
        self._keep_whole_epoch()
        for callback in self.callbacks:
            callback.on_epoch_end(self, row)

    def _keep_whole_epoch(self) -> None:
        """Copy the weights: an interruption in the middle of the next epoch goes back to them."""
        self._whole = {name: copied_weights(self.raw(name)) for name in self.models}

    def _share(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's part of a batch; every process gets at least one sample."""
        share = index[self.accelerator.process_index :: self.accelerator.num_processes]
        return share if len(share) else index[:1]

    def _step(self, name: str, index: NDArray[np.int64], rng: np.random.Generator) -> dict[str, float]:
        model, optimizer = self.models[name], self.optimizers[name]
        batch = self.inputs[name].batch(index).to(self.device)
        with autocast(self.precision, self.device):
            output = model(batch)
        output = Output(output.embedding.float(), output.logits.float())
        loss, parts = self.objective(name, self.raw(name), output, index, rng)
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(model.parameters(), self.max_grad_norm)
        optimizer.step()
        if name in self.averages:
            self.averages[name].update()
        return parts

    def _set_rates(self, step: int) -> None:
        factor = min(1.0, (step + 1) / self._warmup_steps)
        left = self._total_steps - step
        if left < self._decay_steps:
            factor = min(factor, max(0.1, left / self._decay_steps))
        for name, optimizer in self.optimizers.items():
            for group, base in zip(optimizer.param_groups, self._base_rates[name], strict=True):
                group["lr"] = base * factor

    def predict(
        self, name: str, inputs: Inputs, *, batch_size: int = 64, averaged: bool = False
    ) -> Prediction:
        """Return a model's class probabilities and embeddings of N prepared texts, without dropout.

        With `averaged`, those of its averaged weights, if an average is kept.
        """
        with self.averages[name].used() if averaged and name in self.averages else nullcontext():
            # Unwrapped: processes may have different numbers of batches, and the wrapper would wait for all.
            return predict(
                self.raw(name), inputs, self.device,
                batch_size=batch_size, precision=self.precision, accelerator=self.accelerator,
            )  # fmt: skip

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all that a later process needs to go on after the last whole epoch."""
        tensors: Tensors = {}
        for name in self.models:
            tensors |= {f"model.{name}.{k}": v for k, v in self.raw(name).state_dict().items()}
            for number, entry in self.optimizers[name].state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{number}.{k}": v for k, v in entry.items()}
        values: dict[str, Any] = {"epoch": self.epoch, "rows": self.rows, "callbacks": {}, "averages": {}}
        for name, average in self.averages.items():
            tensors |= {f"average.{name}.{k}": v for k, v in average.weights.items()}
            values["averages"][name] = average.steps
        for key, callback in self._stateful().items():
            own, values["callbacks"][key] = callback.state()
            tensors |= {f"callback.{key}.{k}": v for k, v in own.items()}
        return tensors, values

    def _stateful(self) -> dict[str, Callback]:
        """Name the callbacks that have a state; the others may come and go before a resumed run."""
        kept = [c for c in self.callbacks if type(c).state is not Callback.state]
        return {f"{type(c).__name__}-{number}": c for number, c in enumerate(kept)}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned, models, optimizers and callbacks alike."""
        stateful = self._stateful()
        if list(stateful) != list(values["callbacks"]):
            raise ValueError(
                f"the checkpoint holds the state of {sorted(values['callbacks'])}, this run needs that of "
                f"{sorted(stateful)}: start it with the same splits, or without the checkpoint"
            )
        for name in self.models:
            self.raw(name).load_state_dict(_below(tensors, f"model.{name}."))
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _below(tensors, f"optimizer.{name}.").items():
                parameter, field = key.split(".", 1)
                state.setdefault(int(parameter), {})[field] = tensor
            optimizer = self.optimizers[name]
            optimizer.load_state_dict(
                {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
            )
        for name, steps in values["averages"].items():
            self.averages[name].restore(_below(tensors, f"average.{name}."), steps)
        self.epoch, self.rows = int(values["epoch"]), list(values["rows"])
        self._keep_whole_epoch()
        for key, callback in stateful.items():
            callback.restore(_below(tensors, f"callback.{key}."), values["callbacks"][key])


def copied_weights(model: nn.Module) -> Tensors:
    """Return a copy of a model's state, on the CPU, that later steps do not change."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _telling_lengths(inputs: Mapping[str, Inputs]) -> NDArray[np.int64]:
    """Return the lengths, shape (N,), that batches are bucketed by: of the first inputs that differ in them.

    Pooled activations of a frozen encoder all have length 1 and say nothing.
    """
    every = [part.lengths for part in inputs.values()]
    return next((part for part in every if part.min() < part.max()), every[0])


def _accelerator(mixed_precision: str, device: str) -> Accelerator:
    # "auto" means the same here as for the encoder's trunk: CUDA or the CPU, never a third kind of device.
    place = choose_device(device).type
    state = AcceleratorState._shared_state
    if state:
        # accelerate keeps one state a process, and refuses another precision or device, or takes the old one
        # without a word; a notebook trains many models. Several processes keep what they were started with.
        moved = state["device"].type != place and state["num_processes"] == 1
        if moved or state.get("_mixed_precision", mixed_precision) != mixed_precision:
            AcceleratorState._reset_state(reset_partial_state=moved)
    return Accelerator(mixed_precision=mixed_precision, cpu=place == "cpu")


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

"""The one training loop: several models side by side on the same samples, handed out epoch by epoch.

Random numbers come from (seed, epoch) alone, so a run that is stopped and resumed after any epoch gives the
same numbers as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from nlkit._util import progress
from nlkit.models.batching import Batch, Inputs, bucketed_batches
from nlkit.models.classifiers import Output
from nlkit.models.device import choose_device, choose_precision, threads_for
from nlkit.models.prediction import Prediction, predict
from nlkit.models.saving import Tensors, below
from nlkit.training.config import TrainingConfig
from nlkit.training.ema import WeightAverage
from nlkit.training.graphs import ModelPass
from nlkit.training.recording import Checkpoint, Stateful

__all__ = ["Interrupted", "Loss", "Trainer", "copied_weights"]


class Loss(Protocol):
    """Computes the loss of one model on one batch."""

    def __call__(
        self, name: str, model: Any, output: Output, index: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
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
    loss : Loss
        Loss of a model on a batch.
    epochs, batch_size : int
        Passes over the data, and samples a step.
    seed : int
        Of the order of samples, of dropout, and of what the loss draws.
    max_grad_norm : float
        Gradients of each model are scaled down to this L2 norm.
    weight_decay : float
        Of AdamW, on weights; biases and normalisation layers have none.
    lr_warmup_ratio : float
        Share of all steps over which learning rates rise linearly from 0.
    lr_decay_share : float
        Share of all steps, at the end, over which learning rates fall linearly to a tenth. 0: they stay.
    ema_epochs : float
        How many epochs a moving average of each model's weights reaches back (`nlkit.training.ema`); 0: none
        is kept. See `predict`.
    mixed_precision : str
        ``"no"``, ``"bf16"``, ``"fp16"`` or ``"auto"``: see `nlkit.models.device.choose_precision`.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``.
    description : str
        Shown at the progress bar.

    Attributes
    ----------
    epoch : int
        Epochs that are finished.
    history : DataFrame
        One row a finished epoch: epoch, the parts of the loss (means over samples), what the caller added,
        seconds, which count all that was done in the epoch, and bits: 16 where half precision was chosen.

    Examples
    --------
    >>> with trainer.running() as epochs:                                # doctest: +SKIP
    ...     for row in epochs:
    ...         row["accuracy"] = ...  # becomes a column of the history
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        inputs: Mapping[str, Inputs],
        groups: Mapping[str, list[dict[str, Any]]],
        loss: Loss,
        *,
        epochs: int,
        batch_size: int = 32,
        seed: int = 0,
        max_grad_norm: float = 1.0,
        weight_decay: float = 0.01,
        lr_warmup_ratio: float = 0.05,
        lr_decay_share: float = 0.0,
        ema_epochs: float = 0.0,
        mixed_precision: str = "no",
        device: str = "auto",
        description: str = "training",
    ) -> None:
        self.device = choose_device(device)
        self.precision = choose_precision(mixed_precision, self.device)
        self.inputs, self.loss, self.epochs, self.batch_size = dict(inputs), loss, epochs, batch_size
        self.seed, self.max_grad_norm, self.description = seed, max_grad_norm, description
        self._lengths = _telling_lengths(self.inputs)
        self._steps = math.ceil(len(self._lengths) / batch_size)
        self._warmup_steps = max(1, round(lr_warmup_ratio * self._steps * epochs))
        self._decay_steps = round(lr_decay_share * self._steps * epochs)
        self.models = {name: model.to(self.device) for name, model in models.items()}
        # One kernel for all weights of a model, where there is one.
        fused = self.device.type == "cuda" or None
        self.optimizers = {
            name: torch.optim.AdamW(
                _decay_groups(model, groups[name]), weight_decay=weight_decay, fused=fused
            )
            for name, model in self.models.items()
        }
        self.schedulers = {name: LambdaLR(o, self._rate) for name, o in self.optimizers.items()}
        # Half-precision gradients of fp16 underflow without it; switched off, it does nothing.
        self.scalers = {
            name: torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
            for name in self.models
        }
        self.averages = {
            name: WeightAverage(model, max(1.0, ema_epochs * self._steps))
            for name, model in self.models.items()
            if ema_epochs
        }
        self._passes = {
            name: ModelPass(
                model, self.precision, self.device, batch_size, int(self.inputs[name].lengths.max())
            )
            for name, model in self.models.items()
        }
        self.epoch = 0
        self.rows: list[dict[str, float]] = []
        self._parts: dict[str, Stateful] = {}
        self._whole: dict[str, Tensors] = {}

    @classmethod
    def from_config(
        cls, config: TrainingConfig, models: Mapping[str, Any], inputs: Mapping[str, Inputs], loss: Loss, *,
        lr: Mapping[str, float] | None = None, **settings: Any,
    ) -> Trainer:  # fmt: skip
        """Return a trainer with a config's settings, unless `settings` say otherwise.

        `lr` gives the learning rates of models that have no ``parameter_groups`` of their own.
        """
        c = config
        groups = {
            name: [{"params": list(model.parameters()), "lr": lr[name]}]
            if lr and name in lr
            else model.parameter_groups(c.lr_encoder, c.lr_head)
            for name, model in models.items()
        }
        usual: dict[str, Any] = {
            "epochs": c.epochs, "batch_size": c.batch_size, "seed": c.seed, "max_grad_norm": c.max_grad_norm,
            "weight_decay": c.weight_decay, "lr_warmup_ratio": c.lr_warmup_ratio,
            "lr_decay_share": c.lr_decay_share, "mixed_precision": c.mixed_precision, "device": c.device,
        }  # fmt: skip
        return cls(models, inputs, groups, loss, **usual | settings)

    @property
    def history(self) -> pd.DataFrame:
        """One row a finished epoch."""
        return pd.DataFrame(self.rows).assign(bits=32 if self.precision == "no" else 16)

    @contextmanager
    def running(
        self, checkpoint: Checkpoint | None = None, **parts: Stateful | None
    ) -> Iterator[Iterator[dict[str, float]]]:
        """Give an iterator over the epochs that are left.

        Each step trains one epoch and yields its row of the history. What the loop does with it belongs to
        the epoch: what it adds to the row, its seconds, and the checkpoint that is written after it.

        Parameters
        ----------
        checkpoint : Checkpoint, optional
            Read on entering, if there is one; written after each epoch.
        **parts : Stateful, optional
            What has to be in a checkpoint beside the models; None is left out.

        Raises
        ------
        Interrupted
            On Ctrl-C or the notebook's stop button. Models and history are those of the last whole epoch, if
            there was one, and with a checkpoint another run goes on after it.
        """
        self._parts = {name: part for name, part in parts.items() if part is not None}
        saved = checkpoint.read() if checkpoint else None
        if saved is not None:
            self.restore(*saved)
        with progress(
            total=self.epochs * self._steps, initial=self.epoch * self._steps, desc=self.description,
            unit="batch",
        ) as bar:  # fmt: skip
            try:
                yield self._epochs(bar, checkpoint)
            except KeyboardInterrupt as stop:
                for name, weights in self._whole.items():
                    self.models[name].load_state_dict(weights)
                raise Interrupted(
                    f"{self.description} was interrupted in epoch {self.epoch + 1} of {self.epochs}; "
                    f"{self.epoch} whole epochs are kept"
                ) from stop

    def _epochs(self, bar: Any, checkpoint: Checkpoint | None) -> Iterator[dict[str, float]]:
        while self.epoch < self.epochs:
            started = time.perf_counter()
            # A caller's own random numbers are left as they were.
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                row = self._train_epoch(bar)
            self.epoch += 1
            self.rows.append(row)
            # An interruption in the middle of the next epoch goes back to these.
            self._whole = {}  # before the new ones are made: they may be most of the memory there is
            self._whole = {name: copied_weights(model) for name, model in self.models.items()}
            yield row
            row["seconds"] = time.perf_counter() - started
            if checkpoint:
                checkpoint.write(*self.state())

    def _train_epoch(self, bar: Any) -> dict[str, float]:
        rng = np.random.default_rng([self.seed, self.epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        sums: dict[str, Tensor] = {}
        for model in self.models.values():
            model.train()
        batches = bucketed_batches(self._lengths, self.batch_size, rng)
        for step, (index, parts) in enumerate(self._prepared(batches)):
            for name, batch in parts.items():
                with threads_for(self.models[name]):
                    found = self._step(name, batch, index, rng)
                for key, value in found.items():
                    key = key if len(self.models) == 1 else f"{key}_{name}"
                    # Summed where they are: reading each one would wait for the device.
                    sums[key] = sums.get(key, torch.zeros(())) + value * (len(index) / len(self._lengths))
            bar.update()
            if step % 10 == 0 and self.device.type == "cpu":  # elsewhere once an epoch, at its end
                seen = (step + 1) / len(batches)
                bar.set_postfix(
                    epoch=self.epoch + 1, **{k: f"{float(v) / seen:.3f}" for k, v in sums.items()}
                )
        return {"epoch": self.epoch + 1.0, **{key: float(value) for key, value in sums.items()}}

    def _prepared(
        self, batches: Sequence[NDArray[np.int64]]
    ) -> Iterator[tuple[NDArray[np.int64], dict[str, Batch]]]:
        """Yield positions and each model's input; for a GPU the next ones are made while a step runs."""

        def make(index: NDArray[np.int64]) -> dict[str, Batch]:
            return {name: self.inputs[name].batch(index).to(self.device) for name in self.models}

        if self.device.type != "cuda":
            yield from ((index, make(index)) for index in batches)
            return
        with ThreadPoolExecutor(1) as ahead:
            following = ahead.submit(make, batches[0])
            for index, after in zip(batches, [*batches[1:], None], strict=True):
                parts = following.result()
                if after is not None:
                    following = ahead.submit(make, after)
                yield index, parts

    def _step(
        self, name: str, batch: Batch, index: NDArray[np.int64], rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Learn from one batch. Nothing here may read what is on the device: that would wait for it."""
        model, optimizer, scaler = self.models[name], self.optimizers[name], self.scalers[name]
        run = self._passes[name]
        output = run(batch)
        loss, parts = self.loss(name, model, output, index, rng)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        run.backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), self.max_grad_norm)
        scaler.step(optimizer)
        scaler.update()
        self.schedulers[name].step()
        if name in self.averages:
            self.averages[name].update()
        return {key: value.detach() for key, value in parts.items()}

    def _rate(self, step: int) -> float:
        """Return the share of its learning rate that a parameter group has at a step."""
        left = self._steps * self.epochs - step
        fall = max(0.1, left / self._decay_steps) if left < self._decay_steps else 1.0
        return min(1.0, (step + 1) / self._warmup_steps, fall)

    def predict(
        self, name: str, inputs: Inputs | None = None, *, batch_size: int | None = None,
        averaged: bool = False,
    ) -> Prediction:  # fmt: skip
        """Return a model's class probabilities and embeddings, without dropout.

        Of N prepared texts, by default the training samples. With `averaged`, by the model's averaged
        weights, if an average is kept.
        """
        with self.averages[name].used() if averaged and name in self.averages else nullcontext():
            return predict(
                self.models[name], self.inputs[name] if inputs is None else inputs, self.device,
                batch_size=batch_size, precision=self.precision,
            )  # fmt: skip

    def release(self) -> None:
        """Let go of what only further training needs: gradients and what the optimizers remember.

        An optimizer is part of a circle, so its memory would come back at some later time.
        """
        self._whole = {}
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
            optimizer.state.clear()

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all that a later process needs to go on after the last whole epoch."""
        tensors: Tensors = {}
        values: dict[str, Any] = {"epoch": self.epoch, "rows": self.rows, "parts": {}}
        values["scalers"] = {name: scaler.state_dict() for name, scaler in self.scalers.items()}
        for name, model in self.models.items():
            tensors |= {f"model.{name}.{k}": v for k, v in model.state_dict().items()}
            for number, entry in self.optimizers[name].state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{number}.{k}": v for k, v in entry.items()}
        for name, average in self.averages.items():
            tensors |= {f"average.{name}.{k}": v for k, v in average.state_dict().items()}
        for name, part in self._parts.items():
            own, values["parts"][name] = part.state()
            tensors |= {f"part.{name}.{k}": v for k, v in own.items()}
        return tensors, values

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned, models, optimizers and parts alike."""
        if set(self._parts) != set(values["parts"]):
            raise ValueError(
                f"the checkpoint holds the state of {sorted(values['parts'])}, this run needs that of "
                f"{sorted(self._parts)}: start it with the same splits, or without the checkpoint"
            )
        self.epoch, self.rows = int(values["epoch"]), list(values["rows"])
        for name, model in self.models.items():
            model.load_state_dict(below(tensors, f"model.{name}."))
            state: dict[int, Tensors] = {}
            for key, tensor in below(tensors, f"optimizer.{name}.").items():
                parameter, entry = key.split(".", 1)
                state.setdefault(int(parameter), {})[entry] = tensor
            optimizer = self.optimizers[name]
            optimizer.load_state_dict(
                {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
            )
            self.scalers[name].load_state_dict(values["scalers"][name])
            self.schedulers[name] = LambdaLR(optimizer, self._rate, self.epoch * self._steps - 1)
        for name, average in self.averages.items():
            average.load_state_dict(below(tensors, f"average.{name}."))
        self._whole = {name: copied_weights(model) for name, model in self.models.items()}
        for name, part in self._parts.items():
            part.restore(below(tensors, f"part.{name}."), values["parts"][name])


def copied_weights(model: nn.Module) -> Tensors:
    """Return a copy of a model's state, on its device, that later steps do not change."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _decay_groups(model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return parameter groups in which biases and normalisation layers have no weight decay."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def decays(parameter: Tensor) -> bool:
        return parameter.ndim > 1 and "bias" not in names[id(parameter)].rpartition(".")[2]

    found = []
    for group in groups:
        parts = {wanted: [p for p in group["params"] if decays(p) == wanted] for wanted in (True, False)}
        found += [group | {"params": parts[True]}] if parts[True] else []
        found += [group | {"params": parts[False], "weight_decay": 0.0}] if parts[False] else []
    return found


def _telling_lengths(inputs: Mapping[str, Inputs]) -> NDArray[np.int64]:
    """Return the lengths, shape (N,), that batches are bucketed by: of the first inputs that differ in them.

    Pooled activations of a frozen encoder all have length 1 and say nothing.
    """
    every = [part.lengths for part in inputs.values()]
    return next((part for part in every if part.min() < part.max()), every[0])

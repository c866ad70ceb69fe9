"""Hooks into the training loop: recording training dynamics, checkpoints, and the base for more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlkit.models.prediction import Prediction
from nlkit.models.saving import load_tensors, save_tensors

if TYPE_CHECKING:
    from nlkit.training import Trainer

__all__ = ["Callback", "Checkpoint", "DynamicsRecorder", "Tensors"]

Tensors = dict[str, Tensor]


class Callback:
    """Hook into the loop; subclasses override what they need. Their state travels in checkpoints."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch, or before the first one after a resume."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before each epoch, also the first one after a resume; `trainer.epoch` are finished."""

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
        """Predict the training set once with each model, by its averaged weights if an average is kept."""
        for name, inputs in trainer.inputs.items():
            self.latest[name] = trainer.predict(name, inputs, averaged=True)
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

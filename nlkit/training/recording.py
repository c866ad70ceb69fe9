"""What a run leaves: the training dynamics of its models, and checkpoints to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from nlkit._util import expanded
from nlkit.models.prediction import Prediction
from nlkit.models.saving import Tensors, load_tensors, save_tensors

__all__ = ["Checkpoint", "DynamicsRecorder", "Stateful"]


class Stateful(Protocol):
    """What a checkpoint can hold beside the models."""

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return tensors and JSON values."""

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned."""


class DynamicsRecorder:
    """Training dynamics: every training sample's class probabilities after each epoch, for each model.

    Attributes
    ----------
    probability : dict of str to list of ndarray
        For each model, one array (N, C) of float16 an epoch.
    """

    def __init__(self) -> None:
        self.probability: dict[str, list[NDArray[np.float16]]] = {}

    def record(self, **predictions: Prediction) -> None:
        """Add one epoch: what each model predicts for the training samples."""
        for name, found in predictions.items():
            self.probability.setdefault(name, []).append(found.probability.astype(np.float16))

    def stacked(self) -> dict[str, NDArray[np.float16]]:
        """Return the recorded probabilities of each model, shape (E, N, C); E epochs."""
        return {name: np.stack(epochs) for name, epochs in self.probability.items()}

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all that was recorded."""
        return {name: torch.from_numpy(epochs) for name, epochs in self.stacked().items()}, {}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what was recorded."""
        self.probability = {name: list(epochs.numpy()) for name, epochs in tensors.items()}


class Checkpoint:
    """The state of a run on disk, replaced after each epoch.

    Parameters
    ----------
    folder : path
        Holds one file, ``checkpoint.safetensors``, replaced by a rename.
    identity : str
        What the run is (its config and data, hashed): a checkpoint of another run is refused.
    """

    def __init__(self, folder: str | Path, identity: str) -> None:
        self.path, self.identity = expanded(folder) / "checkpoint.safetensors", identity

    def read(self) -> tuple[Tensors, dict[str, Any]] | None:
        """Return the state that was written last, None where there is none."""
        if not self.path.exists():
            return None
        tensors, values = load_tensors(self.path)
        if values.get("identity") != self.identity:
            raise ValueError(
                f"checkpoint={str(self.path)!r} belongs to another run (other settings or data): "
                "delete it or choose another folder"
            )
        return tensors, values["run"]

    def write(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Save a state in place of the last one."""
        save_tensors(self.path, tensors, {"identity": self.identity, "run": values})

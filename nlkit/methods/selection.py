"""Which epoch is kept: accuracy on noisy validation labels, and, for the history only, on true labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from nlkit.data.checks import numbers_of
from nlkit.data.observed import learnt_names, observed_validation
from nlkit.metrics.predictions import accuracy
from nlkit.models.batching import Inputs
from nlkit.models.saving import Tensors
from nlkit.training.trainer import Trainer, copied_weights

__all__ = ["Selection", "eval_parts"]


def eval_parts(
    ds: Mapping[str, Dataset], splits: Sequence[str]
) -> list[tuple[str, list[str], NDArray[np.int64]]]:
    """Return name, texts and true labels of some splits, without the samples that have no label."""
    parts = []
    for split in splits:
        if split not in ds or "label" not in ds[split].column_names:
            raise ValueError(f"eval_splits={split!r}: ds has no such split with a column 'label'")
        label = numbers_of(ds[split], "label", f"ds[{split!r}]", learnt_names(ds))
        known = np.flatnonzero(label >= 0)
        if not len(known):
            raise ValueError(f"eval_splits={split!r}: every label of this split is missing (-1)")
        texts = list(ds[split]["text"])
        parts.append((split, [texts[i] for i in known], label[known]))
    return parts


class Selection:
    """Scores a model after each epoch, and keeps the weights of the one best by noisy validation labels.

    Parameters
    ----------
    name : str
        The model's name in the trainer.
    model : module
        It prepares the texts.
    ds : mapping of str to Dataset
        A split "validation" with noisy labels selects; without one nothing does.
    eval_splits : sequence of str
        Splits whose true labels are compared with the predictions, for the history only.
    averaged : bool
        Whether the latter are predicted by the averaged weights.

    Attributes
    ----------
    best_epoch : int
        0 as long as there is none.
    weights : dict of str to Tensor
        Of the best epoch; of equal ones the earliest, it has memorised less.
    lost : bool
        Whether the last epoch is worse than the best one by more than two standard errors.
    """

    def __init__(
        self, name: str, model: Any, ds: Mapping[str, Dataset], eval_splits: Sequence[str] = (), *,
        averaged: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.averaged = name, averaged
        part = observed_validation(ds)
        self._validation = None if part is None else (model.prepare(part.texts), part.noisy_label)
        self._evaluated: list[tuple[str, Inputs, NDArray[np.int64]]] = [
            (split, model.prepare(texts), label) for split, texts, label in eval_parts(ds, eval_splits)
        ]
        self.best_epoch, self._best, self.lost = 0, -1.0, False
        self.weights: Tensors = {}

    def after_epoch(self, trainer: Trainer) -> dict[str, float]:
        """Return the accuracies, for the history."""
        found = {}
        if self._validation is not None:
            inputs, label = self._validation
            score = accuracy(trainer.predict(self.name, inputs).class_probability(), label)
            found["accuracy_noisy_validation"] = score
            if score > self._best:
                self._best, self.best_epoch = score, trainer.epoch
                self.weights = copied_weights(trainer.models[self.name])
            known = (label >= 0).sum()
            share = (self._best * known + 2) / (known + 4)  # after Agresti and Coull: no error of 0
            self.lost = bool(self._best - score > 2 * np.sqrt(share * (1 - share) / (known + 4)))
        for split, inputs, label in self._evaluated:
            p = trainer.predict(self.name, inputs, averaged=self.averaged).class_probability()
            found[f"accuracy_{split}"] = accuracy(p, label)
        return found

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return the best weights and when they were reached."""
        return self.weights, {"accuracy": self._best, "epoch": self.best_epoch, "lost": self.lost}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.weights, self._best, self.best_epoch = tensors, values["accuracy"], values["epoch"]
        self.lost = values["lost"]

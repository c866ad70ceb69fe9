"""NoiseAL, then SiDyP: the one says which labels are clean, the other learns from these alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray

from nlkit._util import expanded
from nlkit.data.observed import Observed, checked_labels, observe, observed_validation, with_column
from nlkit.methods.noiseal.method import NoiseAL
from nlkit.methods.sidyp.method import SiDyP

__all__ = ["NoiseALThenSiDyP"]

SHARED = (
    "encoder", "trainable_layers", "max_length", "batch_size", "mixed_precision", "device", "profile", "seed",
)  # fmt: skip
"""Settings that NoiseAL takes over; all others are its profile's."""


class NoiseALThenSiDyP(SiDyP):
    """`SiDyP` on the labels of `NoiseAL`'s clean set R; it is told nothing of the others. Nobody is asked.

    Of the validation labels those stay that NoiseAL predicts: judged by labels noisier than those it learns
    from, SiDyP would take itself to be wrong as often as these are, and its probabilities would be flat.

    Parameters and attributes are those of `SiDyP`.

    Attributes
    ----------
    trusted_ : DataFrame
        One row a training sample: index, and whether its label was learnt from: those in R and those that a
        person has checked; where nothing is in R, all.
    """

    trusted_: pd.DataFrame
    tables: ClassVar[tuple[str, ...]] = (*SiDyP.tables, "trusted_")

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Fit NoiseAL, then SiDyP; parameters as in `SiDyP.fit`, and each has a checkpoint of its own."""
        data, settings = observe(ds, "train"), self.config.to_dict()
        first = NoiseAL(annotator=None, query_budget=0, **{name: settings[name] for name in SHARED})
        place = {name: expanded(checkpoint) / name if checkpoint else None for name in ("noiseal", "sidyp")}
        first.fit(ds, checkpoint=place["noiseal"])
        trusted = (first.partition_["set"] == "R").to_numpy() | data.checked
        if not (trusted & (data.noisy_label >= 0)).any():
            trusted = np.ones(len(trusted), bool)
        self.trusted_ = pd.DataFrame({"index": np.arange(len(trusted)), "trusted": trusted})
        kept = type(ds)({**ds, "train": self._kept(ds["train"])})
        if observed_validation(ds) is not None:
            part = ds["validation"]
            noisy = np.array(part["noisy_label"][:])
            stays = (first.predict(part["text"][:]) == noisy) | checked_labels(part, noisy)
            kept["validation"] = _only(part, stays)
        return super().fit(kept, eval_splits=eval_splits, checkpoint=place["sidyp"])

    def _kept(self, train: Dataset) -> Dataset:
        """Return a training split without the labels that are not trusted."""
        return _only(train, self.trusted_["trusted"].to_numpy())

    def _check_trained_on(self, dataset: Dataset) -> Observed:
        self._check_fitted()
        whole = "noisy_label" in dataset.column_names and len(dataset) == len(self.trusted_)
        return super()._check_trained_on(self._kept(dataset) if whole else dataset)


def _only(part: Dataset, stays: NDArray[np.bool_]) -> Dataset:
    """Return a split with some of its noisy labels; the others are missing."""
    label = np.where(stays, part["noisy_label"][:], -1)
    return with_column(part, "noisy_label", label.tolist(), part.features["noisy_label"])

"""What a method may see of a data set: texts and observed labels. The honest protocol lives here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from numpy.typing import NDArray

from nlkit._util import content_hash
from nlkit.data.checks import check_texts, numbers_of

__all__ = [
    "CHECKED",
    "Observed",
    "checked_labels",
    "label_names",
    "learnt_names",
    "observe",
    "observed_validation",
    "with_column",
]

CHECKED = "label_checked"
"""Column of truth values that `nlkit.study.decisions` makes: labels that a person has decided on."""


@dataclass(frozen=True)
class Observed:
    """What a method may see of a split: N texts, their observed labels ỹ (−1: missing), which are checked."""

    texts: list[str]
    noisy_label: NDArray[np.int64]
    checked: Any = None  # array of bool, shape (N,); None: nobody has checked any

    def __post_init__(self) -> None:
        if self.checked is None:
            object.__setattr__(self, "checked", np.zeros(len(self.texts), bool))

    def identity(self) -> str:
        """Return a hash of texts, labels and which of these are checked."""
        which = [self.checked.tobytes().hex()] if self.checked.any() else []
        return content_hash(*self.texts, self.noisy_label.tobytes().hex(), *which)

    def labelled(self) -> Observed:
        """Return the samples that have a label."""
        known = np.flatnonzero(self.noisy_label >= 0)
        return self.take(known)

    def take(self, at: NDArray[np.int64]) -> Observed:
        """Return the samples at these places."""
        return Observed([self.texts[i] for i in at], self.noisy_label[at], self.checked[at])


def observe(ds: Mapping[str, Dataset], split: str) -> Observed:
    """Take texts and observed labels out of a split; the column ``label`` is not touched.

    Labels for which a column of truth values, ``label_checked``, says so are a person's, and trusted: NoiseAL
    keeps them in R, SiDyP suspects and changes none, SelfMix and DivideMix keep them, Co-teaching and JoCoR
    choose them first, those that clean labels first leave them. To a plain loss all labels are alike.

    Raises
    ------
    ValueError
        If the split or one of its columns is missing, a text or a label cannot be used, or nothing is
        labelled.
    """
    if split not in ds:
        raise ValueError(f"ds has no split {split!r}: it has {sorted(ds)}")
    columns = ds[split].column_names
    for name in ("text", "noisy_label"):
        if name not in columns:
            remedy = "; make it with nk.add_noise, or load it" if name == "noisy_label" else ""
            raise ValueError(f"ds[{split!r}] has no column {name!r}: it has {columns}{remedy}")
    texts = check_texts(ds[split]["text"][:], f"ds[{split!r}]['text']")
    label = numbers_of(ds[split], "noisy_label", f"ds[{split!r}]", learnt_names(ds))
    data = Observed(texts, label, checked_labels(ds[split], label))
    if not (data.noisy_label >= 0).any():
        raise ValueError(f"ds[{split!r}]: every noisy_label is missing (-1); label some texts first")
    return data


def checked_labels(part: Dataset, label: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of a split's labels, shape (N,), a person has decided on, by its column `CHECKED`."""
    if CHECKED not in part.column_names or part.features[CHECKED].dtype != "bool":
        return np.zeros(len(part), bool)
    checked: NDArray[np.bool_] = np.array(part[CHECKED][:], bool) & (label >= 0)
    return checked


def observed_validation(ds: Mapping[str, Dataset]) -> Observed | None:
    """Return the labelled samples of the validation split, or None where there are none."""
    if "validation" not in ds or "noisy_label" not in ds["validation"].column_names:
        return None
    label = numbers_of(ds["validation"], "noisy_label", "ds['validation']")
    return observe(ds, "validation").labelled() if (label >= 0).any() else None


def learnt_names(ds: Mapping[str, Dataset]) -> list[str] | None:
    """Return the class names of the observed training labels, None where there are none."""
    feature = ds["train"].features.get("noisy_label") if "train" in ds else None
    return list(feature.names) if isinstance(feature, ClassLabel) else None


def label_names(ds: Mapping[str, Dataset]) -> list[str]:
    """Return the C class names of the training split."""
    names = learnt_names(ds)
    if names is None:
        raise ValueError("ds['train']['noisy_label'] must be a ClassLabel; nk.load_dataset makes one")
    if len(names) < 2:
        raise ValueError(f"label_names={names!r}: a classifier needs at least two classes")
    return names


def with_column(data: Dataset, name: str, values: Sequence[Any], feature: Any = None) -> Dataset:
    """Return a data set with this column, instead of an older one of the same name, as the last one."""
    kept = data.remove_columns([name]) if name in data.column_names else data
    return kept.add_column(name, list(values), feature=feature)

"""Small tools of the tests of the methods."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict


def replaced(dataset: Dataset, column: str, values: Any) -> Dataset:
    """Return a split with other class numbers in a column."""
    values, feature = np.asarray(values).tolist(), dataset.features[column]
    return dataset.remove_columns(column).add_column(column, values, feature=feature)


def relabelled(ds: DatasetDict, noisy_label: Any) -> DatasetDict:
    """Return data with other observed labels in the training split."""
    return DatasetDict({**ds, "train": replaced(ds["train"], "noisy_label", noisy_label)})


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int = 1) -> None:
    """Raise KeyboardInterrupt in the n-th call of a function; let the others through."""
    plain, calls = getattr(owner, name), itertools.count(1)

    def watched(*arguments: Any, **named: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return plain(*arguments, **named)

    monkeypatch.setattr(owner, name, watched)

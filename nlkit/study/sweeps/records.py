"""Records of cells as Parquet: one small file a cell, written whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nlkit._util import atomic_write, expanded, invalid

__all__ = ["METRICS", "SCHEMA", "Records", "read_records", "table_of"]

METRICS = ("accuracy", "macro_f1", "nll", "brier", "ece", "ece_adaptive")

_TEXT = (
    "key", "status", "error", "method", "made", "dataset", "noise", "labeller", "encoder", "profile",
    "annotator", "config", "history", "warnings", "versions", "revision",
)  # fmt: skip
_WHOLE = (
    "seed",
    "size",
    "test_size",
    "shots",
    "query_budget",
    "n_train",
    "n",
    "best_epoch",
    "questions",
    "tokens",
)
_REAL = (
    "rate", "wrong", *METRICS, *(f"best_{name}" for name in METRICS), "money", "seconds_data", "seconds_fit",
    "seconds_evaluate", "peak_mb", "noisy_validation", "best_noisy_validation",
)  # fmt: skip

SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXT]
    + [(name, pa.int64()) for name in _WHOLE]
    + [(name, pa.float64()) for name in _REAL]
)
"""Columns of a record.

status is "done" or "failed" (error says why); size what was asked for, n_train what was learnt from, wrong
the share of its labels that are wrong (metrics alone read the truth); the metrics are of `n` test texts at
the last epoch, best_… at the epoch that noisy validation labels chose, NaN where there is none; of
noisy_validation the accuracy is by those labels. config,
history (a row an epoch), warnings and versions are JSON. questions counts those whose answer came; tokens
and money are what was paid for them, of an API.
"""


def table_of(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return records as a table, in their order, with the columns of `SCHEMA`."""
    table: pd.DataFrame = pa.Table.from_pylist([dict(record) for record in records], SCHEMA).to_pandas()
    return table


def read_records(place: str | Path) -> pd.DataFrame:
    """Return the records of a sweep's folder, or of one Parquet file; one row a cell, columns as `SCHEMA`.

    Raises
    ------
    ValueError
        If there are none.
    """
    path = expanded(place)
    files = [path] if path.is_file() else sorted((path / "cells").glob("[!.]*.parquet"))
    if not files:
        invalid("results", str(place), "a folder that a sweep wrote to, or a Parquet file of records")
    table: pd.DataFrame = pa.concat_tables([pq.read_table(file, schema=SCHEMA) for file in files]).to_pandas()
    return table


class Records:
    """The folder of a sweep: ``cells/<key>.parquet`` for each cell that is finished."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = expanded(folder) / "cells"
        self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return a cell's record; None if there is none, or a damaged one, which is named in a warning."""
        path = self.folder / f"{key}.parquet"
        if not path.is_file():
            return None
        try:
            record: dict[str, Any] = pq.read_table(path, schema=SCHEMA).to_pylist()[0]
        except (pa.ArrowInvalid, OSError, IndexError) as error:
            warnings.warn(f"{path} is damaged ({error}): this cell is run again", stacklevel=2)
            return None
        return record

    def put(self, record: Mapping[str, Any]) -> None:
        """Keep a record in place of an older one of the same cell."""
        with atomic_write(self.folder / f"{record['key']}.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist([dict(record)], SCHEMA), temporary)

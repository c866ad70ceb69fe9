"""The way out: a table of splits with labels by name, and a CSV file that a spreadsheet can open safely."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlkit._util import atomic_write, expanded, invalid

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

__all__ = ["named_table", "neutralised", "to_csv", "write_csv"]

FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?(e[+-]?\d+)?", re.I)


def named_table(ds: Dataset | Mapping[str, Dataset]) -> pd.DataFrame:
    """Return a split, or all splits, as one table in the order of their source.

    Returns
    -------
    pandas.DataFrame
        The columns of `ds`, class numbers as names (None: missing); of several splits a column ``split`` too.
        Rows are ordered by ``row``, or ``id`` without such a column, where that is a number which no two rows
        share; else split by split.
    """
    import pandas as pd

    if isinstance(ds, Mapping):
        # As objects: integers that are missing in some splits stay integers.
        parts = [named_table(part).astype(object).assign(split=split) for split, part in ds.items()]
        table = pd.concat(parts, ignore_index=True)
    else:
        columns: dict[str, Any] = {}
        for name, feature in ds.features.items():
            values = ds.with_format(None)[name][:]
            if names := getattr(feature, "names", None):
                values = [None if n is None or n < 0 else names[n] for n in values]
            columns[name] = pd.Series(values, dtype=object if names or None in values else None)
        table = pd.DataFrame(columns)
    name = "row" if "row" in table else "id"
    if name not in table or pd.api.types.infer_dtype(table[name], skipna=False) != "integer":
        return table
    return table.sort_values(name, kind="stable", ignore_index=True) if table[name].is_unique else table


def neutralised(value: Any) -> Any:
    """Return a cell that no spreadsheet runs: with ' before it if it begins as a formula does.

    Numbers stay as they are.
    """
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def to_csv(ds: Dataset | Mapping[str, Dataset], path: str | os.PathLike[str]) -> Path:
    """Write a split, or all splits, to CSV: ids, all columns, labels by name, in the order of their source.

    A cell that begins as a formula does (= + - @) gets ' before it (`neutralised`); a missing label is empty.

    Parameters
    ----------
    ds
        Such as `nlkit.load_dataset` or ``SiDyP.refine`` returns.
    path
        Ends in .csv or .csv.gz; what is there is replaced once all is written.

    Returns
    -------
    pathlib.Path
        Where it is.
    """
    target = expanded(path)
    if not re.search(r"\.csv(\.gz)?$", target.name, re.I):
        invalid("path", str(path), "a file whose name ends in .csv or .csv.gz")
    table = named_table(ds)
    with atomic_write(target) as temporary:
        write_csv(table, temporary)
    return target


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table to CSV (RFC 4180), each cell `neutralised`."""
    import pandas as pd

    cells = {neutralised(name): list(map(neutralised, values)) for name, values in table.items()}
    safe = pd.DataFrame(cells, dtype=object)  # `DataFrame.map` would make floats of integers with gaps
    # Only what is part of the line's end is quoted: with "\n" alone a "\r" in a text would end the row.
    safe.to_csv(path, index=False, encoding="utf-8", lineterminator="\r\n")

"""What goes through unchanged: ids, and every column that is neither text nor label."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nlkit.data.checks import is_missing
from nlkit.data.labels import Part
from nlkit.data.readers import DataError, DataWarning, Table

if TYPE_CHECKING:
    from datasets import DatasetDict

__all__ = ["Others", "to_datasets"]


class Others(NamedTuple):
    """Names of the columns that are read: id (None: "id", if it is one), text and labels by use."""

    id: str | None
    text: str
    labels: Mapping[str, str]
    keep_labels: bool


def to_datasets(parts: Mapping[str, Part], names: Sequence[str], others: Others) -> DatasetDict:
    """Return the splits with all their columns."""
    import pyarrow as pa
    from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, NamedSplit, Value

    tables = list({id(part.table): part.table for part in parts.values()}.values())
    own_id = _own_id(tables, others.id)
    used = {others.text, own_id} | ({*others.labels.values()} if not others.keep_labels else set())
    kept = dict.fromkeys(c for table in tables for c in table.columns if c not in used)
    shown = {column: f"original_{use}" for use, column in others.labels.items() if column in kept}
    taken = {"id", "text", "row", *others.labels, *shown.values()}
    # A column whose name is free keeps it.
    for c in sorted((c for c in kept if c not in shown), key=taken.__contains__):
        shown[c] = c
        while shown[c] in taken:
            shown[c] = f"original_{shown[c]}"
        taken.add(shown[c])
    kinds = {c: _kind(c, tables) for c in kept}
    result = DatasetDict()
    for split in sorted(parts, key=["train", "validation", "test"].index):
        part, table = parts[split], parts[split].table
        columns: dict[str, Any] = {"id": _ids(table, own_id, part.at), "text": pa.array(part.texts)}
        columns |= {use: pa.array(label) for use, label in part.labels.items()}
        if own_id:
            columns["row"] = pa.array([(table.places or table.rows)[i] for i in part.at])
        for c in kept:
            if c in table.columns:
                columns[shown[c]] = _array([table.columns[c][i] for i in part.at], kinds[c])
        content = pa.table(columns)
        features = Features.from_arrow_schema(content.schema)
        features |= {"text": Value("string")} | {use: ClassLabel(names=list(names)) for use in part.labels}
        info = DatasetInfo(features=Features(features))
        result[split] = Dataset(content.cast(info.features.arrow_schema), info=info, split=NamedSplit(split))
    return result


def _own_id(tables: Sequence[Table], given: str | None) -> str | None:
    """Return the column with ids, None if rows are numbered."""
    column = given or "id"
    if not any(column in table.columns for table in tables):
        if given is None:
            return None
        have = ", ".join(map(repr, tables[0].columns))
        raise DataError(
            f"there is no column {given!r}", f"It has {have}; pass id=… with one.", tables[0].file
        )
    first: dict[Any, int] = {}
    for table in tables:
        # Files of their own for each split may count anew.
        first = first if table.file == tables[0].file else {}
        for value, row in zip(table.columns.get(column, ()), table.rows, strict=False):
            if isinstance(value, list | dict):
                why = f"is a {type(value).__name__}"
            elif is_missing(value) or value == "":
                why = "is missing"
            elif first.setdefault(value, row) != row:
                why = f"also stands in row {first[value]}"
            else:
                why = ""
            if why:
                problem = f"the id {value!r} {why} (column {column!r})"
                if given is not None:
                    remedy = "Make ids unique, or leave id out: then rows are numbered."
                    raise DataError(problem, remedy, table.file, row)
                said = f"{table.file}, row {row}: {problem}; rows are numbered instead"
                warnings.warn(said, DataWarning, stacklevel=4)
                return None
    return column


def _ids(table: Table, column: str | None, at: Any) -> Any:
    import pyarrow as pa

    if column in table.columns:
        return _array([table.columns[column][i] for i in at], _kind(column, [table]))
    if table.files:
        return pa.array([f"{Path(table.files[i]).name}:{table.rows[i]}" for i in at])
    return pa.array([table.rows[i] for i in at])


def _kind(column: str, tables: Sequence[Table]) -> Any:
    """Return the Arrow type of a column in all tables: text if its values are of several kinds."""
    import pyarrow as pa

    values = list(chain(*(table.columns.get(column, ()) for table in tables)))
    try:
        kind = pa.array(values, from_pandas=True).type
    except (TypeError, ValueError, OverflowError):
        kind = pa.null()
    return pa.string() if pa.types.is_null(kind) else kind


def _array(values: list[Any], kind: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values, kind, from_pandas=True)
    except (TypeError, ValueError, OverflowError):  # of several kinds, or half characters
        said = [None if is_missing(value) else str(value) for value in values]
        return pa.array([s and s.encode("utf-8", "backslashreplace").decode() for s in said], kind)

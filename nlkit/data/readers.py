"""Read text tables from disk: CSV, TSV, JSONL, Parquet and the packaged ``.tab`` files.

Every reader keeps the row number as it is in the file, and sets malformed rows aside with a reason instead of
dropping them or stopping at the first. What a row means (labels, missing text) is decided in `nlkit.data`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nlkit._util import invalid

__all__ = ["SUFFIXES", "DataError", "Skipped", "Table", "read_tab", "read_table"]

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


class DataError(ValueError):
    """Data that cannot be used; the message names the file, the row and what to do."""

    def __init__(self, problem: str, remedy: str, file: str = "", row: int | None = None) -> None:
        place = file + (f", row {row}" if row is not None else "")
        super().__init__(f"{place}: {problem}. {remedy}" if place else f"{problem}. {remedy}")


class Skipped(NamedTuple):
    """A row that was set aside: its number in the file, why, and its beginning."""

    row: int
    reason: str
    content: str


@dataclass
class Table:
    """The columns of one file, the rows' numbers in it, and the rows set aside."""

    file: str
    columns: dict[str, list[Any]]
    rows: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    class_names: dict[str, list[str]] = field(default_factory=dict)

    def name_classes(self, column: str, names: Sequence[str]) -> None:
        """Write a column of class numbers as names: the same number may be another class elsewhere."""
        for place, number in enumerate(self.columns[column]):
            if number is not None and number >= len(names):
                problem = (
                    f"the class number {number} of the column {column!r} has no name: {', '.join(names)}"
                )
                raise DataError(problem, "Write the column with all its names.", self.file, self.rows[place])
        named = [None if n is None or n < 0 else names[n] for n in self.columns[column]]
        self.columns[column], self.class_names[column] = named, list(names)

    def add(self, row: int, cells: list[str], delimiter: str = "\t") -> None:
        """Add a row of cells, one a column; one of another width is set aside."""
        if len(cells) == len(self.columns):
            self.rows.append(row)
            for values, cell in zip(self.columns.values(), cells, strict=True):
                values.append(cell)
        else:
            filled = any(cell.strip() for cell in cells)
            width = f"{len(cells)} columns instead of {len(self.columns)}" if filled else "empty line"
            self.skipped.append(Skipped(row, width, delimiter.join(cells)[:80]))


def read_table(path: str | os.PathLike[str], encoding: str) -> Table:
    """Read a file by its suffix: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``."""
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        invalid(
            "path", str(path), f"the file's name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        )
    if not target.is_file():
        raise DataError("there is no such file", "Check the path.", str(path))
    if suffix == ".parquet":
        return _read_parquet(target)
    text = _decode(target, encoding)
    if suffix == ".jsonl":
        return _read_jsonl(text, str(path))
    return _read_delimited(text, str(path), "," if suffix == ".csv" else "\t")


def read_tab(path: Path) -> Table:
    """Read a packaged ``.tab`` file: three header lines, then label and text, without any quoting."""
    table = Table(path.name, {"label": [], "text": []})
    for row, line in enumerate(_decode(path, "utf-8").removesuffix("\n").split("\n")[3:], start=4):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) == 2 and not all(cells):
            table.skipped.append(Skipped(row, "empty label or text", line[:80]))
        else:
            table.add(row, cells)
    return table


def _decode(path: Path, encoding: str) -> str:
    raw = path.read_bytes()
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        invalid("encoding", encoding, 'a Python codec such as "utf-8", "latin-1" or "cp1252"')
    except UnicodeDecodeError as error:
        raise DataError(
            f"the bytes {raw[error.start : error.start + 4]!r} are not {encoding}",
            'Pass the file\'s encoding, for example encoding="cp1252", or save the file as UTF-8.',
            str(path), raw.count(b"\n", 0, error.start) + 1,
        ) from error  # fmt: skip


# csv keeps its limit on field length for the whole process, and a document may be longer than its 128 KiB.
_FIELD_LIMIT = threading.Lock()


@contextmanager
def _long_fields() -> Iterator[None]:
    with _FIELD_LIMIT:
        before = csv.field_size_limit(2**31 - 1)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _read_delimited(text: str, file: str, delimiter: str) -> Table:
    # strict: a quote that is never closed is an error, not one field that swallows the rest of the file.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records, start = [], 1
    with _long_fields():
        try:
            for cells in reader:
                records.append((start, cells))
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"the quotes do not match from here on ({error})",
                'Put the whole field in quotes and double the quotes inside it: "say ""yes""".', file, start,
            ) from error  # fmt: skip
    header = [cell.strip() for cell in records.pop(0)[1]] if records else []
    if not any(header):
        raise DataError("the file has no header", "Its first row must hold the columns' names.", file, 1)
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(f"columns {twice} appear twice", "Rename one of them.", file, 1)
    while records and not any(records[-1][1]):
        records.pop()  # empty lines at the end are an editor's habit, not lost data
    table = Table(file, {name: [] for name in header})
    for row, cells in records:
        table.add(row, cells, delimiter)
    return table


def _read_jsonl(text: str, file: str) -> Table:
    table, records = Table(file, {}), []
    # Only "\n" ends a record: JSON strings may hold other line separators of Unicode unescaped.
    for row, line in enumerate(text.rstrip().split("\n"), start=1):
        try:
            record, why = json.loads(line), "not a JSON object"
        except ValueError as error:
            record, why = None, f"not JSON ({error})" if line.strip() else "empty line"
        if isinstance(record, dict):
            table.rows.append(row)
            records.append(record)
        else:
            table.skipped.append(Skipped(row, why, line[:80]))
    names = dict.fromkeys(name for record in records for name in record)
    table.columns = {name: [record.get(name) for record in records] for name in names}
    return table


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        problem = f"this is not a readable Parquet file ({error})"
        raise DataError(problem, "Write it again.", str(path)) from error
    # Files written by `datasets` carry the names of their classes.
    described = json.loads((content.schema.metadata or {}).get(b"huggingface", b"{}"))
    features = described.get("info", {}).get("features", {})
    table = Table(str(path), content.to_pydict(), list(range(1, content.num_rows + 1)))
    for name, feature in features.items():
        if isinstance(feature, dict) and feature.get("names") and name in table.columns:
            table.name_classes(name, feature["names"])
    return table

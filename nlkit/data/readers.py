"""Read rows: of CSV, TSV, JSON, JSONL and Parquet, also as .gz, of data frames, and packaged ``.tab`` files.

Every reader keeps the row number as it is in the file, and sets malformed rows aside with a reason instead of
dropping them or stopping at the first. What a row means (labels, missing text) is decided in `nlkit.data`.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nlkit._util import expanded, invalid

__all__ = ["SUFFIXES", "DataError", "DataWarning", "Skipped", "Table", "read_rows", "read_tab"]

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
DELIMITERS = (",", ";", "\t", "|")


class DataError(ValueError):
    """Data that cannot be used; the message names the file, the row and what to do."""

    def __init__(self, problem: str, remedy: str, file: str = "", row: int | None = None) -> None:
        place = file + (f", row {row}" if row is not None else "")
        super().__init__(f"{place}: {problem}. {remedy}" if place else f"{problem}. {remedy}")


class DataWarning(UserWarning):
    """Something about a file that one should know, such as rows that were left out."""


class Skipped(NamedTuple):
    """A row that was set aside: its number in the file, why, its beginning, and the file."""

    row: int
    reason: str
    content: str
    file: str


@dataclass
class Table:
    """The columns of one source, the rows' numbers in it, and the rows set aside.

    Where there are several files, `files` names that of each row, and `places` are their running numbers.
    """

    file: str
    columns: dict[str, list[Any]]
    rows: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    class_names: dict[str, list[str]] = field(default_factory=dict)
    files: list[str] | None = None
    places: Sequence[int] | None = None

    def file_of(self, position: int) -> str:
        """Return the file of the row at a position."""
        return self.files[position] if self.files else self.file

    def skip(self, position: int, reason: str, content: str) -> Skipped:
        """Return the row at a position as one that is set aside."""
        shown = content[:80].encode("utf-8", "backslashreplace").decode()
        return Skipped(self.rows[position], reason, shown, self.file_of(position))

    def select(self, positions: Sequence[int]) -> Table:
        """Return the table of these rows, without those set aside."""
        columns = {name: [values[i] for i in positions] for name, values in self.columns.items()}
        rows = [self.rows[i] for i in positions]
        files = [self.files[i] for i in positions] if self.files else None
        places = [self.places[i] for i in positions] if self.places else None
        return Table(self.file, columns, rows, [], self.class_names, files, places)

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
            self.skipped.append(Skipped(row, width, delimiter.join(cells)[:80], self.file))


def read_rows(source: Any, encoding: str | None = None, delimiter: str | None = None) -> Table:
    """Read a file, several files of the same columns, a pandas DataFrame, or a `datasets.Dataset`."""
    if isinstance(source, str | os.PathLike):
        return _read_file(expanded(source), encoding or "utf-8", delimiter)
    if isinstance(source, list | tuple) and source:
        return _joined([read_rows(one, encoding, delimiter) for one in source])
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        header = list(map(str, source.columns))
        _check_names(header, "DataFrame")
        columns = {name: source.iloc[:, at].tolist() for at, name in enumerate(header)}
        return Table("DataFrame", columns, list(range(len(source))))
    if not hasattr(source, "with_format"):
        allowed = "a data set's name, a file, a list of files, a DataFrame, a Dataset, or a mapping of splits"
        invalid("source", source, allowed)
    plain = source.with_format(None)
    table = Table("Dataset", {name: plain[name][:] for name in plain.column_names}, list(range(len(plain))))
    for name, feature in plain.features.items():
        if names := getattr(feature, "names", None):
            table.name_classes(name, names)
    return table


def _check_names(names: Sequence[str], file: str, row: int | None = None) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"columns {twice} appear twice", "Rename one of them.", file, row)


def _joined(tables: list[Table]) -> Table:
    """Return the rows of several tables as one; a column that one lacks is missing there."""
    names = dict.fromkeys(name for table in tables for name in table.columns)
    joined = Table(", ".join(table.file for table in tables), {name: [] for name in names})
    joined.files = [table.file for table in tables for _ in table.rows]
    for table in tables:
        for name, values in joined.columns.items():
            values += table.columns.get(name, [None] * len(table.rows))
        joined.rows += table.rows
        joined.skipped += table.skipped
        for name, classes in table.class_names.items():
            joined.class_names[name] = list(dict.fromkeys([*joined.class_names.get(name, []), *classes]))
    joined.places = range(len(joined.rows))
    return joined


def _read_file(path: Path, encoding: str, delimiter: str | None) -> Table:
    zipped = path.suffix.lower() == ".gz"
    suffix = Path(path.stem if zipped else path.name).suffix.lower()
    if suffix not in SUFFIXES:
        allowed = f"a file whose name ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, or so with .gz"
        invalid("source", str(path), allowed)
    if not path.is_file():
        raise DataError("there is no such file", "Check the path.", str(path))
    raw = path.read_bytes()
    if zipped:
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"this is not a whole .gz file ({error})", "Write it again.", str(path)
            ) from error
    if suffix == ".parquet":
        return _read_parquet(raw, str(path))
    text = _decode(raw, str(path), encoding)
    del raw
    if suffix == ".json":
        return _read_json(text, str(path))
    if suffix == ".jsonl":
        return _read_jsonl(text, str(path))
    usual = "," if suffix == ".csv" else "\t"
    found = delimiter or _delimiter(text, usual)
    if found != usual and not delimiter:
        said = f"{path}: the columns are separated by {found!r}; if that is wrong, pass delimiter=…"
        warnings.warn(said, DataWarning, stacklevel=4)
    return _read_delimited(text, str(path), found)


def read_tab(path: Path) -> Table:
    """Read a packaged ``.tab`` file: three header lines, then label and text, without any quoting."""
    table = Table(path.name, {"label": [], "text": []})
    for row, line in enumerate(
        _decode(path.read_bytes(), path.name, "utf-8").removesuffix("\n").split("\n")[3:], start=4
    ):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) == 2 and not all(cells):
            table.skipped.append(Skipped(row, "empty label or text", line[:80], table.file))
        else:
            table.add(row, cells)
    return table


def _decode(raw: bytes, file: str, encoding: str) -> str:
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        invalid("encoding", encoding, 'a Python codec such as "utf-8", "latin-1" or "cp1252"')
    except UnicodeDecodeError as error:
        raise DataError(
            f"the bytes {raw[error.start : error.start + 4]!r} are not {encoding}",
            'Pass the file\'s encoding, for example encoding="cp1252", or save the file as UTF-8.',
            file, raw.count(b"\n", 0, error.start) + 1,
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


def _delimiter(text: str, usual: str) -> str:
    """Return what splits most of the first rows alike; the usual one unless another does better."""
    sample = io.StringIO(text[:65536], newline="").readlines()[:50]

    def alike(delimiter: str) -> tuple[int, bool]:
        widths = [len(cells) for cells in csv.reader(sample, delimiter=delimiter) if cells]
        return (widths.count(widths[0]) if widths and widths[0] > 1 else 0), delimiter == usual

    with _long_fields():
        return max(DELIMITERS, key=alike)


def _quoted(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return row numbers and cells, with quotes around cells that hold delimiters or line breaks."""
    # strict: a quote that is never closed is an error, not one field that swallows the rest of the file.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records, start = [], 1
    with _long_fields():
        try:
            for cells in reader:
                records.append((start, cells))
                start = reader.line_num + 1
        except csv.Error as error:
            error.add_note(str(start))
            raise
    return records


def _records(text: str, file: str, delimiter: str) -> list[tuple[int, list[str]]]:
    lines = re.split("\r\n|\n|\r", text.rstrip("\r\n")) if delimiter == "\t" and '"' in text else []
    width = lines[0].count("\t") if lines else 0
    plain = width > 0 and all(line.count("\t") == width for line in lines if line)
    try:
        records = _quoted(text, delimiter)
    except csv.Error as error:
        if not plain:
            raise DataError(
                f"the quotes do not match from here on ({error})",
                'Put the whole field in quotes and double the quotes inside it: "say ""yes""".',
                file, int(error.__notes__[0]),
            ) from error  # fmt: skip
        records = []
    if not plain:
        return records
    # Where every line has all columns, quotes that join lines or cells are none: few texts hold such breaks.
    if sum(bool(cells) for _, cells in records) != sum(map(bool, lines)):
        return [(row, line.split("\t")) for row, line in enumerate(lines, start=1)]
    return [
        (row, cells if len(cells) in (0, width + 1) else lines[row - 1].split("\t")) for row, cells in records
    ]


def _read_delimited(text: str, file: str, delimiter: str) -> Table:
    records = _records(text, file, delimiter)
    header = [cell.strip() for cell in records.pop(0)[1]] if records else []
    if not any(header):
        raise DataError("the file has no header", "Its first row must hold the columns' names.", file, 1)
    _check_names(header, file, 1)
    while records and not records[-1][1]:
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
            table.skipped.append(Skipped(row, why, line[:80], file))
    names = dict.fromkeys(name for record in records for name in record)
    table.columns = {name: [record.get(name) for record in records] for name in names}
    return table


def _read_json(text: str, file: str) -> Table:
    """Read a list of records, also as {"data": […]}, or columns; what is neither: one record a line."""
    try:
        content = json.loads(text)
    except ValueError:
        return _read_jsonl(text, file)
    values = list(content.values()) if isinstance(content, dict) else [content]
    columns = [list(v.values()) if isinstance(v, dict) else v for v in values]
    if not all(isinstance(column, list) for column in columns):
        columns = [[content]]  # one record
    if len(columns) == 1 and all(isinstance(record, dict) for record in columns[0]):
        records = columns[0]
    elif isinstance(content, dict) and len(set(map(len, columns))) == 1:
        records = [dict(zip(content, cells, strict=True)) for cells in zip(*columns, strict=True)]
    else:
        records = content if isinstance(content, list) else [content]
    return _read_jsonl("\n".join(map(json.dumps, records)), file)


def _read_parquet(raw: bytes, file: str) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = pq.read_table(pa.BufferReader(raw))
    except (pa.ArrowInvalid, OSError) as error:
        problem = f"this is not a readable Parquet file ({error})"
        raise DataError(problem, "Write it again.", file) from error
    # Files written by `datasets` carry the names of their classes.
    described = json.loads((content.schema.metadata or {}).get(b"huggingface", b"{}"))
    features = described.get("info", {}).get("features", {})
    table = Table(file, content.to_pydict(), list(range(1, content.num_rows + 1)))
    for name, feature in features.items():
        if isinstance(feature, dict) and feature.get("names") and name in table.columns:
            table.name_classes(name, feature["names"])
    return table

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nlkit._util import invalid

__all__ = ["DataError", "Skipped", "Table", "read_tab", "read_table"]


class DataError(ValueError):
    """Data that cannot be used; the message names the file, the row and what to do."""

    def __init__(self, problem: str, remedy: str, *, file: str = "", row: int | None = None) -> None:
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
    rows: list[int]
    skipped: list[Skipped] = field(default_factory=list)
    class_names: dict[str, list[str]] = field(default_factory=dict)


def read_table(path: str | os.PathLike[str], encoding: str) -> Table:
    """Read a file by its suffix: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``."""
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in {".csv", ".tsv", ".jsonl", ".parquet"}:
        invalid("path", str(path), "the file's name must end in .csv, .tsv, .jsonl or .parquet")
    if not target.is_file():
        raise DataError("there is no such file", "Check the path.", file=str(path))
    if suffix == ".parquet":
        return _read_parquet(target)
    text = _decode(target, encoding)
    if suffix == ".jsonl":
        return _read_jsonl(text, str(path))
    return _read_delimited(text, str(path), "," if suffix == ".csv" else "\t")


def read_tab(path: Path, label: str, text: str) -> Table:
    """Read a packaged ``.tab`` file: three header lines, then label and text, without any quoting."""
    lines = _decode(path, "utf-8").split("\n")
    if lines[-1] == "":
        lines.pop()
    table = Table(path.name, {label: [], text: []}, [])
    for row, line in enumerate(lines[3:], start=4):
        cells = line.split("\t")
        if len(cells) != 2:
            table.skipped.append(Skipped(row, _wrong_width(cells, 2), line[:80]))
        elif not all(cell.strip() for cell in cells):
            table.skipped.append(Skipped(row, "empty label or text", line[:80]))
        else:
            table.columns[label].append(cells[0])
            table.columns[text].append(cells[1].strip())
            table.rows.append(row)
    return table


def _wrong_width(cells: list[str], wanted: int) -> str:
    if not any(cell.strip() for cell in cells):
        return "empty line"
    return f"{len(cells)} columns instead of {wanted}"


def _decode(path: Path, encoding: str) -> str:
    raw = path.read_bytes()
    try:
        text = raw.decode(encoding)
    except LookupError:
        invalid("encoding", encoding, 'a Python codec such as "utf-8", "latin-1" or "cp1252"')
    except UnicodeDecodeError as error:
        raise DataError(
            f"the bytes {raw[error.start : error.start + 4]!r} are not {encoding}",
            'Pass the file\'s encoding, for example encoding="cp1252", or save the file as UTF-8.',
            file=str(path),
            row=raw.count(b"\n", 0, error.start) + 1,
        ) from error
    return text.removeprefix("\ufeff")


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
    header: list[str] | None = None
    start = 1
    cells_by_row: list[tuple[int, list[str]]] = []
    with _long_fields():
        while True:
            start = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                raise DataError(
                    f"the quotes do not match from here on ({error})",
                    'Put the whole field in quotes and double the quotes inside it: "say ""yes""".',
                    file=file,
                    row=start,
                ) from error
            if header is None:
                header = [cell.strip() for cell in cells]
            else:
                cells_by_row.append((start, cells))
    if not header or not any(header):
        raise DataError(
            "the file has no header", "Its first row must hold the columns' names.", file=file, row=1
        )
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise DataError(f"columns {sorted(twice)} appear twice", "Rename one of them.", file=file, row=1)
    while cells_by_row and not any(cells_by_row[-1][1]):
        cells_by_row.pop()  # empty lines at the end are an editor's habit, not lost data
    table = Table(file, {name: [] for name in header}, [])
    for row, cells in cells_by_row:
        if len(cells) != len(header):
            beginning = delimiter.join(cells)[:80]
            table.skipped.append(Skipped(row, _wrong_width(cells, len(header)), beginning))
            continue
        table.rows.append(row)
        for name, cell in zip(header, cells, strict=True):
            table.columns[name].append(cell)
    return table


def _read_jsonl(text: str, file: str) -> Table:
    # Only "\n" ends a record: JSON strings may hold other line separators of Unicode unescaped.
    lines = text.rstrip().split("\n")
    records: list[tuple[int, dict[str, Any]]] = []
    skipped: list[Skipped] = []
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            skipped.append(Skipped(row, "empty line", ""))
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            skipped.append(Skipped(row, f"not JSON ({error})", line[:80]))
            continue
        if isinstance(record, dict):
            records.append((row, record))
        else:
            skipped.append(Skipped(row, "not a JSON object", line[:80]))
    names = dict.fromkeys(name for _, record in records for name in record)
    columns = {name: [record.get(name) for _, record in records] for name in names}
    return Table(file, columns, [row for row, _ in records], skipped)


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"this is not a readable Parquet file ({error})", "Write it again.", file=str(path)
        ) from error
    columns = {name: content.column(name).to_pylist() for name in content.column_names}
    # Files written by `datasets` carry the names of their classes.
    described = json.loads((content.schema.metadata or {}).get(b"huggingface", b"{}"))
    features = described.get("info", {}).get("features", {})
    class_names = {
        name: list(feature["names"])
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("names")
    }
    return Table(str(path), columns, list(range(1, content.num_rows + 1)), class_names=class_names)

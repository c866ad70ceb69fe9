"""From the columns of a file to texts and class numbers, with every check on the way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlkit._util import invalid
from nlkit.data.checks import half_character, is_missing
from nlkit.data.readers import DataError, Skipped, Table

__all__ = ["Part", "check_columns", "check_given", "class_names_of", "to_part"]


@dataclass
class Part:
    """One split before sampling: texts, integer labels by column, and the rows they come from."""

    file: str
    texts: list[str]
    labels: dict[str, NDArray[np.int64]]
    rows: list[int]
    left_out: list[Skipped]

    def keep(self, positions: NDArray[np.int64]) -> None:
        """Keep the rows at these positions."""
        self.texts = [self.texts[i] for i in positions]
        self.rows = [self.rows[i] for i in positions]
        self.labels = {name: values[positions] for name, values in self.labels.items()}

    def leave_out(self, positions: Iterable[int], reason: str) -> None:
        """Note for the report that rows are left out, and why."""
        self.left_out += [Skipped(self.rows[i], reason, self.texts[i][:80]) for i in positions]

    @property
    def strata(self) -> NDArray[np.int64]:
        """Labels by which splits are drawn alike."""
        # What a method may see comes first; true labels are only read when there is nothing else.
        return self.labels["noisy_label"] if "noisy_label" in self.labels else self.labels["label"]


def check_columns(split: str, table: Table, text: str, columns: Mapping[str, str]) -> None:
    """Raise DataError unless a table has rows, the text column and a column with labels."""
    if not table.rows:
        raise DataError(
            f"the {split} split is empty ({len(table.skipped)} malformed rows)",
            "Every split needs at least one row.",
            file=table.file,
        )
    have = ", ".join(map(repr, table.columns))
    if text not in table.columns:
        raise DataError(
            f"there is no column {text!r}",
            f"It has {have}; pass text=… with the right name.",
            file=table.file,
        )
    needed = [columns["label"]] if split == "test" else list(columns.values())
    if not any(column in table.columns for column in needed):
        wanted = " or ".join(map(repr, needed))
        hint = "label=…" if split == "test" else "label=… or noisy_label=…"
        raise DataError(
            f"there is no column {wanted}",
            f"It has {have}; pass {hint} with the right name.",
            file=table.file,
        )


def check_given(tables: Mapping[str, Table], given: Mapping[str, str | None]) -> None:
    """Refuse a label column that was asked for by name and is in none of the files: most likely a slip."""
    for setting, column in given.items():
        if column is None or any(column in table.columns for table in tables.values()):
            continue
        have = {split: ", ".join(map(repr, table.columns)) for split, table in tables.items()}
        several = len(tables) > 1
        listed = "; ".join(f"{split} has {names}" for split, names in have.items())
        raise DataError(
            f"there is no column {column!r}" + (" here, nor in the other files" if several else ""),
            f"{listed if several else 'It has ' + have['train']}; pass {setting}=… with the right name, "
            f"or leave {setting} out.",
            file=tables["train"].file,
        )


def _raw_label(value: Any) -> str | None:
    """Return a label as text, or None when it is missing."""
    if is_missing(value):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    raw = str(value).strip()
    return None if raw in {"", "-1", "-1.0"} else raw


def _integer(raw: str) -> int | None:
    # pandas writes a column of integers with gaps as 3.0
    return int(float(raw)) if re.fullmatch(r"[+-]?\d{1,9}(\.0+)?", raw) else None


def class_names_of(
    given: Sequence[str] | None, tables: Mapping[str, Table], columns: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the class names: those given, or those that the tables hold."""
    if given is None:
        known = [
            tuple(table.class_names[column])
            for table in tables.values()
            for column in columns.values()
            if column in table.class_names
        ]
        given = known[0] if known and len(set(known)) == 1 else None
    if given is not None:
        names = tuple(given)
        if (
            isinstance(given, str)
            or len(names) < 2
            or len(set(names)) < len(names)
            or not all(isinstance(name, str) and _raw_label(name) for name in names)
        ):
            invalid("label_names", given, 'at least two different, non-empty strings, none of them "-1"')
        return names
    observed: set[str] = set()
    for table in tables.values():
        for column in columns.values():
            if column not in table.columns:
                continue
            for value in table.columns[column]:
                raw = _raw_label(value)
                if raw is not None:
                    observed.add(raw)
    numbers = {_integer(raw) for raw in observed}
    if observed and None not in numbers:
        highest = max(n for n in numbers if n is not None)
        if numbers != set(range(highest + 1)):
            shown = ", ".join(sorted(observed)[:10])
            raise DataError(
                f"the labels are integers, but not all of 0 … C-1: {shown}",
                "Pass label_names=[…] with every class in the order of its number.",
                file=next(iter(tables.values())).file,
            )
        names = tuple(str(number) for number in range(highest + 1))
    else:
        names = tuple(sorted(observed))
    if len(names) < 2:
        raise DataError(
            f"the labels hold {len(names)} class(es), and a classifier needs two",
            "Check the label column, or pass label_names=[…].",
            file=next(iter(tables.values())).file,
        )
    return names


def to_part(table: Table, text: str, columns: Mapping[str, str], names: Sequence[str]) -> Part:
    """Return a table's texts and labels, checked; rows that cannot be used are left out and noted."""
    for value, row in zip(table.columns[text], table.rows, strict=True):
        if is_missing(value) or (isinstance(value, str) and not value.strip()):
            raise DataError(
                f"the text is missing (column {text!r})",
                "Fill it in or delete the row.",
                file=table.file,
                row=row,
            )
        if not isinstance(value, str):
            raise DataError(
                f"the text is {type(value).__name__} {value!r}, not a string (column {text!r})",
                "Write it as a string, or pass text=… with the right column.",
                file=table.file,
                row=row,
            )
        if (half := half_character(value)) is not None:
            raise DataError(
                f"the text holds half a character, the lone surrogate {half!r} (column {text!r})",
                "Repair it (most emoji are a pair of \\u escapes in JSON) or delete the row.",
                file=table.file,
                row=row,
            )
    labels = {}
    for standard, column in columns.items():
        if column in table.columns:
            labels[standard] = _to_numbers(table, column, names)
    return Part(table.file, list(table.columns[text]), labels, list(table.rows), list(table.skipped))


def _to_numbers(table: Table, column: str, names: Sequence[str]) -> NDArray[np.int64]:
    number_of = {name: number for number, name in enumerate(names)}
    by_value = all(_integer(name) is not None for name in names)
    numbers = np.full(len(table.rows), -1, dtype=np.int64)
    for position, (value, row) in enumerate(zip(table.columns[column], table.rows, strict=True)):
        raw = _raw_label(value)
        if raw is None:
            continue
        number = number_of.get(raw)
        if number is None and (integer := _integer(raw)) is not None:
            if by_value:
                number = number_of.get(str(integer))
            elif 0 <= integer < len(names):
                number = integer
        if number is None:
            shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
            raise DataError(
                f"unknown label {value!r} (column {column!r})",
                f"Use one of {shown}, a class number 0 … {len(names) - 1}, or -1 for missing; "
                "or pass label_names=[…].",
                file=table.file,
                row=row,
            )
        numbers[position] = number
    return numbers

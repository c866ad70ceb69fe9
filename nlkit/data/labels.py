"""From the columns of a file to texts and class numbers, with every check on the way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlkit._util import invalid
from nlkit.data.checks import half_character, is_missing
from nlkit.data.readers import DataError, Skipped, Table

__all__ = ["Part", "check_columns", "class_names_of", "to_part"]


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


def check_columns(tables: Mapping[str, Table], text: str, labels: Mapping[str, str | None]) -> None:
    """Raise DataError unless each table has rows, the text column and a column with labels.

    A label column that is given by name (`labels`: None is none) must be in one of the tables at least: it is
    most likely a slip if it is in none.
    """
    have = {split: ", ".join(map(repr, table.columns)) for split, table in tables.items()}
    for split, table in tables.items():
        if not table.rows:
            problem = f"the {split} split is empty ({len(table.skipped)} malformed rows)"
            raise DataError(problem, "Every split needs at least one row.", table.file)
        needed = ["label"] if split == "test" else list(labels)
        for settings, columns in ((["text"], [text]), (needed, [labels[name] or name for name in needed])):
            if not any(column in table.columns for column in columns):
                problem = f"there is no column {' or '.join(map(repr, columns))}"
                hint = " or ".join(f"{setting}=…" for setting in settings)
                raise DataError(
                    problem, f"It has {have[split]}; pass {hint} with the right name.", table.file
                )
    for setting, given in labels.items():
        if given is None or any(given in table.columns for table in tables.values()):
            continue
        problem, found = f"there is no column {given!r}", f"It has {have['train']}"
        if len(tables) > 1:
            problem += " here, nor in the other files"
            found = "; ".join(f"{split} has {columns}" for split, columns in have.items())
        remedy = f"{found}; pass {setting}=… with the right name, or leave {setting} out."
        raise DataError(problem, remedy, tables["train"].file)


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
        known = {
            tuple(table.class_names[column])
            for table in tables.values()
            for column in columns.values()
            if column in table.class_names
        }
        given = known.pop() if len(known) == 1 else None
    if given is not None:
        names = () if isinstance(given, str) else tuple(given)
        named = all(isinstance(name, str) and _raw_label(name) for name in names)
        if not named or len(names) < 2 or len(set(names)) < len(names):
            invalid("label_names", given, 'at least two different, non-empty strings, none of them "-1"')
        return names
    file = next(iter(tables.values())).file
    held = [table.columns.get(column, ()) for table in tables.values() for column in columns.values()]
    observed = sorted({raw for value in chain(*held) if (raw := _raw_label(value)) is not None})
    numbers = {_integer(raw) for raw in observed}
    if None not in numbers:
        if numbers != set(range(len(numbers))):
            problem = f"the labels are integers, but not all of 0 … C-1: {', '.join(observed[:10])}"
            raise DataError(
                problem, "Pass label_names=[…] with every class in the order of its number.", file
            )
        observed = [str(number) for number in range(len(numbers))]
    if len(observed) < 2:
        problem = f"the labels hold {len(observed)} class(es), and a classifier needs two"
        raise DataError(problem, "Check the label column, or pass label_names=[…].", file)
    return tuple(observed)


def to_part(table: Table, text: str, columns: Mapping[str, str], names: Sequence[str]) -> Part:
    """Return a table's texts and labels, checked; rows that cannot be used are left out and noted."""
    for value, row in zip(table.columns[text], table.rows, strict=True):
        if is_missing(value) or (isinstance(value, str) and not value.strip()):
            problem, remedy = "the text is missing", "Fill it in or delete the row."
        elif not isinstance(value, str):
            problem = f"the text is {type(value).__name__} {value!r}, not a string"
            remedy = "Write it as a string, or pass text=… with the right column."
        elif (half := half_character(value)) is not None:
            problem = f"the text holds half a character, the lone surrogate {half!r}"
            remedy = "Repair it (most emoji are a pair of \\u escapes in JSON) or delete the row."
        else:
            continue
        raise DataError(f"{problem} (column {text!r})", remedy, table.file, row)
    labels = {
        standard: _to_numbers(table, column, names)
        for standard, column in columns.items()
        if column in table.columns
    }
    return Part(table.file, list(table.columns[text]), labels, list(table.rows), list(table.skipped))


def _to_numbers(table: Table, column: str, names: Sequence[str]) -> NDArray[np.int64]:
    number_of: dict[str | None, int] = {None: -1} | {name: number for number, name in enumerate(names)}
    by_value = all(_integer(name) is not None for name in names)
    numbers = []
    for value, row in zip(table.columns[column], table.rows, strict=True):
        raw = _raw_label(value)
        integer = _integer(raw) if raw is not None else None
        number = number_of.get(raw)
        if number is None and integer is not None:
            if by_value:
                number = number_of.get(str(integer))
            elif 0 <= integer < len(names):
                number = integer
        if number is None:
            shown = ", ".join(names[:12]) + ", …" * (len(names) > 12)
            remedy = f"Use one of {shown}, a class number 0 … {len(names) - 1}, or -1 for missing"
            problem = f"unknown label {value!r} (column {column!r})"
            raise DataError(problem, f"{remedy}; or pass label_names=[…].", table.file, row)
        numbers.append(number)
    return np.array(numbers, np.int64)

"""From the columns of a file to texts and class numbers, with every check on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nlkit._util import invalid
from nlkit.data.checks import half_character, is_missing
from nlkit.data.readers import DataError, Skipped, Table
from nlkit.data.spelling import LabelError, integer, spelled, suspicious

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Coding", "Part", "check_columns", "coding_of", "to_part"]


@dataclass
class Part:
    """One split before sampling: texts, labels by use (N,), and their places in the table they come from."""

    table: Table
    texts: list[str]
    labels: dict[str, NDArray[np.int64]]
    at: NDArray[np.int64]
    left_out: list[Skipped]

    def keep(self, positions: NDArray[np.int64]) -> None:
        """Keep the samples at these positions."""
        self.texts = [self.texts[i] for i in positions]
        self.at = self.at[positions]
        self.labels = {name: values[positions] for name, values in self.labels.items()}

    def leave_out(self, positions: Iterable[int], reason: str) -> None:
        """Note for the report that samples are left out, and why."""
        self.left_out += [self.table.skip(self.at[i], reason, self.texts[i]) for i in positions]

    @property
    def strata(self) -> NDArray[np.int64]:
        """Labels by which splits are drawn alike."""
        # What a method may see comes first; true labels are only read when there is nothing else.
        observed = [values for use, values in self.labels.items() if use != "label"]
        return observed[0] if observed else self.labels["label"]


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


@dataclass(frozen=True)
class Coding:
    """Class names, and the number of each value of a label column as `spelled`: −1 for a missing one."""

    names: tuple[str, ...]
    number: dict[str | None, int]


def coding_of(
    given: Sequence[str] | None,
    label_map: Mapping[Any, str | None] | None,
    tables: Mapping[str, Table],
    columns: Mapping[str, str],
) -> Coding:
    """Say what each value of the label columns means.

    Raises
    ------
    LabelError
        If values may be no classes of their own: other spellings, numbers beside names, no labels.
    """
    file = next(iter(tables.values())).file
    columns = {use: c for c, use in {c: use for use, c in columns.items()}.items()}  # each column once
    names, order, closed = _given_names(given), *_known_names(tables, columns)
    if names:
        order, closed = list(names), "not in label_names"
    meaning: dict[str | None, str | None] = {None: None}
    if names and any(integer(name) is None for name in names):
        meaning |= {str(number): name for number, name in enumerate(names)}
    meaning |= {name: name for name in names}
    told = _checked_map(label_map, names)
    meaning |= told
    # Names that a file carries are asked about like others; here they only give the order.
    order = [name for name in dict.fromkeys(told.get(name, name) for name in order) if name]
    held = {split: _held(table, columns) for split, table in tables.items()}
    lists = [values for uses in held.values() for values in uses.values()]
    count = Counter(raw for raw in chain(*lists) if raw is not None)
    found = _signs(count.keys() - told.keys(), order)
    if "-1" not in found:
        meaning.setdefault("-1", None)
    open_ = {raw: n for raw, n in count.items() if raw not in meaning and raw not in found}
    known = {name for name in meaning.values() if name}
    two = chain(*(combinations(uses.values(), 2) for uses in held.values()))
    pairs = Counter(chain(*(zip(*values, strict=True) for values in two)))
    if found := suspicious(open_, order, known, closed, pairs) | found:
        raise LabelError(_question(found, count, tables, held), file)
    classes = order + sorted({*known, *open_} - set(order))
    numbers = [integer(name) for name in classes]
    if not order and None not in numbers:
        if set(numbers) != set(range(len(numbers))):
            problem = f"the labels are integers, but not all of 0 … C-1: {', '.join(classes[:10])}"
            remedy = "Pass label_names=[…] with every class in the order of its number."
            raise DataError(problem, remedy, file)
        classes = sorted(classes, key=int)
    if len(classes) < 2:
        problem = f"the labels hold {len(classes)} class(es), and a classifier needs two"
        raise DataError(problem, "Check the label column, or pass label_names=[…].", file)
    place = {name: number for number, name in enumerate(classes)}
    number = {raw: -1 if name is None else place[name] for raw, name in meaning.items()}
    return Coding(tuple(classes), number | {raw: place[raw] for raw in open_})


def _given_names(given: Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    names = tuple(given) if isinstance(given, list | tuple) else ()
    named = all(isinstance(name, str) and name.strip() not in ("", "-1") for name in names)
    if not named or len(names) < 2 or len(set(names)) < len(names):
        invalid(
            "label_names", given, 'a list of at least two different, non-empty strings, none of them "-1"'
        )
    return names


def _known_names(tables: Mapping[str, Table], columns: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the names that files carry, and why there can be no others: "" if files differ in them."""
    named = [
        table.class_names[c] for c in columns.values() for table in tables.values() if c in table.class_names
    ]
    one = named and all(set(names) == set(named[0]) for names in named)
    return list(dict.fromkeys(chain(*named))), "not one of the file's own classes" if one else ""


def _checked_map(
    given: Mapping[Any, str | None] | None, names: Sequence[str]
) -> dict[str | None, str | None]:
    if not isinstance(given, Mapping | None):
        invalid("label_map", given, "a dictionary: value in the file -> class name, or None for missing")
    for value, name in (given or {}).items():
        if name is not None and (
            not isinstance(name, str) or not name.strip() or (names and name not in names)
        ):
            allowed = f"one of {', '.join(names)}" if names else "the name of a class"
            invalid(f"label_map[{value!r}]", name, f"{allowed}, or None for missing")
    return {spelled(value): name for value, name in (given or {}).items()}


def _held(table: Table, columns: Mapping[str, str]) -> dict[str, list[str | None]]:
    """Return the labels of a table as `spelled`, by what its column is for."""
    columns = {use: column for use, column in columns.items() if column in table.columns}
    return {use: list(map(spelled, table.columns[column])) for use, column in columns.items()}


def _signs(values: Collection[str], names: Sequence[str]) -> dict[str, tuple[str, Any]]:
    """Return −1 and the other integers where −1 may be a class: a name is there for each from the least on.

    That none occurs of the last of many classes is likelier than that they begin at −1, unless all others do.
    """
    numbers = {integer(raw) for raw in values}
    if -1 not in numbers or None in numbers or any(integer(name) is not None for name in names):
        return {}
    ordered = sorted(values, key=int)
    low, high = int(ordered[0]), int(ordered[-1])
    words = names or (("negative", "neutral", "positive") if high == 1 else ())
    step = 2 if numbers == {-1, 1} and len(words) == 2 else 1
    place = {raw: (int(raw) - low) // step for raw in ordered}
    many = low == -1 and len(numbers) < len(words) > 3
    if len(numbers) < 2 or many or place[ordered[-1]] >= len(words):
        return {}
    return {raw: ("-1 is a class, or missing", words[at]) for raw, at in place.items()}


def _question(
    found: Mapping[str, tuple[str, Any]], count: Counter[str], tables: Mapping[str, Table],
    held: Mapping[str, Mapping[str, list[str | None]]],
) -> pd.DataFrame:  # fmt: skip
    """Return the table that asks what values are, each with the first place where it stands."""
    import pandas as pd

    places: dict[str | None, tuple[str, str]] = {}
    for split, columns in held.items():
        for use, values in columns.items():
            for place, raw in enumerate(values):
                if raw in found and raw not in places:
                    file, row = tables[split].file_of(place), tables[split].rows[place]
                    places[raw] = (use, f"{Path(file).name}, row {row}")
    rows = [(raw, n, *places[raw], *found[raw]) for raw, n in count.most_common() if raw in found]
    return pd.DataFrame(rows, columns=["value", "count", "column", "first", "why", "proposed"], dtype=object)


def to_part(table: Table, text: str, columns: Mapping[str, str], coding: Coding) -> Part:
    """Return a table's texts and labels; rows without a text that can be used are left out and noted.

    Raises
    ------
    DataError
        If no row has one.
    """
    values, kept, left_out = table.columns[text], [], list(table.skipped)
    for place, value in enumerate(values):
        if not isinstance(value, str):
            why = "the text is missing"
            if not is_missing(value):
                why = f"the text is {type(value).__name__}, not a string"
        elif not value or value.isspace():
            why = "the text is missing"
        elif half_character(value) is not None:
            why = "the text holds half a character (a lone surrogate)"
        else:
            kept.append(place)
            continue
        left_out.append(table.skip(place, why, str(value)))
    if not kept:
        problem = f"no row can be used: {left_out[0].reason} (column {text!r})"
        raise DataError(problem, "Pass text=… with the right column.", table.file, left_out[0].row)
    labels = {
        use: np.array([coding.number[raw] for raw in labels], np.int64)
        for use, labels in _held(table, columns).items()
    }
    part = Part(table, values, labels, np.arange(len(values)), left_out)
    part.keep(np.array(kept))
    return part

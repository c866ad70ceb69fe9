"""Checks of texts, counts and class numbers from outside; messages name the place, value and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "SEEDS",
    "check_choice",
    "check_count",
    "check_share",
    "check_texts",
    "class_names",
    "class_numbers",
    "half_character",
    "is_missing",
    "numbers_of",
    "texts_of",
]


def is_missing(value: object) -> bool:
    """Tell whether a value is what Python, NumPy or pandas write for a missing one: None, NaN, NA or NaT."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return True
    return type(value).__name__ in ("NAType", "NaTType")  # by name: pandas is heavy to import


def half_character(text: str) -> str | None:
    """Return the first lone surrogate of a text, which no file and no tokenizer can hold, or None."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return text[error.start]
    return None


def check_texts(texts: Iterable[object], name: str) -> list[str]:
    """Return texts as a list of str; `name` is what the caller knows them by.

    Raises
    ------
    ValueError
        If one is missing, no string, or not valid Unicode. Empty texts are allowed.
    """
    checked = []
    for position, text in enumerate(texts):
        field = f"{name}[{position}]"
        if is_missing(text):
            invalid(field, text, "the text is missing; fill it in or leave it out")
        if not isinstance(text, str):
            invalid(field, text, f"a text is a string, not {type(text).__name__}; convert it or leave it out")
        if half_character(text) is not None:
            invalid(field, text, "it holds half a character (a lone surrogate); repair it or leave it out")
        checked.append(str(text))  # also of NumPy's own strings
    return checked


def texts_of(data: Dataset, name: str) -> list[str]:
    """Return the texts of a split, checked; `name` is what the caller knows it by."""
    if "text" not in data.column_names:
        invalid(name, data.column_names, "a column `text`; nk.load_dataset(…, text=…) names it so")
    return check_texts(data["text"][:], f"{name}['text']")


SEEDS = 2**32 - 1
"""The largest seed that every library takes, and the largest count."""


def check_count(field: str, value: object, least: int = 0, instead: str = "") -> int:
    """Return a setting as int; ValueError unless it is an integer of at least `least`, at most `SEEDS`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= SEEDS:
        invalid(field, value, f"{instead}an integer of at least {least} and at most {SEEDS}")
    return int(value)


def check_choice(field: str, value: object, allowed: Sequence[Any]) -> None:
    """Raise ValueError unless a setting is one of those allowed, and of its type."""
    if not any(type(value) is type(one) and value == one for one in allowed):
        invalid(field, value, f"one of {', '.join(map(str, allowed))}")


def check_share(field: str, value: Any) -> float:
    """Return a setting as float; ValueError unless it is a number in [0, 1]."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and 0 <= value <= 1):
        invalid(field, value, "a number in [0, 1]")
    return float(value)


def class_numbers(values: ArrayLike, name: str) -> NDArray[np.int64]:
    """Return class numbers, shape (n,), int64; -1 for those that are missing.

    Hugging Face `datasets` gives None for missing, and NaN in the formats of NumPy and pandas.

    Raises
    ------
    ValueError
        If a value is neither missing nor an integer.
    """
    array = np.asarray(values)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    result = np.full(len(array), -1, dtype=np.int64)
    for position, value in enumerate(array.tolist()):
        if is_missing(value):
            continue
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole and not (isinstance(value, float) and value.is_integer()):
            allowed = "a class number, or -1 for missing; nk.load_dataset makes numbers of names"
            invalid(f"{name}[{position}]", value, allowed)
        result[position] = int(value)
    return result


def numbers_of(
    data: Dataset, column: str, name: str, names: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Return the class numbers of a split's column in the order of `names`, shape (n,), int64; -1 is missing.

    A `ClassLabel` with the same names in another order is translated by name.

    Parameters
    ----------
    data, column
        A split, and one of its columns of class numbers.
    name
        What the caller knows the split by.
    names
        Class names in the order of the numbers to return; None: the column's own.

    Raises
    ------
    ValueError
        If a value is neither a class number nor -1, or of a class that `names` lacks.
    """
    number = class_numbers(data[column][:], f"{name}[{column!r}]")
    own = getattr(data.features[column], "names", None)
    if own is None:
        return number
    if (outside := number[(number < -1) | (number >= len(own))]).size:
        allowed = f"a class number from 0 to {len(own) - 1}, or -1 for missing"
        invalid(f"{name}[{column!r}]", int(outside[0]), allowed)
    if names is None or list(own) == list(names):
        return number
    absent = [own[c] for c in np.unique(number) if c >= 0 and own[c] not in names]
    if absent:
        allowed = f"the classes {', '.join(names)}; nk.load_dataset(…, label_map=…) says which of them it is"
        invalid(f"{name}[{column!r}]", absent[0], allowed)
    place = np.array([list(names).index(c) if c in names else -1 for c in own] + [-1])
    return place[number]


def check_labels(label: NDArray[np.int64], n_classes: int) -> None:
    """Raise ValueError unless all observed labels are class numbers, or -1 for missing."""
    if label.size and not -1 <= label.min() <= label.max() < n_classes:
        raise ValueError(
            f"noisy_label holds {label.min()} to {label.max()}; allowed are -1 to {n_classes - 1}"
        )


def class_names(data: Dataset, column: str, split: str) -> list[str]:
    """Return the names of the classes of a column, which must be a `ClassLabel`."""
    from datasets import ClassLabel

    feature = data.features[column]
    if not isinstance(feature, ClassLabel):
        kind = getattr(feature, "dtype", type(feature).__name__)
        cast = f"ds.cast_column({column!r}, datasets.ClassLabel(names=[…]))"
        allowed = f"class numbers with names (ClassLabel): nk.load_dataset makes them, or {cast}"
        invalid("ds", f"{split} with {column!r} of type {kind}", allowed)
    return list(feature.names)

"""Sentences that state findings: filled in and chosen from what was computed, so true for any parameters.

A notebook writes ``told = say(compare(accuracy, "CE", "NoiseAL"), when(…, "…", "…"))``. A quoted value stands
in brackets behind its name, and a comparison has one form; so `Said.check` can read the finished sentences
again and hold them against a table, and against the words of a figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "Said", "amount", "compare", "ends", "extremes", "gap", "kept_shares", "listed", "path", "ranked", "say",
    "when",
]  # fmt: skip

NEAR = 0.005
"""Below this, two shares are called level: half a point."""


class Said(str):
    """Sentences in Markdown; a notebook shows them as text."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return str(self)

    def check(self, values: Mapping[Any, float], figure: str = "") -> None:
        """Raise AssertionError where the sentences contradict a table, or the words of a figure.

        Parameters
        ----------
        values : mapping of name to number
            What was computed. Every name that is quoted with a value must have this value; of two that are
            compared the first must be above, below or level with the second as is said.
        figure : str
            The figure in words, as the plots return it: where it gives a name and a percentage, it must be
            the one that is quoted.
        """
        known = {str(name): float(value) for name, value in dict(values).items()}
        names = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
        quoted = rf"(?<!\w)({names}) \((-?[\d.]+)( %)?\)"
        for name, number, percent in re.findall(quoted, self):
            value = known[name] * (100 if percent else 1)
            if f"{value:.{1 if percent else 2}f}" != number:
                raise AssertionError(f"{name} is {known[name]:.3f}, and the text says {number}: {self}")
            shown = re.search(rf"(?:^|[:,;] ){re.escape(name)}(?: \(upper bound\))? (\d+\.\d)\b", figure)
            if percent and shown and abs(float(shown[1]) - value) > 0.06:
                raise AssertionError(f"{name} is {shown[1]} in the figure, and the text says {number}")
        for first, _, _, said, second, *_ in re.findall(rf"{quoted} is (.+?) {quoted}", self):
            difference = known[first] - known[second]
            how = "level" if abs(difference) < NEAR else "above" if difference > 0 else "below"
            if how not in said:
                raise AssertionError(f"{first} is {how} of {second}, and the text says {said}: {self}")
        for how, best in (("highest", np.nanmax), ("lowest", np.nanmin)):
            for name, *_ in re.findall(rf"{how} is {quoted}", self):
                if known[name] != best(list(known.values())):
                    raise AssertionError(f"{name} is not the {how}: {self}")


def say(*sentences: str) -> Said:
    """Join the sentences that apply; those that are "" do not. One that begins with "- " is a list's item."""
    text = ""
    for sentence in filter(None, sentences):
        text += f"\n{sentence}" if sentence.startswith("- ") else f" {sentence}"
    return Said(text.strip() or "Nothing to be said of this run.")


def when(holds: Any, sentence: str, otherwise: str = "") -> str:
    """Return the sentence if the condition holds, or else the other one; a NaN or None holds nowhere."""
    return sentence if holds is not None and holds == holds and holds else otherwise


def amount(value: float, unit: str = "%", digits: int = 1) -> str:
    """Return a share in percent, or with another unit the number itself, with two digits more."""
    value = float(value)  # a float32 is rounded otherwise
    if not np.isfinite(value):
        return "unknown"
    return f"{100 * value:.{digits}f} %" if unit == "%" else f"{value:.{digits + 1}f}{unit and ' '}{unit}"


def gap(value: float, other: float, unit: str = "%") -> str:
    """Return "3.1 points above", "3.1 points below" or "level with", for a share or a number and another."""
    difference = float(value) - float(other)
    if not np.isfinite(difference):
        return "not to be compared with"
    if abs(difference) < NEAR:
        return "level with"
    size = f"{100 * abs(difference):.1f} points" if unit == "%" else amount(abs(difference), unit)
    return f"{size} {'above' if difference > 0 else 'below'}"


def compare(values: Any, name: str, other: str, unit: str = "%") -> str:
    """Return "CE (78.9 %) is 14.3 points below NoiseAL (93.2 %)", without a full stop."""
    a, b = float(values[name]), float(values[other])
    return f"{name} ({amount(a, unit)}) is {gap(a, b, unit)} {other} ({amount(b, unit)})"


def ranked(values: Any, unit: str = "%") -> str:
    """Return names with their values, the largest first, without those that are unknown."""
    pairs = [(name, float(value)) for name, value in dict(values).items() if np.isfinite(value)]
    return listed(f"{name} ({amount(value, unit)})" for name, value in sorted(pairs, key=lambda p: -p[1]))


def extremes(values: Any, unit: str = "%") -> str:
    """Return "highest is … and lowest is …", without a full stop."""
    pairs = [(float(value), name) for name, value in dict(values).items() if np.isfinite(value)]
    if len(pairs) < 2:
        return f"there is nothing to compare with {ranked(values, unit=unit)}"
    (low, lowest), (high, highest) = min(pairs, key=lambda p: p[0]), max(pairs, key=lambda p: p[0])
    if low == high:
        return f"none is higher than another ({amount(high, unit)})"
    return f"highest is {highest} ({amount(high, unit)}) and lowest is {lowest} ({amount(low, unit)})"


def kept_shares(counts: Any, names: Sequence[str], least: int = 10) -> tuple[pd.Series, int]:
    """Return the share of labels that stay what they are, by class, and the fewest texts of these classes.

    Classes of fewer than `least` texts say little and are left out, unless all are that small: then the
    largest is left. `counts` (C, C) has true classes in rows, observed ones in columns.
    """
    texts = np.sum(counts, axis=1)
    least = min(least, int(texts.max()))
    enough = np.flatnonzero(texts >= least)
    kept = np.diag(counts)[enough] / texts[enough]
    return pd.Series(kept, index=[names[int(c)] for c in enough]), least


def listed(words: Iterable[Any], none: str = "none") -> str:
    """Return "a, b and c"."""
    every = list(map(str, words))
    return " and ".join(filter(None, [", ".join(every[:-1]), *every[-1:]])) or none


def ends(curve: Any, near: float = 0.01) -> str:
    """Return how a curve of shares ends: "falls" from its best by more than `near`, or "stays" up."""
    values = np.asarray(curve, np.float64)
    return "falls" if values[-1] < np.nanmax(values) - near else "stays"


def path(curve: Any, near: float = 0.01) -> str:
    """Return the way of a curve of shares over epochs, from 1: its best, and where it ends."""
    values = np.asarray(curve, np.float64)
    best, last = int(np.nanargmax(values)), values[-1]
    if ends(values, near) == "stays":
        within = "a point" if near == 0.01 else f"{100 * near:g} points"
        return f"ends at {amount(last)}, at its best or within {within} of it"
    fell = gap(last, values[best]).removesuffix(" below")
    return f"is best in epoch {best + 1} ({amount(values[best])}) and ends at {amount(last)}, {fell} lower"

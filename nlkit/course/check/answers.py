"""Questions with one right answer: a number, or words from a list."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Choice", "Feedback", "Number", "Question"]


@dataclass(frozen=True)
class Feedback:
    """What is said to an answer; `right` for programs, the message for people."""

    right: bool
    message: str

    def __repr__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.message}"


@dataclass(frozen=True)
class Question:
    """What all questions have; calling one with an answer returns a `Feedback` and never raises.

    Attributes
    ----------
    asked
        What is asked, in a few words.
    right
        The right answer.
    why
        Said to a right answer: why it is right.
    otherwise
        Hint to any other wrong answer.
    hints
        Hints to the wrong answers that are given most often.
    """

    asked: str
    right: Any
    why: str
    otherwise: str
    hints: Mapping[Any, str] = field(default_factory=dict)

    def __call__(self, answer: Any) -> Feedback:
        """Check an answer."""
        raise NotImplementedError


@dataclass(frozen=True)
class Number(Question):
    """A question for a number.

    Attributes
    ----------
    tolerance
        How far an answer may be from `right`, or from the key of a hint, to count as it.
    share
        Whether the number is a share or probability: then percents get a hint of their own.
    """

    tolerance: float = 0.005
    share: bool = True

    def __call__(self, answer: Any) -> Feedback:
        """Check a number; NumPy's and torch's scalars are numbers too."""
        value = _number(answer)
        if value is None:
            between = " between 0 and 1, such as 0.25" if self.share else ""
            return Feedback(False, f"give a number{between}.")
        if self._is(value, self.right):
            return Feedback(True, self.why)
        for wrong, hint in self.hints.items():
            if self._is(value, wrong):
                return Feedback(False, hint)
        if self.share and 1 < value <= 100:
            return Feedback(False, "a share lies between 0 and 1; divide percents by 100.")
        return Feedback(False, self.otherwise)

    def _is(self, value: float, wanted: float) -> bool:
        return math.isclose(value, wanted, rel_tol=0.0, abs_tol=self.tolerance)


@dataclass(frozen=True)
class Choice(Question):
    """A question for one word of a list, or for several words in order.

    Attributes
    ----------
    options
        The words to choose from. `right` and the keys of `hints` are one of them, or a tuple of them; in a
        key, None stands for any word.
    """

    options: tuple[str, ...] = ()

    def __call__(self, answer: Any) -> Feedback:
        """Check a word, or a list or tuple of words."""
        several = isinstance(self.right, tuple)
        words = tuple(answer) if several and isinstance(answer, list | tuple) else (answer,)
        wanted = self.right if several else (self.right,)
        if len(words) != len(wanted) or not all(isinstance(w, str) and w in self.options for w in words):
            one_of = ", ".join(f'"{option}"' for option in self.options)
            many = f"{len(wanted)} words in order, each one" if several else "one"
            return Feedback(False, f"give {many} of {one_of}.")
        if words == wanted:
            return Feedback(True, self.why)
        for wrong, hint in self.hints.items():
            key = wrong if several else (wrong,)
            if all(k is None or k == w for k, w in zip(key, words, strict=True)):
                return Feedback(False, hint)
        return Feedback(False, self.otherwise)


def _number(answer: Any) -> float | None:
    """Return the answer as a finite number, or None if it is none."""
    if isinstance(answer, bool | str):
        return None
    try:
        value = float(answer)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None

"""Answers to the notebooks' exercises, checked at once: ``nk.check.start_here.q1(answer)``.

Each notebook has a TOML file here that is named after it and holds its questions: what is asked, the right
answer, why it is right, and hints to wrong ones. A question returns a `Feedback` that prints as one sentence.
A missing or odd answer gets a hint too, never a stack trace.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

__all__ = ["TOPICS", "Feedback", "Question"]

ANY = "*"
"""In the words of a hint: any word."""


@dataclass(frozen=True)
class Feedback:
    """What is said to an answer; `right` for programs, the message for people."""

    right: bool
    message: str

    def __repr__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.message}"


@dataclass(frozen=True)
class Question:
    """A question for a number, or with `options` for a word; called with an answer it returns a `Feedback`.

    Attributes
    ----------
    asked
        What is asked, in a few words.
    right
        The right answer: a number, one of the options, or a list of several in order.
    why
        Said to a right answer: why it is right.
    otherwise
        Hint to any other wrong answer.
    hints
        The wrong answers that are given most often, each with its hint. In a list of words "*" is any word.
    options
        The words to choose from.
    tolerance
        How far a number may be from `right`, or from that of a hint, to count as it.
    share
        Whether a number is a share or probability: then percents get a hint of their own.
    """

    asked: str
    right: Any = field(repr=False)
    why: str = field(repr=False)
    otherwise: str = field(repr=False)
    hints: Sequence[tuple[Any, str]] = field(default=(), repr=False)
    options: Sequence[str] = ()
    tolerance: float = field(default=0.005, repr=False)
    share: bool = field(default=True, repr=False)

    def __call__(self, answer: Any) -> Feedback:
        """Check an answer; never raises."""
        given: Any = self._words(answer) if self.options else _number(answer)
        if given is None:
            return Feedback(False, f"give {self._wanted()}.")
        if self._is(given, self.right):
            return Feedback(True, self.why)
        for wrong, hint in self.hints:
            if self._is(given, wrong):
                return Feedback(False, hint)
        if not self.options and self.share and 1 < given <= 100:
            return Feedback(False, "a share lies between 0 and 1; divide percents by 100.")
        return Feedback(False, self.otherwise)

    def _wanted(self) -> str:
        if not self.options:
            return "a number between 0 and 1, such as 0.25" if self.share else "a number"
        many = f"{len(self.right)} words in order, each one" if isinstance(self.right, list) else "one"
        options = ", ".join(f'"{option}"' for option in self.options)
        return f"{many} of {options}"

    def _words(self, answer: Any) -> list[str] | None:
        """Return the answer as a list of as many words as are asked for, or None."""
        several = isinstance(self.right, list) and isinstance(answer, list | tuple)
        words = list(answer) if several else [answer]
        fit = all(isinstance(word, str) and word in self.options for word in words)
        return words if fit and len(words) == len(_listed(self.right)) else None

    def _is(self, given: Any, wanted: Any) -> bool:
        if self.options:
            return all(w in (ANY, g) for g, w in zip(given, _listed(wanted), strict=True))
        return math.isclose(given, wanted, rel_tol=0.0, abs_tol=self.tolerance)


def _listed(words: Any) -> list[str]:
    return words if isinstance(words, list) else [words]


def _number(answer: Any) -> float | None:
    """Return the answer as a finite number, or None; NumPy's and torch's scalars are numbers too."""
    if isinstance(answer, bool | str):
        return None
    try:
        value = float(answer)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _read(path: Path) -> SimpleNamespace:
    told = tomllib.loads(path.read_text("utf-8"))
    return SimpleNamespace(**{name: Question(**question) for name, question in told.items()})


TOPICS = {path.stem: _read(path) for path in sorted(Path(__file__).parent.glob("*.toml"))}
"""The questions of each notebook, by its name without the number."""

globals().update(TOPICS)


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"module 'nlkit.check' has no attribute {name!r}: one of {', '.join(TOPICS)}")


def __dir__() -> list[str]:
    return [*__all__, *TOPICS]

"""An exercise: what is said to an answer, three hints, and what is remembered of the tries."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from nlkit._util import invalid

__all__ = ["Exercise", "Feedback", "Question"]

ANY = "*"
"""In the words of a mistake: any word."""

NEARLY = 0.1
"""How far, as a share, a rounded number may be from the right one."""


@dataclass(frozen=True)
class Feedback:
    """What is said to an answer: the message is for people, the rest for programs.

    Attributes
    ----------
    right
        Whether the answer is right.
    message
        Why it is right, or what to think about.
    nearly
        Whether it is right up to rounding.
    counts
        Whether it was an answer at all, and so a try.
    """

    right: bool
    message: str
    nearly: bool = False
    counts: bool = True

    @property
    def points(self) -> float:
        """1 for a right answer, ½ for one that is right up to rounding, else 0."""
        return 1.0 if self.right else 0.5 * self.nearly

    def __repr__(self) -> str:
        return f"{'Right' if self.right else 'Nearly' if self.nearly else 'Not yet'}: {self.message}"


@dataclass(frozen=True)
class Hint:
    """One of an exercise's hints."""

    message: str
    level: int
    levels: int

    def __repr__(self) -> str:
        return f"Hint {self.level} of {self.levels}: {self.message}"


@dataclass(eq=False)
class Exercise(ABC):
    """Called with an answer it returns a `Feedback`; `hint` helps without giving the answer at once.

    What is right is kept from being shown by accident, by a repr or a list of attributes. It is no secret:
    who looks for it in the package finds it.

    Attributes
    ----------
    name
        As it is called, such as "nk.check.label_noise.q1".
    asked
        What is asked, in a few words.
    hints
        From the first nudge to nearly the way there.
    """

    name: str
    asked: str
    _why: str = field(repr=False)
    _hints: Sequence[str] = field(repr=False)
    tries: list[Feedback] = field(default_factory=list, init=False, repr=False)
    hints_read: int = field(default=0, init=False, repr=False)

    def __call__(self, answer: Any) -> Feedback:
        """Check an answer; never raises. The same once more is no new try."""
        feedback = self._look(answer)
        if feedback.counts and feedback not in self.tries[-1:]:
            self.tries.append(feedback)
        return feedback

    def hint(self, level: int | None = None) -> Hint:
        """Return the next hint, the last one again after it, or the one of a level from 1 on."""
        if level is None:
            level = min(self.hints_read + 1, len(self._hints))
        elif level not in range(1, len(self._hints) + 1):
            invalid("level", level, f"from 1 to {len(self._hints)}")
        self.hints_read = max(self.hints_read, level)
        return Hint(self._hints[level - 1], level, len(self._hints))

    @property
    def points(self) -> float:
        """Of the best try: 1, ½ (nearly right) or 0."""
        return max((feedback.points for feedback in self.tries), default=0.0)

    @abstractmethod
    def _look(self, answer: Any) -> Feedback: ...

    def _wrong(self) -> Feedback:
        return Feedback(False, f"think again; {self.name}.hint() helps, and helps more when called again.")


@dataclass(eq=False)
class Question(Exercise):
    """A question for a number, or with `options` for a word.

    Attributes
    ----------
    _right
        The right answer: a number, one of the options, or a list of several in order.
    _mistakes
        The wrong answers that are given most often, each with what is said to it. In a list of words "*" is
        any word.
    options
        The words to choose from.
    _tolerance
        How far a number may be from the right one, or from that of a mistake, to count as it.
    share
        Whether a number is a share or probability: then percents are noticed.
    """

    _right: Any = field(repr=False)
    _mistakes: Sequence[tuple[Any, str]] = field(default=(), repr=False)
    options: Sequence[str] = ()
    _tolerance: float = field(default=0.005, repr=False)
    share: bool = field(default=True, repr=False)

    def _look(self, answer: Any) -> Feedback:
        given: Any = self._words(answer) if self.options else _number(answer)
        if given is None:
            return Feedback(False, f"give {self._wanted()}.", counts=False)
        if self._is(given, self._right):
            return Feedback(True, self._why)
        for wrong, hint in self._mistakes:
            if self._is(given, wrong):
                return Feedback(False, hint)
        if self.options:
            return self._wrong()
        if self.share and 1 < given <= 100:
            return Feedback(False, "a share lies between 0 and 1; divide percents by 100.")
        if _rounded(given, self._right):
            return Feedback(False, "right up to rounding: give one more digit.", nearly=True)
        return self._wrong()

    def _wanted(self) -> str:
        if not self.options:
            return "a number between 0 and 1, such as 0.25" if self.share else "a number"
        many = f"{len(self._right)} words in order, each one" if isinstance(self._right, list) else "one"
        options = ", ".join(f'"{option}"' for option in self.options)
        return f"{many} of {options}"

    def _words(self, answer: Any) -> list[str] | None:
        """Return the answer as a list of as many words as are asked for, or None."""
        several = isinstance(self._right, list) and isinstance(answer, list | tuple)
        words = list(answer) if several else [answer]
        fit = all(isinstance(word, str) and word in self.options for word in words)
        return words if fit and len(words) == len(_listed(self._right)) else None

    def _is(self, given: Any, wanted: Any) -> bool:
        if self.options:
            return all(w in (ANY, g) for g, w in zip(given, _listed(wanted), strict=True))
        return math.isclose(given, wanted, rel_tol=0.0, abs_tol=self._tolerance)


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


def _rounded(given: float, right: float) -> bool:
    """Return whether a number is the right one, cut or rounded to the decimals that it shows."""
    exponent = Decimal(repr(given)).as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) else 0
    near = math.isclose(given, right, rel_tol=NEARLY)
    return decimals > 0 and near and abs(given - right) <= 0.5 * 10.0**-decimals + 1e-12

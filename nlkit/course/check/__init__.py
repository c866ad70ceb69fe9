"""Answers to the notebooks' exercises, checked at once: ``nk.check.start_here.q1(answer)``.

Each notebook has a TOML file here that is named after it and holds its exercises: what is asked, why the
answer is right, three hints, and for a `Question` the answer and frequent mistakes. What a function has to do
that students write, a `Task`, is in `nlkit.course.check.coding`. A missing or odd answer gets a word of help
too, never a stack trace; ``nk.check.start_here.q1.hint()`` gives a hint, ``nk.check.start_here.score()`` says
what is done.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

from nlkit.course.check.coding import Task
from nlkit.course.check.exercise import Exercise, Feedback, Question

__all__ = ["TOPICS", "Exercise", "Feedback", "Question", "Task", "Topic", "score"]


@dataclass(frozen=True)
class Score:
    """How far exercises are done, in this kernel; its repr is a sentence.

    Attributes
    ----------
    points
        1 for each that was answered rightly, ½ where the answer is right up to rounding.
    of
        Exercises.
    first_try
        How many were right at the first try, without a hint.
    hints
        Hints read.
    open
        Names of those that are not answered rightly.
    """

    points: float
    of: int
    first_try: int
    hints: int
    open: tuple[str, ...]

    def __repr__(self) -> str:
        missing = f" Open: {', '.join(self.open)}." if self.open else ""
        return (
            f"{self.points:g} of {self.of} points, {self.first_try} at the first try and without a hint; "
            f"hints read: {self.hints}.{missing}"
        )


def score(exercises: Sequence[Exercise] | None = None) -> Score:
    """Return how far exercises are done: those of all notebooks by default."""
    if exercises is None:
        exercises = [exercise for topic in TOPICS.values() for exercise in vars(topic).values()]
    return Score(
        points=sum(e.points for e in exercises),
        of=len(exercises),
        first_try=sum(bool(e.tries) and e.tries[0].right and not e.hints_read for e in exercises),
        hints=sum(e.hints_read for e in exercises),
        open=tuple(e.name.removeprefix("nk.check.") for e in exercises if e.points < 1),
    )


class Topic(SimpleNamespace):
    """The exercises of a notebook: q1, q2 and so on."""

    def score(self) -> Score:
        """Return how far this notebook's exercises are done."""
        return score(list(vars(self).values()))


def _read(path: Path) -> Topic:
    topic = Topic()
    for number, told in tomllib.loads(path.read_text("utf-8")).items():
        kind = Task if "task" in told else Question
        shown = {key if key in ("asked", "options", "share") else f"_{key}": told[key] for key in told}
        setattr(topic, number, kind(name=f"nk.check.{path.stem}.{number}", **shown))
    return topic


TOPICS = {path.stem: _read(path) for path in sorted(Path(__file__).parent.glob("*.toml"))}
"""The exercises of each notebook, by its name without the number."""

globals().update(TOPICS)


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"module 'nlkit.check' has no attribute {name!r}: one of {', '.join(TOPICS)}")


def __dir__() -> list[str]:
    return [*__all__, *TOPICS]

"""Answers to the notebooks' exercises, checked at once.

Each notebook has a module here that is named after it: ``nk.check.start_here.q1(answer)`` asks question 1.
A question returns a `Feedback` that prints as one sentence: why the answer is right, or a hint. A missing or
odd answer gets a hint too, never a stack trace.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from nlkit.course.check.answers import Choice, Feedback, Number, Question

TOPICS = tuple(module.name for module in iter_modules(__path__) if module.name != "answers")
"""The modules, one a notebook."""

__all__ = ["TOPICS", "Choice", "Feedback", "Number", "Question", *TOPICS]


def __getattr__(name: str) -> ModuleType:
    if name not in TOPICS:
        raise AttributeError(
            f"module 'nlkit.course.check' has no attribute {name!r}: one of {', '.join(TOPICS)}"
        )
    return import_module(f"nlkit.course.check.{name}")

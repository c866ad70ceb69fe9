"""Answers to the exercises of notebook 00_start_here, checked at once.

Each function takes an answer and returns a `Feedback` that prints as one sentence: why it is right, or a
hint. A missing or odd answer gets a hint too, never a stack trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["Feedback", "q1", "q2", "q3", "q4"]


@dataclass(frozen=True)
class Feedback:
    """What is said to an answer; `right` for programs, the message for people."""

    right: bool
    message: str

    def __repr__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.message}"


def _number(answer: Any) -> float | None:
    """Return the answer as a finite number, or None if it is none."""
    if isinstance(answer, bool | str):
        return None
    try:
        value = float(answer)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def q1(answer: Any) -> Feedback:
    """Check: the probability that symmetric noise of rate 0.4 flips one of 8 classes to a certain other."""
    value = _number(answer)
    if value is None:
        return Feedback(False, "give a number between 0 and 1, such as 0.25.")
    if math.isclose(value, 0.4 / 7, abs_tol=0.001):
        return Feedback(True, "the 0.4 is shared equally by the 7 other classes, 0.4 / 7 = 0.057 each.")
    if math.isclose(value, 0.4 / 8, abs_tol=0.001):
        return Feedback(False, "close. A flipped label never stays what it was: how many classes are left?")
    if math.isclose(value, 0.4, abs_tol=0.001):
        return Feedback(False, "that is the probability of any flip. It is shared by how many other classes?")
    if 1 < value <= 100:
        return Feedback(False, "a probability lies between 0 and 1; divide percents by 100.")
    return Feedback(False, "look at one row of the matrix: it sums to 1, and its diagonal is 1 − 0.4.")


def q2(answer: Any) -> Feedback:
    """Check: what a perfect classifier scores on validation labels of which 40 % are wrong."""
    value = _number(answer)
    if value is None:
        return Feedback(False, "give a number between 0 and 1, such as 0.25.")
    if math.isclose(value, 0.6, abs_tol=0.005):
        return Feedback(
            True,
            "it disagrees with every wrong label, so about 0.6 is the ceiling. The level says little, "
            "but epochs can still be ranked by it.",
        )
    if math.isclose(value, 1.0, abs_tol=0.005):
        return Feedback(False, "that is its accuracy on true labels. Here it is compared with noisy ones.")
    if math.isclose(value, 0.4, abs_tol=0.005):
        return Feedback(False, "that is the share of labels it disagrees with.")
    if 1 < value <= 100:
        return Feedback(False, "accuracy is a share between 0 and 1 here; divide percents by 100.")
    return Feedback(False, "a perfect classifier always says the true class. How often is that the label?")


def q3(answer: Any) -> Feedback:
    """Check: what happens to (R, P) when the margin σ rises: "smaller", "same" or "larger" for each."""
    words = ("smaller", "same", "larger")
    if not isinstance(answer, list | tuple) or len(answer) != 2 or any(a not in words for a in answer):
        return Feedback(
            False,
            'give two words, for R and for P, each "smaller", "same" or "larger": ("larger", "larger").',
        )
    r, p = answer
    if (r, p) == ("same", "smaller"):
        return Feedback(
            True,
            "R does not depend on σ; P asks for more confidence, and what leaves it is hard and goes to H.",
        )
    if r != "same":
        return Feedback(False, "move only the margin and watch R: which comparison decides about R?")
    return Feedback(False, "R is right. For P the mean prediction must exceed the threshold by σ.")


def q4(answer: Any) -> Feedback:
    """Check: the share of right labels after a correction: 40 % wrong, correction 0.8, harm 0.1."""
    value = _number(answer)
    if value is None:
        return Feedback(False, "give a number between 0 and 1, such as 0.25.")
    if math.isclose(value, 0.86, abs_tol=0.001):
        return Feedback(
            True,
            "0.4 · 0.8 = 0.32 are turned right and 0.6 · 0.9 = 0.54 stay right. Where most labels are right "
            "already, a small harm rate costs more than it seems.",
        )
    if math.isclose(value, 0.92, abs_tol=0.001):
        return Feedback(False, "close. Some labels that were right are turned wrong: how many?")
    if math.isclose(value, 0.54, abs_tol=0.001):
        return Feedback(False, "these stay right. Which wrong ones are turned right, too?")
    if math.isclose(value, 0.32, abs_tol=0.001):
        return Feedback(False, "these are turned right. Which ones stay right, too?")
    if 1 < value <= 100:
        return Feedback(False, "a share lies between 0 and 1; divide percents by 100.")
    return Feedback(False, "count the wrong labels that are turned right and the right ones that stay right.")

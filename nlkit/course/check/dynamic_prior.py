"""The exercises of notebook 07_dynamic_prior."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number
from nlkit.methods.sidyp.prior import CASES

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Choice(
    "The case of four votes in five for one class and one for another, γ = 0.9 and δ = 0.8.",
    right="dominant",
    why="0.8 does not reach γ = 0.9, so it is not certain; the two largest together are 1, above δ.",
    otherwise="first compare the largest share with γ, then the sum of the two largest with δ.",
    hints={"certain": "the largest share is 4/5 = 0.8. Does it reach γ?"},
    options=CASES,
)

q2 = Number(
    "The weight of the nearer of two neighbours, at distances 0.5 and 1.",
    right=2 / 3,
    why="they vote with 1/0.5 = 2 and 1/1 = 1, so its share is 2/3. Together they reach δ: both stay.",
    otherwise="a vote counts 1 / distance; a weight is a share of all votes.",
    hints={
        1 / 3: "that is the farther one's weight, or the distance was used where 1 / distance is meant.",
        0.5: "the nearer one counts more: a vote is worth 1 / distance.",
        1.0: "its share does not reach γ, so the other candidate stays as well.",
    },
)

q3 = Choice(
    "What a larger γ does to the number of certain and of uncertain texts.",
    right=("smaller or same", "same"),
    why=(
        "fewer texts reach γ, and every text that is certain no more has a largest share of at least 0.9: "
        "with δ = 0.8 it is dominant. What was uncertain stays so."
    ),
    otherwise="move only γ in the explorer. Where do the texts go that are not certain any more?",
    hints={
        ("smaller or same", None): (
            "certain is right. A text whose largest share was at least 0.9: do its two largest reach δ = 0.8?"
        )
    },
    options=("smaller or same", "same", "larger or same"),
)

q4 = Number(
    "The weight of a candidate of 0.3 beside 0.7 after one answer for it, J = 6.",
    right=(0.3 + 0.7 / 6) / (1 + 0.7 / 6),
    why="0.3 + (1 − 0.3) / 6 = 0.417, and divided by the new sum 0.7 + 0.417 = 1.117 that is 0.373.",
    otherwise="first w + (1 − w) / J for the answered candidate, then divide all by the new sum.",
    hints={
        0.3 + 0.7 / 6: "nearly: now the weights sum to more than 1. Divide by their sum.",
        0.3: "an answer that is a candidate moves its weight up.",
    },
)

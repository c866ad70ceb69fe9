"""The exercises of notebook 00_start_here."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Number(
    "The probability that symmetric noise of rate 0.4 flips one of 8 classes to a certain other.",
    right=0.4 / 7,
    why="the 0.4 is shared equally by the 7 other classes, 0.4 / 7 = 0.057 each.",
    otherwise="look at one row of the matrix: it sums to 1, and its diagonal is 1 − 0.4.",
    hints={
        0.4 / 8: "close. A flipped label never stays what it was: how many classes are left?",
        0.4: "that is the probability of any flip. It is shared by how many other classes?",
    },
    tolerance=0.001,
)

q2 = Number(
    "What a perfect classifier scores on validation labels of which 40 % are wrong.",
    right=0.6,
    why=(
        "it disagrees with every wrong label, so about 0.6 is the ceiling. The level says little, but epochs "
        "can still be ranked by it."
    ),
    otherwise="a perfect classifier always says the true class. How often is that the label?",
    hints={
        1.0: "that is its accuracy on true labels. Here it is compared with noisy ones.",
        0.4: "that is the share of labels it disagrees with.",
    },
)

q3 = Choice(
    "What happens to R and to P when the margin σ rises.",
    right=("same", "smaller"),
    why="R does not depend on σ; P asks for more confidence, and what leaves it is hard and goes to H.",
    otherwise="move only the margin and watch R: which comparison decides about R?",
    hints={("same", None): "R is right. For P the mean prediction must exceed the threshold by σ."},
    options=("smaller", "same", "larger"),
)

q4 = Number(
    "The share of right labels after a correction: 40 % wrong, correction rate 0.8, harm rate 0.1.",
    right=0.86,
    why=(
        "0.4 · 0.8 = 0.32 are turned right and 0.6 · 0.9 = 0.54 stay right. Where most labels are right "
        "already, a small harm rate costs more than it seems."
    ),
    otherwise="count the wrong labels that are turned right and the right ones that stay right.",
    hints={
        0.92: "close. Some labels that were right are turned wrong: how many?",
        0.54: "these stay right. Which wrong ones are turned right, too?",
        0.32: "these are turned right. Which ones stay right, too?",
    },
    tolerance=0.001,
)

"""The exercises of notebook 01_label_noise."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Number(
    "The rate at which symmetric noise over 8 classes leaves a label that says nothing.",
    right=7 / 8,
    why="at 7/8 each class, the true one too, gets 1/8 of the labels: all rows of the matrix are alike.",
    otherwise="when are all rows of the matrix alike? Then 1 − rate equals rate / 7.",
    hints={
        1.0: "then the label is never the true class, and that says something: one class is ruled out.",
        0.5: "half of the labels are still right then, and each wrong class has only 0.5 / 7.",
    },
    tolerance=0.001,
)

q2 = Number(
    "The share of right labels among those that say 'rare': 10 % rare texts, symmetric noise 0.2, 2 classes.",
    right=0.08 / 0.26,
    why=(
        "0.1 · 0.8 = 0.08 of all texts are rare and labelled so, and 0.9 · 0.2 = 0.18 are common and "
        "labelled rare: 0.08 / 0.26 = 0.31. Most labels 'rare' are wrong, although only one label in five is."
    ),
    otherwise="of 100 texts, how many are labelled rare and are so, and how many are labelled rare in all?",
    hints={
        0.8: "that is P(labelled rare | rare). Asked is the other way round: P(rare | labelled rare).",
        0.08: "that many of all texts are rare and labelled rare. Divide by all that are labelled rare.",
        0.26: "that many of all texts are labelled rare. How many of them are rare?",
    },
)

q3 = Number(
    "How many labels it takes until the achieved rate of noise 0.4 has a standard deviation of 0.01.",
    right=2400,
    why="√(0.4 · 0.6 / n) = 0.01 gives n = 0.24 / 0.0001 = 2,400; half the spread takes four times as many.",
    otherwise="solve √(0.4 · 0.6 / n) = 0.01 for n.",
    hints={24: "the standard deviation is a square root: 0.01 has to be squared as well."},
    tolerance=1.0,
    share=False,
)

q4 = Choice(
    "The commonest label of a class under noise 0.6: symmetric over 8 classes, then asymmetric.",
    right=("true", "other"),
    why=(
        "symmetric noise leaves 0.4 with the true class against 0.6 / 7 with each other one; asymmetric "
        "noise gives 0.6 to one other class. No learner can know that this majority is wrong."
    ),
    otherwise="write down one row of each matrix, and look for its largest number.",
    hints={
        ("other", None): "symmetric noise shares its 0.6 among seven classes: how much does each one get?",
        ("true", "true"): "asymmetric noise gives all of its 0.6 to one class. Is 1 − 0.6 more?",
    },
    options=("true", "other"),
)

"""The exercises of notebook 03_splitting."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Number(
    "A threshold τ of 0.5 after an epoch in which the model was 0.9 sure, with momentum 0.7.",
    right=0.62,
    why="0.7 · 0.5 + 0.3 · 0.9 = 0.62: the threshold follows the model's confidence, a part of the way.",
    otherwise="τ ← m τ + (1 − m) max_c p_c, with m = 0.7.",
    hints={
        0.78: "you gave the new confidence the weight 0.7: it is the old threshold that m belongs to.",
        0.9: "that would be momentum 0. How much of the old threshold stays?",
        0.5: "that would be momentum 1: the threshold would never move.",
    },
    tolerance=0.001,
)

q2 = Choice(
    "The set of a sample: p_s = 0.7 and τ_s = 0.6, p_w = 0.3 and τ_w = 0.4.",
    right="H",
    why="the strong model trusts the label and the weak one does not: they disagree, so the sample is hard.",
    otherwise="compare each model's probability with its own threshold. Do the two models agree?",
    hints={
        "R": "for R both models have to trust the label. Look at the weak one again.",
        "P": "for P neither model may trust the label. Look at the strong one again.",
    },
    options=("R", "H", "P"),
)

q3 = Choice(
    "R of both models beside R of the strong model alone: its size, and its recall of right labels.",
    right=("smaller", "smaller"),
    why=(
        "R of both is the intersection of R of each. It never holds more samples, nor more right ones; what "
        "it may gain is precision."
    ),
    otherwise="a sample is in R if the strong model trusts its label and the weak one does, too.",
    hints={
        ("smaller", "larger"): "fewer samples cannot hold more of the right labels.",
        ("larger", None): "two conditions are harder to meet than one.",
    },
    options=("smaller", "larger"),
)

q4 = Number(
    "Precision of R: it holds 300 samples, 280 of the 360 right labels among them.",
    right=280 / 300,
    why="280 of the 300 are right: 0.93. Its recall is 280 / 360 = 0.78.",
    otherwise="precision asks about the samples in R: how many of them are right?",
    hints={280 / 360: "that is the recall: how many of the right labels are in R."},
)

"""The exercises of notebook 09_sidyp."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Number(
    "The Brier score of the prediction (0.7, 0.2, 0.1) where the first class is true.",
    right=0.14,
    why="(0.7 − 1)² + 0.2² + 0.1² = 0.09 + 0.04 + 0.01 = 0.14. It runs from 0 to 2.",
    otherwise="the squared distance to (1, 0, 0): one term a class, summed up.",
    hints={
        0.09: "that is the true class's term. The other classes have one each, too.",
        0.047: "the terms are summed over the classes, not averaged.",
        0.3: "that is how much the true class lacks. Square it, and add the other classes' squares.",
    },
    tolerance=0.002,
)

q2 = Number(
    "The calibration error of a model that is always 100 % sure and right in 8 of 10 cases.",
    right=0.2,
    why="all its answers are in one bin, with confidence 1 and accuracy 0.8: the gap is 0.2.",
    otherwise="in which bin are all its answers, and what are confidence and accuracy there?",
    hints={0.8: "that is its accuracy. How far is it from what the model says?", 0.0: "it is far too sure."},
)

q3 = Number(
    "P(y = earn), summed over the two observed labels.",
    right=0.66,
    why=(
        "0.6 · 0.9 + 0.4 · 0.3 = 0.66: what the truth would be for each label that could be observed, "
        "weighted by how probable that label is."
    ),
    otherwise="for each label that could be observed: its probability times earn's probability given it.",
    hints={
        0.54: "that is the part of the observed label earn. The text could be labelled acq as well.",
        0.6: "the plain mean of 0.9 and 0.3? The two observed labels weigh 0.6 and 0.4.",
        0.12: "that is the part of the observed label acq. Add the other one's.",
    },
)

q4 = Choice(
    "What merging neighbouring bins can do to the expected calibration error.",
    right="smaller or same",
    why=(
        "in a merged bin a gap above the diagonal and one below cancel, and gaps of one sign add up to the "
        "same. So fewer bins never look worse, and a small ECE of few bins means little."
    ),
    otherwise="take two bins of ten texts, one 10 points too sure, one 10 points too modest. Merge them.",
    options=("smaller or same", "larger or same", "either"),
)

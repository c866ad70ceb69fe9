"""The exercises of notebook 02_memorisation."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Number(
    "The training accuracy where 95 % of the right and 60 % of the wrong labels are fitted; 40 % are wrong.",
    right=0.6 * 0.95 + 0.4 * 0.6,
    why=(
        "0.6 · 0.95 + 0.4 · 0.6 = 0.81. A training accuracy above 1 − 0.4 is a warning here: more than all "
        "right labels can only be reached by learning wrong ones by heart."
    ),
    otherwise="take the right labels, 60 % of all, and the wrong ones, 40 %: how many of each are fitted?",
    hints={
        0.57: "these are the right labels that are fitted. Which wrong ones are fitted, too?",
        0.95 * 0.4
        + 0.6 * 0.6: "six labels in ten are right, four are wrong: you weighed them the other way.",
        0.775: "that is the mean of 0.95 and 0.6, but there are more right labels than wrong ones.",
    },
    tolerance=0.002,
)

q2 = Number(
    "The standard deviation of an accuracy of 0.6 that is measured on 60 validation texts.",
    right=(0.6 * 0.4 / 60) ** 0.5,
    why="√(0.6 · 0.4 / 60) = 0.063. Two epochs that differ by three percent cannot be told apart with it.",
    otherwise="as in notebook 01: √(p (1 − p) / n), with p = 0.6 and n = 60.",
    hints={0.004: "that is the variance; take the square root."},
    tolerance=0.002,
)

q3 = Number(
    "The area under the ROC curve: losses of wrong labels 3.0 and 1.0, of right labels 0.5 and 2.0.",
    right=0.75,
    why="of the four pairs of a wrong and a right label, the wrong one has the larger loss in three.",
    otherwise="pair each wrong label with each right one. How often has the wrong one the larger loss?",
    hints={3.0: "that is how many of the pairs are in the right order. Out of how many?"},
)

q4 = Choice(
    "Whose curve may say when to stop: the training labels', the noisy validation labels' or the test set's.",
    right="validation",
    why=(
        "the training accuracy only rises, and a test set that chooses is no test any more. Noisy validation "
        "labels were not trained on, and their peak is a usable hint although their level is low."
    ),
    otherwise="it must not have been trained on, and it must not be what you report in the end.",
    hints={
        "training": "it rises while wrong labels are learnt by heart: it would say 'never stop'.",
        "test": "then the test set takes part in training, and what you report is too good.",
    },
    options=("training", "validation", "test"),
)

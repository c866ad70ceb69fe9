"""The exercises of notebook 06_llm_noise."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Number(
    "The probability of acq, 0.4 raw and 0.1 about an empty text, beside earn, 0.6 raw and 0.9 empty.",
    right=4 / (4 + 2 / 3),
    why="0.4 / 0.1 = 4 and 0.6 / 0.9 = 0.667; of their sum acq has 0.857. The habit favoured earn.",
    otherwise="divide each raw probability by that of the empty text, then let the two sum to 1 again.",
    hints={
        4.0: "that is the quotient. Divide it by the sum of both quotients.",
        0.4: "that is the raw probability. What does the model say about an empty text?",
        1 / 7: "that is the probability of earn.",
    },
    tolerance=0.005,
)

q2 = Choice(
    "What batch calibration does to a right and frequent label: how many it gets, and how many are wrong.",
    right=("fewer", "more"),
    why=(
        "its mean probability is high because it is frequent, not because of a habit. Dividing by it takes "
        "labels away that were right."
    ),
    otherwise="the mean answer is mostly earn. What becomes of earn when it is divided by a large number?",
    hints={
        ("fewer", None): "fewer is right. The labels that go were right: what are they now?",
        ("more", None): "earn is divided by its mean, which is the larger one. Does that favour it?",
    },
    options=("fewer", "same", "more"),
)

q3 = Choice(
    "In which of two noises of one rate wrong labels are fitted earlier.",
    right="rule",
    why="one word predicts all these mistakes: they are learnt like a topic. The others are learnt singly.",
    otherwise="which mistakes can be predicted from the text?",
    hints={"symmetric": "these follow nothing in the text: each must be learnt by heart."},
    options=("symmetric", "rule", "same"),
)

q4 = Number(
    "The share of wrong labels: 10 % of topic A and 70 % of topic B wrong, 80 % of the texts in A.",
    right=0.22,
    why="0.8 · 0.1 = 0.08 and 0.2 · 0.7 = 0.14. The rate of all hides that most of topic B is lost.",
    otherwise="weigh each topic's share of wrong labels by its share of the texts.",
    hints={
        0.78: "that is the share that is right.",
        0.4: "that is the plain mean of the two. Topic A has more texts.",
    },
    tolerance=0.005,
)

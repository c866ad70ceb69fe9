"""The exercises of notebook 10_compare."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Number(
    "The standard error of an accuracy of 0.90 on 600 texts.",
    right=0.0122,
    why=(
        "√(0.9 · 0.1 / 600) = 0.012. Twice that to either side makes an interval of five points: "
        "differences of one point need more texts, or a paired comparison."
    ),
    otherwise="put p = 0.9 and n = 600 into √(p · (1 − p) / n).",
    hints={
        0.00015: "that is the variance. The standard error is its square root.",
        0.3: "that is the spread of a single text, √(0.9 · 0.1). Divide by √600.",
        0.0239: "that is 1.96 standard errors, half of the 95 % interval.",
    },
    tolerance=0.0003,
)

q2 = Number(
    "The probability of at least one of nine independent false alarms at 5 % each.",
    right=1 - 0.95**9,
    why="no false alarm at all has probability 0.95⁹ = 0.63, so at least one has 0.37.",
    otherwise="how probable is it that all nine stay silent? Each does so with probability 0.95.",
    hints={
        0.05: "that is the probability for one comparison. There are nine of them.",
        0.45: "nine times 0.05 counts the cases twice in which two of them give an alarm.",
        0.95**9: "that is the probability that none gives an alarm. Asked is the opposite.",
    },
)

q3 = Choice(
    "The labels by which an epoch may be chosen.",
    right="noisy validation labels",
    why="they are all one has in practice, and they rank epochs usefully, although the level is too low.",
    otherwise="what would you have if nobody had checked a label?",
    hints={
        "test labels": "then the reported accuracy was chosen to be high: it says nothing of new texts.",
        "true validation labels": (
            "they are no cheating with the test set, but nobody has them here: who does could train on them."
        ),
    },
    options=("test labels", "noisy validation labels", "true validation labels"),
)

q4 = Choice(
    "What the deviation over seeds and the bootstrap interval are about.",
    right=("another training run", "other test texts"),
    why="a seed changes noise and training and leaves the test set; the bootstrap does the opposite.",
    otherwise="what changes from seed to seed, and what is drawn again and again in the bootstrap?",
    hints={
        ("other test texts", "another training run"): "it is the other way round: what does a seed change?"
    },
    options=("another training run", "other test texts"),
)

"""The exercises of notebook 05_noiseal."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Number(
    "Reversed cross-entropy with A = −4 where the answer's class has probability 0.75.",
    right=1.0,
    why=(
        "−A · (1 − p) = 4 · 0.25 = 1. Were the model sure of something else, it would be 4 and no more, "
        "where cross-entropy grows without bound."
    ),
    otherwise="put p = 0.75 and A = −4 into −A · (1 − p).",
    hints={
        3.0: "that is 4 · p. The loss has to become 0 where the model agrees with the answer.",
        0.288: "that is −log 0.75, the cross-entropy. Here model and answer change places.",
        -1.0: "the size is right. A is negative, and so is the sign in front of it.",
    },
    share=False,
)

q2 = Number(
    "The first class of p̄ = (0.6, 0.4), sharpened with T = 0.5.",
    right=0.36 / 0.52,
    why="1/T is 2: the squares are 0.36 and 0.16, and 0.36 / 0.52 = 0.69. What was likely is likelier now.",
    otherwise="raise both to the power 1/T = 2, then divide by their sum.",
    hints={
        0.36: "that is the square. The two must sum to 1 again.",
        0.6**0.5 / (0.6**0.5 + 0.4**0.5): "that power is T. With 1/T the likely class becomes likelier.",
    },
)

q3 = Choice(
    "What is taught to texts of R, answered P, open P, and R with an older answer.",
    right=("observed label", "answer", "guess", "answer"),
    why=(
        "an answer is kept for good, whatever set its text falls in later; P without an answer is taught "
        "like H, by the models' own guess."
    ),
    otherwise="section 1, step 4, says it for each kind of text.",
    hints={
        ("observed label", "answer", "guess", "observed label"): (
            "the first three are right. What happens to an answer that was bought in an earlier round?"
        ),
        (
            None,
            None,
            "observed label",
            None,
        ): "P holds labels that neither model trusts.",
    },
    options=("observed label", "answer", "guess"),
)

q4 = Number(
    "What 27 right answers about wrong labels add to the right lessons of 1,000 texts.",
    right=0.027,
    why=(
        "27 / 1,000 = 0.027, not three points. The sets and the guesses change hundreds of lessons; that is "
        "why the annotator's part in the gain is small here."
    ),
    otherwise="how many labels get right, out of how many in all?",
    hints={
        0.03: "three of the thirty answers are wrong: their labels were wrong before, and still are.",
        0.9: "that is the annotator's accuracy. Asked is its effect on all labels.",
        27 / 400: "that is the share of the wrong labels. Divide by all labels.",
    },
    tolerance=0.0005,
)

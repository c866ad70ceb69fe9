"""The exercises of notebook 04_llm_annotator."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Number(
    "What 50,000 questions of 160 tokens cost at 0.25 for a million tokens.",
    right=2.0,
    why="50,000 · 160 are 8 million tokens, and 8 · 0.25 = 2. Without demonstrations it would be far less.",
    otherwise="first count the tokens in all, then in millions, then multiply by the price.",
    hints={
        8.0: "that is how many million tokens are read. What does a million cost?",
        2_000_000.0: "the price is for a million tokens, not for one.",
    },
    tolerance=0.01,
    share=False,
)

q2 = Choice(
    "What happens to coverage and to accuracy when the threshold for abstention rises.",
    right=("smaller", "larger"),
    why="fewer texts reach the threshold, and those that do are more often right.",
    otherwise="a higher threshold: do more texts reach it, or fewer? And which ones drop out first?",
    hints={
        ("smaller", None): "coverage is right. Which answers drop out, the surer or the less sure ones?",
        (None, "larger"): "accuracy is right. How many texts still get an answer?",
    },
    options=("smaller", "same", "larger"),
)

q3 = Number(
    "The share of right labels: 60 % answered, 90 % of them right; 70 % of the rest right.",
    right=0.82,
    why="0.6 · 0.9 = 0.54 from the annotator, and 0.4 · 0.7 = 0.28 from the models.",
    otherwise="add the right labels of the answered texts and those of the others.",
    hints={
        0.54: "these come from the annotator. Some of the others are right too.",
        0.8: "that is the plain mean. The two groups differ in size.",
        0.9: "that holds for the answered texts only.",
    },
    tolerance=0.005,
)

q4 = Number(
    "How often a copied label is right: same topic in 90 %, 40 % of the pool's labels wrong.",
    right=0.54,
    why="the example must be of the topic and be labelled rightly: 0.9 · 0.6.",
    otherwise="two things must go well at once: the topic of the example, and its label.",
    hints={
        0.6: "that would be so if the nearest text always were of the same topic.",
        0.9: "that would be so if all labels of the pool were right.",
        0.36: "that is how often the topic fits and the label is wrong.",
    },
    tolerance=0.007,
)

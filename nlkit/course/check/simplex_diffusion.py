"""The exercises of notebook 08_simplex_diffusion."""

from __future__ import annotations

from nlkit.course.check.answers import Choice, Number

__all__ = ["q1", "q2", "q3", "q4"]

q1 = Number(
    "ᾱ of the cosine schedule half way, at t = 250 of 500.",
    right=0.494,
    why=(
        "it is the square of the cosine of about 45 degrees, a little less than one half. From here on there "
        "is more noise than label."
    ),
    otherwise="compute it: `nk.diffusion.alpha_bar(500)[250]`, or read it off the explorer's table.",
    hints={
        0.703: "that is √ᾱ, the factor of the label. What is asked for is ᾱ.",
        0.711: "that is √(1 − ᾱ), the factor of the noise. What is asked for is ᾱ.",
    },
    tolerance=0.008,
)

q2 = Choice(
    "What a doubled scale k does to the share of copies that lead, and to the largest probability.",
    right=("same", "larger"),
    why=(
        "k multiplies label and noise alike, so the order of the entries stays; but their distances grow, "
        "and the softmax of larger distances is sharper."
    ),
    otherwise="move only k in the explorer: which points change sides, and where do they all go?",
    hints={
        ("larger", None): "does a larger k strengthen the label alone? In the formula noise has a k too.",
        ("same", None): "the share is right. Where do the points go on the triangle when k grows?",
    },
    options=("smaller", "same", "larger"),
)

q3 = Number(
    "Answers of a denoiser for one text: 3 branches, 8 chains a label, 2 labels, chains of 10 steps.",
    right=480,
    why="3 · 8 · 2 = 48 chains of ten steps. With one step a chain, the default, 48 answers are enough.",
    otherwise="multiply: branches, chains for each observed label, observed labels, steps of a chain.",
    hints={
        48: "these are the chains. How many times does each of them ask?",
        240: "that is for one observed label. How many are there?",
        160: "that is one branch. How many are there?",
        80: "that is one branch and one observed label. How many of each are there?",
    },
    share=False,
)

q4 = Choice(
    "Which input of the denoiser says nothing about the true label at t = T.",
    right="noised label",
    why="there ᾱ is 0, nothing of the label is left, and s_T is noise alone. Text and observed label stay.",
    otherwise="which of the three is changed by time t, and what is left of it where ᾱ is 0?",
    options=("text", "observed label", "noised label"),
)

"""The second stage, one text, branch and label at a time: read this to understand
`nlkit.methods.sidyp.refinement` and `nlkit.methods.sidyp.posterior`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tests.reference import diffusion, losses
from tests.reference.detection import mean, unit
from tests.reference.diffusion import Vector


def condition(trajectory: Sequence[Sequence[float]], text: Sequence[float]) -> Vector:
    """What the denoiser is told of one text in one branch; `trajectory` has one embedding an epoch."""
    z = [unit(v) for v in trajectory]
    centre = [mean(of_epochs) for of_epochs in zip(*z, strict=True)]
    drift = [last - first for first, last in zip(z[0], z[-1], strict=True)]
    width, text_width = math.sqrt(len(centre)), math.sqrt(len(text))
    return [width * v for v in [*centre, *drift]] + [text_width * v for v in unit(text)]


def drawn_label(weight: Sequence[float], uniform: float) -> int:
    """The first class at which the running sum of weights passes the drawn share of their total."""
    reached = 0.0
    for c, w in enumerate(weight):
        reached += w
        if reached > uniform * sum(weight):
            return c
    raise AssertionError("a drawn number below 1 is always passed")


def step_loss(
    denoise: Callable[[int, int, Vector, float, Vector], Vector],
    observed: Sequence[int],
    weight: Sequence[Sequence[Vector]],
    uniform: Sequence[float],
    level: Sequence[float],
    noise: Sequence[Vector],
    scale: float,
    coregularisation: float,
    weighted: bool,
) -> float:
    """The loss of one batch: `weight` is (M, B, C), `uniform`, `level` and `noise` have one entry a text.

    ``denoise(m, i, noised, level, seen)`` gives the logits of branch m for text i.
    """
    entropies, apart = [], []
    for i, own in enumerate(observed):
        of_branches = []
        for m, prior in enumerate(weight):
            classes = len(prior[i])
            label = drawn_label(prior[i], uniform[i])
            start = diffusion.to_simplex(label, classes, scale)
            noised = diffusion.q_sample(start, level[i], noise[i], scale)
            logits = denoise(m, i, noised, level[i], diffusion.to_simplex(own, classes, scale))
            # As published a label counts as much as it is believed.
            counted = prior[i][label] if weighted else 1.0
            entropies.append(-counted * math.log(losses.softmax(logits)[label]))
            of_branches.append(logits)
        apart.append(losses.co_regularisation(of_branches))
    return mean(entropies) + coregularisation * mean(apart)


def moved_prior(weight: Sequence[float], case: str, answers: Sequence[int]) -> Vector:
    """The dynamic prior of one text in one branch, after J answers; what is certain is not asked about."""
    moved = list(weight)
    for answer in answers if case != "certain" else []:
        moved = diffusion.updated(moved, answer, len(answers))
    return moved


def answered(
    denoise: Callable[[Vector, float], Vector],
    noise: Sequence[Sequence[Vector]],
    levels: Sequence[float],
    scale: float,
) -> Vector:
    """P_diff(y | ỹ, x) of one text, branch and observed label: the mean over chains, whose noise is given."""
    ends = [diffusion.p_sample_loop(denoise, of_chain, levels, scale) for of_chain in noise]
    return [mean(of_class) for of_class in zip(*ends, strict=True)]


def posterior(answer: Callable[[int, int], Vector], p_observed: Sequence[Sequence[float]]) -> Vector:
    """P(y | x) of one text: ``answer(m, c)`` is P_diff,m(y | ỹ = c, x), and `p_observed` (M, C) P_clf,m."""
    branches, classes = len(p_observed), len(p_observed[0])
    result = [0.0] * classes
    for m in range(branches):
        for observed in range(classes):
            for y, p in enumerate(answer(m, observed)):
                result[y] += p * p_observed[m][observed] / branches
    return result

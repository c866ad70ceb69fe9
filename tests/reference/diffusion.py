"""The forward and the reverse process, one number at a time: read this to understand
`nlkit.methods.sidyp.diffusion`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Vector = list[float]


def alpha_bar(steps: int, offset: float = 0.008) -> Vector:
    def f(t: int) -> float:
        return math.cos((t / steps + offset) / (1 + offset) * math.pi / 2) ** 2

    levels = [1.0]
    for t in range(1, steps + 1):
        beta = min(1 - f(t) / f(t - 1), 0.999)
        levels.append(levels[-1] * (1 - beta))
    return levels


def to_simplex(label: int, classes: int, scale: float) -> Vector:
    if label < 0:
        return [0.0] * classes
    return [scale if c == label else -scale for c in range(classes)]


def q_sample(start: Sequence[float], level: float, noise: Sequence[float], scale: float) -> Vector:
    return [
        math.sqrt(level) * s + math.sqrt(1 - level) * scale * e for s, e in zip(start, noise, strict=True)
    ]


def softmax(logits: Sequence[float]) -> Vector:
    top = max(logits)
    powers = [math.exp(z - top) for z in logits]
    return [p / sum(powers) for p in powers]


def p_sample_loop(
    denoise: Callable[[Vector, float], Vector],
    noise: Sequence[Sequence[float]],
    levels: Sequence[float],
    scale: float,
) -> Vector:
    """One sample and branch: `denoise` gives logits, `noise` has one vector for the start and one a step."""
    classes = len(noise[0])
    state = [scale * e for e in noise[0]]
    probability = [1 / classes] * classes
    for step, t in enumerate(range(len(levels) - 1, 0, -1), start=1):
        logits = denoise(state, levels[t])
        probability = softmax(logits)
        likeliest = max(range(classes), key=lambda c: (logits[c], -c))
        state = q_sample(to_simplex(likeliest, classes, scale), levels[t - 1], noise[step], scale)
    return probability


def updated(weight: Sequence[float], answer: int, rounds: int) -> Vector:
    """The dynamic prior: an answer among the candidates gains, the others lose in proportion."""
    if weight[answer] <= 0:
        return list(weight)
    raised = [w + (1 - w) / rounds if c == answer else w for c, w in enumerate(weight)]
    return [w / sum(raised) for w in raised]

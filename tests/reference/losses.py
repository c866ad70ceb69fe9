"""Losses of one sample, in plain loops over classes: read this to understand `nlkit.training.losses`."""

from __future__ import annotations

import math
from collections.abc import Sequence


def softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    powers = [math.exp(z - top) for z in logits]
    return [x / sum(powers) for x in powers]


def generalised_cross_entropy(logits: Sequence[float], label: int, q: float) -> float:
    return (1 - softmax(logits)[label] ** q) / q


def elr_penalty(logits: Sequence[float], memory: Sequence[float]) -> float:
    agreement = 0.0
    for p, t in zip(softmax(logits), memory, strict=True):
        agreement += p * t
    return math.log(1 - min(agreement, 1 - 1e-4))


def co_regularisation(logits: Sequence[Sequence[float]]) -> float:
    """Mean over the branches of KL(mean prediction ‖ branch's prediction), of one sample."""
    branches = [softmax(z) for z in logits]
    mean = [sum(of_class) / len(branches) for of_class in zip(*branches, strict=True)]
    total = 0.0
    for p in branches:
        total += sum(q * (math.log(q) - math.log(of_branch)) for q, of_branch in zip(mean, p, strict=True))
    return total / len(branches)

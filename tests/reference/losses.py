"""Losses of one sample, in plain loops over classes: read this to understand `nlkit.training.losses`."""

from __future__ import annotations

import math
from collections.abc import Sequence


def softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    powers = [math.exp(z - top) for z in logits]
    return [x / sum(powers) for x in powers]


def one_hot(label: int, classes: int) -> list[float]:
    return [1.0 if c == label else 0.0 for c in range(classes)]


def cross_entropy(logits: Sequence[float], target: Sequence[float], label_smoothing: float = 0.0) -> float:
    total = 0.0
    for p, q in zip(softmax(logits), target, strict=True):
        q = (1 - label_smoothing) * q + label_smoothing / len(target)
        total -= q * math.log(p)
    return total


def reverse_cross_entropy(logits: Sequence[float], target: Sequence[float], log_zero: float) -> float:
    total = 0.0
    for p, q in zip(softmax(logits), target, strict=True):
        # A probability too small counts as 0, and log 0 is `log_zero`.
        total -= p * (math.log(q) if q > math.exp(log_zero) else log_zero)
    return total


def generalised_cross_entropy(logits: Sequence[float], label: int, q: float) -> float:
    return (1 - softmax(logits)[label] ** q) / q


def elr_penalty(logits: Sequence[float], memory: Sequence[float]) -> float:
    agreement = 0.0
    for p, t in zip(softmax(logits), memory, strict=True):
        agreement += p * t
    return math.log(1 - min(agreement, 1 - 1e-4))


def sharpen(probability: Sequence[float], temperature: float) -> list[float]:
    powers = [p ** (1 / temperature) for p in probability]
    return [x / sum(powers) for x in powers]


def co_regularisation(logits: Sequence[Sequence[float]]) -> float:
    """Mean over the branches of KL(mean prediction ‖ branch's prediction), of one sample."""
    branches = [softmax(z) for z in logits]
    mean = [sum(of_class) / len(branches) for of_class in zip(*branches, strict=True)]
    total = 0.0
    for p in branches:
        total += sum(q * (math.log(q) - math.log(of_branch)) for q, of_branch in zip(mean, p, strict=True))
    return total / len(branches)

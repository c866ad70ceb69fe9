"""Metrics one sample at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

Rows = Sequence[Sequence[float]]


def top(p: Sequence[float]) -> int:
    return list(p).index(max(p))


def accuracy(probability: Rows, label: Sequence[int]) -> float:
    return sum(top(p) == y for p, y in zip(probability, label, strict=True)) / len(label)


def nll(probability: Rows, label: Sequence[int]) -> float:
    return -sum(math.log(max(p[y], 1e-12)) for p, y in zip(probability, label, strict=True)) / len(label)


def brier(probability: Rows, label: Sequence[int]) -> float:
    total = 0.0
    for p, y in zip(probability, label, strict=True):
        total += sum((share - (c == y)) ** 2 for c, share in enumerate(p))
    return total / len(label)


def macro_f1(probability: Rows, label: Sequence[int]) -> float:
    guess, scores = [top(p) for p in probability], []
    for c in set(guess) | set(label):
        hit = sum(g == c and y == c for g, y in zip(guess, label, strict=True))
        scores.append(2 * hit / (guess.count(c) + list(label).count(c)))
    return sum(scores) / len(scores)


def right_by_confidence(
    probability: Rows, label: Sequence[int], bins: list[list[int]]
) -> list[tuple[int, float, float]]:
    """Return samples, mean confidence and share of right ones of each bin that is not empty."""
    rows = []
    for members in filter(None, bins):
        confidence = sum(max(probability[i]) for i in members) / len(members)
        right = sum(top(probability[i]) == label[i] for i in members) / len(members)
        rows.append((len(members), confidence, right))
    return rows


def gap(probability: Rows, label: Sequence[int], bins: list[list[int]]) -> float:
    rows = right_by_confidence(probability, label, bins)
    return sum(n * abs(right - confidence) for n, confidence, right in rows) / len(label)


def equal_bins(probability: Rows, bins: int) -> list[list[int]]:
    """Bin b holds the confidences above b / bins and up to (b + 1) / bins; rounding above 1 is the last's."""
    confidence = [min(max(p), 1.0) for p in probability]
    return [[i for i, p in enumerate(confidence) if b / bins < p <= (b + 1) / bins] for b in range(bins)]


def adaptive_bins(probability: Rows, bins: int) -> list[list[int]]:
    """A bin begins at every (N / bins)-th of the sorted confidences; equal confidences stay together."""
    confidence = sorted(max(p) for p in probability)
    starts = [confidence[b * len(confidence) // bins] for b in range(1, bins)]
    number = [sum(max(p) >= start for start in starts) for p in probability]
    return [[i for i, own in enumerate(number) if own == b] for b in range(bins)]


def correction(noisy: Sequence[int], refined: Sequence[int], label: Sequence[int]) -> dict[str, float]:
    known = [row for row in zip(noisy, refined, label, strict=True) if row[2] >= 0]
    wrong = [(z, r, y) for z, r, y in known if z != y]
    right = [(z, r, y) for z, r, y in known if z == y]

    def share(part: list[bool]) -> float:
        return sum(part) / len(part) if part else math.nan

    return {
        "n": len(known),
        "changed": share([z != r for z, r, _ in known]),
        "correction_rate": share([r == y for _, r, y in wrong]),
        "harm_rate": share([r != y for _, r, y in right]),
        "accuracy_before": share([z == y for z, _, y in known]),
        "accuracy_after": share([r == y for _, r, y in known]),
    }

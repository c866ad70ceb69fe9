"""Metrics one sample at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence


def top(p: Sequence[float]) -> int:
    best = 0
    for c in range(len(p)):
        if p[c] > p[best]:
            best = c
    return best


def accuracy(probability: Sequence[Sequence[float]], label: Sequence[int]) -> float:
    right = 0
    for p, y in zip(probability, label, strict=True):
        right += top(p) == y
    return right / len(label)


def nll(probability: Sequence[Sequence[float]], label: Sequence[int]) -> float:
    total = 0.0
    for p, y in zip(probability, label, strict=True):
        total -= math.log(max(p[y], 1e-12))
    return total / len(label)


def brier(probability: Sequence[Sequence[float]], label: Sequence[int]) -> float:
    total = 0.0
    for p, y in zip(probability, label, strict=True):
        for c in range(len(p)):
            total += (p[c] - (1.0 if c == y else 0.0)) ** 2
    return total / len(label)


def macro_f1(probability: Sequence[Sequence[float]], label: Sequence[int]) -> float:
    guess = [top(p) for p in probability]
    scores = []
    for c in sorted(set(guess) | set(label)):
        hit = sum(g == c and y == c for g, y in zip(guess, label, strict=True))
        scores.append(2 * hit / (guess.count(c) + list(label).count(c)))
    return sum(scores) / len(scores)


def right_by_confidence(
    probability: Sequence[Sequence[float]], label: Sequence[int], bins: list[list[int]]
) -> list[tuple[int, float, float]]:
    """Return samples, mean confidence and share of right ones of each bin that is not empty."""
    rows = []
    for members in bins:
        if members:
            confidence = sum(max(probability[i]) for i in members) / len(members)
            right = sum(top(probability[i]) == label[i] for i in members) / len(members)
            rows.append((len(members), confidence, right))
    return rows


def gap(probability: Sequence[Sequence[float]], label: Sequence[int], bins: list[list[int]]) -> float:
    total = 0.0
    for n, confidence, right in right_by_confidence(probability, label, bins):
        total += n * abs(right - confidence)
    return total / len(label)


def equal_bins(probability: Sequence[Sequence[float]], bins: int) -> list[list[int]]:
    """Bin b holds the confidences above b / bins and up to (b + 1) / bins; rounding above 1 is the last's."""
    members: list[list[int]] = [[] for _ in range(bins)]
    for i, p in enumerate(probability):
        for b in range(bins):
            if b / bins < min(max(p), 1.0) <= (b + 1) / bins:
                members[b].append(i)
    return members


def adaptive_bins(probability: Sequence[Sequence[float]], bins: int) -> list[list[int]]:
    """A bin begins at every (N / bins)-th of the sorted confidences; equal confidences stay together."""
    confidence = sorted(max(p) for p in probability)
    starts = [confidence[b * len(confidence) // bins] for b in range(1, bins)]
    members: list[list[int]] = [[] for _ in range(bins)]
    for i, p in enumerate(probability):
        number = 0
        for start in starts:
            if max(p) >= start:
                number += 1
        members[number].append(i)
    return members


def ece(probability: Sequence[Sequence[float]], label: Sequence[int], bins: int) -> float:
    return gap(probability, label, equal_bins(probability, bins))


def ece_adaptive(probability: Sequence[Sequence[float]], label: Sequence[int], bins: int) -> float:
    return gap(probability, label, adaptive_bins(probability, bins))


def correction(noisy: Sequence[int], refined: Sequence[int], label: Sequence[int]) -> dict[str, float]:
    n = changed = wrong = turned_right = right = turned_wrong = right_after = 0
    for z, r, y in zip(noisy, refined, label, strict=True):
        if y < 0:
            continue
        n += 1
        changed += z != r
        right_after += r == y
        if z == y:
            right += 1
            turned_wrong += r != y
        else:
            wrong += 1
            turned_right += r == y

    def share(part: int, whole: int) -> float:
        return part / whole if whole else math.nan

    return {
        "n": n,
        "changed": share(changed, n),
        "correction_rate": share(turned_right, wrong),
        "harm_rate": share(turned_wrong, right),
        "accuracy_before": share(right, n),
        "accuracy_after": share(right_after, n),
    }

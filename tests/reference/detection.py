"""Who is probably mislabelled, one text at a time: read this to understand
`nlkit.methods.sidyp.detection`."""

from __future__ import annotations

import math
from collections.abc import Sequence

Vector = Sequence[float]


def unit(z: Vector) -> Vector:
    length = math.sqrt(sum(v * v for v in z))
    return [v / length for v in z] if length > 0 else list(z)


def distance(a: Vector, b: Vector) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def suspicion(
    trajectory: Sequence[Sequence[Sequence[Vector]]],
    label: Sequence[int],
    classes: int,
    score: str,
    normalise: bool,
) -> list[float]:
    scores = []
    for i, own in enumerate(label):
        if own < 0:
            scores.append(math.nan)
            continue
        of_branches = []
        for branch in trajectory:
            of_epochs, others = [], []
            for epoch in branch:
                z = [unit(v) if normalise else v for v in epoch]
                to_class = {}
                for c in range(classes):
                    members = [z[j] for j in range(len(label)) if label[j] == c]
                    if members:
                        centroid = [mean(column) for column in zip(*members, strict=True)]
                        to_class[c] = distance(z[i], centroid)
                of_epochs.append(to_class[own])
                rest = [d for c, d in to_class.items() if c != own]
                others.append(min(rest) if rest else 0.0)
            if score == "distance":
                centre = mean(of_epochs)
                of_branches.append(centre + math.sqrt(mean([(d - centre) ** 2 for d in of_epochs])))
            else:
                of_branches.append(mean([d - o for d, o in zip(of_epochs, others, strict=True)]))
        scores.append(mean(of_branches))
    return scores


def rank(score: Sequence[float], i: int) -> float:
    """The place of a text's score among all that have one, from 0 (lowest) to 1; equal scores share it."""
    known = [s for s in score if not math.isnan(s)]
    below, equal = sum(s < score[i] for s in known), sum(s == score[i] for s in known)
    return (below + (equal - 1) / 2) / max(1, len(known) - 1)


def combined(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """The higher of a text's two ranks."""
    return [math.nan if math.isnan(s) else max(rank(first, i), rank(second, i)) for i, s in enumerate(first)]

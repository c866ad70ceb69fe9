"""The neighbours' prior, one text at a time: read this to understand `nlkit.methods.sidyp.prior`."""

from __future__ import annotations

from collections.abc import Sequence

from tests.reference.detection import Vector, distance, mean


def neighbour_distribution(
    embedding: Sequence[Vector], label: Sequence[int], suspect: Sequence[bool], classes: int, k: int
) -> tuple[list[list[int]], list[list[float]]]:
    """The nearest k trusted others of each text, and their labels weighted by 1 / distance."""
    trusted = [j for j in range(len(label)) if label[j] >= 0 and not suspect[j]]
    nearest = [
        sorted((distance(x, embedding[j]), j) for j in trusted if j != i)[:k] for i, x in enumerate(embedding)
    ]
    distances = [d for near in nearest for d, _ in near]
    # Equal texts are at distance 0: as near as a millionth of the usual distance.
    least = 1e-6 * (mean(distances) if distances and mean(distances) > 0 else 1.0)
    result = []
    for i, near in enumerate(nearest):
        u = [0.0] * classes
        for d, j in near:
            u[label[j]] += 1 / max(d, least)
        if not near:
            u[label[i]] = 1.0
        result.append([v / sum(u) for v in u])
    return [[j for _, j in near] for near in nearest], result


def candidates(u: Sequence[float], certain: float, dominant: float) -> tuple[list[float], str]:
    order = sorted(range(len(u)), key=lambda c: (-u[c], c))
    if u[order[0]] >= certain:
        kept, case = order[:1], "certain"
    elif u[order[0]] + u[order[1]] >= dominant:
        kept, case = order[:2], "dominant"
    else:
        kept, case = order, "uncertain"
    total = sum(u[c] for c in kept)
    return [u[c] / total if c in kept else 0.0 for c in range(len(u))], case

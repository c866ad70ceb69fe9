"""Losses and finders the slow and readable way: one sample at a time."""

from __future__ import annotations

import math


def label_losses(dynamics, noisy_label, smallest):
    losses = []
    for epoch in dynamics:
        row = []
        for p, z in zip(epoch, noisy_label, strict=True):
            row.append(math.nan if z < 0 else -math.log(max(float(p[z]), smallest)))
        losses.append(row)
    return losses


def area_under_roc(score, wrong):
    """How often a wrong label has the larger score, over all pairs of a wrong and a right one."""
    pairs = [
        (a, b)
        for a, w in zip(score, wrong, strict=True)
        if w
        for b, v in zip(score, wrong, strict=True)
        if not v
    ]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


def shares(values, of, edges):
    """Share of the samples `of` in each bin; the last bin holds its upper bound."""
    counts = [0] * (len(edges) - 1)
    for value, counted in zip(values, of, strict=True):
        if counted:
            for b in range(len(counts)):
                last = b == len(counts) - 1
                if edges[b] <= value < edges[b + 1] or (last and value == edges[b + 1]):
                    counts[b] += 1
    total = max(1, sum(counts))
    return [count / total for count in counts]

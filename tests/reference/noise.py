"""Label noise the slow and readable way: one sample at a time, the same random numbers."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np


def transition_matrix(kind, n_classes, rate, pairs=None):
    T = np.zeros((n_classes, n_classes))
    for i in range(n_classes):
        if kind == "symmetric":
            T[i] = [1 - rate if i == j else rate / (n_classes - 1) for j in range(n_classes)]
        else:
            T[i, i] += 1 - rate
            T[i, (i + 1) % n_classes if pairs is None else pairs.get(i, i)] += rate
    return T


def choose_one(weights, u):
    """Walk along the classes until the share of the weight passed exceeds u."""
    total, passed = sum(weights), 0.0
    for number, weight in enumerate(weights):
        passed += weight
        if u < passed / total:
            return number
    raise AssertionError("u must be below 1")


def flip_by_class(labels, T, rng):
    uniforms = rng.random(len(labels))
    return [-1 if y < 0 else choose_one(T[y], u) for y, u in zip(labels, uniforms, strict=True)]


def flip_rate(rate, u, spread=0.1):
    """One flip rate from a uniform number, by inverting the truncated normal's distribution function."""
    if rate > 0.5:
        return 1 - flip_rate(1 - rate, u, spread)
    normal = NormalDist(rate, spread)
    below, above = normal.cdf(0), normal.cdf(1)
    value = normal.inv_cdf(below + u * (above - below))
    mean = rate + spread**2 * (normal.pdf(0) - normal.pdf(1)) / (above - below)
    return value * rate / mean


def flip_by_instance(labels, probabilities, rate, rng):
    n = len(labels)
    rates = [flip_rate(rate, u) for u in rng.random(n)]
    coins, uniforms = rng.random(n), rng.random(n)
    noisy = []
    for i, y in enumerate(labels):
        if y < 0:
            noisy.append(-1)
        elif coins[i] >= rates[i]:
            noisy.append(y)
        else:
            weights = [0.0 if c == y else p for c, p in enumerate(probabilities[i])]
            if sum(weights) == 0:
                weights = [0.0 if c == y else 1.0 for c in range(len(weights))]
            noisy.append(choose_one(weights, uniforms[i]))
    return noisy

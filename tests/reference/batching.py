"""Padding and bucketing by hand, and plain shuffling, which bucketing is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def pad(arrays: Sequence[Any], index: Sequence[int]) -> tuple[list[Any], list[list[bool]]]:
    """Return values and mask of a batch: each text followed by zeros up to the longest one."""
    longest = 0
    for i in index:
        longest = max(longest, len(arrays[i]))
    values, mask = [], []
    for i in index:
        row = [np.asarray(item) for item in arrays[i]]
        real = len(row)
        while len(row) < longest:
            row.append(np.zeros_like(row[0]))
        values.append(row)
        mask.append([position < real for position in range(longest)])
    return values, mask


def bucketed(
    lengths: Sequence[int], batch_size: int, rng: np.random.Generator, pool_batches: int
) -> list[list[int]]:
    """Return even batches, each pool of them sorted by length, in random order."""
    order = rng.permutation(len(lengths)).tolist()
    count = (len(order) + batch_size - 1) // batch_size
    sizes = [len(order) // count + (b < len(order) % count) for b in range(count)]
    batches = []
    for first in range(0, count, pool_batches):
        own = sizes[first : first + pool_batches]
        pool = sorted(order[: sum(own)], key=lambda i: lengths[i])
        order = order[sum(own) :]
        for size in own:
            batches.append(pool[:size])
            pool = pool[size:]
    return [batches[i] for i in rng.permutation(count)]


def shuffled(n: int, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return batches of samples in random order, whatever their lengths."""
    order = rng.permutation(n)
    return [order[i : i + batch_size] for i in range(0, n, batch_size)]


def padding_share(
    lengths: Sequence[int], batches: Sequence[Sequence[int]], longest: int | None = None
) -> float:
    """Return padded positions / all positions; with `longest`, every text is padded to that."""
    real = total = 0
    for batch in batches:
        width = longest or max(lengths[i] for i in batch)
        for i in batch:
            real += lengths[i]
            total += width
    return 1 - real / total

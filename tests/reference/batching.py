"""Bucketing by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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

"""Stratified draws without replacement, and a train/validation cut that no text straddles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["allocate", "cut", "draw"]

Indices = NDArray[np.int64]


def allocate(sizes: Indices, total: int, capacity: Indices | None = None) -> Indices:
    """Share `total` among classes in proportion to `sizes`, by largest remainder.

    Each class gets its exact share rounded down or up, unless `capacity` holds it lower; what a full class
    cannot take goes to the others in the same way. Ties go to the lower class number.

    Parameters
    ----------
    sizes : (C,) int
        Number of samples of each class.
    total
        Number to share out, at most the sum of `capacity`.
    capacity : (C,) int, optional
        The most that each class may get; its size by default.
    """
    limit = sizes if capacity is None else capacity
    shares = np.zeros(len(sizes), dtype=np.int64)
    while (left := total - int(shares.sum())) > 0:
        open_sizes = np.where(shares < limit, sizes, 0)
        exact = left * open_sizes / open_sizes.sum()
        extra = np.floor(exact).astype(np.int64)
        order = np.argsort(-(exact - extra), kind="stable")
        order = order[open_sizes[order] > 0][: left - int(extra.sum())]
        extra[order] += 1
        shares = np.minimum(shares + extra, limit)
    return shares


def draw(
    labels: Indices,
    total: int,
    rng: np.random.Generator,
    last: NDArray[np.bool_] | None = None,
    capacity: Indices | None = None,
) -> Indices:
    """Draw `total` positions, stratified by `labels`, in random order.

    Parameters
    ----------
    labels : (N,) int
        Class of every sample; -1 (missing) is a stratum of its own.
    last : (N,) bool, optional
        Samples that are taken only when their class has no others left.
    capacity : (C,) int, optional
        The most to draw of each distinct label, in sorted order.
    """
    strata, inverse = np.unique(labels, return_inverse=True)
    shares = allocate(np.bincount(inverse, minlength=len(strata)), total, capacity)
    chosen = []
    for stratum, share in enumerate(shares):
        members = rng.permutation(np.flatnonzero(inverse == stratum))
        if last is not None:
            members = members[np.argsort(last[members], kind="stable")]
        chosen.append(members[:share])
    return rng.permutation(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)


def cut(
    texts: Sequence[str],
    labels: Indices,
    train_size: int | None,
    validation_size: int,
    rng: np.random.Generator,
) -> tuple[Indices, Indices, Indices]:
    """Cut one set in two, stratified, so that no text is in both parts.

    Texts that occur once are preferred for validation; when one that occurs more often has to go there, its
    other copies are left out. Validation never takes the last sample of a class.

    Returns
    -------
    train, validation, left_out : (n,) int
        Positions in random order. `left_out` holds only copies of validation texts. A part is shorter than
        asked for when too few texts are left; the caller decides whether that is an error.
    """
    count = Counter(texts)
    repeated = np.array([count[text] > 1 for text in texts], dtype=bool)
    _, sizes = np.unique(labels, return_counts=True)
    spare = np.maximum(sizes - 1, 0)
    validation_size = min(validation_size, int(spare.sum()))
    validation = draw(labels, validation_size, rng, last=repeated, capacity=spare)
    held_out = {texts[i] for i in validation}
    in_validation = np.zeros(len(texts), dtype=bool)
    in_validation[validation] = True
    copies = np.array([text in held_out for text in texts], dtype=bool) & ~in_validation
    available = np.flatnonzero(~in_validation & ~copies)
    wanted = len(available) if train_size is None else min(train_size, len(available))
    train = available[draw(labels[available], wanted, rng)]
    return train, validation, np.flatnonzero(copies)

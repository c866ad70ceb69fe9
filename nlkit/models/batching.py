"""Ragged inputs and length-bucketed batches: texts of like length share a batch, so little of it is padding.

Padding every batch to the longest text a model accepts wastes most of the work on short texts. Sorting by
length alone would fix that, but then the same texts would meet in every epoch. Bucketing keeps both:
texts are shuffled, cut into pools of many batches, sorted by length within a pool, and the batches shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlkit.models.device import moved

__all__ = ["Batch", "Inputs", "bucketed_batches", "padding_share", "sorted_batches"]

POOL_BATCHES = 20
"""How many batches are sorted by length together: more pads less and shuffles less."""


@dataclass(frozen=True)
class Batch:
    """Padded model input.

    Attributes
    ----------
    values : Tensor
        Token numbers, shape (B, T), or activations, shape (B, T, D); T is the longest text of this batch.
    mask : Tensor of bool, shape (B, T)
        True at real tokens, False at padding.
    """

    values: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`, without waiting for it; half-precision activations become float32."""
        values = moved(self.values, device)
        if values.dtype == torch.float16:
            values = values.float()
        return Batch(values, moved(self.mask, device))


class Inputs(Sequence[NDArray[np.generic]]):
    """N texts as arrays of different length: token numbers (T_i,) or activations (T_i, D).

    Parameters
    ----------
    arrays : sequence of ndarray
        One array a text; memory-mapped arrays stay on disk until a batch needs them.
    """

    def __init__(self, arrays: Sequence[NDArray[np.generic]]) -> None:
        self.arrays = arrays
        self.lengths: NDArray[np.int64] = np.fromiter((len(a) for a in arrays), np.int64, len(arrays))

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self.arrays[index]

    def batch(self, index: NDArray[np.int64]) -> Batch:
        """Pad the texts at `index`, shape (B,), to the longest of them."""
        longest = int(self.lengths[index].max())
        first = self.arrays[int(index[0])]
        values = np.zeros((len(index), longest, *first.shape[1:]), first.dtype)
        mask = np.zeros((len(index), longest), bool)
        for row, i in enumerate(index):
            n = self.lengths[i]
            values[row, :n] = self.arrays[int(i)]
            mask[row, :n] = True
        return Batch(torch.from_numpy(values), torch.from_numpy(mask))


def bucketed_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator, *, pool_batches: int = POOL_BATCHES
) -> list[NDArray[np.int64]]:
    """Cut N samples into shuffled batches of samples of like length; every sample is in exactly one batch.

    All ⌈N / batch_size⌉ batches have the same size, or one less. The mean loss of a small last batch, always
    the longest texts of their pool, would otherwise give each of them a multiple of the others' weight.

    Parameters
    ----------
    lengths : ndarray, shape (N,)
        Tokens of each sample.
    batch_size : int
        Most samples a batch.
    rng : numpy Generator
        Decides pools, ties and the order of batches.
    pool_batches : int
        Batches sorted together.

    Returns
    -------
    list of ndarray
        Positions of the samples, shape (<= batch_size,) each.
    """
    count = -(-len(lengths) // batch_size)
    drawn = np.array_split(rng.permutation(len(lengths)), max(1, count))
    batches: list[NDArray[np.int64]] = []
    for start in range(0, count, pool_batches):
        sizes = [len(batch) for batch in drawn[start : start + pool_batches]]
        pool = np.concatenate(drawn[start : start + pool_batches])
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += np.split(pool, np.cumsum(sizes)[:-1])
    return [batches[i] for i in rng.permutation(len(batches))]


def sorted_batches(lengths: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield batches in order of length, longest first, for passes without learning.

    The longest first, so that a batch that does not fit in memory fails at once and not after minutes.
    """
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def padding_share(lengths: NDArray[np.int64], batches: Sequence[NDArray[np.int64]]) -> float:
    """Return the share of padded positions among all positions of the batches, 0 to 1."""
    if not len(batches):
        return 0.0
    positions = sum(len(b) * int(lengths[b].max()) for b in batches)
    return 1.0 - float(sum(int(lengths[b].sum()) for b in batches)) / positions

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlkit.models.batching import Batch, Inputs, bucketed_batches, padding_share, sorted_batches
from tests.reference import batching as reference


@st.composite
def all_lengths(draw: Any) -> np.ndarray:
    return np.array(draw(st.lists(st.integers(1, 40), min_size=1, max_size=200)), np.int64)


def ragged(lengths: np.ndarray, width: int | None, seed: int = 0) -> Inputs:
    rng = np.random.default_rng(seed)
    shape = () if width is None else (width,)
    dtype = np.int32 if width is None else np.float16
    return Inputs([rng.integers(1, 100, (int(n), *shape)).astype(dtype) for n in lengths])


@given(all_lengths(), st.integers(1, 17), st.integers(1, 5), st.integers(0, 1000))
def test_bucketed_batches_are_even_and_equal_the_plain_way(
    lengths: Any, size: int, pool: int, seed: int
) -> None:
    batches = bucketed_batches(lengths, size, np.random.default_rng(seed), pool_batches=pool)
    sizes = [len(b) for b in batches]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= size
    assert len(batches) == -(-len(lengths) // size)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    wanted = reference.bucketed(lengths.tolist(), size, np.random.default_rng(seed), pool)
    assert [b.tolist() for b in batches] == wanted
    total = sum(len(batch) * max(lengths[batch]) for batch in batches)
    assert padding_share(lengths, batches) == pytest.approx(1 - lengths.sum() / total)


def test_other_seeds_bring_other_texts_together() -> None:
    lengths = np.full(500, 7)
    a, b = (bucketed_batches(lengths, 10, np.random.default_rng(s)) for s in (0, 1))
    meetings = [{frozenset(x.tolist()) for x in batches} for batches in (a, b)]
    assert not meetings[0] & meetings[1]


@given(all_lengths(), st.integers(1, 17))
def test_passes_without_learning_go_from_long_to_short(lengths: Any, size: int) -> None:
    batches = list(sorted_batches(lengths, size))
    order = np.concatenate(batches)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert all(1 <= len(b) <= size for b in batches)
    assert (np.diff(lengths[order]) <= 0).all()


@given(all_lengths(), st.sampled_from([None, 3]), st.integers(0, 1000))
def test_a_batch_is_what_padding_by_hand_gives(lengths: Any, width: int | None, seed: int) -> None:
    inputs = ragged(lengths, width, seed)
    index = np.random.default_rng(seed).permutation(len(lengths))[:9]
    batch = inputs.batch(index)
    assert batch.mask.sum(1).tolist() == lengths[index].tolist()
    for i, values, mask in zip(index, batch.values.numpy(), batch.mask.numpy(), strict=True):
        assert np.array_equal(values[mask], inputs[i])
        assert (values[~mask] == 0).all()
        assert mask[: lengths[i]].all()
    assert batch.values.shape[1] == lengths[index].max()


def test_bucketing_pads_little_of_real_news(r8_small: Any) -> None:
    lengths = np.array([min(256, len(text.split())) for text in r8_small["train"]["text"]])
    bucketed = padding_share(lengths, bucketed_batches(lengths, 16, np.random.default_rng(0)))
    plain = padding_share(lengths, np.array_split(np.random.default_rng(0).permutation(len(lengths)), 25))
    assert bucketed < plain / 2
    assert bucketed < (1 - lengths.mean() / 256) / 4  # padded to the maximum


def test_half_precision_becomes_single_on_the_device_and_tokens_stay_whole() -> None:
    cpu = torch.device("cpu")
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert Batch(torch.zeros(1, 2, 3, dtype=torch.float16), mask).to(cpu).values.dtype == torch.float32
    assert Batch(torch.zeros(1, 2, dtype=torch.int32), mask).to(cpu).values.dtype == torch.int32


def test_no_texts() -> None:
    empty = Inputs([])
    assert len(empty) == 0
    assert bucketed_batches(empty.lengths, 4, np.random.default_rng(0)) == []
    assert list(sorted_batches(empty.lengths, 4)) == []
    assert padding_share(empty.lengths, []) == 0.0

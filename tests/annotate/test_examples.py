"""Solved examples: the gold pool, and retrieval from any pool; how they are shown is in test_labelling."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import DatasetDict

from nlkit.annotate import Demonstration
from nlkit.annotate.demonstrations import nearest
from nlkit.annotate.examples import gold_pool, retrieve
from nlkit.models.encoder import TextEncoder
from tests.annotate.test_labelling import make


def test_gold_pool_is_balanced_seeded_and_without_copies(r8_small: DatasetDict) -> None:
    label = np.array(gold_pool(r8_small, 64)["label"])
    available = np.bincount(r8_small["train"]["label"], minlength=8)
    n = np.bincount(label, minlength=8)
    assert n.sum() == 64
    assert (n >= 1).all()
    # Nobody has two fewer than another one, unless it has no more to give.
    assert all(n[c] == available[c] for c in range(8) if n[c] < n.max() - 1)
    assert (np.bincount(gold_pool(r8_small, 8)["label"], minlength=8) == 1).all()
    first, second, other = (list(gold_pool(r8_small, 16, seed)["text"]) for seed in (0, 0, 1))
    assert first == second != other
    copies = make(["a", " a", "b", "c"], [0, 0, 1, -1])
    pool = gold_pool(copies, 2)
    assert pool.column_names == ["text", "label"]
    assert sorted(pool["label"]) == [0, 1]
    with pytest.raises(ValueError, match=r"size=3.*from 1 to 2"):
        gold_pool(copies, 3)
    with pytest.raises(ValueError, match="size=0"):
        gold_pool(copies, 0)


def test_retrieved_examples_are_the_nearest_of_the_pool_with_their_rows(r8_small: DatasetDict) -> None:
    pool = r8_small["train"].select(range(20))
    texts = [pool["text"][3], *r8_small["validation"]["text"][:2]]
    shown, rows = retrieve(texts, pool, 3)
    embed = TextEncoder("minilm", trainable_layers=0, max_length=128).embed
    near = nearest(embed(texts), embed(pool["text"][:]), 3, query_texts=texts, pool_texts=pool["text"][:])
    assert rows == near.tolist()
    assert 3 not in rows[0]
    for demonstrations, own in zip(shown, rows, strict=True):
        assert demonstrations == [Demonstration(pool[i]["text"], pool[i]["label"]) for i in own]

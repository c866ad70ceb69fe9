"""Solved examples for a language model: drawn once for all texts, a gold pool, or the nearest ones of a pool.

These are the only true labels that `nlkit.annotate.labelling` shows to an annotator.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray

from nlkit._util import invalid
from nlkit.annotate.base import Demonstration
from nlkit.annotate.demonstrations import nearest, worded
from nlkit.annotate.prompts import clean
from nlkit.data.checks import check_count, check_texts, class_names, class_numbers, texts_of
from nlkit.models.encoder import TextEncoder

__all__ = ["fixed", "gold_pool", "retrieve"]

_FIXED, _POOL = 11, 12  # streams of the seed: demonstrations and pool are drawn apart

Labels = NDArray[np.int64]


def retrieve(
    texts: Sequence[str], pool: Dataset, k: int, *, encoder: str = "minilm"
) -> tuple[list[list[Demonstration]], list[list[int]]]:
    """Return the `k` solved examples of a pool that are nearest to each text, the nearest last.

    Parameters
    ----------
    texts : sequence of Q strings
        The questions. A pool text that equals one (white space aside) is never shown with it.
    pool : Dataset
        Columns `text` and `label`, a `ClassLabel`; rows without a label are left out.
    k : int
        Examples a question, at least 1.
    encoder : str
        Nearness is the cosine of its embeddings.

    Returns
    -------
    list of Q lists of Demonstration
        For ``annotator.annotate(texts, label_names, …)``; shorter lists where the pool holds fewer texts.
    list of Q lists of int
        The same as rows of the pool.
    """
    columns = getattr(pool, "column_names", None)
    if not isinstance(columns, list) or not {"text", "label"} <= set(columns):
        invalid("pool", columns or type(pool).__name__, "a Dataset with the columns text and label")
    label = class_numbers(pool["label"][:], "pool['label']")
    known = np.flatnonzero(label >= 0)
    if not len(known):
        invalid("pool['label']", "all missing" if len(label) else "no rows", "at least one true label")
    solved, queries = texts_of(pool, "pool"), check_texts(texts, "texts")
    pool_texts = [solved[i] for i in known]
    embed = TextEncoder(encoder, trainable_layers=0, max_length=128).embed
    near = nearest(embed(queries), embed(pool_texts), k, query_texts=queries, pool_texts=pool_texts)
    return worded(near, known, solved, label)


def gold_pool(ds: DatasetDict, size: int = 64, seed: int = 0) -> Dataset:
    """Draw training texts with their true labels, as evenly over the classes as possible.

    Parameters
    ----------
    ds
        Needs a train split with `text` and `label`.
    size
        Number of texts. From C on, every class that has a text has one here. Equal texts (white space aside)
        are drawn once.
    seed
        Seed of the draw.

    Returns
    -------
    datasets.Dataset
        `size` rows with `text` and `label`, for ``label_with_llm(…, pool=…)``.
    """
    check_count("size", size)
    check_count("seed", seed)
    texts, label, names = _gold(ds, "gold_pool")
    order = _in_rounds(texts, label, len(names), np.random.default_rng([seed, _POOL]))
    if not 1 <= size <= len(order):
        invalid("size", size, f"from 1 to {len(order)}, the different training texts with a true label")
    return ds["train"].select_columns(["text", "label"]).select([i for _, i in order[:size]])


def fixed(ds: DatasetDict, names: Sequence[str], shots: int, seed: int) -> list[Demonstration]:
    """Draw `shots` demonstrations of each class from train."""
    texts, label, own = _gold(ds, f"shots={shots} without a pool")
    if own != list(names):
        invalid("the classes of train", own, f"those of the split to label: {list(names)}")
    order = _in_rounds(texts, label, len(names), np.random.default_rng([seed, _FIXED]))
    shown = [Demonstration(texts[i], int(label[i])) for turn, i in order if turn < shots]
    absent = [name for c, name in enumerate(names) if c not in {d.label for d in shown}]
    if absent:
        warnings.warn(
            f"no demonstration of {', '.join(absent)}: ds['train'] has no text with that true label",
            stacklevel=3,
        )
    return shown


def _gold(ds: Mapping[str, Dataset], who: str) -> tuple[list[str], Labels, list[str]]:
    """Return texts, true labels (-1: missing) and class names of train."""
    if "train" not in ds:
        invalid("ds", sorted(ds), f"a train split: {who} takes its solved examples from there")
    train = ds["train"]
    texts = texts_of(train, "ds['train']")
    if "label" not in train.column_names:
        invalid("ds['train']", train.column_names, f"a column `label`: {who} needs true labels of some texts")
    names = class_names(train, "label", "train")
    label = class_numbers(train["label"][:], "ds['train']['label']")
    if not (label >= 0).any():
        invalid("ds['train']['label']", "all missing", f"{who} needs true labels of some texts")
    return texts, label, names


def _in_rounds(
    texts: Sequence[str], label: Labels, n_classes: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Return (round, position) of all labelled samples, in rounds: one of every class that has any left.

    The order of the classes is drawn anew for every round. Equal texts are taken once.
    """
    first: dict[str, int] = {}
    for i in np.flatnonzero(label >= 0).tolist():
        first.setdefault(clean(texts[i]), i)
    kept = np.array(sorted(first.values()), dtype=np.int64)
    members = [rng.permutation(kept[label[kept] == c]).tolist() for c in range(n_classes)]
    return [
        (turn, members[c][turn])
        for turn in range(max(map(len, members)))
        for c in rng.permutation(n_classes).tolist()
        if turn < len(members[c])
    ]

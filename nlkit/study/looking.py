"""A look at data before anything is trained: what would make every method fail, whatever it does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nlkit._util import invalid
from nlkit.data.checks import numbers_of, texts_of
from nlkit.data.loading import same_text

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["look"]

FEW = 5
"""Texts below which a class is small: nothing can be said of its labels."""

MUCH = 0.2
"""Share of cut texts, or of missing labels, that is worth a warning."""


def look(ds: Mapping[str, Dataset], *, encoder: str = "minilm", max_length: int = 64) -> pd.DataFrame:
    """Look for what spoils learning from these data; nothing is trained or changed.

    Parameters
    ----------
    ds
        Splits with ``text``, and ``noisy_label`` or else ``label``; a text is the same whatever its white
        space and case.
    encoder, max_length
        Of the method that is to learn: they decide what it reads of a text.

    Returns
    -------
    pandas.DataFrame
        One row a split and finding: split, finding, count, share (of the split's rows), advice, and ids of
        the first 20 (row numbers where there is no ``id``).

    Warns
    -----
    UserWarning
        For each finding that matters: any at all, but of cut texts and missing labels only many.
    """
    # Only here: it brings torch.
    from nlkit.models.encoder import TextEncoder

    if not isinstance(ds, Mapping) or "train" not in ds:
        invalid("ds", type(ds).__name__, "a DatasetDict with a train split, as nk.load_dataset returns it")
    tokenizer = TextEncoder(encoder, trainable_layers=0, max_length=max_length).tokenizer
    room = max_length - tokenizer.num_special_tokens_to_add()
    rows = []
    seen: dict[str, set[str]] = {}
    for split in sorted(ds, key=lambda name: name == "train"):  # what train shares with the others is train's
        data = ds[split]
        read = texts_of(data, f"ds[{split!r}]")
        texts = list(map(same_text, read))
        ids = data["id"][:] if "id" in data.column_names else list(range(len(data)))
        tokens = tokenizer(read, add_special_tokens=False, verbose=False)["input_ids"] if read else []
        seen[split] = set(texts)
        others = {other: known for other, known in seen.items() if other != split and split == "train"}
        found = [*_of_texts(texts, tokens, room, tokenizer.unk_token_id, max_length), *_shared(texts, others)]
        column = next((c for c in ("noisy_label", "label") if c in data.column_names), None)
        if column is not None:
            label = numbers_of(data, column, f"ds[{split!r}]")
            names = getattr(data.features[column], "names", None) or list(
                map(str, range(label.max(initial=0) + 1))
            )
            cut = [tuple(t[:room]) for t in tokens]
            found += _of_labels(texts, cut, label, names, split == "train", max_length)
        for finding, which, advice, least in found:
            n = int(which.sum())
            share = n / max(len(texts), 1)
            listed = [ids[i] for i in np.flatnonzero(which)[:20]]
            rows.append((split, finding, n, share, advice, listed))
            if n and share >= least:
                shown = ", ".join(map(str, listed[:5])) + ", …" * (n > 5)
                said = f"{split}: {finding}: {n} of {len(texts)} rows ({shown}). {advice}"
                warnings.warn(said, stacklevel=2)
    return pd.DataFrame(rows, columns=["split", "finding", "count", "share", "advice", "ids"])


Finding = tuple[str, NDArray[np.bool_], str, float]
"""What it is, which rows it concerns, what to do, and the share of rows from which on it is warned of."""


def _of_texts(
    texts: list[str], tokens: list[list[int]], room: int, unknown: int | None, max_length: int
) -> Iterator[Finding]:
    long = np.array([len(t) > room for t in tokens], bool)
    longest = max(map(len, tokens), default=0)
    advice = f"Nothing after max_length={max_length} tokens is read; the longest text has {longest}."
    yield "text cut at max_length", long, advice, MUCH
    alone = np.array([not set(t) - {unknown} for t in tokens], bool)
    yield "text of unknown tokens alone", alone, "The encoder cannot read it: choose one of its language.", 0


def _shared(texts: list[str], others: Mapping[str, set[str]]) -> Iterator[Finding]:
    for other, known in others.items():
        both = np.array([text in known for text in texts], bool)
        yield f"text also in {other}", both, "Leave it out of train, or scores are too good.", 0


def _of_labels(
    texts: list[str], cut: list[tuple[int, ...]], label: NDArray[np.int64], names: list[str], learnt: bool,
    max_length: int,
) -> Iterator[Finding]:  # fmt: skip
    conflict = _conflicts(texts, label)
    yield "same text, other label", conflict, "One of the labels is wrong: correct them by hand.", 0
    hidden = _conflicts(cut, label) & ~conflict
    advice = f"What tells them apart stands after max_length={max_length} tokens: choose a larger max_length."
    yield "same text once cut, other label", hidden, advice, 0
    yield "no label", label < 0, "It teaches nothing until it is labelled.", MUCH
    if learnt:
        size = np.bincount(label[label >= 0], minlength=len(names))
        small = np.flatnonzero((size > 0) & (size < FEW))
        listed = ", ".join(f"{names[c]} ({size[c]})" for c in small)
        advice = f"Nothing sure can be said of their labels: {listed}. Add texts, or join classes."
        yield f"class of fewer than {FEW}", np.isin(label, small), advice, 0


def _conflicts(texts: list[Any], label: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which samples have a label where an equal text has another one."""
    given: dict[Any, set[int]] = {}
    for text, y in zip(texts, label.tolist(), strict=True):
        if y >= 0:
            given.setdefault(text, set()).add(y)
    pairs = zip(texts, label.tolist(), strict=True)
    return np.array([y >= 0 and len(given[text]) > 1 for text, y in pairs], bool)

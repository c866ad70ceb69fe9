"""Which solved examples an annotator is shown: a class-balanced pool, and the nearest of it to each query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nlkit._util import invalid, unit_rows
from nlkit.annotate.base import Demonstration
from nlkit.annotate.prompts import clean

__all__ = ["MISSING", "balance_report", "balanced_pool", "nearest", "worded"]

MISSING = -1

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]


def balanced_pool(
    index: npt.ArrayLike, label: npt.ArrayLike, confidence: npt.ArrayLike, per_class: int
) -> Ints:
    """Return the most confident samples of each class, at most `per_class` of one.

    Parameters
    ----------
    index : array of shape (n,)
        The samples' numbers.
    label : array of shape (n,)
        Their classes; samples of class -1 (missing) are left out.
    confidence : array of shape (n,)
        The larger, the sooner taken; among equals the smaller number in `index`.

    Returns
    -------
    array of shape (m,)
        Members of `index`, in ascending order.
    """
    number, classes = np.asarray(index, dtype=np.int64), np.asarray(label, dtype=np.int64)
    sure = np.asarray(confidence, dtype=np.float64)
    if not number.shape == classes.shape == sure.shape or number.ndim != 1:
        invalid("shapes", (number.shape, classes.shape, sure.shape), "three arrays of one length")
    if per_class < 1:
        invalid("per_class", per_class, "at least 1")
    if np.isnan(sure).any():
        invalid("confidence", "NaN", "numbers only")
    kept = classes != MISSING
    number, classes, sure = number[kept], classes[kept], sure[kept]
    order = np.lexsort((number, -sure, classes))  # by class, then confidence, then number
    in_order = classes[order]
    rank = np.arange(len(order)) - np.searchsorted(in_order, in_order)  # place within its class
    result: Ints = np.sort(number[order[rank < per_class]])
    return result


def nearest(
    query_embeddings: Floats,
    pool_embeddings: Floats,
    k: int,
    *,
    query_index: npt.ArrayLike | None = None,
    pool_index: npt.ArrayLike | None = None,
    query_texts: Sequence[str] | None = None,
    pool_texts: Sequence[str] | None = None,
) -> Ints:
    """Return the `k` pool members most similar (cosine) to each query, the nearest last.

    Parameters
    ----------
    query_embeddings : array of shape (Q, D)
    pool_embeddings : array of shape (P, D)
    query_index, pool_index : arrays of shape (Q,) and (P,), optional
        The samples' numbers: a query's own number is never among its demonstrations.
    query_texts, pool_texts : sequences of Q and P strings, optional
        A pool text equal to the query's (white space aside) is never shown either.

    Returns
    -------
    array of shape (Q, k)
        Positions in the pool. Where fewer than `k` are allowed, the row begins with -1. Among equally similar
        ones the earlier in the pool counts as nearer.
    """
    query = np.atleast_2d(np.asarray(query_embeddings, dtype=np.float64))
    pool = np.asarray(pool_embeddings, dtype=np.float64)
    if pool.ndim != 2 or query.ndim != 2 or query.shape[1] != pool.shape[1]:
        invalid("embeddings", (query.shape, pool.shape), "arrays of shape (Q, D) and (P, D)")
    if k < 1:
        invalid("k", k, "at least 1")
    Q, P = len(query), len(pool)
    similarity = unit_rows(query) @ unit_rows(pool).T  # (Q, P)
    # Equal pairs may differ in the last bits, by the order BLAS sums in; ties must not depend on that.
    similarity = np.round(similarity, 12)
    for name, own, others in (
        ("index", query_index, pool_index),
        ("texts", _words(query_texts), _words(pool_texts)),
    ):
        if (own is None) != (others is None):
            raise ValueError(f"give query_{name} and pool_{name} both or neither")
        if own is None:
            continue
        own, others = np.asarray(own), np.asarray(others)
        if own.shape != (Q,) or others.shape != (P,):
            invalid(f"query_{name}, pool_{name}", (own.shape, others.shape), f"lengths {Q} and {P}")
        similarity[own[:, None] == others[None, :]] = -np.inf
    result = np.full((Q, k), MISSING, dtype=np.int64)
    m = min(k, P)
    if Q == 0 or m == 0:
        return result
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :m]
    allowed = np.isfinite(np.take_along_axis(similarity, order, axis=1))
    result[:, k - m :] = np.where(allowed, order, MISSING)[:, ::-1]
    return result


def worded(
    near: npt.ArrayLike, pool: npt.ArrayLike, texts: Sequence[str], label: npt.ArrayLike
) -> tuple[list[list[Demonstration]], list[list[int]]]:
    """Return what is shown with each query, and the same as samples' numbers.

    Parameters
    ----------
    near : array of shape (Q, k)
        Positions in the pool, as from `nearest`; -1 is left out.
    pool : array of shape (P,)
        The samples' numbers.
    texts, label : of length N
        Of all samples.
    """
    numbers, classes = np.asarray(pool, dtype=np.int64), np.asarray(label, dtype=np.int64)
    shown = [[int(numbers[j]) for j in row if j != MISSING] for row in np.asarray(near)]
    return [[Demonstration(texts[i], int(classes[i])) for i in row] for row in shown], shown


def balance_report(label: npt.ArrayLike, label_names: Sequence[str]) -> pd.DataFrame:
    """Return a table with one row per class: label, n and share of the pool (0 for a class without any)."""
    label = np.asarray(label, dtype=np.int64)
    if ((label < 0) | (label >= len(label_names))).any():
        invalid("label", sorted(set(label.tolist())), f"class numbers from 0 to {len(label_names) - 1}")
    n = np.bincount(label, minlength=len(label_names))
    return pd.DataFrame({"label": list(label_names), "n": n, "share": n / max(1, n.sum())})


def _words(texts: Sequence[str] | None) -> npt.NDArray[np.object_] | None:
    return None if texts is None else np.array([clean(text) for text in texts], dtype=object)

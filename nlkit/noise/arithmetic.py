"""What follows from a transition matrix: what a label says about the truth, and how far a rate may be off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["rate_spread", "true_given_noisy"]

Floats = NDArray[np.float64]


def true_given_noisy(matrix: ArrayLike, prior: ArrayLike) -> Floats:
    """Turn a transition matrix round by Bayes' rule.

    Parameters
    ----------
    matrix : (C, C) array_like
        T[i, j] = P(noisy label = j | true label = i); rows sum to 1. A row of NaN is a class without samples.
    prior : (C,) array_like
        P(true label = i): shares or counts of the true classes, not all 0.

    Returns
    -------
    (C, C) float64
        [i, j] = P(true label = i | noisy label = j) = prior_i T_ij / Σ_k prior_k T_kj. Columns sum to 1; a
        column that no sample reaches is NaN.
    """
    T, p = np.asarray(matrix, np.float64), np.asarray(prior, np.float64)
    if T.ndim != 2 or T.shape[0] != T.shape[1]:
        invalid("matrix", f"array of shape {T.shape}", "shape (C, C)")
    if p.shape != (len(T),) or not (p >= 0).all() or p.sum() <= 0:
        invalid("prior", p.tolist(), f"{len(T)} shares or counts, none negative, not all 0")
    joint = np.where(p[:, None] > 0, p[:, None] / p.sum() * T, 0.0)
    with np.errstate(invalid="ignore"):
        turned: Floats = joint / joint.sum(axis=0)
    return turned


def rate_spread(
    label: ArrayLike, matrix: ArrayLike, sizes: Sequence[int], *, draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Add noise to the same labels again and again, and see how far the achieved rate is from the wanted one.

    Each label flips by itself, so where all classes have one rate r the number of wrong labels among n is
    binomial, and the achieved rate has the standard deviation √(r (1 − r) / n).

    Parameters
    ----------
    label : array of int, shape (N,)
        True labels, none missing.
    matrix : (C, C) array_like
        T[i, j] = P(noisy label = j | true label = i); rows sum to 1.
    sizes : sequence of int
        n, each from 1 to N: the first n labels are taken.
    draws : int
        How often noise is added, at least 2.
    seed : int
        Of the draws.

    Returns
    -------
    DataFrame, one row a size
        n; wanted: the expected rate; low and high: 2.5th and 97.5th percentile of the achieved rates; sd:
        their standard deviation; expected_sd: √(Σ r_y (1 − r_y)) / n, where r_y is the rate of a label's
        class.
    """
    import pandas as pd

    y, T = np.asarray(label, np.int64), np.asarray(matrix, np.float64)
    if y.ndim != 1 or not len(y) or y.min() < 0 or y.max() >= len(T):
        invalid(
            "label", f"array of shape {y.shape}", f"(N,) class numbers from 0 to {len(T) - 1}, none missing"
        )
    if not len(sizes) or min(sizes) < 1 or max(sizes) > len(y):
        invalid("sizes", list(sizes), f"whole numbers from 1 to {len(y)}, the labels there are")
    if draws < 2:
        invalid("draws", draws, "at least 2")
    rng, rows = np.random.default_rng(seed), []
    flip = 1 - np.diag(T)[y]  # (N,)
    # Only whether a label flips counts here, not where to: one draw against its class's rate.
    wrong = (rng.random((draws, len(y))) < flip).cumsum(axis=1)  # among the first n labels
    for n in sizes:
        achieved = wrong[:, n - 1] / n
        low, high = np.quantile(achieved, [0.025, 0.975])
        expected_sd = np.sqrt((flip[:n] * (1 - flip[:n])).sum()) / n
        rows.append((n, flip[:n].mean(), low, high, achieved.std(), expected_sd))
    return pd.DataFrame(rows, columns=["n", "wanted", "low", "high", "sd", "expected_sd"])

"""Metrics of predictions: accuracy, calibration, coverage, and intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap
from sklearn.metrics import f1_score, recall_score

from nlkit._util import invalid

__all__ = [
    "accuracy", "bootstrap_interval", "brier", "calibration_error", "coverage_report", "ece",
    "evaluate_probabilities", "nll", "recall_by_class", "reliability",
]  # fmt: skip


def _check(probability: ArrayLike, label: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    p, y = np.asarray(probability, np.float64), np.asarray(label, np.int64)
    if p.ndim != 2 or y.shape != (len(p),):
        raise ValueError(f"probability {p.shape} must be (N, C) and label {y.shape} must be (N,)")
    if len(y) == 0:
        raise ValueError("label is empty: there is nothing to evaluate")
    if y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(
            f"label holds {y.min()} to {y.max()}, allowed are 0 to {p.shape[1] - 1}; "
            "drop samples whose true label is missing (-1) before evaluating"
        )
    if not np.allclose(p.sum(1), 1.0, atol=1e-3):
        worst = int(np.abs(p.sum(1) - 1).argmax())
        raise ValueError(f"probability row {worst} sums to {p[worst].sum():.4f}; rows must sum to 1")
    return p, y


def accuracy(probability: ArrayLike, label: ArrayLike) -> float:
    """Return the share of samples whose most probable class is the true one."""
    p, y = _check(probability, label)
    return float((p.argmax(1) == y).mean())


def recall_by_class(probability: ArrayLike, label: ArrayLike) -> NDArray[np.float64]:
    """Return for each class the share of its samples whose most probable class it is, (C,); NaN without any.

    Accuracy is their mean by the size of the classes; their plain mean counts small classes as much.
    """
    p, y = _check(probability, label)
    found: NDArray[np.float64] = recall_score(
        y, p.argmax(1), labels=range(p.shape[1]), average=None, zero_division=np.nan
    )
    return found


def nll(probability: ArrayLike, label: ArrayLike) -> float:
    """Return the mean negative log-likelihood of the true class, in nats, at most −log 1e-12."""
    p, y = _check(probability, label)
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean())


def brier(probability: ArrayLike, label: ArrayLike) -> float:
    """Return the mean squared distance between prediction and one-hot truth, summed over classes: 0 to 2."""
    p, y = _check(probability, label)
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(1).mean())


def reliability(
    probability: ArrayLike, label: ArrayLike, *, bins: int = 15, adaptive: bool = False
) -> pd.DataFrame:
    """Return how often the top class is right, beside how sure the prediction was, in bins of confidence.

    Parameters
    ----------
    probability : array, shape (N, C)
        Rows sum to 1.
    label : array of int, shape (N,)
        True classes.
    bins : int
        Bins of confidence.
    adaptive : bool
        Bins hold equally many samples, as far as ties allow, instead of being equally wide (Nguyen and
        O'Connor, EMNLP 2015).

    Returns
    -------
    DataFrame, one row a bin
        bin, from 0; low and high, its bounds, of which equally wide bins hold the upper one and adaptive bins
        the lower one; n, its samples; confidence and accuracy, their means, NaN for an empty bin.
    """
    p, y = _check(probability, label)
    if bins < 1:
        invalid("bins", bins, "at least 1")
    confidence, right = p.max(1), p.argmax(1) == y
    if adaptive:
        # Equal confidences share a bin: otherwise the order of the samples would change the answer.
        edges = np.sort(confidence)[np.arange(1, bins) * len(y) // bins]
        number = np.searchsorted(edges, confidence, side="right")
    else:
        edges = np.arange(1, bins) / bins
        number = np.searchsorted(edges, confidence, side="left")
    n = np.bincount(number, minlength=bins)
    base = np.where(n > 0, n, np.nan)
    return pd.DataFrame({
        "bin": np.arange(bins), "low": np.append(0.0, edges), "high": np.append(edges, 1.0), "n": n,
        "confidence": np.bincount(number, confidence, bins) / base,
        "accuracy": np.bincount(number, right, bins) / base,
    })  # fmt: skip


def calibration_error(table: pd.DataFrame) -> float:
    """Return the expected calibration error that a table of `reliability` comes to.

    That is the mean of |accuracy − confidence| over the bins, weighted by their samples.
    """
    filled = table[table["n"] > 0]
    gap = (filled["accuracy"] - filled["confidence"]).abs()
    return float((filled["n"] * gap).sum() / filled["n"].sum())


def ece(probability: ArrayLike, label: ArrayLike, *, bins: int = 15, adaptive: bool = False) -> float:
    """Return the expected calibration error of the top class: parameters as in `reliability`."""
    return calibration_error(reliability(probability, label, bins=bins, adaptive=adaptive))


def evaluate_probabilities(probability: ArrayLike, label: ArrayLike) -> dict[str, float]:
    """Return accuracy, macro_f1, nll, brier, ece, ece_adaptive and n of predictions (N, C), labels (N,).

    macro_f1 averages over the classes that occur among the labels or the predictions.
    """
    p, y = _check(probability, label)
    return {
        "accuracy": accuracy(p, y),
        "macro_f1": float(f1_score(y, p.argmax(1), average="macro")),
        "nll": nll(p, y),
        "brier": brier(p, y),
        "ece": ece(p, y),
        "ece_adaptive": ece(p, y, adaptive=True),
        "n": len(y),
    }


def coverage_report(confidence: ArrayLike, right: ArrayLike) -> pd.DataFrame:
    """Return how accurate answers are that are given only where the confidence reaches a threshold.

    The curve of selective classification (El-Yaniv and Wiener, JMLR 2010): who abstains more is right more
    often, if the confidence tells anything.

    Parameters
    ----------
    confidence : array, shape (N,)
        Of each answer; NaN (not known) counts as below all thresholds.
    right : array of bool, shape (N,)
        Whether the answer is right.

    Returns
    -------
    DataFrame, one row a different confidence, the highest first
        threshold; answered, the texts whose confidence is at least that; coverage, their share of all N;
        accuracy, the share of them that are right.
    """
    c, hit = np.asarray(confidence, np.float64), np.asarray(right, bool)
    if c.shape != hit.shape or c.ndim != 1 or not len(c):
        raise ValueError(f"confidence {c.shape} and right {hit.shape} must both be (N,), N at least 1")
    by = pd.Series(hit).groupby(c).agg(["size", "sum"]).sort_index(ascending=False).cumsum()  # without NaN
    return pd.DataFrame({
        "threshold": by.index.to_numpy(), "answered": by["size"].to_numpy(),
        "coverage": (by["size"] / len(c)).to_numpy(), "accuracy": (by["sum"] / by["size"]).to_numpy(),
    })  # fmt: skip


def bootstrap_interval(
    values: ArrayLike, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return an interval of the mean over the samples: the percentile bootstrap (Efron, 1979).

    The samples are drawn again and again, as many as there are and with replacement; the interval holds the
    middle part of the means. It says how much a result depends on which samples were in the test set, and
    nothing about another training run.

    Parameters
    ----------
    values : array, shape (N,)
        One value a test sample, such as 1 where the prediction is right and 0 where it is not. For a paired
        comparison of two methods on the same samples: the difference of their values.
    level : float
        Share of the means that the interval holds.
    draws : int
        How often the samples are drawn.
    seed : int
        Of the draws.

    Returns
    -------
    tuple of two floats
        Lower and upper end.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or len(x) < 2:
        invalid("values", f"array of shape {x.shape}", "shape (N,), N at least 2")
    if not 0 < level < 1:
        invalid("level", level, "strictly between 0 and 1")
    if draws < 1:
        invalid("draws", draws, "at least 1")
    ends = bootstrap(
        (x,), np.mean, confidence_level=level, n_resamples=draws, method="percentile", batch=100,
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return float(ends.low), float(ends.high)

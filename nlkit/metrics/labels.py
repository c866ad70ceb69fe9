"""Metrics of labels: of splits, answers, suspicions, priors and corrections, judged by true labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

__all__ = ["annotation_report", "correction_report", "detection_report", "partition_report", "prior_report"]


def partition_report(sets: ArrayLike, noisy_label: ArrayLike, label: ArrayLike) -> pd.DataFrame:
    """Return how pure and how complete the sets R, H and P are, where true labels are known.

    Parameters
    ----------
    sets : array of str, shape (N,)
        "R", "H" or "P" for each sample.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels; samples whose true label is missing (-1) are left out.

    Returns
    -------
    DataFrame, one row a set
        size; clean: the share whose observed label is right; precision and recall of R as a finder of right
        labels, and of P and H as finders of wrong ones. Shares of an empty set are NaN.
    """
    s, z, y = np.asarray(sets), np.asarray(noisy_label), np.asarray(label)
    s, z, y = s[y >= 0], z[y >= 0], y[y >= 0]
    right = z == y
    rows: list[Mapping[str, Any]] = []
    for name in ("R", "H", "P"):
        inside = s == name
        wanted = right if name == "R" else ~right
        hits = int((inside & wanted).sum())
        rows.append({
            "set": name, "size": int(inside.sum()),
            "clean": float(right[inside].mean()) if inside.any() else np.nan,
            "precision": hits / inside.sum() if inside.any() else np.nan,
            "recall": hits / wanted.sum() if wanted.any() else np.nan,
        })  # fmt: skip
    return pd.DataFrame(rows)


def annotation_report(annotated: ArrayLike, label: ArrayLike) -> dict[str, float]:
    """Return how good an annotator's answers are: n, answered, accuracy (of the answered).

    Parameters
    ----------
    annotated : array of int, shape (N,)
        The annotator's labels; −1 where it abstained.
    label : array of int, shape (N,)
        True labels; samples with −1 are left out.
    """
    a, y = np.asarray(annotated, np.int64), np.asarray(label, np.int64)
    a, y = a[y >= 0], y[y >= 0]
    answered = a >= 0
    return {
        "n": len(a),
        "answered": int(answered.sum()),
        "accuracy": float((a[answered] == y[answered]).mean()) if answered.any() else float("nan"),
    }


def detection_report(score: ArrayLike, noisy_label: ArrayLike, label: ArrayLike) -> dict[str, float]:
    """Return how well a score finds wrong labels: auc, and noise_rate, the share that is wrong.

    Parameters
    ----------
    score : array, shape (N,)
        Larger is more suspicious.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels; samples without one of them (−1) are left out.

    Returns
    -------
    dict
        auc, the area under the ROC curve, is NaN where all labels are right or all are wrong.
    """
    s, z, y = np.asarray(score, np.float64), np.asarray(noisy_label), np.asarray(label)
    both = (z >= 0) & (y >= 0)
    s, wrong = s[both], (z != y)[both]
    mixed = 0 < wrong.sum() < len(wrong)
    return {
        "auc": float(roc_auc_score(wrong, s)) if mixed else float("nan"),
        "noise_rate": float(wrong.mean()) if len(wrong) else float("nan"),
    }


def prior_report(case: ArrayLike, likeliest: ArrayLike, label: ArrayLike) -> pd.DataFrame:
    """Return one row a case of the neighbours' prior: n, and right, how often the likeliest class is true.

    Parameters
    ----------
    case : array of str, shape (N,)
        One of `nlkit.methods.sidyp.prior.CASES` for each sample.
    likeliest, label : array of int, shape (N,)
        Likeliest candidate and true label; samples whose true label is missing (−1) are left out.
    """
    y = np.asarray(label)
    table = pd.DataFrame({"case": np.asarray(case), "right": np.asarray(likeliest) == y})[y >= 0]
    return table.groupby("case")["right"].agg(n="size", right="mean").reset_index()


def correction_report(noisy_label: ArrayLike, refined_label: ArrayLike, label: ArrayLike) -> dict[str, float]:
    """Return what a correction of the labels did: good and harm.

    Parameters
    ----------
    noisy_label, refined_label : array of int, shape (N,)
        Labels before and after; a missing one (−1) counts as wrong.
    label : array of int, shape (N,)
        True labels; samples with −1 are left out.

    Returns
    -------
    dict
        n; changed: the share of labels that are others than before; correction_rate: the share of the wrong
        labels that were turned right; harm_rate: the share of the right ones that were turned wrong;
        accuracy_before and accuracy_after: shares of right labels. NaN where a share has no base.
    """
    z, r, y = (np.asarray(a, np.int64) for a in (noisy_label, refined_label, label))
    if not z.shape == r.shape == y.shape or z.ndim != 1:
        raise ValueError(
            f"noisy_label {z.shape}, refined_label {r.shape} and label {y.shape} must all be (N,)"
        )
    known = y >= 0
    z, r, y = z[known], r[known], y[known]
    before, after = z == y, r == y

    def share(hit: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
        return float(hit[of].mean()) if of.any() else float("nan")

    everyone = np.ones(len(y), bool)
    return {
        "n": len(y),
        "changed": share(r != z, everyone),
        "correction_rate": share(after, ~before),
        "harm_rate": share(~after, before),
        "accuracy_before": share(before, everyone),
        "accuracy_after": share(after, everyone),
    }

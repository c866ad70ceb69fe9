"""How many labels are wrong, and which are confused for which, told by observed labels alone (ours).

Whatever predicts a text's class without having seen its label has a vote: its neighbours, or a classifier
trained on the other folds. No true label is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlkit.noise.instance import out_of_fold

__all__ = ["estimate_noise_rate", "estimate_transition", "out_of_fold_probabilities"]

Floats = NDArray[np.float64]

ANCHORS = 0.3
"""Share of the texts, those whose neighbours agree most, that the noise rate is read off."""

SHRINKAGE = 10.0
"""Texts that T's usual row (labels wrong at the noise rate, in proportion to their number) counts for."""


def out_of_fold_probabilities(
    embedding: NDArray[Any], label: NDArray[np.int64], n_classes: int, *, folds: int = 5, seed: int = 0
) -> Floats:
    """Let logistic regression judge each sample after training on the other folds only.

    Parameters
    ----------
    embedding : array, shape (N, D)
    label : array of int, shape (N,)
        None missing.
    n_classes : int
        C. A class that the other folds lack has probability 0.
    folds : int
        Parts, stratified by label unless every class has fewer samples than that. With fewer samples in all,
        each sample is a part. A single one is taken at its word, and all are where a part leaves one class
        only to learn from.
    seed : int
        Of the cut.

    Returns
    -------
    ndarray, shape (N, C)
        Rows sum to 1.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold, StratifiedKFold

    folds = min(folds, len(label))
    if folds < 2:
        return np.eye(n_classes)[label]
    kind = StratifiedKFold if np.bincount(label).max() >= folds else KFold
    cut = kind(folds, shuffle=True, random_state=seed)
    x = np.asarray(embedding, np.float64)
    return out_of_fold(LogisticRegression(max_iter=2000), x, label, n_classes, cut)


def estimate_noise_rate(vote: ArrayLike, noisy_label: ArrayLike) -> tuple[float, tuple[float, float]]:
    """Estimate the share of wrong labels from votes that the labels themselves had no part in.

    Where neighbours agree the class is easily told, so a label that differs is wrong; where they do not it
    may be the vote that is. The estimate is the share of differing labels among the `ANCHORS` texts with the
    clearest votes. Mistakes that all texts of a kind share (a keyword rule's, say) agree with their
    neighbours and cannot be seen this way: then it is too low.

    Parameters
    ----------
    vote : array, shape (N, C)
        Leave-one-out votes; rows sum to 1.
    noisy_label : array of int, shape (N,)
        Observed labels; −1 is missing.

    Returns
    -------
    noise_rate : float
    interval : tuple of two floats
        From the lower 95 % bound (Wilson) of that share to the share of all labels that differ from the vote,
        or the upper bound if that is higher.
    """
    u, label = np.asarray(vote, np.float64), np.asarray(noisy_label, np.int64)
    u, label = u[label >= 0], label[label >= 0]
    if not len(label):
        return 0.0, (0.0, 1.0)
    from scipy.stats import binomtest

    differs = u.argmax(1) != label
    clear = np.argsort(-u.max(1), kind="stable")[: int(np.ceil(ANCHORS * len(label)))]
    wrong = int(differs[clear].sum())
    bounds = binomtest(wrong, len(clear)).proportion_ci(method="wilson")
    return wrong / len(clear), (float(bounds.low), max(float(bounds.high), float(differs.mean())))


def estimate_transition(vote: ArrayLike, noisy_label: ArrayLike, noise_rate: float) -> Floats:
    """Estimate T[y, ỹ] = P(ỹ | y) from the clearer half of the texts that are voted into each class.

    Parameters
    ----------
    vote : array, shape (N, C)
        As in `estimate_noise_rate`.
    noisy_label : array of int, shape (N,)
    noise_rate : float
        What a class without texts is given, and others are shrunk to (`SHRINKAGE`).

    Returns
    -------
    ndarray, shape (C, C)
        Rows, the true classes, sum to 1.
    """
    u, label = np.asarray(vote, np.float64), np.asarray(noisy_label, np.int64)
    u, label, C = u[label >= 0], label[label >= 0], u.shape[1]
    other = np.tile(np.bincount(label, minlength=C) + 1.0, (C, 1)) * (1 - np.eye(C))
    usual = (1 - noise_rate) * np.eye(C) + noise_rate * other / np.maximum(other.sum(1, keepdims=True), 1e-12)
    likeliest, clarity, count = u.argmax(1), u.max(1), np.zeros((C, C))
    for c in range(C):
        members = np.flatnonzero(likeliest == c)
        clear = members[np.argsort(-clarity[members], kind="stable")][: (len(members) + 1) // 2]
        count[c] = np.bincount(label[clear], minlength=C)
    found: Floats = (count + SHRINKAGE * usual) / (count.sum(1, keepdims=True) + SHRINKAGE)
    found /= found.sum(1, keepdims=True)
    return found

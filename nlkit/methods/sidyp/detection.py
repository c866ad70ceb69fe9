"""Who is probably mislabelled: scores over the epochs of training, and how many of the highest to suspect.

After the published description of SiDyP (arXiv 2505.19675) and with what this project adds to it:

- `suspicion`: how far a text's sentence embedding stays from the texts that share its observed label. A wrong
  label keeps a text far from its class (published: "distance"; ours: "relative").
- `margin`: how much more than the observed label another one is predicted (ours).
- `detect`: the most suspicious texts are taken for mislabelled; how many is given or estimated.
- `detect_by_both`: who is suspect by either of two scores, as long as these agree by and large (ours).

All of it is vectorised over samples; `nlkit.methods.sidyp.plain` and ``tests/reference/detection.py`` say it
in loops. No true label is read.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid, unit_rows
from nlkit.data.checks import check_labels

__all__ = ["SCORES", "detect", "detect_by_both", "margin", "suspects", "suspicion"]

Floats = NDArray[np.float64]

SCORES = ("both", "margin", "relative", "distance")


def suspicion(
    trajectory: ArrayLike, noisy_label: ArrayLike, n_classes: int, *, score: str = "relative",
    normalise: bool = True,
) -> Floats:  # fmt: skip
    """Score each sample by how badly its trajectory fits its observed label; larger is more suspicious.

    Parameters
    ----------
    trajectory : array, shape (M, E, N, D)
        Sentence embeddings of N samples after each of E epochs, in each of M branches.
    noisy_label : array of int, shape (N,)
        Observed labels; −1 is missing.
    n_classes : int
        C.
    score : {"relative", "distance"}
        "distance", as published: mean plus standard deviation over the epochs of the distance to the centroid
        of the observed class. "relative": the mean over the epochs of that distance minus the distance to the
        nearest other centroid.
    normalise : bool
        Bring embeddings to unit length first. Without it the classes' different spreads decide.

    Returns
    -------
    ndarray, shape (N,)
        Mean over the branches; NaN where the label is missing.
    """
    z, label = np.asarray(trajectory), np.asarray(noisy_label, np.int64)
    if z.ndim != 4 or z.shape[2] != len(label) or 0 in z.shape[:2]:
        invalid(
            "trajectory", f"array of shape {z.shape}", f"shape (M, E, {len(label)}, D), M and E at least 1"
        )
    if score not in SCORES[2:]:
        invalid("score", score, f"one of {', '.join(SCORES[2:])}")
    check_labels(label, n_classes)
    known = np.flatnonzero(label >= 0)
    own, other = np.empty((2, *z.shape[:2], len(known)))  # (M, E, n), n labelled samples
    # Branch by branch and epoch by epoch: all distances at once would need M E times the memory.
    for m, e in np.ndindex(*z.shape[:2]):
        own[m, e], other[m, e] = _centroid_distances(z[m, e, known], label[known], n_classes, normalise)
    distance = (own.mean(1) + own.std(1)).mean(0)
    result = np.full(len(label), np.nan)
    result[known] = distance if score == "distance" else (own - other).mean((0, 1))
    return result


def _centroid_distances(
    z: NDArray[Any], label: NDArray[np.int64], n_classes: int, normalise: bool
) -> tuple[Floats, Floats]:
    """Return each sample's distance to its own class's centroid and to the nearest other one, (N,) each."""
    z = z.astype(np.float64)
    if normalise:
        z = unit_rows(z)
    member = np.eye(n_classes)[label]  # (N, C)
    size = member.sum(0)
    centroid = (member.T @ z) / np.maximum(size, 1)[:, None]  # (C, D)
    # |z − c|² = |z|² + |c|² − 2 z·c, for all pairs at once: (N, C)
    square = (z**2).sum(-1)[:, None] + (centroid**2).sum(-1) - 2 * z @ centroid.T
    distance = np.sqrt(np.maximum(square, 0.0))
    row = np.arange(len(label))
    own: Floats = distance[row, label]
    # A class without samples has no centroid, and the own one is no other.
    distance[:, size == 0] = np.inf
    distance[row, label] = np.inf
    other: Floats = distance.min(-1)
    # With one class only there is nothing to compare with: then the distance itself counts.
    return own, np.where(np.isfinite(other), other, 0.0)


def margin(dynamics: ArrayLike, noisy_label: ArrayLike) -> Floats:
    """Score each sample by how much more than its observed label another one is predicted.

    Unlike the distances to centroids, this tells two classes apart whose observed labels hold mostly the same
    texts, as where 40 % of a large class carry the name of a small one.

    Parameters
    ----------
    dynamics : array, shape (M, E, N, C)
        Class probabilities of N samples after each of E epochs, in each of M branches; rows sum to 1.
    noisy_label : array of int, shape (N,)
        Observed labels; −1 is missing.

    Returns
    -------
    ndarray, shape (N,)
        max_{c ≠ ỹ} p_c − p_ỹ, from −1 to 1, where p is the mean over branches and epochs; NaN where the label
        is missing.
    """
    p, label = np.asarray(dynamics), np.asarray(noisy_label, np.int64)
    if p.ndim != 4 or p.shape[2] != len(label) or 0 in p.shape[:2] or p.shape[3] < 2:
        invalid("dynamics", f"array of shape {p.shape}", f"shape (M, E, {len(label)}, C), M and E at least 1")
    check_labels(label, p.shape[3])
    mean, row = p.mean((0, 1), dtype=np.float64), np.arange(len(label))
    own = np.where(label >= 0, mean[row, label], np.nan)
    mean[row, label] = -np.inf
    return mean.max(1) - own  # type: ignore[no-any-return]


def detect(
    score: ArrayLike, noise_rate: float | str = "auto", *, centred: bool = False, seed: int = 0
) -> tuple[NDArray[np.bool_], float]:
    """Take the most suspicious samples for mislabelled.

    Parameters
    ----------
    score : array, shape (N,)
        From `suspicion` or `margin`; NaN (no label) is never suspect.
    noise_rate : float or "auto"
        The share to take, 0 to 1. "auto": the weight of the higher of two normal distributions with one
        variance, fitted to the scores; an estimate, to be reported beside the truth wherever that is known.
    centred : bool
        Whether a score above 0 speaks against the label, as in `margin` and the "relative" `suspicion`. Then
        a higher distribution whose mean is below 0 is no sign of wrong labels (clean data have two as well),
        and "auto" is the share of scores above 0.
    seed : int
        Of the mixture's start.

    Returns
    -------
    suspect : ndarray of bool, shape (N,)
    noise_rate : float
        The given or the estimated one.
    """
    s = np.asarray(score, np.float64)
    known = np.flatnonzero(~np.isnan(s))
    if noise_rate == "auto":
        rate = _estimated_share(s[known], centred, seed)
    elif isinstance(noise_rate, int | float) and not isinstance(noise_rate, bool) and 0 <= noise_rate <= 1:
        rate = float(noise_rate)
    else:
        invalid("noise_rate", noise_rate, "a number from 0 to 1, or 'auto'")
    suspect = np.zeros(len(s), bool)
    # Stable, so that ties go by the order of the data.
    order = known[np.argsort(-s[known], kind="stable")]
    suspect[order[: round(rate * len(known))]] = True
    return suspect, rate


def detect_by_both(
    first: ArrayLike, second: ArrayLike, noise_rate: float | str = "auto", *, agreement: float = 0.6,
    seed: int = 0,
) -> tuple[NDArray[np.bool_], float, Floats]:  # fmt: skip
    """Take for mislabelled whom either of two scores finds suspicious.

    A language model's mistakes keep to certain topics, and a classifier learns some of them early: these have
    a small `margin`, but still lie far from their class. Centroids, in turn, say nothing where the texts of a
    large class carry the name of a small one; the two scores then contradict each other.

    Parameters
    ----------
    first, second : array, shape (N,)
        `margin`, and the "relative" `suspicion`; NaN (no label) is never suspect.
    noise_rate : float or "auto"
        "auto": each score estimates its own (`detect`). A number: the share to take, of those that are the
        most suspicious by the higher of their two ranks.
    agreement : float
        Spearman's rank correlation below which the second score is left out.
    seed : int
        Of the mixture's start.

    Returns
    -------
    suspect : ndarray of bool, shape (N,)
    noise_rate : float
        The given one, or the share that is suspect.
    score : ndarray, shape (N,)
        The higher of a sample's two ranks (or the only one), 0 to 1.
    """
    from scipy.stats import rankdata

    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 1 or a.shape != b.shape or (np.isnan(a) != np.isnan(b)).any():
        raise ValueError(f"first {a.shape} and second {b.shape} must be scores of the same samples")
    known = np.flatnonzero(~np.isnan(a))
    ranks = np.full((2, len(a)), np.nan)
    if len(known):
        ranks[:, known] = (rankdata([a[known], b[known]], axis=1) - 1) / max(1, len(known) - 1)
    # Spearman's correlation; where one score is constant there is none, and nothing to be learnt from it.
    varied = len(known) > 1 and bool((np.ptp(ranks[:, known], axis=1) > 0).all())
    usable = varied and np.corrcoef(ranks[:, known])[0, 1] >= agreement
    score: Floats = ranks.max(0) if usable else ranks[0]
    if noise_rate != "auto":
        return *detect(score, noise_rate, seed=seed), score
    suspect = detect(a, "auto", centred=True, seed=seed)[0]
    if usable:
        suspect = suspect | detect(b, "auto", centred=True, seed=seed)[0]
    return suspect, float(suspect.sum() / max(1, len(known))), score


def suspects(
    dynamics: NDArray[Any], trajectory: NDArray[Any], noisy_label: NDArray[np.int64], *, score: str = "both",
    noise_rate: float | str = "auto", margin_epochs: float = 0.5, normalise: bool = True,
    agreement: float = 0.6, seed: int = 0,
) -> tuple[NDArray[np.bool_], float, Floats]:  # fmt: skip
    """Take for mislabelled whom the score named finds suspicious, from a whole first stage.

    Parameters
    ----------
    dynamics : array, shape (M, E, N, C)
        As in `margin`.
    trajectory : array, shape (M, E, N, D)
        As in `suspicion`.
    noisy_label : array of int, shape (N,)
        Observed labels; −1 is missing.
    score : str
        One of `SCORES`.
    noise_rate, normalise, agreement, seed
        As in `detect`, `suspicion` and `detect_by_both`.
    margin_epochs : float
        Share of the epochs, from the first on, that `margin` looks at.

    Returns
    -------
    suspect : ndarray of bool, shape (N,)
    noise_rate : float
        The given or the estimated one.
    score : ndarray, shape (N,)
    """
    found = []
    if score in ("both", "margin"):
        found.append(margin(dynamics[:, : math.ceil(margin_epochs * dynamics.shape[1])], noisy_label))
    if score != "margin":
        kind = "relative" if score == "both" else score
        found.append(suspicion(trajectory, noisy_label, dynamics.shape[3], score=kind, normalise=normalise))
    if score == "both":
        return detect_by_both(found[0], found[1], noise_rate, agreement=agreement, seed=seed)
    return *detect(found[0], noise_rate, centred=score != "distance", seed=seed), found[0]


def _estimated_share(score: Floats, centred: bool, seed: int) -> float:
    """Return the weight of the upper of two normal distributions; 0 where there are not two to be found."""
    if len(np.unique(score)) < 2:
        return 0.0
    from sklearn.mixture import GaussianMixture

    # One variance for both: with two, a wide component can swallow the tail of the other.
    mixture = GaussianMixture(
        2, covariance_type="tied", random_state=seed, n_init=3, tol=1e-6, max_iter=1000
    ).fit(score[:, None])
    upper = mixture.means_[:, 0].argmax()
    if centred and mixture.means_[upper, 0] <= 0:
        return float((score > 0).mean())
    return float(mixture.weights_[upper])

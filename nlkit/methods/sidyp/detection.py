"""Who is probably mislabelled: scores over the epochs of training, and how many of the highest to suspect.

After the published description of SiDyP (arXiv 2505.19675) and with what this project adds to it:

- `suspicion`: how far a text's sentence embedding stays from the texts that share its observed label. A wrong
  label keeps a text far from its class (published: "distance"; ours: "relative").
- `margin`: how much more than the observed label another one is predicted (ours).
- `detect`: the most suspicious texts are taken for mislabelled, as many as the noise rate says.
- `either`: suspicious by one of two scores, as long as these agree by and large (ours).

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

__all__ = ["SCORES", "detect", "either", "margin", "scored", "suspicion"]

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


def detect(score: ArrayLike, noise_rate: float) -> NDArray[np.bool_]:
    """Take the most suspicious samples for mislabelled, shape (N,).

    Parameters
    ----------
    score : array, shape (N,)
        From `suspicion`, `margin` or `either`; NaN (no label) is never suspect.
    noise_rate : float
        The share to take, 0 to 1: given, or from `nlkit.methods.sidyp.evidence.estimate_noise_rate`.
    """
    s = np.asarray(score, np.float64)
    if isinstance(noise_rate, bool | str) or not 0 <= noise_rate <= 1:
        invalid("noise_rate", noise_rate, "a number from 0 to 1")
    known = np.flatnonzero(~np.isnan(s))
    suspect = np.zeros(len(s), bool)
    # Stable, so that ties go by the order of the data.
    order = known[np.argsort(-s[known], kind="stable")]
    suspect[order[: round(noise_rate * len(known))]] = True
    return suspect


def either(first: ArrayLike, second: ArrayLike, *, agreement: float = 0.6) -> Floats:
    """Score each sample by the higher of its ranks in two scores.

    A language model's mistakes keep to certain topics, and a classifier learns some of them early: these have
    a small `margin`, but still lie far from their class. Centroids, in turn, say nothing where the texts of a
    large class carry the name of a small one; the two scores then contradict each other.

    Parameters
    ----------
    first, second : array, shape (N,)
        `margin`, and the "relative" `suspicion`; NaN where the label is missing.
    agreement : float
        Spearman's rank correlation below which the second score is left out.

    Returns
    -------
    ndarray, shape (N,)
        The higher of a sample's two ranks (or the only one), 0 to 1; NaN where the label is missing.
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
    found: Floats = ranks.max(0) if usable else ranks[0]
    return found


def scored(
    dynamics: NDArray[Any], trajectory: NDArray[Any], noisy_label: NDArray[np.int64], *, score: str = "both",
    margin_epochs: float = 0.5, normalise: bool = True, agreement: float = 0.6,
) -> Floats:  # fmt: skip
    """Score each sample by the score named, from a whole first stage.

    Parameters
    ----------
    dynamics : array, shape (M, E, N, C)
        As in `margin`.
    trajectory : array, shape (M, E, N, D)
        As in `suspicion`.
    noisy_label : array of int, shape (N,)
        Observed labels; −1 is missing.
    score : str
        One of `SCORES`: "both" is `either` of margin and relative distance.
    margin_epochs : float
        Share of the epochs, from the first on, that `margin` looks at.
    normalise, agreement
        As in `suspicion` and `either`.

    Returns
    -------
    ndarray, shape (N,)
        NaN where the label is missing.
    """
    if score not in SCORES:
        invalid("score", score, f"one of {', '.join(SCORES)}")
    early = dynamics[:, : math.ceil(margin_epochs * dynamics.shape[1])]
    if score == "margin":
        return margin(early, noisy_label)
    kind = "relative" if score == "both" else score
    away = suspicion(trajectory, noisy_label, dynamics.shape[3], score=kind, normalise=normalise)
    return either(margin(early, noisy_label), away, agreement=agreement) if score == "both" else away

"""What the neighbours say: the prior over a text's true label.

After the published description of SiDyP (arXiv 2505.19675): the distance-weighted labels of the nearest
texts that are not suspect (`nlkit.methods.sidyp.detection`) say which labels may be the true one: one
(certain), two (dominant) or more (uncertain). Later the reverse chain's answers move that prior
(`update_prior`): it is dynamic.

All of it is vectorised over samples; `nlkit.methods.sidyp.plain` says it one text at a time. No true label is
read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.data.checks import check_labels

__all__ = [
    "CASES",
    "Prior",
    "candidates",
    "nearest",
    "nearest_trusted",
    "neighbour_prior",
    "update_prior",
    "vote",
    "vote_shares",
]

Floats = NDArray[np.float64]

AT_ONCE = 2048
"""Queries whose neighbours are looked for together: a copy of them in float64 is made."""

CASES = ("certain", "dominant", "uncertain")
"""How many labels the neighbours leave: one, two, or more."""


@dataclass(frozen=True)
class Prior:
    """What the neighbours leave as the true label of each sample.

    Attributes
    ----------
    weight : ndarray, shape (N, C)
        Probability of each candidate, 0 for the other classes; rows sum to 1.
    case : ndarray of str, shape (N,)
        One of `CASES`.
    neighbours : ndarray of int, shape (N, K)
        The reference samples nearest to each, nearest first; −1 where there are fewer than K.
    suspect : ndarray of bool, shape (N,)
        Whether the observed label was taken for wrong.
    """

    weight: Floats
    case: NDArray[np.str_]
    neighbours: NDArray[np.int64]
    suspect: NDArray[np.bool_]

    def first(self, n: int) -> Prior:
        """Return the prior of the first n samples."""
        return Prior(self.weight[:n], self.case[:n], self.neighbours[:n], self.suspect[:n])

    def table(self, label_names: Sequence[str], noisy_label: ArrayLike) -> pd.DataFrame:
        """Return one row a sample: index, noisy_label, suspect, case, candidates, and the likeliest of them.

        `proposed` is its name, `likeliest` its class number, `weight` its weight; other labels are names.
        """
        rows = [
            ", ".join(f"{label_names[c]} {w[c]:.2f}" for c in np.argsort(-w, kind="stable") if w[c] > 0)
            for w in self.weight
        ]
        return pd.DataFrame({
            "index": np.arange(len(rows)),
            "noisy_label": [label_names[c] if c >= 0 else "" for c in np.asarray(noisy_label, np.int64)],
            "suspect": self.suspect, "case": self.case, "candidates": rows,
            "proposed": [label_names[c] for c in self.weight.argmax(1)],
            "likeliest": self.weight.argmax(1), "weight": self.weight.max(1),
        })  # fmt: skip


def neighbour_prior(
    embedding: ArrayLike, noisy_label: ArrayLike, suspect: ArrayLike, n_classes: int, *, k: int = 10,
    gamma: float = 0.9, delta: float = 0.8,
) -> Prior:  # fmt: skip
    """Read each sample's candidates for the true label off its nearest neighbours that are not suspect.

    Parameters
    ----------
    embedding : array, shape (N, D)
        Text embeddings; neighbours are the nearest by L2 distance.
    noisy_label : array of int, shape (N,)
        Observed labels; a sample without one (−1) gets a prior and is nobody's neighbour.
    suspect : array of bool, shape (N,)
        Samples whose label is not believed.
    n_classes : int
        C. A class that no reference sample has keeps its column, with weight 0.
    k : int
        K, neighbours a sample.
    gamma, delta : float
        γ: one candidate where u's largest reaches it. δ: two where the two largest reach it together.

    Returns
    -------
    Prior

    Raises
    ------
    ValueError
        If no sample with a label is left that is not suspect, or an argument is out of range.
    """
    neighbours, distance = nearest_trusted(embedding, noisy_label, suspect, k=k)
    return vote(neighbours, distance, noisy_label, suspect, n_classes, gamma=gamma, delta=delta)


def nearest(
    reference: ArrayLike, query: ArrayLike, own: ArrayLike, k: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return places in `reference` and distances of the k nearest to each query, (n, K), nearest first.

    −1 and infinity where there are fewer.

    Parameters
    ----------
    reference, query : array, shapes (R, D) and (n, D)
    own : array of int, shape (n,)
        The place in `reference` that is no neighbour of each query: its own; −1 is none.
    k : int
        K.
    """
    from sklearn.neighbors import NearestNeighbors

    x = np.asarray(reference, np.float64)
    if not len(x):
        raise ValueError(
            "no sample with a label is left that is not suspect: nothing can be read off neighbours. "
            "Give a lower noise_rate, or more labels"
        )
    found: Any = NearestNeighbors(n_neighbors=min(k + 1, len(x))).fit(x)
    asked = np.asarray(query)
    parts = [
        found.kneighbors(asked[i : i + AT_ONCE].astype(np.float64))
        for i in range(0, max(1, len(asked)), AT_ONCE)
    ]
    distance, place = (np.concatenate(part) for part in zip(*parts, strict=True))
    # One more than wanted was asked for: the sample itself, or else the farthest, goes last and is cut off.
    itself = place == np.asarray(own)[:, None]
    order = np.argsort(itself, axis=1, kind="stable")[:, :k]
    itself, place, distance = (np.take_along_axis(part, order, 1) for part in (itself, place, distance))
    return np.where(itself, -1, place), np.where(itself, np.inf, distance)


def nearest_trusted(
    embedding: ArrayLike, noisy_label: ArrayLike, suspect: ArrayLike, *, k: int = 10
) -> tuple[NDArray[np.int64], Floats]:
    """Return numbers and distances of the k nearest others that have a label and are not suspect, (N, K).

    Nearest first; −1 and infinity where there are fewer. Parameters and errors as in `neighbour_prior`.
    """
    x, label = np.asarray(embedding), np.asarray(noisy_label, np.int64)
    doubted = np.asarray(suspect, bool)
    if x.ndim != 2 or not len(x) == len(label) == len(doubted):
        raise ValueError(f"embedding {x.shape}, noisy_label {label.shape} and suspect {doubted.shape} differ")
    if k < 1:
        invalid("k", k, "at least 1")
    reference = np.flatnonzero(~doubted & (label >= 0))
    place = np.full(len(x), -1)
    place[reference] = np.arange(len(reference))
    found, distance = nearest(x[reference], x, place, k)
    return np.where(found >= 0, reference[found], -1), distance


def vote_shares(
    neighbours: NDArray[np.int64], distance: Floats, noisy_label: NDArray[np.int64], n_classes: int
) -> Floats:
    """Return each class's share of the neighbours' votes, by 1 / distance, (N, C); without any, all alike.

    Parameters as in `vote`.
    """
    weight = np.where(neighbours >= 0, 1.0 / np.maximum(distance, 1e-6 * _scale(distance)), 0.0)  # (N, K)
    u = np.zeros((len(neighbours), n_classes))
    row = np.repeat(np.arange(len(neighbours)), neighbours.shape[1])
    seen = np.where(neighbours >= 0, noisy_label[np.maximum(neighbours, 0)], 0)
    np.add.at(u, (row, seen.ravel()), weight.ravel())
    u[u.sum(1) <= 0] = 1.0
    shares: Floats = u / u.sum(1, keepdims=True)
    return shares


def vote(
    neighbours: ArrayLike, distance: ArrayLike, noisy_label: ArrayLike, suspect: ArrayLike, n_classes: int, *,
    gamma: float = 0.9, delta: float = 0.8,
) -> Prior:  # fmt: skip
    """Read the prior off neighbours that are known already: each votes for its label by 1 / distance.

    Parameters
    ----------
    neighbours, distance : array, shape (N, K)
        From `nearest_trusted`, or their first columns: fewer neighbours.
    noisy_label, suspect, n_classes, gamma, delta
        As in `neighbour_prior`.
    """
    number, far = np.asarray(neighbours, np.int64), np.asarray(distance, np.float64)
    label, doubted = np.asarray(noisy_label, np.int64), np.asarray(suspect, bool)
    if number.ndim != 2 or number.shape != far.shape or not len(number) == len(label) == len(doubted):
        raise ValueError(
            f"neighbours {number.shape}, distance {far.shape}, noisy_label {label.shape} and suspect "
            f"{doubted.shape} differ"
        )
    check_labels(label, n_classes)
    for name, value in (("gamma", gamma), ("delta", delta)):
        if not 0 < value <= 1:
            invalid(name, value, "above 0 and at most 1")
    u = vote_shares(number, far, label, n_classes)
    alone = np.flatnonzero((number < 0).all(1) & (label >= 0))
    # The only reference sample has no neighbour but itself: then its own label.
    u[alone] = np.eye(n_classes)[label[alone]]
    prior, case = candidates(u, gamma=gamma, delta=delta)
    return Prior(prior, case, number, doubted)


def _scale(distance: Floats) -> float:
    finite = distance[np.isfinite(distance)]
    return float(finite.mean()) if len(finite) and finite.mean() > 0 else 1.0


def candidates(u: ArrayLike, *, gamma: float = 0.9, delta: float = 0.8) -> tuple[Floats, NDArray[np.str_]]:
    """Turn the neighbours' label distribution into candidates.

    Parameters
    ----------
    u : array, shape (N, C)
        Rows sum to 1.
    gamma, delta : float
        γ and δ.

    Returns
    -------
    weight : ndarray, shape (N, C)
        certain: one-hot; dominant: the two largest of u, renormalised; uncertain: u. Rows sum to 1.
    case : ndarray of str, shape (N,)
        One of `CASES`.
    """
    u = np.asarray(u, np.float64)
    order = np.argsort(-u, axis=1, kind="stable")
    top = np.take_along_axis(u, order[:, :2], 1)
    case = np.select([top[:, 0] >= gamma, top.sum(1) >= delta], [0, 1], default=2)
    rank = np.argsort(order, axis=1, kind="stable")
    kept = np.where(rank < np.array([1, 2, u.shape[1]])[case][:, None], u, 0.0)
    return kept / kept.sum(1, keepdims=True), np.array(CASES)[case]


def update_prior(weight: ArrayLike, answer: ArrayLike, rounds: int) -> Floats:
    """Move the prior towards an answer of the reverse chain: the dynamic prior.

    Where the answer c is a candidate, w_c ← w_c + (1 − w_c) / J, and all are renormalised; an answer that is
    none changes nothing, so a one-hot prior stays as it is.

    Parameters
    ----------
    weight : array, shape (…, C)
        Rows sum to 1.
    answer : array of int, shape (…)
        The predicted class of each row.
    rounds : int
        J, how many answers a row gets in all.

    Returns
    -------
    ndarray, shape (…, C)
        Rows sum to 1.
    """
    w, place = np.array(weight, np.float64), np.asarray(answer, np.int64)[..., None]
    if rounds < 1:
        invalid("rounds", rounds, "at least 1")
    own = np.take_along_axis(w, place, -1)
    np.put_along_axis(w, place, np.where(own > 0, own + (1 - own) / rounds, own), -1)
    result: Floats = w / w.sum(-1, keepdims=True)
    return result

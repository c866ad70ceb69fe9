"""What the observed labels themselves say: how many are wrong, which are confused, and whom to believe.

No setting that is fixed in advance holds on all data: in one text space neighbours share a class, in another
they do not; one half of the labels are wrong, or none. So the spaces compete, and what SiDyP makes of them
competes with its first stage, by how well each explains observed labels that it has not seen (all of this is
ours; the published method, arXiv 2505.19675, looks for neighbours in one space and always refines):

- `nlkit.noise.estimating`: how many labels are wrong, and which are confused (T), by the neighbours' votes.
- `mixture_weights`: how much each of several predictions counts, by the likelihood of held-out labels.
- `pool_exponents`: how far each stage's prediction is believed, down to the first stage alone.
- `Neighbourhood`: trusted texts in three spaces, whose votes are mixed by these weights.

A prediction u of the true label explains an observed one by P(ỹ | x) = Σ_y u(y) T[y, ỹ]. No true label is
read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from nlkit._util import invalid, unit_rows
from nlkit.methods.sidyp.prior import nearest, vote_shares

__all__ = [
    "SPACES",
    "Neighbourhood",
    "likelihood",
    "mixture_weights",
    "observed_posterior",
    "pool_exponents",
    "pooled",
    "unmixed",
]

Floats = NDArray[np.float64]

SPACES = ("text", "learned", "both")
"""The pre-trained encoder's space, that of the branches' early embeddings, and both side by side."""

SMOOTHING = 0.05
"""Mass of a vote that is spread over all classes: K neighbours cannot exclude one."""

POOLED = 0.01
"""The same, of each part of a logarithmic pool, which a zero would end."""

MOST_EVIDENCE, HELD = 50, 8.0
"""Labels that count for a pool's exponents, and how hard these are held to their usual values."""

SAME_TEXT = 2e-3
"""Distance in text space, of unit vectors in half precision, up to which two texts are one."""


def observed_posterior(u: ArrayLike, noisy_label: ArrayLike, transition: ArrayLike) -> Floats:
    """Return P(y | x, ỹ) ∝ u(y) T[y, ỹ], shape (N, C), rows sum to 1; u itself where the label is missing.

    The observed label stays possible, however few neighbours share it.
    """
    p: Floats = np.array(u, np.float64)
    label = np.asarray(noisy_label, np.int64)
    known = np.flatnonzero(label >= 0)
    p[known, label[known]] += SMOOTHING / p.shape[1]
    p[known] *= np.asarray(transition, np.float64)[:, label[known]].T
    p /= p.sum(1, keepdims=True)
    return p


def likelihood(u: ArrayLike, noisy_label: ArrayLike, transition: ArrayLike) -> Floats:
    """Return how probable predictions of the true label make the observed ones.

    Parameters
    ----------
    u : array, shape (J, N, C)
        J predictions; rows sum to 1. They are smoothed by `SMOOTHING`.
    noisy_label : array of int, shape (N,)
        Observed labels; −1 is left out.
    transition : array, shape (C, C)
        T; the identity for predictions of the observed label.

    Returns
    -------
    ndarray, shape (J, n)
        Of the n labels that are not missing.
    """
    p, label = np.asarray(u, np.float64), np.asarray(noisy_label, np.int64)
    known = np.flatnonzero(label >= 0)
    smooth = (1 - SMOOTHING) * p[:, known] + SMOOTHING / p.shape[2]
    found: Floats = np.take_along_axis(smooth @ np.asarray(transition), label[None, known, None], 2)[..., 0]
    return found


def unmixed(p_observed: ArrayLike, transition: ArrayLike) -> Floats:
    """Return the u(y) whose Σ_y u(y) T[y, ỹ] comes near predictions of the observed label.

    By ten steps of Richardson and Lucy, which keep u a distribution.

    Parameters
    ----------
    p_observed : array, shape (N, C)
        P(ỹ | x); rows sum to 1.
    transition : array, shape (C, C)
        T.

    Returns
    -------
    ndarray, shape (N, C)
        Rows sum to 1.
    """
    p, T = np.asarray(p_observed, np.float64), np.asarray(transition, np.float64)
    u: Floats = p.copy()
    for _ in range(10):
        u *= (p / np.maximum(u @ T, 1e-12)) @ T.T
        u /= u.sum(1, keepdims=True)
    return u


def mixture_weights(probability: ArrayLike, prior: ArrayLike) -> Floats:
    """Weigh J predictions by how well their mixture explains labels that none of them has seen.

    The weights of largest posterior probability under a Dirichlet prior, by expectation-maximisation.

    Parameters
    ----------
    probability : array, shape (J, n)
        The probability that each prediction gives each of n observed labels.
    prior : array, shape (J,)
        Labels that each prediction is taken to have explained already.

    Returns
    -------
    ndarray, shape (J,)
        Sums to 1.
    """
    p, start = np.asarray(probability, np.float64) + 1e-6, np.asarray(prior, np.float64)
    weight: Floats = start / start.sum()
    for _ in range(100):
        share = weight[:, None] * p
        weight = (share / share.sum(0)).sum(1) + start
        weight = weight / weight.sum()
    return weight


def pooled(u: ArrayLike, exponent: ArrayLike) -> Floats:
    """Return the logarithmic pool ∝ Π_j u_j^{a_j} of J predictions (J, N, C), smoothed; rows sum to 1."""
    p = np.asarray(u, np.float64)
    weight, smooth = np.asarray(exponent, np.float64), (1 - POOLED) * p + POOLED / p.shape[2]
    log_p = np.einsum("j,jnc->nc", weight, np.log(smooth))
    found: Floats = np.exp(log_p - log_p.max(1, keepdims=True))
    found /= found.sum(1, keepdims=True)
    return found


def pool_exponents(u: ArrayLike, noisy_label: ArrayLike, transition: ArrayLike, usual: ArrayLike) -> Floats:
    """Return the exponents with which a logarithmic pool explains labels that none of its parts has seen.

    A prediction that is too sure of itself gets a small exponent, which a linear mixture cannot do. What is
    maximised is the likelihood through T less the squared distance from `usual`. Labels beyond
    `MOST_EVIDENCE` count for no more than that many: where mistakes are systematic, a model that has learnt
    them explains them best, and evidence from noisy labels alone must not decide everything.

    Parameters
    ----------
    u : array, shape (J, N, C)
        Predictions of the true label; rows sum to 1.
    noisy_label : array of int, shape (N,)
        Observed labels; −1 is left out.
    transition : array, shape (C, C)
        T.
    usual : array, shape (J,)
        The exponents where there is no evidence.

    Returns
    -------
    ndarray, shape (J,)
        From 0 to 3.
    """
    from scipy.optimize import minimize

    p, label, start = np.asarray(u), np.asarray(noisy_label, np.int64), np.asarray(usual, np.float64)
    known = np.flatnonzero(label >= 0)
    p, label = p[:, known], label[known]
    evidence = min(len(label), MOST_EVIDENCE)

    def cost(exponent: Floats) -> float:
        away = HELD * float(((exponent - start) ** 2).sum())
        if not evidence:
            return away
        seen = likelihood(pooled(p, exponent)[None], label, transition)
        return away - evidence * float(np.log(seen).mean())

    found: Floats = minimize(cost, start, method="L-BFGS-B", bounds=[(0.0, 3.0)] * len(start)).x
    return found


class Neighbourhood(nn.Module):
    """Trusted texts in several spaces, and how much the vote of their nearest counts in each.

    Parameters
    ----------
    text : array, shape (R, D')
        Text embeddings of R trusted texts.
    learned : array, shape (M, R, D)
        Early sentence embeddings of M branches.
    label : array of int, shape (R,)
        Their observed labels, none missing.
    n_classes : int
        C.
    k : int
        K: each space votes once with K and once with 2 K neighbours.
    space : str
        One of `SPACES`, or "auto": all of them.

    Attributes
    ----------
    voters : list of tuple (str, int)
        Space and number of neighbours of each of the J votes.
    weight : Tensor, shape (J,)
        Sums to 1; all alike before `weigh`.
    log_likelihood : Tensor, shape (J,)
        Mean over the labels that `weigh` saw; NaN before.
    """

    def __init__(
        self, text: ArrayLike, learned: ArrayLike, label: ArrayLike, n_classes: int, *, k: int = 10,
        space: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__()
        self.text: Tensor
        self.learned: Tensor
        self.label: Tensor
        self.weight: Tensor
        self.log_likelihood: Tensor
        if space != "auto" and space not in SPACES:
            invalid("space", space, f"'auto' or one of {', '.join(SPACES)}")
        self.n_classes = n_classes
        self.voters = [(name, n) for name in (SPACES if space == "auto" else (space,)) for n in (k, 2 * k)]
        # Half precision: a saved model holds one row for each trusted text.
        for name, part in _in_spaces(text, learned).items():
            if name != "both":
                self.register_buffer(name, torch.from_numpy(part.astype(np.float16)))
        self.register_buffer("label", torch.from_numpy(np.asarray(label, np.int64)))
        self.register_buffer("weight", torch.full((len(self.voters),), 1 / len(self.voters)).double())
        self.register_buffer("log_likelihood", torch.full((len(self.voters),), torch.nan).double())

    def votes(self, text: ArrayLike, learned: ArrayLike) -> Floats:
        """Return what the nearest trusted texts say of n others, shape (J, n, C), rows sum to 1.

        A trusted text is no neighbour of itself, nor of one with the same words.
        """
        reference: dict[str, Any] = {
            name: getattr(self, name).float().cpu().numpy() for name in ("text", "learned")
        }
        reference["both"] = np.concatenate([reference["text"], reference["learned"]], 1) / np.sqrt(2)
        query, label = _in_spaces(text, learned), self.label.cpu().numpy()
        own, far = nearest(reference["text"], query["text"], np.full(len(query["text"]), -1), 1)
        own = np.where(far < SAME_TEXT, own, -1)[:, 0]
        most = max(number for _, number in self.voters)
        found = {
            name: nearest(reference[name], query[name], own, most)
            for name in dict.fromkeys(name for name, _ in self.voters)
        }
        shares = []
        for name, number in self.voters:
            near, distance = found[name]
            shares.append(vote_shares(near[:, :number], distance[:, :number], label, self.n_classes))
        return np.stack(shares)

    def mixed(self, votes: Floats) -> Floats:
        """Return the mixture of votes (J, n, C), shape (n, C), rows sum to 1."""
        u: Floats = np.einsum("j,jnc->nc", self.weight.cpu().numpy(), votes)
        return u

    def weigh(self, votes: Floats, noisy_label: ArrayLike, transition: Floats) -> None:
        """Set the weights by votes (J, n, C) on n texts whose labels nothing here has seen; −1: left out."""
        found = likelihood(votes, noisy_label, transition)
        self.weight = torch.from_numpy(mixture_weights(found, np.ones(len(self.voters))))
        if found.shape[1]:
            self.log_likelihood = torch.from_numpy(np.log(found).mean(1))

    def table(self) -> pd.DataFrame:
        """Return one row a vote: space, neighbours, log_likelihood (mean of held-out labels) and weight."""
        return pd.DataFrame(self.voters, columns=["space", "neighbours"]).assign(
            log_likelihood=self.log_likelihood.cpu().numpy(),
            weight=self.weight.cpu().numpy(),
        )


def _in_spaces(text: ArrayLike, learned: ArrayLike) -> Mapping[str, NDArray[np.float32]]:
    """Return n texts in each space, rows of length 1; branches are put side by side."""
    x = unit_rows(np.asarray(text, np.float32))
    z = unit_rows(np.asarray(learned, np.float32))
    side_by_side = np.concatenate(list(z), -1) / np.sqrt(len(z))
    return {"text": x, "learned": side_by_side, "both": np.concatenate([x, side_by_side], 1) / np.sqrt(2)}

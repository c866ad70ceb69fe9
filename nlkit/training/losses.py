"""Losses for learning from noisy labels; each takes logits (B, C) and returns one loss a sample, shape (B,).

Targets are either class numbers (B,) or distributions (B, C) whose rows sum to 1.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's usual name
from torch import Tensor

from nlkit.models.device import moved

__all__ = [
    "co_regularisation",
    "cross_entropy",
    "elr_penalty",
    "embmix",
    "forward_cross_entropy",
    "generalised_cross_entropy",
    "reverse_cross_entropy",
    "sharpen",
    "symmetric_cross_entropy",
    "symmetric_kl",
]


def cross_entropy(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return −Σ_c q_c log p_c for class numbers or distributions q."""
    return F.cross_entropy(logits, target, reduction="none", label_smoothing=label_smoothing)


def co_regularisation(logits: Tensor) -> Tensor:
    """Return (1/M) Σ_m KL(p̄ ‖ p_m), how far M branches are from their mean p̄ = (1/M) Σ_m p_m.

    After NPC's and DyGen's co-regularised branches (as in arXiv 2505.19675). 0 for one branch.

    Parameters
    ----------
    logits : Tensor, shape (M, B, C)
        Of M branches.

    Returns
    -------
    Tensor, shape (B,)
    """
    log_p = logits.log_softmax(-1)
    log_mean = log_p.logsumexp(0) - math.log(len(logits))
    return (log_mean.exp() * (log_mean - log_p)).sum(-1).mean(0)


def reverse_cross_entropy(logits: Tensor, target: Tensor, *, log_zero: float = -4.0) -> Tensor:
    """Return −Σ_c p_c log q_c, with log 0 := `log_zero` (A < 0).

    Its gradient stays bounded when the label is wrong, which is why it is used where labels are doubtful.
    For a one-hot q it equals −A (1 − p_q). After "Symmetric Cross Entropy" (ICCV 2019).
    """
    p = logits.softmax(-1)
    q = F.one_hot(target, logits.shape[-1]).to(p.dtype) if target.dim() == 1 else target
    return -(p * q.clamp(min=math.exp(log_zero)).log()).sum(-1)


def symmetric_cross_entropy(
    logits: Tensor, target: Tensor, *, alpha: float = 0.1, beta: float = 1.0, log_zero: float = -4.0
) -> Tensor:
    """Return α · CE + β · reversed CE (ICCV 2019)."""
    reverse = reverse_cross_entropy(logits, target, log_zero=log_zero)
    return alpha * cross_entropy(logits, target) + beta * reverse


def generalised_cross_entropy(logits: Tensor, target: Tensor, *, q: float = 0.7) -> Tensor:
    """Return (1 − p_y^q) / q: CE for q → 0, mean absolute error for q = 1 (NeurIPS 2018)."""
    p = logits.softmax(-1).gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return (1.0 - p.clamp(min=1e-7) ** q) / q


def elr_penalty(logits: Tensor, memory: Tensor) -> Tensor:
    """Return log(1 − ⟨p, t⟩), which early-learning regularisation adds to CE (NeurIPS 2020).

    `memory` t, shape (B, C), is a moving average of each sample's earlier predictions, without gradient.
    """
    agreement = (logits.softmax(-1) * memory).sum(-1)
    return torch.log1p(-agreement.clamp(max=1 - 1e-4))


def forward_cross_entropy(logits: Tensor, target: Tensor, transition: Tensor) -> Tensor:
    """Return −log Σ_y p(y) T[y, ỹ] of observed labels ỹ (forward correction; Patrini et al., CVPR 2017).

    `transition` T, shape (C, C), is P(ỹ | y): rows, the true classes, sum to 1.
    """
    return -(logits.log_softmax(-1) + transition.clamp(min=1e-12).log().T[target]).logsumexp(-1)


def symmetric_kl(logits: Tensor, other: Tensor) -> Tensor:
    """Return KL(p ‖ q) + KL(q ‖ p) over the last axis, of two predictions' logits."""
    log_p, log_q = logits.log_softmax(-1), other.log_softmax(-1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


def sharpen(probability: Tensor, temperature: float) -> Tensor:
    """Return p^(1/T), renormalised over the last axis: T < 1 makes a distribution more decided."""
    return F.softmax(probability.clamp(min=1e-12).log() / temperature, dim=-1)


def embmix(
    embedding: Tensor, target: Tensor, partner: Tensor, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mix sentence embeddings and targets of samples with those of their partners (EmbMix).

    λ ~ Beta(α, α), λ ← max(λ, 1 − λ), so that each mixture stays nearer to its own sample.

    Parameters
    ----------
    embedding : Tensor, shape (B, D)
        Sentence embeddings, with gradient; of K networks (B, K, D).
    target : Tensor, shape (B, C)
        Distributions, rows sum to 1; of K networks (B, K, C).
    partner : Tensor of int64, shape (B,)
        Position of each sample's partner in the batch.
    alpha : float
        α > 0.
    rng : numpy Generator
        Draws λ, one a sample.

    Returns
    -------
    mixed embeddings and mixed targets, in these shapes
    """
    draw = rng.beta(alpha, alpha, size=(len(embedding), *[1] * (embedding.ndim - 1)))
    weight = moved(torch.from_numpy(np.maximum(draw, 1 - draw)).to(embedding.dtype), embedding.device)
    mixed = weight * embedding + (1 - weight) * embedding[partner]
    weight = weight.to(target.dtype)
    return mixed, weight * target + (1 - weight) * target[partner]

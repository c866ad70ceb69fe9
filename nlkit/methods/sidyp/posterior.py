"""What a trained denoiser says: its condition, its answers to observed labels, and the sum over them.

After the published description of SiDyP (arXiv 2505.19675). All samples, branches and observed labels are
asked at once; `nlkit.methods.sidyp.plain` says the same in loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.diffusion import Denoiser, alpha_bar, p_sample_loop
from nlkit.models.device import one_thread

__all__ = ["answer_probabilities", "conditions", "new_denoiser", "posterior", "refined"]

OBSERVED_MASS = 0.99
"""The sum over observed labels leaves out the least likely ones of a text, once the others hold this much."""

CHUNK = 4096
"""Most samples in one reverse chain: bounds the memory."""

Probabilities = NDArray[np.float32]


def conditions(trajectory: ArrayLike, text_embedding: ArrayLike) -> Tensor:
    """Return what the denoiser is told of each text: a width that does not depend on the number of epochs.

    Parameters
    ----------
    trajectory : array, shape (M, S, N, D)
        Sentence embeddings after S epochs, in order.
    text_embedding : array, shape (N, D')
        Of the pre-trained encoder.

    Returns
    -------
    Tensor, shape (M, N, 2 D + D')
        The trajectory's mean and its drift (last minus first), of embeddings at unit length, and the text
        embedding at unit length; each part times the root of its width, so that entries are about 1.
    """
    z = np.asarray(trajectory)
    text = nn.functional.normalize(torch.as_tensor(np.asarray(text_embedding)).float(), dim=-1)
    width, size = z.shape[-1], text.shape[-1]
    found = torch.empty(len(z), len(text), 2 * width + size)
    for part, branch in zip(found, z, strict=True):  # all at once would take several times the memory
        states = nn.functional.normalize(torch.as_tensor(branch).float(), dim=-1)
        part[:, :width] = math.sqrt(width) * states.mean(0)
        part[:, width:-size] = math.sqrt(width) * (states[-1] - states[0])
        part[:, -size:] = math.sqrt(size) * text
    return found


def new_denoiser(branches: int, n_classes: int, condition_size: int, config: SiDyPConfig) -> Denoiser:
    """Return an untrained denoiser with the config's sizes."""
    return Denoiser(
        branches, n_classes, condition_size, hidden_size=config.hidden_size, blocks=config.denoiser_blocks,
        dropout=config.diffusion_dropout, scale=config.simplex_scale,
    )  # fmt: skip


def _chunks(n: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]


@torch.no_grad()
@one_thread()
def answer_probabilities(
    denoiser: Denoiser, encoded: Tensor, observed: Tensor, steps: int, generator: torch.Generator, *,
    chains: int = 1, shared_noise: bool = False,
) -> Tensor:  # fmt: skip
    """Return P_diff,m(y | ỹ, x), shape (M, B, C): the reverse chain's final probabilities, mean over chains.

    Parameters
    ----------
    denoiser : Denoiser
        In evaluation mode.
    encoded : Tensor, shape (M, B, H)
        What is known of the texts, by `Denoiser.encode_condition`.
    observed : Tensor of int64, shape (B,)
        ỹ of each sample; −1 is missing.
    steps : int
        T' of the chains.
    generator : torch.Generator
        Draws all noise.
    chains : int
        How many chains are averaged.
    shared_noise : bool
        As in `nlkit.methods.sidyp.diffusion.p_sample_loop`.
    """
    levels = alpha_bar(steps).to(encoded.device)
    M, B, _ = encoded.shape
    result = encoded.new_zeros(M, B, denoiser.out.weight.shape[-1])
    for _ in range(chains):
        # Every chunk starts from the same random state where noise is shared, so that chunks do not matter.
        state = generator.get_state()
        for part in _chunks(B):
            if shared_noise:
                generator.set_state(state)
            result[:, part] += p_sample_loop(
                denoiser, observed[part].expand(M, -1), encoded[:, part], levels, generator=generator,
                shared_noise=shared_noise,
            )  # fmt: skip
    return result / chains


@torch.no_grad()
@one_thread()
def posterior(
    denoiser: Denoiser, condition: Tensor, p_observed: Tensor, config: SiDyPConfig, *,
    chains: int | None = None, mass: float = OBSERVED_MASS,
) -> Probabilities:  # fmt: skip
    """Return P(y | x) = (1/M) Σ_m Σ_ỹ P_diff,m(y | ỹ, x) P_clf,m(ỹ | x), shape (N, C), rows sum to 1.

    Parameters
    ----------
    denoiser : Denoiser
        In evaluation mode.
    condition : Tensor, shape (M, N, P)
    p_observed : Tensor, shape (M, N, C)
        P_clf,m(ỹ | x), the first stage's probabilities of observed labels; rows sum to 1.
    config : SiDyPConfig
        T', chains, and the seed of the noise.
    chains : int, optional
        Instead of the config's.
    mass : float
        How much of P_clf the observed labels that are summed over have to hold.

    Notes
    -----
    All texts see the same noise, so a text's prediction does not depend on which others are asked with it.
    """
    M, N, C = p_observed.shape
    # The likeliest observed labels of each text whose sum first reaches the mass; in all branches the same.
    order = p_observed.mean(0).argsort(dim=-1, descending=True, stable=True)
    sorted_p = p_observed.mean(0).gather(-1, order)
    before = sorted_p.cumsum(-1) - sorted_p
    wanted = torch.zeros(N, C, dtype=torch.bool, device=order.device).scatter(1, order, before < mass)
    sample, label = wanted.nonzero(as_tuple=True)
    share = p_observed * wanted
    # A branch may be sure of a label that the mean leaves out: it then has no part in the sum.
    share = share / share.sum(-1, keepdim=True).clamp(min=1e-12)
    encoded, result = denoiser.encode_condition(condition), condition.new_zeros(M, N, C)
    for part in _chunks(len(sample)):
        generator = torch.Generator(condition.device).manual_seed(config.seed)
        i, c = sample[part], label[part]
        p = answer_probabilities(
            denoiser, encoded[:, i], c, config.prediction_steps, generator, chains=chains or config.chains,
            shared_noise=True,
        )  # fmt: skip
        result.index_add_(1, i, p * share[:, i, c].unsqueeze(-1))
    mean: Any = result.mean(0)
    found: Probabilities = (mean / mean.sum(-1, keepdim=True)).cpu().numpy()
    return found


@torch.no_grad()
@one_thread()
def refined(
    denoiser: Denoiser, condition: Tensor, p_observed: Tensor, noisy_label: NDArray[np.int64],
    config: SiDyPConfig,
) -> Probabilities:  # fmt: skip
    """Return P(y | x, ỹ), shape (N, C), rows sum to 1: the branches' mean answer to the observed label.

    Parameters
    ----------
    denoiser, condition, p_observed, config
        As in `posterior`.
    noisy_label : array of int, shape (N,)
        ỹ; a text without one (−1) gets P(y | x).
    """
    result = np.empty((len(noisy_label), p_observed.shape[-1]), np.float32)
    known, missing = np.flatnonzero(noisy_label >= 0), np.flatnonzero(noisy_label < 0)
    if len(known):
        generator = torch.Generator(condition.device).manual_seed(config.seed)
        label = torch.from_numpy(noisy_label[known]).to(condition.device)
        p = answer_probabilities(
            denoiser, denoiser.encode_condition(condition[:, known]), label, config.prediction_steps,
            generator, chains=config.chains, shared_noise=True,
        ).mean(0)  # fmt: skip
        result[known] = (p / p.sum(-1, keepdim=True)).cpu().numpy()
    if len(missing):
        result[missing] = posterior(denoiser, condition[:, missing], p_observed[:, missing], config)
    return result

"""Simplex diffusion of labels: a denoiser that turns a noised label back into the true one, step by step.

After the published description of SiDyP (arXiv 2505.19675). A label c is the vector k · (2 · onehot(c) − 1),
a corner of a simplex in C dimensions. Forward, Gaussian noise is mixed in by a cosine schedule. Backward, the
denoiser sees where the label is, how much noise there is, the observed label and what is known of the text,
and gives class logits; the next, less noisy vector is drawn around the corner of the likeliest class.

M branches are trained and sampled as one batched computation: every tensor has a leading axis M, and each
branch has weights of its own. `nlkit.methods.sidyp.plain` says the forward and the reverse process in loops.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nlkit._util import invalid

__all__ = [
    "BranchLinear",
    "Denoiser",
    "alpha_bar",
    "p_sample",
    "p_sample_loop",
    "q_sample",
    "survival",
    "to_simplex",
]


def alpha_bar(steps: int, offset: float = 0.008) -> Tensor:
    """Return ᾱ_0 … ᾱ_T of the cosine schedule, shape (T + 1,), from 1 down to almost 0.

    After "Improved Denoising Diffusion Probabilistic Models" (ICML 2021); β is at most 0.999 there, and so it
    is here.

    Parameters
    ----------
    steps : int
        T.
    offset : float
        s, which keeps the first steps from being too small.
    """
    if steps < 1:
        invalid("steps", steps, "at least 1")
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    f = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, 0)]).float()


def to_simplex(label: Tensor, n_classes: int, scale: float = 5.0) -> Tensor:
    """Return k · (2 · onehot(c) − 1), shape (…, C), of classes c, shape (…); zeros for −1 (missing)."""
    known = (label >= 0).unsqueeze(-1)
    one_hot = nn.functional.one_hot(label.clamp(min=0), n_classes).to(torch.get_default_dtype())
    return torch.where(known, scale * (2 * one_hot - 1), torch.zeros_like(one_hot))


def q_sample(start: Tensor, level: Tensor, noise: Tensor, scale: float = 5.0) -> Tensor:
    """Return √ᾱ s_0 + √(1 − ᾱ) k ε.

    Parameters
    ----------
    start : Tensor, shape (…, C)
        s_0, as from `to_simplex`.
    level : Tensor, shape (…)
        ᾱ_t of each sample.
    noise : Tensor, shape (…, C)
        ε, standard normal.
    scale : float
        k.
    """
    kept = level.unsqueeze(-1)
    return kept.sqrt() * start + (1 - kept).sqrt() * scale * noise


def survival(level: Tensor, n_classes: int) -> Tensor:
    """Return how probable it is that the largest entry of a noised label is still its class.

    The class's entry leads each other one by 2 k √ᾱ before noise of size k √(1 − ᾱ) comes to all of them, so
    k makes no difference. With r = √(ᾱ / (1 − ᾱ)) and Φ the standard normal distribution function it is the
    mean of Φ(z + 2 r) to the power C − 1 over standard normal z.

    Parameters
    ----------
    level : Tensor, shape (…)
        ᾱ_t, from 0 to 1.
    n_classes : int
        C.

    Returns
    -------
    Tensor, shape (…)
        From 1 / C at ᾱ = 0 to 1 at ᾱ = 1.
    """
    # The trapezoidal rule is exact enough on a bell curve.
    z = torch.linspace(-8, 8, 801, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2)
    kept = level.double().unsqueeze(-1)
    ahead = 2 * (kept / (1 - kept).clamp(min=1e-12)).sqrt()
    below = torch.special.ndtr(z + ahead) ** (n_classes - 1)
    kept_share: Tensor = ((below * density).sum(-1) / density.sum()).to(level.dtype)
    return kept_share


class BranchLinear(nn.Module):
    """M linear maps at once: (M, B, I) -> (M, B, O), each branch with weights of its own."""

    def __init__(self, branches: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)  # as nn.Linear
        self.weight = nn.Parameter(torch.empty(branches, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(branches, 1, outputs).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b."""
        return x @ self.weight if self.bias is None else torch.baddbmm(self.bias, x, self.weight)


class Denoiser(nn.Module):
    """Class logits from a noised label, the time, the observed label and what is known of the text.

    Parameters
    ----------
    branches, n_classes : int
        M and C.
    condition_size : int
        Width of the condition; it must not depend on the number of epochs, or the denoiser grows with it.
    hidden_size : int
        H, the width inside.
    blocks : int
        Residual blocks.
    dropout : float
        On the condition.
    scale : float
        k, by which labels come in multiplied.

    Notes
    -----
    Time is ᾱ_t itself, through sines and cosines of octaves of it, so that a model trained with T steps can
    be sampled with T' of them.
    """

    FREQUENCIES = 8

    def __init__(
        self, branches: int, n_classes: int, condition_size: int, *, hidden_size: int = 128, blocks: int = 2,
        dropout: float = 0.1, scale: float = 5.0,
    ) -> None:  # fmt: skip
        super().__init__()
        M, H = branches, hidden_size
        self.scale = scale
        self.noised = BranchLinear(M, n_classes, H)
        self.observed = BranchLinear(M, n_classes, H, bias=False)
        self.time = BranchLinear(M, 2 * self.FREQUENCIES, H, bias=False)
        self.condition = BranchLinear(M, condition_size, H, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(H, elementwise_affine=False) for _ in range(blocks))
        self.widen = nn.ModuleList(BranchLinear(M, H, 2 * H) for _ in range(blocks))
        self.narrow = nn.ModuleList(BranchLinear(M, 2 * H, H) for _ in range(blocks))
        self.out = BranchLinear(M, H, n_classes)

    def forward(self, noised: Tensor, level: Tensor, observed: Tensor, condition: Tensor) -> Tensor:
        """Return class logits, shape (M, B, C).

        Parameters
        ----------
        noised : Tensor, shape (M, B, C)
            s_t.
        level : Tensor, shape (M, B)
            ᾱ_t.
        observed : Tensor, shape (M, B, C)
            The corner of the observed label.
        condition : Tensor, shape (M, B, P)
            What is known of the text.
        """
        seen = self.observed(observed / self.scale) + self.encode_condition(condition)
        return self.denoise(noised, level, seen)

    def encode_condition(self, condition: Tensor) -> Tensor:
        """Return what the condition comes to, shape (M, B, H): the costly part, the same in all chains."""
        inside: Tensor = self.condition(self.dropout(condition))
        return inside

    def denoise(self, noised: Tensor, level: Tensor, seen: Tensor) -> Tensor:
        """Return class logits, shape (M, B, C), as `forward` does.

        `seen`, (M, B, H), is the sum of what the observed label and the condition come to.
        """
        octave = 2.0 ** torch.arange(self.FREQUENCIES, device=level.device, dtype=level.dtype)
        angle = level.unsqueeze(-1) * octave * math.pi / 2
        time = torch.cat([angle.sin(), angle.cos()], -1)
        h = self.noised(noised / self.scale) + self.time(time) + seen
        for norm, widen, narrow in zip(self.norms, self.widen, self.narrow, strict=True):
            h = h + narrow(nn.functional.gelu(widen(norm(h))))
        logits: Tensor = self.out(h)
        return logits


def p_sample(
    denoiser: Denoiser, state: Tensor, level: Tensor, less: Tensor, seen: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Make one step of the reverse process: s_{t−1} = √ᾱ_{t−1} ŝ + √(1 − ᾱ_{t−1}) k ε.

    Parameters
    ----------
    denoiser : Denoiser
    state : Tensor, shape (M, B, C)
        s_t.
    level, less : Tensor, shape ()
        ᾱ_t and ᾱ_{t−1}.
    seen : Tensor, shape (M, B, H)
        As in `Denoiser.denoise`.
    noise : Tensor, shape (M, B, C)
        ε.

    Returns
    -------
    probability : Tensor, shape (M, B, C)
        The denoiser's class probabilities; ŝ is the simplex vector of the likeliest class.
    state : Tensor, shape (M, B, C)
        s_{t−1}.
    """
    M, B, C = state.shape
    logits = denoiser.denoise(state, level.expand(M, B), seen)
    likeliest = to_simplex(logits.argmax(-1), C, denoiser.scale)
    return logits.softmax(-1), q_sample(likeliest, less.expand(M, B), noise, denoiser.scale)


@torch.no_grad()
def p_sample_loop(
    denoiser: Denoiser, observed: Tensor, encoded: Tensor, levels: Tensor, *,
    generator: torch.Generator | None = None, shared_noise: bool = False, trace: list[Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Run the reverse process of all samples and branches at once.

    Parameters
    ----------
    denoiser : Denoiser
        In evaluation mode.
    observed : Tensor of int, shape (M, B)
        Observed labels; −1 is missing.
    encoded : Tensor, shape (M, B, H)
        What is known of the texts, by `Denoiser.encode_condition`.
    levels : Tensor, shape (T' + 1,)
        ᾱ_0 = 1 … ᾱ_T' of the steps that are made (`alpha_bar`), walked from the last to the first.
    generator : torch.Generator, optional
        Draws all noise.
    shared_noise : bool
        Give all samples of a branch the same noise, so that none depends on which others are in the batch.
    trace : list, optional
        Gets the T' + 1 states of the chain, (M, B, C) each, as points of the simplex (their softmax): pure
        noise first, the class probabilities that are returned last. For drawing.

    Returns
    -------
    Tensor, shape (M, B, C)
        Class probabilities of the last step; rows sum to 1.
    """
    M, B = observed.shape
    classes, k = denoiser.out.weight.shape[-1], denoiser.scale

    def noise() -> Tensor:
        shape = (M, 1 if shared_noise else B, classes)
        return torch.randn(shape, generator=generator, device=encoded.device).expand(M, B, classes)

    seen = denoiser.observed(to_simplex(observed, classes, k) / k) + encoded
    state = k * noise()
    probability = torch.full((M, B, classes), 1 / classes, device=encoded.device)
    for t in range(len(levels) - 1, 0, -1):
        if trace is not None:
            trace.append(state.softmax(-1))
        probability, state = p_sample(denoiser, state, levels[t], levels[t - 1], seen, noise())
    if trace is not None:
        trace.append(probability)
    return probability

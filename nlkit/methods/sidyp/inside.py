"""What the denoiser of a fitted SiDyP does step by step, for drawing; nothing is learnt or decided here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlkit._util import invalid
from nlkit.data.checks import check_labels, class_numbers
from nlkit.methods.base import Method
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.diffusion import Denoiser, alpha_bar, p_sample_loop, q_sample, to_simplex
from nlkit.methods.sidyp.weighing import Seen
from nlkit.models.device import choose_device

__all__ = ["Inside"]

Probabilities = NDArray[np.float32]


class Inside(Method):
    """The part of `nlkit.SiDyP` that looks into its denoiser."""

    config: SiDyPConfig
    denoiser_: Denoiser

    def _encode(self, texts: Sequence[str]) -> Seen:
        raise NotImplementedError

    def chain(self, texts: Sequence[str], noisy_label: Sequence[int]) -> Probabilities:
        """Return the reverse chain of n texts step by step, for drawing.

        Parameters
        ----------
        texts : sequence of n strings
        noisy_label : sequence of n integers
            The observed labels that the denoiser is told; −1 is missing.

        Returns
        -------
        ndarray, shape (T' + 1, M, n, C)
            Points of the simplex (rows sum to 1): pure noise first, the chain's class probabilities last. One
            chain a branch; all texts see the same noise.
        """
        label, encoded = self._encode_with_labels(texts, noisy_label)
        steps: list[Tensor] = []
        place, denoiser = encoded.device, self.denoiser_.to(encoded.device)
        p_sample_loop(
            denoiser, label.expand(len(encoded), -1), encoded,
            alpha_bar(self.config.sampling_steps).to(place), shared_noise=True, trace=steps,
            generator=torch.Generator(place).manual_seed(self.config.seed),
        )  # fmt: skip
        return torch.stack(steps).cpu().numpy()

    @torch.no_grad()
    def denoised(
        self, texts: Sequence[str], noisy_label: Sequence[int], shown: Sequence[int], step: int
    ) -> Probabilities:
        """Return what the denoiser answers to a label that it is shown under noise: P(y | s_t, ỹ, x).

        One call of the denoiser, no chain; by choosing `shown` one sees what it believes, the noised label or
        the text.

        Parameters
        ----------
        texts : sequence of n strings
        noisy_label : sequence of n integers
            The observed labels ỹ that the denoiser is told; −1 is missing.
        shown : sequence of n integers
            The classes whose corners are noised: s_0. −1 is the middle, no class.
        step : int
            t, from 0 (no noise) to T, `diffusion_steps` (nothing but noise).

        Returns
        -------
        ndarray, shape (n, C)
            The branches' mean; rows sum to 1. The noise depends on the seed alone, and on the text's place.
        """
        observed, encoded = self._encode_with_labels(texts, noisy_label)
        label = class_numbers(list(shown), "shown")
        if len(label) != len(observed):
            raise ValueError(f"shown holds {len(label)} labels for {len(observed)} texts")
        n_classes = len(self.label_names_)
        if len(label) and not (label.min() >= -1 and label.max() < n_classes):
            invalid("shown", list(shown), f"classes from 0 to {n_classes - 1}, or -1")
        T, k, place = self.config.diffusion_steps, self.config.simplex_scale, encoded.device
        if not 0 <= step <= T:
            invalid("step", step, f"a whole number from 0 to {T}")
        level = alpha_bar(T)[step].expand(len(label)).to(place)
        generator = torch.Generator(place).manual_seed(self.config.seed)
        noise = torch.randn(len(label), n_classes, generator=generator, device=place)
        state = q_sample(to_simplex(torch.from_numpy(label).to(place), n_classes, k), level, noise, k)
        M, denoiser = len(encoded), self.denoiser_.to(place)
        seen = denoiser.observed(to_simplex(observed, n_classes, k).expand(M, -1, -1) / k) + encoded
        found = denoiser.denoise(state.expand(M, -1, -1), level.expand(M, -1), seen).softmax(-1).mean(0)
        answer: Probabilities = found.cpu().numpy()
        return answer

    @torch.no_grad()
    def _encode_with_labels(self, texts: Sequence[str], noisy_label: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return observed labels (n,), checked, and what the denoiser is told of the texts, (M, n, H)."""
        checked = self._checked(texts)
        label = class_numbers(list(noisy_label), "noisy_label")
        if len(label) != len(checked):
            raise ValueError(f"noisy_label holds {len(label)} labels for {len(checked)} texts")
        check_labels(label, len(self.label_names_))
        condition = self._encode(checked).condition.to(choose_device(self.config.device))
        place, denoiser = condition.device, self.denoiser_.to(condition.device)
        return torch.from_numpy(label).to(place), denoiser.encode_condition(condition)

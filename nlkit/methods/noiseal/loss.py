"""What each sample of NoiseAL learns.

CE on the clean set R, reversed CE on answered samples of the purified set P, EmbMix on the hard set H and on
P without an answer. After arXiv 2504.02901; what is ours by choice is a documented field of `NoiseALConfig`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nlkit.annotate.base import ABSTAINED
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.models.classifiers import Output
from nlkit.models.device import moved
from nlkit.models.saving import Tensors
from nlkit.training import losses

__all__ = ["CLEAN", "HARD", "IGNORED", "PURIFIED", "NoiseALLoss", "kinds"]

IGNORED, CLEAN, PURIFIED, HARD = 0, 1, 2, 3


def kinds(sets: ArrayLike, answer: ArrayLike) -> NDArray[np.int8]:
    """Return how each sample is learnt: `CLEAN`, `PURIFIED` or `HARD`.

    Parameters
    ----------
    sets : array of str, shape (N,)
        "R", "H" or "P".
    answer : array of int, shape (N,)
        The annotator's answers so far, −1 where there is none. An answer is kept for good, whatever set its
        sample is in later.
    """
    found = np.select(
        [np.asarray(answer) != ABSTAINED, np.asarray(sets) == "R"], [PURIFIED, CLEAN], default=HARD
    )
    return found.astype(np.int8)


class NoiseALLoss:
    """L = w_R L_R + w_P L_P + w_H L_H, each summed over its samples and divided by the batch size.

    Dividing by the batch and not by the set lets every sample weigh the same, however few its set has in a
    batch. The targets are set from outside, once an epoch.

    Parameters
    ----------
    n_samples, n_classes : int
        N and C.
    config : NoiseALConfig
        α of the mixture, log 0 of the reversed CE, weights.
    """

    def __init__(self, n_samples: int, n_classes: int, config: NoiseALConfig) -> None:
        self.config = config
        self.kind: NDArray[np.int8] = np.zeros(n_samples, np.int8)
        self.target: NDArray[np.float32] = np.zeros((n_samples, n_classes), np.float32)
        self._there: Tensor | None = None  # the targets where the models are, copied once an epoch

    def set_observed(self, noisy_label: NDArray[np.int64]) -> None:
        """Let every sample learn its observed label, shape (N,), by CE; without a label it learns nothing."""
        known = np.flatnonzero(noisy_label >= 0)
        self.kind[known] = CLEAN
        self.target[known, noisy_label[known]] = 1.0
        self._there = None

    def set_targets(
        self, sets: ArrayLike, noisy_label: NDArray[np.int64], answer: NDArray[np.int64],
        mean: NDArray[np.float64], left_out: NDArray[np.bool_] | bool = False,
        said: NDArray[np.float32] | None = None,
    ) -> None:  # fmt: skip
        """Set what every sample learns from the partition, the answers and the mean prediction.

        Parameters
        ----------
        sets, answer
            As in `kinds`.
        noisy_label : array of int, shape (N,)
            Observed labels: what R learns.
        mean : array, shape (N, C)
            p̄, the mean prediction of both models; sharpened it is the target of hard samples.
        left_out : array of bool, shape (N,)
            Which hard samples are learnt by nothing.
        said : array, shape (N, C), optional
            What the answers say, where that may be more than one label each.
        """
        one_hot = np.eye(mean.shape[1], dtype=np.float32)
        c, self.kind[:] = self.config, kinds(sets, answer)
        unlabelled = (noisy_label < 0) & (c.hard_loss == "gce")
        self.kind[(self.kind == HARD) & (left_out | unlabelled)] = IGNORED
        clean, answered = self.kind == CLEAN, self.kind == PURIFIED
        self.target[:] = losses.sharpen(torch.from_numpy(mean), c.temperature).numpy()
        self.target[clean] = one_hot[noisy_label[clean]]
        self.target[answered] = one_hot[answer[answered]] if said is None else said[answered]
        if c.hard_loss == "gce":
            self.target[self.kind == HARD] = one_hot[noisy_label[self.kind == HARD]]
        self._there = None

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return what every sample learns."""
        return {"kind": torch.from_numpy(self.kind), "target": torch.from_numpy(self.target)}, {}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.kind, self.target = tensors["kind"].numpy(), tensors["target"].numpy()
        self._there = None

    def __call__(
        self, name: str, model: Any, output: Output, index: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its three parts."""
        c, device = self.config, output.logits.device
        if self._there is None:
            self._there = torch.from_numpy(self.target).to(device)
        # Which samples are of which set is found on the CPU: the device would have to be waited for.
        kind, target = self.kind[index], self._there[moved(torch.from_numpy(index), device)]
        clean, purified, hard = (
            moved(torch.from_numpy(np.flatnonzero(kind == k)), device) for k in (CLEAN, PURIFIED, HARD)
        )
        zero = output.logits.sum() * 0.0  # keeps the graph where a batch holds none of a set
        l_r = l_p = l_h = zero
        if len(clean):
            l_r = losses.cross_entropy(output.logits[clean], target[clean]).sum()
        if len(purified):
            l_p = losses.reverse_cross_entropy(
                output.logits[purified], target[purified], log_zero=c.log_zero
            ).sum()
        if len(hard) and c.hard_loss == "gce":
            l_h = losses.generalised_cross_entropy(output.logits[hard], target[hard].argmax(-1)).sum()
        elif len(hard):
            # Partners come from all samples with a target: a hard sample next to a clean one learns from it.
            usable = np.flatnonzero(kind != IGNORED)
            partner = moved(torch.from_numpy(rng.choice(usable, len(index))), device)
            mixed, soft = losses.embmix(output.embedding, target, partner, c.mix_alpha, rng)
            l_h = losses.cross_entropy(model.classify(mixed[hard]), soft[hard]).sum()
        n = len(index)
        loss = (c.weight_clean * l_r + c.weight_purified * l_p + c.weight_hard * l_h) / n
        return loss, {"loss": loss, "loss_R": l_r / n, "loss_P": l_p / n, "loss_H": l_h / n}

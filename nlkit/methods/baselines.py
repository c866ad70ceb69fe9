"""Baselines: one classifier trained on the observed labels, with a loss that knows of noise or does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nlkit.data.observed import Observed
from nlkit.methods.learner import Learner, LearnerConfig
from nlkit.models.classifiers import Output
from nlkit.models.device import moved
from nlkit.models.saving import Tensors
from nlkit.training import losses

__all__ = ["LOSSES", "Baseline", "BaselineConfig"]

LOSSES = ("ce", "gce", "sce", "elr", "label_smoothing", "mixup")


@dataclass(frozen=True, kw_only=True)
class BaselineConfig(LearnerConfig):
    """Settings of `Baseline`; those of `LearnerConfig` come with it.

    Attributes
    ----------
    loss
        "ce", "gce", "sce", "elr", "label_smoothing" or "mixup" (on sentence embeddings).
    smoothing
        Share of the target spread over all classes by "label_smoothing".
    gce_q
        q of the generalised cross-entropy.
    sce_alpha, sce_beta
        Weights of CE and reversed CE in "sce".
    elr_weight, elr_memory
        λ of the penalty of "elr", and the momentum of its memory of predictions.
    mixup_alpha
        α of the Beta distribution of "mixup".
    """

    loss: str = "ce"
    smoothing: float = 0.1
    gce_q: float = 0.7
    sce_alpha: float = 0.1
    sce_beta: float = 1.0
    elr_weight: float = 3.0
    elr_memory: float = 0.7
    mixup_alpha: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choice("loss", LOSSES)
        for name in ("smoothing", "elr_memory"):
            self._number(name, low=0.0, high=1.0)
        self._number("gce_q", low=0.0, high=1.0, open_low=True)
        for name in ("sce_alpha", "sce_beta", "elr_weight"):
            self._number(name, low=0.0)
        self._number("mixup_alpha", low=0.0, open_low=True)


class BaselineLoss:
    """The loss named in the config, of N samples with class numbers as labels.

    Early-learning regularisation has a memory: the moving average of each sample's predictions.
    """

    def __init__(self, label: NDArray[np.int64], n_classes: int, config: BaselineConfig) -> None:
        self.label, self.n_classes, self.config = torch.from_numpy(label), n_classes, config
        self.memory = torch.zeros(len(label), n_classes)  # both go to where the model is

    def __call__(
        self, name: str, model: Any, output: Output, index: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss of a batch."""
        loss = self._per_sample(model, output, index, rng).mean()
        return loss, {"loss": loss}

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return the memory."""
        return {"memory": self.memory}, {}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take the memory back."""
        self.memory = tensors["memory"]

    def _per_sample(
        self, model: Any, output: Output, index: NDArray[np.int64], rng: np.random.Generator
    ) -> Tensor:
        c, logits = self.config, output.logits
        place = moved(torch.from_numpy(index), logits.device)
        self.label = self.label.to(logits.device)
        target = self.label[place]
        if c.loss == "gce":
            return losses.generalised_cross_entropy(logits, target, q=c.gce_q)
        if c.loss == "sce":
            return losses.symmetric_cross_entropy(logits, target, alpha=c.sce_alpha, beta=c.sce_beta)
        if c.loss == "label_smoothing":
            return losses.cross_entropy(logits, target, label_smoothing=c.smoothing)
        if c.loss == "elr":
            p, m = logits.detach().softmax(-1), c.elr_memory
            self.memory = self.memory.to(logits.device)
            self.memory[place] = m * self.memory[place] + (1 - m) * p
            penalty = losses.elr_penalty(logits, self.memory[place])
            return losses.cross_entropy(logits, target) + c.elr_weight * penalty
        if c.loss == "mixup":
            one_hot = nn.functional.one_hot(target, self.n_classes).to(logits.dtype)
            partner = moved(torch.from_numpy(rng.permutation(len(index))), logits.device)
            mixed, soft = losses.embmix(output.embedding, one_hot, partner, c.mixup_alpha, rng)
            return losses.cross_entropy(model.classify(mixed), soft)
        return losses.cross_entropy(logits, target)


class Baseline(Learner):
    """The strong classifier alone, trained on the observed labels.

    Parameters
    ----------
    loss : str
        "ce", "gce", "sce", "elr", "label_smoothing" or "mixup".
    encoder, profile, seed
        As in every method.
    **settings
        Any other field of `BaselineConfig`; ``selection="noisy_validation"`` keeps the best epoch by noisy
        validation labels instead of the last.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch.
    dynamics_ : dict of str to ndarray, shape (E, N, C)
        With ``record=True``: what the model predicted after each epoch for the training texts that have a
        ``noisy_label``, in their order.
    """

    config_class = BaselineConfig
    config: BaselineConfig

    def __init__(
        self, loss: str = "ce", encoder: str = "auto", profile: str = "class", seed: int = 0,
        **settings: Any,
    ) -> None:  # fmt: skip
        self._configure(loss=loss, encoder=encoder, profile=profile, seed=seed, **settings)

    def _new_loss(self, data: Observed, n_classes: int, **learned: Any) -> BaselineLoss:
        return BaselineLoss(data.noisy_label, n_classes, self.config)

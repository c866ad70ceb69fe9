"""Forward correction: the classifier predicts the true label, a transition matrix what is observed of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from datasets import DatasetDict
from numpy.typing import NDArray
from torch import Tensor

from nlkit.data.observed import Observed, label_names, observe
from nlkit.methods.learner import Learner
from nlkit.models.classifiers import Output
from nlkit.models.device import moved
from nlkit.models.saving import Tensors
from nlkit.noise.estimating import estimate_noise_rate, estimate_transition
from nlkit.training import losses

__all__ = ["ForwardCorrection"]


class ForwardLoss:
    """−log Σ_y p(y | x) T[y, ỹ] of N labelled samples, with T of shape (C, C)."""

    def __init__(self, label: NDArray[np.int64], transition: NDArray[np.float64]) -> None:
        self.label, self.transition = label, torch.from_numpy(transition).float()

    def __call__(
        self, name: str, model: Any, output: Output, index: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss of a batch."""
        self.transition = self.transition.to(output.logits.device)
        target = moved(torch.from_numpy(self.label[index]), output.logits.device)
        loss = losses.forward_cross_entropy(output.logits, target, self.transition).mean()
        return loss, {"loss": loss}

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return nothing: T follows from the data."""
        return {}, {}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take nothing back."""


class ForwardCorrection(Learner):
    """Learn through an estimated transition matrix (forward correction; Patrini et al., CVPR 2017).

    Right and wrong labels alike are likely under Σ_y p(y | x) T[y, ỹ] once p is the truth, so nothing is
    gained by memorising. Published is T read off a trained network's surest texts; ours counts the observed
    labels of the texts that logistic regression on the pre-trained encoder's embeddings gives each class out
    of fold (`nlkit.noise.estimating.estimate_transition`).

    Parameters
    ----------
    encoder, profile, seed
        As in every method.
    **settings
        Any other field of `nlkit.methods.learner.LearnerConfig`.

    Attributes
    ----------
    transition_ : ndarray, shape (C, C)
        T[y, ỹ] = P(ỹ | y); rows, the true classes, sum to 1.
    history_ : DataFrame
        One row an epoch.
    """

    transition_: NDArray[np.float64]

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Estimate T, and learn from the labelled training texts; parameters as in `NoiseAL.fit`."""
        data, n_classes = observe(ds, "train").labelled(), len(label_names(ds))
        vote, label = self._votes(data, n_classes), data.noisy_label
        T = estimate_transition(vote, label, estimate_noise_rate(vote, label)[0])
        return self._fit_on(data, ds, eval_splits, checkpoint, transition_=T)

    def _new_loss(self, data: Observed, n_classes: int, **learned: Any) -> ForwardLoss:
        return ForwardLoss(data.noisy_label, learned["transition_"])

    def _extra_values(self) -> dict[str, Any]:
        return {"transition": self.transition_.tolist()}

    def _rebuild(self, values: dict[str, Any]) -> None:
        super()._rebuild(values)
        self.transition_ = np.asarray(values["transition"])

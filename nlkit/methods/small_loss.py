"""Two networks that learn from the samples with small losses: Co-teaching and JoCoR.

What a network has not yet memorised has a large loss, and wrong labels are memorised late. So each batch is
cut down to its samples of smallest loss, more of it the longer the training lasts, up to the share of labels
that are wrong. Both networks learn in one computation (`nlkit.methods.learner.TwoNetworks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from datasets import DatasetDict
from numpy.typing import NDArray
from torch import Tensor

from nlkit.data.observed import Observed, label_names, observe
from nlkit.methods.learner import Learner, LearnerConfig, TwoNetworks, new_pair
from nlkit.models.classifiers import Output
from nlkit.models.device import moved
from nlkit.models.saving import Tensors
from nlkit.noise.estimating import estimate_noise_rate
from nlkit.training import losses
from nlkit.training.trainer import Trainer

__all__ = ["CoTeaching", "CoTeachingConfig", "JoCoR", "JoCoRConfig", "SmallLoss", "smallest"]


@dataclass(frozen=True, kw_only=True)
class CoTeachingConfig(LearnerConfig):
    """Settings of `CoTeaching`; those of `LearnerConfig` come with it.

    Attributes
    ----------
    noise_rate
        τ, the share of each batch that is left out in the end: a number, or "auto", estimated from the
        observed labels (`nlkit.noise.estimating.estimate_noise_rate`). The paper takes the true rate.
    ramp_epochs
        T_k: after e epochs the share left out is τ min(e / T_k, 1). Published: 10 of 200.
    """

    noise_rate: float | str = "auto"
    ramp_epochs: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._share_or("noise_rate", "auto")
        self._number("ramp_epochs", low=1, whole=True)


@dataclass(frozen=True, kw_only=True)
class JoCoRConfig(CoTeachingConfig):
    """Settings of `JoCoR`; those of `CoTeachingConfig` come with it.

    Attributes
    ----------
    agreement
        λ of (1 − λ)(CE_1 + CE_2) + λ (KL(p_1 ‖ p_2) + KL(p_2 ‖ p_1)).
    """

    agreement: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("agreement", low=0.0, high=1.0)


def smallest(loss: Tensor, share: float) -> Tensor:
    """Return the places of the smallest losses, (…, k), of (…, B): that share of B, at least one."""
    return loss.topk(max(1, round(share * loss.shape[-1])), dim=-1, largest=False).indices


class SmallLoss:
    """The objective of both networks, of N labelled samples.

    Parameters
    ----------
    label : array of int, shape (N,)
        Observed labels.
    noise_rate : float
        τ.
    config : CoTeachingConfig
        With a `JoCoRConfig` both networks choose together.
    checked : array of bool, shape (N,), optional
        Labels that a person has looked at: they are chosen first.

    Attributes
    ----------
    epoch : int
        Epochs that are finished.
    """

    def __init__(
        self, label: NDArray[np.int64], noise_rate: float, config: CoTeachingConfig,
        checked: NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        self.label, self.noise_rate, self.config, self.epoch = label, noise_rate, config, 0
        self.checked = np.zeros(len(label), bool) if checked is None else checked

    def kept(self) -> float:
        """Return the share of a batch that is learnt, R(e) = 1 − τ min(e / T_k, 1)."""
        return 1 - self.noise_rate * min(self.epoch / self.config.ramp_epochs, 1.0)

    def __call__(
        self, name: str, model: Any, output: Output, index: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch of logits (B, 2, C): the sum of both networks'."""
        target = moved(torch.from_numpy(self.label[index]), output.logits.device)
        first, second = output.logits.unbind(1)
        ce = torch.stack([losses.cross_entropy(first, target), losses.cross_entropy(second, target)])
        sure = moved(torch.from_numpy(self.checked[index]), ce.device)  # as if they were no loss at all
        if isinstance(self.config, JoCoRConfig):
            weight = self.config.agreement
            joint = (1 - weight) * ce.sum(0) + weight * losses.symmetric_kl(first, second)
            loss = joint[smallest(joint.detach().masked_fill(sure, -1.0), self.kept())].mean()
        else:
            # Each network learns what the other one would: their mistakes differ.
            chosen = smallest(ce.detach().masked_fill(sure, -1.0), self.kept())
            loss = ce.gather(1, chosen.flip(0)).mean(1).sum()
        return loss, {"loss": loss}

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return the epoch."""
        return {}, {"epoch": self.epoch}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take the epoch back."""
        self.epoch = values["epoch"]


class CoTeaching(Learner):
    """Two networks, each taught by the samples that the other one finds easy (Han et al., NeurIPS 2018).

    In each batch, each network picks the samples of smallest loss, and the other one learns from these. The
    prediction is the mean of both.

    Parameters
    ----------
    encoder, profile, seed
        As in every method.
    **settings
        Any other field of `CoTeachingConfig`.

    Attributes
    ----------
    noise_rate_ : float
        τ that was used.
    history_ : DataFrame
        One row an epoch; kept, the share of each batch that was learnt in it.
    """

    config_class: ClassVar[type[CoTeachingConfig]] = CoTeachingConfig
    config: CoTeachingConfig
    noise_rate_: float

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Learn from the training texts whose ``noisy_label`` is there; parameters as in `NoiseAL.fit`."""
        data, rate = observe(ds, "train").labelled(), self.config.noise_rate
        if isinstance(rate, str):
            rate = estimate_noise_rate(self._votes(data, len(label_names(ds))), data.noisy_label)[0]
        return self._fit_on(data, ds, eval_splits, checkpoint, noise_rate_=rate)

    def _new_network(self, n_classes: int) -> TwoNetworks:
        return new_pair(self.config, n_classes)

    def _new_loss(self, data: Observed, n_classes: int, **learned: Any) -> SmallLoss:
        return SmallLoss(data.noisy_label, learned["noise_rate_"], self.config, data.checked)

    def _after_epoch(self, trainer: Trainer, loss: SmallLoss) -> dict[str, float]:
        kept, loss.epoch = loss.kept(), trainer.epoch
        return {"kept": kept}

    def _extra_values(self) -> dict[str, Any]:
        return {"noise_rate": self.noise_rate_}

    def _rebuild(self, values: dict[str, Any]) -> None:
        super()._rebuild(values)
        self.noise_rate_ = values["noise_rate"]


class JoCoR(CoTeaching):
    """Two networks that pick samples together and are held to agree (Wei et al., CVPR 2020).

    A sample's loss is the CE of both networks and how far they are apart; both learn from the samples in
    which it is smallest. The prediction is the mean of both.

    Parameters
    ----------
    encoder, profile, seed
        As in every method.
    **settings
        Any other field of `JoCoRConfig`.

    Attributes
    ----------
    noise_rate_, history_
        As in `CoTeaching`.
    """

    config_class = JoCoRConfig
    config: JoCoRConfig

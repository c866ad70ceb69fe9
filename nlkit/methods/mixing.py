"""Two kinds of loss tell right labels from wrong ones; what looks wrong is learnt without its label.

SelfMix and DivideMix fit a mixture of two Gaussians to the training losses after each epoch. Samples that
belong to the small losses keep their labels; the others get the networks' own predictions instead, and all
are mixed with each other on their sentence embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from datasets import DatasetDict
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from nlkit._util import invalid
from nlkit.data.observed import Observed, observe
from nlkit.methods.learner import Learner, LearnerConfig, TwoNetworks, new_pair
from nlkit.models.classifiers import Output
from nlkit.models.device import moved
from nlkit.models.saving import Tensors
from nlkit.training import losses
from nlkit.training.trainer import Trainer

__all__ = ["DivideMix", "DivideMixConfig", "SelfMix", "SelfMixConfig", "clean_probability"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MixConfig(LearnerConfig):
    """Settings of both methods; those of `LearnerConfig` come with it.

    Attributes
    ----------
    warmup_epochs
        W: epochs of CE on the observed labels, before losses are looked at. After two epochs of few steps
        (`quick`) a small class had not been learnt yet, and was given up for good.
    threshold
        τ: a label is kept if the probability that its loss is one of the small ones is above it.
    temperature
        Sharpens predictions that take a label's place.
    mix_alpha
        α of the Beta distribution of the mixtures.
    """

    warmup_epochs: int = 2
    threshold: float = 0.5
    temperature: float = 0.5
    mix_alpha: float = 4.0

    profiles: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {**LearnerConfig.profiles["quick"], "warmup_epochs": 4},
        "class": {},
        "paper": {**LearnerConfig.profiles["paper"], "warmup_epochs": 5},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("warmup_epochs", low=1, whole=True)
        if self.warmup_epochs >= self.epochs:
            invalid("warmup_epochs", self.warmup_epochs, f"below epochs={self.epochs}, or nothing is mixed")
        self._number("threshold", low=0.0, high=1.0)
        for name in ("temperature", "mix_alpha"):
            self._number(name, low=0.0, open_low=True)


@dataclass(frozen=True, kw_only=True)
class SelfMixConfig(MixConfig):
    """Settings of `SelfMix`; those of `MixConfig` come with it.

    Attributes
    ----------
    pseudo_weight
        λ_p of the CE to the network's own likeliest class, where the label is not kept.
    consistency_weight
        λ_r of the distance of two predictions with different dropout, there too.
    """

    mix_alpha: float = 0.75
    pseudo_weight: float = 0.2
    consistency_weight: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pseudo_weight", "consistency_weight"):
            self._number(name, low=0.0)


@dataclass(frozen=True, kw_only=True)
class DivideMixConfig(MixConfig):
    """Settings of `DivideMix`; those of `MixConfig` come with it.

    Attributes
    ----------
    unlabelled_weight
        λ_u of the squared error where the label is not kept; it grows from 0 to this over the epochs after
        the warm-up. Published: 0 to 150, by noise rate.
    """

    unlabelled_weight: float = 25.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("unlabelled_weight", low=0.0)


def clean_probability(loss: ArrayLike, seed: int = 0) -> Floats:
    """Return the probability that each loss belongs to the smaller ones of a mixture of two Gaussians.

    Parameters
    ----------
    loss : array, shape (N,)
        They are brought to [0, 1] first. If all are alike, the probability is 1.
    seed : int
        Of where the fit begins.

    Returns
    -------
    ndarray, shape (N,)
    """
    from sklearn.mixture import GaussianMixture

    x = np.asarray(loss, np.float64)
    if len(x) < 2 or np.ptp(x) < 1e-12:
        return np.ones(len(x))
    x = ((x - x.min()) / np.ptp(x))[:, None]
    mixture = GaussianMixture(2, max_iter=100, reg_covar=5e-4, random_state=seed).fit(x)
    found: Floats = mixture.predict_proba(x)[:, mixture.means_[:, 0].argmin()]
    return found


def mean_over(each: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean of (B, …) over the samples that are wanted, shape (…); 0 where none is."""
    weight = wanted.to(each.dtype)
    return (each * weight).sum(0) / weight.sum(0).clamp(min=1)


class MixLoss:
    """CE in the warm-up, then the objective of `mixed`; of N samples, of which some have a label.

    Parameters
    ----------
    label : array of int, shape (N,)
        Observed labels; one that is missing (−1) is never kept.
    n_classes : int
        C.
    config : MixConfig
    checked : array of bool, shape (N,), optional
        Labels that a person has looked at: they are kept.

    Attributes
    ----------
    clean : ndarray, shape (N, K)
        The probability, by the losses of each of K networks, that a label is right.
    epoch : int
        Epochs that are finished.
    """

    def __init__(
        self, label: NDArray[np.int64], n_classes: int, config: Any, checked: NDArray[np.bool_] | None = None
    ) -> None:
        self.label, self.n_classes, self.config, self.epoch = label, n_classes, config, 0
        self.checked = np.zeros(len(label), bool) if checked is None else checked
        self.clean: NDArray[np.float32] = (label >= 0).astype(np.float32)[:, None]
        count = np.bincount(label[label >= 0], minlength=n_classes) + 1.0
        self.prior = torch.from_numpy(count / count.sum()).float()

    def divide(self, probability: ArrayLike) -> None:
        """Fit a mixture to the losses of each network: predictions of all samples, (N, C) or (N, K, C)."""
        p = np.asarray(probability, np.float64)
        p = p.reshape(len(p), -1, self.n_classes)
        known = np.flatnonzero(self.label >= 0)
        loss = -np.log(np.maximum(p[known, :, self.label[known]], 1e-12))
        self.clean = np.zeros(p.shape[:2], np.float32)
        for k in range(p.shape[1]):
            self.clean[known, k] = clean_probability(loss[:, k], self.config.seed)
        self.clean[self.checked] = 1.0

    def mixed(
        self, model: Any, output: Output, observed: Tensor, clean: Tensor, rng: np.random.Generator
    ) -> Tensor:
        """Return the loss of a batch whose observed labels are given one-hot, (B, C), with `clean` (B, K)."""
        raise NotImplementedError

    def __call__(
        self, name: str, model: Any, output: Output, index: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch; of two networks the sum."""
        label = moved(torch.from_numpy(self.label[index]), output.logits.device)
        if self.epoch < self.config.warmup_epochs:
            networks = output.logits.reshape(len(index), -1, self.n_classes).unbind(1)
            ce = sum(losses.cross_entropy(logits, label.clamp(min=0)) for logits in networks)
            loss = mean_over(torch.as_tensor(ce), label >= 0)
        else:
            clean = moved(torch.from_numpy(self.clean[index]), output.logits.device)
            observed = one_hot(label.clamp(min=0), self.n_classes).to(output.logits.dtype)
            loss = self.mixed(model, output, observed, clean, rng)
        return loss, {"loss": loss}

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return whose labels are believed, and the epoch."""
        return {"clean": torch.from_numpy(self.clean)}, {"epoch": self.epoch}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.clean, self.epoch = tensors["clean"].numpy(), values["epoch"]

    def _partner(self, output: Output, rng: np.random.Generator) -> Tensor:
        return moved(torch.from_numpy(rng.permutation(len(output.logits))), output.logits.device)


class SelfMixLoss(MixLoss):
    """L = L_mix + λ_p L_p + λ_r L_r of one network (Qiao et al., 2022)."""

    def mixed(
        self, model: Any, output: Output, observed: Tensor, clean: Tensor, rng: np.random.Generator
    ) -> Tensor:
        """Return the loss of a batch."""
        c, logits = self.config, output.logits
        kept = clean[:, 0] > c.threshold
        guess = losses.sharpen(logits.detach().softmax(-1), c.temperature)
        target = torch.where(kept[:, None], observed, guess)
        mixed, soft = losses.embmix(
            output.embedding, target, self._partner(output, rng), c.mix_alpha, rng
        )  # fmt: skip
        l_mix = losses.cross_entropy(model.classify(mixed), soft).mean()
        again, likeliest = model.classify(output.embedding), logits.argmax(-1)  # with other dropout
        l_p = (losses.cross_entropy(logits, likeliest) + losses.cross_entropy(again, likeliest)) / 2
        l_r = losses.symmetric_kl(logits, again) / 2
        return l_mix + mean_over(c.pseudo_weight * l_p + c.consistency_weight * l_r, ~kept)


class DivideMixLoss(MixLoss):
    """L = L_X + λ_u L_U + L_reg of each of two networks, for which the other one has divided the labels."""

    def mixed(
        self, model: Any, output: Output, observed: Tensor, clean: Tensor, rng: np.random.Generator
    ) -> Tensor:
        """Return the sum of both networks' losses."""
        c, p = self.config, output.logits.detach().softmax(-1)  # (B, 2, C)
        w = clean.flip(1).unsqueeze(-1)  # (B, 2, 1): each network believes the other one's losses
        kept = w > c.threshold
        refined = losses.sharpen(w * observed.unsqueeze(1) + (1 - w) * p, c.temperature)
        guess = losses.sharpen(p.mean(1, keepdim=True), c.temperature)
        mixed, soft = losses.embmix(
            output.embedding, torch.where(kept, refined, guess), self._partner(output, rng), c.mix_alpha, rng
        )
        log_p = model.classify(mixed).log_softmax(-1)
        kept = kept[..., 0]
        l_x = mean_over(-(soft * log_p).sum(-1), kept)
        l_u = mean_over((soft - log_p.exp()).square().mean(-1), ~kept)
        prior = self.prior.to(log_p.device)
        l_reg = (prior * (prior / log_p.exp().mean(0)).log()).sum(-1)
        ramp = (self.epoch - c.warmup_epochs) / (c.epochs - c.warmup_epochs)
        loss: Tensor = (l_x + ramp * c.unlabelled_weight * l_u + l_reg).sum()
        return loss


class SelfMix(Learner):
    """One network, taught by the labels it keeps and its own guesses, mixed (Qiao et al., COLING 2022).

    Two Gaussians are fitted to the losses after each epoch: labels with small ones are kept. Ours by choice:
    the two predictions that are held together differ in the head's dropout only.

    Parameters
    ----------
    encoder, profile, seed
        As in every method.
    **settings
        Any other field of `SelfMixConfig`.

    Attributes
    ----------
    clean_ : ndarray, shape (N,)
        The probability that each training label is right, after the last epoch; 0 where it is missing. Of
        two networks the mean. Not saved.
    history_ : DataFrame
        One row an epoch; kept, the share of texts whose labels the next one keeps.
    """

    config_class: ClassVar[type[MixConfig]] = SelfMixConfig
    config: Any
    loss_class: ClassVar[type[MixLoss]] = SelfMixLoss
    clean_: NDArray[np.float32]

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Learn from all training texts, also those without a label; parameters as in `NoiseAL.fit`."""
        return self._fit_on(observe(ds, "train"), ds, eval_splits, checkpoint)

    def _new_loss(self, data: Observed, n_classes: int, **learned: Any) -> MixLoss:
        return self.loss_class(data.noisy_label, n_classes, self.config, data.checked)

    def _told(self, loss: MixLoss) -> dict[str, Any]:
        return {"clean_": loss.clean.mean(1)}

    def _after_epoch(self, trainer: Trainer, loss: MixLoss) -> dict[str, float]:
        loss.epoch = trainer.epoch
        if loss.epoch >= self.config.warmup_epochs:
            loss.divide(trainer.predict("strong").probability)
        return {"kept": float((loss.clean > self.config.threshold).mean())}


class DivideMix(SelfMix):
    """Two networks that divide the data for each other, and mix what is left (Li et al., ICLR 2020).

    What one network's losses say of the labels decides what the other one learns: kept labels, moved towards
    its own prediction by the probability that they are wrong, or else both networks' mean guess. Adapted to
    text: mixtures are made of sentence embeddings, dropout stands for augmentation, each batch holds both
    kinds of samples as they come, and the mean prediction is held near the observed shares of the classes,
    not to equal ones. The prediction is the mean of both networks.

    Parameters
    ----------
    encoder, profile, seed
        As in every method.
    **settings
        Any other field of `DivideMixConfig`.

    Attributes
    ----------
    clean_, history_
        As in `SelfMix`.
    """

    config_class = DivideMixConfig
    loss_class = DivideMixLoss

    def _new_network(self, n_classes: int) -> TwoNetworks:
        return new_pair(self.config, n_classes)

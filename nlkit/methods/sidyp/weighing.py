"""Who is believed: SiDyP's kept epochs, spaces and stages, weighed by labels that they have not seen.

`evidence` has the estimates, this module what a fitted method keeps of them and says with them. All of it is
ours; with ``evidence=False``, as published, nothing is weighed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor, nn

from nlkit._util import unit_rows
from nlkit.data.observed import Observed, observe, observed_validation
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.evidence import (
    Neighbourhood,
    likelihood,
    mixture_weights,
    observed_posterior,
    pool_exponents,
    pooled,
    unmixed,
)
from nlkit.methods.sidyp.prior import Prior, candidates
from nlkit.noise.estimating import estimate_transition

__all__ = ["CHANGE", "STAGES", "Judge", "Seen", "Weighing", "early_space"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Embeddings = Mapping[str, NDArray[np.float32]]

STAGES = ("first stage", "neighbours", "diffusion")
AGREED = np.array([
    ", ".join(name for bit, name in enumerate(STAGES) if code >> bit & 1) or "all together"
    for code in range(1 << len(STAGES))
])  # fmt: skip
"""Which stages name a label, by a number with a bit a stage."""
"""What a prediction is pooled of."""

ALONE, ALIKE = (0.9, 0.1, 0.1), (0.5, 0.4, 0.4)
"""The stages' usual exponents with `FEW` training texts or less, and with `MANY` or more."""

FEW, MANY = 250, 1000

EPOCHS_PRIOR = 15.0
"""Labels that the first guess of the epochs' weights, all alike, counts for."""

RAREST = 0.1
"""Share of a class's fair part (1 / C) below which rare observed labels are not lifted any further."""

CHANGE = 3.0
"""How many times as likely another label has to be before an observed one is changed."""


@dataclass(frozen=True)
class Seen:
    """What is known of n texts once the first stage has seen them.

    Condition (M, n, P), P_clf (M, n, C), text embedding (n, D'), early and last sentence embeddings (M, n, D)
    and (n, D).
    """

    condition: Tensor
    p_observed: Tensor
    text: NDArray[np.float32]
    early: NDArray[np.float32]
    embedding: NDArray[Any]

    def take(self, rows: NDArray[np.int64]) -> Seen:
        """Return what is known of some of the texts."""
        return Seen(
            self.condition[:, rows], self.p_observed[:, rows], self.text[rows], self.early[:, rows],
            self.embedding[rows],
        )  # fmt: skip


@dataclass(frozen=True)
class Judge:
    """Labels that nothing has learnt: of a split's N texts, −1 where one is missing or is learnt."""

    split: str
    label: Labels

    @classmethod
    def of(cls, ds: Mapping[str, Dataset], data: Observed, config: SiDyPConfig) -> Judge:
        """Return the validation split's labels, or a sixth of the training split's where there are none."""
        if observed_validation(ds) is not None:
            return cls("validation", observe(ds, "validation").noisy_label)
        label = np.full(len(data.texts), -1)
        if config.evidence:
            known = np.flatnonzero(data.noisy_label >= 0)
            held = np.random.default_rng([config.seed, 4]).permutation(known)[: len(known) // 6]
            label[held] = data.noisy_label[held]
        return cls("train", label)

    def learnt(self, noisy_label: Labels) -> Labels:
        """Return the training labels (N,) without those that judge."""
        return np.where(self.label >= 0, -1, noisy_label) if self.split == "train" else noisy_label


class Weighing(nn.Module):
    """What held-out labels say of epochs, spaces and stages; saved with the method.

    Parameters
    ----------
    config : SiDyPConfig
    n_classes, points : int
        C, and how many epochs of the first stage are kept: S.

    Attributes
    ----------
    epochs : Tensor, shape (S,)
        How much each kept epoch counts in P_clf; sums to 1. The last alone before `weigh_epochs`.
    transition : Tensor, shape (C, C)
        T; rows sum to 1. The identity before `prior`.
    exponents : Tensor, shape (3,)
        Of the `STAGES` in the pool.
    share : Tensor, shape (C,)
        What predictions are divided by, to the power τ: shares of the observed labels, bounded (`RAREST`); 1
        for a class that nobody named.
    neighbourhood : Neighbourhood or None
        None before `prior`, and with ``evidence=False``.
    """

    def __init__(self, config: SiDyPConfig, n_classes: int, points: int) -> None:
        super().__init__()
        self.epochs: Tensor
        self.transition: Tensor
        self.exponents: Tensor
        self.share: Tensor
        self.config = config
        self.neighbourhood: Neighbourhood | None = None
        last = torch.eye(points, dtype=torch.float64)[-1]
        self.register_buffer("epochs", last)
        self.register_buffer("transition", torch.eye(n_classes, dtype=torch.float64))
        self.register_buffer("exponents", torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
        self.register_buffer("share", torch.ones(n_classes, dtype=torch.float64))

    @property
    def T(self) -> Floats:  # noqa: N802
        """The transition matrix as an array, shape (C, C)."""
        found: Floats = self.transition.cpu().numpy()
        return found

    def weigh_epochs(self, probability: Sequence[NDArray[Any]], judge: Judge) -> None:
        """Weigh the kept epochs, each (n, M, C), by how well they predict labels that they have not seen."""
        if not self.config.evidence:
            return
        points = np.stack([p.mean(1, dtype=np.float64) for p in probability])  # (S, n, C)
        found = likelihood(points, judge.label, np.eye(points.shape[2]))
        start = np.full(len(points), EPOCHS_PRIOR / len(points))
        self.epochs = torch.from_numpy(mixture_weights(found, start))

    def p_observed(self, probability: Sequence[NDArray[Any]]) -> Tensor:
        """Return P_clf(ỹ | x), shape (M, n, C), from what the kept epochs say, each (n, M, C)."""
        weighed = zip(self.epochs.tolist(), probability, strict=True)
        mean = np.sum([weight * p for weight, p in weighed], axis=0, dtype=np.float32)
        return torch.from_numpy(mean).transpose(0, 1)

    def prior(
        self, embedding: Embeddings, early: Embeddings, noisy_label: Labels, suspect: NDArray[np.bool_],
        noise_rate: float, judge: Judge,
    ) -> Prior:  # fmt: skip
        """Return the prior of all splits' texts, in their order; weigh the spaces on the way.

        Parameters
        ----------
        embedding, early : mapping of str to array, shapes (N, D') and (M, N, D)
            Of each split; "train" is the first.
        noisy_label, suspect : array, shape (N,)
            Of the training texts. Other splits' texts are nobody's neighbours.
        """
        c, trusted = self.config, np.flatnonzero(~suspect & (noisy_label >= 0))
        self.neighbourhood = Neighbourhood(
            embedding["train"][trusted], early["train"][:, trusted], noisy_label[trusted],
            len(self.transition), k=c.neighbours, space=c.space,
        )  # fmt: skip
        votes = {split: self.neighbourhood.votes(embedding[split], early[split]) for split in embedding}
        if c.transition is None:
            T = estimate_transition(self.neighbourhood.mixed(votes["train"]), noisy_label, noise_rate)
        else:
            T = np.array(c.transition)
        self.transition = torch.from_numpy(T)
        self.neighbourhood.weigh(votes[judge.split], judge.label, T)
        count = np.bincount(noisy_label[noisy_label >= 0], minlength=len(T))
        share = np.maximum(count / count.sum(), RAREST / len(T))
        self.share = torch.from_numpy(np.where(count > 0, share, 1.0))
        u = np.concatenate([self.neighbourhood.mixed(part) for part in votes.values()])
        others = len(u) - len(noisy_label)
        observed = np.concatenate([noisy_label, np.full(others, -1)])
        weight, case = candidates(observed_posterior(u, observed, T), gamma=c.gamma, delta=c.delta)
        nearest = np.empty((len(u), 0), np.int64)  # several spaces vote, so no one list holds them
        return Prior(weight, case, nearest, np.concatenate([suspect, np.zeros(others, bool)]))

    def stages(self, seen: Seen, diffusion: NDArray[np.float32]) -> Floats:
        """Return what first stage, neighbours and diffusion say of n texts, (3, n, C), rows sum to 1."""
        first = unmixed(seen.p_observed.mean(0).cpu().numpy(), self.T)
        return np.stack([first, self._neighbours(seen), diffusion])

    def weigh_stages(self, stages: Floats, label: Labels, n_texts: int) -> None:
        """Set the exponents by what the stages say, (3, n, C), of texts whose labels they have not seen.

        The fewer training texts, the less neighbours and diffusion have to go by.
        """
        many = float(np.clip(np.log(n_texts / FEW) / np.log(MANY / FEW), 0.0, 1.0))
        usual = many * np.array(ALIKE) + (1 - many) * np.array(ALONE)
        self.exponents = torch.from_numpy(pool_exponents(stages, label, self.T, usual))

    def blended(self, stages: Floats) -> NDArray[np.float32]:
        """Return P(y | x), shape (n, C), rows sum to 1: the pool of the stages, balanced."""
        share = self.share.cpu().numpy()
        p = pooled(stages, self.exponents.cpu().numpy()) / share**self.config.balance
        found: NDArray[np.float32] = (p / p.sum(1, keepdims=True)).astype(np.float32)
        return found

    def refined(
        self, seen: Seen, diffusion: NDArray[np.float32], noisy_label: Labels
    ) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
        """Return P(y | x, ỹ), shape (n, C), rows sum to 1: the pool of the stages; and who says so (n,).

        An observed label, none missing, gives way only to one that is `CHANGE` times as likely. Exponents are
        halfway between those of the prediction and `ALIKE`: with few texts the prediction rests on the first
        stage nearly alone, which has learnt the wrong labels too.
        """
        first, near, _ = self.stages(seen, diffusion)
        stages = np.stack([*(observed_posterior(u, noisy_label, self.T) for u in (first, near)), diffusion])
        p = pooled(stages, (self.exponents.cpu().numpy() + ALIKE) / 2).astype(np.float32)
        best, row = p.argmax(1), np.arange(len(noisy_label))
        best = np.where(p[row, best] < CHANGE * p[row, noisy_label], noisy_label, best)
        p[row, best] = 1.001 * p.max(1)  # what is kept is the likeliest, by a hair
        says = (stages.argmax(2) == best).T @ (1 << np.arange(len(STAGES)))  # (n,), a bit a stage
        return p / p.sum(1, keepdims=True), np.where(best == noisy_label, "kept", AGREED[says])

    def report(self) -> dict[str, Any]:
        """Return ``spaces``, how well each vote explains held-out labels and its weight, and ``stages``.

        The latter are the exponents of `STAGES` in the prediction. Empty with ``evidence=False``.
        """
        if self.neighbourhood is None:
            return {}
        stages = dict(zip(STAGES, self.exponents.tolist(), strict=True))
        return {"spaces": self.neighbourhood.table(), "stages": stages}

    def sizes(self) -> list[int] | None:
        """Return M, R, D' and M D of the neighbourhood, if there is one: what `restore_sizes` takes."""
        near = self.neighbourhood
        return None if near is None else [self.config.branches, *near.text.shape, near.learned.shape[1]]

    def restore_sizes(self, sizes: list[int] | None) -> None:
        """Make a neighbourhood of these sizes, to be filled with what was saved."""
        if sizes is None:
            return
        M, R, text, learned = sizes
        self.neighbourhood = Neighbourhood(
            np.ones((R, text)), np.ones((M, R, learned // M)), np.zeros(R), len(self.transition),
            k=self.config.neighbours, space=self.config.space,
        )  # fmt: skip

    def _neighbours(self, seen: Seen) -> Floats:
        assert self.neighbourhood is not None
        return self.neighbourhood.mixed(self.neighbourhood.votes(seen.text, seen.early))


def early_space(trajectory: NDArray[Any]) -> NDArray[np.float32]:
    """Return the first stage's space, (M, N, D): the mean of the earlier half of S kept epochs (M, S, N, D).

    At unit length; later epochs have memorised wrong labels.
    """
    earlier = trajectory[:, : (trajectory.shape[1] + 1) // 2].astype(np.float32)
    found: NDArray[np.float32] = unit_rows(earlier).mean(1)
    return found

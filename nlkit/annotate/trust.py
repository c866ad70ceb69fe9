"""How far an annotator is to be believed: measured on texts whose labels are trusted, then weighed by Bayes.

The model of it is this project's own, a short form of Dawid and Skene's (1979): with probability κ the
annotator knows the label, otherwise it answers by habit, b, whatever the text. A model that calls everything
"earn" is right about every text of that label, knows nothing, and is found out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Trust"]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

_KNOWS = (np.arange(200) + 0.5) / 200
_SHARPNESS = 2.0 ** np.linspace(-2, 3, 11)


@dataclass(frozen=True)
class Trust:
    """What is known of an annotator; made by `Trust.measure`.

    Attributes
    ----------
    n, agreed : int
        Trusted texts it answered, and how many of these answers were the trusted label.
    knows : float
        κ, the mean of its posterior.
    low, high : float
        Between them lies `accuracy` with a probability of 90 %.
    habit : array, shape (C,)
        b, what it answers where it does not know; sums to 1.
    sharpness : float
        β: the models' predictions p̄ count as p̄^β, divided by their sum. 1: as they are.
    """

    n: int
    agreed: int
    knows: float
    low: float
    high: float
    habit: Floats
    sharpness: float = 1.0

    @classmethod
    def measure(cls, answer: Ints, label: Ints, n_classes: int, label_right: float = 1.0) -> Self:
        """Estimate κ from answers to texts with trusted labels, all of shape (n,); n may be 0.

        Parameters
        ----------
        label_right : float
            Share of the trusted labels that are right; wrong ones are any other class, evenly.

        Notes
        -----
        κ has the prior Beta(1, 1). The habit is the share of each class among the answers that differ from
        the trusted label, with one more of each.
        """
        agrees = answer == label
        habit = (np.bincount(answer[~agrees], minlength=n_classes) + 1) / ((~agrees).sum() + n_classes)
        prior = np.where(agrees, label_right, (1 - label_right) / (n_classes - 1))  # that the answer is true
        chance = _KNOWS[:, None] * prior + (1 - _KNOWS[:, None]) * habit[answer]
        weight = np.exp(_relative(np.log(chance).sum(1)))
        weight /= weight.sum()
        low, high = (_KNOWS[np.searchsorted(weight.cumsum(), q)] for q in (0.05, 0.95))
        low, high = (_accuracy(k, n_classes) for k in (low, high))
        return cls(len(answer), int(agrees.sum()), float(weight @ _KNOWS), low, high, habit)

    def beside(self, p_mean: Floats, answer: Ints) -> Trust:
        """Return the same with the β at which the models' p̄ (n, C) explains the answers (n,) best.

        Early predictions are too flat and late ones too sharp; the annotator is who tells. log2 β has the
        prior N(0, 1), so that few or poor answers change little.
        """
        rows = np.arange(len(answer))
        score = [
            np.log((_power(p_mean, b) @ self.confusion)[rows, answer]).sum() - np.log2(b) ** 2 / 2
            for b in _SHARPNESS
        ]
        return replace(self, sharpness=float(_SHARPNESS[np.argmax(score)]))

    @property
    def accuracy(self) -> float:
        """Mean over the classes of the probability that an answer about a text of it is right."""
        return _accuracy(self.knows, len(self.habit))

    @property
    def confusion(self) -> Floats:
        """P(answer | true label), shape (C, C): rows, one a true label, sum to 1."""
        return self.knows * np.eye(len(self.habit)) + (1 - self.knows) * self.habit

    @property
    def evidence(self) -> Floats:
        """How many times likelier an answer is if it is right, P(k | k) / P(k | another), shape (C,).

        Cautious: at κ's lower end. 1: such an answer tells nothing, as one that the annotator gives by habit.
        """
        n_classes = len(self.habit)
        knows = max(0.0, (self.low * n_classes - 1) / (n_classes - 1))
        result: Floats = 1 + knows / ((1 - knows) * self.habit)
        return result

    def models(self, p_mean: Floats) -> Floats:
        """Return what the models' p̄ is worth beside the annotator, shape (n, C); rows sum to 1."""
        return _power(p_mean, self.sharpness)

    def posterior(self, prior: Floats, answer: Ints) -> Floats:
        """Return P(label | text, answer), shape (n, C), from what was known before and the answers (n,)."""
        joint = prior * self.confusion[:, answer].T
        result: Floats = joint / joint.sum(1, keepdims=True)
        return result

    def gain(self, prior: Floats) -> Floats:
        """Return how much a question about each text is expected to tell, shape (n,), in nats.

        The mutual information of label and answer: small where the label is known, where the annotator knows
        little, and where the likely labels are those that it mixes up.
        """
        result: Floats = _entropy(prior @ self.confusion) - prior @ _entropy(self.confusion)
        return result


def _accuracy(knows: float, n_classes: int) -> float:
    return float(knows + (1 - knows) / n_classes)


def _power(p: Floats, exponent: float) -> Floats:
    powers = np.exp(_relative(exponent * np.log(np.maximum(p, 1e-12))))
    result: Floats = powers / powers.sum(-1, keepdims=True)
    return result


def _relative(logs: Floats) -> Floats:
    result: Floats = logs - logs.max(-1, keepdims=True)
    return result


def _entropy(p: Floats) -> Floats:
    result: Floats = -(p * np.log(np.maximum(p, 1e-12))).sum(-1)
    return result

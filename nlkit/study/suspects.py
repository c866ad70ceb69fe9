"""Which labels are suspect, by several finders and one rule; `nlkit.study.cleaned` runs them on a data set.

A label counts as wrong where SiDyP and at least two of the three other finders propose the same other label.
Even then nothing is changed where the labels as a whole give too little to go by (`too_thin`). The rule and
its numbers were chosen on sets whose true labels are known (``benchmarks/cleaning.py``); none is read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["FINDERS", "Findings", "too_thin"]

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]

FINDERS = ("SiDyP", "NoiseAL", "cleanlab", "neighbours")
"""Who looks for wrong labels; the first has to agree to every change."""

MOST = 3
"""Finders of four that have to propose the same label, SiDyP among them."""

FEWEST, LEAST_WRONG, LEAST_FOUND = 100, 0.05, 0.25
"""Labels, wrong ones among them at least (share), and agreed proposals among those (share), to change any."""


@dataclass(frozen=True)
class Findings:
    """What the finders say of N texts' labels.

    Attributes
    ----------
    noisy_label : ndarray of int, shape (N,)
        As found; −1 is missing.
    proposal : ndarray of int, shape (4, N)
        Each finder's label, in the order of `FINDERS`: the one found, where nothing speaks against it.
    probability : ndarray, shape (4, N, C)
        How likely each finds each class; rows sum to 1.
    noise_rate : float
    interval : tuple of two floats
        SiDyP's estimate of the share of wrong labels.
    near : ndarray of int, shape (N, K)
        The nearest labelled texts, nearest first; −1 where there are fewer.
    """

    noisy_label: Labels
    proposal: Labels
    probability: Floats
    noise_rate: float
    interval: tuple[float, float]
    near: Labels

    def table(self) -> pd.DataFrame:
        """Return one row a text: the label most proposed instead of the one found, and by whom.

        Returns
        -------
        DataFrame
            proposal (a class number; −1: nobody objects), finders (how many propose it), agreed (whether it
            is to take the label's place), confidence (mean probability of the proposal over the finders) and
            reason, in words.
        """
        n, row = len(self.noisy_label), np.arange(len(self.noisy_label))
        objects = (self.proposal != self.noisy_label) & (self.proposal >= 0)
        weight = np.zeros((n, self.probability.shape[2]))
        for j, proposal in enumerate(self.proposal):
            # Between labels of equally many finders SiDyP's goes first.
            np.add.at(weight, (row[objects[j]], proposal[objects[j]]), 1.5 if j == 0 else 1.0)
        best = np.where(weight.max(1) > 0, weight.argmax(1), -1)
        by = objects & (self.proposal == best)
        confidence = np.where(best >= 0, self.probability[:, row, best].mean(0), np.nan)
        return pd.DataFrame({
            "proposal": best, "finders": by.sum(0), "agreed": by[0] & (by.sum(0) >= MOST),
            "confidence": confidence, "reason": self._reasons(best, by),
        })  # fmt: skip

    def _reasons(self, best: Labels, by: NDArray[np.bool_]) -> list[str]:
        """Say of each text who proposes the other label, and how likely each finds it and the one found."""
        row, known = np.arange(len(best)), self.noisy_label >= 0
        other, own = self.probability[:, row, best], self.probability[:, row, self.noisy_label]
        return [
            "; ".join(
                f"{FINDERS[j]} {other[j, i]:.2f}" + (f" against {own[j, i]:.2f}" if known[i] else "")
                for j in np.flatnonzero(by[:, i])
            )
            for i in row
        ]


def too_thin(found: Findings, table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Return why labels should stay as they are; an empty list where the evidence is enough to change some.

    Parameters
    ----------
    found : Findings
    table : DataFrame
        ``found.table()``.
    names : sequence of C strings
        Class names.
    """
    known = found.noisy_label >= 0
    label, n = found.noisy_label[known], int(known.sum())
    if n < FEWEST:
        return [f"there are {n} labels, and fewer than {FEWEST} say too little of each other"]
    reasons = []
    held_out = found.probability[FINDERS.index("cleanlab")][known].argmax(1) == label
    count = np.bincount(label, minlength=len(names))
    share, right = count.max() / n, held_out.mean()
    if right < share + 2 * np.sqrt(right * (1 - right) / n):
        reasons.append(
            f"the texts explain held-out labels no better than calling all {names[int(count.argmax())]!r}: "
            f"{right:.0%} right against {share:.0%}"
        )
    low, agreed = found.interval[0], int(table["agreed"][known].sum())
    if low < LEAST_WRONG:
        reasons.append(
            f"perhaps only {low:.1%} of the labels are wrong (below {LEAST_WRONG:.0%} none is changed)"
        )
    elif agreed < LEAST_FOUND * low * n:
        reasons.append(
            f"at least {low * n:.0f} labels seem to be wrong, but the finders agree on {agreed} only: they "
            "do not see the same mistakes, and what they do see is as likely their own"
        )
    return reasons

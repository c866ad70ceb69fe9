"""The dynamic-enhanced threshold: noisy data partitioned into clean (R), hard (H) and purified (P) samples.

Two models of different strength give each observed label a probability. Each sample and model
has a threshold of its own that follows the model's confidence in that sample over the epochs (the memory
effect of DISC, CVPR 2023; NoiseAL's exact thresholds are not public, arXiv 2504.02901).

- consistency set C: both models trust the observed label, or neither does; discrepancy set I: they differ.
- R (clean): in C, both trust it.  H (hard): in I, or in C without a confident other answer.
- P (purified): in C, neither trusts it, and their mean is confident of something: the LLM is asked here.

The rule costs O(N · C) and is vectorised; `nlkit.methods.noiseal.plain` says it one sample at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.data.checks import check_labels
from nlkit.models.saving import Tensors

__all__ = [
    "REASONS",
    "SETS",
    "DynamicThreshold",
    "Partition",
    "keep_classes",
    "partition_samples",
    "replay",
    "update_thresholds",
]

SETS = ("R", "H", "P")

REASONS = {
    "both_trust": "both models give the observed label more than their threshold",
    "strong_only": "only the strong model gives the observed label more than its threshold",
    "weak_only": "only the weak model gives the observed label more than its threshold",
    "confident_other": "neither trusts the observed label, and their mean is confident of another answer",
    "nobody_sure": "neither trusts the observed label, and their mean is not confident either",
    "most_trusted": "not trusted by both models, but more than most texts of its observed label",
    "checked": "a person has decided on the label",
}

_REASON_NAMES = tuple(REASONS)
_REASON_SET = np.array(["R", "H", "H", "P", "H", "R", "R"])
_NUMBERS = ("trust_strong", "trust_weak", "tau_strong", "tau_weak")

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Partition:
    """One partition of N samples.

    Attributes
    ----------
    set : ndarray of str, shape (N,)
        "R", "H" or "P": exactly one for each sample.
    reason : ndarray of str, shape (N,)
        A key of `REASONS`.
    trust_strong, trust_weak : ndarray, shape (N,)
        p_s(ỹ | x) and p_w(ỹ | x).
    tau_strong, tau_weak : ndarray, shape (N,)
        The thresholds that were used.
    """

    set: NDArray[np.str_]
    reason: NDArray[np.str_]
    trust_strong: Float
    trust_weak: Float
    tau_strong: Float
    tau_weak: Float

    @property
    def distrusted(self) -> NDArray[np.bool_]:
        """Whose observed label neither model trusts, shape (N,)."""
        return np.isin(self.reason, ["confident_other", "nobody_sure"])

    @property
    def sizes(self) -> dict[str, float]:
        """How many samples each set has: n_R, n_H and n_P."""
        return {f"n_{name}": float((self.set == name).sum()) for name in SETS}

    def table(self) -> pd.DataFrame:
        """Return one row a sample: index, set, p_s, p_w, tau_s, tau_w, reason."""
        return pd.DataFrame({
            "index": np.arange(len(self.set)), "set": self.set,
            "p_s": self.trust_strong, "p_w": self.trust_weak,
            "tau_s": self.tau_strong, "tau_w": self.tau_weak, "reason": self.reason,
        })  # fmt: skip


def partition_samples(
    p_strong: ArrayLike,
    p_weak: ArrayLike,
    noisy_label: ArrayLike,
    tau_strong: ArrayLike,
    tau_weak: ArrayLike,
    *,
    margin: float,
    cap: float,
) -> Partition:
    """Partition N samples by the dynamic-enhanced threshold.

    Parameters
    ----------
    p_strong, p_weak : array, shape (N, C)
        Class probabilities of the two models, rows sum to 1.
    noisy_label : array of int, shape (N,)
        Observed labels ỹ, 0 to C − 1; −1 (missing) is never trusted.
    tau_strong, tau_weak : array, shape (N,)
        The thresholds τ of each sample.
    margin : float
        σ: the mean prediction must exceed the mean threshold by this much for P.
    cap : float
        The most that threshold may be; above 1 − 1e-12 P would be out of reach.

    Returns
    -------
    Partition

    Raises
    ------
    ValueError
        If shapes do not fit or a label is out of range.
    """
    ps, pw = np.asarray(p_strong, np.float64), np.asarray(p_weak, np.float64)
    label = np.asarray(noisy_label, np.int64)
    ts, tw = np.asarray(tau_strong, np.float64), np.asarray(tau_weak, np.float64)
    if ps.ndim != 2 or ps.shape != pw.shape:
        raise ValueError(f"p_strong {ps.shape} and p_weak {pw.shape} must have one shape (N, C)")
    n, classes = ps.shape
    if not (label.shape == ts.shape == tw.shape == (n,)):
        raise ValueError(
            f"noisy_label {label.shape}, tau_strong {ts.shape} and tau_weak {tw.shape} must be ({n},)"
        )
    check_labels(label, classes)
    row = np.arange(n)
    known = label >= 0
    trust_s = np.where(known, ps[row, label], 0.0)
    trust_w = np.where(known, pw[row, label], 0.0)
    above_s, above_w = (trust_s > ts) & known, (trust_w > tw) & known
    confident = ((ps + pw) / 2).max(1) > np.minimum((ts + tw) / 2 + margin, cap)
    reason = np.select([above_s & above_w, above_s, above_w, confident], [0, 1, 2, 3], default=4)
    return _with_reasons(reason, trust_s, trust_w, ts, tw)


def keep_classes(partition: Partition, noisy_label: ArrayLike, least: int) -> Partition:
    """Return the partition with the `least` most trusted samples of each observed label in R.

    A class without samples in R is unlearnt, so it is trusted even less, and does not come back. Trust, shape
    (N,), is the mean of both models'; of equals the first are kept, and all of fewer.
    """
    label = np.asarray(noisy_label, np.int64)
    order = np.lexsort((-(partition.trust_strong + partition.trust_weak), label))
    count = np.bincount(label + 1)  # from 0, the missing ones
    rank = np.empty(len(label), np.int64)
    rank[order] = np.arange(len(label)) - (np.cumsum(count) - count)[label[order] + 1]
    return _in_clean(partition, (label >= 0) & (rank < least) & (partition.set != "R"), "most_trusted")


def _in_clean(partition: Partition, which: NDArray[np.bool_], reason: str) -> Partition:
    """Return the partition with these samples in R, for this reason."""
    return dataclasses.replace(
        partition,
        set=np.where(which, "R", partition.set), reason=np.where(which, reason, partition.reason),
    )  # fmt: skip


def update_thresholds(tau: ArrayLike, probability: ArrayLike, momentum: float) -> Float:
    """Return m τ + (1 − m) max_c p_c, shape (N,), from τ (N,) and predictions (N, C)."""
    p = np.asarray(probability, np.float64)
    updated: Float = momentum * np.asarray(tau, np.float64) + (1.0 - momentum) * p.max(1)
    return updated


class DynamicThreshold:
    """The dynamic-enhanced threshold: both models' thresholds of N samples, moved after each epoch.

    Parameters
    ----------
    n_samples, n_classes : int
        N and C; thresholds start at 1 / C.
    momentum : float
        m, from 0 and below 1.
    margin, cap : float
        See `partition_samples`.
    class_floor : int
        See `keep_classes`; 0, the rule as it is, keeps nothing. `nlkit.methods.noiseal.config.NoiseALConfig`
        holds the defaults of NoiseAL.
    checked : array of bool, shape (N,), optional
        Samples that are in R whatever the models say: a person has decided on their labels.

    Attributes
    ----------
    last : Partition or None
        The partition that was made last.
    """

    def __init__(
        self, n_samples: int, n_classes: int, *, momentum: float, margin: float, cap: float,
        class_floor: int = 0, checked: NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        if not 0.0 <= momentum < 1.0:
            invalid("momentum", momentum, "0 <= momentum < 1")
        if not 0.0 <= margin <= 1.0:
            invalid("margin", margin, "0 to 1")
        if not 0.0 < cap < 1.0:
            invalid("cap", cap, "strictly between 0 and 1")
        self.momentum, self.margin, self.cap, self.class_floor = momentum, margin, cap, class_floor
        self.checked = np.zeros(n_samples, bool) if checked is None else checked
        self.tau_strong: Float = np.full(n_samples, 1.0 / n_classes)
        self.tau_weak: Float = np.full(n_samples, 1.0 / n_classes)
        self.last: Partition | None = None

    def partition(self, p_strong: ArrayLike, p_weak: ArrayLike, noisy_label: ArrayLike) -> Partition:
        """Partition by the thresholds as they are, and only then move them."""
        found = partition_samples(
            p_strong, p_weak, noisy_label, self.tau_strong, self.tau_weak, margin=self.margin, cap=self.cap
        )
        found = keep_classes(found, noisy_label, self.class_floor) if self.class_floor else found
        self.last = _in_clean(found, self.checked, "checked")
        self.tau_strong = update_thresholds(self.tau_strong, p_strong, self.momentum)
        self.tau_weak = update_thresholds(self.tau_weak, p_weak, self.momentum)
        return self.last

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return the thresholds as they are, and the last partition with those that it used."""
        arrays = {"tau_strong": self.tau_strong, "tau_weak": self.tau_weak}
        if self.last is None:
            return _tensors(arrays), {}
        used = {f"last.{name}": getattr(self.last, name) for name in _NUMBERS}
        reason = (self.last.reason[:, None] == np.array(_REASON_NAMES)).argmax(1).astype(np.int8)
        return _tensors(arrays | used | {"last.reason": reason}), {}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        self.tau_strong, self.tau_weak = arrays["tau_strong"], arrays["tau_weak"]
        if "last.reason" in arrays:
            used = (arrays[f"last.{name}"] for name in _NUMBERS)
            self.last = _with_reasons(arrays["last.reason"], *used)


def _tensors(arrays: dict[str, NDArray[Any]]) -> Tensors:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _with_reasons(reason: NDArray[Any], *numbers: Float) -> Partition:
    return Partition(_REASON_SET[reason], np.array(_REASON_NAMES)[reason], *numbers)


def replay(
    dynamics_strong: Sequence[ArrayLike],
    dynamics_weak: Sequence[ArrayLike],
    noisy_label: ArrayLike,
    *,
    momentum: float,
    margin: float,
    cap: float,
    class_floor: int = 0,
) -> list[Partition]:
    """Partition recorded training dynamics anew, with other settings and no training.

    Parameters
    ----------
    dynamics_strong, dynamics_weak : sequence of E arrays, shape (N, C)
        What each model predicted after each epoch (`nlkit.training.DynamicsRecorder`).
    noisy_label : array of int, shape (N,)
        Observed labels.

    Returns
    -------
    list of Partition, one an epoch
    """
    if len(dynamics_strong) != len(dynamics_weak):
        raise ValueError(
            f"dynamics_strong has {len(dynamics_strong)} epochs, dynamics_weak {len(dynamics_weak)}"
        )
    if not len(dynamics_strong):
        return []
    n, classes = np.shape(dynamics_strong[0])
    threshold = DynamicThreshold(
        n, classes, momentum=momentum, margin=margin, cap=cap, class_floor=class_floor
    )
    return [
        threshold.partition(s, w, noisy_label) for s, w in zip(dynamics_strong, dynamics_weak, strict=True)
    ]

"""Who is rightly labelled, by the losses and by other means, beside NoiseAL's split.

- `label_losses`, `loss_separation`: the losses over the epochs, and how well they tell wrong labels.
- `small_loss`: two normal distributions fitted to the losses; the lower one holds the right labels (after
  DivideMix, Li, Socher and Hoi, ICLR 2020, arXiv 2002.07394, with its settings of the mixture).
- `confident_issues`: cleanlab's confident learning (Northcutt, Jiang and Chuang, JAIR 2021, arXiv
  1911.00068).
- `compare_finders`: these, the dynamic-enhanced threshold, and the threshold with one model only.

No finder here reads a true label; `loss_separation` and `compare_finders` score with them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.data.checks import check_labels
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.partition import replay
from nlkit.metrics import detection_report, partition_report

__all__ = [
    "FINDERS",
    "compare_finders",
    "confident_issues",
    "label_losses",
    "loss_separation",
    "small_loss",
]

SMALLEST = 1 / 510
"""Probabilities below this count as this in losses: half a step of what recorded runs keep."""

FINDERS = {
    "both": "threshold, both models",
    "strong": "threshold, strong model alone",
    "weak": "threshold, weak model alone",
    "mixture": "mixture of the strong model's losses",
    "cleanlab": "cleanlab, out of fold",
}
"""What `compare_finders` compares, by key, in its order."""


def label_losses(dynamics: ArrayLike, noisy_label: ArrayLike) -> NDArray[np.float64]:
    """Return each sample's cross-entropy with its observed label, −log p(ỹ | x), after each epoch.

    Parameters
    ----------
    dynamics : array, shape (E, N, C)
        Class probabilities; rows sum to 1. What is below 1/510 counts as that, as recorded runs keep no less.
    noisy_label : array of int, shape (N,)
        Observed labels; −1 is missing.

    Returns
    -------
    ndarray, shape (E, N)
        In nats, 0 to log 510 (6.2); NaN where the label is missing.
    """
    p, label = np.asarray(dynamics), np.asarray(noisy_label, np.int64)
    if p.ndim != 3 or p.shape[1] != len(label):
        invalid("dynamics", f"array of shape {p.shape}", f"shape (E, {len(label)}, C)")
    check_labels(label, p.shape[2])
    own = p[:, np.arange(len(label)), label].astype(np.float64)  # −1 takes the last class, and goes below
    loss: NDArray[np.float64] = -np.log(np.clip(own, SMALLEST, 1.0))
    loss[:, label < 0] = np.nan
    return loss


def loss_separation(dynamics: ArrayLike, noisy_label: ArrayLike, label: ArrayLike) -> NDArray[np.float64]:
    """Return the area under the ROC curve of the loss as a finder of wrong labels, after each epoch.

    Parameters
    ----------
    dynamics : array, shape (E, N, C)
        Class probabilities; rows sum to 1.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels; samples without one of them (−1) are left out.

    Returns
    -------
    ndarray, shape (E,)
        1: every wrong label has a larger loss than every right one; 0.5: chance; NaN where all labels are
        right, or all are wrong.
    """
    noisy = np.asarray(noisy_label, np.int64)
    losses = np.nan_to_num(label_losses(dynamics, noisy))  # a missing label is left out by the report
    return np.array([detection_report(loss, noisy, label)["auc"] for loss in losses])


def small_loss(loss: ArrayLike, *, seed: int = 0) -> NDArray[np.float64]:
    """Return the probability that a sample belongs to the lower of two normal distributions of the losses.

    Parameters
    ----------
    loss : array, shape (N,)
        Such as one row of `label_losses`; NaN is a missing label.
    seed : int
        Of the mixture's start.

    Returns
    -------
    ndarray, shape (N,)
        0 for a missing label; 1 for all others if all their losses are equal.
    """
    from nlkit.methods.mixing import clean_probability  # only here: it brings torch

    values = np.asarray(loss, np.float64)
    if values.ndim != 1:
        invalid("loss", f"array of shape {values.shape}", "shape (N,)")
    known = ~np.isnan(values)
    result = np.zeros(len(values))
    result[known] = clean_probability(values[known], seed)
    return result


def confident_issues(
    texts: Sequence[str], noisy_label: ArrayLike, n_classes: int, *, encoder: str = "minilm",
    max_length: int = 64, folds: int = 5, seed: int = 0,
) -> NDArray[np.bool_]:  # fmt: skip
    """Return which labels cleanlab finds an issue with, shape (N,).

    Its probabilities are those of logistic regression on the frozen encoder's embeddings, each text judged by
    a model that has seen the other folds only, as in `nlkit.ConfidentLearning`.

    Parameters
    ----------
    texts : sequence of N strings
    noisy_label : array of int, shape (N,)
        Observed labels; −1 is missing, and an issue.
    n_classes : int
        C.
    encoder, max_length
        As in every method.
    folds, seed
        Parts that the labelled texts are cut into, and the seed of the cut.

    Raises
    ------
    ImportError
        If cleanlab is not installed.
    """
    # Only here: they bring torch.
    from nlkit.methods.label_cleaning import confident_learning, label_issues
    from nlkit.models.encoder import TextEncoder
    from nlkit.noise.estimating import out_of_fold_probabilities

    find, label = confident_learning(), np.asarray(noisy_label, np.int64)
    check_labels(label, n_classes)
    known = np.flatnonzero(label >= 0)
    issue = np.ones(len(label), bool)
    if len(known):
        embedding = TextEncoder(encoder, trainable_layers=0, max_length=max_length).embed(
            [texts[int(i)] for i in known]
        )
        p = out_of_fold_probabilities(embedding, label[known], n_classes, folds=folds, seed=seed)
        issue[known] = label_issues(find, p, label[known])
    return issue


def compare_finders(
    strong: ArrayLike, weak: ArrayLike, noisy_label: ArrayLike, label: ArrayLike, *,
    issues: ArrayLike | None = None, momentum: float = NoiseALConfig.momentum,
    margin: float = NoiseALConfig.margin, cap: float = NoiseALConfig.cap, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Compare who is kept as rightly labelled, finder by finder and epoch by epoch.

    Parameters
    ----------
    strong, weak : array, shape (E, N, C)
        Recorded training dynamics of both models.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels; the latter for the scores only.
    issues : array of bool, shape (N,), optional
        From `confident_issues`: the same after each epoch, as it has a classifier of its own. Without it
        cleanlab is left out.
    momentum, margin, cap
        m, σ and ceiling of the threshold.
    seed : int
        Of the mixture's start.

    Returns
    -------
    DataFrame, one row a finder and epoch
        finder (a key of `FINDERS`), epoch (from 1), kept (how many samples), precision (share of them whose
        label is right), recall (share of the right labels that are kept) and f1, their harmonic mean.
    """
    noisy = np.asarray(noisy_label, np.int64)
    pairs = {"both": (strong, weak), "strong": (strong, strong), "weak": (weak, weak)}
    kept: dict[str, list[NDArray[np.bool_]]] = {}
    for name, (first, second) in pairs.items():
        one, other = (list(np.asarray(p)) for p in (first, second))
        sets = replay(one, other, noisy, momentum=momentum, margin=margin, cap=cap)
        kept[name] = [partition.set == "R" for partition in sets]
    kept["mixture"] = [small_loss(loss, seed=seed) > 0.5 for loss in label_losses(strong, noisy)]
    if issues is not None:
        kept["cleanlab"] = [~np.asarray(issues, bool)] * len(kept["both"])
    rows = []
    for name, epochs in kept.items():
        for epoch, chosen in enumerate(epochs, start=1):
            # As a set R beside "P": the report then says how good R is as a finder of right labels.
            found = partition_report(np.where(chosen, "R", "P"), noisy, label)
            size, precision, recall = (found[column][0] for column in ("size", "precision", "recall"))
            f1 = 2 * precision * recall / (precision + recall) if precision + recall > 0 else np.nan
            rows.append((name, epoch, size, precision, recall, f1))
    return pd.DataFrame(rows, columns=["finder", "epoch", "kept", "precision", "recall", "f1"])

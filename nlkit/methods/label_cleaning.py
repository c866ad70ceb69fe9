"""Rivals that clean the labels first and then train: by neighbours, and by confident learning.

Both embed the training texts with the pre-trained encoder, before any training, decide by those embeddings
which labels to change or to drop, and train the classifier of `nlkit.methods.baselines` on what they leave.
The validation split stays as it was observed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from datasets import DatasetDict
from numpy.typing import NDArray

from nlkit.data.observed import Observed, label_names, observe
from nlkit.methods.base import Method
from nlkit.methods.baselines import Baseline, BaselineConfig
from nlkit.methods.sidyp.prior import neighbour_prior
from nlkit.noise.estimating import out_of_fold_probabilities

__all__ = [
    "ConfidentLearning",
    "ConfidentLearningConfig",
    "KNNRelabel",
    "KNNRelabelConfig",
    "confident_learning",
    "label_issues",
]

Floats = NDArray[np.float64]


class LabelCleaner(Baseline):
    """A baseline that first changes or drops labels; the loss is CE unless a setting says otherwise."""

    __init__ = Method.__init__  # without `loss`


# -- kNN relabelling ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class KNNRelabelConfig(BaselineConfig):
    """Settings of `KNNRelabel`; those of `BaselineConfig` come with it, with CE as the loss.

    Attributes
    ----------
    k
        K, the neighbours that vote on a label.
    """

    k: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("k", low=1, whole=True)


class KNNRelabel(LabelCleaner):
    """Give every training text the label of its nearest neighbours, then train the strong classifier.

    A text's new label is the distance-weighted majority among the observed labels of the K other texts that
    are nearest in the pre-trained encoder's embedding space; its own label has no vote. A text without a
    label gets one too, and votes for nobody.

    Parameters
    ----------
    encoder, profile, seed
        As in every method.
    **settings
        Any other field of `KNNRelabelConfig`.

    Attributes
    ----------
    relabelled_ : DataFrame
        One row a training text: index, noisy_label (−1: missing), label (the new one), changed, and share,
        the new label's part of the neighbours' weight.
    history_ : DataFrame
        One row an epoch.
    """

    config_class = KNNRelabelConfig
    config: KNNRelabelConfig
    relabelled_: pd.DataFrame
    tables: ClassVar[tuple[str, ...]] = ("history_", "relabelled_")

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Relabel all training texts, and learn the new labels; parameters as in `NoiseAL.fit`."""
        data, n_classes = observe(ds, "train"), len(label_names(ds))
        nobody = np.zeros(len(data.texts), bool)
        # With both thresholds at 1 the weights are the neighbours' votes and nothing is cut away.
        votes = neighbour_prior(
            self._text_embedding(data.texts), data.noisy_label, nobody, n_classes, k=self.config.k,
            gamma=1.0, delta=1.0,
        ).weight  # fmt: skip
        label = np.where(data.checked, data.noisy_label, votes.argmax(1)).astype(np.int64)
        table = pd.DataFrame({
            "index": np.arange(len(label)), "noisy_label": data.noisy_label, "label": label,
            "changed": label != data.noisy_label,
            "share": votes[np.arange(len(label)), label],
        })  # fmt: skip
        return self._fit_on(
            Observed(data.texts, label, data.checked), ds, eval_splits, checkpoint, relabelled_=table
        )


# -- confident learning ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ConfidentLearningConfig(BaselineConfig):
    """Settings of `ConfidentLearning`; those of `BaselineConfig` come with it, with CE as the loss.

    Attributes
    ----------
    folds
        Parts that the training texts are cut into; each is judged by a model that has seen the others only.
        With fewer labelled texts than that, each text is a part.
    """

    folds: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("folds", low=2, whole=True)


class ConfidentLearning(LabelCleaner):
    """Drop the texts whose labels cleanlab finds issues with, then train the strong classifier on the rest.

    The issues come from the probabilities that logistic regression on the pre-trained encoder's embeddings
    gives each text when it was not trained on it. The only text of a class is never dropped. Needs cleanlab:
    ``pip install 'nlkit[baselines]'``.

    Parameters
    ----------
    encoder, profile, seed
        As in every method.
    **settings
        Any other field of `ConfidentLearningConfig`.

    Attributes
    ----------
    pruned_ : DataFrame
        One row a training text that has a label: index (its place in the training split), noisy_label, issue
        (whether it was dropped), confidence (out-of-fold probability of the observed label) and suggestion
        (the class most probable out of fold).
    history_ : DataFrame
        One row an epoch.
    """

    config_class = ConfidentLearningConfig
    config: ConfidentLearningConfig
    pruned_: pd.DataFrame
    tables: ClassVar[tuple[str, ...]] = ("history_", "pruned_")

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Prune the labelled training texts, and learn from the rest; parameters as in `NoiseAL.fit`.

        Raises
        ------
        ImportError
            If cleanlab is not installed.
        ValueError
            If the data cannot be used, or no text is left.
        """
        find_label_issues = confident_learning()  # before anything that takes time
        everything, c = observe(ds, "train"), self.config
        known, data = np.flatnonzero(everything.noisy_label >= 0), everything.labelled()
        probability = out_of_fold_probabilities(
            self._text_embedding(data.texts), data.noisy_label, len(label_names(ds)), folds=c.folds,
            seed=c.seed,
        )  # fmt: skip
        issue = label_issues(find_label_issues, probability, data.noisy_label) & ~data.checked
        table = pd.DataFrame({
            "index": known, "noisy_label": data.noisy_label, "issue": issue,
            "confidence": probability[np.arange(len(known)), data.noisy_label],
            "suggestion": probability.argmax(1),
        })  # fmt: skip
        return self._fit_on(data.take(np.flatnonzero(~issue)), ds, eval_splits, checkpoint, pruned_=table)


def confident_learning() -> Callable[..., Any]:
    """Return cleanlab's ``find_label_issues``."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise ImportError(
            f"ConfidentLearning needs cleanlab, which cannot be imported ({error}): "
            "pip install 'nlkit[baselines]'"
        ) from error
    found: Callable[..., Any] = find_label_issues
    return found


def label_issues(
    find_label_issues: Callable[..., Any], probability: Floats, label: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Ask cleanlab about the classes that occur, renumbered without gaps; shape (N,)."""
    classes, number = np.unique(label, return_inverse=True)
    if len(classes) < 2:
        return np.zeros(len(label), bool)  # nothing to confuse the only class with
    with warnings.catch_warnings():
        # It says that the only text of a class is never dropped, by a number and a setting nobody sees here.
        warnings.filterwarnings("ignore", message="May not flag all label issues", category=UserWarning)
        found = find_label_issues(number, probability[:, classes], n_jobs=1)
    issue: NDArray[np.bool_] = np.asarray(found, bool)
    if issue.all():
        raise ValueError(
            f"cleanlab finds an issue with each of the {len(issue)} training labels: no text is left to "
            "learn from. Use KNNRelabel, or give more labels"
        )
    return issue

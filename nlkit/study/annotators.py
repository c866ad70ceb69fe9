"""Columns of several annotators, language models or people: how far they agree, and what they agree on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.data.checks import numbers_of
from nlkit.data.observed import with_column
from nlkit.metrics import alt_test, class_shares, krippendorff_alpha, pairwise_agreement

__all__ = ["PREFIX", "Agreement", "agreement", "annotators_of", "dawid_skene", "with_consensus"]

PREFIX = "noisy_label_"
"""What the columns of annotators begin with, as `nlkit.load_dataset` makes them; the rest is the name."""


@dataclass(frozen=True)
class Agreement:
    """What `agreement` found.

    Attributes
    ----------
    names : list of C str
        Of the classes.
    alpha : float
    interval : tuple of two floats
        Krippendorff's α of all annotators, with its 95 % interval (`nlkit.metrics.krippendorff_alpha`).
    pairs : DataFrame, shape (A, A)
        How often each two agree.
    annotators : DataFrame, one row an annotator
        labelled (texts), with_consensus (share of its labels that are the consensus), advantage, wins and
        replaces (`nlkit.metrics.alt_test` against the others; NaN and None where there are too few), and
        right, the share of its labels that are gold ones, where there are any.
    consensus : ndarray of int, shape (N,)
        The likeliest label by Dawid and Skene's model; −1 where nobody has labelled.
    probability : ndarray, shape (N, C)
        Of each class; rows sum to 1, or to 0 where nobody has labelled.
    shares : DataFrame or None
        `nlkit.metrics.class_shares` of the consensus, where there are gold labels; by class name.
    """

    names: list[str]
    alpha: float
    interval: tuple[float, float]
    pairs: pd.DataFrame
    annotators: pd.DataFrame
    consensus: NDArray[np.int64]
    probability: NDArray[np.float64]
    shares: pd.DataFrame | None

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"Agreement of {', '.join(self.annotators.index)}: α {self.alpha:.2f} ({low:.2f} to {high:.2f})\n"
            f"{self.annotators.round(2).to_string()}"
        )

    def dataset(self, ds: Mapping[str, Dataset]) -> DatasetDict:
        """Return the data that this was made from with the consensus as ``noisy_label``."""
        result, at, feature = DatasetDict(ds), 0, ClassLabel(names=self.names)
        for split, part in ds.items():
            if annotators_of(part):
                label = self.consensus[at : at + len(part)].tolist()
                result[split] = with_column(part, "noisy_label", label, feature)
                at += len(part)
        return result


def annotators_of(part: Dataset) -> list[str]:
    """Return the columns of annotators in a split."""
    return [name for name in part.column_names if name.startswith(PREFIX)]


def agreement(ds: Mapping[str, Dataset], *, epsilon: float = 0.1) -> Agreement:
    """Look at the labels of several annotators, and make one of them.

    Parameters
    ----------
    ds
        Splits with class labels in columns ``noisy_label_…``, as ``nk.load_dataset(…, noisy_label=["gpt",
        "zephyr"])`` returns; splits without are not looked at. Of a ``label`` (−1: none), which is gold,
        nothing else than ``right`` and ``shares`` is made.
    epsilon : float
        ε of the alt-test (`nlkit.metrics.alt_test`): each annotator is tested against the others.

    Raises
    ------
    ImportError
        If crowd-kit is not installed: ``pip install 'nlkit[baselines]'``.
    ValueError
        If there are fewer than two annotators.

    Examples
    --------
    >>> import nlkit as nk
    >>> ds = nk.load_dataset("my.csv", noisy_label=["gpt", "zephyr"], validation=0)   # doctest: +SKIP
    >>> found = nk.agreement(ds)                                                      # doctest: +SKIP
    >>> nk.clean(found.dataset(ds))                                                   # doctest: +SKIP
    """
    if not isinstance(ds, Mapping):
        invalid("ds", type(ds).__name__, "a DatasetDict, as nk.load_dataset returns it")
    parts = {split: part for split, part in ds.items() if annotators_of(part)}
    columns = list(dict.fromkeys(name for part in parts.values() for name in annotators_of(part)))
    if len(columns) < 2:
        invalid(
            "ds", columns, f"splits with at least two columns {PREFIX}…: nk.load_dataset(…, noisy_label=[…])"
        )
    names: list[str] = next(part.features[c].names for part in parts.values() for c in annotators_of(part))

    def numbers(column: str) -> NDArray[np.int64]:
        """Return a column of all splits; −1 where a split has none."""
        return np.concatenate([
            numbers_of(part, column, f"ds[{split!r}]", names) if column in part.column_names
            else np.full(len(part), -1) for split, part in parts.items()
        ])  # fmt: skip

    labels, gold = np.stack([numbers(column) for column in columns]), numbers("label")
    alpha, interval = krippendorff_alpha(labels)
    probability = dawid_skene(labels, len(names))
    consensus = np.where(probability.any(1), probability.argmax(1), -1)
    who = [column.removeprefix(PREFIX) for column in columns]
    rows = []
    for j, own in enumerate(labels):
        known, judged = own >= 0, (own >= 0) & (gold >= 0)
        row: dict[str, Any] = {
            "labelled": int(known.sum()),
            "with_consensus": _share(own == consensus, known),
        }
        row |= {"advantage": np.nan, "wins": np.nan, "replaces": None}
        if len(labels) > 2:
            try:
                test = alt_test(own, np.delete(labels, j, 0), epsilon=epsilon)
                row |= {"advantage": test.advantage, "wins": test.winning_rate, "replaces": test.replaces}
            except ValueError:  # too few texts in common: nothing can be said
                pass
        rows.append(row | ({"right": _share(own == gold, judged)} if (gold >= 0).any() else {}))
    shares = None
    if (gold >= 0).sum() > 1:
        shares = class_shares(consensus, gold, len(names)).set_axis(pd.Index(names, name="class"))
    pairs = pd.DataFrame(pairwise_agreement(labels), who, who)
    return Agreement(names, alpha, interval, pairs, pd.DataFrame(rows, who), consensus, probability, shares)


def dawid_skene(labels: ArrayLike, n_classes: int) -> NDArray[np.float64]:
    """Return how likely each class is by the labels of A annotators, each with a confusion matrix of its own.

    The model is that of Dawid and Skene (Applied Statistics 1979), fitted by crowd-kit from the majority's
    vote on. It takes annotators for independent given the truth: language models that share mistakes are not,
    and look better to it than they are.

    Parameters
    ----------
    labels : array of int, shape (A, N)
        −1 is missing.
    n_classes : int
        C.

    Returns
    -------
    ndarray, shape (N, C)
        Rows sum to 1, or to 0 where nobody has labelled.
    """
    try:
        from crowdkit.aggregation import DawidSkene
    except ImportError as error:
        raise ImportError("the consensus needs crowd-kit: pip install 'nlkit[baselines]'") from error
    given = np.asarray(labels, np.int64)
    annotator, text = np.nonzero(given >= 0)
    result = np.zeros((given.shape[1], n_classes))
    if len(text):
        said = pd.DataFrame({"task": text, "worker": annotator, "label": given[annotator, text]})
        with warnings.catch_warnings():  # it names arguments that pandas will do without
            warnings.simplefilter("ignore", category=DeprecationWarning)
            found: Any = DawidSkene(n_iter=100).fit(said).probas_
        result[np.ix_(found.index.to_numpy(), found.columns.to_numpy())] = found.to_numpy()
    return result


def _share(hit: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    return float(hit[of].mean()) if of.any() else np.nan


def with_consensus(ds: DatasetDict) -> tuple[DatasetDict, Agreement | None]:
    """Return data whose ``noisy_label`` is the annotators' consensus, and their agreement.

    Data that have a ``noisy_label``, or no annotators, are returned as they are, with None.
    """
    if "noisy_label" in ds["train"].column_names or not annotators_of(ds["train"]):
        return ds, None
    said = agreement(ds)
    return said.dataset(ds), said

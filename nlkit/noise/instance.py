"""Instance-dependent noise: flip rates by sample, and wrong classes that a classifier finds plausible."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.data.checks import check_texts

if TYPE_CHECKING:
    from datasets import DatasetDict

__all__ = ["choose", "class_probabilities", "flip_by_instance", "flip_rates", "out_of_fold"]

# Standard deviation of the flip rate between samples.
RATE_SPREAD = 0.1

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def choose(probabilities: Floats, u: Floats) -> Labels:
    """Pick a class in each row: the first whose cumulative probability exceeds u.

    Parameters
    ----------
    probabilities : (n, C) float
        Weights of the classes; rows need not sum to 1, but must sum to more than 0.
    u : (n,) float
        Uniform numbers in [0, 1).
    """
    cumulative: Floats = probabilities.cumsum(axis=1)
    # The last entry becomes exactly 1, above every u; classes of probability 0 are never picked.
    cumulative /= cumulative[:, -1:]
    chosen: Labels = (u[:, None] >= cumulative).sum(axis=1, dtype=np.int64)
    return chosen


def flip_rates(n: int, rate: float, rng: np.random.Generator) -> Floats:
    """Draw n flip rates from N(rate, 0.1²) truncated to [0, 1], with the mean brought back to `rate`.

    Truncation moves the mean towards 1/2. Below 1/2 the rates are scaled by rate / mean, above it their
    distances from 1 are; so a rate of 0 flips nothing and a rate of 1 everything.
    """
    from scipy.stats import truncnorm

    low = min(rate, 1 - rate)
    law = truncnorm(-low / RATE_SPREAD, (1 - low) / RATE_SPREAD, loc=low, scale=RATE_SPREAD)
    q: Floats = law.ppf(rng.random(n)) * (low / float(law.mean()))
    return q if rate <= 0.5 else 1 - q


def flip_by_instance(labels: Labels, probabilities: Floats, rate: float, rng: np.random.Generator) -> Labels:
    """Flip each label with its own rate, to a wrong class in proportion to `probabilities`, (n, C)."""
    n, C = len(labels), probabilities.shape[1]
    flips = flip_rates(n, rate, rng) > rng.random(n)
    others = np.where(np.arange(C) == labels[:, None], 0.0, probabilities)  # (n, C)
    # A classifier that is certain of the true class leaves nothing to choose from: then any other class.
    certain = others.sum(axis=1) <= 0
    others[certain] = 1.0
    others[certain, labels[certain]] = 0.0
    wrong = choose(others, rng.random(n))
    return np.where(labels < 0, -1, np.where(flips, wrong, labels))


def class_probabilities(
    ds: DatasetDict, labels: Mapping[str, Labels], C: int, features: Mapping[str, ArrayLike] | None, seed: int
) -> dict[str, Floats]:
    """Return split -> (n, C) class probabilities, out of fold for train; rows sum to 1."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit
    from threadpoolctl import threadpool_limits

    inputs = _inputs(ds, list(labels), features)
    y = labels["train"]
    known = np.flatnonzero(y >= 0)
    if len(known) < 2 or len(np.unique(y[known])) < 2:
        invalid(
            "ds",
            f"train with {len(known)} labels",
            "labels of at least two classes to train the classifier on",
        )
    result = {split: np.full((len(labels[split]), C), 1.0 / C) for split in labels}
    folds = np.random.default_rng([seed, 4]).permutation(len(known)) % min(5, len(known))
    model, x = LogisticRegression(max_iter=200, tol=1e-3), inputs["train"][known]
    # The products are small: more threads only wait for each other (much slower on a busy machine).
    with threadpool_limits(1):
        result["train"][known] = out_of_fold(model, x, y[known], C, PredefinedSplit(folds))
        if "validation" in labels:
            found = model.fit(x, y[known]).predict_proba(inputs["validation"])
            result["validation"] = np.zeros((len(found), C))
            result["validation"][:, model.classes_] = found
    return result


def out_of_fold(model: Any, x: Any, label: Labels, n_classes: int, cut: Any) -> Floats:
    """Return what a classifier says of each sample after training on the other folds only.

    Parameters
    ----------
    model
        A classifier of scikit-learn's kind, not fitted.
    x : (n, D) array or sparse matrix
    label : (n,) int
        None missing.
    n_classes
        C. A class that the other folds lack has probability 0.
    cut
        One of scikit-learn's splitters. Where it leaves one class only to learn from, for any fold, each
        label is taken at its word.

    Returns
    -------
    (n, C) float64
        Probabilities; rows sum to 1.
    """
    from sklearn.model_selection import cross_val_predict

    result = np.zeros((len(label), n_classes))
    with warnings.catch_warnings():
        # A class smaller than the folds is no mistake of the user's: some folds go without it.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        warnings.filterwarnings("ignore", message="Number of classes in", category=RuntimeWarning)
        parts = list(cut.split(x, label))
        if any(len(np.unique(label[others])) < 2 for others, _ in parts):
            return np.eye(n_classes)[label]
        found = cross_val_predict(model, x, label, cv=parts, method="predict_proba")
    result[:, np.unique(label)] = found
    return result


def _inputs(
    ds: DatasetDict, splits: Sequence[str], features: Mapping[str, ArrayLike] | None
) -> dict[str, Any]:
    if features is None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(sublinear_tf=True, max_features=20_000, token_pattern=r"(?u)\S+")
        texts = {split: check_texts(ds[split]["text"][:], f"ds[{split!r}]['text']") for split in splits}
        vectorizer.fit(texts["train"])
        return {split: vectorizer.transform(texts[split]) for split in splits}
    arrays = {}
    for split in splits:
        array = np.asarray(features[split], dtype=np.float64) if split in features else np.empty(0)
        if array.ndim != 2 or len(array) != len(ds[split]) or not np.isfinite(array).all():
            invalid(
                f"features[{split!r}]",
                f"array of shape {array.shape}" if split in features else "missing",
                f"a finite array of shape ({len(ds[split])}, D)",
            )
        arrays[split] = array
    centre, scale = arrays["train"].mean(axis=0), arrays["train"].std(axis=0)
    return {split: (array - centre) / np.where(scale > 0, scale, 1) for split, array in arrays.items()}

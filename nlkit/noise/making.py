"""Label noise made on purpose: transition matrices, three kinds of noise, and what was achieved.

A transition matrix T has shape (C, C) and T[i, j] = P(noisy label = j | true label = i), so its rows sum to
1. Symmetric and asymmetric noise depend on the class only; instance-dependent noise also on the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.data.checks import check_choice, check_count, check_share, class_names, numbers_of
from nlkit.data.observed import with_column
from nlkit.noise.instance import choose, class_probabilities, flip_by_instance
from nlkit.noise.report import rates

if TYPE_CHECKING:
    from datasets import DatasetDict

__all__ = [
    "KINDS", "Kind", "add_noise", "confusable_pairs", "flip_by_class", "instance_probabilities",
    "transition_matrix",
]  # fmt: skip

KINDS = ("symmetric", "asymmetric", "instance")
Kind = Literal["symmetric", "asymmetric", "instance"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def transition_matrix(
    kind: Literal["symmetric", "asymmetric"],
    n_classes: int,
    rate: float,
    *,
    pairs: Mapping[int, int] | None = None,
    matrix: ArrayLike | None = None,
) -> Floats:
    """Return the transition matrix of a class-conditional noise.

    Parameters
    ----------
    kind
        "symmetric": a label flips to any other class, all equally likely. "asymmetric": class y flips to one
        other class, y + 1 (mod C) unless `pairs` or `matrix` says otherwise.
    n_classes
        C, at least 2.
    rate
        Probability in [0, 1] that a label flips. Not used when `matrix` is given.
    pairs
        With "asymmetric": true class -> class it flips to. Classes that are not named stay as they are, so
        the fraction of wrong labels over all classes is then below `rate`.
    matrix : (C, C) array_like
        With "asymmetric": the transition matrix itself; checked and returned as a copy.

    Returns
    -------
    (C, C) float64
        T[i, j] = P(noisy label = j | true label = i); rows sum to 1.
    """
    if not isinstance(kind, str) or kind not in ("symmetric", "asymmetric"):
        allowed = 'one of "symmetric", "asymmetric" (instance-dependent noise has no single matrix)'
        invalid("kind", kind, allowed)
    check_count("n_classes", n_classes, 2)
    check_share("rate", rate)
    if kind == "symmetric" and (pairs is not None or matrix is not None):
        invalid("kind", kind, 'pairs and matrix need kind="asymmetric"')
    if pairs is not None and matrix is not None:
        invalid("pairs", pairs, "give either pairs or matrix")
    if matrix is not None:
        return _checked_matrix(matrix, n_classes)
    result = np.eye(n_classes)
    if kind == "symmetric":
        return (1 - rate) * result + rate * (1 - result) / (n_classes - 1)
    if pairs is None:
        pairs = {c: (c + 1) % n_classes for c in range(n_classes)}
    for source, target in pairs.items():
        if source == target or not {source, target} <= set(range(n_classes)):
            invalid("pairs", dict(pairs), f"different class numbers in 0 … {n_classes - 1}")
        result[source, source], result[source, target] = 1 - rate, rate
    return result


def _checked_matrix(matrix: ArrayLike, n_classes: int) -> Floats:
    try:
        result = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        invalid("matrix", matrix, "an array of numbers")
    if result.shape != (n_classes, n_classes):
        invalid("matrix", f"array of shape {result.shape}", f"shape ({n_classes}, {n_classes})")
    if not (np.isfinite(result).all() and (result >= 0).all()):
        invalid("matrix", result.tolist(), "probabilities: finite and not negative")
    sums = result.sum(axis=1)
    if not np.allclose(sums, 1, rtol=0, atol=1e-6):
        worst = int(np.argmax(np.abs(sums - 1)))
        invalid("matrix", f"row {worst} sums to {sums[worst]:.6g}", "every row sums to 1")
    normalised: Floats = result / sums[:, None]
    return normalised


def add_noise(
    ds: DatasetDict,
    kind: Kind = "symmetric",
    rate: float = 0.4,
    seed: int = 0,
    *,
    matrix: ArrayLike | None = None,
    pairs: Mapping[int | str, int | str] | None = None,
    features: Mapping[str, ArrayLike] | None = None,
    probabilities: Mapping[str, ArrayLike] | None = None,
    return_report: bool = False,
) -> Any:
    """Add a column `noisy_label` to train and validation; `label` and test stay as they are.

    Parameters
    ----------
    ds
        Needs `label`, a `ClassLabel`, in train and validation. An older `noisy_label` there is replaced.
        Samples without a label (-1 or None) get -1.
    kind
        "symmetric" and "asymmetric" as in `transition_matrix`; "instance": every sample has its own flip rate
        (see `flip_rates`), and a flipped label becomes a wrong class in proportion to the probability that a
        classifier, trained on the true labels, gives it. The classifier is logistic regression on TF-IDF, or
        on `features`; training samples are judged out of fold.
    rate
        Expected fraction of labels that end up wrong.
    seed
        Seed of every draw and of the folds.
    matrix, pairs
        With "asymmetric"; see `transition_matrix`. Pairs may use class names.
    features
        With "instance": split -> (n, D) array that the classifier sees instead of TF-IDF.
    probabilities
        With "instance": split -> (n, C) array, what `instance_probabilities` returned or a classifier of your
        own gives; rows sum to 1. No classifier is trained then.
    return_report
        Also return the wanted and the achieved rate.

    Returns
    -------
    datasets.DatasetDict
        A new one; `ds` is not changed.
    pandas.DataFrame
        With ``return_report=True``: columns split, class_name ("all" for the whole split), n (samples with a
        label), wanted (expected rate) and achieved (fraction of wrong labels; NaN when n is 0).

    Notes
    -----
    The distribution of the flip rates follows Xia et al. (2020), Part-dependent Label Noise; drawing the
    wrong class from a classifier is this project's choice, because it makes the mistakes plausible.
    """
    check_choice("kind", kind, KINDS)
    check_share("rate", rate)
    check_count("seed", seed)
    for needed, given in (
        ("instance", {"features": features, "probabilities": probabilities}),
        ("asymmetric", {"matrix": matrix, "pairs": pairs}),
    ):
        for field, value in given.items():
            if value is not None and kind != needed:
                invalid(field, type(value).__name__, f'only kind="{needed}" looks at {field}')
    if not isinstance(pairs, Mapping | None):
        invalid("pairs", pairs, "a mapping of classes to classes")
    if features is not None and probabilities is not None:
        invalid("features", "given with probabilities", "one of the two")
    if "train" not in ds:
        invalid("ds", list(ds), "a DatasetDict with a train split")
    labels, names = _labels(ds), class_names(ds["train"], "label", "train")
    C, feature = len(names), ds["train"].features["label"]
    # One stream a split, so that a longer train split does not change the noise in validation.
    rngs = {split: np.random.default_rng([seed, 2 + number]) for number, split in enumerate(labels)}
    if kind == "instance":
        if probabilities is None:
            p = class_probabilities(ds, labels, C, features, seed)
        else:
            p = {split: _checked_rows(probabilities, split, len(y), C) for split, y in labels.items()}
        noisy = {split: flip_by_instance(y, p[split], rate, rngs[split]) for split, y in labels.items()}
        wanted = np.full(C, float(rate))
    else:
        flips = None if pairs is None else {_number(k, names): _number(v, names) for k, v in pairs.items()}
        T = transition_matrix(kind, C, rate, pairs=flips, matrix=matrix)
        noisy = {split: flip_by_class(y, T, rngs[split]) for split, y in labels.items()}
        wanted = 1 - np.diag(T)
    result = type(ds)(ds)
    for split, label in noisy.items():
        result[split] = with_column(ds[split], "noisy_label", label.tolist(), feature)
    return (result, rates(result, list(labels), wanted, names)) if return_report else result


def flip_by_class(labels: Labels, T: Floats, rng: np.random.Generator) -> Labels:
    """Draw each label from its class's row of T, (C, C); a missing one (−1) stays missing."""
    return np.where(labels >= 0, choose(T[labels], rng.random(len(labels))), -1)


def _checked_rows(given: Mapping[str, ArrayLike], split: str, n: int, n_classes: int) -> Floats:
    field = f"probabilities[{split!r}]"
    if split not in given:
        invalid(field, "missing", f"an array of shape ({n}, {n_classes})")
    rows = np.asarray(given[split], np.float64)
    if rows.shape != (n, n_classes):
        invalid(field, f"array of shape {rows.shape}", f"shape ({n}, {n_classes})")
    if not (rows >= 0).all() or not np.allclose(rows.sum(axis=1), 1, rtol=0, atol=1e-3):
        invalid(field, "rows that are no probabilities", "numbers of at least 0 that sum to 1 in each row")
    return rows


def instance_probabilities(
    ds: DatasetDict, features: Mapping[str, ArrayLike] | None = None, seed: int = 0
) -> dict[str, Floats]:
    """Return what the classifier behind instance-dependent noise gives each class, split by split.

    For ``add_noise(ds, "instance", rate, seed, probabilities=…)``: with several rates it is trained once.

    Returns
    -------
    dict of str to (n, C) float64
        Of train and, if there is one, validation; rows sum to 1. Training samples are judged out of fold.
    """
    labels = _labels(ds)
    return class_probabilities(ds, labels, len(class_names(ds["train"], "label", "train")), features, seed)


def _labels(ds: DatasetDict, splits: Sequence[str] = ("train", "validation")) -> dict[str, Labels]:
    """Return the true labels of these splits, as far as they are there."""
    labels, names = {}, getattr(ds["train"].features.get("label"), "names", None)
    for split in splits:
        if split in ds:
            if "label" not in ds[split].column_names:
                columns = f"{split} with columns {ds[split].column_names}"
                invalid("ds", columns, "true labels in a column `label` to add noise to")
            class_names(ds[split], "label", split)
            labels[split] = numbers_of(ds[split], "label", f"ds[{split!r}]", names)
    return labels


def _number(value: int | str, names: Sequence[str]) -> int:
    if isinstance(value, str):
        if value not in names:
            invalid("pairs", value, f"class numbers or names: {', '.join(names)}")
        return names.index(value)
    return int(value)


def confusable_pairs(
    ds: DatasetDict, features: Mapping[str, ArrayLike] | None = None, seed: int = 0
) -> dict[int, int]:
    """Return class -> the other class that a classifier confuses it with most.

    For ``add_noise(ds, "asymmetric", pairs=confusable_pairs(ds))``. The classifier is the one of
    instance-dependent noise; the confusion of i with j is the mean out-of-fold probability of j over the
    training samples of class i. Classes without samples are left out.
    """
    label = _labels(ds, ["train"])["train"]
    C = len(class_names(ds["train"], "label", "train"))
    p = class_probabilities(ds, {"train": label}, C, features, seed)["train"]
    pairs = {}
    for c in np.unique(label[label >= 0]).tolist():
        confusion = p[label == c].mean(axis=0)
        confusion[c] = -1
        pairs[c] = int(confusion.argmax())
    return pairs

"""Label noise as it is: counted from true and observed labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nlkit._util import invalid
from nlkit.data.checks import check_choice, class_names, numbers_of

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset, DatasetDict

__all__ = ["NoiseReport", "noise_report", "rates"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class NoiseReport:
    """Noise as measured from `label` and `noisy_label`.

    Attributes
    ----------
    class_names
        The C names.
    counts : (C, C) int64
        counts[i, j]: samples of true class i labelled j.
    matrix : (C, C) float64
        Measured transition matrix; rows sum to 1, and are NaN for a class without samples.
    rate
        Fraction of wrong labels among the n samples that have both labels; NaN when n is 0.
    n, missing
        Samples with both labels, and samples without one of them.
    table : pandas.DataFrame
        One row a class: class_name, n, rate, most_confused_with ("" when nothing is wrong).
    by_length : pandas.DataFrame
        One row a quarter of the n samples, from the shortest texts to the longest: words_from, words_to, n,
        rate. Texts of equal length are in one row, so that the rows may differ in size, and be empty (NaN).
        A missing text has no words. No rows when there is no column text.
    """

    class_names: tuple[str, ...]
    counts: Labels
    matrix: Floats
    rate: float
    n: int
    missing: int
    table: pd.DataFrame
    by_length: pd.DataFrame


def count_matrix(label: Labels, noisy_label: Labels, n_classes: int) -> Labels:
    """Return counts, (C, C): [i, j] of true class i are labelled j; a missing label (−1) is left out."""
    both = (label >= 0) & (noisy_label >= 0)
    pair = label[both] * n_classes + noisy_label[both]
    return np.bincount(pair, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.int64)


def noise_report(ds: DatasetDict | Dataset, split: str = "train") -> NoiseReport:
    """Measure the noise in a split of a `DatasetDict`, or in a `Dataset`."""
    import pandas as pd

    if isinstance(ds, dict):
        check_choice("split", split, list(ds))
    data = ds[split] if isinstance(ds, dict) else ds
    absent = {"label", "noisy_label"} - set(data.column_names)
    if absent:
        allowed = f"the columns label and noisy_label; {', '.join(sorted(absent))} is missing"
        invalid("ds", data.column_names, allowed)
    names = tuple(class_names(data, "label", split))
    C = len(names)
    true, noisy = (numbers_of(data, column, split, names) for column in ("label", "noisy_label"))
    both = (true >= 0) & (noisy >= 0)
    counts = count_matrix(true, noisy, C)
    sizes = counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        matrix: Floats = counts / sizes[:, None]
    wrong = counts - np.diag(np.diag(counts))
    table = pd.DataFrame({
        "class_name": names, "n": sizes, "rate": 1 - np.diag(matrix),
        "most_confused_with": [names[row.argmax()] if row.any() else "" for row in wrong],
    })  # fmt: skip
    n = int(both.sum())
    rate = float(wrong.sum() / n) if n else float("nan")
    texts = data["text"][:] if "text" in data.column_names else None
    by_length = _by_length(texts, both, true != noisy)
    return NoiseReport(names, counts, matrix, rate, n, int((~both).sum()), table, by_length)


def _by_length(
    texts: Sequence[object] | None, counted: NDArray[np.bool_], wrong: NDArray[np.bool_]
) -> pd.DataFrame:
    """Return the rate of wrong labels by quarters of the `counted` texts' lengths in words."""
    import pandas as pd

    rows = range(4 if texts is not None else 0)
    texts = [""] * len(counted) if texts is None else texts
    words = np.array([len(t.split()) if isinstance(t, str) else 0 for t in texts], np.int64)[counted]
    edges = np.quantile(words, [0.25, 0.5, 0.75], method="inverted_cdf") if len(words) else np.zeros(3)
    quarter = np.searchsorted(edges, words)  # a text as long as an edge is below it
    found = pd.DataFrame({"words": words, "wrong": wrong[counted]}).groupby(quarter)
    table = pd.DataFrame({
        "words_from": found["words"].min(), "words_to": found["words"].max(), "n": found.size(),
        "rate": found["wrong"].mean(),
    }).reindex(rows)  # fmt: skip
    kinds = {"words_from": "Int64", "words_to": "Int64", "n": "int64", "rate": "float64"}
    return table.fillna({"n": 0}).astype(kinds)


def rates(ds: DatasetDict, splits: Sequence[str], wanted: Floats, names: Sequence[str]) -> pd.DataFrame:
    """Return expected and achieved rate of each split and class; `wanted` holds the classes' rates, (C,)."""
    import pandas as pd

    rows = []
    for split in splits:
        measured = noise_report(ds, split)
        sizes = measured.counts.sum(axis=1)
        overall = float(wanted @ sizes / measured.n) if measured.n else float("nan")
        rows.append((split, "all", measured.n, overall, measured.rate))
        rows += zip([split] * len(names), names, sizes, wanted, measured.table["rate"], strict=True)
    return pd.DataFrame(rows, columns=["split", "class_name", "n", "wanted", "achieved"])

"""All methods side by side on the same data, and what can be said of their differences."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nlkit import __version__
from nlkit._util import content_hash, expanded, invalid
from nlkit.annotate.base import Annotator, annotator_name
from nlkit.data.checks import check_choice, numbers_of
from nlkit.data.observed import Observed, learnt_names, observe, observed_validation
from nlkit.data.readers import SUFFIXES
from nlkit.metrics import bootstrap_interval, evaluate_probabilities
from nlkit.study.resuming import each

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from nlkit.methods.base import Method

__all__ = ["BEST", "LAST", "compare", "contestants", "entries", "intervals", "optimism", "own_data", "ranks"]

LAST, BEST = "last epoch", "best by noisy validation"
"""What was selected: nothing, or the epoch that fits the noisy validation labels best."""

ABBREVIATED = ("ce", "gce", "sce", "elr")

Maker = Callable[[int], "Method"]


def contestants(
    *, methods: Collection[str] | None = None, annotator: str | Annotator | None = None,
    query_budget: int = 0, **shared: Any,
) -> dict[str, Maker]:  # fmt: skip
    """Return every method of `nlkit.METHODS`, and every loss of `nlkit.Baseline`, by name.

    Parameters
    ----------
    methods : collection of str, optional
        Names in `nlkit.METHODS`; by default all.
    annotator, query_budget
        For methods that ask one; those that can do nothing else are left out where nobody is asked.
    **shared
        Arguments that all methods take, such as encoder and profile.

    Returns
    -------
    dict of str to callable
        Each takes a seed and returns a new method, not fitted. Those added by `nlkit.register_method` are
        among them.
    """

    def maker(method: type[Any], settings: dict[str, Any]) -> Maker:
        asks = "annotator" in inspect.signature(method).parameters
        given = shared | settings | ({"annotator": annotator} if asks else {})
        if "query_budget" in method.config_class.__dataclass_fields__:
            given["query_budget"] = query_budget
        return lambda seed: method(seed=seed, **given)

    return {
        name: maker(method, settings) for name, (method, settings) in entries(methods).items()
        if annotator is not None or not method.needs_annotator
    }  # fmt: skip


def entries(methods: Collection[str] | None = None) -> dict[str, tuple[type[Any], dict[str, Any]]]:
    """Return every method of `nlkit.METHODS`, and every loss of `nlkit.Baseline`: name → class, settings."""
    from nlkit.methods.baselines import LOSSES, Baseline
    from nlkit.methods.registry import METHODS

    found: dict[str, tuple[type[Any], dict[str, Any]]] = {}
    for name in METHODS if methods is None else methods:
        check_choice("methods", name, tuple(METHODS))
        method = METHODS[name]
        if method is not Baseline:
            found[name] = method, {}
        else:
            shown = {loss: loss.upper() if loss in ABBREVIATED else loss.replace("_", " ") for loss in LOSSES}
            found |= {shown[loss]: (method, {"loss": loss}) for loss in LOSSES}
    return found


def compare(
    data: Mapping[int, DatasetDict], makers: Mapping[str, Maker], *, split: str = "test",
    checkpoint: str | Path | None = None,
) -> tuple[pd.DataFrame, NDArray[np.int16]]:  # fmt: skip
    """Fit every method with every seed, and evaluate it at its last and at its best epoch.

    Parameters
    ----------
    data : mapping of int to DatasetDict
        The data for each seed, with the same test texts in all.
    makers : mapping of str to callable
        From `contestants`; each is called with a seed.
    split : str
        The split with true labels to evaluate on; samples whose label is missing (−1 or None) are left out.
    checkpoint : path, optional
        Folder in which the scores of each finished fit are kept; the same call goes on where it stopped.
        Annotators are told apart by their names. `nlkit.study.recorded.experiment` needs no folder: what it
        runs is kept until it is done.

    Returns
    -------
    scores : DataFrame, one row a method, seed and selection
        method, seed, selected (`LAST` or `BEST`; the latter only where there are noisy validation labels),
        the metrics of `nlkit.metrics.evaluate_probabilities`, and seconds, which the fit took: those of the
        first method include the embedding of texts that are met for the first time.
    guess : ndarray, shape (rows, N)
        The class that each row's method predicts for each of the N test samples.
    """
    truth = {seed: _truth(ds, split) for seed, ds in data.items()}
    seen = {seed: _seen(ds, truth[seed]) for seed, ds in data.items()}

    def fitted(name: str, seed: int) -> list[dict[str, Any]]:
        began = time.perf_counter()
        method = makers[name](seed).fit(data[seed])
        seconds = time.perf_counter() - began
        at = {LAST: method} | ({BEST: method.at_best_epoch()} if method.best_epoch_ else {})
        found = []
        for selected, one in at.items():
            p = one.predict_proba(truth[seed].texts)
            scores = evaluate_probabilities(p, truth[seed].noisy_label)
            row = {"method": name, "seed": seed, "selected": selected, **scores, "seconds": seconds}
            found.append({"row": row, "guess": p.argmax(1)})
        return found

    def identity(name: str, seed: int) -> str:
        method = makers[name](seed)
        who = getattr(method, "annotator", None)
        asked = who if isinstance(who, str) else annotator_name(who)
        settings = json.dumps(method.config.to_dict(), sort_keys=True)
        return content_hash(__version__, name, type(method).__name__, settings, asked, seen[seed])

    runs = [(name, seed) for name in makers for seed in data]
    parts = each(runs, fitted, identity=identity, checkpoint=checkpoint, desc="methods", unit="run")
    found = [one for part in parts for one in part]
    return pd.DataFrame([one["row"] for one in found]), np.array([one["guess"] for one in found], np.int16)


def _truth(ds: DatasetDict, split: str) -> Observed:
    """Return texts and true labels of the samples that have one."""
    label = numbers_of(ds[split], "label", f"ds[{split!r}]", learnt_names(ds))
    return Observed(ds[split]["text"][:], label).labelled()


def _seen(ds: DatasetDict, truth: Observed) -> str:
    """Return a hash of all that a comparison takes from the data of a seed."""
    parts = [observe(ds, "train"), observed_validation(ds), truth]
    return content_hash(*(part.identity() if part else "" for part in parts))


def intervals(
    scores: pd.DataFrame, guess: ArrayLike, label: ArrayLike, against: tuple[str, str], *,
    level: float = 0.95, difference_level: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return what the test set allows to say of each method: accuracy and difference, with intervals.

    The seeds' mean is taken for each test sample first, so the intervals are about the choice of test
    samples. A difference is **paired**: on each sample both methods meet the same text, and what is hard for
    both cancels.

    Parameters
    ----------
    scores, guess
        From `compare`.
    label : array of int, shape (N,)
        True labels of the test samples.
    against : tuple of two str
        Method and selection that all are compared with.
    level, difference_level : float
        Of the intervals (`nlkit.metrics.bootstrap_interval`); that of the differences is the same by default.

    Returns
    -------
    DataFrame, one row a method and selection, in the order of `scores`
        method, selected, accuracy, low, high, difference, difference_low, difference_high; shares.
    """
    right = pd.DataFrame(np.asarray(guess) == np.asarray(label)).astype(np.float64)
    means = right.groupby([scores["method"].to_numpy(), scores["selected"].to_numpy()], sort=False).mean()
    mean: dict[Any, NDArray[np.float64]] = {key: row.to_numpy() for key, row in means.iterrows()}
    if against not in mean:
        invalid("against", against, f"one of {', '.join(map(str, mean))}")
    rows = []
    for (method, selected), values in mean.items():
        low, high = bootstrap_interval(values, level=level)
        off = values - mean[against]
        off_low, off_high = bootstrap_interval(off, level=difference_level or level)
        rows.append({
            "method": method, "selected": selected, "accuracy": values.mean(), "low": low, "high": high,
            "difference": off.mean(), "difference_low": off_low, "difference_high": off_high,
        })  # fmt: skip
    return pd.DataFrame(rows)


def ranks(scores: pd.DataFrame, by: Sequence[str], *, value: str = "accuracy") -> pd.DataFrame:
    """Return the place of each method in each setting: 1 has the highest mean; ties share the mean place.

    Parameters
    ----------
    scores : DataFrame, one row a run
        Columns method, `value` and those in `by`.
    by : sequence of str
        What makes a setting, such as data set, noise and rate.

    Returns
    -------
    DataFrame, one row a method, the best on the whole first
        A column a setting, its values joined by spaces, and "mean".
    """
    mean = scores.groupby([*by, "method"], sort=False)[value].mean().reset_index()
    setting = mean[list(by)].astype(str).agg(" ".join, axis=1)
    place = mean.groupby(setting, sort=False)[value].rank(ascending=False)
    table = mean.assign(setting=setting, place=place).pivot_table(
        index="method", columns="setting", values="place", sort=False
    )
    return table.assign(mean=table.mean(axis=1)).sort_values("mean").rename_axis(columns=None)


def optimism(right: ArrayLike, *, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Return what becomes of the winner: chosen on one half of the test samples, looked at on the other.

    Parameters
    ----------
    right : array, shape (M, N)
        For each of M methods and N test samples 1 where the prediction is right, 0 where it is not, or a
        mean of such over seeds.
    draws : int
        How often the samples are halved.
    seed : int
        Of the draws.

    Returns
    -------
    DataFrame, one row a draw
        winner, the place of the method that is best on the first half (of equal ones the first); chosen_on,
        its accuracy there; elsewhere, its accuracy on the second half.
    """
    r = np.asarray(right, np.float64)
    if r.ndim != 2 or not r.shape[0] or r.shape[1] < 2:
        invalid("right", f"array of shape {r.shape}", "shape (M, N), M at least 1 and N at least 2")
    rng, half = np.random.default_rng(seed), r.shape[1] // 2
    rows = []
    for _ in range(draws):
        order = rng.permutation(r.shape[1])
        first, second = r[:, order[:half]].mean(1), r[:, order[half:]].mean(1)
        winner = int(first.argmax())
        rows.append({"winner": winner, "chosen_on": first[winner], "elsewhere": second[winner]})
    return pd.DataFrame(rows)


def own_data(
    path: str | Path, *, train_size: int | None = None, test_size: int | None = None, seed: int = 0,
    **columns: Any,
) -> DatasetDict:  # fmt: skip
    """Load data of your own, to compare methods on them.

    Parameters
    ----------
    path
        A file in which some rows have a checked label: these are for the test, and the others to learn
        from, a tenth of them for validation. Or a folder that holds ``train`` and ``test``, and perhaps
        ``validation``. All as `nlkit.load_dataset` reads them.
    train_size, test_size, seed
        As in `nlkit.load_dataset`.
    **columns
        text, noisy_label, label (the checked ones) and label_map, as there.

    Raises
    ------
    ValueError
        If a file or a column is missing.
    """
    from nlkit.data import load_dataset

    drawn: dict[str, Any] = {"train_size": train_size, "test_size": test_size, "seed": seed}
    place, source = expanded(path), dict[str, Any]()
    if place.is_file():
        parts = load_dataset(str(place), validation=0, **columns)
        if "test" in parts:  # a column says the split
            return load_dataset(str(place), **drawn, **columns)
        whole = parts["train"]
        _check_column(whole, "noisy_label", place)
        _check_column(whole, "label", place)
        known = np.array(whole["label"][:]) >= 0
        if known.all() or not known.any():
            invalid("data", str(path), "a file in which some rows have a checked label, and others none")
        source = {"train": whole.select(np.flatnonzero(~known)), "test": whole.select(np.flatnonzero(known))}
        return load_dataset(source, label_names=list(whole.features["label"].names), **drawn)
    for split in ("train", "validation", "test"):
        paths = [place / f"{split}{suffix}" for suffix in SUFFIXES]
        found = [one for one in paths if one.is_file()]
        if found:
            source[split] = found[0]
        elif split != "validation":
            names = ", ".join(one.name for one in paths)
            invalid("data", str(path), f"a file, or the absolute path of a folder that holds one of {names}")
    ds = load_dataset(source, **drawn, **columns)
    _check_column(ds["train"], "noisy_label", source["train"])
    _check_column(ds["test"], "label", source["test"])
    return ds


def _check_column(part: Dataset, column: str, file: Path) -> None:
    if column not in part.column_names:
        invalid("data", str(file.parent), f"{file.name} with a column {column!r}")

"""Runs of methods over seeds: what they share, several processes, and results that are remembered."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

import pandas as pd
from datasets import Dataset, DatasetDict

import nlkit as nk
from nlkit._util import cache_folder, content_hash
from nlkit.data.observed import with_column
from nlkit.study.sweeps.cells import clean_labels

RATE = 0.4  # of the noise made on purpose

RIVALS = {
    "cleanlab": "ConfidentLearning", "knn": "KNNRelabel", "coteaching": "CoTeaching", "jocor": "JoCoR",
    "selfmix": "SelfMix", "dividemix": "DivideMix", "forward": "ForwardCorrection", "linear": "LinearModel",
}  # fmt: skip
"""Name of a row → name in `nk.METHODS`."""

Job = dict[str, Any]
"""All that a run depends on, as JSON values: data, seed, and the settings and config of its method."""
Results = dict[str, dict[str, Any]]
"""Method → its metrics; some runs give those of several methods."""
Run = Callable[[Job], Results]


def with_labels(part: Dataset, label: Sequence[int]) -> Dataset:
    """Return a split with other noisy labels."""
    return with_column(part, "noisy_label", label, part.features["noisy_label"])


def run_ce(ds: DatasetDict, settings: Mapping[str, Any], seed: int) -> Results:
    """Train CE once; return the metrics of its last epoch and of its best one by noisy validation."""
    clf = nk.Baseline(loss="ce", seed=seed, **settings).fit(ds)
    best = clf.at_best_epoch()
    return {
        "ce": {**clf.evaluate(ds["test"]), "epoch": clf.config.epochs},
        "ce_best": {**best.evaluate(ds["test"]), "epoch": clf.best_epoch_},
    }


def run_rival(name: str, ds: DatasetDict, settings: Mapping[str, Any], seed: int) -> Results:
    """Train a rival by name: a loss of `nk.Baseline` ("ce" has two rows), one of `RIVALS`, or "clean".

    The last is CE on the true labels: what no method for noisy labels can be expected to pass.
    """
    if name == "ce":
        return run_ce(ds, settings, seed)
    given = clean_labels(ds) if name == "clean" else ds
    made = nk.METHODS[RIVALS[name]] if name in RIVALS else None
    loss = {"loss": "ce" if name == "clean" else name}
    method = made(seed=seed, **settings) if made else nk.Baseline(seed=seed, **loss, **settings)
    return {name: method.fit(given).evaluate(ds["test"])}


def sidyp_row(clf: nk.SiDyP, ds: DatasetDict) -> dict[str, Any]:
    """Return SiDyP's metrics and those of its steps."""
    report = clf.report(ds["train"])
    detection, prior = report["detection"], report["prior"]
    return {
        **clf.evaluate(ds["test"]), **detection, **report["correction"], "noise": detection["noise_rate"],
        "prior_right": float((prior["right"] * prior["n"]).sum() / prior["n"].sum()),
        **{f"exponent, {key}": value for key, value in report.get("stages", {}).items()},
    }  # fmt: skip


def timed(run: Run, job: Job) -> Results:
    """Make a run, and add to each of its methods the seconds of the whole run."""
    started = time.perf_counter()
    results = run(job)
    return {name: {**row, "seconds": time.perf_counter() - started} for name, row in results.items()}


def remembered(run: Run, fresh: bool, job: Job) -> Results:
    """Return a job's results from the cache if the same was run before, so that a bench can go on."""
    path = cache_folder("bench") / f"{content_hash(json.dumps(job, sort_keys=True), nk.__version__)}.json"
    results: Results = nk.resuming.remembered(path, partial(timed, run, job), fresh=fresh)
    return results


def measure(
    run: Run, jobs: Sequence[Job], groups_of: Callable[[Job], Iterable[dict[str, Any]]],
    titles: Mapping[str, str], *, fresh: bool, workers: int,
) -> pd.DataFrame:  # fmt: skip
    """Make all runs in `workers` processes; return a row a method and group, and print it.

    `groups_of` gives the columns that say what a job's results are of, such as kind of noise and seed.
    """
    rows = []
    with one_thread_each(workers) as over:
        for job, results in zip(jobs, over(partial(remembered, run, fresh), jobs), strict=True):
            for group in groups_of(job):
                for method, result in results.items():
                    rows.append({**group, "method": method, **result})
                    what = "  ".join(f"{name} {value}" for name, value in group.items())
                    figures = f"accuracy {result['accuracy']:.4f}  ECE {result['ece']:.3f}"
                    print(f"{what:30} {titles[method]:48} {figures}", flush=True)
    return pd.DataFrame(rows)


@contextmanager
def one_thread_each(workers: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Give a `map`: the built-in one, or that of a pool of processes which compute with one thread each.

    They waste less than one process with several threads.
    """
    if workers == 1:
        yield map
        return
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # read when a process starts its threads
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield pool.map
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before

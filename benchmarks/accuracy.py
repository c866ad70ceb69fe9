"""Test accuracy of NoiseAL, of CE on the same noisy labels, and of what a user would do in a minute.

Every method sees texts and noisy labels only. The true labels of the test split are read by `evaluate`, those
of the training split by the reports on sets and answers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import nlkit as nk
from nlkit._util import cache_folder, content_hash
from nlkit.data.observed import with_column
from nlkit.methods.baselines import BaselineConfig
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.models.encoder import TextEncoder

Job = dict[str, Any]

RATE = 0.4
KINDS = ("symmetric", "asymmetric", "instance")
ROWS = {
    "logistic regression": "logistic regression on frozen MiniLM",
    "cleanlab": "the same, with cleanlab's label issues removed",
    "knn": "10 nearest neighbours on frozen MiniLM",
    "ce": "CE, last epoch",
    "ce_best": "CE, best epoch by noisy validation",
    "noiseal": "NoiseAL",
    "clean": "CE on clean labels (upper bound)",
}


def noisy_data(kind: str, seed: int, train_size: int, test_size: int | None) -> DatasetDict:
    """Return R8 with 40 % label noise."""
    ds = nk.load_dataset("r8", train_size=train_size, test_size=test_size, seed=seed)
    return nk.add_noise(ds, kind=kind, rate=RATE, seed=seed)


def quick_rivals(ds: DatasetDict, seed: int) -> dict[str, dict[str, float]]:
    """Return metrics of three things a user does in a minute, on frozen MiniLM embeddings."""
    from cleanlab.filter import find_label_issues
    from sklearn.model_selection import cross_val_predict

    encoder = TextEncoder("minilm", trainable_layers=0, max_length=64)
    x, x_test = encoder.embed(ds["train"]["text"]), encoder.embed(ds["test"]["text"])
    noisy, truth = np.asarray(ds["train"]["noisy_label"]), np.asarray(ds["test"]["label"])
    n_classes = ds["train"].features["label"].num_classes

    def score(model: Any, rows: np.ndarray[Any, Any]) -> dict[str, float]:
        model.fit(x[rows], noisy[rows])
        # A class that noise or pruning emptied keeps its column.
        p = np.zeros((len(x_test), n_classes))
        p[:, model.classes_] = model.predict_proba(x_test)
        return nk.evaluate_probabilities(p, truth)

    regression = LogisticRegression(max_iter=2000, random_state=seed)
    everything = np.arange(len(noisy))
    out_of_fold = cross_val_predict(regression, x, noisy, cv=5, method="predict_proba")
    kept = np.flatnonzero(~find_label_issues(noisy, out_of_fold, n_jobs=1))
    return {
        "logistic regression": score(regression, everything),
        "cleanlab": score(regression, kept),
        "knn": score(KNeighborsClassifier(10), everything),
    }


def run_ce(ds: DatasetDict, settings: dict[str, Any], seed: int) -> dict[str, dict[str, Any]]:
    """Train CE once; return the metrics of its last epoch and of its best one by noisy validation."""
    clf = nk.Baseline(loss="ce", seed=seed, **settings).fit(ds)
    best = clf.at_best_epoch()
    return {
        "ce": {**clf.evaluate(ds["test"]), "epoch": clf.config.epochs},
        "ce_best": {**best.evaluate(ds["test"]), "epoch": clf.best_epoch_},
    }


def with_labels(part: Dataset, label: Sequence[int]) -> Dataset:
    """Return a split with other noisy labels."""
    return with_column(part, "noisy_label", label, part.features["noisy_label"])


def run_clean(ds: DatasetDict, settings: dict[str, Any], seed: int) -> dict[str, dict[str, Any]]:
    """Train CE on the true labels: what no method for noisy labels can be expected to pass."""
    truth = DatasetDict({
        name: with_labels(part, part["label"][:]) if "noisy_label" in part.column_names else part
        for name, part in ds.items()
    })  # fmt: skip
    return {"clean": nk.Baseline(loss="ce", seed=seed, **settings).fit(truth).evaluate(ds["test"])}


def run_noiseal(
    ds: DatasetDict, settings: dict[str, Any], seed: int, annotator: str | None, query_budget: int
) -> dict[str, dict[str, Any]]:
    """Train NoiseAL; add how good its sets and its annotator's answers are."""
    clf = nk.NoiseAL(annotator=annotator, query_budget=query_budget, seed=seed, **settings).fit(ds)
    report = clf.report(ds["train"])
    sets = report["sets"].set_index("set")
    return {
        "noiseal": {
            **clf.evaluate(ds["test"]),
            "R precision": sets.loc["R", "precision"], "R recall": sets.loc["R", "recall"],
            "P precision": sets.loc["P", "precision"], "asked noisy": asked_noisy(clf, ds),
            "queries": report["annotations"]["n"], "annotator right": report["annotations"]["accuracy"],
        }
    }  # fmt: skip


def asked_noisy(clf: Any, ds: DatasetDict) -> float:
    """Return the share of samples that were asked about, all from P, whose observed label is wrong."""
    asked = clf.annotations_["index"].to_numpy()
    label, noisy = np.asarray(ds["train"]["label"]), np.asarray(ds["train"]["noisy_label"])
    return float((label != noisy)[asked].mean()) if len(asked) else float("nan")


def jobs(
    kinds: Sequence[str], seeds: Iterable[int], settings: dict[str, Any], train_size: int,
    test_size: int | None, annotator: str | None, query_budget: int,
) -> list[Job]:  # fmt: skip
    """Return every run as JSON values that say all about it, the longest of each seed first."""
    ce, noiseal = (c.make(**settings).to_dict() for c in (BaselineConfig, NoiseALConfig))
    asked = {"annotator": annotator, "budget": query_budget}
    found = []
    for seed in seeds:
        data = {"seed": seed, "train": train_size, "test": test_size}
        for kind in kinds:
            noisy = {**data, "kind": kind, "rate": RATE}
            found += [{**noisy, "run": "noiseal", "settings": settings, "config": noiseal, **asked}]
            found += [{**noisy, "run": "ce", "settings": settings, "config": ce}]
            found += [{**noisy, "run": "rivals"}]
        # The clean labels are the same whatever the noise: one run a seed serves all kinds.
        found += [
            {**data, "kind": "symmetric", "rate": RATE, "run": "clean", "settings": settings, "config": ce}
        ]
    return found


def run_job(job: Job) -> dict[str, dict[str, Any]]:
    """Make one run; return the metrics of its methods."""
    seed, settings = job["seed"], job.get("settings", {})
    ds = noisy_data(job["kind"], seed, job["train"], job["test"])
    started = time.perf_counter()
    match job["run"]:
        case "noiseal":
            result = run_noiseal(ds, settings, seed, job["annotator"], job["budget"])
        case "ce":
            result = run_ce(ds, settings, seed)
        case "clean":
            result = run_clean(ds, settings, seed)
        case _:
            result = quick_rivals(ds, seed)
    for row in result.values():
        row["seconds"] = time.perf_counter() - started
    return result


def remembered(
    job: Job, fresh: bool, run: Callable[[Job], dict[str, dict[str, Any]]] | None = None
) -> dict[str, dict[str, Any]]:
    """Return a job's result from the cache if the same was run before, so that a bench can go on.

    `run` makes it, `run_job` by default.
    """
    path = cache_folder("bench") / f"{content_hash(json.dumps(job, sort_keys=True), nk.__version__)}.json"
    result: dict[str, dict[str, Any]] = nk.resuming.remembered(
        path, partial(run or run_job, job), fresh=fresh
    )
    return result


def measure(
    *, kinds: Iterable[str] = KINDS, seeds: Iterable[int] = (0, 1, 2), profile: str = "class",
    train_size: int = 2000, test_size: int | None = None, annotator: str | None = "smollm2",
    query_budget: int = 300, fresh: bool = False, workers: int = 1, settings: dict[str, Any] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Run everything, in so many processes of one thread each; return one row a method, noise kind and seed.

    Several processes with one thread each waste less than one process with several threads.
    """
    kinds, settings = tuple(kinds), {"profile": profile, **(settings or {})}
    todo = jobs(kinds, seeds, settings, train_size, test_size, annotator, query_budget)
    rows = []
    with one_thread_each(workers) as over:
        for job, results in zip(todo, over(remembered, todo, repeat(fresh, len(todo))), strict=True):
            for kind in kinds if job["run"] == "clean" else (job["kind"],):
                for method, result in results.items():
                    rows.append({"noise": kind, "seed": job["seed"], "method": method, **result})
                    print(
                        f"{kind:11} seed {job['seed']}  {ROWS[method]:48} {result['accuracy']:.4f}",
                        flush=True,
                    )
    return pd.DataFrame(rows)


@contextmanager
def one_thread_each(workers: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Give a `map`: the built-in one, or that of a pool of processes which compute with one thread each."""
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


def spread(values: pd.Series) -> str:
    """Return mean and standard deviation of shares, in percent."""
    mean = f"{100 * values.mean():.1f}"
    # One seed has no spread; saying 0 would claim one.
    return f"{mean} ± {100 * values.std(ddof=1):.1f}" if len(values) > 1 else mean


def summarise(runs: pd.DataFrame) -> str:
    """Return the tables of means and standard deviations over seeds, as Markdown."""
    kinds = list(dict.fromkeys(runs["noise"]))
    seeds = {kind: sorted(runs.loc[runs["noise"] == kind, "seed"].unique()) for kind in kinds}
    head = [f"{kind} (seeds {', '.join(map(str, seeds[kind]))})" for kind in kinds]
    rule = "|---|" + "---|" * len(kinds)

    def row(title: str, method: str, column: str) -> str:
        mine = runs[runs["method"] == method]
        cells = [mine.loc[mine["noise"] == kind, column].astype(float) for kind in kinds]
        return f"| {title} | " + " | ".join(map(spread, cells)) + " |"

    lines = ["Test accuracy in %, mean ± standard deviation over seeds:", ""]
    lines += ["| method | " + " | ".join(head) + " |", rule]
    lines += [row(title, method, "accuracy") for method, title in ROWS.items()]
    lines += ["", "NoiseAL's sets and annotator, in %:", "", "| quantity | " + " | ".join(head) + " |", rule]
    lines += [
        row(title, "noiseal", name)
        for name, title in (
            ("R precision", "R: labels that are right"),
            ("R recall", "R: right labels that are in it"),
            ("P precision", "P: labels that are wrong"),
            ("asked noisy", "questions, all from P: labels that are wrong"),
            ("annotator right", "questions: answers that are right"),
        )
    ]
    return "\n".join(lines)

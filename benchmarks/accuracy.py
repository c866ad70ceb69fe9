"""Test accuracy of NoiseAL, of CE on the same noisy labels, and of what a user would do in a minute.

Every method sees texts and noisy labels only. The true labels of the test split are read by `evaluate`, those
of the training split by the reports on sets and answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from datasets import DatasetDict
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import nlkit as nk
from benchmarks import running
from benchmarks.running import RATE, Job, Results, run_rival
from benchmarks.tables import means
from nlkit.methods.baselines import BaselineConfig
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.models.encoder import TextEncoder

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
QUALITY = {
    "R: labels that are right": "R precision",
    "R: right labels that are in it": "R recall",
    "P: labels that are wrong": "P precision",
    "questions, all from P: labels that are wrong": "asked noisy",
    "questions: answers that are right": "annotator right",
}


def noisy_data(kind: str, seed: int, train_size: int, test_size: int | None) -> DatasetDict:
    """Return R8 with 40 % label noise."""
    ds = nk.load_dataset("r8", train_size=train_size, test_size=test_size, seed=seed)
    return nk.add_noise(ds, kind=kind, rate=RATE, seed=seed)


def quick_rivals(ds: DatasetDict, seed: int) -> Results:
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


def run_noiseal(ds: DatasetDict, job: Job) -> Results:
    """Train NoiseAL; add how good its sets, its choice of questions and its annotator's answers are."""
    clf = nk.NoiseAL(
        annotator=job["annotator"], query_budget=job["budget"], seed=job["seed"], **job["settings"]
    ).fit(ds)
    report, asked = clf.report(ds["train"]), clf.annotations_["index"].to_numpy()
    sets = report["sets"].set_index("set")
    wrong = np.asarray(ds["train"]["label"]) != np.asarray(ds["train"]["noisy_label"])
    return {
        "noiseal": {
            **clf.evaluate(ds["test"]),
            "R precision": sets.loc["R", "precision"], "R recall": sets.loc["R", "recall"],
            "P precision": sets.loc["P", "precision"],
            "asked noisy": float(wrong[asked].mean()) if len(asked) else float("nan"),
            "queries": report["annotations"]["n"], "annotator right": report["annotations"]["accuracy"],
        }
    }  # fmt: skip


def jobs(
    kinds: Sequence[str], seeds: Iterable[int], settings: dict[str, Any], train_size: int,
    test_size: int | None, annotator: str | None, query_budget: int,
) -> list[Job]:  # fmt: skip
    """Return every run as JSON values that say all about it, the longest of each seed first."""
    ce, noiseal = (c.make(**settings).to_dict() for c in (BaselineConfig, NoiseALConfig))
    noisy = {
        "noiseal": {"settings": settings, "config": noiseal, "annotator": annotator, "budget": query_budget},
        "ce": {"settings": settings, "config": ce},
        "rivals": {},
    }
    found = []
    for seed in seeds:
        data = {"seed": seed, "train": train_size, "test": test_size, "rate": RATE}
        found += [{**data, "kind": kind, "run": run, **what} for kind in kinds for run, what in noisy.items()]
        # The clean labels are the same whatever the noise: one run a seed serves all kinds.
        found += [{**data, "kind": "symmetric", "run": "clean", **noisy["ce"]}]
    return found


def run_job(job: Job) -> Results:
    """Make one run; return the metrics of its methods."""
    ds = noisy_data(job["kind"], job["seed"], job["train"], job["test"])
    match job["run"]:
        case "noiseal":
            return run_noiseal(ds, job)
        case "ce":
            return run_rival("ce", ds, job["settings"], job["seed"])
        case "clean":
            return run_rival("clean", ds, job["settings"], job["seed"])
        case _:
            return quick_rivals(ds, job["seed"])


def measure(
    *, kinds: Iterable[str] = KINDS, seeds: Iterable[int] = (0, 1, 2), profile: str = "class",
    train_size: int = 2000, test_size: int | None = None, annotator: str | None = "smollm2",
    query_budget: int = 300, fresh: bool = False, workers: int = 1, settings: dict[str, Any] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Run everything; return one row a method, noise kind and seed."""
    kinds, settings = tuple(kinds), {"profile": profile, **(settings or {})}

    def groups_of(job: Job) -> list[dict[str, Any]]:
        return [
            {"noise": kind, "seed": job["seed"]}
            for kind in (kinds if job["run"] == "clean" else [job["kind"]])
        ]

    todo = jobs(kinds, seeds, settings, train_size, test_size, annotator, query_budget)
    return running.measure(run_job, todo, groups_of, ROWS, fresh=fresh, workers=workers)


def summarise(runs: pd.DataFrame) -> str:
    """Return the tables of means and standard deviations over seeds, as Markdown."""
    groups = {
        f"{kind} (seeds {', '.join(map(str, sorted(part['seed'].unique())))})": part
        for kind, part in runs.groupby("noise", sort=False)
    }
    return "\n\n".join([
        "Test accuracy in %, mean ± standard deviation over seeds:",
        means("method", groups, {title: (method, "accuracy") for method, title in ROWS.items()}),
        "NoiseAL's sets and annotator, in %:",
        means("quantity", groups, {title: ("noiseal", metric) for title, metric in QUALITY.items()}),
    ])  # fmt: skip

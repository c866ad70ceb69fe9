"""SiDyP beside its rivals and its own ablations: labels made by SmolLM2, and 40 % noise made on purpose.

Eight sets of 1,000 training texts: Reuters R8 and the ten largest classes of R52, labelled by SmolLM2 with
fixed demonstrations and with a gold pool (`benchmarks/labels.py`; the same labels for all seeds, which are
the methods'), and R8 and 20 Newsgroups with symmetric and asymmetric noise (data, noise and methods by seed).
Every method sees texts and noisy labels only.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import pandas as pd
from datasets import DatasetDict

import nlkit as nk
from benchmarks import running
from benchmarks.labels import llm_labelled
from benchmarks.running import RATE, Job, Results, run_rival, sidyp_row, with_labels
from benchmarks.tables import means
from nlkit.methods.baselines import BaselineConfig
from nlkit.methods.label_cleaning import ConfidentLearningConfig, KNNRelabelConfig
from nlkit.methods.sidyp.config import SiDyPConfig

SETS = {
    "r8 fixed": "R8, SmolLM2, fixed demonstrations",
    "r8 pool": "R8, SmolLM2, gold pool",
    "r52-10 fixed": "R52-10, SmolLM2, fixed demonstrations",
    "r52-10 pool": "R52-10, SmolLM2, gold pool",
    "r8 symmetric": "R8, symmetric 0.4",
    "r8 asymmetric": "R8, asymmetric 0.4",
    "20ng symmetric": "20 Newsgroups, symmetric 0.4",
    "20ng asymmetric": "20 Newsgroups, asymmetric 0.4",
}
ROWS = {
    "ce": "CE, last epoch",
    "ce_best": "CE, best epoch by noisy validation",
    "stage1": "co-regularised first stage alone, last epoch",
    "knn": "kNN relabelling, then CE",
    "cleanlab": "cleanlab, prune and retrain by CE",
    "sidyp": "SiDyP",
    "fixed_prior": "SiDyP, prior not moved",
    "no_diffusion": "SiDyP's prior, its likeliest label, then CE",
    "published_answer": "SiDyP, loss weighted, predictions after ten steps (as published)",
    "no_coregularisation": "SiDyP without co-regularisation",
    "one_branch": "SiDyP with one branch",
    "clean": "CE on clean labels (upper bound)",
}
STEPS = {
    "training labels that are wrong": "noise",
    "noise rate used": "noise_rate_used",
    "detection: area under the ROC curve": "auc",
    "prior: likeliest label right": "prior_right",
    "refined labels that are right": "accuracy_after",
    "wrong labels turned right": "correction_rate",
    "right labels turned wrong": "harm_rate",
}
BASE = {"variant": "text_space"}  # one space; `benchmarks.robust` measures the default
ABLATIONS: dict[str, dict[str, Any]] = {
    "sidyp": {},
    "fixed_prior": {"dynamic_prior": False},
    "published_answer": {"weighted_loss": True, "prediction_steps": 10, "chains": 4},
    "no_coregularisation": {"coregularisation": 0.0, "diffusion_coregularisation": 0.0},
    "one_branch": {"branches": 1},
}
CONFIGS = {
    **dict.fromkeys(ABLATIONS, SiDyPConfig),
    "ce": BaselineConfig,
    "clean": BaselineConfig,
    "knn": KNNRelabelConfig,
    "cleanlab": ConfidentLearningConfig,
}
TEST_SIZE = 2000
"""Of 20 Newsgroups, whose 7,500 test texts would take most of the time."""


def is_llm(name: str) -> bool:
    """Tell whether a set's labels are SmolLM2's."""
    return name.split()[1] in ("fixed", "pool")


@lru_cache(maxsize=2)
def data(name: str, seed: int, train_size: int, test_size: int | None) -> DatasetDict:
    """Return one of `SETS` with its noisy labels."""
    source, kind = name.split()
    if is_llm(name):
        return llm_labelled(source, kind, train_size=train_size)
    test = test_size or (TEST_SIZE if source == "20ng" else None)
    ds = nk.load_dataset(source, train_size=train_size, test_size=test, seed=seed)
    return nk.add_noise(ds, kind=kind, rate=RATE, seed=seed)


def run_sidyp(ds: DatasetDict, settings: dict[str, Any], seed: int, name: str) -> Results:
    """Train SiDyP or one of its ablations; of the whole method also the first stage and the prior alone."""
    test = ds["test"]
    clf = nk.SiDyP(seed=seed, **{**settings, **BASE, **ABLATIONS[name]}).fit(ds)
    if name != "sidyp":
        return {name: clf.evaluate(test)}
    likeliest = DatasetDict({**ds, "train": with_labels(ds["train"], clf.prior_["likeliest"].tolist())})
    return {
        "sidyp": sidyp_row(clf, ds),
        "stage1": nk.evaluate_probabilities(clf.predict_observed(test["text"]), test["label"][:]),
        "no_diffusion": nk.Baseline(seed=seed, **settings).fit(likeliest).evaluate(test),
    }  # fmt: skip


def run_job(job: Job) -> Results:
    """Make one run; return the metrics of its methods."""
    ds, seed, settings = (
        data(job["set"], job["seed"], job["train"], job["test"]),
        job["seed"],
        job["settings"],
    )
    if job["run"] in ABLATIONS:
        return run_sidyp(ds, settings, seed, job["run"])
    return run_rival(job["run"], ds, settings, seed)


def jobs(
    sets: Iterable[str], seeds: Iterable[int], settings: dict[str, Any], train_size: int,
    test_size: int | None,
) -> list[Job]:  # fmt: skip
    """Return every run as JSON values that say all about it."""
    return [
        {
            "set": name, "seed": seed, "train": train_size, "test": test_size, "run": run,
            "settings": settings,
            "config": config.make(
                **{**settings, **(BASE | ABLATIONS[run] if run in ABLATIONS else {})}
            ).to_dict(),
        }
        for name in sets for seed in seeds for run, config in CONFIGS.items()
    ]  # fmt: skip


def measure(
    *, sets: Iterable[str] = tuple(SETS), seeds: Iterable[int] = (0, 1, 2), profile: str = "quick",
    train_size: int = 1000, test_size: int | None = None, fresh: bool = False, workers: int = 1,
    settings: dict[str, Any] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Run everything; return one row a method, set and seed."""
    sets = tuple(sets)
    for name in filter(is_llm, sets):  # asked once, by one process, before the others need the answers
        data(name, 0, train_size, test_size)
    todo = jobs(sets, tuple(seeds), {"profile": profile, **(settings or {})}, train_size, test_size)
    return running.measure(
        run_job, todo, lambda job: [{"set": job["set"], "seed": job["seed"]}], ROWS,
        fresh=fresh, workers=workers,
    )  # fmt: skip


def summarise(runs: pd.DataFrame) -> str:
    """Return accuracies, calibration errors and the quality of SiDyP's steps as Markdown tables."""
    head, seeds = "in %, mean ± standard deviation", ", ".join(map(str, sorted(runs["seed"].unique())))
    parts = []
    for llm, title in ((True, "Labels made by SmolLM2"), (False, "Noise made on purpose")):
        mine = runs[runs["set"].map(is_llm) == llm]
        groups = {SETS[name]: mine[mine["set"] == name] for name in SETS if name in set(mine["set"])}
        if not groups:
            continue
        parts += [
            f"**{title}**, seeds {seeds}. Test accuracy:",
            means(head, groups, {title: (method, "accuracy") for method, title in ROWS.items()}),
            "Expected calibration error (15 bins):",
            means(head, groups, {title: (method, "ece") for method, title in ROWS.items()}),
            "SiDyP's steps on the training texts:",
            means(head, groups, {title: ("sidyp", metric) for title, metric in STEPS.items()}),
        ]
        if llm:
            mean = mine.groupby("method")[["accuracy", "ece"]].mean()
            gain = 100 * (mean.loc["sidyp", "accuracy"] - mean.loc["ce", "accuracy"])
            share = mean.loc["sidyp", "ece"] / mean.loc["ce", "ece"]
            parts.append(
                f"Mean over these sets: SiDyP is {gain:+.1f} points from CE's last epoch (wanted: +7), its "
                f"ECE is {share:.2f} of CE's (wanted: at most 0.5)."
            )
    return "\n\n".join(parts)

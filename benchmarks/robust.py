"""Methods on kinds of text that no default was tuned on: do they hold, and do they ever harm?

Every set of `benchmarks.sets` in several sizes: CE and its best epoch by noisy validation, GCE, ELR, the
rivals of `benchmarks.running`, NoiseAL without questions, SiDyP as published, SiDyP, and NoiseAL's clean set
handed to SiDyP. The texts that are drawn, the noise made on purpose and the methods all follow from the seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import DatasetDict

import nlkit as nk
from benchmarks import running
from benchmarks.running import Job, Results, run_rival, sidyp_row
from benchmarks.sets import development_sets
from benchmarks.tables import markdown, means, spread
from nlkit.methods.baselines import BaselineConfig
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.sidyp.config import SiDyPConfig

ROWS = {
    "ce": "CE, last epoch",
    "ce_best": "CE, best epoch by noisy validation",
    "gce": "GCE",
    "elr": "ELR",
    "cleanlab": "cleanlab, prune and retrain by CE",
    "knn": "kNN relabelling, then CE",
    "linear": "logistic regression on the frozen encoder",
    "forward": "forward correction, T estimated",
    "coteaching": "Co-teaching",
    "jocor": "JoCoR",
    "selfmix": "SelfMix",
    "dividemix": "DivideMix, on embeddings",
    "noiseal": "NoiseAL, nobody queried",
    "published": "SiDyP as published",
    "first": "SiDyP's first stage alone",
    "sidyp": "SiDyP",
    "both": "NoiseAL, then SiDyP",
}
MEASURES = {
    "accuracy": "Test accuracy",
    "macro_f1": "Macro F1",
    "ece": "Expected calibration error (15 bins)",
}
STEPS = {
    "labels that are wrong": "noise",
    "estimated noise rate": "noise_rate_used",
    "detection: area under the ROC curve": "auc",
    "prior: likeliest label right": "prior_right",
    "labels right before": "accuracy_before",
    "refined labels right": "accuracy_after",
}
CONFIGS: dict[str, type[Any]] = {
    **dict.fromkeys(("ce", "gce", "elr"), BaselineConfig),
    **{run: nk.METHODS[name].config_class for run, name in running.RIVALS.items()},
    "noiseal": NoiseALConfig, "published": SiDyPConfig, "sidyp": SiDyPConfig, "both": SiDyPConfig,
}  # fmt: skip
"""Run → the config of its method."""
ORIGINS = {
    "llm": "labelled by language models",
    "rules": "labelled by keyword rules",
    "made": "with noise made on purpose",
    "clean": "with clean labels",
}


@lru_cache(maxsize=2)
def data(folder: str | None, name: str, seed: int, size: int | None) -> DatasetDict:
    """Return one of the sets with its noisy labels."""
    return development_sets(Path(folder) if folder else None)[name][1](seed, size)


def run_sidyp(ds: DatasetDict, seed: int, settings: dict[str, Any], name: str) -> Results:
    """Train SiDyP; of the default one return its first stage and its steps too."""
    extra = {"variant": "published"} if name == "published" else {}
    clf, test = nk.SiDyP(seed=seed, **{**settings, **extra}).fit(ds), ds["test"]
    if name != "sidyp":
        return {name: clf.evaluate(test)}
    first = nk.evaluate_probabilities(clf.predict_observed(test["text"]), test["label"][:])
    return {"first": first, "sidyp": sidyp_row(clf, ds)}


def run_job(job: Job) -> Results:
    """Make one run; return the metrics of its methods."""
    ds = data(job["folder"], job["set"], job["seed"], job["size"])
    seed, settings = job["seed"], job["settings"]
    match name := job["run"]:
        case "noiseal":
            clf = nk.NoiseAL(annotator=None, query_budget=0, seed=seed, **settings).fit(ds)
            return {name: clf.evaluate(ds["test"])}
        case "both":
            return {name: nk.NoiseALThenSiDyP(seed=seed, **settings).fit(ds).evaluate(ds["test"])}
        case "sidyp" | "published":
            return run_sidyp(ds, seed, settings, name)
        case _:
            return run_rival(name, ds, settings, seed)


def measure(
    *, folder: Path | None = None, sets: Iterable[str] = (), sizes: Iterable[int | None] = (250, 1000, None),
    seeds: Iterable[int] = (0, 1, 2), profile: str = "quick", fresh: bool = False, workers: int = 1,
    runs_of: Iterable[str] = tuple(CONFIGS), settings: dict[str, Any] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Run everything; return one row a method, set, size and seed. No names: all sets."""
    known, settings = development_sets(folder), {"profile": profile, **(settings or {})}
    for name in sets:
        if name not in known:
            raise ValueError(f"sets={name!r} is not allowed: one of {', '.join(known)}")
    todo = [
        {
            "folder": str(folder) if folder else None, "set": name, "size": size, "seed": seed, "run": run,
            "settings": settings, "config": CONFIGS[run].make(**settings).to_dict(),
        }
        for name in (tuple(sets) or known) for size in sizes for seed in seeds
        for run in runs_of
    ]  # fmt: skip
    runs = running.measure(
        run_job, todo, lambda job: [{"set": job["set"], "size": job["size"] or "all", "seed": job["seed"]}],
        ROWS, fresh=fresh, workers=workers,
    )  # fmt: skip
    return runs.assign(origin=runs["set"].map({name: origin for name, (origin, _) in known.items()}))


def overall(runs: pd.DataFrame) -> str:
    """Return a row a set: how many labels are wrong, accuracies, and what `refine` makes of the labels."""
    shown = {name: title for name, title in ROWS.items() if name in set(runs["method"])}
    lines = []
    for name, part in runs.groupby("set"):
        step = 100 * part[part["method"] == "sidyp"].mean(numeric_only=True)
        lines.append([
            str(name), f"{step['noise']:.0f}", f"{step['noise_rate_used']:.0f}",
            *(spread(part.loc[part["method"] == method, "accuracy"]) for method in shown),
            f"{step['accuracy_before']:.1f} → {step['accuracy_after']:.1f}",
        ])  # fmt: skip
    head = ["set", "labels wrong", "estimated", *shown.values(), "labels right, refined"]
    return markdown(head, lines)


def summarise(runs: pd.DataFrame) -> str:
    """Return a table of all sets a size, tables of all measures, and how far it is from what was wanted."""
    head, parts = "in %, mean ± standard deviation", []
    for size, part in runs.groupby("size", sort=False):
        parts += [
            f"**Texts: {size}.** Test accuracy in %, mean ± standard deviation:",
            overall(part),
            wanted(part),
        ]
    for origin, title in ORIGINS.items():
        mine = runs[runs["origin"] == origin]
        groups = {f"{name}, {size}": part for (name, size), part in mine.groupby(["set", "size"], sort=False)}
        if not groups:
            continue
        for measure_, words in MEASURES.items():
            there = set(mine["method"])
            rows = {row: (method, measure_) for method, row in ROWS.items() if method in there}
            parts += [f"**Sets {title}.** {words}:", means(head, groups, rows)]
        parts += [
            "SiDyP's steps:",
            means(head, groups, {row: ("sidyp", step) for row, step in STEPS.items()}),
        ]
    return "\n\n".join(parts)


def wanted(runs: pd.DataFrame) -> str:
    """Return how often SiDyP harms, what it gains, and how far its estimates are off, over all sets."""
    cell = ["origin", "set", "size"]
    mean = runs.pivot_table(index=cell, columns="method", values=["accuracy", "ece"])
    gain = 100 * (mean["accuracy"]["sidyp"] - mean["accuracy"]["ce"])
    over_first = 100 * (mean["accuracy"]["sidyp"] - mean["accuracy"]["first"])
    steps = runs[runs["method"] == "sidyp"].groupby(cell).mean(numeric_only=True)
    off = (steps["noise_rate_used"] - steps["noise"]).abs()
    kept = steps["accuracy_after"] >= steps["accuracy_before"]
    lines = [
        f"SiDyP more than 0.5 points below CE's last epoch: {(gain < -0.5).sum()} of {len(gain)} sets, at "
        f"worst {gain.min():+.1f}; below its first stage: {(over_first < -0.5).sum()}, at worst "
        f"{over_first.min():+.1f}.",
        *(
            f"Sets {title}: {gain[origin].mean():+.1f} points from CE's last epoch (mean of sets)."
            for origin, title in ORIGINS.items() if origin in gain.index
        ),
        f"ECE: {mean['ece']['sidyp'].mean() / mean['ece']['ce'].mean():.2f} of CE's.",
        f"Refined labels at least as often right: {kept.sum()} of {len(kept)} sets.",
        f"Estimated noise rate within 0.08: {(off <= 0.08).sum()} of {len(off)} sets.",
    ]  # fmt: skip
    return "\n".join(f"- {line}" for line in lines)

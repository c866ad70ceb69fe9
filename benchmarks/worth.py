"""What an annotator is worth to NoiseAL: test accuracy against the budget of questions, by annotator.

Simulated annotators that are right in 30 to 100 of 100 answers, SmolLM2, and, for the set that has it, a
large language model whose answers were recorded (a noisy column of the file, here GPT-4's). They are
measured first (``trust="measured"``); where answers are believed as published a row says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import nlkit as nk
from benchmarks import running
from benchmarks.robust import data
from benchmarks.running import Job, Results
from benchmarks.sets import development_sets
from benchmarks.tables import markdown, spread
from nlkit.methods.noiseal.config import NoiseALConfig

RIGHT = (0.3, 0.5, 0.7, 0.9, 1.0)
BUDGETS = (50, 200, None)  # None: as many questions as there are texts
SETS = ("chemprot weak", "bias zephyr", "20ng symmetric")
RECORDED = {"bias": "noisy_gpt_4"}
PUBLISHED = {"trust": "full"}
MEASURED = {"trust": "measured"}
NOBODY = "nobody"


def annotator(job: Job, train: Any) -> Any:
    """Return who answers: simulated with a share of right answers, a recorded column, or a model's name."""
    who = job["who"]
    if who == NOBODY:
        return None
    if isinstance(who, float):
        return nk.annotators.Simulated(who, reference=train, seed=job["seed"])
    if who not in RECORDED.values():
        return nk.annotators.LocalLLM(who, max_text_tokens=48)
    table = pd.read_parquet(next(Path(job["folder"]).glob(f"{job['set'].split()[0]}*.parquet")))
    said = nk.annotators.Simulated(1.0, reference=dict(zip(table["text"], table[who], strict=True)))
    said.name, said.simulated = who.removeprefix("noisy_"), False
    return said


def run_job(job: Job) -> Results:
    """Train NoiseAL with one annotator and budget; return its accuracy and what became of the answers."""
    ds = data(job["folder"], job["set"], job["seed"], job["size"])
    train = ds["train"]
    budget = len(train) if job["budget"] is None else job["budget"]
    clf = nk.NoiseAL(
        annotator=annotator(job, train), query_budget=budget, seed=job["seed"], **job["settings"]
    ).fit(ds)
    asked, truth = clf.annotations_, np.array(train["label"][:])
    row = {**clf.evaluate(ds["test"]), "questions": len(asked)}
    if len(asked):
        right = asked["label"].to_numpy() == truth[asked["index"]]
        row |= {"answers_right": float(right.mean()), "learnt": int(asked["learnt"].sum())}
    if len(clf.annotator_trust_):
        row |= clf.annotator_trust_.iloc[-1][["accuracy", "low", "high"]].add_prefix("trust_").to_dict()
    return {row_name(job): row}


def row_name(job: Job) -> str:
    """Return what the table calls a job's annotator."""
    who = job["who"]
    name = f"simulated, {100 * who:.0f} % right" if isinstance(who, float) else who.removeprefix("noisy_")
    return name + (", trusted fully" if job["settings"].get("trust") == "full" else "")


def jobs(
    folder: Path | None, sets: Iterable[str], sizes: Iterable[int | None], seeds: Iterable[int],
    settings: dict[str, Any], llm: str | None, right: Iterable[float], budgets: Iterable[int | None],
) -> list[Job]:  # fmt: skip
    """Return all runs: nobody asked once, then every annotator with every budget."""
    budgets, found = list(budgets), []
    for name in sets:
        every: list[tuple[Any, dict[str, Any], Any]] = [(NOBODY, {}, 0)]
        every += [(who, MEASURED, budget) for who in right for budget in budgets]
        every += [(who, PUBLISHED, 200) for who in right if 200 in budgets and who in (0.3, 0.9)]
        if recorded := RECORDED.get(name.split()[0]):
            every += [(recorded, MEASURED, budget) for budget in budgets]
        if llm:
            every += [(llm, MEASURED, budget) for budget in budgets if budget is not None]
        found += [
            {
                "folder": str(folder) if folder else None, "set": name, "size": size, "seed": seed,
                "who": who, "budget": budget, "settings": {**settings, **more},
                "config": NoiseALConfig.make(**settings, **more).to_dict(),
            }
            for size in sizes for seed in seeds for who, more, budget in every
        ]  # fmt: skip
    return found


def measure(
    *, folder: Path | None = None, sets: Iterable[str] = (), sizes: Iterable[int | None] = (600,),
    seeds: Iterable[int] = (0, 1), profile: str = "quick", llm: str | None = "smollm2", fresh: bool = False,
    workers: int = 1, settings: dict[str, Any] | None = None, right: Iterable[float] = RIGHT,
    budgets: Iterable[int | None] = BUDGETS,
) -> pd.DataFrame:  # fmt: skip
    """Run everything; return one row a set, size, seed, annotator and budget. No names: `SETS` that exist."""
    known = development_sets(folder)
    chosen = tuple(sets) or tuple(name for name in SETS if name in known)
    todo = jobs(
        folder, chosen, sizes, seeds, {"profile": profile, **(settings or {})}, llm, right, list(budgets)
    )
    titles = {row_name(job): row_name(job) for job in todo}

    def groups(job: Job) -> list[dict[str, Any]]:
        budget = "all" if job["budget"] is None else job["budget"]
        return [{"set": job["set"], "size": job["size"] or "all", "seed": job["seed"], "budget": str(budget)}]

    return running.measure(run_job, todo, groups, titles, fresh=fresh, workers=workers)


def summarise(runs: pd.DataFrame) -> str:
    """Return a table a set: accuracy by annotator and budget, and how well the annotator was estimated."""
    parts = []
    for (name, size), part in runs.groupby(["set", "size"], sort=False):
        seeds = ", ".join(str(seed) for seed in sorted(part["seed"].unique()))
        budgets = [budget for budget in dict.fromkeys(part["budget"]) if budget != "0"]
        rows = []
        for method, own in part.groupby("method", sort=False):
            if method == NOBODY:
                rows.append([NOBODY, *[spread(own["accuracy"])] * len(budgets), "", ""])
                continue
            cells = [own.loc[own["budget"] == budget, "accuracy"] for budget in budgets]
            last = own[own["budget"] == ("200" if "200" in budgets else budgets[-1])].mean(numeric_only=True)
            told = last.get("trust_accuracy", float("nan"))
            rows.append([
                str(method), *("" if cell.empty else spread(cell) for cell in cells),
                f"{100 * last['answers_right']:.0f}",
                "" if np.isnan(told) else
                f"{100 * told:.0f} ({100 * last['trust_low']:.0f} to {100 * last['trust_high']:.0f})",
            ])  # fmt: skip
        head = ["annotator", *(f"{budget} questions" for budget in budgets), "answers right", "estimated"]
        parts += [
            f"**{name}, {size} texts.** Test accuracy in %, mean ± standard deviation (seeds {seeds}); then, "
            "with 200 questions, how many answers are right, and the estimate with its 90 % interval:",
            markdown(head, rows),
        ]
    return "\n\n".join([*parts, wanted(runs)])


def wanted(runs: pd.DataFrame) -> str:
    """Return how far the measured is from what was wanted."""
    mean = runs.groupby(["set", "size", "method", "budget"])["accuracy"].mean() * 100
    base = mean.xs((NOBODY, "0"), level=("method", "budget"))

    def gains(method: str) -> pd.Series:
        found = (
            mean.xs(method, level="method") if method in mean.index.get_level_values("method") else base[:0]
        )
        return found - base.reindex(found.index.droplevel("budget")).to_numpy()

    lines = []
    for share in (0.3, 0.9):
        gain = gains(f"simulated, {100 * share:.0f} % right")
        if len(gain):
            worst, best = gain.idxmin(), gain.idxmax()
            lines.append(
                f"Right in {100 * share:.0f} %, against nobody asked: from {gain.min():+.1f} points "
                f"({worst[0]}, {worst[-1]} questions) to {gain.max():+.1f} ({best[0]}, {best[-1]})."
            )
    return "\n".join(f"- {line}" for line in lines)

"""The benchmarks: what they run, what is remembered, what their tables say, and the pages that show them."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from datasets import Dataset, DatasetDict

from benchmarks import (
    accuracy,
    busy,
    cost,
    gpu,
    overview,
    refining,
    robust,
    run,
    running,
    speed,
    widgets,
)
from nlkit.course import plots
from nlkit.course.widgets import Explorer, explorer
from tests.made import labelled_split

ROOT = Path(__file__).parents[1]
RESULTS = overview.RESULTS

TINY: dict[str, Any] = {
    "kinds": ("symmetric", "asymmetric"), "seeds": (0,), "profile": "quick", "train_size": 120,
    "test_size": 60, "annotator": None, "query_budget": 0, "settings": {"epochs": 6, "max_length": 16},
}  # fmt: skip


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return accuracy.measure(**TINY)


def test_every_method_and_kind_has_a_row(runs: pd.DataFrame) -> None:
    assert sorted(zip(runs["noise"], runs["method"], strict=True)) == sorted(
        (kind, method) for kind in TINY["kinds"] for method in accuracy.ROWS
    )
    assert runs["accuracy"].between(0, 1).all()
    clean = runs[runs["method"] == "clean"]
    assert len(set(clean["accuracy"])) == 1
    assert clean["accuracy"].iloc[0] > runs.loc[runs["method"] == "ce", "accuracy"].min()


def test_a_finished_run_is_remembered_until_a_setting_changes(
    runs: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[accuracy.Job] = []
    monkeypatch.setattr(
        accuracy, "run_job", lambda job: made.append(job) or {"ce": {"accuracy": 0.5, "ece": 0.1}}
    )
    pd.testing.assert_frame_equal(accuracy.measure(**TINY), runs)
    assert made == []
    accuracy.measure(**{**TINY, "settings": {**TINY["settings"], "dropout": 0.2}})
    assert sorted(job["run"] for job in made) == ["ce", "ce", "clean", "noiseal", "noiseal"]


def test_a_default_that_changes_makes_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def wanted() -> list[accuracy.Job]:
        return accuracy.jobs(("symmetric",), (0,), {"profile": "quick"}, 120, 60, None, 0)

    before = wanted()
    monkeypatch.setitem(accuracy.NoiseALConfig.profiles, "quick", {"epochs": 9})
    changed = [b["run"] for b, a in zip(before, wanted(), strict=True) if a != b]
    assert changed == ["noiseal"]


def test_tables_have_mean_and_spread_and_no_spread_of_one_seed() -> None:
    rows = [
        {"noise": noise, "seed": seed, "method": method, "accuracy": value, "R precision": value,
         "R recall": value, "P precision": value, "asked noisy": value, "annotator right": value}
        for noise, seed, value in (("symmetric", 0, 0.9), ("symmetric", 1, 0.8), ("asymmetric", 0, 0.5))
        for method in accuracy.ROWS
    ]  # fmt: skip
    text = accuracy.summarise(pd.DataFrame(rows))
    assert "| NoiseAL | 85.0 ± 7.1 | 50.0 |" in text
    assert "symmetric (seeds 0, 1)" in text


def test_workers_compute_with_one_thread_and_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with running.one_thread_each(2) as over:
        assert list(over(os.getenv, ["OMP_NUM_THREADS"] * 2)) == ["1", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_cost_is_measured_by_stage_in_a_process_with_an_empty_cache() -> None:
    job = next(job for job in cost.jobs(smoke=True) if job["part"] == "reference")
    found = cost.run_job({**job, "settings": {**job["settings"], "max_length": 16}})
    assert set(found["seconds"]) == set(cost.STAGES) - {"before"} | {"other"}
    # Nothing was cached: the frozen layers ran.
    assert found["seconds"]["encode"] > 0.01
    assert found["total_s"] == pytest.approx(sum(found["seconds"].values()))
    assert 100 < found["peak_mb"]["before"] < found["total_mb"] < 5000
    assert (found["train"], found["validation"], found["test"]) == (32, 24, 32)
    assert "| wanted, at most | 10 s, 1500 MB |" in cost.summarise({"runs": [found]})


def test_a_stage_inside_another_one_stops_its_clock() -> None:
    watch, inner = cost.Stopwatch(), 0.05
    sleep = watch.timed(time.sleep, "inside")
    watch.timed(lambda: sleep(inner), "outside")()
    watch.timed(lambda: sleep(inner), "prediction")()
    assert watch.seconds["inside"] >= inner > watch.seconds["outside"]
    assert watch.seconds["prediction"] >= inner


def test_growth_is_told_by_an_exponent() -> None:
    assert cost.exponent([1, 10, 100], [3, 300, 30000]) == pytest.approx(2)
    shared = {"part": "texts", "dataset": "20ng", "classes": 20, "profile": "quick", "parameters": 867516,
              "condition_size": 1152, "open": 0.5}  # fmt: skip
    runs = [
        {**shared, "name": n, "seconds": {"first": n / 1000}, "total_s": (n / 1000) ** 2, "cpu_s": 1.0,
         "total_mb": 700 + n / 10} for n in (500, 1000, 2000)
    ]  # fmt: skip
    text = cost.summarise({"runs": runs})
    assert "Growth with texts: 20ng, 20 classes" in text
    assert "| first stage | 0.50 (1.0) | 1.00 (1.0) | 2.00 (1.0) | 1.00 |" in text
    assert "| all | 0.25 (0.5) | 1.00 (1.0) | 4.00 (2.0) | 2.00 |" in text
    assert "| peak memory, MB | 750 | 800 | 900 | +0.10 MB each |" in text


def test_the_largest_classes_are_numbered_anew() -> None:
    def part(labels: list[int]) -> Dataset:
        return labelled_split("abcd", text=[f"text of {y}" for y in labels], label=labels)

    ds = DatasetDict(train=part([0, 1, 1, 1, 3, 3, 2]), test=part([3, 0, 1]))
    found = cost.largest_classes(ds, 2, {"train": 4, "test": 100})
    assert found["train"].features["label"].names == ["b", "d"]
    assert sorted(found["train"]["label"]) in ([0, 0, 0, 1], [0, 0, 1, 1])
    assert sorted(zip(found["test"]["text"], found["test"]["label"], strict=True)) == [
        ("text of 1", 0), ("text of 3", 1)
    ]  # fmt: skip


REFINING: dict[str, Any] = {
    "sets": ("r8 symmetric",), "seeds": (0,), "train_size": 100, "test_size": 40,
    "settings": {"epochs": 2, "max_length": 16},
}  # fmt: skip


def test_sidyp_its_rivals_and_ablations_have_a_row_each(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, settings in list(refining.ABLATIONS.items()):
        monkeypatch.setitem(refining.ABLATIONS, name, {**settings, "diffusion_epochs": 2, "chains": 1})
    runs = refining.measure(**REFINING)
    assert sorted(runs["method"]) == sorted(refining.ROWS)
    assert runs["accuracy"].between(0, 1).all()
    assert runs["ece"].between(0, 1).all()
    steps = runs.set_index("method").loc["sidyp"]
    assert 0.2 < steps["noise"] < 0.6
    assert steps[["auc", "prior_right", "accuracy_after", "harm_rate"]].between(0, 1).all()


def test_all_methods_know_the_settings_of_the_smoke_run() -> None:
    wanted = run.SMOKE["refining"]
    sizes = wanted["train_size"], wanted["test_size"]
    found = refining.jobs(wanted["sets"], wanted["seeds"], {"profile": "quick", **wanted["settings"]}, *sizes)
    assert {job["run"] for job in found} == set(refining.CONFIGS)


def test_a_set_labelled_by_the_llm_is_the_same_for_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(refining, "llm_labelled", lambda *a, **named: asked.append((a, named)))
    refining.data.cache_clear()
    for seed in (0, 1):
        refining.data("r52-10 pool", seed, 50, None)
    refining.data.cache_clear()
    assert asked == [(("r52-10", "pool"), {"train_size": 50})] * 2
    assert [name for name in refining.SETS if refining.is_llm(name)] == [
        "r8 fixed", "r8 pool", "r52-10 fixed", "r52-10 pool",
    ]  # fmt: skip


def test_the_summary_compares_with_cross_entropy_over_the_llms_sets() -> None:
    columns = {
        "noise",
        "noise_rate_used",
        "auc",
        "prior_right",
        "accuracy_after",
        "correction_rate",
        "harm_rate",
    }
    rows = [
        {"set": name, "seed": seed, "method": method, "accuracy": 0.9 if method == "sidyp" else 0.8,
         "ece": 0.05 if method == "sidyp" else 0.2, **dict.fromkeys(columns, 0.5)}
        for name in ("r8 fixed", "r8 pool", "20ng symmetric") for seed in (0, 1) for method in refining.ROWS
    ]  # fmt: skip
    summary = refining.summarise(pd.DataFrame(rows))
    assert "SiDyP is +10.0 points from CE's last epoch (wanted: +7), its ECE is 0.25 of CE's" in summary
    assert "| SiDyP | 90.0 ± 0.0 | 90.0 ± 0.0 |" in summary
    assert "20 Newsgroups, symmetric 0.4" in summary
    assert "asymmetric" not in summary


def test_redraws_are_timed_and_the_notebooks_names_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fig, _ = plots.figure()
    controls = {"which": ("which", 1, range(3))}
    made = Explorer(controls, lambda which: (fig, "words", ""), lambda which: (fig, "words"))
    monkeypatch.setattr(explorer, "_MADE", {made})
    notebook = {"names": ["one", "two"], "found": "mine", "taken": "mine"}
    before = dict(notebook)
    exec(widgets.TIME_ALL, notebook)
    assert {name: notebook[name] for name in before} == before
    (row,) = json.loads(capsys.readouterr().out.removeprefix(widgets.BEGINS))
    assert row["controls"] == "which"
    assert len(row["redraws"]) == 3  # to both ends and back
    assert min(row["redraws"]) > 0


@pytest.mark.parametrize(
    "part", [accuracy, refining, robust, speed, cost, widgets], ids=lambda part: part.__name__
)
def test_the_stored_tables_sum_up_the_stored_results(part: Any) -> None:
    name = part.__name__.rpartition(".")[2]
    found = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    summary = part.summarise(pd.DataFrame(found["runs"]) if name in run.OVER_SEEDS else found)
    assert (RESULTS / f"{name}.md").read_text("utf-8") == summary + "\n"


def test_one_seed_of_other_texts_is_summed_up_without_a_spread() -> None:
    runs = pd.DataFrame(json.loads((RESULTS / "robust.json").read_text("utf-8"))["runs"])
    one = runs[(runs["seed"] == 0) & (runs["set"] == "bias gpt_4")].set_index("method")
    said = robust.summarise(one.reset_index())
    wrong, estimated = 100 * one.loc["sidyp", ["noise", "noise_rate_used"]].to_numpy(float)
    ce = 100 * one.loc["ce", "accuracy"]
    assert f"| bias gpt_4 | {wrong:.0f} | {estimated:.0f} | {ce:.1f} |" in said
    assert " ± " not in said.replace("mean ± standard deviation", "")


def test_readme_shows_the_stored_results() -> None:
    # After new results `python benchmarks/overview.py` writes the figure, and prints alt text and table.
    readme = (ROOT / "README.md").read_text("utf-8")
    _, words = overview.draw()
    assert f"![{words}]({overview.FIGURE.relative_to(ROOT).as_posix()})" in readme
    assert overview.table() in readme


def test_every_table_of_the_benchmarks_page_is_stored() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    stored = "".join(path.read_text("utf-8") for path in RESULTS.glob("*.md"))
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert len(tables) > 8
    assert [table for table in tables if table not in stored] == []


def test_the_gpus_script_runs_without_one() -> None:
    result = gpu.measure(smoke=True)
    for name, epochs in (("CE", 4), ("NoiseAL", 7), ("SiDyP", 4)):
        row = result[name]
        assert row["epochs"] == len(row["steps_of_epochs_s"]) == epochs
        assert row["steps_s"] + row["predictions_s"] + row["diffusion_s"] < row["fit_s"]
        assert row["tokens_per_s"] == pytest.approx(
            row["texts"] * row["tokens_a_text"] / row["steps_of_epochs_s"][-1]
        )
    assert (result["SiDyP"]["diffusion_s"] > 0) > (result["CE"]["diffusion_s"] > 0)
    assert len(gpu.summarise(result).splitlines()) == 5


def test_embedding_tables_multiply_nothing() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(50, 4), torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
    assert gpu.weights_that_multiply(model) == 12


def test_what_was_given_up_is_said_in_the_table_of_busy_machines() -> None:
    def part(seconds: float) -> dict[str, float]:
        return {"seconds": seconds, "accuracy": 0.5, "mb": 100 * seconds}

    rows = [
        {"name": "a", "alone": part(2), "beside": part(5)}, {"name": "b", "alone": part(9), "beside": None},
    ]  # fmt: skip
    table = busy.summarise({"rows": rows})
    assert "| a | 2.0 s | 5.0 s | 2.5 | 500 MB | 0.500 |" in table
    assert "| b | 9.0 s | over 60 s |  | 900 MB | 0.500 |" in table

"""The benchmark of accuracy: what it runs, what it remembers, and what its tables say."""

from __future__ import annotations

import os
from typing import Any

import pandas as pd
import pytest

from benchmarks import accuracy

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
    monkeypatch.setattr(accuracy, "run_job", lambda job: made.append(job) or {"ce": {"accuracy": 0.5}})
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
    with accuracy.one_thread_each(2) as over:
        assert list(over(os.getenv, ["OMP_NUM_THREADS"] * 2)) == ["1", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"

"""A guard against what makes a method worse without an error: twelve small cells of a sweep, and their bands.

guard.json holds figures of each cell, and how much they differ from seed to seed: other texts, other wrong
labels, other networks. A band is the stored figure ± that standard deviation (of seeds 0 to 4). Another
processor changes a text or two of 200, which is far less; a method that has lost what it adds is far outside.
``python -m tests.study.test_guard`` writes the file anew, after a change that is meant to move figures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import DatasetDict

from nlkit.data.observed import with_column
from nlkit.study.sweeps import cells
from nlkit.study.sweeps.cells import run_cell
from nlkit.study.sweeps.grid import cells_of
from nlkit.study.sweeps.records import table_of

STORED = Path(__file__).with_name("guard.json")
SEEDS = range(5)
LEAST = {"accuracy": 0.02, "best_accuracy": 0.02, "nll": 0.05}
"""No band is narrower: four texts of 200."""

# Sets, noise and rivals that tests/test_figures.py does not have.
SMALL = {"size": 300, "test_size": 200, "encoder": "minilm", "profile": "quick"}
GRID: list[dict[str, Any]] = [
    {"dataset": "r52", "noise": "asymmetric", "rate": 0.3,
     "method": ["ForwardCorrection", "KNNRelabel", "ConfidentLearning", "NoiseAL"]},
    {"dataset": "20ng", "noise": "instance", "rate": 0.4, "method": ["SelfMix", "DivideMix", "SiDyP", "GCE"]},
    {"dataset": "20ng", "noise": "symmetric", "rate": 0.5, "method": ["CoTeaching", "JoCoR"]},
    {"dataset": "20ng", "noise": "clean", "method": ["CE", "LinearModel"]},
]  # fmt: skip


def found(seed: int, grid: list[dict[str, Any]] = GRID) -> pd.DataFrame:
    """Return the cells' records, one row a method."""
    todo = cells_of([{**SMALL, **part, "seed": seed} for part in grid])
    records = table_of(run_cell({"cell": cell, "purse": None}) for cell in todo)
    assert set(records["status"]) == {"done"}, list(records["error"])
    return records.set_index("method")


def outside(records: pd.DataFrame) -> list[str]:
    """Return what is outside its band, as "method: figure"."""
    bands = json.loads(STORED.read_text("utf-8"))
    return [
        f"{method}: {figure}"
        for method, row in records.iterrows()
        for figure, (stored, width) in bands[method].items()
        if not abs(row[figure] - stored) <= width  # also of a NaN
    ]


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return found(0)


def test_figures_stay_in_their_bands(records: pd.DataFrame) -> None:
    assert set(records.index) == set(json.loads(STORED.read_text("utf-8")))
    assert len(records) == 12
    assert outside(records) == []


def broken(method: str, **settings: Any) -> dict[str, Any]:
    """Return the method's part of the grid with other settings."""
    part = next(part for part in GRID if method in part["method"])
    return {**part, "method": {"method": method, "name": method, **settings}}


@pytest.mark.parametrize("method", ["CE", "JoCoR", "SelfMix"])
def test_a_network_that_does_not_learn_is_outside(method: str) -> None:
    assert f"{method}: accuracy" in outside(found(0, [broken(method, lr_head=1e-9)]))


@pytest.mark.parametrize(
    ("method", "settings"),
    [("GCE", {"gce_q": 0.01}), ("CoTeaching", {"noise_rate": 0.0}), ("KNNRelabel", {"k": 1}),
     ("DivideMix", {"warmup_epochs": 9})],
)  # fmt: skip
def test_a_method_that_does_nothing_about_noise_is_outside(method: str, settings: dict[str, Any]) -> None:
    assert outside(found(0, [broken(method, **settings)]))


def test_labels_that_are_mixed_up_are_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(ds: DatasetDict) -> DatasetDict:
        label = ds["train"]["label"][::-1]
        train = with_column(ds["train"], "noisy_label", label, ds["train"].features["label"])
        return DatasetDict({**ds, "train": train})

    monkeypatch.setattr(cells, "clean_labels", mixed)
    cells._loaded.cache_clear()
    assert "LinearModel: accuracy" in outside(found(0, [broken("LinearModel")]))
    cells._loaded.cache_clear()


def bands() -> dict[str, Any]:
    """Return for each method and figure what the first seed gives, and the spread over seeds."""
    runs = pd.concat([found(seed) for seed in SEEDS])
    result: dict[str, Any] = {}
    for method, part in runs.groupby(level=0, sort=False):
        known = [figure for figure in LEAST if part[figure].notna().all()]
        result[str(method)] = {
            figure: [round(part[figure].iloc[0], 4), round(max(part[figure].std(), LEAST[figure]), 4)]
            for figure in known
        }
    return result


if __name__ == "__main__":
    lines = ",\n".join(f" {json.dumps(method)}: {json.dumps(band)}" for method, band in bands().items())
    STORED.write_text(f"{{\n{lines}\n}}\n", "utf-8")

"""A search over settings: noisy validation labels choose, and true ones are only looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import DatasetDict
from scipy import stats

import nlkit as nk
from nlkit.__main__ import main
from nlkit.data.observed import with_column

GRID = {
    "dataset": "tests.study.test_searching:data", "size": 200, "noise": "given", "seed": [0, 1],
    "method": {"method": "GCE", "epochs": 4},
}  # fmt: skip
SPACE = {"lr_head": [1e-7, 1e-4, 1e-2], "dropout": [0.0, 0.2]}


def data(seed: int, size: int | None) -> DatasetDict:
    """R8, of whose labels two in ten are wrong."""
    return nk.add_noise(nk.load_dataset("r8", train_size=size, test_size=60, seed=seed), rate=0.2, seed=seed)


def permuted(seed: int, size: int | None) -> DatasetDict:
    """The same with true labels that say nothing."""
    rng, ds = np.random.default_rng(seed), data(seed, size)
    return DatasetDict({
        name: with_column(part, "label", rng.permutation(part["label"][:]).tolist(), part.features["label"])
        for name, part in ds.items()
    })  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def here() -> Iterator[None]:
    """Cells run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nlkit.study.sweeps.engines.local", lambda f, jobs, **_: enumerate(map(f, jobs)))
        yield


@pytest.fixture(scope="module")
def found(here: None, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return nk.search(GRID, SPACE, results=tmp_path_factory.mktemp("search"))


def test_what_does_not_learn_is_last_and_all_combinations_are_tried_once(found: pd.DataFrame) -> None:
    assert len(found) == len(found.drop_duplicates(list(SPACE))) == 6
    assert found["noisy_validation"].is_monotonic_decreasing
    assert found["lr_head"].iloc[0] == 1e-2
    assert found["lr_head"].iloc[-2:].tolist() == [1e-7, 1e-7]
    assert found["best_accuracy"].iloc[0] > found["best_accuracy"].iloc[-1] + 0.1


def test_true_labels_change_nothing_but_what_is_shown_of_them(found: pd.DataFrame, tmp_path: Path) -> None:
    blind = nk.search({**GRID, "dataset": "tests.study.test_searching:permuted"}, SPACE, results=tmp_path)
    decides = [*SPACE, "noisy_validation", "failed"]
    pd.testing.assert_frame_equal(blind[decides], found[decides])
    assert blind["best_accuracy"].max() < found["best_accuracy"].max() - 0.1


def test_the_figure_is_that_of_noisy_validation_at_the_best_epoch(found: pd.DataFrame) -> None:
    best = found.iloc[0]
    expected = []
    for seed in GRID["seed"]:
        ds = data(seed, 200)
        method = nk.Baseline(loss="gce", epochs=4, profile="quick", seed=seed, **best[list(SPACE)])
        seen = method.fit(ds).at_best_epoch().predict(ds["validation"]["text"][:])
        expected.append((seen == ds["validation"]["noisy_label"][:]).mean())
    assert best["noisy_validation"] == pytest.approx(np.mean(expected))


def test_distributions_and_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = {**GRID, "seed": 0, "method": {"method": "CE", "epochs": 1}}
    drawn = nk.search(one, {"lr_head": stats.loguniform(1e-4, 1e-2)}, 2, results=tmp_path)
    assert drawn["lr_head"].between(1e-4, 1e-2).all()
    assert drawn["lr_head"].nunique() == 2
    grid, space = tmp_path / "grid.yaml", tmp_path / "space.yaml"
    grid.write_text("{dataset: 'tests.study.test_searching:data', noise: given, size: 200, method: CE}")
    space.write_text("lr_head: [0.0001, 0.001]")
    asked = ["sweep", "--grid", str(grid), "--search", str(space), "--results", str(tmp_path)]
    assert main(asked) == 0
    assert "noisy_validation" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("method", "space", "message"),
    [("all", SPACE, "method='all' is not allowed: one method whose settings"),
     (["CE", "GCE"], SPACE, "method=.* one method whose settings"),
     ("CE", {}, r"space=\[\] is not allowed"), ("CE", {"lr_heat": [1]}, "'lr_heat' is not a setting"),
     ("CE", {"lr_head": [-1]}, "lr_head=-1 is not allowed")],
)  # fmt: skip
def test_bad_requests(method: object, space: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        nk.search({**GRID, "method": method}, space, results=tmp_path)

"""Sweeps of a notebook: what is run, what is not run again, and what is made of the results."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell
from papermill import PapermillExecutionError
from PIL import Image

from nlkit.__main__ import main
from notebooks import build as notebooks
from notebooks.build import commands, running, sweeping

NAME = "05_noiseal"
TINY = {
    "train_size": 150, "test_size": 100, "annotator": "simulated", "query_budget": 5, "ablation_seeds": 1,
    "recorded": False,
}  # fmt: skip


@pytest.fixture
def executed(monkeypatch):
    """What was executed, without executing it: a notebook that finds its own noise rate, or fails."""
    given = []

    def execute(name, parameters, out, **settings):
        given.append({k: v for k, v in parameters.items() if k != "results"})
        out.parent.mkdir(parents=True, exist_ok=True)
        failing = parameters.get("seed") == 13
        nb = nbformat.read(notebooks.folder() / f"{name}.ipynb", as_version=4)
        nb.cells.insert(1, new_code_cell("injected", metadata={"tags": ["injected-parameters"]}))
        nb.metadata["papermill"] = {"parameters": parameters, "end_time": "now", "exception": failing or None}
        nbformat.write(nb, out)
        if failing:
            raise PapermillExecutionError(1, 1, "boom()", "NameError", "boom", [])
        rows = [{"method": m, "test accuracy": 0.9 - parameters["noise_rate"] / n}
                for n, m in enumerate(("CE", "NoiseAL"), start=1)]  # fmt: skip
        Path(parameters["results"]).write_text(json.dumps({"settings": {}, "result": rows, "n": 3}))

    monkeypatch.setattr(running, "execute", execute)
    return given


class TestSweep:
    def test_every_combination_in_order_with_its_rows(self, executed, tmp_path):
        grid = {"noise_rate": [0.0, 0.4], "seed": [1, 2]}
        found = notebooks.sweep(NAME, grid, tmp_path, {"profile": "class"})
        assert executed == [
            {"profile": "class", "noise_rate": rate, "seed": seed} for rate in (0.0, 0.4) for seed in (1, 2)
        ]
        assert list(found) == ["noise_rate", "seed", "method", "test accuracy"]
        assert len(found) == 8
        ce = found[found["method"] == "CE"]
        assert (ce["test accuracy"] == 0.9 - ce["noise_rate"]).all()
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / f"{NAME}.csv"), found)
        assert (tmp_path / "noise_rate=0.4,seed=2" / f"{NAME}.ipynb").exists()

    def test_what_is_finished_is_not_run_again(self, executed, tmp_path):
        first = notebooks.sweep(NAME, {"noise_rate": [0.0, 0.4]}, tmp_path)
        again = notebooks.sweep(NAME, {"noise_rate": [0.0, 0.2, 0.4]}, tmp_path)
        assert [given["noise_rate"] for given in executed] == [0.0, 0.4, 0.2]
        pd.testing.assert_frame_equal(again[again["noise_rate"] != 0.2].reset_index(drop=True), first)

    @pytest.mark.parametrize("change", ["parameters", "notebook", "half", "no results"])
    def test_what_is_not_the_same_is(self, executed, tmp_path, change):
        notebooks.sweep(NAME, {"noise_rate": [0.4]}, tmp_path)
        place = tmp_path / "noise_rate=0.4"
        nb = nbformat.read(place / f"{NAME}.ipynb", as_version=4)
        if change == "notebook":
            nb.cells[0].source += " older"
        elif change == "half":
            nb.metadata["papermill"]["end_time"] = None
        nbformat.write(nb, place / f"{NAME}.ipynb")
        if change == "no results":
            (place / f"{NAME}.json").unlink()
        notebooks.sweep(NAME, {"noise_rate": [0.4]}, tmp_path, {"seed": 1} if change == "parameters" else {})
        assert len(executed) == 2

    @pytest.mark.parametrize("suffix", ["ipynb", "json"])
    def test_a_truncated_file_is_named_and_run_again(self, executed, tmp_path, suffix):
        found = notebooks.sweep(NAME, {"noise_rate": [0.4]}, tmp_path)
        path = tmp_path / "noise_rate=0.4" / f"{NAME}.{suffix}"
        path.write_text(path.read_text()[:-5])
        with pytest.warns(UserWarning, match=r"noise_rate=0\.4 holds a damaged file .*run again"):
            again = notebooks.sweep(NAME, {"noise_rate": [0.4]}, tmp_path)
        assert len(executed) == 2
        pd.testing.assert_frame_equal(again, found)

    def test_a_failure_is_told_after_the_rest_ran(self, executed, tmp_path):
        with pytest.raises(RuntimeError, match="1 of 3 runs failed") as failed:
            notebooks.sweep(NAME, {"seed": [1, 13, 2]}, tmp_path, {"noise_rate": 0.1})
        assert "seed=13: Cell [1] failed" in str(failed.value)
        assert [given["seed"] for given in executed] == [1, 13, 2]
        with pytest.raises(RuntimeError):
            notebooks.sweep(NAME, {"seed": [1, 13, 2]}, tmp_path, {"noise_rate": 0.1})
        assert [given["seed"] for given in executed] == [1, 13, 2, 13]

    def test_folders_of_odd_values(self, executed, tmp_path):
        notebooks.sweep(NAME, {"encoder": ["org/model"], "noise_rate": [0.1]}, tmp_path)
        assert (tmp_path / "encoder=org%2Fmodel,noise_rate=0.1").is_dir()

    @pytest.mark.parametrize(
        ("grid", "parameters", "message"),
        [
            ({"noiserate": [0.1]}, {}, "'noiserate' cannot be set in a sweep of 05_noiseal: one of profile"),
            ({"seed": [1]}, {"results": "x"}, "'results' cannot be set"),
            ({"seed": []}, {}, r"seed=\[\] is not allowed"), ({"seed": [1, 1]}, {}, "different values"),
            ({"dataset": "r8"}, {}, "dataset='r8' is not allowed: a list"),
            ({"seed": [1]}, {"seed": 2}, "either in grid or in parameters"),
            ({}, {}, "at least one parameter"),
            ({"noiserate": [0.1]}, {}, r"did you mean 'noise_rate'\?"),
            ({"noise_rate": ["much"]}, {}, "noise_rate='much' is not allowed: float, such as 0.4"),
            ({"noise_rate": [0.1, 1.5]}, {}, "noise_rate=1.5 is not allowed"),
            ({"noise": ["symmetric", "loud"]}, {}, "noise='loud' is not allowed: one of symmetric"),
            ({"seed": [0, True]}, {}, "seed=True is not allowed: int"),
            ({"dataset": ["r8", "r9"]}, {}, "source='r9' is not allowed"),
            ({"train_size": [100, 10**6]}, {}, "train_size=1000000 is not allowed"),
        ],
    )  # fmt: skip
    def test_bad_requests_fail_before_anything_runs(self, executed, tmp_path, grid, parameters, message):
        with pytest.raises(ValueError, match=message):
            notebooks.sweep(NAME, grid, tmp_path, parameters)
        assert not executed


class TestFigure:
    def test_picture_and_words(self, tmp_path):
        found = pd.DataFrame(
            {"noise_rate": [0.0, 0.4] * 2, "method": ["CE"] * 2 + ["NoiseAL"] * 2,
             "test accuracy": [0.95, 0.8, 0.94, 0.93]}
        )  # fmt: skip
        path = sweeping.draw_found(found, tmp_path / "x.png", x="noise_rate")
        assert Image.open(path).size[0] > 500
        said = (tmp_path / "x.txt").read_text()
        assert "Test accuracy in percent by noise rate: CE 0.0: 95.0, 0.4: 80.0; NoiseAL 0.0: 94.0" in said

    def test_names_across_and_repeated_runs(self, tmp_path):
        found = pd.DataFrame({"dataset": ["r8", "20ng", "r8"], "method": "CE", "f": [0.5, 0.3, 0.7]})
        sweeping.draw_found(found, tmp_path / "x.png", x="dataset", y="f")
        assert "F in percent by dataset: CE r8: 60.0, 20ng: 30.0." in (tmp_path / "x.txt").read_text()

    def test_no_such_column(self, tmp_path):
        with pytest.raises(ValueError, match="y='test accuracy' is not allowed: one of a, method"):
            sweeping.draw_found(pd.DataFrame({"a": [1], "method": ["CE"]}), tmp_path / "x.png", x="a")


class TestCommand:
    def test_values_are_literals_or_words(self):
        assert commands.values("noise_rate=0,0.2") == ("noise_rate", [0, 0.2])
        assert commands.values("dataset=r8,r52") == ("dataset", ["r8", "r52"])
        assert commands.values("train_size=2000,None") == ("train_size", [2000, None])
        assert commands.values("seed=3") == ("seed", [3])

    def test_runs_collects_and_draws(self, executed, tmp_path, capsys):
        given = ["sweep", NAME, "-p", "noise_rate=0.1,0.2", "-p", "seed=1", "--out", str(tmp_path)]
        assert main(given) == 0
        said = capsys.readouterr().out
        assert "NoiseAL" in said
        assert (tmp_path / f"{NAME}.png").exists()
        assert (tmp_path / f"{NAME}.txt").exists()

    def test_values_of_one_name_are_joined(self, executed, tmp_path):
        given = ["sweep", NAME, "-p", "noise_rate=0.1", "-p", "seed=1", "-p", "noise_rate=0.2"]
        assert main([*given, "--out", str(tmp_path)]) == 0
        assert [row["noise_rate"] for row in executed] == [0.1, 0.2]

    def test_a_value_that_the_notebook_has_not_is_refused_before_anything_runs(
        self, executed, tmp_path, capsys
    ):
        given = ["sweep", NAME, "-p", "seed=1", "--value", "acuracy", "--out", str(tmp_path)]
        assert main(given) == 2
        assert "--value='acuracy' is not allowed: one of test accuracy" in capsys.readouterr().err
        assert not executed

    def test_failures(self, executed, tmp_path, capsys):
        assert main(["sweep", NAME, "-p", "seed=13", "--out", str(tmp_path)]) == 1
        assert "1 of 1 runs failed" in capsys.readouterr().err
        assert main(["sweep", NAME, "-p", "seeds=1", "--out", str(tmp_path)]) == 2
        assert "nlkit sweep: 'seeds' cannot be set" in capsys.readouterr().err


@pytest.mark.parametrize("name", notebooks.names())
def test_every_notebook_shows_the_result_that_a_sweep_collects(name):
    by, *numbers = sweeping.result_columns(name)
    assert numbers
    assert not {by, *numbers} & set(notebooks.parameters_of(running.committed(name)))


@pytest.mark.slow
def test_the_noise_rates_of_noiseal(tmp_path):
    found = notebooks.sweep(NAME, {"noise_rate": [0.0, 0.6]}, tmp_path, TINY)
    assert found["method"].tolist()[:4] == found["method"].tolist()[4:]
    assert found["test accuracy"].between(0, 1).all()
    accuracy = found.set_index(["noise_rate", "method"])["test accuracy"]
    assert accuracy[0.0, "CE"] > accuracy[0.6, "CE"] + 0.1
    for rate in (0.0, 0.6):
        done = nbformat.read(tmp_path / f"noise_rate={rate}" / f"{NAME}.ipynb", as_version=4)
        assert all(cell.execution_count for cell in done.cells if cell.cell_type == "code")
    again = notebooks.sweep(NAME, {"noise_rate": [0.0, 0.6]}, tmp_path, TINY)
    pd.testing.assert_frame_equal(again, found)

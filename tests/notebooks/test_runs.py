"""The notebooks executed by papermill: live with their solutions, and as students get them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from papermill import PapermillExecutionError

from nlkit.__main__ import main
from notebooks import build as notebooks
from notebooks.build import running
from notebooks.build.commands import demo
from tests.notebooks.executed import START
from tests.notebooks.test_notebooks import NAMES, pictures

ONE_SLIDER = 3  # moves: to both ends, and back
# 06 long before 07, 08 and 09, which put the same questions to the language model: they find them answered.
ORDER = list(dict.fromkeys([START, "02_memorisation", "06_llm_noise", *NAMES]))


@pytest.fixture(scope="session", params=ORDER)
def live(request, notebook_runs):
    """Each notebook as it is, with solutions, nothing recorded: real models, every check of its prose."""
    return notebook_runs("live", request.param)


@pytest.fixture(scope="session", params=NAMES)
def student(request, notebook_runs):
    """Each notebook as committed, its exercises open, on recorded runs."""
    return notebook_runs("student", request.param)


class TestLive:
    def test_checks_were_run_for_the_settings_of_the_prose(self, live):
        checks = live.tagged("check")
        assert all(cell.execution_count for cell in checks)
        assert any("as_given:" in cell.source for cell in checks)

    def test_solutions_are_right(self, live):
        said = live.said(live.tagged("solution"))
        assert len(said) == len(live.tagged("solution"))
        assert all(line.startswith("Right: ") for line in said)
        [score] = live.said(live.tagged("score"))
        assert score.startswith(f"{len(said)} of {len(said)} points, {len(said)} at the first try")

    def test_says_that_it_is_live(self, live):
        if live.name != "10_compare":  # it always shows a recorded grid
            assert live.runs()
            assert all(line.startswith("Live: computed here in ") for line in live.runs())

    def test_no_widget_failed(self, live):
        assert live.moves() >= ONE_SLIDER
        assert live.complaints() == []

    def test_memory(self, live):
        assert 0.3 < live.row["peak_gb"] < 4

    def test_results_are_written_with_their_settings(self, live):
        assert len(live.results) >= 2
        assert (live.results["settings"]["profile"], live.results["settings"]["dataset"]) == ("quick", "r8")


class TestStudent:
    def test_stubs_fail_with_a_hint(self, student):
        assert len(student.tagged("exercise")) >= 4
        for cell in student.tagged("exercise"):
            [said] = student.said([cell])
            assert said.startswith("Not yet: give ")
        [score] = student.said(student.tagged("score"))
        assert score.startswith(f"0 of {len(student.tagged('exercise'))} points")

    def test_recorded_runs_say_so(self, student):
        assert all(line.startswith("Recorded on ") for line in student.runs())
        assert student.runs()

    def test_widgets_are_gone_and_their_pictures_stay(self, student):
        assert "widgets" not in student.nb.metadata
        explorers = [cell for cell in student.nb.cells if "_explorer(" in cell.source]
        assert explorers
        for cell in explorers:
            assert len([o for o in cell.outputs if "image/png" in o.get("data", {})]) == 1
            assert not [o for o in cell.outputs if running.WIDGET in o.get("data", {})]
        for picture in pictures(student.nb):
            assert len(picture["metadata"]["image/png"]["alt"]) > 40

    def test_no_widget_failed(self, student):
        assert student.moves() >= ONE_SLIDER
        assert student.complaints() == []


@pytest.mark.parametrize("live", [START], indirect=True)
class TestStart:
    """What the first notebook found."""

    def test_notes_say_what_was_run_and_how(self, live):
        for part in ("2000 training texts", "symmetric noise 0.4", "annotator smollm2", "live"):
            assert part in live.results["note"]
        assert "300 training texts labelled by smollm2" in live.results["sidyp_note"]

    def test_noiseal_rescues_what_cross_entropy_loses(self, live):
        rows = {row["method"]: row for row in live.results["table"]}
        assert list(rows) == ["CE", "CE, early stopping", "NoiseAL", "CE on clean labels"]
        assert "noisy validation" in rows["CE, early stopping"]["selected"]
        assert "upper bound" in rows["CE on clean labels"]["selected"]
        accuracy = {name: row["test accuracy"] for name, row in rows.items()}
        assert accuracy["CE"] < accuracy["NoiseAL"] < accuracy["CE on clean labels"] + 0.01

    def test_sidyp_gains_accuracy_and_calibration_on_llm_labels(self, live):
        rows = {row["method"]: row for row in live.results["sidyp"]}
        assert list(rows) == ["CE", "SiDyP's first stage", "SiDyP"]
        assert rows["SiDyP"]["test accuracy"] > rows["CE"]["test accuracy"] + 0.1
        assert rows["SiDyP"]["ECE"] < rows["CE"]["ECE"]


class TestExecute:
    def test_unknown_parameter_or_notebook(self, tmp_path):
        with pytest.raises(ValueError, match="'trainsize' is not a parameter of 00_start_here: one of"):
            notebooks.execute(START, {"trainsize": 3}, tmp_path / "x.ipynb", read=notebooks.read_solutions)
        with pytest.raises(ValueError, match="name='99'"):
            notebooks.execute("99", {}, tmp_path / "x.ipynb")
        assert not list(tmp_path.iterdir())

    def test_bad_value_fails_in_the_first_cells_and_the_demo_says_where(self, tmp_path, capsys):
        out = tmp_path / f"{START}.ipynb"
        assert demo({"noise": "loud"}, tmp_path) == 1
        said = capsys.readouterr().err
        assert "noise='loud' is not allowed: one of symmetric, asymmetric, instance, llm" in said
        assert "under 'Start here: learning from noisy labels in five minutes'" in said
        assert str(out) in said
        cells = nbformat.read(out, as_version=4).cells
        [failed] = [n for n, c in enumerate(cells) if any("ename" in o for o in c.get("outputs", []))]
        assert failed < 8


def failure():
    return PapermillExecutionError(
        cell_index=3, exec_count=7, source="\nboom()", ename="NameError", evalue="boom", traceback=[]
    )


class TestCourse:
    @pytest.fixture
    def executed(self, monkeypatch):
        """Notebooks whose only cell raises if they are told to fail; what they were given, and find."""
        given = {}

        def execute(name, parameters, out, **settings):
            given[name] = parameters
            cell = new_code_cell("\nboom()", metadata={"papermill": {"duration": 2.0}})
            failing = parameters.get("noise") == "fail" and name == "03_splitting"
            if failing:
                cell.outputs = [new_output("error", ename="NameError", evalue="boom", traceback=[])]
            heads = [
                new_markdown_cell("# Top\n\n## 1. Good"),
                new_code_cell("1"),
                new_markdown_cell("## 2. Bad"),
            ]
            out.parent.mkdir(exist_ok=True)
            nbformat.write(new_notebook(cells=[*heads, cell, new_markdown_cell("## 3. Later")]), out)
            if failing:
                raise failure()
            Path(parameters["results"]).write_text(json.dumps(executed.found))

        monkeypatch.setattr(running, "execute", execute)
        executed = SimpleNamespace(given=given, found={})
        return executed

    def test_a_failure_is_told_and_the_rest_runs(self, executed, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        out = tmp_path / "done"
        table = running.run(["02_memorisation", "03_splitting", "04_llm_annotator"], {"noise": "fail"}, out)
        assert table["status"].tolist() == ["done", "failed", "done"]
        assert table["longest_cell"].tolist() == [2.0] * 3
        error = table["error"][1]
        assert "Cell [7] failed, under '2. Bad', beginning with: boom()\nNameError: boom" in error
        assert str(Path("done", "03_splitting.ipynb")) in error
        assert all(Path(file).exists() for file in table["file"])
        assert main(["course", "02_memorisation", "03_splitting", "-p", "noise=fail", "--out", "again"]) == 1
        printed = capsys.readouterr()
        assert "NameError: boom" in printed.err
        assert "1 of 2 notebooks done" in printed.out

    def test_parameters_go_where_they_belong(self, executed, tmp_path):
        running.run([START, "03_splitting"], {"seed": 1, "llm_labelled": 50}, tmp_path)
        assert executed.given == {
            START: {"seed": 1, "llm_labelled": 50, "results": str(tmp_path / f"{START}.json")},
            "03_splitting": {"seed": 1, "results": str(tmp_path / "03_splitting.json")},
        }

    def test_nothing_runs_with_a_parameter_or_name_that_nobody_has(self, executed, tmp_path, capsys):
        with pytest.raises(ValueError, match="'trainsize' is no parameter of 03_splitting: one of"):
            running.run(["03_splitting"], {"trainsize": 3}, tmp_path)
        with pytest.raises(ValueError, match="name='99' is not allowed: one of 00_start_here"):
            running.run(["99"], {}, tmp_path)
        assert main(["course", "-p", "seed=1", "-p", "seed=2"]) == 2
        assert "-p='seed' is not allowed: given as 1 and as 2" in capsys.readouterr().err
        assert main(["course", "-p", "profile=class", "--profile", "paper"]) == 2
        assert "--profile='paper' is not allowed" in capsys.readouterr().err
        assert main(["course", "-p", "seed"]) == 2
        assert "NAME=VALUE" in capsys.readouterr().err
        assert not executed.given

    def test_command_line(self, executed, tmp_path, capsys):
        given = ["course", "--profile", "class", "--live", "-p", "dataset=r52", "-p", "seed=3"]
        assert main([*given, "--out", str(tmp_path)]) == 0
        assert list(executed.given) == NAMES
        for name, parameters in executed.given.items():
            assert parameters.get("recorded", False) is False
            assert parameters | {"profile": "class", "dataset": "r52", "seed": 3} == parameters, name
        assert f"{len(NAMES)} of {len(NAMES)} notebooks done" in capsys.readouterr().out

    def test_a_profile_may_be_a_parameter(self, executed, tmp_path):
        assert main(["course", "03_splitting", "-p", "profile=class", "--out", str(tmp_path)]) == 0
        assert executed.given["03_splitting"]["profile"] == "class"

    def test_the_demo_prints_tables_and_place(self, executed, tmp_path, capsys, monkeypatch):
        rows = [{"method": "CE", "selected": "last epoch", "test accuracy": 0.5, "macro F1": 0.25}]
        more = [{**rows[0], "method": "SiDyP", "test accuracy": 0.75, "ECE": 0.125}]
        executed.found = {"table": rows, "note": "what ran", "sidyp": more, "sidyp_note": "what was labelled"}
        monkeypatch.chdir(tmp_path)
        assert demo(out=tmp_path) == 0
        said = capsys.readouterr().out
        first, second = said[: said.index("what ran")], said[said.index("what ran") :]
        assert all(part in first for part in ("50.0 %", "25.0 %", "last epoch"))
        assert all(part in second for part in ("SiDyP", "75.0 %", "12.5 %", "what was labelled"))
        assert f"notebook: {START}.ipynb" in second
        assert str(tmp_path) not in said

"""The notebooks: source and committed copy in step, fit to be read anywhere, and run by papermill."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from papermill import PapermillExecutionError

from nlkit import demo, notebooks
from nlkit.notebooks import building, courses, running
from nlkit.notebooks import source as sources

NAMES = notebooks.names()
START = "00_start_here"
TINY = {
    "train_size": 300, "test_size": 200, "query_budget": 8, "noise": "asymmetric", "annotator": "simulated",
    "llm_labelled": 90,
}  # fmt: skip


def committed(name):
    return nbformat.read(notebooks.folder() / f"{name}.ipynb", as_version=4)


def outputs(nb):
    return [(cell, output) for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures(nb):
    return [output for _, output in outputs(nb) if "image/png" in output.get("data", {})]


def words(output):
    """Return what an output says, without its picture."""
    data = {kind: value for kind, value in output.get("data", {}).items() if kind != "image/png"}
    # As it was printed: a line that begins with a path must not begin with JSON's \\n.
    return json.dumps({**output, "data": data}).replace("\\n", "\n")


def absolute_paths(text):
    """Return the absolute paths in a text: two names after slashes, with no address or other name before."""
    return re.findall(r"(?<![\w:/.<])/[\w.-]+/[\w.-]+", text)


def run_solved(folder, **parameters):
    """Run notebook 00 with its solutions; return the executed copy and the tables it wrote."""
    results = folder / "results.json"
    given = {**parameters, "results": str(results)}
    path = notebooks.execute(START, given, folder / "00.ipynb", solutions=True)
    return nbformat.read(path, as_version=4), json.loads(results.read_text("utf-8"))


@pytest.fixture(scope="session")
def executed(tmp_path_factory):
    """The notebook with other settings than its own, on little data: real MiniLM and R8."""
    return run_solved(tmp_path_factory.mktemp("notebook"), **TINY)


@pytest.fixture(scope="session")
def as_given(tmp_path_factory):
    """The notebook as it is, real SmolLM2 too: every check of its prose counts."""
    return run_solved(tmp_path_factory.mktemp("notebook"))


class TestCommitted:
    @pytest.mark.parametrize("name", NAMES)
    def test_in_step_with_the_source(self, name):
        source, made = notebooks.read_source(name), committed(name)
        for wanted, found in zip(source.cells, made.cells, strict=True):
            keep = ("id", "cell_type", "source", "metadata")
            assert {k: found[k] for k in keep} == {k: wanted[k] for k in keep}, "run: make notebooks"
        assert made.metadata == source.metadata

    @pytest.mark.parametrize("name", NAMES)
    def test_fit_to_be_read_anywhere(self, name):
        made = committed(name)
        text = (notebooks.folder() / f"{name}.ipynb").read_text("utf-8")
        assert len(text.encode()) < building.LARGEST
        assert "widgets" not in made.metadata
        assert pictures(made)
        for cell, output in outputs(made):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
            assert running.WIDGET not in output.get("data", {})
            assert not {"exercise", "machine"} & set(cell.metadata.get("tags", []))
        said = "\n".join(words(output) for _, output in outputs(made))
        assert not re.search(r"start_time|papermill", said)
        assert absolute_paths(said) == []

    @pytest.mark.parametrize("name", NAMES)
    def test_every_figure_has_words_here_and_in_html(self, name):
        made = committed(name)
        alts = [picture["metadata"]["image/png"]["alt"] for picture in pictures(made)]
        assert all(len(alt) > 40 for alt in alts)
        # The classic template writes the alternative text; the lab one drops it, like JupyterLab itself, and
        # there the words stand folded below the picture.
        page, _ = HTMLExporter(template_name="classic").from_notebook_node(made)
        assert "No description has been provided" not in page
        page, _ = HTMLExporter().from_notebook_node(made)
        assert page.count("This figure in words") == len(alts)

    @pytest.mark.parametrize("name", NAMES)
    def test_opens_and_ends_as_the_course_does(self, name):
        nb = notebooks.read_source(name)
        for part in ("You will learn", "You need", "| profile | time |"):
            assert part in nb.cells[0].source
        assert re.search(r"\| quick \| [\d.]+ (s|min) \| \d+ s \| [\d.]+ GB \|", nb.cells[0].source)
        everything = "\n".join(cell.source for cell in nb.cells)
        for part in ("## Takeaways", "## Exercises", "## Next"):
            assert part in everything
        tags = [tag for cell in nb.cells for tag in cell.metadata.get("tags", [])]
        assert tags.count("exercise") == 4
        assert tags.count("check") >= 3

    @pytest.mark.parametrize("name", NAMES)
    def test_parameters_are_flat_literals(self, name):
        parameters = notebooks.parameters_of(notebooks.read_source(name))
        assert parameters["profile"] == "quick"
        assert all(isinstance(v, str | int | float | None) for v in parameters.values())

    def test_stubs_hold_no_solution(self):
        student, solved = (notebooks.read_source(START, solutions=s) for s in (False, True))
        pairs = [(a.source, b.source) for a, b in zip(student.cells, solved.cells, strict=True) if a != b]
        assert len(pairs) == 4
        for stub, solution in pairs:
            assert "None" in stub
            assert "stub" not in stub + solution
            assert "nk.check.q" in stub
            assert stub.splitlines()[-1] == solution.splitlines()[-1]


class TestExecuted:
    def test_solutions_are_right(self, executed):
        nb, _ = executed
        said = [o["data"]["text/plain"] for c, o in outputs(nb) if "solution" in c.metadata.tags]
        assert len(said) == 4
        assert all(line.startswith("Right: ") for line in said)

    def test_widgets_are_gone_and_their_pictures_stay(self, executed):
        nb, _ = executed
        assert "widgets" not in nb.metadata
        explorers = [cell for cell in nb.cells if "_explorer(" in cell.source]
        assert len(explorers) == 2
        for cell in explorers:
            assert len([o for o in cell.outputs if "image/png" in o.get("data", {})]) == 1
            assert not [o for o in cell.outputs if running.WIDGET in o.get("data", {})]
        for picture in pictures(nb):
            assert len(picture["metadata"]["image/png"]["alt"]) > 40

    def test_parameters_reached_the_run(self, executed):
        nb, results = executed
        shown = next(o["data"]["text/plain"] for _, o in outputs(nb) if o.output_type == "execute_result")
        assert "train 300" in shown
        assert "at most 8 questions" in shown
        assert "then 90 labels" in shown
        assert "300 training texts" in results["note"]
        assert "asymmetric noise 0.4" in results["note"]
        assert "annotator simulated" in results["note"]
        assert "90 training texts labelled by simulated" in results["sidyp_note"]

    def test_the_table_says_what_was_selected(self, executed):
        _, results = executed
        rows = {row["method"]: row for row in results["table"]}
        assert list(rows) == ["CE", "CE, early stopping", "NoiseAL", "CE on clean labels"]
        assert "noisy validation" in rows["CE, early stopping"]["selected"]
        assert "upper bound" in rows["CE on clean labels"]["selected"]
        assert all(0.3 < row["test accuracy"] <= 1 for row in rows.values())
        text = demo.terminal_table(results["table"])
        assert all(f"{100 * row['test accuracy']:.1f} %" in text for row in rows.values())

    def test_the_second_table_has_calibration_beside_accuracy(self, executed):
        _, results = executed
        rows = {row["method"]: row for row in results["sidyp"]}
        assert list(rows) == ["CE", "SiDyP's first stage", "SiDyP"]
        assert all(row["selected"] == "last epoch" for row in rows.values())
        for row in rows.values():
            assert 0.2 < row["test accuracy"] <= 1
            assert 0 < row["macro F1"] <= 1
            assert 0 <= row["ECE"] < 0.6
        text = demo.terminal_table(results["sidyp"])
        assert all(f"{100 * row['ECE']:.1f} %" in text for row in rows.values())


class TestAsGiven:
    def test_what_the_prose_claims_holds(self, as_given):
        # A failed check would have stopped the run; these say that the checks were not passed over.
        nb, results = as_given
        checks = [cell for cell in nb.cells if "check" in cell.metadata.tags]
        assert sum("if as_given:" in cell.source for cell in checks) >= 7
        assert all(cell.execution_count for cell in checks)
        assert "r8, 2000 training texts, symmetric noise 0.4, profile quick" in results["note"]
        assert "annotator smollm2" in results["note"]
        assert "r8, 300 training texts labelled by smollm2" in results["sidyp_note"]

    def test_noiseal_rescues_what_cross_entropy_loses(self, as_given):
        _, results = as_given
        accuracy = {row["method"]: row["test accuracy"] for row in results["table"]}
        assert accuracy["CE"] < accuracy["NoiseAL"] < accuracy["CE on clean labels"] + 0.01

    def test_sidyp_gains_accuracy_and_calibration_on_llm_labels(self, as_given):
        _, results = as_given
        rows = {row["method"]: row for row in results["sidyp"]}
        assert rows["SiDyP"]["test accuracy"] > rows["CE"]["test accuracy"] + 0.1
        assert rows["SiDyP"]["ECE"] < rows["CE"]["ECE"]


class TestRun:
    def test_unknown_parameter_or_notebook(self, tmp_path):
        with pytest.raises(
            ValueError, match="'trainsize' is not a parameter of 00_start_here: one of profile"
        ):
            notebooks.execute(START, {"trainsize": 3}, tmp_path / "x.ipynb", solutions=True)
        with pytest.raises(ValueError, match="name='99'"):
            notebooks.execute("99", {}, tmp_path / "x.ipynb")
        assert not list(tmp_path.iterdir())

    def test_bad_value_fails_in_the_first_cells_and_the_demo_says_where(self, tmp_path, capsys):
        out = tmp_path / "00.ipynb"
        assert demo.demo({**TINY, "noise": "loud"}, out) == 1
        said = capsys.readouterr().err
        assert "kind='loud' is not allowed: one of symmetric, asymmetric, instance" in said
        assert "under 'Start here: learning from noisy labels in five minutes'" in said
        assert str(out) in said
        left = nbformat.read(out, as_version=4)
        failed = [
            n for n, c in enumerate(left.cells) if any(o.output_type == "error" for o in c.get("outputs", []))
        ]
        assert len(failed) == 1
        assert failed[0] < 8


class TestDemo:
    def test_prints_tables_and_place(self, tmp_path, capsys, monkeypatch):
        rows = [{"method": "CE", "selected": "last epoch", "test accuracy": 0.5, "macro F1": 0.25}]
        more = [{**rows[0], "method": "SiDyP", "test accuracy": 0.75, "ECE": 0.125}]
        found = {"table": rows, "note": "what ran", "sidyp": more, "sidyp_note": "what was labelled"}

        def run(name, parameters, out, **settings):
            Path(parameters["results"]).write_text(json.dumps(found))

        monkeypatch.setattr(notebooks, "execute", run)
        monkeypatch.chdir(tmp_path)
        assert demo.demo(out=tmp_path / "outputs" / "00.ipynb") == 0
        said = capsys.readouterr().out
        for part in ("50.0 %", "25.0 %", "last epoch", "what ran", f"outputs{os.sep}00.ipynb"):
            assert part in said
        for part in ("SiDyP", "75.0 %", "12.5 %", "what was labelled"):
            assert part in said
        assert said.index("what ran") < said.index("SiDyP")
        assert str(tmp_path) not in said

    def test_failure_names_the_section(self, tmp_path):
        nb = new_notebook(
            cells=[
                new_markdown_cell("# Top\n\n## 1. Good"),
                new_code_cell("1"),
                new_markdown_cell("## 2. Bad\ntext"),
                new_code_cell("\nboom()", outputs=[new_output("error", ename="E", evalue="v", traceback=[])]),
                new_markdown_cell("## 3. Later"),
            ]
        )
        nbformat.write(nb, tmp_path / "x.ipynb")
        error = PapermillExecutionError(
            cell_index=3, exec_count=7, source="\nboom()", ename="E", evalue="v", traceback=[]
        )
        said = courses.failure(error, tmp_path / "x.ipynb")
        assert "Cell [7] failed, under '2. Bad', beginning with: boom()" in said
        assert "E: v" in said


def notebook_with(source, *tags):
    return new_notebook(cells=[new_code_cell(source, metadata={"tags": list(tags)})])


class TestParts:
    def test_parameters(self):
        nb = notebook_with("a = 1\nb = -0.5\nc = 'x'\nd = None", "parameters")
        assert notebooks.parameters_of(nb) == {"a": 1, "b": -0.5, "c": "x", "d": None}

    @pytest.mark.parametrize(
        ("source", "tags", "message"),
        [
            ("a = 1\nb = a + 1", ["parameters"], "'b' is not a literal: a \\+ 1"),
            ("import os", ["parameters"], "more than assignments: import os"),
            ("a = 1", [], "0 cells are tagged"),
        ],
    )
    def test_bad_parameters(self, source, tags, message):
        with pytest.raises(ValueError, match=message):
            notebooks.parameters_of(notebook_with(source, *tags))

    def test_two_versions(self):
        cell = "x = 1\ny = 2\n# stub:\n# x = None  # yours\n# y = None\nprint(x)"
        assert sources._two_versions(cell, "here") == (
            "x = 1\ny = 2\nprint(x)",
            "x = None  # yours\ny = None\nprint(x)",
        )
        with pytest.raises(ValueError, match="here is tagged 'solution'"):
            sources._two_versions("x = 1", "here")

    def test_tidy(self):
        kept = new_output("display_data", data={"image/png": "x"}, metadata={"image/png": {"alt": "words"}})
        live = new_output("display_data", data={running.WIDGET: {"model_id": "1"}, "text/plain": "VBox()"})
        noise = new_output("stream", name="stderr", text="100%|")
        nb = notebook_with("1", "check")
        nb.metadata["widgets"] = {"state": {}}
        nb.cells[0].metadata["execution"] = {"iopub.execute_input": "2020"}
        nb.cells[0].outputs = [kept, live, noise]
        nb.cells.append(
            new_code_cell("doctor", metadata={"tags": ["machine"]}, outputs=[kept], execution_count=2)
        )
        notebooks.tidy(nb)
        assert nb.cells[0].outputs == [kept]
        assert nb.cells[0].metadata == {"tags": ["check"]}
        assert "widgets" not in nb.metadata
        assert nb.cells[1].outputs == []
        assert nb.cells[1].execution_count is None

    def test_absolute_paths_are_found_and_nothing_else(self):
        said = 'read "/srv/data/x.csv"\n/opt/lib/y failed; see https://example.org/a/b, ./a/b, 1/2/3, </p>'
        assert absolute_paths(said) == ["/srv/data", "/opt/lib"]

    def test_unfit_is_refused(self):
        with pytest.raises(ValueError, match="of this machine"):
            building.refuse_unfit(notebook_with(f"open('{Path.home()}/x')"), "name")
        with pytest.raises(ValueError, match="MB; allowed"):
            building.refuse_unfit(notebook_with("x" * building.LARGEST), "name")
        building.refuse_unfit(notebook_with("1 + 1"), "name")


class TestMeasure:
    @pytest.fixture
    def runs(self, monkeypatch, tmp_path):
        """What `measure` executes and keeps, without executing anything."""
        monkeypatch.setenv("NLKIT_CACHE", "the reader's own")
        found = []

        def execute(name, parameters, out, **settings):
            cells = [new_code_cell("1", metadata={"papermill": {"duration": d}}) for d in (1.0, 7.5, None)]
            nbformat.write(new_notebook(cells=[*cells, new_markdown_cell("words")]), out)
            found.append({"cache": Path(os.environ["NLKIT_CACHE"]), "parameters": parameters})
            assert not found[-1]["cache"].exists()
            return out

        monkeypatch.setattr(running, "execute", execute)
        monkeypatch.setattr(running, "keep_measurement", lambda *kept: kept)
        return found

    def test_starts_with_an_empty_cache_and_keeps_the_slowest_cell(self, runs):
        name, profile, _, slowest = running.measure(START, {"profile": "class"})
        assert (name, profile, slowest) == (START, "class", 7.5)
        assert os.environ["NLKIT_CACHE"] == "the reader's own"
        assert len(runs) == 1
        assert runs[0]["parameters"] == {"profile": "class"}

    @pytest.mark.parametrize("name", [name for name in NAMES if name != START])
    def test_uses_nothing_recorded(self, runs, name):
        running.measure(name, {"profile": "quick"})
        assert runs[0]["parameters"] == {"profile": "quick", "recorded": False}

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

from notebooks import build as notebooks
from notebooks.build import building, measuring, running
from notebooks.build import source as sources
from tests.notebooks.executed import START, outputs

NAMES = notebooks.names()


def committed(name):
    return nbformat.read(notebooks.folder() / f"{name}.ipynb", as_version=4)


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


@pytest.mark.parametrize("name", NAMES)
class TestCommitted:
    def test_in_step_with_the_source(self, name):
        source, made = notebooks.read_source(name), committed(name)
        for wanted, found in zip(source.cells, made.cells, strict=True):
            keep = ("id", "cell_type", "source", "metadata")
            assert {k: found[k] for k in keep} == {k: wanted[k] for k in keep}, "run: make notebooks"
        assert made.metadata == source.metadata

    def test_fit_to_be_read_anywhere(self, name):
        made = committed(name)
        assert (notebooks.folder() / f"{name}.ipynb").stat().st_size < building.LARGEST
        assert "widgets" not in made.metadata
        assert pictures(made)
        for cell, output in outputs(made):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
            assert running.WIDGET not in output.get("data", {})
            assert not building.UNSTORED & set(cell.metadata.get("tags", []))
        said = "\n".join(words(output) for _, output in outputs(made))
        assert not re.search(r"start_time|papermill", said)
        assert absolute_paths(said) == []

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

    def test_has_the_parameters_exercises_and_checks_of_the_course(self, name):
        nb = notebooks.read_source(name)
        parameters = notebooks.parameters_of(nb)
        assert parameters["profile"] == "quick"
        assert all(isinstance(v, str | int | float | None) for v in parameters.values())
        assert {
            "profile", "seed", "dataset", "train_size", "test_size", "noise", "noise_rate", "encoder",
            "annotator", "results",
        } <= set(parameters)  # fmt: skip
        assert parameters["recorded"] is True
        tags = [tag for cell in nb.cells for tag in cell.metadata.get("tags", [])]
        assert 4 <= tags.count("exercise") <= 6
        assert tags.count("score") == 1
        assert tags.count("check") >= 3

    def test_stubs_hold_no_solution(self, name):
        student, solved = (notebooks.read_source(name, solutions=s) for s in (False, True))
        cells = list(zip(student.cells, solved.cells, strict=True))
        pairs = [(a.source, b.source) for a, b in cells if "exercise" in a.metadata.get("tags", [])]
        assert all(a == b or a.cell_type == "markdown" for a, b in cells if (a.source, b.source) not in pairs)
        asked = []
        for stub, solution in pairs:
            assert "None" in stub
            assert "stub" not in stub + solution
            call = stub.splitlines()[-1]
            assert call == solution.splitlines()[-1]
            asked += re.findall(rf"nk\.check\.{name.split('_', 1)[1]}\.(q\d)\(", call)
        assert asked == [f"q{number}" for number in range(1, len(pairs) + 1)]


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

    def test_only_the_copy_with_solutions_has_the_instructors_note(self):
        for name in NAMES:
            student, solved = (notebooks.read_source(name, solutions=s) for s in (False, True))
            with_note = [c.source for c in solved.cells if "## Instructor's note" in c.source]
            assert len(with_note) == 1
            assert "Instructor" not in "".join(cell.source for cell in student.cells)
            rest = with_note[0][with_note[0].index("## Next") :]
            assert rest in [cell.source for cell in student.cells]

    def test_what_is_no_reading_matter_is_folded(self):
        for cell in committed(START).cells:
            folded = bool(sources.FOLDED & set(cell.metadata.get("tags", [])))
            assert cell.metadata.get("jupyter", {}).get("source_hidden", False) == folded

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
        assert nb.cells[0].metadata == {"tags": ["check"], "jupyter": {"source_hidden": True}}
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


@pytest.mark.parametrize("name", NAMES)
def test_measured_with_an_empty_cache_and_nothing_recorded(name, monkeypatch):
    monkeypatch.setenv("NLKIT_CACHE", "the reader's own")
    found = []

    def execute(name, parameters, out, **settings):
        cells = [new_code_cell("1", metadata={"papermill": {"duration": d}}) for d in (1.0, 7.5, None)]
        nbformat.write(new_notebook(cells=[*cells, new_markdown_cell("words")]), out)
        assert not Path(os.environ["NLKIT_CACHE"]).exists()
        found.append(parameters)
        return out

    monkeypatch.setattr(measuring, "execute", execute)
    monkeypatch.setattr(measuring, "keep_measurement", lambda *kept: kept)
    kept = measuring.measure(name, {"profile": "class"})
    assert (kept[0], kept[1], kept[3]) == (name, "class", 7.5)
    assert found == [{"profile": "class", "recorded": False}]
    assert os.environ["NLKIT_CACHE"] == "the reader's own"


class TestProse:
    """Building after a change of words alone."""

    @pytest.fixture
    def build(self, tmp_path, monkeypatch):
        """Build a committed notebook, in a folder of the test's own, after a change of its source."""
        file = tmp_path / f"{START}.ipynb"
        file.write_bytes((notebooks.folder() / f"{START}.ipynb").read_bytes())
        monkeypatch.setattr(building, "folder", lambda: tmp_path)

        def build(kind, more):
            def read_source(name, **settings):
                # In step with the committed copy, whatever the source is now.
                nb = nbformat.from_dict(nbformat.read(file, as_version=4))
                kinds = [(cell, [cell.cell_type, *cell.metadata.get("tags", [])]) for cell in nb.cells]
                next(cell for cell, found in kinds if kind in found).source += more
                return nb

            monkeypatch.setattr(building, "read_source", read_source)
            building.build(START, prose=True)

        return file, build

    def test_outputs_stay_and_words_change(self, build):
        file, change = build
        before = nbformat.read(file, as_version=4)
        change("markdown", "\n\nOne more word.")
        after = nbformat.read(file, as_version=4)
        assert after.cells[0].source.endswith("One more word.")
        assert [c.get("outputs") for c in after.cells] == [c.get("outputs") for c in before.cells]

    def test_exercises_may_change_too(self, build):
        file, change = build
        before = nbformat.read(file, as_version=4)
        change("exercise", "\n# more")
        after = nbformat.read(file, as_version=4)
        assert any(cell.source.endswith("# more") for cell in after.cells)
        assert [c.get("outputs") for c in after.cells] == [c.get("outputs") for c in before.cells]

    def test_a_change_of_code_is_refused(self, build):
        file, change = build
        before = file.read_bytes()
        with pytest.raises(ValueError, match="code of 00_start_here has changed"):
            change("code", "\nx = 1")
        assert file.read_bytes() == before

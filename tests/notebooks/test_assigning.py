"""Assignments: made, validated and graded by nbgrader itself."""

from __future__ import annotations

import sys

import nbformat
import pandas as pd
import pytest
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.validator import Validator

from nlkit.__main__ import main
from notebooks import build as notebooks
from notebooks.build import assigning

NAME = "01_label_noise"
SOLVED = ["7 / 8", "0.8 * 0.1 / (0.8 * 0.1 + 0.2 * 0.9)", "2400", '"true", "other"']


def read(path):
    return nbformat.read(path, as_version=4)


def answer(nb, number, source):
    """Write into the student's cell of an exercise."""
    for cell in nb.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == f"label_noise-q{number}":
            cell.source = source
    return nb


def right(nb):
    for number, solved in enumerate(SOLVED, start=1):
        answer(nb, number, f"answer_{number} = {solved}")
    return answer(nb, 5, (
        "def symmetric(classes, rate):\n"
        "    off = rate / (classes - 1)\n"
        "    return [[1 - rate if i == j else off for j in range(classes)] for i in range(classes)]"
    ))  # fmt: skip


def wrong(nb):
    for number, given in enumerate(["0.88", "0.8", "24", '"other", "true"'], start=1):
        answer(nb, number, f"answer_{number} = {given}")
    return answer(nb, 5, "def symmetric(classes, rate):\n    return rate")


def silly(nb):
    answer(nb, 1, "answer_1 = (")
    answer(nb, 4, 'answer_4 = ["true", "other"]')
    answer(nb, 5, "def symmetric(classes, rate):\n    return symmetric(classes, rate)")
    for cell in nb.cells:
        if "q2(" in cell.source:
            cell.source = "1.0"  # instead of the check
    nb.cells = [cell for cell in nb.cells if "label_noise-q3" not in str(cell.metadata)]
    return nb


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """An assignment, and what four students handed in."""
    out = tmp_path_factory.mktemp("course")
    assert main(["notebooks", "assign", NAME, "--exercises", "--out", str(out)]) == 0
    for student in (right, wrong, silly):
        nb = student(read(out / "release" / NAME / f"{NAME}.ipynb"))
        assigning.write_copy(nb, out / "submitted" / student.__name__ / NAME, NAME)
    (out / "submitted" / "other" / NAME).mkdir(parents=True)
    (out / "submitted" / "other" / NAME / f"{NAME}.ipynb").write_text("my answers are 1, 2 and 3")
    return out


@pytest.fixture(scope="module")
def grades(course):
    assert main(["notebooks", "grade", NAME, "--out", str(course)]) == 0
    return pd.read_csv(course / f"{NAME}.csv").set_index("student")


def test_students_get_stubs_and_locked_checks(course):
    source, release = (read(course / kind / NAME / f"{NAME}.ipynb") for kind in ("source", "release"))
    text = "\n".join(cell.source for cell in release.cells)
    assert "SOLUTION" not in text
    assert "7 / 8" not in text
    assert "7 / 8" in "\n".join(cell.source for cell in source.cells)
    assert release.cells[1].source.startswith("# Label noise: what a wrong label looks like\n\n## Exercises")
    locked = [cell for cell in release.cells if cell.metadata.get("nbgrader", {}).get("locked")]
    assert [cell.metadata.editable for cell in locked] == [False] * 5
    assert "c.ClearSolutions.code_stub" in (course / "nbgrader_config.py").read_text()


def test_nbgrader_validates_the_teachers_copy(course):
    assert Validator().validate(str(course / "source" / NAME / f"{NAME}.ipynb")) == {}


def test_each_gets_the_points_that_are_due(grades):
    points = grades[["points", "q1", "q2", "q3", "q4", "q5"]]
    assert points.loc["right"].tolist() == [5, 1, 1, 1, 1, 1]
    assert points.loc["wrong"].tolist() == [0.5, 0.5, 0, 0, 0, 0], "0.88 for 7/8 is nearly right"
    assert points.loc["silly"].tolist() == [1, 0, 0, 0, 1, 0]
    assert (grades.drop("other")["of"] == 5).all()
    assert grades.drop("other")["problem"].isna().all()


def test_a_file_that_is_no_notebook_stops_nobody(grades):
    assert pd.isna(grades.loc["other", "points"])
    assert "not appear to be JSON" in grades.loc["other", "problem"]


@pytest.mark.parametrize("name", notebooks.names())
def test_every_notebook_makes_a_valid_assignment(name):
    whole, sheet = (assigning.read_assignment(name, exercises_only=only) for only in (False, True))
    for nb in (whole, sheet):
        nbformat.validate(nb)
        MetadataValidator().validate_nb(nb)
        marked = [cell.metadata.nbgrader for cell in nb.cells if "nbgrader" in cell.metadata]
        assert sum(cell.get("points", 0) for cell in marked) >= 5
        assert sum(cell["solution"] for cell in marked) == sum(cell["grade"] for cell in marked)
        assert "Instructor" not in "".join(cell.source for cell in nb.cells)
    assert len(sheet.cells) < len(whole.cells) / 2


def test_copies_with_solutions_have_the_instructors_note(tmp_path, capsys):
    assert main(["notebooks", "solutions", "02_memorisation", "--out", str(tmp_path)]) == 0
    path = tmp_path / "02_memorisation.ipynb"
    assert str(path) in capsys.readouterr().out
    text = "\n".join(cell.source for cell in read(path).cells)
    assert "## Instructor's note" in text
    assert 'answer_4 = "validation"' in text


def test_what_cannot_be_done_is_told(course, tmp_path, capsys, monkeypatch):
    def said(*arguments):
        assert main(["notebooks", *map(str, arguments)]) == 2
        return capsys.readouterr().err

    assert "one of 00_start_here" in said("assign", "99", "--out", tmp_path)
    assert f"nlkit notebooks assign {NAME} makes it" in said("grade", NAME, "--out", tmp_path)
    (tmp_path / "source" / NAME).mkdir(parents=True)
    assert "nothing to grade" in said("grade", NAME, "--out", tmp_path)
    monkeypatch.setitem(sys.modules, "nbgrader.apps", None)
    assert 'pip install -c constraints.txt -e ".[grading]"' in said("assign", NAME, "--out", tmp_path)

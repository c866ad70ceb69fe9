"""Assignments: students' and teachers' copies of the notebooks, and grades, by nbgrader.

A folder of nbgrader's layout is made: ``source`` holds the copies with solutions, ``release`` what students
get, ``submitted/STUDENT/NAME/NAME.ipynb`` what comes back. In an assignment each exercise is a cell of the
student's own, and a locked one that checks it and returns its points.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat as untyped_nbformat
import pandas as pd
from nbformat import NotebookNode

from nlkit._util import atomic_write, invalid, progress
from notebooks.build.running import QUIET_KERNEL, checked, write
from notebooks.build.source import read_solutions, read_source

__all__ = ["assign", "grade", "read_assignment", "solutions"]

nbformat: Any = untyped_nbformat

SETTINGS: dict[str, dict[str, Any]] = {
    "CourseDirectory": {"course_id": "nlkit"},
    "ClearSolutions": {"code_stub": {"python": ""}},  # the student's stub stands above the solution
    "Execute": {"timeout": 120, "extra_arguments": [*QUIET_KERNEL, "--HistoryManager.hist_file=:memory:"]},
}
NEEDED = "# What the exercises use.\nimport numpy as np\nimport pandas as pd\n\nimport nlkit as nk"


def read_assignment(name: str, *, exercises_only: bool = False) -> NotebookNode:
    """Return a notebook as nbgrader's source: students' text, stubs with their solutions, locked checks.

    Parameters
    ----------
    name : str
        Such as "03_splitting".
    exercises_only : bool
        A sheet of the exercises alone, which runs in seconds: the lesson's experiments are left out.
    """
    nb, solved = read_source(name), read_solutions(name)
    title = nb.cells[0].source.partition("\n")[0]
    cells: list[NotebookNode] = []
    for cell, solution in zip(nb.cells, solved.cells, strict=True):
        if exercises_only and "## Exercises" in cell.source:
            heading = cell.source[cell.source.index("## Exercises") :]
            cells = [nbformat.v4.new_code_cell(NEEDED, id=f"{name[:2]}-needed")]
            cell.source = f"{title}\n\n{heading}"
        if "exercise" in cell.metadata.get("tags", []):
            cells += _exercise(cell, solution.source)
        else:
            cells.append(cell)
            if exercises_only and "score" in cell.metadata.get("tags", []):
                break
    nb.cells = cells
    return nb


def _exercise(cell: NotebookNode, solved: str) -> list[NotebookNode]:
    """Return the student's cell, with the solution in nbgrader's marks, and the locked check."""
    stub, _, call = cell.source.rstrip().rpartition("\n")
    solution = solved.rstrip().rpartition("\n")[0]
    marked = f"{stub.rstrip()}\n### BEGIN SOLUTION\n{solution.rstrip()}\n### END SOLUTION"
    number = call.removeprefix("nk.check.").partition("(")[0].replace(".", "-")
    check = f"feedback = {call}\nprint(feedback)\nfeedback.points"
    own, locked = {"solution": True}, {"grade": True, "points": 1, "locked": True}
    return [_cell(marked, cell.id, number, own), _cell(check, f"{cell.id}-check", f"{number}-check", locked)]


def _cell(source: str, id_: str, grade_id: str, more: dict[str, Any]) -> NotebookNode:
    """Return a code cell with the metadata of nbgrader's schema 3."""
    plain = {"schema_version": 3, "cell_type": "code", "grade": False, "solution": False, "locked": False}
    nbgrader = {**plain, "task": False, "grade_id": grade_id, **more}
    cell: NotebookNode = nbformat.v4.new_code_cell(source, id=id_, metadata={"nbgrader": nbgrader})
    return cell


def assign(names: Iterable[str], out: str | Path, *, exercises_only: bool = False) -> list[Path]:
    """Make assignments: write ``source`` and let nbgrader write ``release`` and its gradebook.

    Parameters
    ----------
    names : iterable of str
        Notebooks.
    out : path
        The course's folder; one that is there gets the assignments added, or made anew.
    exercises_only : bool
        See `read_assignment`.

    Returns
    -------
    list of Path
        What students get.

    Raises
    ------
    RuntimeError
        If nbgrader fails; its log is in the message.
    """
    course, made = Path(out), [checked(name) for name in names]
    api = _nbgrader(course)
    for name in made:
        write_copy(read_assignment(name, exercises_only=exercises_only), course / "source" / name, name)
        _done(api.generate_assignment(name), f"assignment {name}")
    lines = [
        f"c.{part}.{key} = {value!r}"
        for part, settings in SETTINGS.items()
        for key, value in settings.items()
    ]
    with atomic_write(course / "nbgrader_config.py") as path:
        path.write_text("\n".join(["c = get_config()  # noqa", *lines, ""]), "utf-8")
    return [course / "release" / name / f"{name}.ipynb" for name in made]


def solutions(names: Iterable[str], out: str | Path) -> list[Path]:
    """Write teachers' copies, with solutions and instructor's notes, not executed; return their paths."""
    return [write_copy(read_solutions(name), Path(out), name) for name in names]


def write_copy(nb: NotebookNode, folder: Path, name: str) -> Path:
    """Write a notebook as ``folder/name.ipynb``."""
    folder.mkdir(parents=True, exist_ok=True)
    write(nb, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def grade(name: str, out: str | Path, *, show_progress: bool = False) -> pd.DataFrame:
    """Grade what was submitted of one assignment; students' code runs here, as you.

    Parameters
    ----------
    name : str
        A notebook of which `assign` made an assignment in the folder `out`.
    out : path
        The course's folder, with ``submitted/STUDENT/NAME/NAME.ipynb``.
    show_progress : bool
        Show a bar over the students.

    Returns
    -------
    DataFrame, one row a student
        student, points and of, then the points of each exercise, by its name. NaN, and why in `problem`,
        where a file could not be graded at all, such as one that is no notebook.

    Raises
    ------
    FileNotFoundError
        If nothing was submitted.
    ValueError
        If there is no such assignment.
    """
    course, api = Path(out), _nbgrader(Path(out))
    if not (course / "source" / checked(name)).is_dir():
        invalid("name", name, f"an assignment in {course}: nlkit notebooks assign {name} makes it")
    files = sorted((course / "submitted").glob(f"*/{name}/{name}.ipynb"))
    if not files:
        raise FileNotFoundError(f"nothing to grade: {course}/submitted/STUDENT/{name}/{name}.ipynb")
    rows = []
    for file in progress(files, desc="students", unit="student", disable=not show_progress):
        student = file.parts[-3]
        try:
            nbformat.read(file, as_version=4)
            _done(api.autograde(name, student), f"a grade of {student}")
        except (RuntimeError, ValueError) as error:  # ValueError: no JSON, or no notebook
            rows.append({"student": student, "problem": str(error).strip().splitlines()[-1]})
            continue
        with api.gradebook as book:
            found = book.find_submission_notebook(name, name, student).grades
            points = {g.name.partition("-")[2].removesuffix("-check"): g.score for g in found}
            of = sum(g.max_score for g in found)
        rows.append({"student": student, "points": sum(points.values()), "of": of, **points, "problem": ""})
    table = pd.DataFrame(rows)
    return table[[c for c in table if c != "problem"] + ["problem"]]


def _nbgrader(course: Path) -> Any:
    try:
        from nbgrader.apps import NbGraderAPI
        from nbgrader.coursedir import CourseDirectory
        from traitlets.config import Config
    except ImportError as missing:
        raise ImportError(
            'assignments need nbgrader: pip install -c constraints.txt -e ".[grading]"'
        ) from missing
    here, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if here not in path.split(os.pathsep):  # nbgrader runs a command, alembic, that stands beside this Python
        os.environ["PATH"] = os.pathsep.join([here, path])
    course.mkdir(parents=True, exist_ok=True)
    config = Config(SETTINGS)
    config.CourseDirectory.root = str(course.resolve())
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def _done(result: dict[str, Any], what: str) -> None:
    """Raise RuntimeError with nbgrader's log if it failed."""
    if not result["success"]:
        raise RuntimeError(f"nbgrader could not make {what}:\n{result.get('error') or result['log']}")

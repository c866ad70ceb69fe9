"""Notebooks from their sources: the student's copy, and the one with solutions.

A notebook is written once, as a percent script with solutions inside (``notebooks/source/*.py``). The cells'
tags say what is done with them:

- ``parameters``: one flat literal a line; papermill overrides them.
- ``solution``: everything above the line ``# stub:`` is the solution. The comment lines after that line,
  without their ``# ``, take its place in the student's notebook; what follows stays in both. The student's
  cell is tagged ``exercise``.
- ``finding``: says what was found, in sentences made from the figures.
- ``check``: asserts what the prose claims. Jupyter folds it, and ``finding``, ``parameters`` and ``setup``.
- ``result``: leaves the tidy table ``result`` and shows it; sweeps collect it, and read its columns there.
- ``score``: says how many exercises are done; its output is not stored.
- ``machine``: its output depends on the machine and is not stored in the committed notebook.

An instructor's note, a section of that name, stands in the copy with solutions only.

Three placeholders are filled in: ``{{measured}}`` (a table of time and memory), ``{{places}}`` (where the
notebook can be run), and in a code cell tagged ``setup`` the comment ``# {{setup}}`` (the first code cell).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jupytext
import nbformat as untyped_nbformat
from nbformat import NotebookNode

from notebooks.build.measuring import measured_table
from notebooks.build.places import places, setup_cell
from notebooks.build.running import KERNEL, checked, folder

__all__ = ["cell_metadata", "read_solutions", "read_source"]

nbformat: Any = untyped_nbformat

STUB = "# stub:"
FOLDED = {"check", "finding", "parameters", "setup"}
NOTE = re.compile(r"## Instructor's note\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)


def read_source(name: str, *, solutions: bool = False) -> NotebookNode:
    """Return a notebook without outputs: the student's copy, or the one with solutions.

    The same source always gives the same notebook, cell ids included.
    """
    path = folder() / "source" / f"{checked(name)}.py"
    nb: NotebookNode = jupytext.reads(path.read_text("utf-8"), fmt="py:percent")
    texts = {
        "{{measured}}": measured_table(name),
        "{{places}}": places(name),
        "# {{setup}}": setup_cell(),
    }
    for number, cell in enumerate(nb.cells):
        tags = list(cell.metadata.get("tags", []))
        if "solution" in tags:
            solution, stub = _two_versions(cell.source, f"{path.name}, cell {number}")
            cell.source = solution if solutions else stub
            if not solutions:
                tags[tags.index("solution")] = "exercise"
        if not solutions and cell.cell_type == "markdown":
            cell.source = NOTE.sub("", cell.source)
        for placeholder, text in texts.items():
            cell.source = cell.source.replace(placeholder, text)
        cell.metadata = cell_metadata(tags)
        cell.id = f"{name.split('_')[0]}-{number:02d}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nb.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    nb.nbformat, nb.nbformat_minor = 4, 5
    return nb


def cell_metadata(tags: Sequence[str]) -> NotebookNode:
    """Return what a committed cell's metadata hold: its tags, and whether Jupyter folds its code."""
    folded = {"jupyter": {"source_hidden": True}} if FOLDED & set(tags) else {}
    metadata: NotebookNode = nbformat.from_dict({**folded, **({"tags": list(tags)} if tags else {})})
    return metadata


def read_solutions(name: str) -> NotebookNode:
    """Return a notebook with its solutions, without outputs."""
    return read_source(name, solutions=True)


def _two_versions(source: str, where: str) -> tuple[str, str]:
    """Return the cell with its solution, and with the stub in the solution's place."""
    lines = source.splitlines()
    if lines.count(STUB) != 1:
        raise ValueError(f"{where} is tagged 'solution' and needs one line {STUB!r}")
    at = lines.index(STUB)
    end = at + 1
    while end < len(lines) and lines[end].startswith("# "):
        end += 1
    stub = [line.removeprefix("# ") for line in lines[at + 1 : end]]
    solution = "\n".join(lines[:at]).rstrip()
    return "\n".join([solution, *lines[end:]]), "\n".join(stub + lines[end:])

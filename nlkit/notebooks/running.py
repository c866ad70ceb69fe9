"""Runs of notebooks under papermill, and what is removed from an executed notebook."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat as untyped_nbformat
from nbformat import NotebookNode

from nlkit._util import atomic_write
from nlkit.notebooks.measuring import Measure, keep_measurement
from nlkit.notebooks.paths import checked, folder
from nlkit.notebooks.source import KERNEL, parameters_of, read_source

__all__ = [
    "QUIET_KERNEL",
    "WIDGET",
    "drop_widgets",
    "environment",
    "execute",
    "longest_cell",
    "measure",
    "tidy",
    "write",
]

nbformat: Any = untyped_nbformat

# The kernel talks over this machine's loopback; its log would warn of that among the demo's lines.
QUIET_KERNEL = ["--log-level=50"]
WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    solutions: bool = False,
    show_progress: bool = False,
    then: str = "",
) -> Path:
    """Execute one notebook with papermill.

    Parameters
    ----------
    name : str
        Such as "00_start_here".
    parameters : mapping, optional
        Values that replace those of the parameters cell.
    out : path, optional
        Where the executed copy goes; ``outputs/<name>.ipynb`` by default. A run that fails leaves it too,
        as far as it came.
    solutions : bool
        Run the notebook with its solutions, not the student's copy.
    show_progress : bool
        Show a bar, one step a cell.
    then : str
        Code of one more cell at the end; the tests look at the notebook's objects with it.

    Returns
    -------
    Path
        The executed copy.

    Raises
    ------
    ValueError
        If a parameter is not one of the notebook's.
    papermill.PapermillExecutionError
        If a cell fails.
    """
    import papermill

    student = folder() / f"{checked(name)}.ipynb"
    target = Path(out) if out is not None else folder().parent / "outputs" / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    nb = read_source(name, solutions=True) if solutions else nbformat.read(student, as_version=4)
    allowed = parameters_of(nb)
    for parameter in parameters or {}:
        if parameter not in allowed:
            raise ValueError(f"{parameter!r} is not a parameter of {name}: one of {', '.join(allowed)}")
    if then:
        nb.cells.append(nbformat.v4.new_code_cell(then))
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / student.name
        nbformat.write(nb, source)
        try:
            papermill.execute_notebook(
                str(source), str(target), dict(parameters or {}), kernel_name=KERNEL["name"],
                progress_bar=show_progress, cwd=str(target.parent), extra_arguments=QUIET_KERNEL,
            )  # fmt: skip
        finally:
            if target.exists():
                executed = drop_widgets(nbformat.read(target, as_version=4))
                write(executed, target)
    return target


def drop_widgets(nb: NotebookNode) -> NotebookNode:
    """Remove live widgets, in place: without a kernel they show an error, and each left a static picture."""
    nb.metadata.pop("widgets", None)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    return nb


def tidy(nb: NotebookNode) -> NotebookNode:
    """Make an executed notebook fit to be committed, in place: what it says depends on its cells alone."""
    drop_widgets(nb)
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if {"exercise", "machine"} & set(tags):
            cell.outputs, cell.execution_count = [], None
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            output.pop("transient", None)
    return nb


def write(nb: NotebookNode, path: Path) -> None:
    """Validate a notebook and write it in one piece."""
    nbformat.validate(nb)
    with atomic_write(path) as temporary:
        nbformat.write(nb, temporary)


def longest_cell(nb: NotebookNode) -> float:
    """Return the seconds of the slowest cell of a notebook that papermill ran."""
    return max((cell.metadata.get("papermill", {}).get("duration") or 0.0 for cell in nb.cells), default=0.0)


def measure(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run a notebook live for its profile's time and peak memory, and write them where `build` reads them.

    The run starts with an empty cache: nothing is embedded, and no question answered, before it. Nothing
    recorded is used. Other work on the machine makes its time useless.
    """
    given = dict(parameters)
    if "recorded" in parameters_of(read_source(name)):
        given["recorded"] = False
    with tempfile.TemporaryDirectory() as place:
        with environment("NLKIT_CACHE", f"{place}/cache"), Measure() as measured:
            done = execute(name, given, Path(place) / f"{name}.ipynb", solutions=True, show_progress=True)
        slowest = longest_cell(nbformat.read(done, as_version=4))
    return keep_measurement(name, str(parameters.get("profile", "quick")), measured, slowest)


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for the kernels that are started inside the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before

"""Student notebooks from their sources, and runs of them.

A notebook is written once, as a percent script with solutions inside (``notebooks/source/*.py``). The cells'
tags say what is done with them:

- ``parameters``: one flat literal a line; papermill overrides them.
- ``solution``: everything above the line ``# stub:`` is the solution. The comment lines after that line,
  without their ``# ``, take its place in the student's notebook; what follows stays in both. The student's
  cell is tagged ``exercise``.
- ``check``: asserts what the prose claims.
- ``machine``: its output depends on the machine and is not stored in the committed notebook.

``python -m nlkit.notebooks build`` writes ``notebooks/*.ipynb``: run with the solutions, figures stored, and
without timings, widgets, standard error or paths of the machine.
"""

from __future__ import annotations

import argparse
import ast
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jupytext
import nbformat as untyped_nbformat
import psutil
from nbformat import NotebookNode

from nlkit._util import atomic_write, cache_folder, progress, reject

__all__ = ["build", "names", "parameters_of", "read_source", "run", "tidy"]

nbformat: Any = untyped_nbformat

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# The kernel talks over this machine's loopback; its log would warn of that among the demo's lines.
QUIET_KERNEL = ["--log-level=50"]
WIDGET = "application/vnd.jupyter.widget-view+json"
STUB = "# stub:"
MEASURED = "{{measured}}"
LARGEST = 1_500_000


def folder() -> Path:
    """Return the folder ``notebooks`` of the repository."""
    found = Path(__file__).resolve().parents[1] / "notebooks"
    if not (found / "source").is_dir():
        raise FileNotFoundError(
            "there is no folder notebooks/source beside the package: nlkit.notebooks works in a clone of the "
            "repository (pip install -e .)"
        )
    return found


def names() -> list[str]:
    """Return the names of all notebooks, in the order of the course."""
    return sorted(path.stem for path in (folder() / "source").glob("*.py"))


def _checked(name: str) -> str:
    if name not in names():
        reject("name", name, f"one of {', '.join(names())}")
    return name


# -- from the source --------------------------------------------------------------------------------------


def read_source(name: str, *, solutions: bool = False) -> NotebookNode:
    """Return a notebook without outputs: the student's copy, or the one with solutions.

    The same source always gives the same notebook, cell ids included.
    """
    path = folder() / "source" / f"{_checked(name)}.py"
    nb: NotebookNode = jupytext.reads(path.read_text("utf-8"), fmt="py:percent")
    for number, cell in enumerate(nb.cells):
        tags = list(cell.metadata.get("tags", []))
        if "solution" in tags:
            solution, stub = _two_versions(cell.source, f"{path.name}, cell {number}")
            cell.source = solution if solutions else stub
            if not solutions:
                tags[tags.index("solution")] = "exercise"
        cell.source = cell.source.replace(MEASURED, measured_table(name))
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cell.id = f"{name.split('_')[0]}-{number:02d}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nb.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    nb.nbformat, nb.nbformat_minor = 4, 5
    return nb


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
    return "\n".join(lines[:at] + lines[end:]), "\n".join(stub + lines[end:])


def parameters_of(nb: NotebookNode) -> dict[str, Any]:
    """Return the parameters of a notebook with their values.

    Raises
    ------
    ValueError
        If there is not exactly one cell tagged ``parameters``, or it holds something else than literals:
        papermill replaces values, so what is derived from them there would keep the old ones.
    """
    cells = [cell for cell in nb.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{len(cells)} cells are tagged 'parameters'; it must be one")
    found: dict[str, Any] = {}
    for statement in ast.parse(cells[0].source).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    found[name] = ast.literal_eval(value)
                except ValueError as error:
                    raise ValueError(f"parameter {name!r} is not a literal: {ast.unparse(value)}") from error
            case _:
                raise ValueError(f"the parameters cell holds more than assignments: {ast.unparse(statement)}")
    return found


# -- what was measured ------------------------------------------------------------------------------------


def _measured_path() -> Path:
    return folder() / "measured.json"


def _measured() -> dict[str, Any]:
    path = _measured_path()
    known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return known


def measured_table(name: str) -> str:
    """Return time and memory of each profile as a Markdown table."""
    known = _measured().get(name, {})
    rows = ["| profile | time | peak memory | measured on |", "|---|---|---|---|"]
    for profile in ("quick", "class", "paper"):
        m = known.get(profile)
        rows.append(
            f"| {profile} | {_minutes(m['seconds'])} | {m['peak_gb']:.1f} GB | {m['on']} |"
            if m
            else f"| {profile} | not measured yet | | |"
        )
    return "\n".join(rows)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


class _Measure:
    """Wall clock, and the most memory of the processes started here, sampled four times a second."""

    def __init__(self) -> None:
        self.seconds, self.peak = 0.0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Measure:
        self._started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.perf_counter() - self._started
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            with suppress(psutil.Error):
                children = psutil.Process().children(recursive=True)
                self.peak = max(self.peak, sum(child.memory_info().rss for child in children))


def measure(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run a notebook for its profile's time and peak memory, and write them where `build` reads them."""
    with tempfile.TemporaryDirectory() as place, _Measure() as measured:
        run(name, parameters, Path(place) / f"{name}.ipynb", solutions=True, show_progress=True)
    return _keep_measurement(name, str(parameters.get("profile", "quick")), measured)


def _keep_measurement(name: str, profile: str, measured: _Measure) -> dict[str, Any]:
    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else 0
    found = {
        "seconds": round(measured.seconds, -1 if measured.seconds >= 100 else 0),
        "peak_gb": round(measured.peak / 1e9, 1),
        "on": f"{cores or psutil.cpu_count()} CPU cores",
    }
    known = _measured()
    known.setdefault(name, {})[profile] = found
    with atomic_write(_measured_path()) as path:
        path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")
    return found


# -- running ----------------------------------------------------------------------------------------------


def run(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    solutions: bool = False,
    show_progress: bool = False,
) -> Path:
    """Execute a notebook with papermill.

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

    student = folder() / f"{_checked(name)}.ipynb"
    target = Path(out) if out is not None else folder().parent / "outputs" / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    nb = read_source(name, solutions=True) if solutions else nbformat.read(student, as_version=4)
    allowed = parameters_of(nb)
    for parameter in parameters or {}:
        if parameter not in allowed:
            raise ValueError(f"{parameter!r} is not a parameter of {name}: one of {', '.join(allowed)}")
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
                _write(executed, target)
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


def _write(nb: NotebookNode, path: Path) -> None:
    nbformat.validate(nb)
    with atomic_write(path) as temporary:
        nbformat.write(nb, temporary)


# -- building ---------------------------------------------------------------------------------------------


def build(name: str) -> Path:
    """Write ``notebooks/<name>.ipynb``: the student's copy, with the outputs of a run with the solutions.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails; the committed notebook stays as it was.
    ValueError
        If the result is too large or holds a path of this machine.
    """
    solved = read_source(name, solutions=True)
    busy = psutil.getloadavg()[0] > 0.5
    with _Measure() as measured:
        _execute(solved)
    if busy:
        print(f"{name}: other work is running here, so the notebook's header keeps its old times")
    else:
        _keep_measurement(name, parameters_of(solved).get("profile", "quick"), measured)
    student = read_source(name)
    for cell, done in zip(student.cells, solved.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
    tidy(student)
    _refuse_unfit(student, name)
    path = folder() / f"{name}.ipynb"
    _write(student, path)
    return path


def _execute(nb: NotebookNode) -> None:
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as place, _bar(nb) as step:
        NotebookClient(
            nb, timeout=1800, kernel_name=KERNEL["name"], record_timing=False, on_cell_executed=step,
            resources={"metadata": {"path": place}}, extra_arguments=QUIET_KERNEL,
        ).execute()  # fmt: skip


@contextmanager
def _bar(nb: NotebookNode) -> Iterator[Any]:
    with progress(total=sum(c.cell_type == "code" for c in nb.cells), desc="cells", unit="cell") as bar:
        yield lambda **event: bar.update()


def _refuse_unfit(nb: NotebookNode, name: str) -> None:
    text = nbformat.writes(nb)
    if len(text.encode()) > LARGEST:
        raise ValueError(f"{name}.ipynb would have {len(text) / 1e6:.1f} MB; allowed are {LARGEST / 1e6} MB")
    for place in (Path.home(), folder().parent, cache_folder(), Path(tempfile.gettempdir())):
        # A root such as / is everywhere and tells nothing.
        if len(place.parts) > 1 and f"{place}/" in text:
            raise ValueError(f"{name}.ipynb would hold the path {place} of this machine")


def main(arguments: list[str] | None = None) -> None:
    """Command line: ``build`` and ``measure``."""
    parser = argparse.ArgumentParser(prog="python -m nlkit.notebooks", description="Make the notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="write notebooks/*.ipynb from notebooks/source and run them")
    make.add_argument("name", nargs="*", help="all of them by default")
    time_it = commands.add_parser("measure", help="measure time and memory of one notebook in a profile")
    time_it.add_argument("name")
    time_it.add_argument("profile")
    chosen = parser.parse_args(arguments)
    if chosen.command == "measure":
        print(measure(chosen.name, {"profile": chosen.profile}))
        return
    for name in chosen.name or names():
        print(f"built {build(name)}")


if __name__ == "__main__":
    main()

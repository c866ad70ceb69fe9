"""Runs of the course's notebooks under papermill: one (`execute`), or several with a table (`run`).

A run executes a committed notebook, or what `read` gives for its name: the tests and `measure` hand in the
notebooks with their solutions.
"""

from __future__ import annotations

import ast
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat as untyped_nbformat
import pandas as pd
import psutil
from nbformat import NotebookNode

from nlkit._util import atomic_write, invalid, named, progress

__all__ = [
    "KERNEL",
    "QUIET_KERNEL",
    "WIDGET",
    "Measure",
    "checked",
    "committed",
    "drop_widgets",
    "execute",
    "failure",
    "folder",
    "longest_cell",
    "names",
    "near",
    "parameters_of",
    "run",
    "write",
]

nbformat: Any = untyped_nbformat


def folder() -> Path:
    """Return the folder ``notebooks`` of the repository."""
    return Path(__file__).resolve().parents[1]


def names() -> list[str]:
    """Return the names of all notebooks, in the order of the course."""
    return sorted(path.stem for path in (folder() / "source").glob("*.py"))


def checked(name: str) -> str:
    """Return the name if there is such a notebook."""
    if name not in names():
        invalid("name", name, named(names(), name))
    return name


KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# The kernel talks over this machine's loopback; its log would warn of that among the demo's lines.
QUIET_KERNEL = ["--log-level=50"]
WIDGET = "application/vnd.jupyter.widget-view+json"


Read = Callable[[str], NotebookNode]
"""Gives the notebook of a name."""


def committed(name: str) -> NotebookNode:
    """Return a committed notebook: the student's copy."""
    notebook: NotebookNode = nbformat.read(folder() / f"{checked(name)}.ipynb", as_version=4)
    return notebook


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


def execute(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    read: Read = committed,
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
    read : callable
        Gives the notebook of a name; the committed one by default.
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

    nb = read(name)
    target = Path(out) if out is not None else folder().parent / "outputs" / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    allowed = parameters_of(nb)
    for parameter in parameters or {}:
        if parameter not in allowed:
            raise ValueError(f"{parameter!r} is not a parameter of {name}: {named(allowed, parameter)}")
    if then:
        nb.cells.append(nbformat.v4.new_code_cell(then))
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / f"{name}.ipynb"
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


def write(nb: NotebookNode, path: Path) -> None:
    """Validate a notebook and write it in one piece."""
    nbformat.validate(nb)
    with atomic_write(path) as temporary:
        nbformat.write(nb, temporary)


def longest_cell(nb: NotebookNode) -> float:
    """Return the seconds of the slowest cell of a notebook that papermill ran."""
    return max((cell.metadata.get("papermill", {}).get("duration") or 0.0 for cell in nb.cells), default=0.0)


class Measure:
    """Wall clock, and the most memory of the processes that are started inside the block.

    Sampled four times a second. What was running before, such as a test's browser, does not count.
    """

    def __init__(self) -> None:
        self.seconds, self.peak = 0.0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Measure:
        self._started = time.perf_counter()
        self._before = set(psutil.Process().children(recursive=True))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.perf_counter() - self._started
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            with suppress(psutil.Error):
                children = set(psutil.Process().children(recursive=True)) - self._before
                self.peak = max(self.peak, sum(child.memory_info().rss for child in children))


def run(
    notebooks: Iterable[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    live: bool = False,
    read: Read = committed,
    show_progress: bool = False,
    then: str = "",
) -> pd.DataFrame:
    """Execute notebooks with papermill, and go on after one that fails.

    Parameters
    ----------
    notebooks : iterable of str, optional
        Names. All notebooks by default, in the order of the course.
    parameters : mapping, optional
        Each goes to the notebooks that have it.
    out : path, optional
        Folder of the executed copies; ``outputs`` by default. A notebook that failed is there as far as it
        came. What a notebook found lies beside it as JSON, unless `parameters` name another file for
        ``results``.
    live : bool
        Compute everything, whatever is recorded.
    read : callable
        As in `execute`.
    show_progress : bool
        Show a bar over the notebooks, and one over the cells of each.
    then : str
        See `execute`.

    Returns
    -------
    DataFrame, one row a notebook
        notebook, status ("done" or "failed"), seconds, longest_cell (seconds), peak_gb (of the kernel), file
        and error: which cell failed, under which heading, and why.

    Raises
    ------
    ValueError
        Before anything runs: if a name is no notebook's, or none of the notebooks has a parameter.
    """
    from papermill import PapermillExecutionError

    chosen = [checked(name) for name in (names() if notebooks is None else notebooks)]
    target = Path(out) if out is not None else folder().parent / "outputs"
    wanted = dict(parameters or {}) | ({"recorded": False} if live else {})
    has = {name: parameters_of(read(name)) for name in chosen}
    known = sorted({parameter for own in has.values() for parameter in own})
    for parameter in parameters or {}:
        if parameter not in known:
            raise ValueError(
                f"{parameter!r} is no parameter of {', '.join(chosen)}: {named(known, parameter)}"
            )
    rows = []
    with progress(total=len(chosen), desc="notebooks", unit="notebook", disable=not show_progress) as bar:
        for name in chosen:
            bar.set_postfix_str(name)
            file, error = target / f"{name}.ipynb", ""
            own = {"results": str(file.with_suffix(".json").resolve())}
            own |= {key: value for key, value in wanted.items() if key in has[name]}
            with Measure() as measured:
                try:
                    execute(name, own, file, read=read, show_progress=show_progress, then=then)
                except PapermillExecutionError as failed:
                    error = failure(failed, file)
            rows.append({
                "notebook": name, "status": "failed" if error else "done", "seconds": measured.seconds,
                "longest_cell": longest_cell(nbformat.read(file, as_version=4)),
                "peak_gb": measured.peak / 1e9, "file": str(file), "error": error,
            })  # fmt: skip
            bar.update()
    return pd.DataFrame(rows)


def failure(error: Any, target: Path) -> str:
    """Say which cell failed, under which heading, why, and where the partly run notebook is."""
    heading = ""
    for cell in nbformat.read(target, as_version=4).cells:
        if cell.cell_type == "markdown":
            heads = [line for line in cell.source.splitlines() if line.startswith("#")]
            heading = heads[-1].lstrip("# ") if heads else heading
        elif any(output.output_type == "error" for output in cell.get("outputs", [])):
            break
    source = error.source.strip().splitlines() or [""]
    return (
        f"Cell [{error.exec_count}] failed, under {heading!r}, beginning with: {source[0]}\n"
        f"{error.ename}: {error.evalue}\n"
        f"The notebook as far as it ran: {near(target)}"
    )


def near(path: Path) -> str:
    """Write a path as seen from here, where it is below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)

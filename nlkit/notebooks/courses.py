"""Runs of several notebooks, one after the other, with a table of how they went: ``nlkit course``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat as untyped_nbformat
import pandas as pd

from nlkit._util import progress
from nlkit.notebooks.measuring import Measure
from nlkit.notebooks.paths import checked, folder
from nlkit.notebooks.paths import names as all_names
from nlkit.notebooks.running import execute, longest_cell
from nlkit.notebooks.source import parameters_of, read_source

__all__ = ["failure", "near", "run"]

nbformat: Any = untyped_nbformat


def run(
    names: Iterable[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    live: bool = False,
    solutions: bool = False,
    show_progress: bool = False,
    then: str = "",
) -> pd.DataFrame:
    """Execute notebooks with papermill, and go on after one that fails.

    Parameters
    ----------
    names : iterable of str, optional
        All notebooks by default, in the order of the course.
    parameters : mapping, optional
        Each goes to the notebooks that have it.
    out : path, optional
        Folder of the executed copies; ``outputs`` by default. A notebook that failed is there as far as it
        came. What a notebook found lies beside it as JSON, unless `parameters` name another file for
        ``results``.
    live : bool
        Compute everything, whatever is recorded.
    solutions : bool
        Run the notebooks with their solutions, not the students' copies.
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

    chosen = [checked(name) for name in (all_names() if names is None else names)]
    target = Path(out) if out is not None else folder().parent / "outputs"
    given = {
        name: _own(name, dict(parameters or {}) | ({"recorded": False} if live else {})) for name in chosen
    }
    for parameter in parameters or {}:
        if not any(parameter in own for own in given.values()):
            known = sorted({p for name in chosen for p in parameters_of(read_source(name))})
            raise ValueError(
                f"{parameter!r} is no parameter of {', '.join(chosen)}: one of {', '.join(known)}"
            )
    rows = []
    with progress(total=len(chosen), desc="notebooks", unit="notebook", disable=not show_progress) as bar:
        for name in chosen:
            bar.set_postfix_str(name)
            file, error = target / f"{name}.ipynb", ""
            own = {"results": str(file.with_suffix(".json").resolve())} | given[name]
            with Measure() as measured:
                try:
                    execute(name, own, file, solutions=solutions, show_progress=show_progress, then=then)
                except PapermillExecutionError as failed:
                    error = failure(failed, file)
            rows.append({
                "notebook": name, "status": "failed" if error else "done", "seconds": measured.seconds,
                "longest_cell": longest_cell(nbformat.read(file, as_version=4)),
                "peak_gb": measured.peak / 1e9, "file": str(file), "error": error,
            })  # fmt: skip
            bar.update()
    return pd.DataFrame(rows)


def _own(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the parameters that a notebook has."""
    has = parameters_of(read_source(name))
    return {key: value for key, value in parameters.items() if key in has}


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

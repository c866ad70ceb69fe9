"""The committed notebooks: the student's copy with the outputs of a run with the solutions.

They hold figures, and no timings, widgets, standard error or paths of the machine.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat as untyped_nbformat
from nbformat import NotebookNode

from nlkit._util import cache_folder, progress
from nlkit.study.recorded import RECORD
from nlkit.study.recorded import folder as recordings
from notebooks.build.running import KERNEL, QUIET_KERNEL, drop_widgets, folder, write
from notebooks.build.source import cell_metadata, read_source

__all__ = ["LARGEST", "build", "refuse_unfit", "tidy"]

nbformat: Any = untyped_nbformat

LARGEST = 1_500_000
UNSTORED = {"exercise", "machine", "score", "solution"}


def build(name: str, *, record: bool = True, prose: bool = False) -> Path:
    """Write ``notebooks/<name>.ipynb``: the student's copy, with the outputs of a run with the solutions.

    Parameters
    ----------
    name : str
        Such as "00_start_here".
    record : bool
        Compute all its experiments and write their recordings (`nlkit.study.recorded`), with an empty cache,
        so that the seconds they tell are those of a first run. False uses the recordings there are.
    prose : bool
        Execute nothing: only prose, exercises or the measurements at its end have changed, and the outputs
        stay.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails; the committed notebook stays as it was.
    ValueError
        If the result is too large or holds a path of this machine; with `prose`, if a code cell has changed.
    """
    path, student = folder() / f"{name}.ipynb", read_source(name)
    if prose:
        done = nbformat.read(path, as_version=4)
        if [cell.source for cell in _stored(done)] != [cell.source for cell in _stored(student)]:
            raise ValueError(f"code of {name} has changed, not its prose alone: build it without prose")
    else:
        done = read_source(name, solutions=True)
        with _recording() if record else nullcontext():
            _execute(done)
    for cell, ran in zip(_stored(student), _stored(done), strict=True):
        cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    tidy(student)
    refuse_unfit(student, name)
    write(student, path)
    return path


@contextmanager
def _recording() -> Iterator[None]:
    """Let kernels that are started inside the block write recordings, and have a cache of their own."""
    with (
        tempfile.TemporaryDirectory() as cache,
        patch.dict(os.environ, {"NLKIT_CACHE": cache, RECORD: str(recordings())}),
    ):
        yield


def _stored(nb: NotebookNode) -> list[NotebookNode]:
    """Return the cells whose outputs are committed."""
    code = (cell for cell in nb.cells if cell.cell_type == "code")
    return [cell for cell in code if not UNSTORED & set(cell.metadata.get("tags", []))]


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


def refuse_unfit(nb: NotebookNode, name: str) -> None:
    """Raise ValueError if a notebook is too large or holds a path of this machine."""
    text = nbformat.writes(nb)
    if len(text.encode()) > LARGEST:
        raise ValueError(f"{name}.ipynb would have {len(text) / 1e6:.1f} MB; allowed are {LARGEST / 1e6} MB")
    for place in (Path.home(), folder().parent, cache_folder(), Path(tempfile.gettempdir())):
        # A root such as / is everywhere and tells nothing.
        if len(place.parts) > 1 and f"{place}/" in text:
            raise ValueError(f"{name}.ipynb would hold the path {place} of this machine")


def tidy(nb: NotebookNode) -> NotebookNode:
    """Make an executed notebook fit to be committed, in place: what it says depends on its cells alone."""
    drop_widgets(nb)
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        cell.metadata = cell_metadata(tags)
        if UNSTORED & set(tags):
            cell.outputs, cell.execution_count = [], None
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            output.pop("transient", None)
    return nb

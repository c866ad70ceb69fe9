"""Runs of notebooks in processes of their own, beside the other tests."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat

from nlkit._util import count_cores
from notebooks import build as notebooks
from notebooks.build import running

START = "00_start_here"
# Every explorer's controls are moved at the end: an error at another position must not hide.
TRY = "import nlkit\nprint('moves:', nlkit.course.widgets.try_all())"
AT_ONCE = min(2, count_cores())


def outputs(nb):
    return [(cell, output) for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]


class Executed:
    """A notebook that was run, the row of the course's table, and the results it wrote."""

    def __init__(self, name, row, folder):
        self.name, self.row = name, row
        self.nb = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        written = folder / f"{name}.json"
        self.results = json.loads(written.read_text("utf-8")) if written.exists() else {}

    def tagged(self, tag):
        return [cell for cell in self.nb.cells if tag in cell.metadata.get("tags", [])]

    def said(self, cells=None):
        found = [o for _, o in outputs(self.nb)] if cells is None else [o for c in cells for o in c.outputs]
        return [output["data"]["text/plain"] for output in found if "data" in output]

    def runs(self):
        """Return what the runs shown say they are."""
        return [line for line in self.said() if line.startswith(("Live: ", "Recorded on "))]

    def moves(self):
        """Return how often a control was moved at the end."""
        last = self.nb.cells[-1]
        assert last.source == TRY
        return int(next(o["text"] for o in last.outputs if o.get("name") == "stdout").removeprefix("moves:"))

    def complaints(self):
        """Return the outputs that speak of an error, though no cell failed."""
        said = [json.dumps(output) for _, output in outputs(self.nb)]
        return [text for text in said if "Traceback" in text or "This setting failed" in text]


def execute(kind, name, folder):
    """Run a notebook: "live" with solutions and nothing recorded, or as the "student" gets it."""
    how = {"live": True, "read": notebooks.read_solutions} if kind == "live" else {}
    return running.run([name], out=folder, then=TRY, **how).iloc[0]


def step_back():
    """Leave a worker's and its kernel's core to the tests where they want it."""
    os.nice(5)
    os.environ["OMP_NUM_THREADS"] = str(max(1, count_cores() // AT_ONCE))


class Runs:
    """Runs, two at once in the order given, from now on; each process has one kernel, which it measures."""

    def __init__(self, wanted: Iterable[tuple[str, str]], folder: Path) -> None:
        self.folder, spawn = folder, multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(AT_ONCE, spawn, initializer=step_back)
        self.running = {run: self.pool.submit(execute, *run, folder / run[0]) for run in wanted}

    def __call__(self, kind: str, name: str) -> Executed:
        row = self.running[kind, name].result()
        assert row["status"] == "done", row["error"]
        return Executed(name, row, self.folder / kind)

    def stop(self) -> None:
        """End what still runs: nobody will look at it."""
        for worker in multiprocessing.active_children():
            worker.terminate()
        self.pool.shutdown(cancel_futures=True)

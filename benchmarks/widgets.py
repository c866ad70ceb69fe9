"""How long the explorers of the notebooks take to redraw, on the recorded runs.

Each notebook is executed with its recorded runs; then every control of every explorer is moved to the ends of
its range, or through its options, and each redraw is timed in the notebook's kernel: what Python does, before
the browser shows the picture. Now and then Python's full garbage collection falls into a redraw, and takes
longer than it; it is counted.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import nbformat

from benchmarks.tables import markdown
from notebooks import build as notebooks

WANTED = 100  # milliseconds
BEGINS = "timings: "

# Runs in the kernel, after the notebook's own cells: a function, so that their names stay theirs.
TIME_ALL = f"""
def _time_all():
    import json, time
    from nlkit.course.widgets import explorer
    found = []
    for made in list(explorer._MADE):
        taken, update = [], made.update
        def timed(update=update, taken=taken):
            began = time.perf_counter()
            update()
            taken.append(1000 * (time.perf_counter() - began))
        made.update = timed
        made.try_controls()
        controls = ", ".join(control.description for control in made.controls.values())
        found.append({{"controls": controls, "redraws": taken}})
    print({BEGINS!r} + json.dumps(found))
_time_all()
"""


def redraws(name: str) -> list[dict[str, Any]]:
    """Execute a notebook; return a row for each of its explorers."""
    with tempfile.TemporaryDirectory() as place:
        done = notebooks.execute(
            name, {}, Path(place) / f"{name}.ipynb", read=notebooks.read_solutions, then=TIME_ALL
        )
        nb = nbformat.read(done, as_version=4)
    said = "".join(o.get("text", "") for o in nb.cells[-1].outputs if o.get("name") == "stdout")
    rows = []
    for explorer in json.loads(said.removeprefix(BEGINS)):
        taken = explorer["redraws"]
        rows.append({
            "notebook": name, "controls": explorer["controls"], "redraws": len(taken),
            "over": sum(ms > WANTED for ms in taken), "median": round(statistics.median(taken)),
            "slowest": round(max(taken)),
        })  # fmt: skip
    return rows


def measure(*, smoke: bool = False) -> dict[str, Any]:
    """Return the rows of all notebooks but the first, whose explorers it shares; smoke: of one of them."""
    names = notebooks.names()[1 : 2 if smoke else None]
    return {"explorers": [row for name in names for row in redraws(name)]}


def summarise(found: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    rows = found["explorers"]
    total, over = (sum(row[column] for row in rows) for column in ("redraws", "over"))
    head = ["notebook", "controls", "redraws", f"over {WANTED} ms", "median", "slowest"]
    cells = (
        [row["notebook"], row["controls"], *(f"{row[column]}" for column in ("redraws", "over")),
         *(f"{row[column]} ms" for column in ("median", "slowest"))]
        for row in rows
    )  # fmt: skip
    return markdown(head, cells) + f"\n\n{over} of {total} redraws took over {WANTED} ms, what was wanted."

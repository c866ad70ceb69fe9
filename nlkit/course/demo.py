"""``python -m nlkit.course.demo``: run the first notebook and print its result."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from papermill import PapermillExecutionError

from nlkit.course.running import failure, near
from notebooks import build as notebooks

__all__ = ["demo"]

NAME = "00_start_here"


def demo(parameters: Mapping[str, Any] | None = None, out: str | Path | None = None) -> int:
    """Execute notebook 00_start_here, print its tables, and say where the executed copy is.

    Parameters
    ----------
    parameters : mapping, optional
        Passed on to the notebook.
    out : path, optional
        The executed copy; ``outputs/00_start_here.ipynb`` by default.

    Returns
    -------
    int
        0, or 1 if a cell failed: the cell and its error are printed, and the copy is left as far as it came.
    """
    target = Path(out) if out is not None else notebooks.folder().parent / "outputs" / f"{NAME}.ipynb"
    print(f"Running {NAME} (profile {dict(parameters or {}).get('profile', 'quick')}); this takes minutes.")
    with tempfile.TemporaryDirectory() as place:
        results = Path(place) / "results.json"
        try:
            notebooks.execute(
                NAME, {**(parameters or {}), "results": str(results)}, target, show_progress=True
            )
        except PapermillExecutionError as error:
            print(f"\n{failure(error, target)}", file=sys.stderr)
            return 1
        found = json.loads(results.read_text("utf-8"))
    for rows, note in (("table", "note"), ("sidyp", "sidyp_note")):
        print(f"\n{terminal_table(found[rows])}\n\n{found[note]}")
    print(f"The executed notebook: {near(target)}")
    return 0


def terminal_table(rows: list[dict[str, Any]]) -> str:
    """Return a table of the notebook as text, its shares in percent."""
    table = pd.DataFrame(rows)
    for column in table.columns.intersection(["test accuracy", "macro F1", "ECE"]):
        table[column] = [f"{100 * value:.1f} %" for value in table[column]]
    return table.to_string(index=False)


if __name__ == "__main__":
    sys.exit(demo())

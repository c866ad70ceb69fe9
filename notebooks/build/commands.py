"""The commands ``nlkit course``, ``nlkit sweep`` and ``nlkit demo``, which run the course's notebooks."""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nlkit._util import invalid, named
from nlkit.training.config import PROFILES
from notebooks.build import running
from notebooks.build.running import near
from notebooks.build.sweeping import draw_found, result_columns, sweep

__all__ = ["demo", "main", "parameter", "values"]

START = "00_start_here"


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns 0, or 1 if a notebook failed, or 2 if the request is not allowed."""
    parser = argparse.ArgumentParser(prog="nlkit", description="Run the course's notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    course = commands.add_parser("course", help="execute the notebooks with papermill")
    course.add_argument("names", nargs="*", help="such as 03_splitting; all of them by default")
    course.add_argument("--profile", choices=PROFILES, help="quick by default")
    course.add_argument(
        "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE",
        help="goes to the notebooks that have it; may be repeated with other names",
    )  # fmt: skip
    course.add_argument("--live", action="store_true", help="compute everything here, use no recorded run")
    course.add_argument("--out", help="folder of the executed copies; outputs by default")
    grid = commands.add_parser("sweep", help="execute one notebook for many settings, and draw what it found")
    grid.add_argument("name", help="such as 05_noiseal")
    grid.add_argument(
        "-p", "--parameter", action="append", required=True, metavar="NAME=VALUE[,VALUE…]",
        help="values of a parameter, such as noise_rate=0,0.2,0.4; may be repeated: values of one name are "
        "joined, and the first name goes across",
    )  # fmt: skip
    grid.add_argument("--value", help="the column of the notebook's result that is drawn; its first numbers")
    grid.add_argument("--out", default="outputs/sweep", help="folder of all runs; %(default)s by default")
    shown = commands.add_parser("demo", help=f"execute {START} and print its tables")
    shown.add_argument("--live", action="store_true", help="compute everything here, use no recorded run")
    chosen = parser.parse_args(arguments)
    run: dict[str, Callable[[argparse.Namespace], int]] = {"course": _course, "sweep": _sweep}
    try:
        return run[chosen.command](chosen) if chosen.command in run else demo(live=chosen.live)
    except ValueError as error:
        print(f"nlkit {chosen.command}: {error}", file=sys.stderr)
        return 2


def parameter(text: str) -> tuple[str, Any]:
    """Return the name and the value of NAME=VALUE: a Python literal, or else a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--parameter {text!r} is not allowed: NAME=VALUE, such as noise_rate=0.2")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def values(text: str) -> tuple[str, list[Any]]:
    """Return the name and the values of NAME=VALUE,VALUE: Python literals, or else strings."""
    name, value = parameter(text)
    several = value.split(",") if isinstance(value, str) else value
    return name, list(several) if isinstance(several, list | tuple) else [several]


def _sweep(chosen: argparse.Namespace) -> int:
    grid: dict[str, list[Any]] = {}
    for name, several in map(values, chosen.parameter):
        grid.setdefault(name, []).extend(several)
    out, (by, *numbers) = Path(chosen.out), result_columns(chosen.name)
    y = chosen.value or numbers[0]
    if y not in numbers:
        invalid("--value", y, named(numbers, y))
    try:
        found = sweep(chosen.name, grid, out, show_progress=True)
    except RuntimeError as error:
        print(f"nlkit sweep: {error}", file=sys.stderr)
        return 1
    print(found.round(3).to_string(index=False))
    figure = draw_found(found, out / f"{chosen.name}.png", x=next(iter(grid)), y=y, by=by)
    print(f"\nThe figure: {figure}")
    return 0


def _course(chosen: argparse.Namespace) -> int:
    given: dict[str, Any] = {}
    for name, value in map(parameter, chosen.parameter):
        if name in given:
            invalid("-p", name, f"given as {given[name]!r} and as {value!r}; nlkit sweep runs both")
        given[name] = value
    if chosen.profile not in (None, given.setdefault("profile", chosen.profile or "quick")):
        invalid("--profile", chosen.profile, f"-p profile={given['profile']} was given too")
    table = running.run(chosen.names or None, given, chosen.out, live=chosen.live, show_progress=True)
    for error in filter(None, table["error"]):
        print(f"\n{error}", file=sys.stderr)
    shown = table.drop(columns="error").round({"seconds": 0, "longest_cell": 0, "peak_gb": 1})
    print(f"\n{shown.to_string(index=False)}")
    done = (table["status"] == "done").sum()
    print(f"\n{done} of {len(table)} notebooks done in {table['seconds'].sum() / 60:.1f} minutes.")
    return int(done < len(table))


def demo(
    parameters: Mapping[str, Any] | None = None, out: str | Path | None = None, *, live: bool = False
) -> int:
    """Execute notebook 00_start_here, print its tables, and say where the executed copy is.

    Parameters
    ----------
    parameters : mapping, optional
        Passed on to the notebook.
    out : path, optional
        Folder of the executed copy and its results; ``outputs`` by default.
    live : bool
        Compute everything, whatever is recorded.

    Returns
    -------
    int
        0, or 1 if a cell failed: the cell and its error are printed, and the copy is left as far as it came.
    """
    how = "live: this takes minutes" if live else "on recorded runs; --live computes them here, in minutes"
    print(f"Running {START} {how}.")
    row = running.run([START], parameters, out, live=live, show_progress=True).iloc[0]
    if row["error"]:
        print(f"\n{row['error']}", file=sys.stderr)
        return 1
    copy = Path(row["file"])
    found = json.loads(copy.with_suffix(".json").read_text("utf-8"))
    for rows, note in (("table", "note"), ("sidyp", "sidyp_note")):
        table = pd.DataFrame(found[rows])
        for column in table.columns.intersection(["test accuracy", "macro F1", "ECE"]):
            table[column] = [f"{100 * value:.1f} %" for value in table[column]]
        print(f"\n{table.to_string(index=False)}\n\n{found[note]}")
    print(f"The executed notebook: {near(copy)}")
    return 0

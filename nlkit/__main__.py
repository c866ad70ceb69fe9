"""``nlkit course``, ``nlkit sweep`` and ``nlkit doctor``."""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path
from typing import Any

from nlkit.training.config import PROFILES

__all__ = ["main", "parameter"]


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns 0, or 1 if a notebook or a check failed."""
    parser = argparse.ArgumentParser(prog="nlkit", description="Learning from noisy labels, in notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    course = commands.add_parser("course", help="execute the notebooks with papermill")
    course.add_argument("names", nargs="*", help="such as 03_splitting; all of them by default")
    course.add_argument("--profile", choices=PROFILES, default="quick")
    course.add_argument(
        "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE",
        help="goes to the notebooks that have it; may be repeated",
    )  # fmt: skip
    course.add_argument("--live", action="store_true", help="compute everything here, use no recorded run")
    course.add_argument("--out", help="folder of the executed copies; outputs by default")
    sweep = commands.add_parser(
        "sweep", help="execute one notebook for many settings, and draw what it found"
    )
    sweep.add_argument("name", help="such as 05_noiseal")
    sweep.add_argument(
        "-p", "--parameter", action="append", required=True, metavar="NAME=VALUE[,VALUE…]",
        help="values of a parameter, such as noise_rate=0,0.2,0.4; may be repeated, the first goes across",
    )  # fmt: skip
    sweep.add_argument("--value", default="test accuracy", help="the column that is drawn; %(default)s")
    sweep.add_argument("--out", default="outputs/sweep", help="folder of all runs; %(default)s by default")
    commands.add_parser("doctor", help="say what works on this machine, and what to do about the rest")
    chosen = parser.parse_args(arguments)
    if chosen.command == "doctor":
        from nlkit.diagnosis import doctor

        report = doctor()
        print(report)
        return 0 if report.ok else 1
    try:
        if chosen.command == "sweep":
            return _sweep(chosen)
        parameters = dict(map(parameter, chosen.parameter)) | {"profile": chosen.profile}
        return _course(chosen, parameters)
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


def _values(text: str) -> tuple[str, list[Any]]:
    """Return the name and the values of NAME=VALUE,VALUE: Python literals, or else strings."""
    name, value = parameter(text)
    several = value.split(",") if isinstance(value, str) else value
    return name, list(several) if isinstance(several, list | tuple) else [several]


def _sweep(chosen: argparse.Namespace) -> int:
    from nlkit.course.sweeping import draw_found, sweep

    grid = dict(map(_values, chosen.parameter))
    out = Path(chosen.out)
    try:
        found = sweep(chosen.name, grid, out, show_progress=True)
    except RuntimeError as error:
        print(f"nlkit sweep: {error}", file=sys.stderr)
        return 1
    print(found.round(3).to_string(index=False))
    figure = draw_found(found, out / f"{chosen.name}.png", x=next(iter(grid)), y=chosen.value)
    print(f"\nThe figure: {figure}")
    return 0


def _course(chosen: argparse.Namespace, parameters: dict[str, Any]) -> int:
    from notebooks.build import run

    table = run(chosen.names or None, parameters, chosen.out, live=chosen.live, show_progress=True)
    for error in table["error"]:
        if error:
            print(f"\n{error}", file=sys.stderr)
    shown = table.drop(columns="error").round({"seconds": 0, "longest_cell": 0, "peak_gb": 1})
    print(f"\n{shown.to_string(index=False)}")
    done = (table["status"] == "done").sum()
    print(f"\n{done} of {len(table)} notebooks done in {table['seconds'].sum() / 60:.1f} minutes.")
    return int(done < len(table))


if __name__ == "__main__":
    sys.exit(main())

"""``nlkit course`` and ``nlkit doctor``."""

from __future__ import annotations

import argparse
import ast
import sys
from typing import Any

from nlkit.config import PROFILES

__all__ = ["main"]


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
    course.add_argument(
        "--measure", action="store_true",
        help="live, with solutions and an empty cache each; keep time and memory in notebooks/measured.json",
    )  # fmt: skip
    commands.add_parser("doctor", help="say what works on this machine, and what to do about the rest")
    chosen = parser.parse_args(arguments)
    if chosen.command == "doctor":
        from nlkit.doctor import doctor

        report = doctor()
        print(report)
        return 0 if report.ok else 1
    try:
        parameters = dict(map(_parameter, chosen.parameter)) | {"profile": chosen.profile}
        return _measure(chosen.names, parameters) if chosen.measure else _course(chosen, parameters)
    except ValueError as error:
        print(f"nlkit course: {error}", file=sys.stderr)
        return 2


def _parameter(text: str) -> tuple[str, Any]:
    """Return the name and the value of NAME=VALUE: a Python literal, or else a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--parameter {text!r} is not allowed: NAME=VALUE, such as noise_rate=0.2")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _course(chosen: argparse.Namespace, parameters: dict[str, Any]) -> int:
    from nlkit.notebooks import run

    table = run(chosen.names or None, parameters, chosen.out, live=chosen.live, show_progress=True)
    for error in table["error"]:
        if error:
            print(f"\n{error}", file=sys.stderr)
    shown = table.drop(columns="error").round({"seconds": 0, "longest_cell": 0, "peak_gb": 1})
    print(f"\n{shown.to_string(index=False)}")
    done = (table["status"] == "done").sum()
    print(f"\n{done} of {len(table)} notebooks done in {table['seconds'].sum() / 60:.1f} minutes.")
    return int(done < len(table))


def _measure(names: list[str], parameters: dict[str, Any]) -> int:
    from nlkit import notebooks

    for name in names or notebooks.names():
        found = notebooks.measure(name, parameters)
        print(name, *(f"{key} {value}" for key, value in found.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The command ``nlkit notebooks``: assignments, teachers' copies, grades and slides."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from notebooks.build.assigning import assign, grade, solutions
from notebooks.build.running import names, near
from notebooks.build.slides import slides

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns 0, or 2 if the request is not allowed or something that it needs is missing."""
    parser = argparse.ArgumentParser(
        prog="nlkit notebooks", description="What a teacher makes of the notebooks."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, out, told in (
        ("assign", "course", "make assignments that nbgrader reads; release/ is for students"),
        ("solutions", "solutions", "write copies with solutions and instructor's notes"),
        ("slides", "slides", "write slides, one HTML file each, which need no network"),
    ):
        command = commands.add_parser(name, help=told, description=told)
        command.add_argument("names", nargs="*", help="such as 03_splitting; all of them by default")
        command.add_argument("--out", default=out, help="folder; %(default)s by default")
        if name == "assign":
            command.add_argument(
                "--exercises", action="store_true", help="the exercises alone, without the lesson"
            )
    marked = commands.add_parser("grade", help="grade what students handed in: their code runs here, as you")
    marked.add_argument("name", help="of one assignment")
    marked.add_argument(
        "--out", default="course", help="folder of assign; in it submitted/STUDENT/NAME/NAME.ipynb"
    )
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "grade":
            table = grade(chosen.name, chosen.out, show_progress=True)
            path = Path(chosen.out) / f"{chosen.name}.csv"
            table.to_csv(path, index=False)
            print(f"{table.to_string(index=False, na_rep='')}\n\nThe same as a file: {near(path)}")
            return 0
        wanted = chosen.names or names()
        if chosen.command == "assign":
            made = assign(wanted, chosen.out, exercises_only=chosen.exercises)
        elif chosen.command == "solutions":
            made = solutions(wanted, chosen.out)
        else:
            made = [slides(name, chosen.out) for name in wanted]
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"nlkit notebooks {chosen.command}: {error}", file=sys.stderr)
        return 2
    print("\n".join(near(path) for path in made))
    return 0

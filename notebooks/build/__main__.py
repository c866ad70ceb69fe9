"""``python -m notebooks.build build|measure``; `make site` calls Sphinx (notebooks/build/site)."""

from __future__ import annotations

import argparse

from nlkit.training.config import PROFILES
from notebooks.build import build, measure, names
from notebooks.build.commands import parameter
from notebooks.build.measuring import write_overview

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Command line: ``build`` and ``measure``."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.build", description="Make the notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="write notebooks/*.ipynb from notebooks/source and run them")
    make.add_argument("name", nargs="*", help="all of them by default")
    less = make.add_mutually_exclusive_group()
    less.add_argument("--keep-recorded", action="store_true", help="use the recorded runs there are")
    less.add_argument(
        "--prose", action="store_true", help="run nothing: only words, exercises or measurements changed"
    )
    clock = commands.add_parser(
        "measure",
        help="run them live, with solutions and an empty cache each; keep time and memory in measured.json",
    )
    clock.add_argument("name", nargs="*", help="all of them by default")
    clock.add_argument("--profile", choices=PROFILES, default="quick")
    clock.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE")
    chosen = parser.parse_args(arguments)
    if chosen.command == "measure":
        given = dict(map(parameter, chosen.parameter)) | {"profile": chosen.profile}
        for name in chosen.name or names():
            print(name, *(f"{key} {value}" for key, value in measure(name, given).items()), flush=True)
        return
    for name in chosen.name or names():
        print(f"built {build(name, record=not chosen.keep_recorded, prose=chosen.prose)}")
    write_overview()


if __name__ == "__main__":
    main()

"""``python -m nlkit.notebooks build|site``; `nlkit course` runs and measures the notebooks."""

from __future__ import annotations

import argparse

from nlkit.notebooks import build, names
from nlkit.notebooks.measuring import write_overview

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Command line: ``build`` and ``site``."""
    parser = argparse.ArgumentParser(prog="python -m nlkit.notebooks", description="Make the notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="write notebooks/*.ipynb from notebooks/source and run them")
    make.add_argument("name", nargs="*", help="all of them by default")
    less = make.add_mutually_exclusive_group()
    less.add_argument("--keep-recorded", action="store_true", help="use the recorded runs there are")
    less.add_argument("--prose", action="store_true", help="run nothing: only words or measurements changed")
    render = commands.add_parser("site", help="write the executed notebooks as static pages")
    render.add_argument("--out", metavar="DIR", help="site in the repository by default")
    chosen = parser.parse_args(arguments)
    if chosen.command == "site":
        from nlkit.notebooks.site import site

        print(f"written; open {site(chosen.out) / 'index.html'}")
        return
    for name in chosen.name or names():
        print(f"built {build(name, record=not chosen.keep_recorded, prose=chosen.prose)}")
    write_overview()


if __name__ == "__main__":
    main()

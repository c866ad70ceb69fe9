"""``python -m nlkit.notebooks build``; `nlkit course` runs and measures the notebooks."""

from __future__ import annotations

import argparse

from nlkit.notebooks import build, names

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Command line: ``build``."""
    parser = argparse.ArgumentParser(prog="python -m nlkit.notebooks", description="Make the notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="write notebooks/*.ipynb from notebooks/source and run them")
    make.add_argument("name", nargs="*", help="all of them by default")
    make.add_argument("--keep-recorded", action="store_true", help="use the recorded runs there are")
    chosen = parser.parse_args(arguments)
    for name in chosen.name or names():
        print(f"built {build(name, record=not chosen.keep_recorded)}")


if __name__ == "__main__":
    main()

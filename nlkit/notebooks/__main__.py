"""``python -m nlkit.notebooks build|measure``."""

from __future__ import annotations

import argparse

from nlkit.notebooks import build, measure, names

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Command line: ``build`` and ``measure``."""
    parser = argparse.ArgumentParser(prog="python -m nlkit.notebooks", description="Make the notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="write notebooks/*.ipynb from notebooks/source and run them")
    make.add_argument("name", nargs="*", help="all of them by default")
    time_it = commands.add_parser("measure", help="measure time and memory of one notebook in a profile")
    time_it.add_argument("name")
    time_it.add_argument("profile")
    chosen = parser.parse_args(arguments)
    if chosen.command == "measure":
        print(measure(chosen.name, {"profile": chosen.profile}))
        return
    for name in chosen.name or names():
        print(f"built {build(name)}")


if __name__ == "__main__":
    main()

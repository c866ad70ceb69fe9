"""``nlkit answers``: what the answer store holds, from the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nlkit._util import atomic_write, cache_folder
from nlkit.annotate.store import STATUSES, AnswerStore

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """List, export or delete answers; returns 0, or 1 with the reason on the standard error."""
    parser = argparse.ArgumentParser("nlkit answers", description=__doc__)
    parser.add_argument("--store", type=Path, metavar="FILE", help="the store (the one in the cache)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ls", help="a line per annotator: answers by status, and tokens")
    export = commands.add_parser("export", help="write all answers to a .csv or .jsonl file")
    export.add_argument("file", type=Path)
    forget = commands.add_parser("forget", help="delete answers, which will be asked (and paid) again")
    forget.add_argument("--annotator", metavar="TEXT", help="those whose annotator contains this")
    forget.add_argument("--status", choices=STATUSES)
    prune = commands.add_parser("prune", help="delete old answers")
    prune.add_argument("days", type=float, help="those more than this many days old")
    chosen = parser.parse_args(arguments)
    path = chosen.store or cache_folder("answers") / "answers.sqlite"
    try:
        if not path.is_file():
            raise OSError(f"there is no answer store at {path}")
        with AnswerStore(path) as store:
            print(_run(store, chosen))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(store: AnswerStore, chosen: argparse.Namespace) -> str:
    if chosen.command == "ls":
        return f"{store.path}\n{store.summary().to_string(index=False)}" if len(store) else "no answers yet"
    if chosen.command == "forget":
        return f"{store.forget(annotator=chosen.annotator, status=chosen.status)} answers deleted"
    if chosen.command == "prune":
        return f"{store.prune(chosen.days)} answers deleted"
    table = store.export()
    with atomic_write(chosen.file) as temporary:
        if temporary.suffix == ".csv":
            table.to_csv(temporary, index=False)
        elif temporary.suffix == ".jsonl":
            table.to_json(temporary, orient="records", lines=True, date_format="iso", force_ascii=False)
        else:
            raise ValueError(f"{chosen.file}: give a name that ends in .csv or .jsonl")
    return f"{len(table)} answers in {chosen.file}"

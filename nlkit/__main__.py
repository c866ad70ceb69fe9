"""``nlkit doctor``, ``answers``, ``clean``, and in a clone of the repository what runs notebooks."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

__all__ = ["main"]

COMMANDS = {
    "doctor": "say what works on this machine, and what to do about the rest",
    "answers": "list, export or delete the stored answers of language models",
    "clean": "look for wrong labels in a file of yours, mend what is sure, and report",
    "course": "execute the notebooks with papermill",
    "sweep": "execute one notebook for many settings, and draw what it found",
    "demo": "execute the first notebook and print its tables",
}


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns 0, 1 if a notebook or a check failed, or 2 if the request is not allowed."""
    told = "\n".join(f"  {name:<8} {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        "nlkit", description=f"Learning from noisy labels, in notebooks.\n\n{told}",
        epilog="nlkit COMMAND --help says more.", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…")
    chosen = parser.parse_args(arguments)
    if chosen.command == "doctor":
        from nlkit.diagnosis import doctor

        report = doctor()
        print(report)
        return 0 if report.ok else 1
    if chosen.command == "answers":
        from nlkit.annotate import answers

        return answers.main(chosen.arguments)
    if chosen.command == "clean":
        return _clean(chosen.arguments)
    root = Path(__file__).resolve().parents[1]
    if not (root / "notebooks" / "build").is_dir():
        parser.error(f"{chosen.command} runs notebooks: it works in a clone of the repository (make setup)")
    sys.path.insert(0, str(root))  # the notebooks are no part of the package
    code: int = import_module("notebooks.build.commands").main([chosen.command, *chosen.arguments])
    return code


def _clean(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("nlkit clean", description=COMMANDS["clean"])
    parser.add_argument("file", help="CSV, TSV, JSON, JSONL or Parquet, also as .gz")
    parser.add_argument("--text", help="column of the texts (text)")
    parser.add_argument("--label", help="column of the labels to look at (noisy_label)")
    parser.add_argument("--gold", help="column of true labels, to say how good the result is")
    parser.add_argument(
        "--out", required=True, help="folder for cleaned.csv, review.csv, report.html and model"
    )
    parser.add_argument("--label-map", help="JSON file: value in the file -> class name, or null for missing")
    parser.add_argument("--profile", default="quick", help="quick, class or paper")
    parser.add_argument("--seed", default=0, type=int, help="of all random numbers")
    given = parser.parse_args(arguments)
    from nlkit import clean, load_dataset

    columns = {"text": given.text, "noisy_label": given.label, "label": given.gold}
    try:
        names = json.loads(Path(given.label_map).read_text("utf-8")) if given.label_map else None
        ds = load_dataset({"train": given.file}, validation=0, label_map=names, **columns)
        if not given.gold and "label" in ds["train"].column_names:
            ds = ds.remove_columns("label")  # the name is usual for what is to be looked at
        found = clean(ds, out=given.out, profile=given.profile, seed=given.seed)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    print(found)
    print(f"{Path(given.out) / 'report.html'} says more")
    return 0


if __name__ == "__main__":
    sys.exit(main())

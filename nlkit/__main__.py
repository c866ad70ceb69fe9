"""``nlkit doctor`` and ``answers``, and in a clone of the repository ``course``, ``sweep`` and ``demo``."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

__all__ = ["main"]

COMMANDS = {
    "doctor": "say what works on this machine, and what to do about the rest",
    "answers": "list, export or delete the stored answers of language models",
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
    root = Path(__file__).resolve().parents[1]
    if not (root / "notebooks" / "build").is_dir():
        parser.error(f"{chosen.command} runs notebooks: it works in a clone of the repository (make setup)")
    sys.path.insert(0, str(root))  # the notebooks are no part of the package
    code: int = import_module("notebooks.build.commands").main([chosen.command, *chosen.arguments])
    return code


if __name__ == "__main__":
    sys.exit(main())

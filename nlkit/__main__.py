"""``nlkit doctor``, ``answers``, ``clean``, and in a clone of the repository what runs notebooks."""

from __future__ import annotations

import argparse
import ast
import json
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["main"]

COMMANDS = {
    "doctor": "say what works on this machine, and what to do about the rest",
    "answers": "list, export or delete the stored answers of language models",
    "clean": "look for wrong labels in a file of yours, mend what is sure, and report",
    "compare": "run methods on a file of yours, held out in turn, and recommend one",
    "report": "say what the records of a sweep say, as HTML, Markdown and LaTeX",
    "course": "execute the notebooks with papermill",
    "sweep": "run methods on a grid of settings (--grid), or one notebook for many settings",
    "notebooks": "make assignments, copies with solutions, and slides; grade what comes back",
    "demo": "execute the first notebook and print its tables",
}


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns 0, 1 if a notebook or a check failed, or 2 if the request is not allowed."""
    told = "\n".join(f"  {name:<9} {what}" for name, what in COMMANDS.items())
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
    if chosen.command in ("clean", "compare", "report"):
        run = {"clean": _clean, "compare": _compare, "report": _report}[chosen.command]
        return run(chosen.arguments)
    if chosen.command == "sweep" and any(a.startswith(("--grid", "-h", "--help")) for a in chosen.arguments):
        return _sweep(chosen.arguments)
    root = Path(__file__).resolve().parents[1]
    if not (root / "notebooks" / "build").is_dir():
        parser.error(f"{chosen.command} runs notebooks: it works in a clone of the repository (make setup)")
    sys.path.insert(0, str(root))  # the notebooks are no part of the package
    if chosen.command == "notebooks":
        code: int = import_module("notebooks.build.teaching").main(chosen.arguments)
    else:
        code = import_module("notebooks.build.commands").main([chosen.command, *chosen.arguments])
    return code


def _own_data(command: str) -> argparse.ArgumentParser:
    """Return what the commands that read a file of one's own have in common."""
    parser = argparse.ArgumentParser(f"nlkit {command}", description=COMMANDS[command])
    parser.add_argument("file", help="CSV, TSV, JSON, JSONL or Parquet, also as .gz")
    parser.add_argument("--text", help="column of the texts (text)")
    parser.add_argument(
        "--label", action="append",
        help="column of the labels to look at (noisy_label); given again, of another annotator: then it is "
        "their consensus",
    )  # fmt: skip
    parser.add_argument("--gold", help="column of true labels, to say how good the result is")
    parser.add_argument(
        "--label-map",
        help="value in the file -> class name, or None for missing: a dictionary, as the question about "
        "labels prints it, or JSON; itself or a file with it",
    )
    parser.add_argument("--delimiter", help="what separates the columns (it is looked for)")
    parser.add_argument("--encoding", help="of the file (utf-8)")
    parser.add_argument("--profile", default="quick", help="quick, class or paper")
    parser.add_argument("--seed", default=0, type=int, help="of all random numbers")
    return parser


def _loaded(given: argparse.Namespace) -> Any:
    """Load the file, and print what was left out."""
    from nlkit import load_dataset

    labels = given.label or ["noisy_label"]
    # A column `label` is often what is to be looked at, or another's labels: only --gold is true.
    columns = {"noisy_label": labels if labels[1:] else labels[0], "label": given.gold or labels[0]}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* were left out")  # all of them are shown below
        ds, left_out = load_dataset(
            {"train": given.file}, validation=0, text=given.text, **columns, return_report=True,
            label_map=_label_map(given.label_map), delimiter=given.delimiter, encoding=given.encoding,
        )  # fmt: skip
    if len(left_out):
        print(f"Left out:\n{left_out[['row', 'reason', 'content']].to_string(index=False)}")
    return ds if given.gold else ds.remove_columns("label")


def _clean(arguments: list[str]) -> int:
    parser = _own_data("clean")
    parser.add_argument(
        "--out", required=True, help="folder for cleaned.csv, review.csv, report.html and model"
    )
    given = parser.parse_args(arguments)
    from nlkit import clean

    try:
        ds = _loaded(given)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(message)  # what `nlkit.look` finds
            found = clean(ds, out=given.out, profile=given.profile, seed=given.seed)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    if found.agreement:
        print(found.agreement)
    print(found)
    print(f"{Path(given.out) / 'report.html'} says more")
    return 0


def _compare(arguments: list[str]) -> int:
    parser = _own_data("compare")
    parser.add_argument("--methods", nargs="+", help="names as in the table, such as CE, ELR or SiDyP (all)")
    parser.add_argument("--folds", default=5, type=int, help="parts that are held out in turn; %(default)s")
    parser.add_argument("--out", help="folder that keeps finished fits, so that a second call goes on")
    given = parser.parse_args(arguments)
    from nlkit.study.choosing import choose

    try:
        found = choose(
            _loaded(given), given.methods, folds=given.folds, profile=given.profile, seed=given.seed,
            checkpoint=given.out,
        )  # fmt: skip
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    print(found)
    return 0


def _report(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("nlkit report", description=COMMANDS["report"])
    parser.add_argument("results", help="folder of a sweep, or a Parquet file of records")
    parser.add_argument("--out", help="folder of the report (that of the records)")
    given = parser.parse_args(arguments)
    try:
        from nlkit import report

        print(report(given.results, given.out))
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    return 0


def _sweep(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "nlkit sweep", description=COMMANDS["sweep"],
        epilog="nlkit sweep NOTEBOOK -p NAME=VALUE,VALUE --out FOLDER executes a notebook for all values.",
    )  # fmt: skip
    parser.add_argument("--grid", required=True, help="YAML: a value or a list of values for each field")
    parser.add_argument("--results", default="outputs/sweep", help="folder of the records; %(default)s")
    parser.add_argument("--engine", default="local", help="local (processes) or ray (a cluster); %(default)s")
    parser.add_argument("--workers", type=int, help="processes at once (local); as there are cores")
    parser.add_argument("--cores", type=int, default=1, help="threads a cell; %(default)s")
    parser.add_argument("--gpus", type=float, default=0.0, help="share of a GPU a cell (ray); %(default)s")
    parser.add_argument("--questions", type=int, help="most questions to an API, all cells together")
    parser.add_argument("--money", type=float, help="most money for them, in the currency of their price")
    parser.add_argument("--retry", action="store_true", help="run cells anew that failed")
    parser.add_argument(
        "--search", help="YAML: values of settings, which noisy validation labels choose from"
    )
    parser.add_argument("--draws", type=int, default=20, help="settings that --search tries; %(default)s")
    given = parser.parse_args(arguments)
    from nlkit import Budget, search, sweep
    from nlkit.study.sweeps.grid import read_grid

    limits = {name: most for name in ("questions", "money") if (most := getattr(given, name)) is not None}
    try:
        how: dict[str, Any] = {
            "engine": given.engine, "results": given.results, "workers": given.workers, "cores": given.cores,
            "gpus": given.gpus, "budget": Budget(**limits) if limits else None, "retry": given.retry,
        }  # fmt: skip
        grid = read_grid(given.grid)
        if given.search:
            print(search(grid, read_grid(given.search), given.draws, **how).to_string(index=False))
            return 0
        found = sweep(grid, **how)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    shown = ["method", "dataset", "noise", "rate", "accuracy", "best_accuracy"]
    mean = found[shown].groupby(shown[:4], sort=False, dropna=False).mean().mul(100).round(1)
    print(mean.reset_index().to_string(index=False))
    bad = found[found["status"] == "failed"]
    for _, row in bad.iterrows():
        why = row["error"].splitlines()[0]
        print(f"\nfailed: {row['method']} on {row['dataset']}, seed {row['seed']}: {why}")
    print(f"\n{len(found) - len(bad)} of {len(found)} cells done; records: {Path(given.results) / 'cells'}")
    return int(len(bad) > 0)


def _label_map(given: str | None) -> Any:
    """Return what JSON or a Python dictionary says, given as such or as a file."""
    if given is None:
        return None
    text = given if "{" in given else Path(given).expanduser().read_text("utf-8")
    try:
        return json.loads(text)
    except ValueError:
        try:
            return ast.literal_eval(text.strip().removeprefix("label_map="))
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"--label-map is neither JSON nor a Python dictionary: {error}") from error


if __name__ == "__main__":
    sys.exit(main())

"""``make bench``: measure all parts below, print them, and write them to benchmarks/results.

python benchmarks/run.py                     everything (hours on two cores)
python benchmarks/run.py --only speed        the ratios of speed alone
python benchmarks/run.py --only refining     SiDyP, its rivals and ablations
python benchmarks/run.py --only robust --sets ../data        sets of a folder, and the packaged ones
python benchmarks/run.py --only annotator --sets ../data     what an annotator is worth, by budget
python benchmarks/run.py --smoke             the same code on little data, to see that it runs

A run that was interrupted goes on where it stopped; ``--fresh`` measures everything anew.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import accuracy, cost, refining, robust, speed, widgets, worth
from nlkit._util import atomic_write, count_cores

OVER_SEEDS = {"accuracy": accuracy, "refining": refining, "robust": robust, "annotator": worth}
AT_ONCE = {"speed": speed, "cost": cost, "widgets": widgets}
SMOKE: dict[str, dict[str, Any]] = {
    "accuracy": {
        "kinds": ("symmetric",), "seeds": (0,), "profile": "quick", "train_size": 200, "test_size": 100,
        "query_budget": 4,
    },
    "refining": {
        "sets": ("r8 symmetric",), "seeds": (0,), "train_size": 200, "test_size": 100,
        "settings": {"epochs": 4},
    },
    "robust": {"sets": ("r52-10 symmetric",), "sizes": (150,), "seeds": (0,), "settings": {"epochs": 4}},
    "annotator": {
        "sets": ("r52-10 symmetric",), "sizes": (150,), "seeds": (0,), "settings": {"epochs": 5}, "llm": None,
        "right": (0.9,), "budgets": (20,),
    },
}  # fmt: skip


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cores": count_cores(), "threads": torch.get_num_threads(), "machine": platform.machine(),
        "python": platform.python_version(), "torch": torch.__version__,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }  # fmt: skip


def keep(folder: Path, name: str, summary: str, found: dict[str, Any]) -> None:
    """Print a summary, and write it and what it sums up, each by a temporary name and a rename."""
    print("\n" + summary, flush=True)
    for suffix, text in (("json", json.dumps(found, indent=1)), ("md", summary)):
        with atomic_write(folder / f"{name}.{suffix}") as temporary:
            temporary.write_text(text + "\n")


def _size(text: str) -> int | None:
    return None if text == "all" else int(text)


def main() -> None:
    """Parse arguments, measure, print, write."""
    parts = (*OVER_SEEDS, *AT_ONCE)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="measure only these")
    parser.add_argument("--kinds", nargs="+", choices=accuracy.KINDS, default=accuracy.KINDS)
    parser.add_argument("--sets", type=Path, help="folder of labelled Parquet files (robust, annotator)")
    parser.add_argument(
        "--names", nargs="+", default=(), help="only these sets (refining, robust, annotator)"
    )
    parser.add_argument("--sizes", nargs="+", type=_size, help="texts, or all (robust, annotator)")
    parser.add_argument("--profile", default="quick", help="of robust, annotator")
    parser.add_argument("--llm", default="smollm2", help="local model that annotator asks; '': none")
    parser.add_argument("--runs", nargs="+", choices=robust.CONFIGS, default=tuple(robust.CONFIGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--smoke", action="store_true", help="little data: does it run?")
    parser.add_argument("--fresh", action="store_true", help="ignore finished runs")
    parser.add_argument("--workers", type=int, default=count_cores(), help="processes (accuracy, refining)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    print("measured on", json.dumps(machine()))
    chosen = {
        "accuracy": {"kinds": given.kinds},
        "refining": {"sets": given.names or tuple(refining.SETS)},
        "robust": {
            "folder": given.sets, "sets": given.names, "sizes": given.sizes or (250, 1000, None),
            "profile": given.profile, "runs_of": given.runs,
        },
        "annotator": {
            "folder": given.sets, "sets": given.names, "sizes": given.sizes or (600,),
            "profile": given.profile, "llm": given.llm,
        },
    }  # fmt: skip
    for name, part in OVER_SEEDS.items():
        if name in given.only:
            settings = SMOKE[name] if given.smoke else {**chosen[name], "seeds": given.seeds}
            runs = part.measure(fresh=given.fresh, workers=given.workers, **settings)
            found = {"machine": {**machine(), "workers": given.workers}, "runs": runs.to_dict("records")}
            keep(given.out, name, part.summarise(runs), found)
    for name, part in AT_ONCE.items():
        if name in given.only:
            found = part.measure(smoke=given.smoke)
            keep(given.out, name, part.summarise(found), {"machine": machine(), **found})


if __name__ == "__main__":
    main()

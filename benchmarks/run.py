"""``make bench``: measure all parts below, print them, and write them to benchmarks/results.

python benchmarks/run.py                     everything (hours on two cores)
python benchmarks/run.py --only speed        the ratios of speed alone
python benchmarks/run.py --only refining     SiDyP, its rivals and ablations
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

from benchmarks import accuracy, cost, refining, speed, widgets
from nlkit._util import atomic_write, count_cores

SMOKE: dict[str, Any] = {
    "kinds": ("symmetric",), "seeds": (0,), "profile": "quick", "train_size": 200, "test_size": 100,
    "query_budget": 4,
}  # fmt: skip


SMOKE_REFINING: dict[str, Any] = {
    "sets": ("r8 symmetric",), "seeds": (0,), "train_size": 200, "test_size": 100,
    "settings": {"epochs": 4, "diffusion_epochs": 4},
}  # fmt: skip
PARTS = ("accuracy", "refining", "speed", "cost", "widgets")


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cores": count_cores(), "threads": torch.get_num_threads(), "machine": platform.machine(),
        "python": platform.python_version(), "torch": torch.__version__,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }  # fmt: skip


def write(path: Path, text: str) -> None:
    """Write a file by a temporary name and a rename."""
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n")


def keep(folder: Path, name: str, summary: str, found: dict[str, Any]) -> None:
    """Print a summary, and write it and what it sums up."""
    print("\n" + summary, flush=True)
    write(folder / f"{name}.json", json.dumps(found, indent=1))
    write(folder / f"{name}.md", summary)


def main() -> None:
    """Parse arguments, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure only these")
    parser.add_argument("--kinds", nargs="+", choices=accuracy.KINDS, default=accuracy.KINDS)
    parser.add_argument("--sets", nargs="+", choices=tuple(refining.SETS), default=tuple(refining.SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--smoke", action="store_true", help="little data: does it run?")
    parser.add_argument("--fresh", action="store_true", help="ignore finished runs")
    parser.add_argument("--workers", type=int, default=count_cores(), help="processes (accuracy, refining)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    print("measured on", json.dumps(machine()))
    pool = {"fresh": given.fresh, "workers": given.workers}
    on = {**machine(), "workers": given.workers}
    if "accuracy" in given.only:
        settings = SMOKE if given.smoke else {"kinds": given.kinds, "seeds": given.seeds}
        runs = accuracy.measure(**pool, **settings)
        keep(
            given.out, "accuracy", accuracy.summarise(runs), {"machine": on, "runs": runs.to_dict("records")}
        )
    if "refining" in given.only:
        settings = SMOKE_REFINING if given.smoke else {"sets": given.sets, "seeds": given.seeds}
        runs = refining.measure(**pool, **settings)
        keep(
            given.out, "refining", refining.summarise(runs), {"machine": on, "runs": runs.to_dict("records")}
        )
    if "speed" in given.only:
        ratios = speed.measure(smoke=given.smoke)
        keep(given.out, "speed", speed.summarise(ratios), {"machine": machine(), **ratios})
    if "cost" in given.only:
        costs = cost.measure(smoke=given.smoke)
        keep(given.out, "cost", cost.summarise(costs), {"machine": machine(), **costs})
    if "widgets" in given.only:
        redraws = widgets.measure(smoke=given.smoke)
        keep(given.out, "widgets", widgets.summarise(redraws), {"machine": machine(), **redraws})


if __name__ == "__main__":
    main()

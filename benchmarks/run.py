"""``make bench``: measure accuracy and speed, print both, and write them to benchmarks/results.

python benchmarks/run.py                     everything (hours on two cores)
python benchmarks/run.py --only speed        the ratios of speed alone
python benchmarks/run.py --smoke             the same code on little data, to see that it runs

A run that was interrupted goes on where it stopped; ``--fresh`` measures everything anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import accuracy, speed
from nlkit._util import atomic_write

SMOKE: dict[str, Any] = {
    "kinds": ("symmetric",), "seeds": (0,), "profile": "quick", "train_size": 200, "test_size": 100,
    "query_budget": 4,
}  # fmt: skip


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cores": os.cpu_count(), "threads": torch.get_num_threads(), "machine": platform.machine(),
        "python": platform.python_version(), "torch": torch.__version__,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }  # fmt: skip


def write(path: Path, text: str) -> None:
    """Write a file by a temporary name and a rename."""
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n")


def main() -> None:
    """Parse arguments, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("accuracy", "speed"), help="measure only this")
    parser.add_argument("--kinds", nargs="+", choices=accuracy.KINDS, default=accuracy.KINDS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--smoke", action="store_true", help="little data: does it run?")
    parser.add_argument("--fresh", action="store_true", help="ignore finished runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (accuracy)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    print("measured on", json.dumps(machine()))
    if given.only != "speed":
        settings = SMOKE if given.smoke else {"kinds": given.kinds, "seeds": given.seeds}
        runs = accuracy.measure(fresh=given.fresh, workers=given.workers, **settings)
        summary = accuracy.summarise(runs)
        print("\n" + summary)
        write(
            given.out / "accuracy.json",
            json.dumps(
                {"machine": {**machine(), "workers": given.workers}, "runs": runs.to_dict("records")},
                indent=1,
            ),
        )
        write(given.out / "accuracy.md", summary)
    if given.only != "accuracy":
        ratios = speed.measure(smoke=given.smoke)
        summary = speed.summarise(ratios)
        print("\n" + summary)
        write(given.out / "speed.json", json.dumps({"machine": machine(), **ratios}, indent=1))
        write(given.out / "speed.md", summary)


if __name__ == "__main__":
    main()

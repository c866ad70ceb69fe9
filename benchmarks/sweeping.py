"""What a sweep takes beside its cells' own work, and what a second worker brings; all in one run.

python -m benchmarks.sweeping        some two minutes on two cores that have nothing else to do
"""

from __future__ import annotations

import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import nlkit as nk

GRID: dict[str, Any] = {
    "dataset": "r8", "size": 1000, "test_size": 1000, "noise": "symmetric", "rate": 0.4, "seed": range(4),
    "profile": "quick", "encoder": "minilm", "method": ["CE", "GCE", "ELR", "SelfMix", "CoTeaching", "JoCoR"],
}  # fmt: skip
WORK = ["seconds_data", "seconds_fit", "seconds_evaluate"]


def timed(grid: Any, workers: int) -> tuple[pd.DataFrame, list[float]]:
    """Run a grid with an empty folder; return the records in the order of their end, and when each came."""
    came, told = [time.perf_counter()], []

    def tell(record: Any) -> None:
        came.append(time.perf_counter())
        told.append(record)

    with tempfile.TemporaryDirectory() as folder:
        nk.sweep(grid, results=Path(folder), workers=workers, trackers=[tell])
    return pd.DataFrame(told), came


def main() -> None:
    """Print overhead and scaling."""
    timed({**GRID, "method": "LinearModel"}, 2)  # the frozen layers are run, and remembered for all
    one, came = timed(GRID, 1)
    two, at = timed(GRID, 2)
    assert {*one["status"], *two["status"]} == {"done"}
    fit, work = one["seconds_fit"].to_numpy(), one[WORK].sum(axis=1).to_numpy()
    beside = np.array([after - before for before, after in pairwise(came)]) - work
    first, rest = beside[0], beside[1:]
    alone, together = came[-1] - came[0], at[-1] - at[0]
    print(
        f"{len(one)} cells, a fit {fit.mean():.2f} s (mean)\n"
        f"beside data, fit and evaluation a cell takes {1000 * rest.mean():.0f} ms, "
        f"{100 * rest.sum() / fit[1:].sum():.1f} % of its fit; the worker's start {first:.1f} s, once\n"
        f"one worker {alone:.1f} s, two {together:.1f} s: {alone / together:.2f} times as fast; "
        f"a fit beside another takes {two['seconds_fit'].sum() / fit.sum():.2f} times as long"
    )


if __name__ == "__main__":
    main()

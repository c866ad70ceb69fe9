"""What `nk.clean` does to labels whose truth is known, withheld from it: right labels before and after.

The rule of `nlkit.study.suspects` was chosen on these sets: R52 and 20 Newsgroups with noise made on purpose
and as they are, and those of a folder (`benchmarks.sets.folder_sets`). About 1,000 texts each, profile quick.

python benchmarks/cleaning.py                          the packaged sets
python benchmarks/cleaning.py --sets ../data           and those of a folder
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pandas as pd
from datasets import DatasetDict

import nlkit as nk
from benchmarks.sets import folder_sets
from nlkit.noise import noise_report

MADE = [*product(("r52", "20ng"), ("symmetric", "asymmetric"), (0.4,)), ("r52", "symmetric", 0.1)]
TRUE = [("r52", "symmetric", 0.0), ("20ng", "symmetric", 0.0)]


def data(name: str, source: Any, seed: int, size: int) -> DatasetDict:
    """Return the training texts of a set, all of which are looked at."""
    if not isinstance(source, tuple):
        return DatasetDict({"train": source(seed, size)["train"]})
    dataset, kind, rate = source
    ds = nk.load_dataset(dataset, train_size=size, validation=0, seed=seed)
    return DatasetDict({"train": nk.add_noise(ds, kind=kind, rate=rate, seed=seed)["train"]})


def measure(name: str, ds: DatasetDict, seed: int) -> dict[str, Any]:
    """Clean a set; return a row of the table."""
    began = time.perf_counter()
    found = nk.clean(ds, profile="quick", seed=seed)
    gold, (low, high) = found.gold, found.findings.interval
    assert gold is not None
    n, before, after = gold["n"], gold["accuracy_before"], gold["accuracy_after"]
    return {
        "set": name, "seed": seed, "wrong": round(noise_report(ds).rate, 3),
        "estimated": f"{found.findings.noise_rate:.2f} ({low:.2f} to {high:.2f})",
        "suspect": len(found.suspects), "changed": int(found.table["changed"].sum()),
        "right before": round(before * n), "right after": round(after * n),
        "seconds": round(time.perf_counter() - began),
        "unchanged because": "; ".join(found.unchanged_because),
    }  # fmt: skip


def main() -> None:
    """Measure all sets, print each as it comes and the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=Path, help="folder of labelled Parquet files")
    parser.add_argument("--names", nargs="+", help="only these sets")
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1))
    given = parser.parse_args()
    sets: dict[str, Any] = {k: load for k, (_, load) in folder_sets(given.sets).items()} if given.sets else {}
    sets |= {f"{d} {kind} {rate}": (d, kind, rate) for d, kind, rate in MADE}
    sets |= {f"{d} as it is": (d, kind, rate) for d, kind, rate in TRUE}
    rows = []
    for name, seed in product(given.names or sets, given.seeds):
        rows.append(measure(name, data(name, sets[name], seed, given.size), seed))
        print(*rows[-1].values(), sep=" | ", flush=True)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()

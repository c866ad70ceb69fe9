"""Data of one's own: how fast a large file is read, and what several annotators' labels are worth together.

python benchmarks/owndata.py                       200,000 rows of CSV, in a process of its own
python benchmarks/owndata.py --sets ../data        and the files of a folder that have several noisy columns
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd

import nlkit as nk
from nlkit.metrics import class_shares
from nlkit.study.annotators import annotators_of

ROWS, GOLD, DRAWS = 200_000, 100, 200

CHILD = """
import resource, sys, time
from nlkit.data import load_dataset
began, used = time.perf_counter(), time.process_time()
ds = load_dataset(sys.argv[1], noisy_label="llm", label="gold", id="key")
seconds, used = time.perf_counter() - began, time.process_time() - used
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 ** 2
n = sum(map(len, ds.values()))
print(f"{n:,} rows in {seconds:.1f} s ({used:.1f} s of CPU), peak {peak:.2f} GB with all imports")
"""


def large_file(path: Path, rows: int = ROWS) -> None:
    """Write texts of some 25 words, an id, two label columns and a note."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(5000)])
    names = np.array(["Sport", "Politics", "World News", "Science", "Art", "Economy"])
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["key", "text", "llm", "gold", "note"])
        for i in range(rows):
            text = " ".join(words[rng.integers(0, len(words), rng.integers(10, 40))])
            llm, gold = names[rng.integers(0, 6, 2)]
            writer.writerow([f"k{i}", f"{text} {i}", llm, gold if i % 10 == 0 else "", f"note, {i}"])


def loading() -> None:
    """Print time and memory of a large file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.csv"
        large_file(path)
        size = path.stat().st_size / 1024**2
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True
        )
        print(f"CSV of {size:.0f} MB: {done.stdout.strip()}")


def annotators(path: Path) -> None:
    """Print agreement, consensus and class shares of a file's noisy columns; gold is read for scores only."""
    table = pd.read_parquet(path).query("split == 'train'")
    columns = [c for c in table.columns if c.startswith("noisy_")]
    if len(columns) < 2:
        return
    names = json.loads(path.with_suffix(".json").read_text())["label_names"]
    ds = nk.load_dataset(
        table[["text", "label", *columns]], noisy_label=columns, label_names=names, validation=0
    )
    part = ds["train"]
    truth = np.array(part["label"])
    found = nk.agreement(ds)
    print(f"\n{path.stem}, {len(part):,} training texts\n{found}\n{found.pairs.round(2).to_string()}")
    labels = np.stack([np.array(part[c]) for c in annotators_of(part)])
    votes = np.stack([(labels == c).sum(0) for c in range(len(names))])
    rng = np.random.default_rng(0)
    majority = (votes + rng.random(votes.shape) / 2).argmax(0)  # of equal ones any
    for name, label in (("majority", majority), ("Dawid and Skene", found.consensus)):
        print(f"{name}: {(label == truth).mean():.3f} right")
    for column, label in zip(columns, labels, strict=True):
        others = np.delete(labels, columns.index(column), 0)
        test = nk.metrics.alt_test(label, others, expert=truth)
        print(
            f"alt-test, {column} for the others, gold as expert: winning rate {test.winning_rate:.2f}, "
            f"advantage {test.advantage:.2f}"
        )
    held, width, alone = [], [], []
    for seed in range(DRAWS):
        gold = np.full(len(truth), -1)
        at = np.random.default_rng(seed).choice(len(truth), GOLD, replace=False)
        gold[at] = truth[at]
        for label, widths in ((found.consensus, width), (np.full(len(truth), -1), alone)):
            row = class_shares(label, gold, len(names)).iloc[1]
            widths.append(row["high"] - row["low"])
            if widths is width:
                held.append(row["low"] <= (truth == 1).mean() <= row["high"])
    print(
        f"share of {names[1]!r} {(truth == 1).mean():.3f}, as the consensus has it "
        f"{(found.consensus == 1).mean():.3f}; with {GOLD} gold labels, {DRAWS} draws: the 95 % interval "
        f"holds it in {np.mean(held):.1%}, width {np.mean(width):.3f} (gold alone {np.mean(alone):.3f})"
    )


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=Path, help="folder of labelled Parquet files")
    given = parser.parse_args()
    loading()
    for path in sorted(given.sets.glob("*.parquet")) if given.sets else []:
        annotators(path)


if __name__ == "__main__":
    main()

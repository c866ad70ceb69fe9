"""The published study: its records, and the page that is made from them.

nlkit sweep --grid benchmarks/study.yaml --results outputs/study    hours; goes on where it was stopped
python -m benchmarks.study outputs/study    stores what is finished in results/study.parquet, makes the page
python -m benchmarks.study                  makes results/study.md from the stored records
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from nlkit._util import atomic_write
from nlkit.course.sweep_report import summary
from nlkit.study.sweeps.grid import DATA, cells_of, key_of, read_grid
from nlkit.study.sweeps.records import read_records
from nlkit.study.sweeps.standing import SETTING

RESULTS = Path(__file__).parent / "results"
STORED = RESULTS / "study.parquet"
GRID = RESULTS.parent / "study.yaml"
OURS = ["NoiseAL", "SiDyP", "NoiseALThenSiDyP"]


def page(records: pd.DataFrame) -> str:
    """Return the page: how far the study is, what was wanted, and the report's tables."""
    done = records[records["status"] == "done"]
    there, wanted = set(done["key"]), {key_of(cell) for cell in cells_of(read_grid(GRID))}
    finished = done.groupby(list(DATA), dropna=False)["method"].transform("nunique")
    noisy = done[(done["noise"] != "clean") & (finished == done["method"].nunique())]
    mean = noisy.pivot_table(index=["dataset", "noise", "rate"], columns="method", values="accuracy")
    ours = mean[[name for name in OURS if name in mean]]
    best = (ours.max(axis=1) >= mean.max(axis=1)).sum()
    low = 100 * ours.sub(mean["CE"], axis=0).min()
    worst = ", ".join(f"{points:+.1f} ({name})" for name, points in low.items())
    lines = [
        f"A beginning: {len(there & wanted)} of the {len(wanted)} cells of the grid in study.yaml, and "
        f"{len(there - wanted)} of older settings; by {done['method'].nunique()} methods.",
        f"Of {len(mean)} noisy settings that all methods have finished, one of {', '.join(ours)} has the "
        f"highest mean in {best}. At worst they are {worst} points from CE's last epoch.",
    ]
    counted = within(done, OURS)
    if counted["settings"]:
        lines.append(
            f"Of {counted['settings']} noisy settings with several seeds one of them is best, or not clearly "
            f"worse than the best, in {counted['best or not worse']} (paired t test over seeds, 0.05)."
        )
    return summary(records).replace("\n\n", "\n\n" + "\n\n".join(lines) + "\n\n", 1)


def within(records: pd.DataFrame, methods: list[str], value: str = "accuracy") -> dict[str, Any]:
    """Return in how many noisy settings one of `methods` is best, or not significantly worse than the best.

    In each setting the seeds are paired: the best method of the setting against the best of `methods`, by a
    paired t test (a signed-rank test of five pairs can never be below 0.06).
    """
    noisy = records[(records["status"] == "done") & (records["noise"] != "clean")]
    settings, fine = 0, 0
    for _, part in noisy.groupby(list(SETTING), dropna=False, sort=False):
        wide = part.pivot_table(index="seed", columns="method", values=value).dropna()
        ours = [name for name in methods if name in wide]
        if not ours or len(wide) < 2:
            continue
        mean = wide.mean()
        best, mine = mean.idxmax(), mean[ours].idxmax()
        off = (wide[best] - wide[mine]).to_numpy()
        settings += 1
        fine += bool(best == mine or not off.any() or stats.ttest_1samp(off, 0).pvalue >= 0.05)
    return {"settings": settings, "best or not worse": fine}


def main(arguments: list[str]) -> None:
    """Store the records of a folder, if one is given, and write the page."""
    if arguments:
        records = read_records(arguments[0])
        older = ~records["key"].isin({key_of(cell) for cell in cells_of(read_grid(GRID))})
        # Of a cell that was run with older settings too, the one of the grid's.
        kept = records.assign(older=older).sort_values(["older", "key"]).drop_duplicates([*DATA, "method"])
        with atomic_write(STORED) as path:
            kept.drop(columns="older").sort_values("key").to_parquet(path, index=False)
    text = page(read_records(STORED))
    with atomic_write(RESULTS / "study.md") as path:
        path.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])

"""What README.md shows: its figure and its table of results, from stored results and one recorded run.

python benchmarks/overview.py       writes benchmarks/results/overview.png; prints its alt text and the table
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import nlkit as nk
from benchmarks import accuracy, refining
from benchmarks.tables import markdown, spread
from nlkit._util import atomic_write
from nlkit.course.plots.look import PALETTE

RESULTS = Path(__file__).parent / "results"
FIGURE = RESULTS / "overview.png"
RIVALS = {
    "ce_best": "CE, best epoch",
    "logistic regression": "logistic regression",
    "cleanlab": "cleanlab",
    "knn": "kNN",
}
"""What a user would do instead. The table has the best of them on the test split, which favours them."""


@dataclass
class Row:
    """Accuracies with one set of labels: of CE's last epoch, the best rival, ours, and CE on clean labels."""

    labels: str
    rival: str
    method: str
    scores: dict[str, pd.Series]

    @classmethod
    def of(cls, labels: str, runs: pd.DataFrame, ours: str) -> Row:
        """Return the row of one set's runs; `ours` is "noiseal" or "sidyp"."""
        by_method = {str(name): part["accuracy"] for name, part in runs.groupby("method")}
        rival = max(RIVALS.keys() & by_method.keys(), key=lambda name: by_method[name].mean())
        found = {"ce": "ce", "rival": rival, "ours": ours, "clean": "clean"}
        return cls(
            labels, RIVALS[rival], accuracy.ROWS.get(ours) or refining.ROWS[ours],
            {what: by_method[name] for what, name in found.items()},
        )  # fmt: skip


def rows() -> list[Row]:
    """Return the rows of all sets whose results are stored, NoiseAL's first."""
    found = []
    for name, column, titles, ours in (
        ("accuracy", "noise", {kind: f"R8, {kind} 0.4" for kind in accuracy.KINDS}, "noiseal"),
        ("refining", "set", refining.SETS, "sidyp"),
    ):
        runs = pd.DataFrame(json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["runs"])
        found += [
            Row.of(titles[key], runs[runs[column] == key], ours) for key in titles if key in set(runs[column])
        ]
    return found


def table() -> str:
    """Return README's table of results as Markdown; R52's sets stand on the benchmarks' page."""
    cells = (
        [
            row.labels, spread(row.scores["ce"]), f"{spread(row.scores['rival'])} ({row.rival})",
            f"{row.method} {spread(row.scores['ours'])}", spread(row.scores["clean"]),
        ]
        for row in rows()
        if not row.labels.startswith("R52")
    )  # fmt: skip
    return markdown(["labels", "CE, last epoch", "best rival", "here", "clean labels"], cells)


def draw_run(ax: Axes) -> str:
    """Draw test accuracy over the epochs of CE and NoiseAL in the recorded run; return it in words."""
    folder = nk.recorded.folder() / "noiseal"
    settings = json.loads(pq.read_schema(folder / "ce.parquet").metadata[nk.recorded.METADATA])["settings"]
    said = []
    for name, file, style, colour in (
        ("cross-entropy (CE)", "ce", "s--", PALETTE[1]),
        ("NoiseAL", "noiseal", "o-", PALETTE[0]),
    ):  # fmt: skip
        run = pd.read_parquet(folder / f"{file}.parquet")
        percent = 100 * run["accuracy_test"]
        ax.plot(run["epoch"], percent, style, color=colour, label=name)
        said.append(f"{name} reaches {percent.max():.0f} % and ends at {percent.iloc[-1]:.0f} %")
    ax.set(xlabel="epoch", ylabel="test accuracy in %")
    ax.set_title(
        f"One run: {settings['train_size']:,} texts of Reuters R8,\n"
        f"{settings['noise_rate']:.0%} of the labels wrong", fontsize=9,
    )  # fmt: skip
    ax.legend(frameon=False, loc="lower center")
    return f"in one run with {settings['noise_rate']:.0%} wrong labels, {', '.join(said)}"


MARKS: dict[str, tuple[str, str, Any]] = {
    "ce": ("CE, last epoch", "s", PALETTE[1]),
    "rival": ("best simple rival", "x", "0.35"),
    "ours": ("NoiseAL or SiDyP", "o", PALETTE[0]),
    "clean": ("CE on clean labels", "|", "black"),
}


def draw_results(ax: Axes) -> str:
    """Draw mean and standard deviation of all rows; return it in words."""
    shown = rows()
    for what, (name, mark, colour) in MARKS.items():
        mean, sd = ([100 * getattr(row.scores[what], f)() for row in shown] for f in ("mean", "std"))
        ax.errorbar(
            mean, range(len(shown)), xerr=sd, fmt=mark, color=colour, label=name, markersize=6, elinewidth=1
        )
    ax.set_yticks(range(len(shown)), [f"{row.labels}: {row.method}" for row in shown], fontsize=8)
    ax.invert_yaxis()
    ax.set(xlabel="test accuracy in %, mean ± sd over seeds")
    ax.legend(frameon=False, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.4, 1.0))
    means = [{what: scores.mean() for what, scores in row.scores.items()} for row in shown]
    above_ce, above_rival = (sum(m["ours"] > m[other] for m in means) for other in ("ce", "rival"))
    return (
        f"over seeds NoiseAL or SiDyP is above CE's last epoch on {above_ce} of {len(shown)} sets of labels, "
        f"above the best simple rival on {above_rival}"
    )


def draw() -> tuple[Figure, str]:
    """Return the figure and its alt text."""
    fig, (left, right) = nk.plots.figure(1, 2, width=9.5, height=3.7)
    words = [draw_run(left), draw_results(right)]
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return fig, f"Test accuracy: {words[0]}; {words[1]}."


def main() -> None:
    """Write the figure; print its alt text and the table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    fig, words = draw()
    picture = Image.open(io.BytesIO(nk.plots.png(fig, dpi=150))).convert("RGB")
    with atomic_write(FIGURE) as path:
        picture.quantize(64).save(path, format="png", optimize=True)  # a quarter of the size
    print(FIGURE.name, words, table(), sep="\n\n")


if __name__ == "__main__":
    main()

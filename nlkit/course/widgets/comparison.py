"""Explorer of the methods' results on several data sets and kinds of noise, from a recorded grid."""

from __future__ import annotations

from collections.abc import Collection
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Drawn, Explorer, Still, check, table
from nlkit.study.comparing import BEST, LAST

# The columns that can be shown, and what stands at the axis. Of the last one the lowest is best.
MEASURES = {
    "accuracy": "test accuracy (%)", "macro_f1": "macro F1 (%)", "ece": "expected calibration error (%)",
}  # fmt: skip


def compute_comparison(
    grid: pd.DataFrame, dataset: str, noise: str, noise_rate: float, measure: str = "accuracy",
    selected: str = LAST,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Look at one setting of a grid.

    Parameters
    ----------
    grid : DataFrame, one row a run and selection
        As from `nlkit.study.comparing.compare`, with the columns dataset, noise and noise_rate.
    measure : str
        One of `MEASURES`.
    selected : str
        `nlkit.study.comparing.LAST` or `nlkit.study.comparing.BEST`.

    Returns
    -------
    runs : DataFrame
        One row a run: method, seed and the measure; in the order of the methods' means, the best first.
    summary : DataFrame, one row a method
        method, mean and sd (over seeds; 0 with one of them), and behind: how far its mean is behind the best.
    """
    check("measure", measure, list(MEASURES))
    at = (grid["dataset"] == dataset) & (grid["noise"] == noise) & (grid["selected"] == selected)
    # Rates come back from a recording in single precision.
    rows = grid[at & np.isclose(grid["noise_rate"].astype(float), noise_rate, atol=1e-6)]
    if rows.empty:
        invalid("setting", (dataset, noise, noise_rate, selected), "one that the grid holds")
    found = rows.groupby("method", sort=False)[measure].agg(["mean", "std"]).fillna(0.0)
    found = found.sort_values("mean", ascending=measure == "ece", kind="stable")
    summary = found.reset_index().set_axis(["method", "mean", "sd"], axis=1)
    summary["behind"] = (summary["mean"] - summary["mean"].iloc[0]).abs()
    place = {name: number for number, name in enumerate(summary["method"])}
    rows = rows.sort_values("method", key=lambda names: names.map(place), kind="stable")
    return rows[["method", "seed", measure]], summary


def compare_explorer(
    grid: pd.DataFrame, *, dataset: str | None = None, noise: str | None = None,
    noise_rate: float | None = None, measure: str = "accuracy", selected: str = LAST,
    marked: Collection[str] = (),
) -> Explorer:  # fmt: skip
    """Choose data set, noise, rate, measure and selection; see every method, the best on top.

    Parameters
    ----------
    grid : DataFrame
        See `compute_comparison`; it holds every combination of its data sets, kinds of noise and rates.
    dataset, noise, noise_rate, measure, selected
        Where the controls stand first; of the first three, the grid's first by default.
    marked : collection of str
        Methods whose bars are marked.
    """
    datasets, noises = (list(dict.fromkeys(grid[name])) for name in ("dataset", "noise"))
    rates = [round(float(rate), 4) for rate in dict.fromkeys(grid["noise_rate"])]
    shown = [s for s in (LAST, BEST) if s in set(grid["selected"])]
    # Every position is looked at now, so that none can fail later.
    every = product(datasets, noises, rates, MEASURES, shown)
    views = {at: compute_comparison(grid, *at) for at in every}
    # The ends of the axes are the same in all settings, so that bars can be compared.
    lowest, highest = 10 * grid[list(MEASURES)].min() - 0.2, 10 * grid[list(MEASURES)].max()
    low, high = (np.floor(lowest) / 10).clip(lower=0.0), (np.ceil(highest) / 10).clip(upper=1.0)

    def picture(runs: pd.DataFrame, ax: Axes, title: str, measure: str) -> str:
        ends = {"low": low[measure], "high": high[measure]}
        alt = plots.draw_spread(runs, ax, value=measure, xlabel=MEASURES[measure], marked=marked, **ends)
        ax.set_title(title, fontsize=10, loc="left")
        return f"{title}. {alt}"

    def draw(**at: Any) -> Drawn:
        runs, summary = views[tuple(at.values())]
        fig, ax = plots.figure(width=9.0, height=4.2, margins=(0.18, 0.98, 0.13, 0.92))
        alt = picture(runs, ax, _title(**at), at["measure"])
        rows = [(name, *(f"{100 * v:.1f}" for v in values)) for name, *values in summary.to_numpy()]
        seeds, best = runs["seed"].nunique(), summary["method"].iloc[0]
        caption = f"{MEASURES[at['measure']]} over {seeds} seeds; best mean: {best}"
        head = ("method", "mean", "standard deviation", "points behind the best")
        return fig, alt, table(rows, head, caption)

    def static(**at: Any) -> Still:
        """Draw the first position, and below it every setting, its methods in the first one's order."""
        fig, ((top,), strip) = plots.panels((1, len(datasets)), (1, 1), 10, 8)
        (runs, order), measure = views[tuple(at.values())], at["measure"]
        alt, words, methods = picture(runs, top, _title(**at), measure), [], list(order["method"])
        for number, (name, ax) in enumerate(zip(datasets, strip, strict=True)):
            columns = {
                f"{noise} {rate:g}": views[name, noise, rate, measure, at["selected"]][1]
                for noise, rate in product(noises, rates)
            }
            means = pd.DataFrame(
                {k: v.set_index("method")["mean"].reindex(methods) for k, v in columns.items()}
            )
            ends = (100 * low[measure], 100 * high[measure])
            last = number + 1 == len(datasets)
            words.append(
                plots.draw_settings(means, ax, title=name, legend=last, xlabel=MEASURES[measure], xlim=ends)
            )
            if number:
                ax.set_yticklabels([])
        return fig, f"{alt} Below it the means in all settings. {' '.join(words)}"

    controls = {
        "dataset": ("data set", dataset, datasets),
        "noise": ("kind of noise", noise, noises),
        "noise_rate": ("noise rate", noise_rate, rates),
        "measure": ("measure", measure, [(name.partition(" (")[0], m) for m, name in MEASURES.items()]),
        "selected": ("epoch", selected, shown),
    }
    return Explorer(controls, draw, static, lines=13)


def _title(dataset: str, noise: str, noise_rate: float, measure: str, selected: str) -> str:
    return f"{dataset}, {noise} noise {noise_rate:g}, {selected}"

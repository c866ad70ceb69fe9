"""Explorer of the methods' results on several data sets and kinds of noise, from a recorded grid."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer, choice, table
from nlkit.study.comparing import BEST, LAST

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MEASURES", "ComparisonView", "compare_explorer", "compute_comparison"]

MEASURES = {
    "accuracy": "test accuracy (%)", "macro_f1": "macro F1 (%)", "ece": "expected calibration error (%)",
}  # fmt: skip
"""The columns that can be shown, and what stands at the axis. Of the last one the lowest is best."""

WHERE = ("dataset", "noise", "noise_rate")


@dataclass(frozen=True)
class ComparisonView:
    """The methods in one setting, the best first.

    Attributes
    ----------
    runs : DataFrame
        One row a run: method, seed and the measure; in the order of the methods' means.
    summary : DataFrame, one row a method
        method, mean and sd (over seeds; 0 with one of them), and behind: how far its mean is behind the best.
    """

    measure: str
    runs: pd.DataFrame
    summary: pd.DataFrame


def compute_comparison(
    grid: pd.DataFrame, dataset: str, noise: str, noise_rate: float, measure: str = "accuracy",
    selected: str = LAST,
) -> ComparisonView:  # fmt: skip
    """Look at one setting of a grid.

    Parameters
    ----------
    grid : DataFrame, one row a run and selection
        As from `nlkit.study.comparing.compare`, with the columns dataset, noise and noise_rate.
    measure : str
        One of `MEASURES`.
    selected : str
        `nlkit.study.comparing.LAST` or `nlkit.study.comparing.BEST`.
    """
    if measure not in MEASURES:
        invalid("measure", measure, f"one of {', '.join(MEASURES)}")
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
    runs = rows.sort_values("method", key=lambda names: names.map(place), kind="stable")
    return ComparisonView(measure, runs[["method", "seed", measure]].reset_index(drop=True), summary)


def compare_explorer(
    grid: pd.DataFrame,
    *,
    dataset: str | None = None,
    noise: str | None = None,
    noise_rate: float | None = None,
    measure: str = "accuracy",
    selected: str = LAST,
    marked: Collection[str] = (),
) -> Explorer:
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
    options: dict[str, list[Any]] = {name: list(dict.fromkeys(grid[name])) for name in WHERE}
    options["noise_rate"] = [round(float(rate), 4) for rate in options["noise_rate"]]
    shown = [s for s in (LAST, BEST) if s in set(grid["selected"])]
    first = {
        name: options[name][0] if value is None else value
        for name, value in zip(WHERE, (dataset, noise, noise_rate), strict=True)
    }
    # Every position is looked at now, so that none can fail later.
    views = {
        (where, m, s): compute_comparison(grid, where[0], where[1], where[2], m, s)
        for where in product(*options.values())
        for m in MEASURES
        for s in shown
    }
    start = (tuple(first.values()), measure, selected)
    if start not in views:
        invalid("setting", (*start[0], measure, selected), "one that the grid holds")
    ends = {m: _ends(grid[m]) for m in MEASURES}
    controls = {
        "dataset": choice("data set", first["dataset"], options["dataset"]),
        "noise": choice("kind of noise", first["noise"], options["noise"]),
        "noise_rate": choice("noise rate", first["noise_rate"], options["noise_rate"]),
        "measure": choice("measure", measure, [(name.partition(" (")[0], m) for m, name in MEASURES.items()]),
        "selected": choice("epoch", selected, shown),
    }

    def redraw() -> tuple[Figure, str, str]:
        at = {name: control.value for name, control in controls.items()}
        where = tuple(at[name] for name in WHERE)
        view = views[where, at["measure"], at["selected"]]
        fig, ax = plots.figure(width=7.2, height=4.4, margins=(0.23, 0.98, 0.13, 0.92))
        alt = _draw(view, ax, _title(where, at["selected"]), ends, marked)
        return fig, alt, _summary_table(view)

    return Explorer(controls, redraw, _static(views, start, options, ends, marked))


def _title(where: tuple[Any, ...], selected: str) -> str:
    dataset, noise, rate = where
    return f"{dataset}, {noise} noise {rate:g}, {selected}"


def _ends(values: pd.Series[Any]) -> tuple[float, float]:
    """Return the ends of the axis: the same in all settings, so that bars can be compared."""
    return max(0.0, np.floor(10 * values.min() - 0.2) / 10), min(1.0, np.ceil(10 * values.max()) / 10)


def _draw(
    view: ComparisonView, ax: Any, title: str, ends: dict[str, tuple[float, float]], marked: Collection[str],
    size: float = 9.0,
) -> str:  # fmt: skip
    low, high = ends[view.measure]
    xlabel = MEASURES[view.measure] if size >= 7 else ""
    alt = plots.draw_spread(
        view.runs, ax, value=view.measure, xlabel=xlabel, marked=marked, low=low, high=high, size=size
    )
    ax.set_title(title, fontsize=size + 1)
    return f"{title}. {alt}"


def _summary_table(view: ComparisonView) -> str:
    """Return mean, spread and distance to the best as an HTML table, escaped."""
    rows = [
        (str(method), f"{100 * mean:.1f}", f"{100 * sd:.1f}", f"{100 * behind:.1f}")
        for method, mean, sd, behind in view.summary.itertuples(index=False)
    ]
    best = view.summary["method"].iloc[0]
    caption = f"{MEASURES[view.measure]} over {view.runs['seed'].nunique()} seeds; best mean: {best}"
    return table(rows, ("method", "mean", "standard deviation", "points behind the best"), caption)


def _static(
    views: dict[Any, ComparisonView], start: Any, options: dict[str, list[Any]],
    ends: dict[str, tuple[float, float]], marked: Collection[str],
) -> tuple[Figure, str]:  # fmt: skip
    """Draw the default position, and below it every setting, its methods in the default's order."""
    where, measure, selected = start
    columns = len(options["noise"]) * len(options["noise_rate"])
    fig, _ = plots.figure(width=10, height=4.2 + 2.1 * len(options["dataset"]))
    fig.clear()
    grid = fig.add_gridspec(2, 1, height_ratios=[1.9, len(options["dataset"])])
    alt = _draw(views[start], fig.add_subplot(grid[0]), _title(where, selected), ends, marked)
    order = list(views[start].summary["method"])
    lower = grid[1].subgridspec(len(options["dataset"]), columns)
    words = []
    for number, place in enumerate(product(*options.values())):
        view, ax = views[place, measure, selected], fig.add_subplot(lower[divmod(number, columns)])
        runs = view.runs.sort_values("method", key=lambda names: names.map(order.index), kind="stable")
        title = f"{place[0]}, {place[1]} {place[2]:g}"
        _draw(ComparisonView(measure, runs, view.summary), ax, title, ends, marked, size=6.5)
        if number % columns:
            ax.set_yticklabels([])
        best = view.summary.iloc[0]
        words.append(f"{title}: {best['method']} {100 * best['mean']:.1f}")
    return fig, f"{alt} Below it all settings in small; the best of each: {'; '.join(words)}."

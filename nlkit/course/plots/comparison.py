"""Methods side by side."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import seaborn as sns

from nlkit.course.plots.figures import HATCHES, PALETTE, legend_beside, line_style, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_differences", "draw_methods", "draw_spread", "draw_sweep"]


def draw_methods(table: pd.DataFrame, ax: Axes, *, bound: str | None = None, low: float | None = None) -> str:
    """Draw one bar a method.

    Parameters
    ----------
    table : DataFrame
        Columns method and accuracy (a share); the order is kept, the first on top.
    bound : str, optional
        The row that is an upper bound and no method: drawn pale, with a dotted line through all.
    low : float, optional
        Where the axis begins, a share; said in the axis label when it is not 0.
    """
    names, values = list(table["method"]), 100 * table["accuracy"].to_numpy(np.float64)
    start = 0.0 if low is None else 100 * low
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        ax.barh(
            number, value - start, left=start, color="0.85" if name == bound else PALETTE[number],
            hatch=HATCHES[number % len(HATCHES)], edgecolor="black", linewidth=0.7,
        )  # fmt: skip
        ax.text(value, number, f" {value:.1f} %", va="center", fontweight="bold")
        if name == bound:
            ax.axvline(value, color="0.3", linestyle=":", linewidth=1)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    span = 100 - start
    ax.set_xlim(start, 100 + 0.12 * span)
    ax.set_xlabel("test accuracy (%)" + (f"; the axis begins at {start:.0f}" if start else ""))
    sns.despine(ax=ax)
    listed = ", ".join(
        f"{name}{' (upper bound)' if name == bound else ''} {value:.1f}"
        for name, value in zip(names, values, strict=True)
    )
    return f"Test accuracy in percent: {listed}."


def draw_spread(
    runs: pd.DataFrame, ax: Axes, *, value: str = "accuracy", xlabel: str = "test accuracy (%)",
    marked: Collection[str] = (), low: float = 0.0, high: float = 1.0, size: float = 9.0,
) -> str:  # fmt: skip
    """Draw a bar a method, the mean over its runs, and a dot a run.

    Parameters
    ----------
    runs : DataFrame, one row a run
        Columns method and `value` (a share). Methods are drawn in the order in which they first occur, the
        first on top.
    marked : collection of str
        Methods whose bars are hatched and of another colour: those that the figure is about.
    low, high : float
        Ends of the axis, shares; a low end that is not 0 is said in the axis label.
    size : float
        Of the letters; below 7 there are no numbers at the bars.
    """
    words = []
    for number, (name, rows) in enumerate(runs.groupby("method", sort=False)):
        values = 100 * rows[value].to_numpy(np.float64)
        special = name in marked
        ax.barh(
            number, values.mean() - 100 * low, left=100 * low, height=0.75, edgecolor="black", linewidth=0.6,
            color=PALETTE[1] if special else "0.8", hatch=HATCHES[1] if special else "",
        )  # fmt: skip
        ax.plot(values, np.full(len(values), number), "D", color="black", markersize=0.45 * size, alpha=0.7)
        if size >= 7:
            ax.text(
                max(values.max(), 100 * low), number, f"  {values.mean():.1f}", va="center", fontsize=size
            )
        ends = f" ({values.min():.1f} to {values.max():.1f})" if len(values) > 1 else ""
        words.append(f"{name} {values.mean():.1f}{ends}")
    names = list(dict.fromkeys(runs["method"]))
    ax.set_yticks(range(len(names)), names, fontsize=size)
    ax.tick_params(axis="x", labelsize=size)
    ax.invert_yaxis()
    ax.set_xlim(100 * low, 100 * (high + 0.08 * (high - low)))
    ax.set_xlabel(xlabel + (f"; the axis begins at {100 * low:.0f}" if low and xlabel else ""))
    sns.despine(ax=ax)
    return f"Means over runs and their range, {xlabel or value}: {'; '.join(words)}."


def draw_differences(table: pd.DataFrame, ax: Axes, *, against: str) -> str:
    """Draw paired differences of accuracy with their intervals, and a line at no difference.

    Parameters
    ----------
    table : DataFrame, one row a method
        Columns method, difference, difference_low and difference_high (shares), as from
        `nlkit.study.comparing.intervals`.
    against : str
        What the methods are compared with.
    """
    words = []
    ax.axvline(0, color="0.3", linestyle=":", linewidth=1)
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    for number, row in enumerate(rows):
        d, low, high = (100 * row[f"difference{end}"] for end in ("", "_low", "_high"))
        sure = low > 0 or high < 0
        ax.errorbar(
            d, number, xerr=[[d - low], [high - d]], fmt="o", capsize=4, markersize=7, linewidth=1.5,
            color=PALETTE[(3 if d < 0 else 2) if sure else 7], markerfacecolor=None if sure else "white",
        )  # fmt: skip
        words.append(
            f"{row['method']} {d:+.1f} ({low:+.1f} to {high:+.1f}{'' if sure else ', zero is within'})"
        )
    ax.set_yticks(range(len(table)), list(table["method"]))
    ax.invert_yaxis()
    ax.set_xlabel(f"difference of test accuracy to {against} (points)")
    spread(ax)
    told = "; ".join(words)
    return f"Differences of test accuracy to {against}, in points, with 95 percent intervals: {told}."


def draw_sweep(table: pd.DataFrame, ax: Axes, *, x: str, y: str = "test accuracy", by: str = "method") -> str:
    """Draw a result over a parameter, a line a method; repeated runs give the mean and its range.

    Parameters
    ----------
    table : DataFrame
        Columns `x` (numbers or names), `y` (shares) and `by`, as from `notebooks.build.sweep`.
    """
    numeric = pd.api.types.is_numeric_dtype(table[x]) and not pd.api.types.is_bool_dtype(table[x])
    places = sorted(table[x].unique()) if numeric else list(dict.fromkeys(table[x].astype(str)))
    words = []
    for number, (name, rows) in enumerate(table.groupby(by, sort=False)):
        at = rows[x] if numeric else rows[x].astype(str).map(places.index)
        found = 100 * rows[y].groupby(at).agg(["mean", "min", "max"])
        off = np.stack([found["mean"] - found["min"], found["max"] - found["mean"]])
        ax.errorbar(
            found.index.to_numpy(np.float64), found["mean"], yerr=off, **line_style(number),
            markersize=7, capsize=3, label=str(name),
        )  # fmt: skip
        listed = ", ".join(
            f"{place if numeric else places[int(place)]}: {mean:.1f}"
            for place, mean in zip(found.index, found["mean"], strict=True)
        )
        words.append(f"{name} {listed}")
    if numeric:
        ax.set_xticks(places)
    else:
        ax.set_xticks(range(len(places)), places)
    ax.set(xlabel=x.replace("_", " "), ylabel=f"{y} (%)")
    legend_beside(ax)
    spread(ax)
    return f"{y[0].upper()}{y[1:]} in percent by {x.replace('_', ' ')}: {'; '.join(words)}."

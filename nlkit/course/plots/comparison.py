"""Methods side by side: accuracies, their spread, paired differences, sweeps, and recalls class by class."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from nlkit.course.plots import look


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
    start, words = 100 * (low or 0.0), []
    for number, (name, share) in enumerate(zip(table["method"], table["accuracy"], strict=True)):
        value, style, kind = 100 * share, look.bars(number), ""
        if name == bound:
            style, kind = style | {"color": "0.85"}, " (upper bound)"
            ax.axvline(value, color="0.3", linestyle=":", linewidth=1)
        ax.barh(number, value - start, left=start, **style, **look.EDGE)
        beside: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # the bound's line ends at a number
        ax.annotate(f"{value:.1f} %", (value, number), **beside, bbox=ground, fontweight="bold")
        words.append(f"{name}{kind} {value:.1f}")
    look.name_rows(ax, list(table["method"]))
    look.finish(ax, grid=False, xlim=(start, 112 - 0.12 * start), xlabel=_from("test accuracy (%)", start))
    return f"Test accuracy in percent: {', '.join(words)}."


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
        Of the letters.
    """
    names, words, low, high = [], [], 100 * low, 100 * high
    dot: dict[str, Any] = {"color": "black", "marker": "D", "markersize": 0.45 * size, "linestyle": ""}
    for number, (name, rows) in enumerate(runs.groupby("method", sort=False)):
        values = 100 * rows[value].to_numpy(np.float64)
        mean = values.mean()
        style = look.bars(1) if name in marked else {"color": "0.8"}
        ax.barh(number, mean - low, left=low, height=0.75, **style, **look.EDGE)
        ax.plot(values, np.full(len(values), number), **dot)
        ax.text(max(values.max(), low), number, f"  {mean:.1f}", va="center", fontsize=size)
        ends = f" ({values.min():.1f} to {values.max():.1f})" if len(values) > 1 else ""
        names.append(str(name))
        words.append(f"{name} {mean:.1f}{ends}")
    look.name_rows(ax, names, fontsize=size)
    ax.tick_params(axis="x", labelsize=size)
    look.finish(ax, grid=False, xlim=(low, high + 0.08 * (high - low)), xlabel=_from(xlabel, low))
    keys = [Patch(facecolor="0.8", **look.EDGE, label="mean"), Line2D([], [], **dot, label="one run")]
    ax.legend(handles=keys, **look.ABOVE, fontsize=size)
    return f"Means over runs and their range, {xlabel or value}: {'; '.join(words)}."


def draw_settings(
    means: pd.DataFrame, ax: Axes, *, title: str = "", legend: bool = True, **settings: Any
) -> str:
    """Draw a row a method, with a mark for each setting.

    Parameters
    ----------
    means : DataFrame, one row a method and one column a setting
        Shares; the first method on top.
    **settings
        Of the axes, such as its ends.
    """
    look.side_by_side(ax, {str(name): 100 * column for name, column in means.items()}, list(means.index), 6)
    for number in range(1, len(means), 2):
        ax.axhspan(number - 0.5, number + 0.5, color="0.95", zorder=0)
    look.finish(ax, title=title, legend=legend and look.BESIDE, **settings)
    ends = (
        f"{name} from {v.idxmin()} {100 * v.min():.1f} to {v.idxmax()} {100 * v.max():.1f}"
        for name, v in means.items()
    )
    return f"{f'{title}. ' if title else ''}Lowest and highest method by setting: {'; '.join(ends)}."


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
    points = 100 * table[["difference", "difference_low", "difference_high"]].to_numpy(np.float64)
    for number, (name, (d, low, high)) in enumerate(zip(table["method"], points, strict=True)):
        sure = low > 0 or high < 0
        style = {"color": look.PALETTE[3 if d < 0 else 2], "fmt": "o", "capsize": 4, "markersize": 7}
        style |= {} if sure else {"color": look.PALETTE[7], "markerfacecolor": "white"}
        ax.errorbar(d, number, xerr=[[d - low], [high - d]], **style)
        words.append(f"{name} {d:+.1f} ({low:+.1f} to {high:+.1f}{'' if sure else ', zero is within'})")
    look.name_rows(ax, list(table["method"]))
    look.finish(ax, xlabel=f"difference of test accuracy to {against} (points)")
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
    names, words = list(dict.fromkeys(table[x].astype(str))), []
    for number, (name, rows) in enumerate(table.groupby(by, sort=False)):
        at = rows[x] if numeric else rows[x].astype(str).map(names.index)
        mean, off = look.mean_and_range(100 * rows[y], at)
        style = look.line(number, markersize=7)
        ax.errorbar(mean.index.to_numpy(np.float64), mean, yerr=off, **style, capsize=3, label=str(name))
        listed = (f"{place if numeric else names[place]}: {value:.1f}" for place, value in mean.items())
        words.append(f"{name} {', '.join(listed)}")
    if numeric:
        ax.set_xticks(sorted(table[x].unique()))
    else:
        ax.set_xticks(range(len(names)), names)
    look.finish(ax, xlabel=x.replace("_", " "), ylabel=f"{y} (%)", legend=look.BESIDE)
    return f"{y[0].upper()}{y[1:]} in percent by {x.replace('_', ' ')}: {'; '.join(words)}."


def draw_recalls(recall: Mapping[str, ArrayLike], class_names: Sequence[str], ax: Axes) -> str:
    """Draw a row a class with a mark for each method.

    Parameters
    ----------
    recall : mapping of str to array, shape (C,)
        Method to recalls (`nlkit.metrics.recall_by_class`); NaN is not drawn.
    class_names : sequence of str, C of them
        From top to bottom.

    Returns
    -------
    str
        The figure in words.
    """
    shares, words = {}, []
    for name, values in recall.items():
        shares[name] = 100 * look.array(f"recall of {name!r}", values, len(class_names))
        known = [f"{c} {v:.0f}" for c, v in zip(class_names, shares[name], strict=True) if not np.isnan(v)]
        words.append(f"{name}: {', '.join(known)}")
    for c in range(len(class_names)):
        ax.axhline(c, color="0.9", linewidth=1, zorder=0)
    look.side_by_side(ax, shares, class_names, 7)
    look.finish(ax, xlim=(-3, 103), xlabel="recall on the test texts (%)", legend=look.BESIDE)
    return f"Recall of each class in percent. {'; '.join(words)}."


def _from(label: str, low: float) -> str:
    """Return an axis label that says where the axis begins."""
    return f"{label}; the axis begins at {low:.0f}" if low and label else label

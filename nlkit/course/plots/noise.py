"""Label noise: transition matrices, what a label says, how far a rate is off, and what noise costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from nlkit.course.plots import look

# Classes up to which a matrix has room for numbers.
MOST_NUMBERS = 12


def name_size(n_classes: int) -> float:
    """Return the font size, in points, of the class names beside a matrix."""
    return 10.0 if n_classes <= MOST_NUMBERS else max(4.0, 130 / n_classes)


def draw_transition_matrix(
    matrix: ArrayLike, label_names: Sequence[str], ax: Axes, *, title: str = "", numbers: bool = True,
    mark: tuple[int, int] | None = None, **image: Any,
) -> str:  # fmt: skip
    """Draw T, shape (C, C): T[i, j] = P(noisy label = j | true label = i), rows sum to 1 (or are NaN).

    Parameters
    ----------
    matrix : array, shape (C, C)
    label_names : sequence of C strings
    title : str
        Above it.
    numbers : bool
        Names at the axes, percents in the cells where there is room for them, and what the colours mean.
        False: a small picture.
    mark : tuple of two ints, optional
        Row and column of a cell that is framed.
    **image
        Settings of ``imshow``, such as the aspect of the cells.

    Returns
    -------
    str
        The figure in words.
    """
    C = len(label_names)
    T = look.array("matrix", matrix, C, C)
    shown = ax.imshow(100 * np.nan_to_num(T), cmap="cividis", vmin=0, vmax=100, **image)
    ax.set(xticks=[], yticks=[], title=title)
    if numbers:
        for i, j in np.argwhere(T >= 0.005) if C <= MOST_NUMBERS else ():
            colour = "black" if T[i, j] > 0.55 else "white"
            ax.text(j, i, f"{100 * T[i, j]:.0f}", ha="center", va="center", fontsize=8, color=colour)
        turned = {"rotation": 45, "ha": "right"} if C <= MOST_NUMBERS else {"rotation": 90}
        names = list(map(look.short, label_names))
        ax.set_xticks(range(C), names, fontsize=name_size(C), **turned, **look.plain())
        ax.set_yticks(range(C), names, fontsize=name_size(C), **look.plain())
        ax.set(xlabel="noisy label", ylabel="true label")
        figure: Any = ax.figure
        figure.colorbar(shown, ax=ax, label="percent of the row", fraction=0.046, pad=0.02)
    marked = ""
    if mark is not None:
        i, j = mark
        frame = Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=look.PALETTE[3], linewidth=3)
        ax.add_patch(frame)
        marked = f" Framed: {label_names[i]} labelled {label_names[j]}, {100 * T[i, j]:.0f} percent."
    off = np.nan_to_num(np.where(np.eye(C), -1.0, T), nan=-1.0)
    i, j = divmod(int(off.argmax()), C)
    kept = 100 * np.diag(T)
    return (
        f"Transition matrix{f' ({title})' if title else ''} of {C} classes. Rows are true labels, columns "
        f"noisy labels. Between {np.nanmin(kept):.0f} and {np.nanmax(kept):.0f} percent of a class keep "
        f"their label; the most frequent mistake is {label_names[i]} labelled {label_names[j]}, "
        f"{100 * max(off[i, j], 0):.0f} percent of its row.{marked}"
    )


def draw_label_truth(table: pd.DataFrame, ax: Axes) -> str:
    """Draw, class by class, how many of the texts that carry a label are of that class.

    Parameters
    ----------
    table : DataFrame, one row a class
        Columns class_name; labelled, how many texts carry the label; right, the share of them whose true
        class it is (NaN where there are none); expected, that share by Bayes' rule.
    """
    place, name = np.arange(len(table)), table["class_name"]
    right, expected = table["right"], table["expected"]
    bars: dict[str, Any] = {"label": "of the labels here", "hatch": "//", **look.RIGHT, **look.EDGE}
    ax.barh(place, 100 * right.fillna(0.0), **bars)
    marks: dict[str, Any] = {"label": "expected by Bayes' rule", "color": look.PALETTE[3], "markersize": 6}
    ax.plot(100 * expected, place, "D", **marks)
    look.name_rows(ax, [f"{look.short(c)} ({n})" for c, n in zip(name, table["labelled"], strict=True)])
    ax.set(xlabel="labels that are right (%)", ylabel="noisy label (texts that carry it)")
    look.finish(ax, xlim=(0, 100), legend=look.BESIDE)
    said = zip(name, map(look.percent, right), map(look.percent, expected), strict=True)
    listed = ", ".join(f"{c} {share} (expected {other})" for c, share, other in said)
    return f"Share of right labels among the texts that carry a label: {listed}."


def draw_rate_spread(table: pd.DataFrame, ax: Axes) -> str:
    """Draw the spread of achieved noise rates over the sample size.

    Parameters
    ----------
    table : DataFrame
        From `nlkit.noise.rate_spread`.
    """
    n, wanted, low, high = table["n"], *(100 * table[c] for c in ("wanted", "low", "high"))
    two = 200 * table["expected_sd"]
    band: dict[str, Any] = {"color": look.PALETTE[0], "alpha": 0.2, "label": "two standard deviations"}
    ax.fill_between(n, wanted - two, wanted + two, **band)
    ax.plot(n, wanted, "--", color="0.3", label="wanted")
    off = np.stack([wanted - low, high - wanted]).clip(0)
    style: dict[str, Any] = {"color": look.PALETTE[0], "capsize": 4, "label": "achieved in 95 of 100 draws"}
    ax.errorbar(n, wanted, yerr=off, fmt="o", **style)
    ax.set_xscale("log")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(n, [f"{value:,}" for value in n])
    ax.set(xlabel="labels (logarithmic scale)", ylabel="share of wrong labels (%)")
    look.finish(ax, legend=look.BESIDE)
    rows = zip(n, low, high, strict=True)
    listed = "; ".join(f"of {k} labels {a:.1f} to {b:.1f} percent" for k, a, b in rows)
    at = wanted.iloc[-1]
    return f"Achieved noise rates, 95 of 100 draws, for a wanted one of {at:.0f} percent: {listed}."


def draw_noise_cost(costs: pd.DataFrame, ax: Axes) -> str:
    """Draw test accuracy over the noise rate, a line a kind of noise with the range over its draws.

    Parameters
    ----------
    costs : DataFrame, one row a run
        Columns kind, rate, accuracy (shares).
    """
    words = []
    for number, (kind, rows) in enumerate(costs.groupby("kind", sort=False)):
        mean, off = look.mean_and_range(100 * rows["accuracy"], 100 * rows["rate"])
        beside = mean.index + 0.6 * (number - 1)  # not on top of each other
        ax.errorbar(beside, mean, yerr=off, capsize=3, **look.line(number, markersize=6), label=kind)
        words.append(f"{kind} noise: " + ", ".join(f"{at:.0f} percent: {y:.0f}" for at, y in mean.items()))
    look.finish(ax, xlabel="wrong labels (%)", ylabel="test accuracy (%)", legend={"title": "noise"})
    said = "Test accuracy in percent by the rate of wrong labels, means over draws with their range."
    return f"{said} {'; '.join(words)}."

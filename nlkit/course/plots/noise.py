"""Label noise, drawn: transition matrices, what a label says, how far a rate is off, and what noise costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from nlkit.course.plots.figures import HATCHES, PALETTE, legend_beside, line_style, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_label_truth", "draw_noise_cost", "draw_rate_spread", "draw_transition_matrix"]

MOST_NUMBERS = 12
"""Classes up to which a matrix has room for numbers."""


def name_size(n_classes: int) -> float:
    """Return the font size, in points, of the class names beside a matrix."""
    return 10.0 if n_classes <= MOST_NUMBERS else max(4.0, 130 / n_classes)


def draw_transition_matrix(
    matrix: ArrayLike, label_names: Sequence[str], ax: Axes, *, title: str = "", numbers: bool = True,
    mark: tuple[int, int] | None = None,
) -> str:  # fmt: skip
    """Draw T, shape (C, C): T[i, j] = P(noisy label = j | true label = i), rows sum to 1 (or are NaN).

    Parameters
    ----------
    matrix : array, shape (C, C)
    label_names : sequence of C strings
    title : str
        Above it.
    numbers : bool
        Names at the axes, and percents in the cells where there is room for them. False: a small picture.
    mark : tuple of two ints, optional
        Row and column of a cell that is framed.

    Returns
    -------
    str
        The figure in words.
    """
    T = np.asarray(matrix, np.float64)
    if T.shape != (len(label_names), len(label_names)):
        raise ValueError(f"matrix has shape {T.shape}; with {len(label_names)} names it must be square")
    C = len(T)
    ax.imshow(np.nan_to_num(T), cmap="cividis", vmin=0, vmax=1)
    if numbers:
        for i, j in np.ndindex(C, C):
            if T[i, j] >= 0.005 and C <= MOST_NUMBERS:
                ax.text(
                    j, i, f"{100 * T[i, j]:.0f}", ha="center", va="center", fontsize=8,
                    color="black" if T[i, j] > 0.55 else "white",
                )  # fmt: skip
        small = name_size(C)
        turned = {"rotation": 45, "ha": "right"} if C <= MOST_NUMBERS else {"rotation": 90}
        ax.set_xticks(range(C), label_names, fontsize=small, **turned)
        ax.set_yticks(range(C), label_names, fontsize=small)
        ax.set_xlabel("noisy label (percent of each row)")
        ax.set_ylabel("true label")
    else:
        ax.set_xticks([])
        ax.set_yticks([])
    ax.set_title(title)
    marked = ""
    if mark is not None:
        row, column = mark
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=PALETTE[3], linewidth=3)
        ax.add_patch(frame)
        marked = (
            f" Framed: {label_names[row]} labelled {label_names[column]}, {100 * T[row, column]:.0f} percent."
        )
    off = T.copy()
    np.fill_diagonal(off, -1.0)
    off = np.nan_to_num(off, nan=-1.0)
    i, j = divmod(int(off.argmax()), C)
    kept = np.diag(T)[~np.isnan(np.diag(T))]
    return (
        f"Transition matrix{f' ({title})' if title else ''} of {C} classes. Rows are true labels, columns "
        f"noisy labels. Between {100 * kept.min():.0f} and {100 * kept.max():.0f} percent of a class keep "
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
    place = np.arange(len(table))
    right, expected = 100 * table["right"].fillna(0.0), 100 * table["expected"]
    ax.barh(
        place, right, color=PALETTE[0], hatch=HATCHES[1], edgecolor="black", linewidth=0.6,
        label="of the labels here",
    )  # fmt: skip
    ax.plot(expected, place, "D", color=PALETTE[3], markersize=6, label="expected by Bayes' rule")
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    ax.set_yticks(place, [f"{row['class_name']} ({row['labelled']})" for row in rows], parse_math=False)
    ax.invert_yaxis()
    ax.set(xlim=(0, 100), xlabel="labels that are right (%)", ylabel="noisy label (texts that carry it)")
    legend_beside(ax)
    spread(ax)
    listed = ", ".join(
        f"{row['class_name']} {_percent(row['right'])} (expected {_percent(row['expected'])})" for row in rows
    )
    return f"Share of right labels among the texts that carry a label: {listed}."


def draw_rate_spread(table: pd.DataFrame, ax: Axes) -> str:
    """Draw the spread of achieved noise rates over the sample size.

    Parameters
    ----------
    table : DataFrame
        From `nlkit.noise.rate_spread`.
    """
    n, wanted = table["n"], 100 * table["wanted"]
    two = 200 * table["expected_sd"]
    ax.fill_between(
        n, wanted - two, wanted + two, color=PALETTE[0], alpha=0.2, label="two standard deviations"
    )
    ax.plot(n, wanted, "--", color="0.3", label="wanted")
    off = np.stack([wanted - 100 * table["low"], 100 * table["high"] - wanted])
    ax.errorbar(
        n, wanted, yerr=np.maximum(off, 0.0), fmt="o", color=PALETTE[0], capsize=4,
        label="achieved in 95 of 100 draws",
    )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(n, [f"{value:,}" for value in n])
    ax.set(xlabel="labels (logarithmic scale)", ylabel="share of wrong labels (%)")
    legend_beside(ax)
    spread(ax)
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    listed = "; ".join(
        f"of {r['n']} labels {100 * r['low']:.1f} to {100 * r['high']:.1f} percent" for r in rows
    )
    return (
        f"Achieved noise rates, 95 of 100 draws, for a wanted one of {wanted.iloc[-1]:.0f} percent: {listed}."
    )


def draw_noise_cost(costs: pd.DataFrame, ax: Axes) -> str:
    """Draw test accuracy over the noise rate, a line a kind of noise with the range over its draws.

    Parameters
    ----------
    costs : DataFrame, one row a run
        Columns kind, rate, accuracy (shares).
    """
    words = []
    for number, (kind, rows) in enumerate(costs.groupby("kind", sort=False)):
        by_rate = 100 * rows.groupby("rate")["accuracy"].agg(["mean", "min", "max"])
        x = 100 * by_rate.index.to_numpy() + 0.6 * (number - 1)  # beside each other, not on top
        off = np.stack([by_rate["mean"] - by_rate["min"], by_rate["max"] - by_rate["mean"]])
        ax.errorbar(
            x, by_rate["mean"], yerr=off, capsize=3, **line_style(number), markersize=6, label=str(kind),
        )  # fmt: skip
        listed = ", ".join(
            f"{at:.0f} percent: {mean:.0f}"
            for at, mean in zip(100 * by_rate.index.to_numpy(), by_rate["mean"], strict=True)
        )
        words.append(f"{kind} noise: {listed}")
    ax.set(xlabel="wrong labels (%)", ylabel="test accuracy (%)")
    ax.legend(frameon=False, title="noise")
    spread(ax)
    return (
        "Test accuracy in percent by the rate of wrong labels, means over draws with their range. "
        f"{'; '.join(words)}."
    )


def _percent(share: float) -> str:
    return "unknown" if np.isnan(share) else f"{100 * share:.0f} percent"

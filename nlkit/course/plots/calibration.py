"""Reliability diagrams: whether a model is right as often as it is sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nlkit.course.plots.figures import HATCHES, LINE_MARKERS, PALETTE, STYLES, legend_beside, spread
from nlkit.metrics import calibration_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_confidences", "draw_reliability"]


def draw_reliability(tables: Mapping[str, pd.DataFrame], ax: Axes, *, legend: bool = True) -> str:
    """Draw accuracy over confidence, one line a name, with the diagonal of perfect calibration.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Each from `nlkit.metrics.reliability`, for example of "before" and "after". A mark's area grows with
        the samples of its bin.
    legend : bool
        Whether axes and lines are labelled.

    Returns
    -------
    str
        The figure in words, with the expected calibration errors.
    """
    ax.plot([0, 100], [0, 100], color="0.4", linewidth=1, linestyle=(0, (1, 2)), label="perfectly calibrated")
    words = []
    for number, (name, table) in enumerate(tables.items()):
        filled = table[table["n"] > 0]
        n = filled["n"] / filled["n"].sum()
        error = 100 * calibration_error(table)
        colour, marker = PALETTE[number % len(PALETTE)], LINE_MARKERS[number % len(LINE_MARKERS)]
        x, y = 100 * filled["confidence"], 100 * filled["accuracy"]
        ax.plot(
            x, y, STYLES[number % len(STYLES)], color=colour, marker=marker, markersize=4,
            label=f"{name}: ECE {error:.1f} %",
        )  # fmt: skip
        ax.scatter(x, y, s=20 + 600 * n, marker=marker, color=colour, alpha=0.45, linewidths=0)
        confidence, accuracy = (n * x).sum(), (n * y).sum()
        kind = "too sure" if confidence > accuracy else "not sure enough"
        words.append(
            f"{name}: expected calibration error {error:.1f} percent; on average "
            f"{confidence:.0f} percent sure and {accuracy:.0f} percent right"
            + (f", so {kind}" if abs(confidence - accuracy) >= 1 else "")
        )
    ax.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal")
    if legend:
        ax.set(xlabel="confidence: probability of the top class (%)", ylabel="accuracy (%)")
        legend_beside(ax)
    spread(ax)
    return "Reliability diagram, accuracy over confidence. " + "; ".join(words) + "."


def draw_confidences(tables: Mapping[str, pd.DataFrame], ax: Axes) -> str:
    """Draw what share of the predictions falls into each bin of confidence, one outline a name.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Each from `nlkit.metrics.reliability`.

    Returns
    -------
    str
        The figure in words.
    """
    words = []
    for number, (name, table) in enumerate(tables.items()):
        edges = 100 * np.append(table["low"], table["high"].iloc[-1])
        share = 100 * table["n"].to_numpy(np.float64) / table["n"].sum()
        ax.stairs(
            share, edges, fill=True, facecolor=(*PALETTE[number % len(PALETTE)], 0.3),
            hatch=HATCHES[number % len(HATCHES)], edgecolor=PALETTE[number % len(PALETTE)], linewidth=1.4,
            linestyle=STYLES[number % len(STYLES)], label=name,
        )  # fmt: skip
        most = int(share.argmax())
        words.append(
            f"{name} most, {share[most]:.0f} percent, from {edges[most]:.0f} to {edges[most + 1]:.0f}"
        )
    ax.set(xlim=(-3, 103), xlabel="confidence (%)", ylabel="predictions (%)")
    spread(ax)
    return f"Shares of the predictions by confidence in percent: {'; '.join(words)}."

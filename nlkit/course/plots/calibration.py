"""Reliability diagrams: whether a model is right as often as it is confident."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from nlkit.course.plots import look
from nlkit.metrics import calibration_error


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
    ax.plot([0, 100], [0, 100], **look.DIAGONAL, label="perfectly calibrated")
    words = []
    for number, (name, table) in enumerate(tables.items()):
        n, x, y = table.loc[table["n"] > 0, ["n", "confidence", "accuracy"]].to_numpy(np.float64).T
        n, x, y = n / n.sum(), 100 * x, 100 * y
        error, style = 100 * calibration_error(table), look.line(number, markersize=4)
        ax.plot(x, y, **style, label=f"{name}: ECE {error:.1f} %")
        mark = {key: style[key] for key in ("marker", "color")}
        ax.scatter(x, y, s=20 + 600 * n, alpha=0.45, linewidths=0, **mark)
        sure, right = n @ x, n @ y
        kind = "too sure" if sure > right else "not sure enough"
        words.append(
            f"{name}: expected calibration error {error:.1f} percent; on average {sure:.0f} percent sure and "
            f"{right:.0f} percent right{f', so {kind}' if abs(sure - right) >= 1 else ''}"
        )
    if legend:
        ax.set(xlabel="confidence: probability of the top class (%)", ylabel="accuracy (%)")
    look.finish(ax, xlim=(-3, 103), ylim=(-3, 103), aspect="equal", legend=legend and look.BESIDE)
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
        style = look.outline(**look.bars(number), linestyle=look.line(number)["linestyle"])
        ax.stairs(share, edges, fill=True, label=name, **style)
        top = int(share.argmax())
        words.append(f"{name} most, {share[top]:.0f} percent, from {edges[top]:.0f} to {edges[top + 1]:.0f}")
    look.finish(ax, xlim=(-3, 103), xlabel="confidence (%)", ylabel="predictions (%)")
    return f"Shares of the predictions by confidence in percent: {'; '.join(words)}."

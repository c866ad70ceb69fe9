"""Methods side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import seaborn as sns

from nlkit.plots.figures import HATCHES, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_methods"]


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

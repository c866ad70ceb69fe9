"""How fast wrong labels of different origin are learnt, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nlkit.course.plots.figures import line_style, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_fitted_pace"]


def draw_fitted_pace(curves: pd.DataFrame, ax: Axes) -> str:
    """Draw the wrong labels that are fitted over the right ones that are, a mark an epoch, a line a noise.

    Parameters
    ----------
    curves : DataFrame
        noise, epoch, and from `nlkit.course.plots.fitted_shares` clean and mislabelled: shares of the right
        and of the wrong labels that the model predicts. On the diagonal wrong labels are learnt as fast as
        right ones.

    Returns
    -------
    str
        The figure in words.
    """
    ax.plot(
        [0, 100], [0, 100], color="0.4", linewidth=1, linestyle=(0, (1, 2)), label="as fast as right ones"
    )
    words = []
    for number, name in enumerate(dict.fromkeys(curves["noise"])):
        own = curves[curves["noise"] == name].sort_values("epoch")
        right, wrong = 100 * own["clean"].to_numpy(), 100 * own["mislabelled"].to_numpy()
        ax.plot(right, wrong, **line_style(number), label=name, markersize=5)
        middle = len(own) // 2
        words.append(
            f"{name}: after half of the epochs {wrong[middle]:.0f} percent of the wrong and "
            f"{right[middle]:.0f} of the right labels, at the end {wrong[-1]:.0f} and {right[-1]:.0f}"
        )
    ax.set(xlim=(0, 103), ylim=(-3, 103), xlabel="right labels fitted (%)", ylabel="wrong labels fitted (%)")
    ax.legend(frameon=False, loc="upper left")
    spread(ax)
    return "Wrong labels fitted over right labels fitted, epoch by epoch. " + "; ".join(words) + "."

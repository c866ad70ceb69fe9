"""Who gains: the recall of each class, method beside method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from nlkit.course.plots.figures import LINE_MARKERS, PALETTE, legend_beside, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_recalls"]


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
    C, words = len(class_names), []
    for c in range(C):
        ax.axhline(c, color="0.9", linewidth=1, zorder=0)
    for number, (name, values) in enumerate(recall.items()):
        share = 100 * np.asarray(values, np.float64)
        if share.shape != (C,):
            raise ValueError(
                f"recall of {name!r} has shape {share.shape}; with {C} classes it must be ({C},)"
            )
        # A little apart, so that methods that agree can all be seen.
        y = np.arange(C) + 0.5 * ((number + 0.5) / len(recall) - 0.5)
        ax.plot(
            share, y, LINE_MARKERS[number % len(LINE_MARKERS)], color=PALETTE[number % len(PALETTE)],
            markersize=7, label=name,
        )  # fmt: skip
        told = ", ".join(
            f"{one} {value:.0f}" for one, value in zip(class_names, share, strict=True) if not np.isnan(value)
        )
        words.append(f"{name}: {told}")
    ax.set(xlim=(-3, 103), ylim=(C - 0.5, -0.5), xlabel="recall on the test texts (%)")
    ax.set_yticks(range(C), class_names)
    for tick in ax.get_yticklabels():
        tick.set_parse_math(False)
    legend_beside(ax)
    spread(ax)
    return f"Recall of each class in percent. {'; '.join(words)}."

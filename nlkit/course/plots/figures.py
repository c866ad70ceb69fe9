"""What all figures share: colours with a second mark, a white ground, and a PNG with words."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "HATCHES",
    "LINE_MARKERS",
    "PALETTE",
    "STYLES",
    "figure",
    "legend_beside",
    "line_style",
    "png",
    "show",
    "spread",
]

PALETTE: list[Any] = list(sns.color_palette("colorblind"))
"""Ten colours that most readers can tell apart."""

STYLES = ("-", "--", ":", "-.")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
LINE_MARKERS = ("o", "s", "^", "D", "v", "P")


def figure(
    rows: int = 1,
    columns: int = 1,
    width: float = 7.0,
    height: float = 4.0,
    margins: tuple[float, float, float, float] | None = None,
) -> tuple[Figure, Any]:
    """Return a figure with a white ground and its axes (an array if there are several), outside pyplot.

    Nothing has to be closed afterwards, and no notebook shows it by itself: see `show`. Margins (left, right,
    bottom, top, as in ``subplots_adjust``) are found by a layout engine unless given; given is twice as fast.
    """
    fig = Figure(figsize=(width, height), facecolor="white", layout=None if margins else "constrained")
    if margins:
        fig.subplots_adjust(*(margins[i] for i in (0, 2, 1, 3)))
    FigureCanvasAgg(fig)
    axes = fig.subplots(rows, columns)
    for ax in np.atleast_1d(axes).ravel():
        ax.set_facecolor("white")
    return fig, axes


def png(fig: Figure, dpi: int = 100) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    # No software version inside: the same figure gives the same bytes.
    fig.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def show(fig: Figure, alt: str, dpi: int = 100) -> None:
    """Display a figure as a PNG that keeps its description wherever the notebook goes.

    Parameters
    ----------
    fig : Figure
        From `figure`.
    alt : str
        What the figure says, in words. It is the picture's alternative text (nbconvert's classic template
        reads it from the output's metadata) and stands below it, folded, for viewers that drop that metadata,
        JupyterLab among them.

    Raises
    ------
    ValueError
        If the description is empty.
    """
    import IPython.display

    shown: Any = IPython.display
    words = " ".join(alt.split())
    if not words:
        raise ValueError("alt='' is not allowed: say in words what the figure shows")
    shown.display(shown.Image(data=png(fig, dpi), format="png", alt=words))
    shown.display(
        shown.HTML(f"<details><summary>This figure in words</summary><p>{escape(words)}</p></details>")
    )


def line_style(number: int) -> dict[str, Any]:
    """Return what sets line `number` apart, from 0: colour, line style and marker, each by itself."""
    return {
        "linestyle": STYLES[number % len(STYLES)],
        "color": PALETTE[number % len(PALETTE)],
        "marker": LINE_MARKERS[number % len(LINE_MARKERS)],
    }


def legend_beside(ax: Axes, **settings: Any) -> None:
    """Write the legend to the right of an axis, where it covers nothing."""
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), **settings)


def spread(ax: Axes) -> None:
    """Give an axis a pale grid and no box."""
    ax.grid(alpha=0.3)
    sns.despine(ax=ax)

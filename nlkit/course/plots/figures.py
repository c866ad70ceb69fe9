"""Figures and panels with a white ground, outside pyplot, and their display as a PNG with words."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# JupyterLab drops a picture's alternative text: where a notebook was run, the words after it give it back.
NAME_PICTURE = """
(words => {
const picture = words?.closest('.jp-OutputArea-child')?.previousElementSibling?.querySelector('img');
if (picture) picture.alt = words.querySelector('p').textContent;
})(document.currentScript?.parentElement)
"""


def figure(
    rows: int = 1, columns: int = 1, width: float = 7.0, height: float = 4.0,
    margins: tuple[float, float, float, float] | None = None, **spaces: float,
) -> tuple[Figure, Any]:  # fmt: skip
    """Return a figure with a white ground and its axes (an array if there are several), outside pyplot.

    Nothing has to be closed afterwards, and no notebook shows it by itself: see `show`. Margins (left, right,
    bottom, top, as in ``subplots_adjust``) are found by a layout engine unless given; given is twice as fast.
    With them `spaces` may be given as well: wspace, hspace.
    """
    fig = _blank(width, height, None if margins else "constrained")
    if margins:
        fig.subplots_adjust(*(margins[i] for i in (0, 2, 1, 3)), **spaces)
    return fig, fig.subplots(rows, columns, subplot_kw={"facecolor": "white"})


def panels(
    columns: Sequence[int], heights: Sequence[float], width: float, height: float
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with rows of axes: how many in each row, and the ratio of the rows' heights."""
    fig = _blank(width, height, "constrained")
    grid = fig.add_gridspec(len(columns), 1, height_ratios=heights)
    return fig, [
        list(grid[i].subgridspec(1, n).subplots(squeeze=False, subplot_kw={"facecolor": "white"})[0])
        for i, n in enumerate(columns)
    ]


def _blank(width: float, height: float, layout: Any) -> Figure:
    fig = Figure(figsize=(width, height), facecolor="white", layout=layout)
    FigureCanvasAgg(fig)
    return fig


def png(fig: Figure, dpi: int = 100) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    # No software version inside: the same figure gives the same bytes.
    fig.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def svg(fig: Figure) -> str:
    """Return the figure as SVG: sharp at any size, letters as outlines, and sooner there than a large PNG."""
    buffer, before = io.StringIO(), matplotlib.rcParams["svg.hashsalt"]
    try:
        # No time inside and the same names of parts: the same figure gives the same text. Without rc_context,
        # which copies all settings and takes milliseconds.
        matplotlib.rcParams["svg.hashsalt"] = "nlkit"
        fig.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    finally:
        matplotlib.rcParams["svg.hashsalt"] = before
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
    told = f"<details><summary>This figure in words</summary><p>{escape(words)}</p></details>"
    shown.display(shown.HTML(f"{told}<script>{NAME_PICTURE}</script>"))

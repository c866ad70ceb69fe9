"""The reverse chain: how a label comes out of noise, on a triangle or as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nlkit._util import reject
from nlkit.plots.figures import HATCHES, LINE_MARKERS, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_chain_bars", "draw_ternary_chain", "ternary"]

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
"""Where the three classes are sure: bottom left, bottom right, top."""


def ternary(p: ArrayLike) -> NDArray[np.float64]:
    """Place probabilities of three classes in a triangle of side 1.

    Parameters
    ----------
    p : array, shape (…, 3)
        Rows sum to 1.

    Returns
    -------
    ndarray, shape (…, 2)
        A sure prediction is at a corner (bottom left, bottom right, top), a uniform one in the middle.
    """
    q = _probabilities("p", p)
    if q.shape[-1] != 3:
        reject("p", f"array of shape {q.shape}", "shape (…, 3): a triangle has three classes")
    result: NDArray[np.float64] = q @ CORNERS
    return result


def draw_ternary_chain(chain: ArrayLike, label_names: Sequence[str], ax: Axes) -> str:
    """Draw the reverse chains of n texts on the triangle of three classes.

    A hollow dot is the start, small dots are the steps, and the mark at the end has the colour and the shape
    of the class that has most there.

    Parameters
    ----------
    chain : array, shape (S, n, 3)
        Class probabilities at the start and after each step; rows sum to 1.
    label_names : sequence of str
        The three classes: bottom left, bottom right, top.

    Returns
    -------
    str
        The figure in words.
    """
    p = np.asarray(chain, np.float64)
    if p.ndim != 3 or 0 in p.shape or p.shape[2] != 3 or len(label_names) != 3:
        reject("chain", f"array of shape {p.shape}", f"shape (S, n, 3) with {len(label_names)} names for 3")
    xy = ternary(p)
    ax.plot(*CORNERS[[0, 1, 2, 0]].T, color="0.3", linewidth=1)
    for c in range(3):  # where a class takes the lead: from the middle to the middle of each side
        ax.plot(*np.stack([CORNERS.mean(0), CORNERS[[c, c - 1]].mean(0)]).T, ":", color="0.6", linewidth=1)
    place = (("right", "top"), ("left", "top"), ("center", "bottom"))
    for (x, y), name, (across, up) in zip(CORNERS, label_names, place, strict=True):
        ax.text(x, y + (0.03 if y else -0.03), name, ha=across, va=up, fontweight="bold", parse_math=False)
    end = p[-1].argmax(-1)
    for i in range(p.shape[1]):
        colour, marker = PALETTE[end[i]], LINE_MARKERS[end[i]]
        ax.plot(*xy[:, i].T, "-", color=colour, linewidth=1, alpha=0.6, marker=".", markersize=4)
        ax.plot(*xy[:1, i].T, "o", color=colour, markerfacecolor="white", markersize=5)
        ax.plot(*xy[-1:, i].T, marker, color=colour, markeredgecolor="black", markersize=8, zorder=3)
    handles = [Line2D([], [], color="0.3", marker="o", markerfacecolor="white", linestyle="", label="start")]
    counts = np.bincount(end, minlength=3)
    for c in range(3):
        handles.append(Line2D(
            [], [], color=PALETTE[c], marker=LINE_MARKERS[c], markeredgecolor="black", markersize=8,
            linestyle="", label=f"ends at {label_names[c]}: {counts[c]}",
        ))  # fmt: skip
    # Room inside the axes, because no layout engine finds a legend beside axes that are off.
    ax.legend(handles=handles, frameon=False, loc="upper right")
    ax.set(xlim=(-0.15, 1.85), ylim=(-0.12, 0.98), aspect="equal")
    ax.axis("off")
    sure = 100 * p.max(-1).mean(1)
    turned = int((p.argmax(-1) != end).any(0).sum())
    ends = ", ".join(f"{k} at {name}" for k, name in zip(counts, label_names, strict=True))
    return (
        f"Reverse chains of {p.shape[1]} texts over {len(p) - 1} steps on the triangle of "
        f"{', '.join(label_names)}. They end with {ends}. The largest probability is {sure[0]:.0f} percent "
        f"on average at the start and {sure[-1]:.0f} at the end; {turned} of the texts had another likeliest "
        "class on the way."
    )


def draw_chain_bars(chain: ArrayLike, label_names: Sequence[str], ax: Axes, *, top: int = 5) -> str:
    """Draw one text's class probabilities as a stacked bar for the start and for each step.

    Parameters
    ----------
    chain : array, shape (S, C)
        Rows sum to 1.
    label_names : sequence of str, C of them
    top : int
        The classes with a name of their own, at most 6: those that have most over all steps. The rest are
        summed up as "others".

    Returns
    -------
    str
        The figure in words.
    """
    p = _probabilities("chain", chain)
    if p.ndim != 2 or p.shape[1] != len(label_names):
        reject("chain", f"array of shape {p.shape}", f"shape (S, {len(label_names)})")
    if not 1 <= top < len(HATCHES):
        reject("top", top, f"1 to {len(HATCHES) - 1}: more hatches cannot be told apart")
    S, C = p.shape
    named = np.argsort(-p.sum(0), kind="stable")[: top if top < C - 1 else min(C, len(HATCHES))]
    bottom = np.zeros(S)
    for number, c in enumerate(named):
        ax.bar(
            range(S), 100 * p[:, c], bottom=bottom, color=PALETTE[number], hatch=HATCHES[number],
            edgecolor="black", linewidth=0.6, width=0.85, label=label_names[c],
        )  # fmt: skip
        bottom += 100 * p[:, c]
    if len(named) < C:
        ax.bar(
            range(S), 100 - bottom, bottom=bottom, color="0.9", edgecolor="black", linewidth=0.6, width=0.85,
            label=f"others ({C - len(named)})",
        )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.xaxis.set_major_formatter(lambda x, _: "start" if x == 0 else f"{x:.0f}")
    ax.set(xlabel="reverse step", ylabel="probability (%)", ylim=(0, 100), xlim=(-0.6, S - 0.4))
    # From top to bottom as the bars are stacked.
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), reverse=True)
    ax.spines[["top", "right"]].set_visible(False)
    first, last = int(p[0].argmax()), int(p[-1].argmax())
    lead = p.argmax(1)
    settled = int(np.flatnonzero(lead != last).max(initial=-1)) + 1
    since = "from the start on" if settled == 0 else f"from step {settled} on"
    return (
        f"Class probabilities of one text over {S - 1} reverse steps, as stacked bars. The start gives most "
        f"to {label_names[first]}, {100 * p[0, first]:.0f} percent; the end gives most to "
        f"{label_names[last]}, {100 * p[-1, last]:.0f} percent, which leads {since}."
    )


def _probabilities(name: str, p: ArrayLike) -> NDArray[np.float64]:
    q = np.asarray(p, np.float64)
    if q.ndim == 0 or q.size == 0:
        reject(name, f"array of shape {q.shape}", "probabilities, not empty")
    if (q < 0).any() or not np.allclose(q.sum(-1), 1, atol=1e-3):
        worst = float(q.sum(-1).ravel()[np.abs(q.sum(-1) - 1).argmax()])
        reject(name, f"rows down to {q.min():.3g}, one sums to {worst:.3g}", "probabilities that sum to 1")
    return q

"""Simplex diffusion: how a label drowns in noise, and how the reverse chain gets one out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.course.plots.figures import HATCHES, LINE_MARKERS, PALETTE, legend_beside, line_style, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "draw_answers",
    "draw_branches",
    "draw_chain_bars",
    "draw_noised",
    "draw_schedule",
    "draw_ternary_chain",
    "ternary",
]

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
        invalid("p", f"array of shape {q.shape}", "shape (…, 3): a triangle has three classes")
    result: NDArray[np.float64] = q @ CORNERS
    return result


def _triangle(label_names: Sequence[str], ax: Axes) -> None:
    """Draw the triangle with its corners' names, and dotted where a class takes the lead."""
    ax.plot(*CORNERS[[0, 1, 2, 0]].T, color="0.3", linewidth=1)
    for c in range(3):  # from the middle to the middle of each side
        ax.plot(*np.stack([CORNERS.mean(0), CORNERS[[c, c - 1]].mean(0)]).T, ":", color="0.6", linewidth=1)
    for (x, y), name in zip(CORNERS, label_names, strict=True):
        up, at = ("bottom", y + 0.03) if y else ("top", y - 0.05)
        ax.text(x, at, name, ha="center", va=up, fontweight="bold", parse_math=False)


def draw_noised(
    points: ArrayLike, label: int, label_names: Sequence[str], ax: Axes, *, numbers: bool = True,
    size: float = 14.0,
) -> str:  # fmt: skip
    """Draw n noised copies of one label on the triangle; colour and mark are those of the class that leads.

    Parameters
    ----------
    points : array, shape (n, 3)
        Their softmax; rows sum to 1.
    label : int
        The class that was noised, 0 to 2.
    label_names : sequence of str
        The three classes: bottom left, bottom right, top.
    numbers : bool
        Whether the share of copies that each class leads stands beside its name.
    size : float
        Of a mark.

    Returns
    -------
    str
        The figure in words.
    """
    p = _probabilities("points", points)
    xy, lead = ternary(p), p.argmax(-1)
    if not 0 <= label < 3:
        invalid("label", label, "0, 1 or 2: a corner of the triangle")
    share = 100 * np.bincount(lead, minlength=3) / len(lead)
    names = [f"{name}\n{s:.0f} %" if numbers else name for name, s in zip(label_names, share, strict=True)]
    _triangle(names, ax)
    for c in range(3):
        x, y = xy[lead == c].T
        ax.scatter(x, y, s=size, color=PALETTE[c], marker=LINE_MARKERS[c], alpha=0.5, linewidths=0)
    ax.plot(*CORNERS[label], LINE_MARKERS[label], color="black", fillstyle="none", markersize=13)
    ax.set(xlim=(-0.2, 1.2), ylim=(-0.25, 1.12), aspect="equal")
    ax.axis("off")
    told = ", ".join(f"{name} {s:.0f}" for name, s in zip(label_names, share, strict=True))
    return (
        f"{len(p)} noised copies of the label {label_names[label]} on the triangle of "
        f"{', '.join(label_names)}. The leading class, in percent of the copies: {told}. The largest "
        f"probability is {100 * p.max(-1).mean():.0f} percent on average."
    )


def draw_schedule(
    level: ArrayLike, kept: Mapping[str, ArrayLike], ax: Axes, *, mark: int | None = None
) -> str:
    """Draw what is left of a label and how much noise there is, at each time t.

    Parameters
    ----------
    level : array, shape (T + 1,)
        ᾱ_0 … ᾱ_T, from 1 down.
    kept : mapping of str to array, shape (T + 1,)
        Shares of labels that are still the largest entry, by a name for the line.
    mark : int, optional
        The t that gets a vertical line.

    Returns
    -------
    str
        The figure in words.
    """
    a = np.asarray(level, np.float64)
    t = np.arange(len(a))
    lines = {"√ᾱ: label": np.sqrt(a), "√(1 − ᾱ): noise": np.sqrt(1 - a)}
    lines |= {name: np.asarray(share, np.float64) for name, share in kept.items()}
    for number, (name, y) in enumerate(lines.items()):
        ax.plot(t, y, **line_style(number), markevery=max(1, len(t) // 6), markersize=4, label=name)
    if mark is not None:
        ax.axvline(mark, color="0.2", linewidth=1)
    ax.set(xlabel="t", xlim=(0, len(a) - 1), ylim=(-0.03, 1.03))
    legend_beside(ax)
    spread(ax)
    equal = int(np.abs(a - 0.5).argmin())
    words = f"The schedule over {len(a) - 1} steps: label and noise are equally strong at t = {equal}."
    if mark is not None:
        told = "; ".join(f"{name} {y[mark]:.2f}" for name, y in lines.items())
        words += f" At t = {mark}: {told}."
    return words


def draw_answers(table: pd.DataFrame, ax: Axes) -> str:
    """Draw how often a denoiser's answer is right, and how often it is the label that it was shown.

    Parameters
    ----------
    table : DataFrame
        Columns t, shown (a name for the label that was noised), right and as shown (shares of the answers).

    Returns
    -------
    str
        The figure in words.
    """
    words = []
    for number, (shown, rows) in enumerate(table.groupby("shown", sort=False)):
        for column, style, fill in (("right", "-", "full"), ("as shown", "--", "none")):
            if column == "as shown" and (rows["right"] == rows[column]).all():
                continue  # the right label was shown: one line says both
            y = 100 * rows[column].to_numpy(np.float64)
            ax.plot(
                rows["t"], y, style, color=PALETTE[number], marker=LINE_MARKERS[number], fillstyle=fill,
                label=f"shown {shown}: answer {column}",
            )  # fmt: skip
            words.append(f"shown {shown}, {column} {y[0]:.0f} percent at first and {y[-1]:.0f} at last")
    ax.set(xlabel="t: noise on the label that is shown", ylabel="answers (%)", ylim=(-3, 103))
    legend_beside(ax)
    spread(ax)
    return f"Answers of the denoiser over the time t, as more and more noise is added: {'; '.join(words)}."


def draw_branches(
    state: ArrayLike, label_names: Sequence[str], ax: Axes, *, title: str = "", names: bool = True
) -> str:
    """Draw where the chains of all branches are at one step: a row a class, a mark a branch.

    Parameters
    ----------
    state : array, shape (M, C)
        Rows sum to 1.
    label_names : sequence of str, C of them
    names : bool
        Whether the classes' names and a legend are written.

    Returns
    -------
    str
        The figure in words.
    """
    p = _probabilities("state", state)
    if p.ndim != 2 or p.shape[1] != len(label_names):
        invalid("state", f"array of shape {p.shape}", f"shape (M, {len(label_names)})")
    M, C = p.shape
    for m in range(M):
        # A little apart, so that branches that agree can all be seen.
        y = np.arange(C) + 0.5 * ((m + 0.5) / M - 0.5)
        ax.plot(
            100 * p[m], y, LINE_MARKERS[m % len(LINE_MARKERS)], color=PALETTE[m % len(PALETTE)],
            markersize=5, label=f"branch {m + 1}",
        )  # fmt: skip
    ax.set(xlim=(-4, 104), ylim=(C - 0.5, -0.5), title=title)
    ax.set_yticks(range(C), label_names if names else [""] * C)
    for tick in ax.get_yticklabels():
        tick.set_parse_math(False)
    if names:
        ax.set_xlabel("probability (%)")
        legend_beside(ax)
    else:
        ax.set_xticks([0, 100])
    spread(ax)
    lead = "; ".join(
        f"branch {m + 1} at {label_names[c]}, {100 * p[m, c]:.0f} percent" for m, c in enumerate(p.argmax(1))
    )
    return f"Where the chains are{f' {title}' if title else ''}: {lead}."


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
        invalid("chain", f"array of shape {p.shape}", f"shape (S, n, 3) with {len(label_names)} names for 3")
    xy = ternary(p)
    _triangle(label_names, ax)
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
    ax.set(xlim=(-0.2, 1.85), ylim=(-0.15, 0.98), aspect="equal")
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


def draw_chain_bars(
    chain: ArrayLike, label_names: Sequence[str], ax: Axes, *, top: int = 5, mark: int | None = None
) -> str:
    """Draw one text's class probabilities as a stacked bar for the start and for each step.

    Parameters
    ----------
    chain : array, shape (S, C)
        Rows sum to 1.
    label_names : sequence of str, C of them
    top : int
        The classes with a name of their own, at most 6: those that have most over all steps. The rest are
        summed up as "others".
    mark : int, optional
        The step, from 0, that gets a frame.

    Returns
    -------
    str
        The figure in words.
    """
    p = _probabilities("chain", chain)
    if p.ndim != 2 or p.shape[1] != len(label_names):
        invalid("chain", f"array of shape {p.shape}", f"shape (S, {len(label_names)})")
    if not 1 <= top < len(HATCHES):
        invalid("top", top, f"1 to {len(HATCHES) - 1}: more hatches cannot be told apart")
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
    if mark is not None:
        ax.bar([mark], [100], color="none", edgecolor="black", linewidth=2.5, width=1.0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.xaxis.set_major_formatter(lambda x, _: "start" if x == 0 else f"{x:.0f}")
    ax.set(xlabel="reverse step", ylabel="probability (%)", ylim=(0, 100), xlim=(-0.6, S - 0.4))
    # From top to bottom as the bars are stacked.
    legend_beside(ax, reverse=True)
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
        invalid(name, f"array of shape {q.shape}", "probabilities, not empty")
    if (q < 0).any() or not np.allclose(q.sum(-1), 1, atol=1e-3):
        worst = float(q.sum(-1).ravel()[np.abs(q.sum(-1) - 1).argmax()])
        invalid(name, f"rows down to {q.min():.3g}, one sums to {worst:.3g}", "probabilities that sum to 1")
    return q

"""The neighbours' prior: its three cases, and one text's candidates with the neighbours that voted."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit._util import invalid
from nlkit.course.plots.figures import HATCHES, PALETTE, spread
from nlkit.methods.sidyp.prior import CASES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_candidates", "draw_cases"]

LINE = 0.55
"""Height of a neighbour's line, where a bar has 1."""


def draw_candidates(
    weight: ArrayLike, neighbours: pd.DataFrame, label_names: Sequence[str], ax: Axes, *, width: int = 70,
    shown: int = 3,
) -> str:  # fmt: skip
    """Draw a bar for each candidate of a text, and below it the neighbours that voted for it.

    A class that neighbours voted for and that is no candidate is shown with an empty bar.

    Parameters
    ----------
    weight : array, shape (C,)
        The prior of one text (a row of ``Prior.weight``).
    neighbours : DataFrame, one row a neighbour, nearest first
        Columns text, label (class number) and distance.
    label_names : sequence of str, C of them
    width : int
        Characters a neighbour's text is cut to.
    shown : int
        Neighbours written out for each class, the nearest; the rest are counted.

    Returns
    -------
    str
        The figure in words.
    """
    w = np.asarray(weight, np.float64)
    if w.shape != (len(label_names),):
        invalid("weight", f"array of shape {w.shape}", f"shape ({len(label_names)},), a weight a class")
    vote = neighbours["label"].to_numpy(np.int64)
    count = np.bincount(vote, minlength=len(w))
    rows = [c for c in np.lexsort((-count, -w)) if w[c] > 0 or count[c] > 0]
    names, words, ticks, y = [], [], [], 0.0
    for number, c in enumerate(rows):
        ax.barh(
            y, 100 * w[c], height=0.8, color=PALETTE[number % len(PALETTE)],
            hatch=HATCHES[number % len(HATCHES)], edgecolor="black", linewidth=0.7,
        )  # fmt: skip
        told = f"{100 * w[c]:.0f} %" if w[c] > 0 else "no candidate"
        ax.text(100 * w[c] + 1, y, told, va="center", fontweight="bold")
        ticks.append(y)
        names.append(label_names[c])
        words.append(f"{label_names[c]} {told.replace(' %', ' percent')}, {_voters(count[c])}")
        voters = neighbours[vote == c]
        lines = [
            f"{distance:.2f}  {textwrap.shorten(str(text), width, placeholder=' …')}"
            for text, distance in zip(voters["text"][:shown], voters["distance"][:shown], strict=True)
        ]
        if len(voters) > shown:
            lines.append(f"and {len(voters) - shown} more, up to {voters['distance'].max():.2f} away")
        y += 0.2
        for line in lines:
            y += LINE
            # Texts may hold dollar signs, which are no formulas.
            ax.text(1, y, line, va="center", fontsize=8, color="0.2", parse_math=False)
        y += 1.0
    ax.set_yticks(ticks, names, fontweight="bold")
    for tick in ax.get_yticklabels():
        tick.set_parse_math(False)
    ax.set(
        xlim=(0, 112),
        ylim=(max(y - 0.5, 0.5), -0.6),
        xlabel="weight (%); below it the neighbours: distance and text",
    )
    ax.set_xticks(range(0, 101, 20))
    ax.spines[["top", "right"]].set_visible(False)
    nearest = ""
    if len(neighbours):
        first = neighbours.iloc[0]
        nearest = f" The nearest neighbour, {first['distance']:.2f} away, is labelled {label_names[vote[0]]}."
    return f"Candidates for the label of one text, with their neighbours: {'; '.join(words)}.{nearest}"


def draw_cases(report: pd.DataFrame, ax: Axes, *, title: str = "", names: bool = True) -> str:
    """Draw the share of texts in each case, and how many of them have the true label as likeliest candidate.

    Parameters
    ----------
    report : DataFrame
        Columns case, n and right, from `nlkit.metrics.prior_report`.
    names : bool
        Whether axis, numbers and legend are written.

    Returns
    -------
    str
        The figure in words.
    """
    rows = report.set_index("case").reindex(list(CASES)).fillna({"n": 0})
    share = 100 * rows["n"].to_numpy(np.float64) / max(1.0, rows["n"].sum())
    right = np.nan_to_num(rows["right"].to_numpy(np.float64))
    place = range(len(CASES))
    ax.bar(
        place, share * right, color=PALETTE[0], edgecolor="black", linewidth=0.7, label="likeliest is true"
    )
    ax.bar(
        place, share * (1 - right), bottom=share * right, color=PALETTE[3], hatch="//", edgecolor="black",
        linewidth=0.7, label="likeliest is wrong",
    )  # fmt: skip
    words = []
    for x, (case, s, r) in enumerate(zip(CASES, share, right, strict=True)):
        told = f"{100 * r:.0f} % true" if s else "none"
        if names:
            ax.text(x, s + 1.5, told, ha="center")
        words.append(f"{case} {s:.0f} percent, {told.replace(' % true', ' percent of them true')}")
    ax.set(ylim=(0, 112), title=title)
    ax.set_yticks(range(0, 101, 25))
    ax.set_xticks(place, CASES if names else [case[0] for case in CASES])
    if names:
        ax.set_ylabel("texts (%)")
        ax.legend(frameon=False, loc="upper right")
    ax.set_axisbelow(True)
    spread(ax)
    return f"Cases of the prior{f' ({title})' if title else ''}: {'; '.join(words)}."


def _voters(n: int) -> str:
    return f"{n} neighbour{'' if n == 1 else 's'}"

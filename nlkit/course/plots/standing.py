"""Methods over many cells: mean places, with the groups that do not differ, and time against accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from nlkit.course.plots import look


def draw_places(table: pd.DataFrame, groups: Sequence[Sequence[str]], ax: Axes) -> str:
    """Draw each method at its mean place, and a bar over each group of which no two differ significantly.

    Parameters
    ----------
    table : DataFrame, one row a method
        Columns method and rank, the best first, as from `nlkit.study.sweeps.standing.standing`.
    groups : sequence of sequence of str
        From `nlkit.study.sweeps.standing.cliques`.
    """
    rank = dict(zip(table["method"], table["rank"], strict=True))
    for number, (name, place) in enumerate(rank.items()):
        style = look.line(number, markersize=8, linestyle="")
        ax.plot([place], [number], **style)
        ax.text(place, number, f"  {name} {place:.1f}", va="center", **look.plain())
    for number, group in enumerate(groups):
        ends, at = [rank[group[0]], rank[group[-1]]], len(rank) + 0.2 + 0.6 * number
        ax.plot(ends, [at, at], color="black", linewidth=4, solid_capstyle="butt")
    ax.set_yticks([])
    ax.invert_yaxis()
    look.finish(ax, grid=False, xlim=(0.8, len(rank) + 0.2 * len(rank)), xlabel="mean place (1 is best)")
    places = ", ".join(f"{name} {place:.1f}" for name, place in rank.items())
    alike = "; ".join(" to ".join((group[0], group[-1])) for group in groups) or "none"
    return f"Mean places: {places}. Groups of which no two differ significantly: {alike}."


def draw_time(table: pd.DataFrame, ax: Axes) -> str:
    """Draw accuracy over the seconds of a fit, a mark a method.

    Parameters
    ----------
    table : DataFrame, one row a method
        Columns method, accuracy (a share) and seconds.
    """
    words = []
    for number, row in enumerate(table.to_dict("records")):
        ax.plot(row["seconds"], 100 * row["accuracy"], **look.line(number, markersize=8, linestyle=""))
        ax.annotate(
            row["method"], (row["seconds"], 100 * row["accuracy"]), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=8, **look.plain(),
        )  # fmt: skip
        words.append(f"{row['method']} {100 * row['accuracy']:.1f} in {row['seconds']:.1f} s")
    ax.set_xscale("log")
    look.finish(ax, xlabel="seconds of a fit", ylabel="test accuracy (%)")
    return f"Test accuracy in percent and seconds of a fit: {'; '.join(words)}."

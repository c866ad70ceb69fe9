"""The sets R, H and P, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from nlkit.course.plots.figures import PALETTE, legend_beside, line_style, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MARKERS", "draw_finders", "draw_partition", "draw_set_quality", "draw_threshold_path"]

MARKERS = {"R": "o", "H": "s", "P": "^"}
SET_COLOURS = {"R": PALETTE[0], "H": PALETTE[7], "P": PALETTE[3]}
SET_NAMES = {"R": "R clean", "H": "H hard", "P": "P purified"}


def draw_partition(
    partition: pd.DataFrame, ax: Axes, *, title: str = "", legend: bool = True, size: float = 12.0
) -> str:
    """Draw what both models give the observed label: p_s across, p_w up, marked by set.

    Parameters
    ----------
    partition : DataFrame, one row a sample
        Columns set (R, H or P), p_s and p_w, as in ``NoiseAL.partition_``.
    """
    counts = {}
    for name in ("R", "H", "P"):
        rows = partition["set"] == name
        counts[name] = int(rows.sum())
        ax.scatter(
            partition.loc[rows, "p_s"], partition.loc[rows, "p_w"], s=size, marker=MARKERS[name], alpha=0.55,
            color=SET_COLOURS[name], linewidths=0, label=f"{SET_NAMES[name]}: {counts[name]}",
        )  # fmt: skip
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=title)
    if legend:
        ax.set(xlabel="p_s: the strong model's trust in the label", ylabel="p_w: the weak model's trust")
        legend_beside(ax, markerscale=2)
    else:
        ax.set(xticks=[0, 1], yticks=[0, 1])
    sns.despine(ax=ax)
    return (
        f"Scatter of {len(partition)} samples{f' ({title})' if title else ''} by the strong (across) and the "
        f"weak model's (up) trust in the observed label. {counts['R']} are in R (clean, top right), "
        f"{counts['H']} in H (hard), {counts['P']} in P (purified, bottom left)."
    )


def draw_set_quality(quality: pd.DataFrame, ax: Axes, *, mark: int | None = None) -> str:
    """Draw precision (filled) and recall (hollow) of R and P over the epochs.

    Parameters
    ----------
    quality : DataFrame
        Columns epoch, set, precision, recall (`nlkit.metrics.partition_report`, one block an epoch).
    mark : int, optional
        Epoch marked with a vertical line.
    """
    words = []
    for name, wanted in (("R", "right"), ("P", "wrong")):
        rows = quality[quality["set"] == name]
        for column, style, fill in (("precision", "-", "full"), ("recall", "--", "none")):
            ax.plot(
                rows["epoch"], 100 * rows[column], style, color=SET_COLOURS[name], marker=MARKERS[name],
                fillstyle=fill, markersize=6, label=f"{name} {column}",
            )  # fmt: skip
        last = rows.iloc[-1]
        words.append(
            f"at the end {_percent(last['precision'])} of {name} have {wanted} labels, and {name} holds "
            f"{_percent(last['recall'])} of all {wanted} labels"
        )
    if mark is not None:
        ax.axvline(mark, color="0.3", linestyle="-.", linewidth=1)
    ax.set(xlabel="epoch", ylabel="percent", ylim=(-3, 103))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False, ncols=2)
    spread(ax)
    return "Precision and recall of the sets over the epochs: " + "; ".join(words) + "."


def draw_finders(
    table: pd.DataFrame, column: str, ax: Axes, *, names: Mapping[str, str] | None = None,
    mark: int | None = None, legend: bool = True,
) -> str:  # fmt: skip
    """Draw one score of several finders of right labels over the epochs.

    Parameters
    ----------
    table : DataFrame
        From `nlkit.study.cleaning.compare_finders`.
    column : str
        "precision", "recall" or "f1".
    names : mapping of str to str, optional
        The finders to draw, with their names; all of them by default.
    mark : int, optional
        Epoch marked with a vertical line.
    legend : bool
        Beside the axes.
    """
    names = names or {name: name for name in dict.fromkeys(table["finder"])}
    words = []
    for number, (key, name) in enumerate(names.items()):
        rows = table[table["finder"] == key]
        ax.plot(rows["epoch"], 100 * rows[column], **line_style(number), markersize=5, label=name)
        first, last = rows[column].iloc[0], rows[column].iloc[-1]
        at = "" if mark is None else f"{_percent(rows[column].iloc[mark - 1])} at epoch {mark}, "
        words.append(f"{name} {_percent(first)} at first, {at}{_percent(last)} at the end")
    if mark is not None:
        ax.axvline(mark, color="0.3", linestyle="-.", linewidth=1)
    ax.set(xlabel="epoch", ylabel=f"{column} (%)", ylim=(-3, 103))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if legend:
        legend_beside(ax)
    spread(ax)
    return f"{column.capitalize()} of those kept as rightly labelled, over the epochs: {'; '.join(words)}."


def draw_threshold_path(path: pd.DataFrame, ax: Axes, *, title: str = "", legend: bool = True) -> str:
    """Draw one sample's trust and thresholds over the epochs, with the set it falls in above.

    Parameters
    ----------
    path : DataFrame, one row an epoch
        Columns epoch, set, p_s, tau_s, p_w, tau_w: a sample's rows of
        `nlkit.methods.noiseal.partition.Partition.table`.
    """
    for symbol, colour, marker, who in (("s", PALETTE[0], "o", "strong"), ("w", PALETTE[1], "s", "weak")):
        ax.plot(
            path["epoch"], path[f"p_{symbol}"], "-", color=colour, marker=marker, markersize=5,
            label=f"{who}: trust in the label",
        )  # fmt: skip
        ax.plot(
            path["epoch"], path[f"tau_{symbol}"], ":", color=colour, marker=marker, fillstyle="none",
            markersize=5, label=f"{who}: threshold τ",
        )  # fmt: skip
    for epoch, name in zip(path["epoch"], path["set"], strict=True):
        ax.text(epoch, 1.06, name, ha="center", color=SET_COLOURS[name], fontweight="bold")
    ax.set(xlabel="epoch", ylabel="probability", ylim=(-0.03, 1.15), title=title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if legend:
        legend_beside(ax)
    spread(ax)
    last = path.iloc[-1]
    return (
        f"Trust and thresholds of one sample{f' ({title})' if title else ''}. Its sets, epoch by epoch: "
        f"{' '.join(path['set'])}. At the end the strong model gives its label {last['p_s']:.2f} against a "
        f"threshold of {last['tau_s']:.2f}, the weak one {last['p_w']:.2f} against {last['tau_w']:.2f}."
    )


def _percent(share: float) -> str:
    return "none (the set is empty)" if np.isnan(share) else f"{100 * share:.0f} percent"

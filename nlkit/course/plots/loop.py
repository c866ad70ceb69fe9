"""NoiseAL's loop, drawn: what the sets hold, what is learnt from them, and its losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from nlkit.course.plots.figures import LINE_MARKERS, PALETTE, STYLES, legend_beside, spread
from nlkit.course.plots.partition import SET_COLOURS, SET_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_lessons", "draw_right_lessons", "draw_set_losses"]

WRONG_HATCH = "////"


def draw_lessons(lessons: pd.DataFrame, ax: Axes, *, top: float, title: str = "", legend: bool = True) -> str:
    """Draw how many texts each kind of lesson has, and how many of them teach a wrong class (hatched).

    Parameters
    ----------
    lessons : DataFrame, one row a kind of lesson
        Columns lesson, n and right (texts), as in ``LoopView.lessons``.
    top : float
        Upper end of the axis, in texts.
    """
    words = []
    rows: list[dict[str, Any]] = lessons.to_dict("records")  # type: ignore[assignment]
    for number, row in enumerate(rows):
        n, right = row["n"], row["right"]
        ax.bar(
            number, right, color=PALETTE[0], edgecolor="black", linewidth=0.7,
            label="right class" if number == 0 else None,
        )  # fmt: skip
        ax.bar(
            number, n - right, bottom=right, color=PALETTE[3], hatch=WRONG_HATCH, edgecolor="black",
            linewidth=0.7, label="wrong class" if number == 0 else None,
        )  # fmt: skip
        told = f"{right} of {n}"
        if legend:
            ax.text(number, n + 0.01 * top, told, ha="center", va="bottom", fontsize=9)
        words.append(f"{row['lesson']}: {told} right")
    short = [str(name).replace(" ", "\n", 1) for name in lessons["lesson"]]
    ax.set_xticks(range(len(lessons)), short if legend else [name[0] for name in short], fontsize=8)
    ax.set(ylim=(0, 1.08 * top), title=title)
    if legend:
        ax.set_ylabel("texts")
        ax.legend(frameon=False, loc="upper right")
    ax.spines[["top", "right"]].set_visible(False)
    return f"What the texts are taught{f' ({title})' if title else ''}: {'; '.join(words)}."


def draw_right_lessons(lessons: pd.DataFrame, ax: Axes) -> str:
    """Draw the share of right lessons over the epochs, one line a kind.

    Parameters
    ----------
    lessons : DataFrame
        Columns epoch, lesson, n and right; a kind without a text has no point.
    """
    words = []
    for number, (name, rows) in enumerate(lessons.groupby("lesson", sort=False)):
        some = rows[rows["n"] > 0]
        if some.empty:
            continue
        share = 100 * some["right"] / some["n"]
        ax.plot(
            some["epoch"], share, STYLES[number % len(STYLES)], color=PALETTE[(0, 2, 3, 4)[number % 4]],
            marker=LINE_MARKERS[number % len(LINE_MARKERS)], markersize=6, label=str(name),
        )  # fmt: skip
        first = some["epoch"].iloc[0]
        words.append(f"{name} {share.iloc[0]:.0f} after epoch {first}, {share.iloc[-1]:.0f} after the last")
    ax.set(xlabel="epoch", ylabel="right lessons (%)", ylim=(-3, 103))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_beside(ax)
    spread(ax)
    return f"Share of lessons that teach the true class, in percent: {'; '.join(words)}."


def draw_set_losses(history: pd.DataFrame, ax: Axes, *, model: str = "strong", warmup: int) -> str:
    """Draw the three parts of NoiseAL's loss over the epochs, stacked up to their sum.

    Parameters
    ----------
    history : DataFrame
        ``NoiseAL.history_``: columns epoch, and loss_R, loss_H, loss_P of the model.
    model : str
        "strong" or "weak".
    warmup : int
        W, the epochs of plain CE, marked by a vertical line.
    """
    epoch, base, words = history["epoch"].to_numpy(), np.zeros(len(history)), []
    for name, hatch in (("R", ""), ("H", "//"), ("P", "..")):
        part = history[f"loss_{name}_{model}"].to_numpy(np.float64)
        ax.bar(
            epoch, part, bottom=base, color=SET_COLOURS[name], hatch=hatch, edgecolor="black",
            linewidth=0.6, label=f"L_{name}, {SET_NAMES[name][2:]} set",
        )  # fmt: skip
        base = base + part
        words.append(f"L_{name} {part[0]:.2f} in the first epoch, {part[-1]:.2f} in the last")
    ax.axvline(warmup + 0.5, color="0.3", linestyle="-.", linewidth=1)
    ax.set(xlabel="epoch", ylabel="loss a text", title=f"{model} model")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return f"Loss of the {model} model by set: {'; '.join(words)}; the warm-up ends after epoch {warmup}."

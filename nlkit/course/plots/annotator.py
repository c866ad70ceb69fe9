"""An annotator's answers, drawn: one answer, ways of asking, coverage, the labels it likes, questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit._util import invalid
from nlkit.course.plots.figures import HATCHES, PALETTE, legend_beside, line_style, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_answer", "draw_coverage", "draw_label_shares", "draw_questions", "draw_shots"]

MOST_BARS = 12
"""Labels that one answer shows, the likeliest, with those that its demonstrations have."""


def draw_answer(
    probability: ArrayLike, label_names: Sequence[str], ax: Axes, *, shown: Sequence[int] = (),
    truth: int | None = None, title: str = "",
) -> str:  # fmt: skip
    """Draw the probability of each label in one answer.

    Parameters
    ----------
    probability : array, shape (C,)
        Sums to 1.
    label_names : sequence of C strings
    shown : sequence of int
        The labels of the demonstrations, in the order shown: their places, from 1, stand behind the name.
    truth : int, optional
        The true label: it has a star.
    title : str
        Above it.
    """
    p = np.asarray(probability, np.float64)
    if p.shape != (len(label_names),):
        invalid("probability", f"array of shape {p.shape}", f"shape ({len(label_names)},), one a label")
    kept = set(np.argsort(-p, kind="stable")[:MOST_BARS].tolist()) | set(shown)
    kept |= set() if truth is None else {truth}
    answer, names = int(p.argmax()), []
    for y, c in enumerate(sorted(kept)):
        ax.barh(
            y, 100 * p[c], height=0.75, color=PALETTE[0] if c == answer else PALETTE[7],
            hatch=HATCHES[1] if c == answer else "", edgecolor="black", linewidth=0.6,
        )  # fmt: skip
        ax.text(100 * p[c] + 1, y, f"{100 * p[c]:.0f}", va="center", fontsize=8)
        places = ", ".join(str(i) for i, label in enumerate(shown, start=1) if label == c)
        names.append(f"{'★ ' if c == truth else ''}{label_names[c]}{f' [{places}]' if places else ''}")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(0, 110), ylim=(len(names) - 0.4, -0.6), xlabel="probability (%)", title=title)
    spread(ax)
    examples = [label_names[c] for c in shown]
    return (
        f"{title + ': ' if title else ''}the answer is {label_names[answer]}, {100 * p[answer]:.0f} percent "
        f"sure"
        + (f"; the true label is {label_names[truth]}" if truth is not None else "")
        + (f". Labels of the demonstrations, nearest last: {', '.join(examples)}." if examples else ".")
    )


def draw_shots(table: pd.DataFrame, ax: Axes, *, zero_shot: float | None = None) -> str:
    """Draw accuracy over the number of demonstrations, one line a way of choosing them.

    Parameters
    ----------
    table : DataFrame
        way, k and accuracy (a share); the order of the ways is kept.
    zero_shot : float, optional
        Accuracy without any: where all lines begin, at k = 0.
    """
    words = []
    for number, way in enumerate(dict.fromkeys(table["way"])):
        own = table[table["way"] == way].sort_values("k")
        k, y = own["k"].to_list(), (100 * own["accuracy"]).to_list()
        if zero_shot is not None:
            k, y = [0, *k], [100 * zero_shot, *y]
        ax.plot(k, y, **line_style(number), label=way, markersize=6)
        words.append(f"{way}: " + ", ".join(f"{v:.0f} with {n}" for n, v in zip(k, y, strict=True)))
    ax.set(xlabel="demonstrations k", ylabel="answers that are right (%)", ylim=(0, 103))
    ax.set_xticks(sorted({0} | set(table["k"])) if zero_shot is not None else sorted(set(table["k"])))
    legend_beside(ax)
    spread(ax)
    return "Percent of right answers by the number of demonstrations. " + "; ".join(words) + "."


def draw_coverage(curves: Mapping[str, pd.DataFrame], ax: Axes) -> str:
    """Draw accuracy over coverage, one line a name, each a table of `nlkit.metrics.coverage_report`."""
    words = []
    for number, (name, curve) in enumerate(curves.items()):
        x, y = 100 * curve["coverage"].to_numpy(), 100 * curve["accuracy"].to_numpy()
        ax.plot(x, y, **line_style(number), label=name, markersize=4, markevery=max(1, len(x) // 12))
        half = min(int(np.searchsorted(x, 50)), len(x) - 1)
        words.append(
            f"{name}: {y[-1]:.0f} percent right when it answers {x[-1]:.0f} percent of the texts, "
            f"{y[half]:.0f} when it answers the surest {x[half]:.0f}"
        )
    ax.set(
        xlim=(0, 103), ylim=(0, 103), xlabel="coverage: texts that get an answer (%)",
        ylabel="accuracy of the answers (%)",
    )  # fmt: skip
    legend_beside(ax)
    spread(ax)
    return "Accuracy over coverage, the surest answers first. " + "; ".join(words) + "."


def draw_label_shares(shares: Mapping[str, ArrayLike], label_names: Sequence[str], ax: Axes) -> str:
    """Draw how often each label is given, one bar a name and label; each has C shares that sum to 1."""
    C, height = len(label_names), 0.8 / len(shares)
    words = []
    for number, (name, values) in enumerate(shares.items()):
        v = 100 * np.asarray(values, np.float64)
        if v.shape != (C,):
            invalid(f"shares of {name!r}", f"array of shape {v.shape}", f"shape ({C},), one a label")
        ax.barh(
            np.arange(C) + (number - (len(shares) - 1) / 2) * height, v, height=height, label=name,
            color=PALETTE[number % len(PALETTE)], hatch=HATCHES[number % len(HATCHES)], edgecolor="black",
            linewidth=0.5,
        )  # fmt: skip
        top = int(v.argmax())
        words.append(f"{name}: most often {label_names[top]}, {v[top]:.0f} percent")
    ax.set_yticks(range(C), label_names)
    ax.set(ylim=(C - 0.5, -0.5), xlabel="texts that get this label (%)")
    legend_beside(ax)
    spread(ax)
    return "How often each label is given. " + "; ".join(words) + "."


def draw_questions(shares: pd.DataFrame, ax: Axes, *, at: int | None = None) -> str:
    """Draw how many labels are right among the first n texts asked about, one line a column.

    Parameters
    ----------
    shares : DataFrame
        n, from 1; every other column is a share, NaN where nothing was asked any more.
    at : int, optional
        A number of questions to mark.
    """
    words = []
    for number, name in enumerate(column for column in shares if column != "n"):
        own = shares[["n", name]].dropna()
        ax.plot(
            own["n"], 100 * own[name], **line_style(number), label=name, markersize=5,
            markevery=max(1, len(own) // 8),
        )  # fmt: skip
        if len(own):
            n, share = own.to_numpy(np.float64).T
            here = int((n <= at).sum()) - 1 if at is not None else -1
            words.append(f"{name} {100 * share[here]:.0f} percent of the first {n[here]:.0f}")
    if at is not None:
        ax.axvline(at, color="0.3", linewidth=1, linestyle=(0, (1, 1)))
    ax.set(xlabel="questions n", ylabel="right among the first n (%)", ylim=(-3, 103))
    legend_beside(ax)
    spread(ax)
    return "Labels that are right among the texts asked about first: " + "; ".join(words) + "."

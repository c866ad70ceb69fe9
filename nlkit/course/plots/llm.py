"""An annotator's answers: one answer, ways of prompting, coverage, the labels it prefers, queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from nlkit.course.plots import look

# Labels that one answer shows, the likeliest, with those that its demonstrations have.
MOST_BARS = 12


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
    p = 100 * look.array("probability", probability, len(label_names))
    answer, known = int(p.argmax()), [] if truth is None else [truth]
    kept = sorted({*np.argsort(-p, kind="stable")[:MOST_BARS].tolist(), *shown, *known})
    names = []
    for c in kept:
        places = ", ".join(str(i) for i, label in enumerate(shown, start=1) if label == c)
        names.append(
            f"{'★ ' if c == truth else ''}{look.short(label_names[c])}{f' [{places}]' if places else ''}"
        )
    bars = ax.barh(range(len(kept)), p[kept], height=0.75, color=look.PALETTE[7], **look.EDGE)
    bars[kept.index(answer)].set(facecolor=look.PALETTE[0], hatch="//")
    ax.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    look.name_rows(ax, names)
    look.finish(ax, xlim=(0, 110), xlabel="probability (%)", title=title)
    return (
        f"{title + ': ' if title else ''}the answer is {label_names[answer]}, {p[answer]:.0f} percent sure"
        + (f"; the true label is {label_names[truth]}" if truth is not None else "")
        + (". Labels of the demonstrations, nearest last: " if len(shown) else "")
        + f"{', '.join(label_names[c] for c in shown)}."
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
    words, first = [], [] if zero_shot is None else [(0, zero_shot)]
    for number, (way, own) in enumerate(table.sort_values("k", kind="stable").groupby("way", sort=False)):
        k, y = np.array([*first, *own[["k", "accuracy"]].to_numpy()]).T
        ax.plot(k, 100 * y, **look.line(number, markersize=6), label=way)
        words.append(f"{way}: " + ", ".join(f"{100 * v:.0f} with {n:.0f}" for n, v in zip(k, y, strict=True)))
    ax.set_xticks(sorted({k for k, _ in first} | set(table["k"])))
    ylabel = "answers that are right (%)"
    look.finish(ax, xlabel="demonstrations k", ylabel=ylabel, ylim=(0, 103), legend=look.BESIDE)
    return "Percent of right answers by the number of demonstrations. " + "; ".join(words) + "."


def draw_coverage(curves: Mapping[str, pd.DataFrame], ax: Axes) -> str:
    """Draw accuracy over coverage, one line a name, each a table of `nlkit.metrics.coverage_report`."""
    words = []
    for number, (name, curve) in enumerate(curves.items()):
        x, y = 100 * curve[["coverage", "accuracy"]].to_numpy().T
        style = look.line(number, markersize=4, markevery=max(1, len(x) // 12))
        ax.plot(x, y, **style, label=name)
        half = min(int(np.searchsorted(x, 50)), len(x) - 1)
        words.append(
            f"{name}: {y[-1]:.0f} percent right when it answers {x[-1]:.0f} percent of the texts, "
            f"{y[half]:.0f} when it answers the surest {x[half]:.0f}"
        )
    look.finish(
        ax, xlim=(0, 103), ylim=(0, 103), xlabel="coverage: texts that get an answer (%)",
        ylabel="accuracy of the answers (%)", legend=look.BESIDE,
    )  # fmt: skip
    return "Accuracy over coverage, the surest answers first. " + "; ".join(words) + "."


def draw_label_shares(shares: Mapping[str, ArrayLike], label_names: Sequence[str], ax: Axes) -> str:
    """Draw how often each label is given, one bar a name and label; each has C shares that sum to 1."""
    C, height = len(label_names), 0.8 / len(shares)
    words = []
    for number, (name, values) in enumerate(shares.items()):
        v = 100 * look.array(f"shares of {name!r}", values, C)
        y = np.arange(C) + (number - (len(shares) - 1) / 2) * height
        ax.barh(y, v, height=height, label=name, **look.bars(number), **look.EDGE)
        top = int(v.argmax())
        words.append(f"{name}: most often {label_names[top]}, {v[top]:.0f} percent")
    look.name_rows(ax, list(map(look.short, label_names)))
    look.finish(ax, xlabel="texts that get this label (%)", legend=look.BESIDE)
    return "How often each label is given. " + "; ".join(words) + "."


def draw_questions(shares: pd.DataFrame, ax: Axes, *, at: int | None = None) -> str:
    """Draw how many labels are right among the first n queried texts, one line a column.

    Parameters
    ----------
    shares : DataFrame
        n, from 1; every other column is a share, NaN beyond the last query.
    at : int, optional
        A number of queries to mark.
    """
    words = []
    for number, name in enumerate(shares.columns.drop("n")):
        n, y = shares[["n", name]].dropna().to_numpy(np.float64).T
        ax.plot(n, 100 * y, **look.line(number), label=name, markevery=max(1, len(n) // 8))
        if len(n):
            here = int((n <= at).sum()) - 1 if at is not None else -1
            words.append(f"{name} {100 * y[here]:.0f} percent of the first {n[here]:.0f}")
    ylabel = "right among the first n (%)"
    look.finish(ax, xlabel="questions n", ylabel=ylabel, ylim=(-3, 103), legend=look.BESIDE, mark=at)
    return "Labels that are right among the texts asked about first: " + "; ".join(words) + "."

"""Explorer of the neighbours' prior: how many neighbours vote, and when their votes are enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer, choice, shorten, slider, steps, table
from nlkit.methods.sidyp.prior import Prior, vote
from nlkit.metrics import prior_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PriorView", "compute_prior", "prior_explorer"]

LOW = 0.5
"""Where the sliders of γ and δ begin: less than half of the votes is no majority."""


@dataclass(frozen=True)
class PriorView:
    """The prior of all texts with one choice of K, γ and δ.

    Attributes
    ----------
    k, certain, dominant
        K, γ, δ.
    prior : Prior
    report : DataFrame
        `nlkit.metrics.prior_report`: how often the likeliest candidate is true, by case.
    right
        The same of all texts.
    """

    k: int
    gamma: float
    delta: float
    prior: Prior
    report: pd.DataFrame
    right: float


def compute_prior(
    neighbours: ArrayLike, distance: ArrayLike, noisy_label: ArrayLike, suspect: ArrayLike, label: ArrayLike,
    n_classes: int, *, k: int = 10, gamma: float = 0.9, delta: float = 0.8,
) -> PriorView:  # fmt: skip
    """Let the first k of the recorded neighbours vote, and compare with true labels."""
    number, far = np.asarray(neighbours), np.asarray(distance)
    if number.ndim != 2 or not 1 <= k <= number.shape[1]:
        invalid("k", k, f"a whole number from 1 to {number.shape[-1]}, the neighbours recorded")
    prior = vote(number[:, :k], far[:, :k], noisy_label, suspect, n_classes, gamma=gamma, delta=delta)
    y, likeliest = np.asarray(label, np.int64), prior.weight.argmax(1)
    known = y >= 0
    right = float((likeliest == y)[known].mean()) if known.any() else float("nan")
    return PriorView(k, gamma, delta, prior, prior_report(prior.case, likeliest, y), right)


def prior_explorer(
    neighbours: ArrayLike,
    distance: ArrayLike,
    noisy_label: ArrayLike,
    suspect: ArrayLike,
    label: ArrayLike,
    texts: Sequence[str],
    label_names: Sequence[str],
    *,
    shown: Sequence[int] = (0,),
    k: int = 10,
    gamma: float = 0.9,
    delta: float = 0.8,
) -> Explorer:
    """Move K, γ and δ of the neighbours' prior over recorded neighbours, and look at one text's candidates.

    Parameters
    ----------
    neighbours, distance : array, shape (N, K)
        From `nlkit.methods.sidyp.prior.nearest_trusted`, with as many neighbours as the slider is to reach.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels (−1: missing); the true ones only for what is said of the prior.
    suspect : array of bool, shape (N,)
    texts : sequence of N strings
    label_names : sequence of C strings
    shown : sequence of int
        Texts to choose from, the first at the start.
    k, certain, dominant
        Where the controls stand first.
    """
    number, far = np.asarray(neighbours, np.int64), np.asarray(distance, np.float64)
    noisy, true = np.asarray(noisy_label, np.int64), np.asarray(label, np.int64)
    for field, value in (("gamma", gamma), ("delta", delta)):
        if not LOW <= value <= 1:
            invalid(field, value, f"a number from {LOW} to 1, the slider's range")
    if not len(shown):
        invalid("shown", shown, "at least one text")

    def compute(**settings: float) -> PriorView:
        wanted = {"k": k, "gamma": gamma, "delta": delta, **settings}
        return compute_prior(
            number, far, noisy, suspect, true, len(label_names), k=int(wanted["k"]),
            gamma=wanted["gamma"], delta=wanted["delta"],
        )  # fmt: skip

    start = compute()
    most = number.shape[1]
    controls = {
        "k": steps("neighbours K", k, 1, most),
        "gamma": slider("certain from γ", gamma, LOW, 1.0, 0.05),
        "delta": slider("dominant from δ", delta, LOW, 1.0, 0.05),
        "text": choice("text", int(shown[0]), [(f"{i}. {shorten(texts[i], 60)}", int(i)) for i in shown]),
    }

    def redraw() -> tuple[Figure, str, str]:
        view = compute(**{name: controls[name].value for name in ("k", "gamma", "delta")})
        i = controls["text"].value
        fig, axes = plots.figure(1, 2, width=10.5, height=4.2, margins=(0.06, 0.985, 0.14, 0.93))
        fig.subplots_adjust(wspace=0.3)
        alt = plots.draw_cases(view.report, axes[0])
        alt += " " + plots.draw_candidates(
            view.prior.weight[i], voters(view, i, far, noisy, texts), label_names, axes[1], width=46, shown=2
        )
        return fig, alt, cases_table(view, noisy, true) + text_table(view, i, noisy, true, texts, label_names)

    strips = (
        ("k", "K", sorted({1, min(5, most), min(10, most), most})),
        ("gamma", "γ", [0.6, 0.8, 0.9, 1.0]),
        ("delta", "δ", [0.5, 0.7, 0.8, 0.95]),
    )  # fmt: skip
    fig, _ = plots.figure(width=9, height=9)
    fig.clear()
    grid = fig.add_gridspec(4, 1, height_ratios=[1.9, 1, 1, 1])
    title = f"K = {k}, γ = {gamma:g}, δ = {delta:g}"
    alt, words = plots.draw_cases(start.report, fig.add_subplot(grid[0]), title=title), []
    for row, (field, symbol, values) in enumerate(strips, start=1):
        strip = grid[row].subgridspec(1, len(values))
        for column, value in enumerate(values):
            view, ax = compute(**{field: value}), fig.add_subplot(strip[column])
            told = f"{symbol} = {value:g}: {100 * view.right:.0f} % true"
            plots.draw_cases(view.report, ax, names=False)
            ax.set_title(told, fontsize=9)
            words.append(f"{told.replace(' %', ' percent')} ({_shares(view)})")
    alt += f" Below it the same with one setting changed at a time. {'; '.join(words)}."
    return Explorer(controls, redraw, (fig, alt))


def _cases(view: PriorView) -> list[tuple[str, int, float]]:
    """Return case, texts, and the share whose likeliest candidate is true."""
    report = view.report
    return list(zip(report["case"].tolist(), report["n"].tolist(), report["right"].tolist(), strict=True))


def _shares(view: PriorView) -> str:
    total = max(1, sum(n for _, n, _ in _cases(view)))
    return ", ".join(f"{case} {100 * n / total:.0f}" for case, n, _ in _cases(view))


def voters(
    view: PriorView, i: int, distance: ArrayLike, noisy_label: ArrayLike, texts: Sequence[str]
) -> pd.DataFrame:
    """Return the neighbours that vote for text i, nearest first: text, label, distance."""
    near = view.prior.neighbours[i]
    near = near[near >= 0]
    far = np.asarray(distance)[i, : len(near)]
    label = np.asarray(noisy_label, np.int64)[near]
    return pd.DataFrame({"text": [texts[j] for j in near], "label": label, "distance": far})


def cases_table(view: PriorView, noisy_label: ArrayLike, label: ArrayLike) -> str:
    """Return the cases, and beside all texts how often the observed labels are right, as an HTML table."""
    noisy, true = np.asarray(noisy_label), np.asarray(label)
    rows = [(case, str(n), f"{100 * right:.1f} %") for case, n, right in _cases(view)]
    known = true >= 0
    before = f" (observed labels: {100 * (noisy == true)[known].mean():.1f} %)" if known.any() else ""
    rows.append(("all", str(sum(n for _, n, _ in _cases(view))), f"{100 * view.right:.1f} %{before}"))
    return table(rows, ("case", "texts", "likeliest is true"), f"The prior with K = {view.k}")


def text_table(
    view: PriorView, i: int, noisy_label: ArrayLike, label: ArrayLike, texts: Sequence[str],
    label_names: Sequence[str],
) -> str:  # fmt: skip
    """Return one text and its labels as an HTML table, escaped."""

    def name(c: int) -> str:
        return label_names[c] if c >= 0 else "none"

    row = (
        shorten(texts[i], 200), name(int(np.asarray(noisy_label)[i])), name(int(np.asarray(label)[i])),
        "yes" if view.prior.suspect[i] else "no", str(view.prior.case[i]),
    )  # fmt: skip
    return table([row], ("text", "observed label", "true label", "suspect", "case"), f"Text {i}")

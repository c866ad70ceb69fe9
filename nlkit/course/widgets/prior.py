"""Explorer of the neighbours' prior: how many neighbours vote, and when their votes are enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Drawn, Explorer, Span, Still, name_of, share, shorten, table
from nlkit.methods.sidyp.prior import Prior, vote
from nlkit.metrics import prior_report

# What the sliders of γ and δ reach: less than half of the votes is no majority.
MAJORITY = Span(0.5, 1.0, 0.05)


class PriorView(NamedTuple):
    """The prior of all texts with one choice of K, γ and δ.

    Attributes
    ----------
    k
        K.
    prior : Prior
    report : DataFrame
        `nlkit.metrics.prior_report`: how often the likeliest candidate is true, by case.
    right
        The same of all texts.
    """

    k: int
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
    return PriorView(k, prior, prior_report(prior.case, likeliest, y), right)


def prior_explorer(
    neighbours: ArrayLike, distance: ArrayLike, noisy_label: ArrayLike, suspect: ArrayLike, label: ArrayLike,
    texts: Sequence[str], label_names: Sequence[str], *, shown: Sequence[int] = (0,), k: int = 10,
    gamma: float = 0.9, delta: float = 0.8,
) -> Explorer:  # fmt: skip
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
    k, gamma, delta
        Where the controls stand first.
    """
    number, far = np.asarray(neighbours, np.int64), np.asarray(distance, np.float64)
    noisy, true = np.asarray(noisy_label, np.int64), np.asarray(label, np.int64)
    if not len(shown):
        invalid("shown", shown, "at least one text")
    known = true >= 0
    before = f" (observed labels: {share((noisy == true)[known].mean(), 1)})" if known.any() else ""

    def compute(**settings: Any) -> PriorView:
        return compute_prior(number, far, noisy, suspect, true, len(label_names), **settings)

    def draw(text: int, **settings: Any) -> Drawn:
        view = compute(**settings)
        fig, axes = plots.figure(1, 2, 10.5, 4.2, margins=(0.06, 0.985, 0.14, 0.93), wspace=0.3)
        alt = plots.draw_cases(view.report, axes[0])
        near = view.prior.neighbours[text]
        near = near[near >= 0]  # the nearest first
        voters = pd.DataFrame({"text": [texts[i] for i in near], "label": noisy[near]})
        voters["distance"], weight = far[text, : len(near)], view.prior.weight[text]
        alt += " " + plots.draw_candidates(weight, voters, label_names, axes[1], width=46, shown=2)
        report = view.report[["case", "n", "right"]]
        cases = [(case, n, share(right, 1)) for case, n, right in report.to_numpy()]
        cases.append(("all", report["n"].sum(), f"{share(view.right, 1)}{before}"))
        row = (
            shorten(texts[text], 200), name_of(noisy[text], label_names), name_of(true[text], label_names),
            "yes" if view.prior.suspect[text] else "no", view.prior.case[text],
        )  # fmt: skip
        head = ("text", "observed label", "true label", "suspect", "case")
        below = table(cases, ("case", "texts", "likeliest is true"), f"The prior with K = {view.k}")
        return fig, alt, below + table([row], head, f"Text {text}")

    def static(text: int, **settings: Any) -> Still:
        """Draw the first position, and below it the cases over each setting."""
        most, votes = number.shape[1], np.linspace(MAJORITY.low, MAJORITY.high, 6).round(3).tolist()
        strips = {"k": ("K", sorted({*np.linspace(1, most, 6).round().astype(int).tolist(), settings["k"]}))}
        strips |= {"gamma": ("γ", votes), "delta": ("δ", votes)}
        fig, ((top,), below) = plots.panels((1, 3), (1.2, 1), 9.5, 6)
        title = ", ".join(f"{symbol} = {settings[field]:g}" for field, (symbol, _) in strips.items())
        alt, words = plots.draw_cases(compute(**settings).report, top, title=title), []
        for (field, (symbol, values)), ax in zip(strips.items(), below, strict=True):
            reports = {value: compute(**settings | {field: value}).report for value in values}
            shown = {"symbol": symbol, "mark": settings[field], "legend": field == "delta"}
            words.append(plots.draw_case_shares(reports, ax, **shown))
        below[0].set_ylabel("texts (%)")
        return fig, f"{alt} Below it the same over one setting at a time. {' '.join(words)}"

    controls = {
        "k": ("neighbours K", k, range(1, number.shape[1] + 1), "neighbours"),
        "gamma": ("certain from γ", gamma, MAJORITY, "of the votes"),
        "delta": ("dominant from δ", delta, MAJORITY, "of the votes"),
        "text": ("text", int(shown[0]), [(f"{i}. {shorten(texts[i], 60)}", int(i)) for i in shown]),
    }
    return Explorer(controls, draw, static, lines=10)

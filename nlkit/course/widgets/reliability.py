"""Explorer of calibration: reliability diagrams of recorded predictions, by any number of bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer, choice, steps, table
from nlkit.metrics import accuracy, calibration_error, ece, reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ReliabilityView", "compute_reliability", "reliability_explorer"]

MOST = 30
"""The most bins that the slider reaches."""

SPREAD = 20
"""Bins of the histogram of confidences: always of equal width, or all bars were equally high."""

NOBODY = "nothing"


@dataclass(frozen=True)
class ReliabilityView:
    """How far one method's confidence can be believed.

    Attributes
    ----------
    table : DataFrame
        `nlkit.metrics.reliability`, one row a bin.
    ece
        The expected calibration error that this table comes to.
    accuracy, confidence
        Of all predictions: the share that is right, and the mean probability of the top class.
    """

    table: pd.DataFrame
    ece: float
    accuracy: float
    confidence: float


def compute_reliability(
    probability: ArrayLike, label: ArrayLike, *, bins: int = 15, adaptive: bool = False
) -> ReliabilityView:
    """Sort predictions, shape (N, C), into bins of confidence and compare with true labels, shape (N,)."""
    found = reliability(probability, label, bins=bins, adaptive=adaptive)
    sure = float(np.asarray(probability, np.float64).max(1).mean())
    return ReliabilityView(found, calibration_error(found), accuracy(probability, label), sure)


def reliability_explorer(
    probability: Mapping[str, ArrayLike], label: ArrayLike, *, method: str | None = None,
    beside: str | None = None, bins: int = 15,
) -> Explorer:  # fmt: skip
    """Choose methods, the number of bins and their kind; see the reliability diagram and the error.

    Parameters
    ----------
    probability : mapping of str to array, shape (N, C)
        Predictions by method; rows sum to 1.
    label : array of int, shape (N,)
        True labels.
    method, beside
        What the controls choose first: the first method, and another one to compare with (or None).
    bins : int
        Where the slider stands first.
    """
    if not probability:
        invalid("probability", probability, "predictions of at least one method")
    names = list(probability)
    method = names[0] if method is None else method
    for field, value, allowed in (("method", method, names), ("beside", beside, [*names, None])):
        if value not in allowed:
            invalid(field, value, f"one of {', '.join(names)}")
    if not 1 <= bins <= MOST:
        invalid("bins", bins, f"a whole number from 1 to {MOST}")
    y = np.asarray(label, np.int64)
    kinds = [("of equal width", False), ("with equally many texts", True)]
    controls = {
        "method": choice("method", method, names),
        "beside": choice("beside it", beside or NOBODY, [NOBODY, *names]),
        "bins": steps("bins", bins, 1, MOST),
        "adaptive": choice("bins are", False, kinds),
    }

    def views(chosen: list[str], bins: int, adaptive: bool) -> dict[str, ReliabilityView]:
        return {
            name: compute_reliability(probability[name], y, bins=bins, adaptive=adaptive) for name in chosen
        }

    def redraw() -> tuple[Figure, str, str]:
        chosen = [controls["method"].value]
        other = controls["beside"].value
        chosen += [other] if other not in (NOBODY, *chosen) else []
        found = views(chosen, controls["bins"].value, controls["adaptive"].value)
        tables = {name: view.table for name, view in found.items()}
        fig, axes = plots.figure(1, 2, width=10, height=3.9, margins=(0.075, 0.985, 0.14, 0.83))
        fig.subplots_adjust(wspace=0.2)
        alt = plots.draw_reliability(tables, axes[0])
        axes[0].get_legend().remove()
        spread = {name: view.table for name, view in views(list(found), SPREAD, False).items()}
        alt += " " + plots.draw_confidences(spread, axes[1])
        # Above both: no place beside the lines is free for all methods.
        fig.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=3, frameon=False)
        return fig, alt, errors_table(probability, y, found)

    fig, _ = plots.figure(width=9, height=7.4)
    fig.clear()
    grid = fig.add_gridspec(2, 1, height_ratios=[1.7, 1])
    first = [method, *([beside] if beside and beside != method else [])]
    start = {name: view.table for name, view in views(first, bins, False).items()}
    alt, words = plots.draw_reliability(start, fig.add_subplot(grid[0])), []
    strip = grid[1].subgridspec(1, 4)
    for column, (n, adaptive) in enumerate(((5, False), (MOST, False), (5, True), (MOST, True))):
        ax = fig.add_subplot(strip[column])
        view = views([method], n, adaptive)[method]
        plots.draw_reliability({method: view.table}, ax, legend=False)
        kind = kinds[adaptive][0]
        ax.set_title(f"{n} bins {kind}\nECE {100 * view.ece:.1f} %", fontsize=8)
        words.append(f"{n} bins {kind} {100 * view.ece:.1f} percent")
    alt += f" Below it {method} with other bins, and the error they give: {', '.join(words)}."
    return Explorer(controls, redraw, (fig, alt))


def errors_table(
    probability: Mapping[str, ArrayLike], label: ArrayLike, found: Mapping[str, ReliabilityView]
) -> str:
    """Return accuracy, confidence and errors of the methods as an HTML table, escaped."""
    rows = [
        (
            name, f"{100 * view.accuracy:.1f} %", f"{100 * view.confidence:.1f} %", f"{100 * view.ece:.1f} %",
            *(f"{100 * ece(probability[name], label, adaptive=kind):.1f} %" for kind in (False, True)),
        )
        for name, view in found.items()
    ]  # fmt: skip
    head = (
        "method", "right", "sure, on average", "ECE with these bins", "with 15 of equal width",
        "with 15 of equally many",
    )  # fmt: skip
    return table(rows, head, f"{len(np.asarray(label))} test texts")

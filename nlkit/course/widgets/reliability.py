"""Explorer of calibration: reliability diagrams of recorded predictions, by any number of bins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Drawn, Explorer, Still, share, table
from nlkit.metrics import accuracy, calibration_error, ece, reliability

# The most bins that the slider reaches.
MOST = 30

# Bins of the histogram of confidences: always of equal width, or all bars were equally high.
SPREAD = 20

NOTHING = "nothing"
KINDS = ("of equal width", "with equally many texts")


class ReliabilityView(NamedTuple):
    """How far one method's confidence can be relied on.

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
    names, y = list(probability), np.asarray(label, np.int64)

    def tables(methods: Iterable[str], bins: int, adaptive: bool = False) -> dict[str, pd.DataFrame]:
        chosen = {name: probability[name] for name in methods if name != NOTHING}
        return {name: reliability(p, y, bins=bins, adaptive=adaptive) for name, p in chosen.items()}

    def draw(method: str, beside: str, bins: int, adaptive: bool) -> Drawn:
        found = tables((method, beside), bins, adaptive)
        fig, axes = plots.figure(1, 2, 10, 3.9, margins=(0.075, 0.985, 0.14, 0.83), wspace=0.2)
        alt = plots.draw_reliability(found, axes[0])
        axes[0].get_legend().remove()
        alt += " " + plots.draw_confidences(tables(found, SPREAD), axes[1])
        # Above both: no place beside the lines is free for all methods.
        fig.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=3, frameon=False)
        rows = []
        for name in found:
            p = probability[name]
            view = compute_reliability(p, y, bins=bins, adaptive=adaptive)
            numbers = (view.accuracy, view.confidence, view.ece, ece(p, y), ece(p, y, adaptive=True))
            rows.append((name, *(share(number, 1) for number in numbers)))
        head = (
            "method", "right", "sure, on average", "ECE with these bins", "with 15 of equal width",
            "with 15 of equally many",
        )  # fmt: skip
        return fig, alt, table(rows, head, f"{len(y)} test texts")

    def static(method: str, beside: str, bins: int, adaptive: bool) -> Still:
        fig, ((top,), strip) = plots.panels((1, 4), (1.7, 1), 9, 7.4)
        alt, words = plots.draw_reliability(tables((method, beside), bins), top), []
        for ax, (n, kind) in zip(strip, ((5, 0), (MOST, 0), (5, 1), (MOST, 1)), strict=True):
            found = tables([method], n, bool(kind))
            plots.draw_reliability(found, ax, legend=False)
            error = 100 * calibration_error(found[method])
            ax.set_title(f"{n} bins {KINDS[kind]}\nECE {error:.1f} %", fontsize=8)
            words.append(f"{n} bins {KINDS[kind]} {error:.1f} percent")
        return fig, f"{alt} Below it {method} with other bins, and the error they give: {', '.join(words)}."

    controls = {
        "method": ("method", method, names),
        "beside": ("beside it", beside, [NOTHING, *names]),
        "bins": ("bins", bins, range(1, MOST + 1), "bins"),
        "adaptive": ("bins are", False, [(kind, bool(i)) for i, kind in enumerate(KINDS)]),
    }
    return Explorer(controls, draw, static, lines=5)

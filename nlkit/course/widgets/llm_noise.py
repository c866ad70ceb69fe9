"""Explorer of a language model's labels: how it is asked, and where the texts of a class go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer, choice, shorten, table
from nlkit.course.widgets.noise import HEIGHT, WIDTH, matrix_margins
from nlkit.noise.report import count_matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AnswerNoiseView", "answer_noise_explorer", "compute_answer_noise"]


@dataclass(frozen=True)
class AnswerNoiseView:
    """Labels that were asked for in one way, and the texts of one class among them.

    Attributes
    ----------
    way, chosen
        The way of asking, and the number of the class.
    matrix : ndarray, shape (C, C)
        [i, j] is the share of class i labelled j; rows sum to 1, NaN for a class without an answer.
    rate
        Share of wrong labels among the answered texts with a true label.
    gone : ndarray of int, shape (C,)
        How many texts of the class got each label.
    examples : DataFrame
        Texts of the class, surest answer first: index, label (-1: abstained), confidence.
    """

    way: str
    chosen: int
    matrix: NDArray[np.float64]
    rate: float
    gone: NDArray[np.int64]
    examples: pd.DataFrame


def compute_answer_noise(
    answers: pd.DataFrame, label: ArrayLike, n_classes: int, way: str, chosen: int
) -> AnswerNoiseView:
    """Measure the noise of the labels that one way of asking gave.

    Parameters
    ----------
    answers : DataFrame, one row an answer
        way; index, of the text; label, -1 where the annotator abstained; confidence.
    label : array of int, shape (N,)
        True labels of all texts, -1 where unknown.
    n_classes : int
        C.
    way, chosen
        Which labels, and which true class is looked at.
    """
    ways, C = list(dict.fromkeys(answers["way"])), n_classes
    if way not in ways:
        invalid("way", way, f"one of {', '.join(ways)}")
    if not 0 <= chosen < C:
        invalid("chosen", chosen, f"a class number from 0 to {C - 1}")
    own = answers[answers["way"] == way]
    truth = np.asarray(label, np.int64)[own["index"].to_numpy(np.int64)]
    said = own["label"].to_numpy(np.int64)
    both = (truth >= 0) & (said >= 0)
    counts = count_matrix(truth, said, C)
    with np.errstate(invalid="ignore"):
        matrix = counts / counts.sum(1, keepdims=True)
    rate = float((truth != said)[both].mean()) if both.any() else float("nan")
    examples = own.loc[truth == chosen, ["index", "label", "confidence"]]
    examples = examples.sort_values("confidence", ascending=False, kind="stable").reset_index(drop=True)
    return AnswerNoiseView(way, chosen, matrix, rate, counts[chosen], examples)


def answer_noise_explorer(
    answers: pd.DataFrame,
    label: ArrayLike,
    texts: Sequence[str],
    label_names: Sequence[str],
    *,
    way: str | None = None,
    chosen: int = 0,
) -> Explorer:
    """Choose how the annotator is asked, and a class; see the transition matrix and where the class goes.

    The most frequent mistake of the class is framed.

    Parameters
    ----------
    answers, label
        As in `compute_answer_noise`.
    texts : sequence of N strings
    label_names : sequence of C strings
    way, chosen
        Where the controls stand first: the first way, and class 0.
    """
    ways, names, y = list(dict.fromkeys(answers["way"])), list(label_names), np.asarray(label, np.int64)
    way = ways[0] if way is None else way
    start = compute_answer_noise(answers, y, len(names), way, chosen)
    controls = {
        "way": choice("way of asking", way, ways),
        "chosen": choice("true class", chosen, [(name, c) for c, name in enumerate(names)]),
    }

    def redraw() -> tuple[Figure, str, str]:
        view = compute_answer_noise(answers, y, len(names), controls["way"].value, controls["chosen"].value)
        fig, ax = plots.figure(width=WIDTH, height=HEIGHT, margins=matrix_margins(names))
        return fig, _draw(view, names, ax, mark=True), _examples_table(view, texts, names)

    views = [start, *(compute_answer_noise(answers, y, len(names), w, chosen) for w in ways)]
    return Explorer(controls, redraw, _static(views, names))


def _draw(view: AnswerNoiseView, names: list[str], ax: Any, *, mark: bool = False) -> str:
    mistakes = view.gone * (np.arange(len(names)) != view.chosen)
    alt = plots.draw_transition_matrix(
        view.matrix, names, ax, title=f"{view.way}: {100 * view.rate:.0f} % wrong",
        mark=(view.chosen, int(mistakes.argmax())) if mark and mistakes.any() else None,
    )  # fmt: skip
    most = [c for c in np.argsort(-view.gone, kind="stable")[:3] if view.gone[c]]
    goes = ", ".join(f"{names[c]} {view.gone[c]}" for c in most) or "none was answered"
    return f"{alt} Texts of {names[view.chosen]} are labelled: {goes}."


def _examples_table(view: AnswerNoiseView, texts: Sequence[str], names: list[str], rows: int = 6) -> str:
    """Return the texts of the class with the surest answers as HTML, escaped: wrong ones first."""
    wrong = view.examples["label"] != view.chosen
    shown = pd.concat([view.examples[wrong], view.examples[~wrong]]).head(rows)
    index, label = (shown[column].to_numpy(np.int64).tolist() for column in ("index", "label"))
    body = [
        (
            shorten(texts[i]), names[said] if said >= 0 else "abstained", f"{100 * sure:.0f} %",
            "right" if said == view.chosen else "wrong",
        )
        for i, said, sure in zip(index, label, shown["confidence"].to_list(), strict=True)
    ]  # fmt: skip
    caption = f"Texts of {names[view.chosen]}: wrong labels first, the surest on top"
    return table(body, ("text", "label given", "confidence", ""), caption)


def _static(views: Sequence[AnswerNoiseView], names: list[str]) -> tuple[Figure, str]:
    """Draw the default position, and below it a small matrix for every way."""
    start, *every = views
    fig, _ = plots.figure(width=8.0, height=8.0)
    fig.clear()
    grid = fig.add_gridspec(2, len(every), height_ratios=[2.2, 1])
    alt, words = _draw(start, names, fig.add_subplot(grid[0, :])), []
    for column, view in enumerate(every):
        ax = fig.add_subplot(grid[1, column])
        plots.draw_transition_matrix(view.matrix, names, ax, numbers=False)
        ax.set_title(f"{view.way}\n{100 * view.rate:.0f} % wrong", fontsize=8)
        words.append(f"{view.way}: {100 * view.rate:.0f} percent wrong")
    return fig, f"{alt} Below it a small matrix for every way of asking. {'; '.join(words)}."

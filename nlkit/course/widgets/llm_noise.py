"""Explorer of a language model's labels: how it is prompted, and where the texts of a class go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from nlkit.course import plots
from nlkit.course.widgets.explorer import Drawn, Explorer, Still, check, name_of, share, shorten, table
from nlkit.course.widgets.noise import matrix_figure
from nlkit.noise.report import count_matrix


class AnswerNoiseView(NamedTuple):
    """Labels of one way of prompting, and the texts of one class among them.

    Attributes
    ----------
    matrix : ndarray, shape (C, C)
        [i, j] is the share of class i labelled j; rows sum to 1, NaN for a class without an answer.
    rate
        Share of wrong labels among the answered texts with a true label.
    gone : ndarray of int, shape (C,)
        How many texts of the class got each label.
    examples : DataFrame
        Texts of the class, surest answer first: index, label (-1: abstained), confidence.
    """

    matrix: NDArray[np.float64]
    rate: float
    gone: NDArray[np.int64]
    examples: pd.DataFrame


def compute_answer_noise(
    answers: pd.DataFrame, label: ArrayLike, n_classes: int, way: str, chosen: int
) -> AnswerNoiseView:
    """Measure the noise of the labels that one way of prompting gave.

    Parameters
    ----------
    answers : DataFrame, one row an answer
        way; index, of the text; label, -1 where the annotator abstained; confidence.
    label : array of int, shape (N,)
        True labels of all texts, -1 where unknown.
    n_classes : int
        C.
    way, chosen
        Which labels, and the true class that is looked at.
    """
    own = answers[answers["way"] == way]
    check("way", way, list(dict.fromkeys(answers["way"])))
    check("chosen", chosen, range(n_classes))
    truth = np.asarray(label, np.int64)[own["index"].to_numpy(np.int64)]
    said = own["label"].to_numpy(np.int64)
    both = (truth >= 0) & (said >= 0)
    counts = count_matrix(truth, said, n_classes)
    with np.errstate(invalid="ignore"):
        matrix = counts / counts.sum(1, keepdims=True)
    rate = float((truth != said)[both].mean()) if both.any() else float("nan")
    examples = own.loc[truth == chosen, ["index", "label", "confidence"]]
    examples = examples.sort_values("confidence", ascending=False, kind="stable").reset_index(drop=True)
    return AnswerNoiseView(matrix, rate, counts[chosen], examples)


def answer_noise_explorer(
    answers: pd.DataFrame, label: ArrayLike, texts: Sequence[str], label_names: Sequence[str], *,
    way: str | None = None, chosen: int = 0,
) -> Explorer:  # fmt: skip
    """Choose how the annotator is prompted, and a class; see the transition matrix and where the class goes.

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

    def picture(view: AnswerNoiseView, way: str, chosen: int, ax: Axes, frame: bool) -> str:
        mistakes = view.gone * (np.arange(len(names)) != chosen)
        alt = plots.draw_transition_matrix(
            view.matrix, names, ax, title=f"{way}: {100 * view.rate:.0f} % wrong",
            mark=(chosen, int(mistakes.argmax())) if frame and mistakes.any() else None,
            aspect="auto" if frame else "equal",
        )  # fmt: skip
        most = [c for c in np.argsort(-view.gone, kind="stable")[:3] if view.gone[c]]
        goes = ", ".join(f"{names[c]} {view.gone[c]}" for c in most) or "none was answered"
        return f"{alt} Texts of {names[chosen]} are labelled: {goes}."

    def draw(way: str, chosen: int) -> Drawn:
        view = compute_answer_noise(answers, y, len(names), way, chosen)
        fig, ax = matrix_figure(names)
        # Wrong labels first, the surest on top.
        shown = view.examples.assign(wrong=view.examples["label"] != chosen)
        shown = shown.sort_values("wrong", ascending=False, kind="stable").head(6)
        rows = [
            (shorten(texts[i]), name_of(said, names, "abstained"), share(sure), "wrong" if wrong else "right")
            for i, said, sure, wrong in shown.astype({"index": int}).itertuples(index=False)
        ]
        caption = f"Texts of {names[chosen]}: wrong labels first, the surest on top"
        below = table(rows, ("text", "label given", "confidence", ""), caption)
        return fig, picture(view, way, chosen, ax, True), below

    def static(way: str, chosen: int) -> Still:
        fig, ((top,), strip) = plots.panels((1, len(ways)), (2.2, 1), 8.0, 8.0)
        views = {name: compute_answer_noise(answers, y, len(names), name, chosen) for name in ways}
        alt, words = picture(views[way], way, chosen, top, False), []
        for ax, (name, view) in zip(strip, views.items(), strict=True):
            plots.draw_transition_matrix(view.matrix, names, ax, numbers=False)
            ax.set_title(f"{name}\n{100 * view.rate:.0f} % wrong", fontsize=8)
            words.append(f"{name}: {100 * view.rate:.0f} percent wrong")
        return fig, f"{alt} Below it a small matrix for every way of asking. {'; '.join(words)}."

    controls = {
        "way": ("way of asking", way, ways),
        "chosen": ("true class", chosen, [(name, c) for c, name in enumerate(names)]),
    }
    return Explorer(controls, draw, static, lines=8.5)

"""Explorer of demonstrations: a query, its examples, the prompt, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.annotate import prompts
from nlkit.annotate.base import Demonstration
from nlkit.course import plots
from nlkit.course.widgets.explorer import Drawn, Explorer, Still, name_of, shorten

Prompt = Callable[[str, list[Demonstration]], str]


class DemonstrationView(NamedTuple):
    """One recorded answer and what led to it.

    Attributes
    ----------
    shown : list of Demonstration
        In the order shown, the nearest last.
    probability : ndarray, shape (C,)
        Of each label; sums to 1.
    label, truth
        The answer (-1: abstained) and the true label (-1: unknown).
    verdict
        abstained, right or wrong; answered where the truth is unknown.
    """

    shown: list[Demonstration]
    probability: NDArray[np.float64]
    label: int
    truth: int
    verdict: str


def compute_demonstration(
    answers: pd.DataFrame, probability: ArrayLike, shown: ArrayLike, texts: Sequence[str],
    labels: Mapping[str, ArrayLike], truth: ArrayLike, query: int, way: str, k: int,
) -> DemonstrationView:  # fmt: skip
    """Look up one answer.

    Parameters
    ----------
    answers : DataFrame, one row an answer
        query, way, k and label.
    probability : array, shape (rows, C)
        The answers' probabilities.
    shown : array of int, shape (rows, K)
        The training texts shown with each, nearest last; -1 is none.
    texts : sequence of N strings
        The training texts.
    labels : mapping of str to array of int, shape (N,)
        The labels that each way shows them with.
    truth : array of int
        True label of each query.
    query, way, k
        Which answer; with ``k=0`` there is no way.
    """
    found = (answers["query"] == query) & (answers["k"] == k) & ((answers["way"] == way) | (k == 0))
    rows = np.flatnonzero(found.to_numpy())
    if len(rows) != 1:
        invalid("query, way, k", (query, way, k), "a question that was asked once in this way")
    row, own = rows[0], np.asarray(labels[way], np.int64)
    examples = [Demonstration(texts[i], int(own[i])) for i in np.asarray(shown)[row].tolist() if i >= 0]
    label, true = int(answers["label"].iloc[row]), int(np.asarray(truth)[query])
    verdict = "answered" if true < 0 else "right" if label == true else "wrong"
    p = np.asarray(probability, np.float64)[row]
    return DemonstrationView(examples, p, label, true, "abstained" if label < 0 else verdict)


def demonstration_explorer(
    answers: pd.DataFrame, probability: ArrayLike, shown: ArrayLike, queries: Sequence[str],
    texts: Sequence[str], labels: Mapping[str, ArrayLike], truth: ArrayLike, label_names: Sequence[str], *,
    query: int = 0, way: str | None = None, k: int = 4, prompt: Prompt | None = None,
) -> Explorer:  # fmt: skip
    """Choose a query, how many demonstrations it is given, and from where; see prompt and answer.

    Parameters
    ----------
    answers, probability, shown, texts, labels, truth
        As in `compute_demonstration`; the ways are the keys of `labels`.
    queries : sequence of Q strings
    label_names : sequence of C strings
    query, way, k
        Where the controls stand first; the first way by default.
    prompt : callable, optional
        Takes a query and its demonstrations and returns the words put to the model, such as
        ``lambda text, shown: llm.prompts([text], names, [shown])[0]``. By default `nlkit.annotate.prompts`
        with texts in full.
    """
    ways, names = list(labels), list(label_names)
    shots, described = sorted({0, *answers["k"].tolist()}), list(prompts.describe(names).values())

    def plain(text: str, shown: list[Demonstration]) -> str:
        return prompts.prefix(names, None if shown else described) + prompts.suffix(names, shown, text)

    def look(query: int, way: str, k: int) -> DemonstrationView:
        return compute_demonstration(answers, probability, shown, texts, labels, truth, query, way, k)

    def title(k: int, way: str) -> str:
        return f"{k} from {way}" if k else "k = 0"

    def picture(view: DemonstrationView, title: str, ax: Axes) -> str:
        known, title = None if view.truth < 0 else view.truth, f"{title}: {view.verdict}"
        shown = [d.label for d in view.shown]
        return plots.draw_answer(view.probability, names, ax, shown=shown, truth=known, title=title)

    def draw(query: int, k: int, way: str) -> Drawn:
        view = look(query, way, k)
        fig, ax = plots.figure(width=8.6, height=3.8, margins=(0.27, 0.97, 0.15, 0.9))
        alt = picture(view, title(k, way), ax)
        style = "white-space: pre-wrap; line-height: 1.3"
        words = escape((prompt or plain)(queries[query], view.shown))
        return fig, alt, f'<p>What the model reads:</p><pre style="{style}">{words}</pre>'

    def static(query: int, k: int, way: str) -> Still:
        """Draw the first position, and below it the same query with every number of demonstrations."""
        fig, ((top,), strip) = plots.panels((1, len(shots)), (1.2, 1), 8.5, 6.4)
        alt, words = picture(look(query, way, k), title(k, way), top), []
        for column, (number, ax) in enumerate(zip(shots, strip, strict=True)):
            view = look(query, way, number)
            picture(view, f"k = {number}", ax)
            ax.set(xlabel="", xticks=[0, 50, 100])
            ax.title.set_fontsize(9)
            ax.set_yticklabels([t.get_text().split(" [")[0] for t in ax.get_yticklabels()], fontsize=7)
            if column:
                ax.set_yticks([])
            words.append(f"{number} demonstrations: {name_of(view.label, names, 'no answer')}")
        return fig, f"{alt} Below it the same question with other numbers of them. {'; '.join(words)}."

    controls = {
        "query": ("question", query, [(shorten(q, 60), i) for i, q in enumerate(queries)]),
        "k": ("demonstrations k", k, shots),
        "way": ("taken from", way, ways),
    }
    return Explorer(controls, draw, static, lines=11)

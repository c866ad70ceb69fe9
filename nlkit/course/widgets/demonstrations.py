"""Explorer of demonstrations: a question, the examples it is shown, the prompt, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.annotate import prompts
from nlkit.annotate.base import Demonstration
from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer, choice, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DemonstrationView", "compute_demonstration", "demonstration_explorer"]

Prompt = Callable[[str, list[Demonstration]], str]


@dataclass(frozen=True)
class DemonstrationView:
    """One recorded answer and what led to it.

    Attributes
    ----------
    query, way, k
        Which question, which way of choosing demonstrations ("" with k = 0), and how many.
    shown : list of Demonstration
        In the order shown, the nearest last.
    probability : ndarray, shape (C,)
        Of each label; sums to 1.
    label, truth
        The answer (-1: abstained) and the true label (-1: unknown).
    """

    query: int
    way: str
    k: int
    shown: list[Demonstration]
    probability: NDArray[np.float64]
    label: int
    truth: int

    @property
    def verdict(self) -> str:
        """Abstained, right or wrong; "answered" where the truth is unknown."""
        if self.label < 0:
            return "abstained"
        return "answered" if self.truth < 0 else "right" if self.label == self.truth else "wrong"


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
    found = (answers["query"] == query) & (answers["k"] == k)
    if k:
        found &= answers["way"] == way
    rows = np.flatnonzero(found.to_numpy())
    if len(rows) != 1:
        invalid("query, way, k", (query, way, k), "a question that was asked once in this way")
    row = int(rows[0])
    numbers = [int(i) for i in np.asarray(shown)[row] if i >= 0]
    examples = [Demonstration(texts[i], int(np.asarray(labels[way])[i])) for i in numbers]
    p = np.asarray(probability, np.float64)[row]
    label, true = int(answers["label"].iloc[row]), int(np.asarray(truth)[query])
    return DemonstrationView(query, way if k else "", k, examples, p, label, true)


def demonstration_explorer(
    answers: pd.DataFrame,
    probability: ArrayLike,
    shown: ArrayLike,
    queries: Sequence[str],
    texts: Sequence[str],
    labels: Mapping[str, ArrayLike],
    truth: ArrayLike,
    label_names: Sequence[str],
    *,
    query: int = 0,
    way: str | None = None,
    k: int = 4,
    prompt: Prompt | None = None,
) -> Explorer:
    """Choose a question, how many demonstrations it is shown, and from where; see prompt and answer.

    Parameters
    ----------
    answers, probability, shown, texts, labels, truth
        As in `compute_demonstration`; the ways are the keys of `labels`.
    queries : sequence of Q strings
        The questions.
    label_names : sequence of C strings
    query, way, k
        Where the controls stand first; the first way by default.
    prompt : callable, optional
        Takes a question and its demonstrations and returns the words put to the model, such as
        ``lambda text, shown: llm.prompts([text], names, [shown])[0]``. By default `nlkit.annotate.prompts`
        with texts in full.
    """
    ways, names = list(labels), list(label_names)
    way = ways[0] if way is None else way
    shots = sorted({0, *answers["k"].tolist()})
    for field, value, allowed in (("way", way, ways), ("k", k, shots)):
        if value not in allowed:
            invalid(field, value, f"one of {', '.join(map(str, allowed))}")
    if not 0 <= query < len(queries):
        invalid("query", query, f"a whole number from 0 to {len(queries) - 1}")
    y = np.asarray(truth, np.int64)
    put = prompt or _plain_prompt(names)

    def look(query: int, way: str, k: int) -> DemonstrationView:
        return compute_demonstration(answers, probability, shown, texts, labels, y, query, way, k)

    controls = {
        "query": choice("question", query, [(shorten(q, 60), i) for i, q in enumerate(queries)]),
        "k": choice("demonstrations k", k, shots),
        "way": choice("taken from", way, ways),
    }

    def redraw() -> tuple[Figure, str, str]:
        view = look(controls["query"].value, controls["way"].value, controls["k"].value)
        fig, ax = plots.figure(width=6.4, height=3.6, margins=(0.36, 0.97, 0.15, 0.9))
        alt = _draw(view, names, ax)
        return fig, alt, _prompt_box(put(queries[view.query], view.shown))

    return Explorer(controls, redraw, _static(look, names, shots, query, way, k))


def _plain_prompt(names: list[str]) -> Prompt:
    described = list(prompts.describe(names).values())

    def put(text: str, shown: list[Demonstration]) -> str:
        return prompts.prefix(names, None if shown else described) + prompts.suffix(names, shown, text)

    return put


def _draw(view: DemonstrationView, names: list[str], ax: Any, *, short: bool = False) -> str:
    title = f"k = {view.k}: {view.verdict}" if short or not view.way else _title(view)
    return plots.draw_answer(
        view.probability, names, ax, shown=[d.label for d in view.shown],
        truth=None if view.truth < 0 else view.truth, title=title,
    )  # fmt: skip


def _title(view: DemonstrationView) -> str:
    return f"{view.k} from {view.way}: {view.verdict}"


def _prompt_box(words: str) -> str:
    """Return a prompt as HTML, escaped, with its lines."""
    style = "white-space: pre-wrap; max-height: 22em; overflow-y: auto; line-height: 1.3"
    return f'<p>What the model reads:</p><pre tabindex="0" style="{style}">{escape(words)}</pre>'


def _static(
    look: Callable[[int, str, int], DemonstrationView], names: list[str], shots: list[int], query: int,
    way: str, k: int,
) -> tuple[Figure, str]:  # fmt: skip
    """Draw the default position, and below it the same question with every number of demonstrations."""
    fig, _ = plots.figure(width=8.5, height=6.4)
    fig.clear()
    grid = fig.add_gridspec(2, 1, height_ratios=[1.2, 1])
    alt = _draw(look(query, way, k), names, fig.add_subplot(grid[0]))
    strip, words = grid[1].subgridspec(1, len(shots)), []
    for column, number in enumerate(shots):
        view, ax = look(query, way, number), fig.add_subplot(strip[column])
        _draw(view, names, ax, short=True)
        ax.set(xlabel="", xticks=[0, 50, 100])
        ax.title.set_fontsize(9)
        ax.set_yticklabels([t.get_text().split(" [")[0] for t in ax.get_yticklabels()], fontsize=7)
        if column:
            ax.set_yticks([])
        words.append(f"{number} demonstrations: {names[view.label] if view.label >= 0 else 'no answer'}")
    return fig, f"{alt} Below it the same question with other numbers of them. {'; '.join(words)}."

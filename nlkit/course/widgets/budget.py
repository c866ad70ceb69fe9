"""Explorer of the query budget: whom the annotator is asked about, and what its answers are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer, choice, shorten, steps, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BudgetView", "budget_explorer", "compute_budget"]

COLUMNS = {"observed": "observed label", "guess": "models' own guess", "answer": "annotator's answer"}
"""Column of a table of questions, and what it is called: three labels of the same text."""


@dataclass(frozen=True)
class BudgetView:
    """The first n questions of one rule.

    Attributes
    ----------
    rule, n
        The acquisition rule, and how many of its questions.
    shares : DataFrame
        n from 1, and for each label of `COLUMNS`, by its name there, the share that is right among the first
        n; NaN beyond the questions that were asked.
    counts : dict
        Of the first n: wrong, observed labels that are wrong; mended, those of them that the answer sets
        right; spoilt, right ones that it makes wrong; guessed, wrong ones that the models' guess would set
        right too.
    questions : DataFrame
        The rows of the first n.
    """

    rule: str
    n: int
    shares: pd.DataFrame
    counts: dict[str, int]
    questions: pd.DataFrame


def compute_budget(questions: pd.DataFrame, label: ArrayLike, rule: str, n: int) -> BudgetView:
    """Compare the labels of the texts that a rule asks about first.

    Parameters
    ----------
    questions : DataFrame, one row a question, in the order asked
        rule; index, of the training text; observed, guess and answer: the observed label, the models' mean
        guess before they asked, and the annotator's answer (-1: abstained).
    label : array of int, shape (N,)
        True labels of the training texts.
    rule, n
        Which questions: the first n of this rule.
    """
    own = questions[questions["rule"] == rule].reset_index(drop=True)
    if not 1 <= n <= len(own):
        invalid("n", n, f"a whole number from 1 to {len(own)}, the questions asked by the rule {rule!r}")
    truth = np.asarray(label, np.int64)[own["index"].to_numpy(np.int64)]
    number = np.arange(1, len(own) + 1)
    right = {column: own[column].to_numpy(np.int64) == truth for column in COLUMNS}
    shares = {name: np.cumsum(right[column]) / number for column, name in COLUMNS.items()}
    first = {column: hit[:n] for column, hit in right.items()}
    wrong = ~first["observed"]
    counts = {
        "wrong": int(wrong.sum()), "mended": int((wrong & first["answer"]).sum()),
        "spoilt": int((~wrong & ~first["answer"]).sum()), "guessed": int((wrong & first["guess"]).sum()),
    }  # fmt: skip
    return BudgetView(rule, n, pd.DataFrame({"n": number, **shares}), counts, own.head(n))


def budget_explorer(
    questions: pd.DataFrame,
    label: ArrayLike,
    texts: Sequence[str],
    label_names: Sequence[str],
    *,
    rule: str | None = None,
    n: int | None = None,
) -> Explorer:
    """Choose an acquisition rule and a number of questions; see what the answers are worth.

    Parameters
    ----------
    questions, label
        As in `compute_budget`.
    texts : sequence of N strings
        The training texts.
    label_names : sequence of C strings
    rule, n
        Where the controls stand first: the first rule, and half of its questions.
    """
    rules, y = list(dict.fromkeys(questions["rule"])), np.asarray(label, np.int64)
    if not rules:
        raise ValueError("questions is empty: no text was asked about; ask with query_budget of at least 1")
    rule = rules[0] if rule is None else rule
    if rule not in rules:
        invalid("rule", rule, f"one of {', '.join(rules)}")
    # All rules share the slider, so it ends where the rule with the fewest questions does.
    most = int(questions["rule"].value_counts().min())
    n = max(1, most // 2) if n is None else n
    controls = {"rule": choice("acquisition rule", rule, rules), "n": steps("questions n", n, 1, most)}
    start = compute_budget(questions, y, rule, n)

    def redraw() -> tuple[Figure, str, str]:
        view = compute_budget(questions, y, controls["rule"].value, controls["n"].value)
        fig, ax = plots.figure(width=7.4, height=3.6, margins=(0.09, 0.68, 0.15, 0.9))
        alt = plots.draw_questions(view.shares, ax, at=view.n)
        ax.set_title(view.rule)
        return fig, alt, _questions_table(view, y, texts, label_names)

    return Explorer(controls, redraw, _static(questions, y, rules, start))


def _questions_table(
    view: BudgetView, label: ArrayLike, texts: Sequence[str], names: Sequence[str], rows: int = 5
) -> str:
    """Return the counts and the last of the first n questions as HTML, escaped."""
    c, y = view.counts, np.asarray(label, np.int64)
    said = (
        f"The first {view.n} questions: {c['wrong']} observed labels are wrong; the answers set "
        f"{c['mended']} of them right and spoil {c['spoilt']} that were right. The models' own guess would "
        f"set {c['guessed']} right."
    )

    def named(number: int) -> str:
        return names[number] if number >= 0 else "–"

    last = view.questions.tail(rows)
    index, *labels = (last[column].to_numpy(np.int64) for column in ("index", *COLUMNS))
    body = [
        (shorten(texts[i], 70), *(named(own[row]) for own in labels), named(y[i]))
        for row, i in enumerate(index.tolist())
    ]
    return f"<p>{said}</p>" + table(body, ("text", *COLUMNS.values(), "true label"), "The last of them")


def _static(
    questions: pd.DataFrame, label: ArrayLike, rules: list[str], start: BudgetView
) -> tuple[Figure, str]:
    """Draw the curves of every rule, with the first position marked in its own."""
    fig, axes = plots.figure(len(rules), 1, width=8.5, height=0.4 + 2.6 * len(rules))
    words = []
    for ax, rule in zip(np.atleast_1d(axes), rules, strict=True):
        view = start if rule == start.rule else compute_budget(questions, label, rule, start.n)
        said = plots.draw_questions(view.shares, ax, at=view.n)
        ax.set_title(rule)
        words.append(f"{rule}: {said}")
    return fig, " ".join(words)

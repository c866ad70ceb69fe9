"""Explorer of the query budget: which texts are queried, and what the annotator's answers are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit.course import plots
from nlkit.course.widgets.explorer import Drawn, Explorer, Still, check, name_of, shorten, table

# Column of a table of queries, and what it is called: three labels of the same text.
COLUMNS = {"observed": "observed label", "guess": "models' own guess", "answer": "annotator's answer"}

SAID = (
    "The first {n} questions: {wrong} observed labels are wrong; the answers set {mended} of them right and "
    "spoil {spoilt} that were right. The models' own guess would set {guessed} right."
)


class BudgetView(NamedTuple):
    """The first n queries of one acquisition rule.

    Attributes
    ----------
    shares : DataFrame
        n from 1, and for each label of `COLUMNS`, by its name there, the share that is right among the first
        n; NaN beyond the queries that were made.
    counts : dict
        Of the first n: wrong, observed labels that are wrong; mended, those of them that the answer sets
        right; spoilt, right ones that it makes wrong; guessed, wrong ones that the models' guess would set
        right too.
    questions : DataFrame
        The rows of the first n.
    """

    shares: pd.DataFrame
    counts: dict[str, int]
    questions: pd.DataFrame


def compute_budget(questions: pd.DataFrame, label: ArrayLike, rule: str, n: int) -> BudgetView:
    """Compare the labels of the texts that a rule queries first.

    Parameters
    ----------
    questions : DataFrame, one row a query, in the order made
        rule; index, of the training text; observed, guess and answer: the observed label, the models' mean
        guess before the query, and the annotator's answer (-1: abstained).
    label : array of int, shape (N,)
        True labels of the training texts.
    rule, n
        Which queries: the first n of this rule.
    """
    own = questions[questions["rule"] == rule].reset_index(drop=True)
    check("n", n, range(1, len(own) + 1))
    truth = np.asarray(label, np.int64)[own["index"].to_numpy(np.int64)]
    right = own[list(COLUMNS)].eq(truth, axis=0)
    number = np.arange(1, len(own) + 1)
    shares = right.rename(columns=COLUMNS).cumsum().div(number, axis=0)
    shares.insert(0, "n", number)
    observed, guess, answer = right.head(n).to_numpy().T
    counts = {
        "wrong": ~observed, "mended": ~observed & answer, "spoilt": observed & ~answer,
        "guessed": ~observed & guess,
    }  # fmt: skip
    return BudgetView(shares, {name: int(of.sum()) for name, of in counts.items()}, own.head(n))


def budget_explorer(
    questions: pd.DataFrame, label: ArrayLike, texts: Sequence[str], label_names: Sequence[str], *,
    rule: str | None = None, n: int | None = None,
) -> Explorer:  # fmt: skip
    """Choose an acquisition rule and a number of queries; see what the answers are worth.

    Parameters
    ----------
    questions, label
        As in `compute_budget`.
    texts : sequence of N strings
        The training texts.
    label_names : sequence of C strings
    rule, n
        Where the controls stand first: the first rule, and half of its queries.
    """
    rules, y = list(dict.fromkeys(questions["rule"])), np.asarray(label, np.int64)
    if not rules:
        raise ValueError("questions is empty: no text was asked about; ask with query_budget of at least 1")

    def draw(rule: str, n: int) -> Drawn:
        view = compute_budget(questions, y, rule, n)
        fig, ax = plots.figure(width=8.6, height=3.8, margins=(0.08, 0.72, 0.15, 0.9))
        alt = plots.draw_questions(view.shares, ax, at=n)
        ax.set_title(rule)
        said = SAID.format(n=n, **view.counts)
        last = view.questions[["index", *COLUMNS]].tail(5).astype(int)
        rows = [
            (shorten(texts[i], 70), *(name_of(c, label_names, "–") for c in (*labels, y[i])))
            for i, *labels in last.itertuples(index=False)
        ]
        head = ("text", *COLUMNS.values(), "true label")
        return fig, alt, f"<p>{said}</p>" + table(rows, head, "The last of them")

    def static(rule: str, n: int) -> Still:
        fig, axes = plots.figure(len(rules), 1, width=8.5, height=0.4 + 2.6 * len(rules))
        words = []
        for ax, name in zip(np.atleast_1d(axes), rules, strict=True):
            shares = compute_budget(questions, y, name, n).shares
            words.append(f"{name}: {plots.draw_questions(shares, ax, at=n)}")
            ax.set_title(name)
        return fig, " ".join(words)

    # All rules share the slider, so it ends where the rule with the fewest queries does.
    most = int(questions["rule"].value_counts().min())
    controls = {
        "rule": ("acquisition rule", rule, rules),
        "n": ("questions n", max(1, most // 2) if n is None else n, range(1, most + 1), "questions"),
    }
    return Explorer(controls, draw, static, lines=9)

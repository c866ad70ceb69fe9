"""Which method for data like mine? Every one on held-out parts of them, and what that allows to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from nlkit._util import invalid
from nlkit.data.checks import check_choice, check_count, numbers_of
from nlkit.data.observed import learnt_names, with_column
from nlkit.study.annotators import with_consensus
from nlkit.study.comparing import LAST, compare, contestants, intervals

if TYPE_CHECKING:
    from datasets import DatasetDict

__all__ = ["Choice", "choose"]

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Choice:
    """What `choose` found; printed, it is the tables and the recommendation.

    Attributes
    ----------
    noisy : DataFrame, one row a method and selection, the best first
        method, selected, accuracy, low, high: how many of the labels **as found** of held-out texts it
        predicts, with the interval; difference to the best with its interval, which is corrected for so many
        comparisons; won, in which share of resampled texts it is best; seconds, of all its fits.
    gold : DataFrame or None
        The same by the true labels, where there are any.
    recommended : str
        What to use, and how sure that is.
    """

    noisy: pd.DataFrame
    gold: pd.DataFrame | None
    recommended: str

    def __repr__(self) -> str:
        parts = [f"Held-out labels as found that are predicted, in %:\n{_shown(self.noisy)}"]
        if self.gold is not None:
            parts.append(f"True labels that are predicted, in %:\n{_shown(self.gold)}")
        return "\n\n".join([*parts, self.recommended])


def choose(
    ds: DatasetDict, methods: Sequence[str] | None = None, *, folds: int = 5, encoder: str = "auto",
    profile: str = "quick", seed: int = 0, checkpoint: str | Path | None = None,
) -> Choice:  # fmt: skip
    """Fit methods on all but one part of ``ds["train"]``, in turn, and compare them on what was held out.

    Held-out labels are as wrong as the others, so no method predicts all of them; but where wrong labels do
    not follow a rule, the method that predicts most of them also predicts most of the true ones. Nobody is
    asked. True labels (``label``) are compared with at the end, where there are any, and decide then.

    Parameters
    ----------
    ds : DatasetDict
        "train" with ``text`` and ``noisy_label``, or labels of several annotators; perhaps ``label``.
    methods : sequence of str, optional
        Names of `nlkit.study.comparing.contestants`; all by default.
    folds : int
        Parts, at least 2.
    encoder, profile, seed
        As in every method; the seed also decides the parts.
    checkpoint : path, optional
        Folder that keeps finished fits.

    Raises
    ------
    ValueError
        If a setting is not allowed, or a part would be without texts.
    """
    ds, _ = with_consensus(ds)
    makers = contestants(encoder=encoder, profile=profile)
    for name in methods or ():
        check_choice("methods", name, tuple(makers))
    makers = {name: make for name, make in makers.items() if not methods or name in methods}
    check_count("folds", folds, 2)
    names, train = learnt_names(ds), ds["train"]
    noisy = numbers_of(train, "noisy_label", "ds['train']", names)
    known = np.flatnonzero(noisy >= 0)
    if len(known) < 10 * folds:
        invalid("folds", folds, f"at most a tenth of the {len(known)} labelled texts")
    train, noisy = train.select(known), noisy[known]
    parts, guesses, order = StratifiedKFold(folds, shuffle=True, random_state=seed), [], []
    found: list[pd.DataFrame] = []
    for rest, held in parts.split(noisy, noisy):
        # A tenth of what is learnt from says, by its noisy labels, which epoch is the best one.
        cut = np.random.default_rng(seed).permutation(rest)
        validation, learnt = cut[: len(cut) // 10], np.sort(cut[len(cut) // 10 :])
        test = with_column(train.select(held), "label", noisy[held].tolist(), train.features["noisy_label"])
        here = type(ds)(train=train.select(learnt), validation=train.select(np.sort(validation)), test=test)
        scores, guess = compare({seed: here}, makers, checkpoint=checkpoint)
        found.append(scores)
        guesses.append(guess)
        order.append(held)
    guess = np.concatenate(guesses, axis=1)[:, np.concatenate(order).argsort()]
    scores = found[0].assign(seconds=sum(part["seconds"] for part in found))
    by_noisy, gold = _judged(scores, guess, noisy), None
    if "label" in train.column_names:
        label = numbers_of(train, "label", "ds['train']", names)
        if (label >= 0).any():
            gold = _judged(scores, guess[:, label >= 0], label[label >= 0])
    return Choice(by_noisy, gold, _recommended(by_noisy, gold))


def _judged(scores: pd.DataFrame, guess: NDArray[Any], label: NDArray[np.int64]) -> pd.DataFrame:
    right = (guess == label).astype(np.float64)
    best = scores.iloc[int(right.mean(1).argmax())]
    against = str(best["method"]), str(best["selected"])
    corrected = 1 - (1 - LEVEL) / max(1, len(scores) - 1)
    table = intervals(scores, guess, label, against, level=LEVEL, difference_level=corrected)
    # Texts that the same methods are right about are drawn together: there are few kinds, and many texts.
    kind, n = np.unique(right, axis=1, return_counts=True)
    draws = np.random.default_rng(0).multinomial(n.sum(), n / n.sum(), DRAWS)
    won = np.bincount((kind @ draws.T).argmax(0), minlength=len(right)) / DRAWS
    return table.assign(won=won, seconds=scores["seconds"]).sort_values(
        "accuracy", ascending=False, kind="stable"
    )


def _recommended(noisy: pd.DataFrame, gold: pd.DataFrame | None) -> str:
    table = noisy if gold is None else gold
    by = "labels as found" if gold is None else "true labels"
    best: Any = table.iloc[0]
    alike = table[table["difference_high"] >= 0].iloc[1:]
    lines = [
        f"Recommended: {_name(best)}. It predicts {best['accuracy']:.1%} of the held-out {by} "
        f"({best['low']:.1%} to {best['high']:.1%}), and is best in {best['won']:.0%} of resampled texts."
    ]
    if len(alike):
        fast: Any = alike.sort_values("seconds").iloc[0]
        lines.append(f"These texts cannot tell it from {', '.join(map(_name, alike.to_dict('records')))}.")
        if fast["seconds"] < 0.5 * best["seconds"]:
            times = best["seconds"] / max(fast["seconds"], 1e-9)
            lines.append(f"{_name(fast)} takes {times:.0f} times less time.")
    else:
        lines.append("Every other one is clearly behind (paired, corrected for so many comparisons).")
    if gold is None:
        lines.append(
            "No true label was seen: where wrong labels follow a rule (one class taken for another, a "
            "model's habits), what predicts them best is not what is right most often. A few hundred checked "
            "labels (--gold) would say."
        )
    elif _name(noisy.iloc[0]) != _name(best):
        lines.append(f"By the labels as found it would have been {_name(noisy.iloc[0])}.")
    return " ".join(lines)


def _name(row: Any) -> str:
    return str(row["method"]) if row["selected"] == LAST else f"{row['method']} ({row['selected']})"


def _shown(table: pd.DataFrame) -> str:
    shares = ["accuracy", "low", "high", "difference", "difference_low", "difference_high", "won"]
    shown = table.assign(
        **{name: (100 * table[name]).round(1) for name in shares}, seconds=table["seconds"].round(1)
    )
    return shown.to_string(index=False)

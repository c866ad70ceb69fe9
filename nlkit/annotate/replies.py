"""What a chat model's reply says: which label it names, and how sure the model was of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nlkit.annotate.base import ABSTAINED
from nlkit.annotate.prompts import clean

__all__ = ["ReplyToken", "label_scores", "named_label"]

_QUOTES = "\"'`“”„‘’‚«»‹› "


class ReplyToken(NamedTuple):
    """One token of a reply: its text, its log-probability, and what could have stood in its place."""

    text: str
    logprob: float
    alternatives: Sequence[tuple[str, float]]


def _bare(text: str) -> str:
    return clean(text).strip(_QUOTES).removesuffix(".").strip(_QUOTES)


def _folded(text: str) -> str:
    return _bare(text).casefold()


def named_label(reply: str, label_names: Sequence[str]) -> int:
    """Return the number of the label that a reply names, or -1.

    The whole reply must be one label name; letter case, quotes around it and a final dot are forgiven. A
    sentence that mentions a label is no answer: it may just as well deny it. The stricter reading counts
    first, so names that differ only in what is forgiven are still told apart.
    """
    for form in (clean, _bare, _folded):
        said = form(reply)
        named = [c for c, name in enumerate(label_names) if form(name) == said]
        if said and len(named) == 1:
            return named[0]
    return ABSTAINED


def label_scores(
    answered: int, label_names: Sequence[str], tokens: Sequence[ReplyToken]
) -> npt.NDArray[np.float64]:
    """Estimate the log-probability of every label from a reply's tokens and their listed alternatives.

    The answered label has the product of its tokens' probabilities. An alternative at some token adds its
    probability, times that of the tokens before, to the label it begins; where it begins several, each gets
    an equal part. What begins no label is left out, and the rest is divided by its sum.

    Returns
    -------
    array of shape (C,)
        Log-probabilities, ``-inf`` for labels that no listed alternative begins; all NaN where the tokens do
        not spell the answered label (a server may list other tokens than those of the reply).
    """
    names = [_folded(name) for name in label_names]
    unknown = np.full(len(names), np.nan)
    mass = np.zeros(len(names))
    spelt, before = "", 0.0
    for token in tokens:
        for text, logprob in token.alternatives:
            beginning = _folded(spelt + text)
            if text == token.text or not beginning:
                continue
            begun = [c for c, name in enumerate(names) if name.startswith(beginning)]
            if begun:
                mass[begun] += np.exp(before + logprob) / len(begun)
        spelt, before = spelt + token.text, before + token.logprob
        if _folded(spelt) == names[answered]:
            mass[answered] += np.exp(before)
            break
    else:
        return unknown
    if not np.isfinite(mass).all() or mass[answered] <= 0:
        return unknown
    with np.errstate(divide="ignore"):
        scores: npt.NDArray[np.float64] = np.log(mass / mass.sum())
    return scores

"""A cheap annotator first, a dear one where that is not enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nlkit._util import invalid
from nlkit.annotate.base import (
    ABSTAINED,
    Annotator,
    Demonstrations,
    annotator_name,
    check_annotator,
    checked_answers,
)
from nlkit.data.checks import check_share

__all__ = ["Escalate"]


class Escalate:
    """Asks the cheap annotator about all texts, and the dear one where the cheap one abstains or is doubted.

    Parameters
    ----------
    cheap, dear : Annotator
        Each with its own budget and store.
    below : float
        Also ask the dear one where the cheap one's confidence is smaller.

    Notes
    -----
    `NoiseAL` says what its models guess: a cheap answer that contradicts the guess goes to the dear one too.
    What NoiseAL counts is texts, and it measures the two as one.
    """

    wants_guesses = True

    def __init__(self, cheap: Annotator, dear: Annotator, below: float = 0.0) -> None:
        for who in (cheap, dear):
            if isinstance(who, str):
                invalid("annotator", who, f"an annotator, such as nk.annotators.LocalLLM({who!r})")
            check_annotator(who)
        check_share("below", below)
        self.cheap, self.dear, self.below = cheap, dear, below
        self.name = f"{annotator_name(cheap)}, then {annotator_name(dear)}"
        self.simulated = any(getattr(who, "simulated", False) for who in (cheap, dear))

    def ready(self, label_names: Sequence[str]) -> None:
        """See, before other work is done, that both will answer."""
        for who in (self.cheap, self.dear):
            if hasattr(who, "ready"):
                who.ready(list(label_names))

    def annotate(
        self,
        texts: Sequence[str],
        label_names: Sequence[str],
        demonstrations: Demonstrations = None,
        guesses: Sequence[int] | None = None,
    ) -> pd.DataFrame:
        """Label `texts`; column ``by`` says whose answer a row is.

        Parameters
        ----------
        guesses : sequence of n ints, optional
            Labels from elsewhere: an answer that differs is asked for again.
        """
        table = self._ask(self.cheap, texts, label_names, demonstrations)
        label = table["label"].to_numpy()
        doubted = (label == ABSTAINED) | (table["confidence"] < self.below).to_numpy()
        if guesses is not None:
            doubted |= label != np.asarray(guesses)
        again = np.flatnonzero(doubted).tolist()
        if not again:
            return table
        shown: Any = list(demonstrations or [])
        if shown and not isinstance(shown[0], tuple):  # a list a text
            shown = [shown[i] for i in again]
        second = self._ask(self.dear, [texts[i] for i in again], label_names, shown or None).set_axis(again)
        # Where the dear one has no answer either, the cheap one's stays.
        second = second[second["label"] != ABSTAINED]
        return pd.concat([table.drop(second.index), second]).sort_index()

    def _ask(
        self, who: Annotator, texts: Sequence[str], label_names: Sequence[str], demonstrations: Any
    ) -> pd.DataFrame:
        name = annotator_name(who)
        answers = who.annotate(texts, label_names, demonstrations)
        return checked_answers(answers, len(texts), len(label_names), name).assign(by=name)

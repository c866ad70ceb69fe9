"""An annotator for fast lessons and tests: it knows the truth and is wrong as often as told."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nlkit._util import content_hash, invalid
from nlkit.annotate.base import Demonstrations, answer_table, check_request
from nlkit.annotate.demonstrations import MISSING
from nlkit.data.checks import check_count, check_share, class_numbers

__all__ = ["Simulated"]


class Simulated:
    """Answers from the true labels, wrong at random: its name says "simulated" wherever results show.

    Parameters
    ----------
    accuracy : float
        Probability of the true label; otherwise any other class, uniformly.
    reference : datasets.Dataset or mapping
        The truth: a dataset with `text` and `label`, or a mapping from text to class number. Where the label
        is missing (None, NaN or -1), the annotator abstains.
    seed : int
        An answer depends on the seed and the text alone, not on order, batch or demonstrations.
    abstain_rate : float
        Probability of no answer.

    Notes
    -----
    The confidence is drawn too: Beta(8, 2) where the answer is right and Beta(4, 3) where it is wrong,
    squeezed into (1/C, 1), so that it tells something about the answer but not all.
    """

    simulated = True

    def __init__(
        self,
        accuracy: float = 0.9,
        reference: Any = None,
        seed: int = 0,
        abstain_rate: float = 0.0,
    ) -> None:
        check_share("accuracy", accuracy)
        check_share("abstain_rate", abstain_rate)
        check_count("seed", seed)
        if reference is None:
            raise ValueError(
                "Simulated needs the truth: reference=ds['train'] (a dataset with `text` and `label`), or "
                "a mapping from text to class number"
            )
        self.accuracy = accuracy
        self.seed = seed
        self.abstain_rate = abstain_rate
        self.name = f"simulated ({accuracy * 100:.4g} % right)"
        self._names = None
        if isinstance(reference, Mapping):
            texts, label = [str(text) for text in reference], list(reference.values())
        else:
            missing = {"text", "label"} - set(getattr(reference, "column_names", []))
            if missing:
                raise ValueError(
                    f"reference lacks the columns {sorted(missing)}: give a dataset with text and label"
                )
            texts, label = reference["text"][:], reference["label"][:]
            self._names = getattr(reference.features["label"], "names", None)
        numbers = class_numbers(label, "the reference's label")
        self._truth = dict(zip(texts, numbers.tolist(), strict=True))

    def annotate(
        self, texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations = None
    ) -> pd.DataFrame:
        """Label `texts`; demonstrations are checked and otherwise ignored.

        Raises
        ------
        ValueError
            If a text is not in the reference, or its label is out of range.

        Warns
        -----
        UserWarning
            If the reference has no label of some texts, where the answer is therefore -1.
        """
        request = check_request(texts, label_names, demonstrations)
        n = len(request.texts)
        answers = [self._answer(text, request.label_names) for text in request.texts]
        if unknown := sum(self._truth[text] == MISSING for text in request.texts):
            warnings.warn(
                f"the reference has no true label of {unknown} of {n} texts: the simulated annotator "
                "abstains there",
                stacklevel=2,
            )
        return answer_table(
            np.array([p for p, _ in answers]),
            request.label_names,
            abstain=np.array([abstains for _, abstains in answers], dtype=bool),
            source=["model"] * n,
            prompt_tokens=[0] * n,
            prompts=request.texts,
        )

    def _answer(self, text: str, names: Sequence[str]) -> tuple[np.ndarray, bool]:
        """Return the probabilities of an answer, shape (C,), and whether it is held back."""
        if text not in self._truth:
            raise ValueError(
                f"the simulated annotator does not know the text {text[:60]!r}: its reference must hold "
                "every text asked"
            )
        truth, C = self._truth[text], len(names)
        if truth == MISSING:
            return np.full(C, 1 / C), True
        if self._names is not None:
            if self._names[truth] not in names:
                allowed = f"one of the classes asked for: {', '.join(names)}"
                invalid("the reference's label", self._names[truth], allowed)
            truth = list(names).index(self._names[truth])
        elif not 0 <= truth < C:
            invalid("the reference's label", truth, f"a class number from 0 to {C - 1} for {text[:60]!r}")
        rng = np.random.default_rng(int(content_hash(str(self.seed), text), 16))
        # All draws are made for every text, so that changing one rate leaves the others' outcomes alone.
        right, abstains, shift = rng.random(), rng.random(), int(rng.integers(1, C))
        strong, weak = rng.beta(8, 2), rng.beta(4, 3)
        label, drawn = (truth, strong) if right < self.accuracy else ((truth + shift) % C, weak)
        confidence = 1 / C + (1 - 1 / C) * float(np.clip(drawn, 0.01, 0.99))
        p = np.full(C, (1 - confidence) / (C - 1))
        p[label] = confidence
        return p, abstains < self.abstain_rate

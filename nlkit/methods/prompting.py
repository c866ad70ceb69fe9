"""The language model alone: each text to predict is a question with solved examples; nothing learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from torch import nn

from nlkit._util import invalid
from nlkit.annotate.base import Annotator, annotator_name, check_annotator, checked_answers
from nlkit.annotate.examples import retrieve
from nlkit.annotate.local import as_annotator
from nlkit.data.observed import label_names, observe
from nlkit.methods.base import Method
from nlkit.methods.selection import eval_parts
from nlkit.metrics.predictions import accuracy
from nlkit.models.prediction import Prediction
from nlkit.training.config import TrainingConfig

__all__ = ["PromptedLLM", "PromptedLLMConfig"]


@dataclass(frozen=True, kw_only=True)
class PromptedLLMConfig(TrainingConfig):
    """Settings of `PromptedLLM`; of `TrainingConfig`'s, those of training change nothing.

    Attributes
    ----------
    demonstrations
        Training texts shown with each question, with their noisy labels: the nearest by the encoder's
        embeddings. 0: zero-shot.
    """

    demonstrations: int = 4
    trainable_layers: Any = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("demonstrations", low=0, whole=True)


class PromptedLLM(Method):
    """Ask an annotator about each text to predict, showing it the nearest training texts.

    Parameters
    ----------
    encoder : str
        It says which training texts are near.
    annotator : str or Annotator
        As in `NoiseAL`; every text that is predicted is a question to it.
    profile, seed
        As in every method; they change nothing.
    **settings
        Any other field of `PromptedLLMConfig`.

    Attributes
    ----------
    annotations_ : DataFrame
        The answers to the texts that were predicted last, as `nlkit.annotate.base.answer_table` says. Not
        saved.
    examples_ : DataFrame
        What can be shown: text and label (noisy), one row a labelled training text.
    history_ : DataFrame
        One row.
    best_epoch_ : None
        There are no epochs to choose from.
    """

    config_class = PromptedLLMConfig
    config: PromptedLLMConfig
    needs_annotator = True
    tables: ClassVar[tuple[str, ...]] = ("history_", "examples_")

    def __init__(
        self, encoder: str = "auto", annotator: str | Annotator | None = "smollm2", profile: str = "class",
        seed: int = 0, **settings: Any,
    ) -> None:  # fmt: skip
        self._configure(encoder=encoder, profile=profile, seed=seed, **settings)
        if annotator is not None:
            check_annotator(annotator)
        self.annotator = annotator

    def _arguments(self) -> dict[str, Any]:
        return self._given | {"annotator": self.annotator}

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Remember the labelled training texts; nobody is asked before texts are predicted."""
        data, names = observe(ds, "train"), label_names(ds)
        as_annotator(self._asked(), names)
        known = data.labelled()
        self.examples_ = pd.DataFrame({"text": known.texts, "label": known.noisy_label})
        self.label_names_, self.best_epoch_, self._trained_on = names, None, data.identity()
        right = {
            f"accuracy_{name}": accuracy(self.predict_proba(texts), y)
            for name, texts, y in eval_parts(ds, eval_splits)
        }
        self.history_ = pd.DataFrame([{"epoch": 1.0, **right}])
        return self

    def _asked(self) -> str | Annotator:
        if self.annotator is None:
            invalid("annotator", None, "a model's name or an annotator: it is what predicts")
        return self.annotator

    def _predict(self, texts: Sequence[str]) -> Prediction:
        names, k = self.label_names_, self.config.demonstrations
        who = as_annotator(self._asked(), names)
        shown = retrieve(texts, self._pool(), k, encoder=self.config.encoder)[0] if k else None
        answers = who.annotate(list(texts), names, shown)
        self.annotations_ = checked_answers(answers, len(texts), len(names), annotator_name(who))
        columns = [f"p_{c}" for c in range(len(names))]
        if set(columns) <= set(answers.columns):
            p = answers[columns].to_numpy(np.float32)
        else:  # of an annotator of one's own, which need not say
            label = answers["label"].to_numpy()
            p = np.where(label[:, None] < 0, 1 / len(names), np.eye(len(names))[label]).astype(np.float32)
        return Prediction(p, np.empty((len(texts), 0), np.float32))

    def _pool(self) -> Dataset:
        features = Features({"text": Value("string"), "label": ClassLabel(names=self.label_names_)})
        return Dataset.from_dict(self.examples_.to_dict("list"), features=features)

    def _networks(self) -> dict[str, nn.Module]:
        return {}

    def _extra_values(self) -> dict[str, Any]:
        return {"annotator": self.annotator if isinstance(self.annotator, str) else None}

    def _rebuild(self, values: dict[str, Any]) -> None:
        self.annotator = values["annotator"]  # only a name can be saved

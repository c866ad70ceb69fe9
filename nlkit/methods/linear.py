"""Logistic regression on the frozen encoder's embeddings: what takes seconds, and is hard to beat."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from datasets import DatasetDict
from torch import Tensor, nn

from nlkit.data.observed import Observed, label_names, observe, observed_validation
from nlkit.methods.base import Method, new_encoder, predict_texts
from nlkit.methods.selection import eval_parts
from nlkit.metrics.predictions import accuracy
from nlkit.models.batching import Batch, Inputs
from nlkit.models.classifiers import Output, TextClassifier
from nlkit.models.encoder import TextEncoder
from nlkit.models.prediction import Prediction
from nlkit.training.config import TrainingConfig

__all__ = ["LinearModel", "LinearModelConfig"]

NEVER = -1e4
"""Logit of a class that no training text has."""


@dataclass(frozen=True, kw_only=True)
class LinearModelConfig(TrainingConfig):
    """Settings of `LinearModel`; of `TrainingConfig`'s, those of training epoch by epoch change nothing.

    Attributes
    ----------
    inverse_penalty
        C of scikit-learn's LogisticRegression: larger fits the labels more closely.
    """

    inverse_penalty: float = 1.0
    trainable_layers: Any = 0

    profiles: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"max_length": 256}}

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("inverse_penalty", low=0.0, open_low=True)


class LinearClassifier(TextClassifier):
    """A linear layer on a frozen encoder's embeddings, at length 1."""

    def __init__(self, encoder: TextEncoder, n_classes: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.width, n_classes)

    def prepare(self, texts: Sequence[str]) -> Inputs:
        """Embed N texts, or read their cached embeddings."""
        return self.encoder.prepare(texts)

    def forward(self, batch: Batch) -> Output:
        """Return embeddings (B, D) and logits (B, C)."""
        embedding: Tensor = nn.functional.normalize(self.encoder(batch).float(), dim=-1)
        return Output(embedding, self.head(embedding))


class LinearModel(Method):
    """Logistic regression on the pre-trained encoder's embeddings, by scikit-learn; nothing else learns.

    Parameters
    ----------
    encoder, profile, seed
        As in every method; the seed changes nothing.
    **settings
        Any other field of `LinearModelConfig`.

    Attributes
    ----------
    history_ : DataFrame
        One row.
    best_epoch_ : None
        There are no epochs to choose from.
    """

    config_class = LinearModelConfig
    config: LinearModelConfig
    model_: LinearClassifier

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Learn from the labelled training texts; there is nothing to keep in a checkpoint."""
        from sklearn.linear_model import LogisticRegression

        began, data, names = time.perf_counter(), observe(ds, "train"), label_names(ds)
        known, model = data.labelled(), self._new_model(len(names))
        self._tune(model.encoder, known)
        x, classes = model.encoder.embed(known.texts), np.unique(known.noisy_label)
        with torch.no_grad():
            model.head.weight.zero_()
            model.head.bias.fill_(NEVER)[torch.from_numpy(classes)] = 0.0
            if len(classes) > 1:
                found = LogisticRegression(C=self.config.inverse_penalty, max_iter=2000)
                found.fit(x.astype(np.float64), known.noisy_label)
                # Of two classes the second one alone has weights.
                rows = torch.from_numpy(classes[-len(found.coef_) :])
                model.head.weight[rows] = torch.from_numpy(found.coef_).float()
                model.head.bias[rows] = torch.from_numpy(found.intercept_).float()
        self.model_, self.label_names_, self.best_epoch_ = model.eval(), names, None
        self._trained_on = data.identity()
        row, validation = {"epoch": 1.0}, observed_validation(ds)
        parts = eval_parts(ds, eval_splits)
        if validation is not None:
            parts.append(("noisy_validation", validation.texts, validation.noisy_label))
        row |= {f"accuracy_{name}": accuracy(self.predict_proba(texts), y) for name, texts, y in parts}
        self.history_ = pd.DataFrame([row | {"seconds": time.perf_counter() - began}])
        return self

    def _tune(self, encoder: TextEncoder, known: Observed) -> None:
        """Change the encoder's weights before it embeds; here not at all."""

    def _new_model(self, n_classes: int) -> LinearClassifier:
        return LinearClassifier(new_encoder(self.config, trainable_layers=0), n_classes)

    def _networks(self) -> dict[str, nn.Module]:
        return {"linear": self.model_}

    def _predict(self, texts: Sequence[str]) -> Prediction:
        return predict_texts(self.model_, texts, self.config)

    def _rebuild(self, values: dict[str, Any]) -> None:
        self.model_ = self._new_model(len(self.label_names_))

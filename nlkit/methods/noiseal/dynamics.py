"""Training dynamics of both models under plain cross-entropy: what they have learnt, epoch by epoch.

This is NoiseAL's co-prediction network (arXiv 2504.02901) in a warm-up that never ends: a strong model
(pre-trained encoder with a head) and a weak one (BiLSTM) learn the observed labels side by side, and nothing
is split, asked or corrected. What they predict for the training samples after each epoch is recorded. The
thresholds of `nlkit.methods.noiseal.partition` can then be replayed over it, and it can be seen when wrong
labels are memorised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nlkit._util import invalid
from nlkit.data.observed import label_names, observe, observed_validation
from nlkit.methods.base import eval_parts
from nlkit.methods.noiseal.loss import NoiseALLoss
from nlkit.methods.noiseal.method import NoiseAL
from nlkit.metrics import accuracy
from nlkit.models.batching import Inputs
from nlkit.models.classifiers import Vocabulary
from nlkit.training import DynamicsRecorder, Trainer
from nlkit.training.recording import Callback

if TYPE_CHECKING:
    from datasets import DatasetDict

__all__ = ["Dynamics", "train_both"]


@dataclass(frozen=True)
class Dynamics:
    """What two models learnt; made by `train_both`.

    Attributes
    ----------
    strong, weak : ndarray of float16, shape (E, N, C)
        Class probabilities of the N training samples after each of E epochs; rows sum to 1.
    history : DataFrame
        One row an epoch and model: epoch (from 1), model ("strong" or "weak"), noisy_validation (accuracy
        against the observed validation labels, if there are any), and the accuracy on each watched split.
    """

    strong: NDArray[np.float16]
    weak: NDArray[np.float16]
    history: pd.DataFrame


class Scores(Callback):
    """After each epoch, score every model on some texts with labels; steers nothing."""

    def __init__(self, parts: Sequence[tuple[str, dict[str, Inputs], NDArray[np.int64]]]) -> None:
        self.parts, self.rows = parts, list[dict[str, Any]]()

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        """Add one row a model."""
        for name in trainer.models:
            scores = {
                column: accuracy(trainer.predict(name, inputs[name]).class_probability(), label)
                for column, inputs, label in self.parts
            }
            self.rows.append({"epoch": trainer.epoch, "model": name, **scores})


def train_both(
    ds: DatasetDict, *, epochs: int | None = None, encoder: str = "minilm", profile: str = "class",
    seed: int = 0, eval_splits: Sequence[str] = (),
) -> Dynamics:  # fmt: skip
    """Train the strong and the weak model with cross-entropy on the observed labels, and record both.

    Parameters
    ----------
    ds : DatasetDict
        Splits "train" and perhaps "validation", with columns ``text`` and ``noisy_label``. A sample without a
        label is predicted, and not learnt.
    epochs : int, optional
        E, at least 1; the profile's by default.
    encoder, profile, seed
        As in `nlkit.NoiseAL`, whose other settings are the profile's.
    eval_splits : sequence of str
        Splits whose true labels are compared with the predictions after each epoch, for the history only.

    Raises
    ------
    ValueError
        If a setting is not allowed, or a split or column is missing.
    """
    if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1):
        invalid("epochs", epochs, "a whole number of at least 1")
    # NoiseAL wants an epoch after its warm-up; only its settings and its two models are used here.
    method = NoiseAL(
        annotator=None, query_budget=0, encoder=encoder, profile=profile, seed=seed,
        **({} if epochs is None else {"epochs": epochs + 1, "warmup_epochs": epochs}),
    )  # fmt: skip
    c, data, names = method.config, observe(ds, "train"), label_names(ds)
    strong = method._new_strong(len(names))
    weak = method._new_weak(Vocabulary.fit(data.texts), len(names))

    def prepared(texts: list[str]) -> dict[str, Inputs]:
        return {"strong": strong.prepare(texts), "weak": weak.prepare(texts)}

    validation = observed_validation(ds)
    scored = [] if validation is None else [("noisy_validation", validation.texts, validation.noisy_label)]
    scored += eval_parts(ds, eval_splits)
    recorder = DynamicsRecorder()
    scores = Scores([(column, prepared(texts), label) for column, texts, label in scored])
    objective = NoiseALLoss(len(data.texts), len(names), c)
    objective.learn_observed(data.noisy_label)
    Trainer(
        {"strong": strong, "weak": weak}, prepared(data.texts),
        {"strong": strong.parameter_groups(c.lr_encoder, c.lr_head),
         "weak": [{"params": list(weak.parameters()), "lr": c.lr_weak}]},
        objective, callbacks=[recorder, scores], description="both models", ema_epochs=c.ema_epochs,
        **(method._trainer_settings() | {"epochs": epochs or c.epochs}),
    ).fit()  # fmt: skip
    return Dynamics(recorder.stacked("strong"), recorder.stacked("weak"), pd.DataFrame(scores.rows))

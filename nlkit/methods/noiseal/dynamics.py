"""Training dynamics of both models under plain cross-entropy: what they have learnt, epoch by epoch.

This is NoiseAL's co-prediction network (arXiv 2504.02901) in a warm-up that never ends: a strong model
(pre-trained encoder with a head) and a weak one (BiLSTM) learn the observed labels side by side, and nothing
is partitioned, queried or corrected. What they predict for the training samples after each epoch is
recorded. The thresholds of `nlkit.methods.noiseal.partition` can then be replayed over it, and it can be seen
when wrong labels are memorised.
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
from nlkit.methods.base import new_strong
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.loss import NoiseALLoss
from nlkit.methods.noiseal.method import new_weak
from nlkit.methods.selection import eval_parts
from nlkit.metrics.predictions import accuracy
from nlkit.models.batching import Inputs
from nlkit.models.classifiers import Vocabulary
from nlkit.training.recording import DynamicsRecorder
from nlkit.training.trainer import Trainer

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
        against the observed validation labels, if there are any), and the accuracy on each evaluated split.
    """

    strong: NDArray[np.float16]
    weak: NDArray[np.float16]
    history: pd.DataFrame


def train_both(
    ds: DatasetDict, *, epochs: int | None = None, encoder: str = "auto", profile: str = "class",
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
    c = NoiseALConfig.make(profile, encoder=encoder, seed=seed)
    data, names = observe(ds, "train"), label_names(ds)
    models: dict[str, Any] = {
        "strong": new_strong(c, len(names)),
        "weak": new_weak(c, Vocabulary.fit(data.texts), len(names)),
    }

    def prepared(texts: list[str]) -> dict[str, Inputs]:
        return {name: model.prepare(texts) for name, model in models.items()}

    validation = observed_validation(ds)
    scored = [] if validation is None else [("noisy_validation", validation.texts, validation.noisy_label)]
    scored += eval_parts(ds, eval_splits)
    parts = [(column, prepared(texts), label) for column, texts, label in scored]
    loss = NoiseALLoss(len(data.texts), len(names), c)
    loss.set_observed(data.noisy_label)
    trainer = Trainer.from_config(
        c, models, prepared(data.texts), loss, lr={"weak": c.lr_weak}, ema_epochs=c.ema_epochs,
        epochs=epochs or c.epochs, batch_size=c.batch_size_for(len(data.texts)), description="both models",
    )  # fmt: skip
    recorder, rows = DynamicsRecorder(), []
    with trainer.running() as run:
        for _ in run:
            recorder.record(**{name: trainer.predict(name, averaged=True) for name in models})
            for name in models:
                scores = {
                    column: accuracy(trainer.predict(name, inputs[name]).class_probability(), label)
                    for column, inputs, label in parts
                }
                rows.append({"epoch": trainer.epoch, "model": name, **scores})
    return Dynamics(**recorder.stacked(), history=pd.DataFrame(rows))

"""A method that other processes import and that takes no time: what a sweep does beside the fits."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import nlkit as nk
from nlkit.training.config import TrainingConfig


def data(seed: int, size: int | None) -> DatasetDict:
    """Three classes of texts that say which they are, as many as asked for."""
    features = Features({name: ClassLabel(names=list("abc")) for name in ("label", "noisy_label")})
    features = Features({"text": Value("string"), **features})

    def part(n: int, rng: np.random.Generator) -> Dataset:
        label = rng.integers(0, 3, n)
        rows = {
            "text": [f"{'abc'[y]} {i}" for i, y in enumerate(label)],
            "label": label,
            "noisy_label": label,
        }
        return Dataset.from_dict(rows, features=features)

    rng = np.random.default_rng(seed)
    return DatasetDict(train=part(size or 60, rng), validation=part(30, rng), test=part(50, rng))


@dataclass(frozen=True, kw_only=True)
class CheapConfig(TrainingConfig):
    """What it should do: wait, raise an error, or kill its own process (once, if `once` names a file)."""

    seconds: float = 0.0
    does: str = ""
    once: str = ""


class Cheap:
    """Guesses, by the share of labels that it saw, and the seed."""

    config_class: ClassVar = CheapConfig

    def __init__(self, encoder: str = "none", profile: str = "quick", seed: int = 0, **settings: Any) -> None:
        self.config = CheapConfig.make(encoder=encoder, profile=profile, seed=seed, **settings)

    def fit(self, ds: DatasetDict) -> Cheap:
        c = self.config
        time.sleep(c.seconds)
        if c.does == "raise":
            raise ArithmeticError("as it was told to")
        if c.does == "die" and not (c.once and Path(c.once).exists()):
            if c.once:
                Path(c.once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.share = np.bincount(ds["train"]["noisy_label"][:], minlength=3) / len(ds["train"])
        self.history_ = pd.DataFrame({"epoch": [1, 2], "loss": self.share[:2]})
        return self

    def evaluate(self, dataset: Dataset) -> dict[str, float]:
        rng = np.random.default_rng(self.config.seed)
        return nk.evaluate_probabilities(rng.dirichlet(1 + 9 * self.share, len(dataset)), dataset["label"][:])

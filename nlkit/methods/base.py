"""What every method shares: prediction, evaluation, saving and loading.

Of the true labels only `Watch` and `Method.evaluate` know, and they only write metrics; a method is handed
data without them (`nlkit.data.observed`).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from datasets import ClassLabel, Dataset, DatasetDict
from numpy.typing import NDArray
from torch import nn

from nlkit._util import atomic_write, content_hash
from nlkit.data.checks import check_texts, class_numbers
from nlkit.data.observed import Observed, observed_validation
from nlkit.metrics import accuracy, evaluate_probabilities
from nlkit.models.batching import Inputs
from nlkit.models.classifiers import StrongClassifier
from nlkit.models.device import choose_device, choose_precision
from nlkit.models.encoder import TextEncoder
from nlkit.models.saving import save_tensors
from nlkit.training import Callback, Prediction, Trainer, copied_weights, predict
from nlkit.training.config import TrainingConfig

__all__ = ["BestEpoch", "Method", "Watch", "eval_parts", "predict_texts"]

Probabilities = NDArray[np.float32]


def eval_parts(
    ds: Mapping[str, Dataset], splits: Sequence[str]
) -> list[tuple[str, list[str], NDArray[np.int64]]]:
    """Return name, texts and true labels of some splits, without the samples that have no label."""
    parts = []
    for split in splits:
        if split not in ds or "label" not in ds[split].column_names:
            raise ValueError(f"eval_splits={split!r}: ds has no such split with a column 'label'")
        label = class_numbers(ds[split]["label"][:], f"ds[{split!r}]['label']")
        known = np.flatnonzero(label >= 0)
        if not len(known):
            raise ValueError(f"eval_splits={split!r}: every label of this split is missing (-1)")
        texts = list(ds[split]["text"])
        parts.append((split, [texts[i] for i in known], label[known]))
    return parts


class Watch(Callback):
    """After each epoch, write the accuracy on some splits' true labels into the history; steers nothing."""

    def __init__(
        self, model: nn.Module, name: str, ds: Mapping[str, Dataset], splits: Sequence[str], *,
        averaged: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.averaged = name, averaged
        self._parts: list[tuple[str, Inputs, NDArray[np.int64]]] = [
            (split, model.prepare(texts), label)  # type: ignore[operator]
            for split, texts, label in eval_parts(ds, splits)
        ]

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        """Add one column a watched split."""
        for split, inputs, label in self._parts:
            p = trainer.predict(self.name, inputs, averaged=self.averaged).class_probability()
            row[f"accuracy_{split}"] = accuracy(p, label)


class BestEpoch(Callback):
    """Score each epoch on noisy validation labels, and keep the weights of the best one."""

    def __init__(self, name: str, inputs: Inputs, noisy_label: NDArray[np.int64]) -> None:
        self.name, self.inputs, self.label = name, inputs, noisy_label
        self.best_accuracy, self.best_epoch = -1.0, 0
        self.weights: dict[str, torch.Tensor] = {}

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        """Compare; of equal epochs the earlier one stays, it has memorised less."""
        score = accuracy(trainer.predict(self.name, self.inputs).class_probability(), self.label)
        row["accuracy_noisy_validation"] = score
        if score > self.best_accuracy:
            self.best_accuracy, self.best_epoch = score, trainer.epoch
            self.weights = copied_weights(trainer.raw(self.name))

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return the best weights and when they were reached."""
        return self.weights, {"accuracy": self.best_accuracy, "epoch": self.best_epoch}

    def restore(self, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.weights, self.best_accuracy, self.best_epoch = tensors, values["accuracy"], values["epoch"]


class Method:
    """Base of all methods: scikit-learn's manners, Hugging Face data.

    Attributes
    ----------
    config : TrainingConfig
        Every setting, after profile and overrides.
    label_names_ : list of str
        Class names in the order of the probability columns.
    history_ : DataFrame
        One row an epoch.
    best_epoch_ : int or None
        The epoch best by noisy validation accuracy; None without a validation split.
    """

    config: TrainingConfig
    label_names_: list[str]
    history_: pd.DataFrame
    best_epoch_: int | None
    _best: tuple[str, dict[str, torch.Tensor]] | None = None  # network and weights of the best epoch

    tables: ClassVar[tuple[str, ...]] = ("history_",)
    """DataFrames that are saved with the model."""

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Learn from ``ds["train"]``; see the subclass."""
        raise NotImplementedError

    # -- prediction ---------------------------------------------------------------------------------------

    def _networks(self) -> dict[str, nn.Module]:
        """Return the fitted models by name."""
        raise NotImplementedError

    def _predict(self, texts: Sequence[str]) -> Prediction:
        raise NotImplementedError

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return class probabilities, shape (n, C), float32, rows sum to 1, of n texts."""
        checked = self._checked(texts)
        if not checked:
            return np.empty((0, len(self.label_names_)), np.float32)
        return self._predict(checked).probability

    def _checked(self, texts: Sequence[str]) -> list[str]:
        """Return texts to predict if the method is fitted and they can be used."""
        self._check_fitted()
        if isinstance(texts, str):
            raise ValueError(f"texts={texts!r} is one string: give a list of texts")
        return check_texts(texts, "texts")

    def predict(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the most probable class, shape (n,), int64, of n texts."""
        label: NDArray[np.int64] = self.predict_proba(texts).argmax(1).astype(np.int64)
        return label

    def evaluate(self, dataset: Dataset) -> dict[str, float]:
        """Return the metrics of `nlkit.metrics.evaluate_probabilities` against the true labels of a split.

        Samples whose ``label`` is missing (−1) are left out; ``n`` counts the others.
        """
        if "label" not in dataset.column_names:
            raise ValueError(
                f"dataset has no column 'label' to evaluate against: it has {dataset.column_names}"
            )
        label = class_numbers(dataset["label"][:], "dataset['label']")
        self._check_names(dataset.features["label"])
        known = label >= 0
        texts = [t for t, k in zip(dataset["text"], known, strict=True) if k]
        return evaluate_probabilities(self.predict_proba(texts), label[known])

    def _check_names(self, feature: Any) -> None:
        """Raise ValueError if a column's class names are not the learned ones, in their order."""
        if isinstance(feature, ClassLabel) and list(feature.names) != self.label_names_:
            raise ValueError(
                f"dataset's label names {list(feature.names)} are not those the method learned, "
                f"{self.label_names_}, or in another order"
            )

    def _check_trained_on(self, dataset: Any, n: int) -> None:
        """Raise ValueError if a data set is not the training split, of n samples, that `fit` saw."""
        if len(dataset) != n:
            raise ValueError(f"dataset has {len(dataset)} samples, fit saw {n}: give ds['train']")

    def _check_fitted(self) -> None:
        if not hasattr(self, "label_names_"):
            raise RuntimeError(f"this {type(self).__name__} is not fitted yet: call fit(ds) first")

    # -- shared steps of fit ------------------------------------------------------------------------------

    def _new_strong(self, n_classes: int) -> StrongClassifier:
        c = self.config
        with torch.random.fork_rng():
            encoder = TextEncoder(
                c.encoder, trainable_layers=c.trainable_layers, max_length=c.max_length, device=c.device
            )
            torch.manual_seed(c.seed)
            return StrongClassifier(encoder, n_classes, dropout=c.dropout)

    def _text_embedding(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the pre-trained encoder's embeddings of n texts, (n, D), rows of length 1."""
        c = self.config
        encoder = TextEncoder(c.encoder, trainable_layers=0, max_length=c.max_length, device=c.device)
        return encoder.embed(list(texts))

    def _best_epoch(self, ds: Mapping[str, Dataset], model: nn.Module, name: str) -> BestEpoch | None:
        """Return the noisy-validation callback, or None where there is no labelled validation split."""
        part = observed_validation(ds)
        if part is None:
            if self.config.selection == "noisy_validation":
                raise ValueError("selection='noisy_validation' needs ds['validation'] with noisy_label")
            return None
        return BestEpoch(name, model.prepare(part.texts), part.noisy_label)  # type: ignore[operator]

    def _finish(self, best: BestEpoch | None) -> None:
        """Remember the best epoch by noisy validation, and go back to it if the config says so."""
        # An interrupted first epoch leaves nothing to go back to.
        reached = best is not None and bool(best.weights)
        self.best_epoch_ = best.best_epoch if best and reached else None
        self._best = (best.name, best.weights) if best and reached else None
        if self._best and self.config.selection == "noisy_validation":
            self._networks()[self._best[0]].load_state_dict(self._best[1])

    def at_best_epoch(self) -> Self:
        """Return a copy of the fitted method whose network is that of the best epoch by noisy validation.

        The copy shares everything else with the original, which stays at its last epoch.

        Raises
        ------
        RuntimeError
            If the method is not fitted, had no validation split with noisy labels, or was loaded from a
            folder: only the weights that predict are saved.
        """
        self._check_fitted()
        if self._best is None:
            raise RuntimeError(
                "the best epoch is not known: fit with a ds['validation'] that has noisy_label (its weights "
                "are not saved, so a loaded method has to be fitted again)"
            )
        name, weights = self._best
        other = copy.copy(self)
        other._rebuild(self._extra_values())
        for key, model in other._networks().items():
            model.load_state_dict(weights if key == name else self._networks()[key].state_dict())
            model.eval()
        return other

    def _trainer_settings(self) -> dict[str, Any]:
        c = self.config
        return {
            "epochs": c.epochs, "batch_size": c.batch_size, "seed": c.seed, "max_grad_norm": c.max_grad_norm,
            "weight_decay": c.weight_decay, "warmup": c.lr_warmup_ratio, "lr_decay_share": c.lr_decay_share,
            "mixed_precision": c.mixed_precision, "device": c.device,
        }  # fmt: skip

    def _run_identity(self, data: Observed, ds: Mapping[str, Dataset], *more: str) -> str:
        """Name a run by method, settings, training and validation data, and whatever else decides it."""
        settings = json.dumps(self.config.to_dict(), sort_keys=True)
        validation = observed_validation(ds)
        seen = [part.identity() for part in (data, validation) if part is not None]
        return content_hash(type(self).__name__, settings, *seen, *more)

    # -- saving -------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Save the fitted method: one safetensors file, and its tables as Parquet. `nlkit.load` reads it."""
        self._check_fitted()
        target = Path(folder)
        for name in self.tables:
            with atomic_write(target / f"{name.rstrip('_')}.parquet") as path:
                getattr(self, name).to_parquet(path)
        tensors = {
            f"{name}.{key}": value
            for name, model in self._networks().items()
            for key, value in model.state_dict().items()
        }
        values = {
            "class": type(self).__name__, "config": self.config.to_dict(), "label_names": self.label_names_,
            "best_epoch": self.best_epoch_, "pretrained": self._pretrained(), **self._extra_values(),
        }  # fmt: skip
        # Last: a folder with a model file is a complete one.
        save_tensors(target / "model.safetensors", tensors, values)
        return target

    def _pretrained(self) -> dict[str, str]:
        """Return the hash of the weights that each network's frozen layers have; those are not saved."""
        encoders = {name: getattr(model, "encoder", None) for name, model in self._networks().items()}
        return {
            name: e.fingerprint
            for name, e in encoders.items()
            if isinstance(e, TextEncoder) and e.trainable_layers != "all"
        }

    def _extra_values(self) -> dict[str, Any]:
        return {}

    def _rebuild(self, values: dict[str, Any]) -> None:
        """Make the models, unfitted, from what `_extra_values` gave."""
        raise NotImplementedError

    @classmethod
    def _from_saved(cls, folder: Path, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> Self:
        config = values["config"]
        if config["device"] == "cuda" and not torch.cuda.is_available():
            config = {**config, "device": "auto"}  # trained there, used here
        self = cls(**config)
        self.label_names_, self.best_epoch_ = values["label_names"], values["best_epoch"]
        self._rebuild(values)
        if self._pretrained() != values["pretrained"]:
            raise ValueError(
                f"folder={str(folder)!r} was saved with other weights of encoder={config['encoder']!r} "
                "than are found under this name now: bring those back, or fit again"
            )
        for name, model in self._networks().items():
            prefix = f"{name}."
            model.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
            model.eval()
        for name in cls.tables:
            setattr(self, name, pd.read_parquet(folder / f"{name.rstrip('_')}.parquet"))
        return self


def predict_texts(model: nn.Module, texts: Sequence[str], config: TrainingConfig) -> Prediction:
    """Prepare texts for a fitted model and predict them."""
    place = choose_device(config.device)
    precision = choose_precision(config.mixed_precision, place)
    inputs = model.prepare(texts)  # type: ignore[operator]
    return predict(model.to(place), inputs, place, precision=precision)

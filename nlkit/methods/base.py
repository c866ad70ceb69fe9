"""What every method shares: prediction, evaluation, saving and loading.

True labels are read by `Method.evaluate` and for the history (`nlkit.methods.selection`) alone; a method is
handed data without them (`nlkit.data.observed`).
"""

from __future__ import annotations

import copy
import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray
from torch import nn

from nlkit._util import content_hash, expanded
from nlkit.data.checks import check_texts, numbers_of
from nlkit.data.observed import Observed, observe, observed_validation
from nlkit.methods.selection import Selection
from nlkit.metrics.predictions import evaluate_probabilities
from nlkit.models.classifiers import StrongClassifier
from nlkit.models.device import choose_device, choose_precision
from nlkit.models.encoder import TextEncoder
from nlkit.models.prediction import Prediction, predict
from nlkit.models.saving import Tensors, below, check_finite, save_tensors, whole_folder
from nlkit.training.config import TrainingConfig
from nlkit.training.recording import Checkpoint

__all__ = ["Method", "new_strong", "predict_texts"]

Probabilities = NDArray[np.float32]


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

    config_class: ClassVar[type[TrainingConfig]]
    config: TrainingConfig
    label_names_: list[str]
    history_: pd.DataFrame
    best_epoch_: int | None
    _trained_on: str  # identity of the training data
    _best: tuple[str, Tensors] | None = None  # network and weights of the best epoch

    needs_annotator: ClassVar[bool] = False
    """Whether it can do nothing without one."""

    tables: ClassVar[tuple[str, ...]] = ("history_",)
    """DataFrames that are saved with the model."""

    def __init__(self, encoder: str = "auto", profile: str = "class", seed: int = 0, **settings: Any) -> None:
        self._configure(encoder=encoder, profile=profile, seed=seed, **settings)

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Learn from ``ds["train"]``; see the subclass."""
        raise NotImplementedError

    # -- scikit-learn's manners ---------------------------------------------------------------------------

    def _configure(self, **settings: Any) -> None:
        """Validate the settings that the constructor was given, and remember which these were."""
        self.config = self.config_class.make(**settings)
        self._given = settings

    def _arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as they were given."""
        return self._given

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return every argument of the constructor with its value, also those that the profile chose."""
        return self._arguments() | self.config.to_dict()

    def set_params(self, **params: Any) -> Self:
        """Change some arguments of the constructor; what was not given by name follows the profile.

        Raises
        ------
        ValueError
            If a name or a value is not allowed; everything stays as it was then.
        """
        changed = type(self)(**self._arguments() | params)
        self.config, self._given = changed.config, changed._given
        for name in params.keys() - self.config.to_dict().keys():
            setattr(self, name, params[name])  # such as an annotator, which no config holds
        return self

    def __sklearn_clone__(self) -> Self:
        """Return a new method, not fitted, with the same arguments; an annotator is shared, not copied."""
        return type(self)(**self._arguments())

    def __repr__(self) -> str:
        usual = self.config_class.make(self.config.profile).to_dict()
        signature = inspect.signature(type(self)).parameters
        given = {name: signature[name].default for name in self._arguments() if name in signature}
        usual |= {name: value for name, value in given.items() if value not in (None, "auto")}
        shown = [f"{k}={v!r}" for k, v in self._arguments().items() if v != "auto" and v != usual[k]]
        return f"{type(self).__name__}({', '.join(shown)})"

    def score(self, dataset: Dataset) -> float:
        """Return the accuracy against the true labels of a split."""
        return self.evaluate(dataset)["accuracy"]

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
        self._check_fitted()
        if "label" not in dataset.column_names:
            raise ValueError(
                f"dataset has no column 'label' to evaluate against: it has {dataset.column_names}"
            )
        label = numbers_of(dataset, "label", "dataset", self.label_names_)
        known = label >= 0
        texts = [t for t, k in zip(dataset["text"], known, strict=True) if k]
        return evaluate_probabilities(self.predict_proba(texts), label[known])

    def _check_trained_on(self, dataset: Dataset) -> Observed:
        """Return the observed data of a training split; raise ValueError if `fit` did not see the same."""
        self._check_fitted()
        whole = {"text", "noisy_label"} <= set(dataset.column_names)
        data = observe({"train": dataset}, "train") if whole else None
        if data is None or data.identity() != self._trained_on:
            raise ValueError(
                f"dataset, of {len(dataset)} samples, is not the training split that fit saw, or its texts "
                "or noisy labels have changed: give ds['train']"
            )
        return data

    def _check_fitted(self) -> None:
        if not hasattr(self, "label_names_"):
            raise RuntimeError(f"this {type(self).__name__} is not fitted yet: call fit(ds) first")

    # -- shared steps of fit ------------------------------------------------------------------------------

    def _text_embedding(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the pre-trained encoder's embeddings of n texts, (n, D), rows of length 1."""
        return new_encoder(self.config, trainable_layers=0).embed(list(texts))

    def _selection(
        self, ds: Mapping[str, Dataset], model: nn.Module, name: str, eval_splits: Sequence[str], *,
        averaged: bool = False,
    ) -> Selection:  # fmt: skip
        if self.config.selection == "noisy_validation" and observed_validation(ds) is None:
            raise ValueError("selection='noisy_validation' needs ds['validation'] with noisy_label")
        return Selection(name, model, ds, eval_splits, averaged=averaged)

    def _finish(self, name: str, best_epoch: int, weights: Tensors, lost: bool = False) -> None:
        """Remember the best epoch by noisy validation, and go back to it if the config says so.

        `lost`: whether the last epoch is clearly worse.
        """
        # An interrupted first epoch leaves nothing to go back to.
        self.best_epoch_ = best_epoch or None
        self._best = (name, weights) if weights else None
        back = self.config.selection == "guarded" and lost
        if back:
            warnings.warn(
                f"{type(self).__name__} went back to epoch {best_epoch}: the last one is clearly worse on "
                "noisy validation labels (selection='guarded')",
                stacklevel=3,
            )
        if weights and (back or self.config.selection == "noisy_validation"):
            self._networks()[name].load_state_dict(weights)

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

    def _checkpoint(
        self, folder: str | Path | None, data: Observed, ds: Mapping[str, Dataset], *more: str
    ) -> Checkpoint | None:
        """Return the checkpoint of a run, which is refused to any other one."""
        return Checkpoint(folder, self._run_identity(data, ds, *more)) if folder else None

    def _run_identity(self, data: Observed, ds: Mapping[str, Dataset], *more: str) -> str:
        """Name a run by method, settings, training and validation data, and whatever else decides it."""
        settings = json.dumps(self.config.to_dict(), sort_keys=True)
        validation = observed_validation(ds)
        seen = [part.identity() for part in (data, validation) if part is not None]
        return content_hash(type(self).__name__, settings, *seen, *more)

    # -- saving -------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Save the fitted method: one safetensors file, and its tables as Parquet. `nlkit.load` reads it.

        The folder appears as a whole, in place of an older model's; see `nlkit.models.saving.whole_folder`.

        Raises
        ------
        ValueError
            If a weight is not finite.
        OSError
            If the folder holds anything else, or the disk is full. An older model stays then.
        """
        self._check_fitted()
        target = expanded(folder)
        tensors = {
            f"{name}.{key}": value
            for name, model in self._networks().items()
            for key, value in model.state_dict().items()
        }
        values = {
            "class": type(self).__name__, "config": self.config.to_dict(), "label_names": self.label_names_,
            "best_epoch": self.best_epoch_, "trained_on": self._trained_on,
            "pretrained": self._pretrained(), **self._extra_values(),
        }  # fmt: skip
        check_finite(tensors, target)
        with whole_folder(target) as place:
            save_tensors(place / "model.safetensors", tensors, values)
            for name in self.tables:
                getattr(self, name).to_parquet(place / f"{name.rstrip('_')}.parquet")
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
    def _from_saved(cls, folder: Path, tensors: Tensors, values: dict[str, Any]) -> Self:
        config = values["config"]
        if config["device"] == "cuda" and not torch.cuda.is_available():
            config = {**config, "device": "auto"}  # trained there, used here
        self = cls(**config)
        self.label_names_, self.best_epoch_ = values["label_names"], values["best_epoch"]
        self._trained_on = values["trained_on"]
        self._rebuild(values)
        if self._pretrained() != values["pretrained"]:
            raise ValueError(
                f"folder={str(folder)!r} was saved with other weights of encoder={config['encoder']!r} "
                "than are found under this name now: bring those back, or fit again"
            )
        for name, model in self._networks().items():
            model.load_state_dict(below(tensors, f"{name}."))
            model.eval()
        for name in cls.tables:
            setattr(self, name, pd.read_parquet(folder / f"{name.rstrip('_')}.parquet"))
        return self


def new_encoder(config: TrainingConfig, **changed: Any) -> TextEncoder:
    """Return the config's encoder; `changed` are arguments that differ from it."""
    c = config
    given = {
        "trainable_layers": c.trainable_layers, "max_length": c.max_length, "device": c.device,
        "precision": c.mixed_precision,
    }  # fmt: skip
    return TextEncoder(c.encoder, **given | changed)


def new_strong(config: TrainingConfig, n_classes: int, *, number: int = 0) -> StrongClassifier:
    """Return an untrained strong classifier with the config's encoder.

    Seed and number decide its head: networks that learn from each other have different ones.
    """
    with torch.random.fork_rng():
        encoder = new_encoder(config)
        torch.manual_seed(config.seed + number)
        return StrongClassifier(encoder, n_classes, dropout=config.dropout)


def predict_texts(model: nn.Module, texts: Sequence[str], config: TrainingConfig) -> Prediction:
    """Prepare texts for a fitted model and predict them."""
    place = choose_device(config.device)
    precision = choose_precision(config.mixed_precision, place)
    inputs = model.prepare(texts)  # type: ignore[operator]
    return predict(model.to(place), inputs, place, precision=precision)

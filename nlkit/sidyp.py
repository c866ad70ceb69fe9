"""SiDyP: labels made by a language model, refined by simplex diffusion with a dynamic prior.

After the published description (arXiv 2505.19675). The parts have modules of their own: `nlkit.branches` (the
first stage and its trajectories), `nlkit.detection` (who is probably mislabelled), `nlkit.prior` (candidates
for the true label), `nlkit.diffusion` (the denoiser), `nlkit.refinement` (the second stage) and
`nlkit.posterior` (prediction).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from datasets import ClassLabel, Dataset, DatasetDict
from numpy.typing import NDArray
from torch import Tensor, nn

from nlkit._checks import check_texts, class_numbers
from nlkit._util import content_hash
from nlkit.base import Method, Watch
from nlkit.branches import (
    BranchedClassifier,
    BranchObjective,
    Snapshots,
    TrajectoryRecorder,
    mean_direction,
    snapshot_epochs,
)
from nlkit.detection import detect, detect_by_both, margin, suspicion
from nlkit.diffusion import Denoiser
from nlkit.encoder import TextEncoder, choose_device, choose_precision
from nlkit.metrics import accuracy, correction_report, detection_report, prior_report
from nlkit.noiseal import NoiseAL
from nlkit.observed import Observed, label_names, observe
from nlkit.posterior import conditions, new_denoiser, posterior, refined
from nlkit.prior import Prior, neighbour_prior
from nlkit.refinement import Refinement
from nlkit.sidyp_config import SiDyPConfig
from nlkit.training import Callback, Checkpoint, Prediction, Trainer, predict

__all__ = ["SiDyP"]

Probabilities = NDArray[np.float32]


class SiDyP(Method):
    """Co-regularised branches, a prior from trusted neighbours, and a simplex diffusion that refines labels.

    Parameters
    ----------
    encoder : str
        "minilm" (offline), a model folder, or a hub name.
    branches : int
        M.
    noise_rate : float or "auto"
        Share of wrong labels, or "auto" to estimate it.
    profile : str
        "quick", "class" or "paper": the defaults of everything else.
    seed : int
        Of all random numbers.
    warm_start : NoiseAL, optional
        A fitted `NoiseAL`. Its clean set R and the annotator's answers are believed, and what it left open, H
        and the purified texts without an answer, is refined. `fit` then needs the same training split.
    **settings
        Any other field of `SiDyPConfig`.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch of either stage (column stage: "classifier" or "diffusion").
    prior_ : DataFrame
        One row a training text: index, noisy_label, suspect, case (certain, dominant, uncertain), candidates
        and the weight of the likeliest, suspicion, and refined_weight: the likeliest candidate's weight after
        the reverse chain's answers.
    noise_rate_ : float
        The given or the estimated one.
    prior_weight_ : ndarray, shape (N, C)
        The prior as the neighbours gave it; rows sum to 1. Not saved.
    trajectory_ : ndarray, shape (M, E, N, D), float16
        The training texts' embeddings after each epoch of the first stage. Not saved.

    Examples
    --------
    >>> import nlkit as nk
    >>> ds = nk.load_dataset("r8", train_size=500)
    >>> ds = nk.label_with_llm(ds, "smollm2", shots=1)                    # doctest: +SKIP
    >>> clf = nk.SiDyP(profile="quick").fit(ds)                          # doctest: +SKIP
    >>> clf.refine(ds)["train"]["refined_label"]                         # doctest: +SKIP
    """

    config: SiDyPConfig
    branches_: BranchedClassifier
    denoiser_: Denoiser
    snapshots_: Snapshots
    noise_rate_: float
    prior_: pd.DataFrame
    tables: ClassVar[tuple[str, ...]] = ("history_", "prior_")

    def __init__(
        self,
        encoder: str = "minilm",
        branches: int = 3,
        noise_rate: float | str = "auto",
        profile: str = "class",
        seed: int = 0,
        warm_start: NoiseAL | None = None,
        **settings: Any,
    ) -> None:
        self.config = SiDyPConfig.make(
            profile, encoder=encoder, branches=branches, noise_rate=noise_rate, seed=seed, **settings
        )
        if warm_start is not None and not isinstance(warm_start, NoiseAL):
            raise ValueError(f"warm_start={warm_start!r} is not allowed: a fitted nk.NoiseAL, or None")
        self.warm_start = warm_start
        self._lost_warm_start = False

    def fit(
        self, ds: DatasetDict, *, watch: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Learn from ``ds["train"]``'s texts and noisy labels.

        Parameters
        ----------
        ds : DatasetDict
            Splits "train" and perhaps "validation", with columns ``text`` and ``noisy_label``; −1 is missing.
        watch : sequence of str
            Splits whose true labels are compared with the predictions after each epoch, for the history only:
            the first stage's mean over branches, then the whole method with one reverse chain a label.
        checkpoint : path, optional
            Folder for a checkpoint after each epoch of the first stage; the same call goes on where it
            stopped. The second stage is short and starts again.

        Raises
        ------
        ValueError
            If a split or column is missing, every label is suspect, or a checkpoint is of another run.
        Interrupted
            On Ctrl-C. After the first stage, what the second has learnt so far is there, `predict` works.
        """
        if self._lost_warm_start and self.warm_start is None:
            warnings.warn(
                "the NoiseAL that this SiDyP started from was not saved with it: set .warm_start before fit, "
                "or it starts from nothing",
                stacklevel=2,
            )
        self._lost_warm_start = False
        if self.config.selection == "noisy_validation" and "validation" not in ds:
            raise ValueError("selection='noisy_validation' needs ds['validation']: its texts")
        data, names = observe(ds, "train"), label_names(ds)
        believed = None
        if self.warm_start is not None:
            data, believed = self.warm_start.believed(data)
        recorder, rows = self._first_stage(ds, data, believed, len(names), watch, checkpoint)
        prior, score = self._prior(ds, data, believed, recorder, len(names))
        self.label_names_ = names
        n = len(data.texts)
        refinement = self._refinement(data, ds, recorder, prior)
        try:
            refinement.fit(self._watcher(ds, watch))
        finally:
            rows["stage"] = "classifier"
            more = pd.DataFrame(refinement.rows).assign(stage="diffusion")
            self.history_ = pd.concat([rows, more], ignore_index=True)
            self.history_.insert(0, "stage", self.history_.pop("stage"))
            self.denoiser_ = refinement.denoiser
            self.prior_ = (
                prior.first(n)
                .table(names, data.noisy_label)
                .assign(suspicion=score, refined_weight=refinement.weight.mean(0).max(1))
            )
            self.prior_weight_, self.trajectory_ = prior.weight[:n], recorder.trajectory("train")
            self.best_epoch_ = refinement.best_epoch or None
            self._best = ("denoiser", refinement.best_weights) if refinement.best_weights else None
            if self._best and self.config.selection == "noisy_validation":
                self.denoiser_.load_state_dict(self._best[1])
        return self

    # -- the steps of fit ---------------------------------------------------------------------------------

    def _first_stage(
        self, ds: DatasetDict, data: Observed, believed: NDArray[np.bool_] | None, n_classes: int,
        watch: Sequence[str], checkpoint: str | Path | None,
    ) -> tuple[TrajectoryRecorder, pd.DataFrame]:  # fmt: skip
        c = self.config
        model = self._new_branches(n_classes)
        inputs = {"train": model.prepare(data.texts)}
        if "validation" in ds:
            texts = check_texts(ds["validation"]["text"][:], "ds['validation']['text']")
            inputs["validation"] = model.prepare(texts)
        objective = BranchObjective(
            data.noisy_label, c.coregularisation, c.coregularisation_warmup, c.restore_coregularisation
        )
        recorder = TrajectoryRecorder("branches", inputs, snapshot_epochs(c.epochs, c.trajectory_points))
        callbacks: list[Callback] = [objective, recorder]
        callbacks += [Watch(model, "branches", ds, watch, averaged=True)] if watch else []
        if checkpoint:
            start = "" if believed is None else content_hash(believed.tobytes().hex())
            identity = self._run_identity(data, ds, model.encoder.fingerprint, start)
            callbacks.append(Checkpoint(checkpoint, identity))
        trainer = Trainer(
            {"branches": model}, {"branches": inputs["train"]},
            {"branches": model.parameter_groups(c.lr_encoder, c.lr_head)}, objective, callbacks=callbacks,
            description="SiDyP, classifier", **self._trainer_settings(), averaging=c.branch_averaging,
        ).fit()  # fmt: skip
        self.branches_ = trainer.raw("branches")
        self.branches_.load_state_dict(recorder.weights[max(recorder.weights)])
        self.snapshots_ = Snapshots([recorder.weights[e] for e in sorted(recorder.weights)[:-1]])
        return recorder, trainer.history

    def _prior(
        self, ds: Mapping[str, Dataset], data: Observed, believed: NDArray[np.bool_] | None,
        recorder: TrajectoryRecorder, n_classes: int,
    ) -> tuple[Prior, NDArray[np.float64]]:  # fmt: skip
        """Return the prior of training and validation texts, in this order, and the training texts' score."""
        c = self.config
        suspect, rate, score = self._suspects(recorder, data.noisy_label, n_classes)
        if believed is not None:
            suspect = ~believed & (data.noisy_label >= 0)
            rate = float(suspect.mean())
        self.noise_rate_ = rate
        splits = [split for split in ("train", "validation") if split in recorder.embedding]
        if c.neighbour_space == "text":
            texts = [*data.texts, *(ds["validation"]["text"] if "validation" in splits else [])]
            space = self._text_embedding(texts)
        else:
            space = np.concatenate([mean_direction(recorder.trajectory(split)) for split in splits])
        # Validation texts are nobody's neighbours: their labels are for judging.
        others = len(space) - len(data.texts)
        label = np.concatenate([data.noisy_label, np.full(others, -1)])
        doubted = np.concatenate([suspect, np.zeros(others, bool)])
        prior = neighbour_prior(
            space, label, doubted, n_classes, k=c.neighbours, certain=c.certain, dominant=c.dominant
        )
        if believed is not None:
            prior = prior.fixed(np.flatnonzero(believed), data.noisy_label)
        return prior, score

    def _suspects(
        self, recorder: TrajectoryRecorder, label: NDArray[np.int64], n_classes: int
    ) -> tuple[NDArray[np.bool_], float, NDArray[np.float64]]:
        """Return who is suspect, the noise rate and the scores of the training texts."""
        c = self.config
        early = slice(0, math.ceil(c.margin_epochs * c.epochs))
        by_margin = by_distance = np.empty(0)
        if c.score in ("both", "margin"):
            by_margin = margin(recorder.dynamics("train")[:, early], label)
        if c.score != "margin":
            kind = "relative" if c.score == "both" else c.score
            by_distance = suspicion(
                recorder.trajectory("train"), label, n_classes, score=kind, normalise=c.normalise
            )
        if c.score == "both":
            return detect_by_both(by_margin, by_distance, c.noise_rate, agreement=c.agreement, seed=c.seed)
        score = by_margin if c.score == "margin" else by_distance
        return *detect(score, c.noise_rate, centred=c.score != "distance", seed=c.seed), score

    def _refinement(
        self, data: Observed, ds: Mapping[str, Dataset], recorder: TrajectoryRecorder, prior: Prior
    ) -> Refinement:
        n, place = len(data.texts), choose_device(self.config.device)
        at = [e - 1 for e in sorted(recorder.weights)]
        condition = conditions(recorder.trajectory("train")[:, at], self._text_embedding(data.texts))
        validation = None
        if len(prior.case) > n:
            embedding = self._text_embedding(list(ds["validation"]["text"]))
            seen = conditions(recorder.trajectory("validation")[:, at], embedding)
            # The chain has to be told an observed label: the one the first stage finds likeliest.
            guess = recorder.probability["validation"][-1].mean(1).argmax(1).astype(np.int64)
            validation = (seen, guess, prior.weight[n:].argmax(1))
        return Refinement(condition, data.noisy_label, prior.first(n), self.config, place, validation)

    def _watcher(
        self, ds: Mapping[str, Dataset], watch: Sequence[str]
    ) -> Callable[[Denoiser, dict[str, float]], None] | None:
        """Return a function that writes accuracies on true labels into the second stage's history."""
        if not watch:
            return None
        parts = []
        for split in watch:
            label = class_numbers(ds[split]["label"][:], f"ds[{split!r}]['label']")
            known = np.flatnonzero(label >= 0)
            texts = list(ds[split]["text"])
            parts.append((split, *self._known([texts[i] for i in known])[:2], label[known]))

        def write(denoiser: Denoiser, row: dict[str, float]) -> None:
            for split, condition, p_observed, label in parts:
                found = posterior(denoiser, condition, p_observed, self.config, chains=1)
                row[f"accuracy_{split}"] = accuracy(found, label)

        return write

    def _new_branches(self, n_classes: int) -> BranchedClassifier:
        c = self.config
        with torch.random.fork_rng():
            encoder = TextEncoder(
                c.encoder, trainable_layers=c.trainable_layers, max_length=c.max_length, device=c.device
            )
            torch.manual_seed(c.seed)
            return BranchedClassifier(encoder, n_classes, c.branches, dropout=c.dropout)

    def _text_embedding(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the pre-trained encoder's embeddings of n texts, (n, D')."""
        c = self.config
        encoder = TextEncoder(c.encoder, trainable_layers=0, max_length=c.max_length, device=c.device)
        return encoder.embed(list(texts))

    # -- prediction ---------------------------------------------------------------------------------------

    def _known(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Prediction]:
        """Return condition (M, n, P), P_clf (M, n, C) and the first stage's prediction of n texts."""
        place, model = choose_device(self.config.device), self.branches_
        precision = choose_precision(self.config.mixed_precision, place)
        found = self.snapshots_.predictions(model.to(place), model.prepare(texts), place, precision)
        trajectory = np.stack([p.embedding.astype(np.float16) for p in found]).transpose(2, 0, 1, 3)
        condition = conditions(trajectory, self._text_embedding(texts))
        p_observed = torch.from_numpy(found[-1].probability).transpose(0, 1)
        return condition.to(place), p_observed.to(place), found[-1]

    def _predict(self, texts: Sequence[str]) -> Prediction:
        condition, p_observed, last = self._known(texts)
        denoiser = self.denoiser_.to(condition.device)
        return Prediction(posterior(denoiser, condition, p_observed, self.config), last.embedding.mean(1))

    def predict_observed(self, texts: Sequence[str]) -> Probabilities:
        """Return the first stage alone: P_clf(ỹ | x), the branches' mean, shape (n, C), rows sum to 1."""
        checked = self._checked(texts)
        model, place = self.branches_, choose_device(self.config.device)
        if not checked:
            return np.empty((0, len(self.label_names_)), np.float32)
        precision = choose_precision(self.config.mixed_precision, place)
        found = predict(model.to(place), model.prepare(checked), place, precision=precision)
        return found.class_probability()

    def _refined(self, texts: Sequence[str], noisy_label: NDArray[np.int64]) -> Probabilities:
        condition, p_observed, _ = self._known(texts)
        denoiser = self.denoiser_.to(condition.device)
        return refined(denoiser, condition, p_observed, noisy_label, self.config)

    def refine(self, ds: DatasetDict) -> DatasetDict:
        """Return the data with refined labels, to be exported or trained on.

        Parameters
        ----------
        ds : DatasetDict
            Splits with ``text`` and ``noisy_label`` get the new columns; others stay as they are.

        Returns
        -------
        DatasetDict
            With ``refined_label`` (a ClassLabel) and ``refined_probability``: the likeliest class under
            P(y | x, ỹ), and its probability. Where the observed label is missing, under P(y | x).
        """
        self._check_fitted()
        result = type(ds)(ds)
        for split, part in ds.items():
            if "noisy_label" not in part.column_names:
                continue
            self._check_names(part.features["noisy_label"])
            texts = check_texts(part["text"][:], f"ds[{split!r}]['text']")
            label = class_numbers(part["noisy_label"][:], f"ds[{split!r}]['noisy_label']")
            p = self._refined(texts, label)
            kept = part.remove_columns(
                [c for c in ("refined_label", "refined_probability") if c in part.column_names]
            )
            kept = kept.add_column(
                "refined_label", p.argmax(1).tolist(), feature=ClassLabel(names=self.label_names_)
            )
            result[split] = kept.add_column("refined_probability", p.max(1).astype(float).tolist())
        return result

    def report(self, dataset: Dataset) -> dict[str, Any]:
        """Compare detection, prior and refined labels with the true labels of the training split.

        Parameters
        ----------
        dataset : Dataset
            ``ds["train"]`` as given to `fit`, with its column ``label``.

        Returns
        -------
        dict
            ``detection``: `nlkit.metrics.detection_report` and noise_rate_used; ``prior``:
            `nlkit.metrics.prior_report`; ``correction``: `nlkit.metrics.correction_report` of the refined
            labels.
        """
        self._check_fitted()
        if len(dataset) != len(self.prior_):
            raise ValueError(
                f"dataset has {len(dataset)} samples, fit saw {len(self.prior_)}: give ds['train']"
            )
        label = class_numbers(dataset["label"][:], "dataset['label']")
        noisy = class_numbers(dataset["noisy_label"][:], "dataset['noisy_label']")
        found = detection_report(self.prior_["suspicion"].to_numpy(), noisy, label)
        refined = self._refined(list(dataset["text"]), noisy).argmax(1)
        return {
            "detection": {**found, "noise_rate_used": self.noise_rate_},
            "prior": prior_report(self.prior_["case"], self.prior_["likeliest"], label),
            "correction": correction_report(noisy, refined, label),
        }

    # -- saving -------------------------------------------------------------------------------------------

    def _networks(self) -> dict[str, nn.Module]:
        return {"branches": self.branches_, "denoiser": self.denoiser_, "snapshots": self.snapshots_}

    def _extra_values(self) -> dict[str, Any]:
        return {
            "noise_rate": self.noise_rate_, "snapshots": self.snapshots_.count,
            "condition_size": self.denoiser_.condition.weight.shape[1],
            "warm_started": self.warm_start is not None or self._lost_warm_start,
        }  # fmt: skip

    def _rebuild(self, values: dict[str, Any]) -> None:
        n_classes = len(self.label_names_)
        self.branches_ = self._new_branches(n_classes)
        # Filled with what was saved: only names and shapes count here.
        self.snapshots_ = Snapshots([self.branches_.state_dict()] * values["snapshots"])
        self.denoiser_ = new_denoiser(
            self.config.branches, n_classes, values["condition_size"], self.config
        ).eval()
        self.noise_rate_ = values["noise_rate"]
        self._lost_warm_start = values["warm_started"] and getattr(self, "warm_start", None) is None

"""SiDyP: labels made by a language model, refined by simplex diffusion with a dynamic prior.

After the published description (arXiv 2505.19675). The parts have modules of their own:
`nlkit.methods.sidyp.branches` (the first stage and its trajectories), `nlkit.methods.sidyp.detection` (who is
probably mislabelled), `nlkit.methods.sidyp.prior` (candidates for the true label),
`nlkit.methods.sidyp.diffusion` (the denoiser), `nlkit.methods.sidyp.refinement` (the second stage) and
`nlkit.methods.sidyp.posterior` (prediction); `nlkit.methods.sidyp.fitted` holds what needs no training data.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray

from nlkit._util import content_hash
from nlkit.data.checks import check_texts
from nlkit.data.observed import Observed, label_names, observe
from nlkit.methods.base import Watch, eval_parts
from nlkit.methods.noiseal.method import NoiseAL
from nlkit.methods.sidyp.branches import (
    CoRegularisedLoss,
    Snapshots,
    TrajectoryRecorder,
    snapshot_epochs,
)
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.detection import suspects
from nlkit.methods.sidyp.diffusion import Denoiser
from nlkit.methods.sidyp.fitted import FittedSiDyP
from nlkit.methods.sidyp.posterior import conditions, posterior
from nlkit.methods.sidyp.prior import Prior, neighbour_prior
from nlkit.methods.sidyp.refinement import Refinement
from nlkit.metrics import accuracy
from nlkit.models.device import choose_device
from nlkit.training import Callback, Checkpoint, Trainer

__all__ = ["SiDyP"]

Probabilities = NDArray[np.float32]


class SiDyP(FittedSiDyP):
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
        A fitted `NoiseAL`. In training, its clean set R and the annotator's answers are believed, and what it
        left open, H and the purified texts without an answer, gets the neighbours' prior. `fit` then needs
        the same training split.
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
    dynamics_ : ndarray, shape (M, E, N, C), float16
        Their class probabilities after each epoch of the first stage; rows sum to 1. Not saved.

    Examples
    --------
    >>> import nlkit as nk
    >>> ds = nk.load_dataset("r8", train_size=500)
    >>> ds = nk.label_with_llm(ds, "smollm2", shots=1)                    # doctest: +SKIP
    >>> clf = nk.SiDyP(profile="quick").fit(ds)                          # doctest: +SKIP
    >>> clf.refine(ds)["train"]["refined_label"]                         # doctest: +SKIP
    """

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
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Learn from ``ds["train"]``'s texts and noisy labels.

        Parameters
        ----------
        ds : DatasetDict
            Splits "train" and perhaps "validation", with columns ``text`` and ``noisy_label``; −1 is missing.
        eval_splits : sequence of str
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
        recorder, rows = self._first_stage(ds, data, believed, len(names), eval_splits, checkpoint)
        # Each of these is large or takes time, so it is made once.
        trajectory = {split: recorder.trajectory(split) for split in recorder.embedding}
        embedding = {"train": self._text_embedding(data.texts)}
        if "validation" in trajectory:
            embedding["validation"] = self._text_embedding(list(ds["validation"]["text"]))
        suspect, score = self._suspects(recorder, trajectory["train"], data, believed)
        prior = self._prior(embedding, data, suspect, believed, len(names))
        refinement = self._refinement(data, recorder, trajectory, embedding, prior)
        n = len(data.texts)
        self.label_names_ = names
        try:
            refinement.fit(self._watcher(ds, eval_splits))
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
            self.prior_weight_, self.trajectory_ = prior.weight[:n], trajectory["train"]
            self.dynamics_ = recorder.dynamics("train")
            self.best_epoch_ = refinement.best_epoch or None
            self._best = ("denoiser", refinement.best_weights) if refinement.best_weights else None
            if self._best and self.config.selection == "noisy_validation":
                self.denoiser_.load_state_dict(self._best[1])
        return self

    # -- the steps of fit ---------------------------------------------------------------------------------

    def _first_stage(
        self, ds: DatasetDict, data: Observed, believed: NDArray[np.bool_] | None, n_classes: int,
        eval_splits: Sequence[str], checkpoint: str | Path | None,
    ) -> tuple[TrajectoryRecorder, pd.DataFrame]:  # fmt: skip
        c = self.config
        model = self._new_branches(n_classes)
        inputs = {"train": model.prepare(data.texts)}
        if "validation" in ds:
            texts = check_texts(ds["validation"]["text"][:], "ds['validation']['text']")
            inputs["validation"] = model.prepare(texts)
        objective = CoRegularisedLoss(
            data.noisy_label, c.coregularisation, c.coregularisation_warmup, c.restore_coregularisation
        )
        recorder = TrajectoryRecorder("branches", inputs, snapshot_epochs(c.epochs, c.trajectory_points))
        callbacks: list[Callback] = [objective, recorder]
        callbacks += [Watch(model, "branches", ds, eval_splits, averaged=True)] if eval_splits else []
        if checkpoint:
            start = "" if believed is None else content_hash(believed.tobytes().hex())
            identity = self._run_identity(data, ds, model.encoder.fingerprint, start)
            callbacks.append(Checkpoint(checkpoint, identity))
        trainer = Trainer(
            {"branches": model}, {"branches": inputs["train"]},
            {"branches": model.parameter_groups(c.lr_encoder, c.lr_head)}, objective, callbacks=callbacks,
            description="SiDyP, classifier", **self._trainer_settings(), ema_epochs=c.branch_ema_epochs,
        ).fit()  # fmt: skip
        self.branches_ = trainer.raw("branches")
        self.branches_.load_state_dict(recorder.weights[max(recorder.weights)])
        self.snapshots_ = Snapshots([recorder.weights[e] for e in sorted(recorder.weights)[:-1]])
        return recorder, trainer.history

    def _suspects(
        self, recorder: TrajectoryRecorder, trajectory: NDArray[np.float16], data: Observed,
        believed: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:  # fmt: skip
        """Return who is suspect and the score of every training text."""
        c = self.config
        suspect, self.noise_rate_, score = suspects(
            recorder.dynamics("train"), trajectory, data.noisy_label, score=c.score,
            noise_rate=c.noise_rate, margin_epochs=c.margin_epochs, normalise=c.normalise,
            agreement=c.agreement, seed=c.seed,
        )  # fmt: skip
        if believed is not None:
            suspect = ~believed & (data.noisy_label >= 0)
            self.noise_rate_ = float(suspect.mean())
        return suspect, score

    def _prior(
        self, embedding: Mapping[str, NDArray[np.float32]], data: Observed, suspect: NDArray[np.bool_],
        believed: NDArray[np.bool_] | None, n_classes: int,
    ) -> Prior:  # fmt: skip
        """Return the prior of training and validation texts, in this order."""
        c, space = self.config, np.concatenate(list(embedding.values()))
        # Validation texts are nobody's neighbours: their labels are for judging.
        others = len(space) - len(data.texts)
        label = np.concatenate([data.noisy_label, np.full(others, -1)])
        doubted = np.concatenate([suspect, np.zeros(others, bool)])
        prior = neighbour_prior(
            space, label, doubted, n_classes, k=c.neighbours, gamma=c.gamma, delta=c.delta
        )
        return prior if believed is None else prior.fixed(np.flatnonzero(believed), data.noisy_label)

    def _refinement(
        self, data: Observed, recorder: TrajectoryRecorder, trajectory: Mapping[str, NDArray[np.float16]],
        embedding: Mapping[str, NDArray[np.float32]], prior: Prior,
    ) -> Refinement:  # fmt: skip
        n, at = len(data.texts), [e - 1 for e in sorted(recorder.weights)]
        condition = {split: conditions(z[:, at], embedding[split]) for split, z in trajectory.items()}
        validation = None
        if "validation" in condition:
            # The chain has to be told an observed label: the one the first stage finds likeliest.
            guess = recorder.probability["validation"][-1].mean(1).argmax(1).astype(np.int64)
            validation = (condition["validation"], guess, prior.weight[n:].argmax(1))
        place = choose_device(self.config.device)
        return Refinement(
            condition["train"], data.noisy_label, prior.first(n), self.config, place, validation
        )

    def _watcher(
        self, ds: Mapping[str, Dataset], eval_splits: Sequence[str]
    ) -> Callable[[Denoiser, dict[str, float]], None] | None:
        """Return a function that writes accuracies on true labels into the second stage's history."""
        if not eval_splits:
            return None
        parts = [
            (split, *self._encode(texts)[:2], label) for split, texts, label in eval_parts(ds, eval_splits)
        ]

        def write(denoiser: Denoiser, row: dict[str, float]) -> None:
            for split, condition, p_observed, label in parts:
                found = posterior(denoiser, condition, p_observed, self.config, chains=1)
                row[f"accuracy_{split}"] = accuracy(found, label)

        return write

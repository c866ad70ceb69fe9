"""SiDyP: labels made by a language model, refined by simplex diffusion with a dynamic prior.

After the published description (KDD 2025, arXiv 2505.19675). `SiDyP.fit` reads as the algorithm; its parts
stand beside this module: `branches` (the first stage and its trajectories), `detection` (which labels are
suspect), `prior` (candidates for the true label), `diffusion` (the denoiser), `refinement` (the second stage)
and `posterior` (prediction). `plain` says the whole method on one page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict
from numpy.typing import NDArray
from torch import Tensor, nn

from nlkit._util import invalid
from nlkit.data.checks import check_texts, numbers_of
from nlkit.data.observed import Observed, checked_labels, label_names, observe, with_column
from nlkit.methods.selection import eval_parts
from nlkit.methods.sidyp.branches import (
    BranchedClassifier,
    CoRegularisedLoss,
    Snapshots,
    TrajectoryRecorder,
    new_branches,
    snapshot_epochs,
)
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.detection import suspects
from nlkit.methods.sidyp.diffusion import Denoiser
from nlkit.methods.sidyp.inside import Inside
from nlkit.methods.sidyp.posterior import conditions, new_denoiser, posterior, refined
from nlkit.methods.sidyp.prior import Prior, nearest_trusted, neighbour_prior, vote_shares
from nlkit.methods.sidyp.refinement import Refinement
from nlkit.methods.sidyp.weighing import STAGES, Judge, Seen, Weighing, early_space
from nlkit.metrics.labels import correction_report, detection_report, prior_report
from nlkit.metrics.predictions import accuracy
from nlkit.models.device import choose_device, choose_precision
from nlkit.models.prediction import Prediction
from nlkit.noise.estimating import estimate_noise_rate
from nlkit.training.trainer import Interrupted, Trainer

__all__ = ["SiDyP"]

Probabilities = NDArray[np.float32]


class SiDyP(Inside):
    """Co-regularised branches, a prior from trusted neighbours, and a simplex diffusion that refines labels.

    Parameters
    ----------
    encoder : str
        "minilm" (offline), a model folder, or a hub name.
    branches : int
        M.
    noise_rate : float, "auto" or "mixture", optional
        Share of wrong labels, or how to estimate it (`SiDyPConfig`); by default the variant's.
    profile : str
        "quick", "class" or "paper": the defaults of everything else.
    seed : int
        Of all random numbers.
    **settings
        Any other field of `SiDyPConfig`.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch of either stage (column stage: "classifier" or "diffusion").
    prior_ : DataFrame
        One row a training text: index, id (if the data have one), text, noisy_label (a name), suspect, case
        (certain, dominant, uncertain), candidates, proposed, the likeliest one's name, likeliest, its number,
        and weight, suspicion, and refined_weight: the likeliest candidate's weight after the reverse chain's
        answers.
    noise_rate_ : float
        The given or the estimated one.
    noise_rate_interval_ : tuple of two floats
        Of the estimate (`nlkit.noise.estimating.estimate_noise_rate`).
    weighing_ : Weighing
        What held-out labels say of epochs, spaces and stages (`nlkit.methods.sidyp.weighing`); ``report``
        shows it.
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

    config_class = SiDyPConfig
    config: SiDyPConfig
    branches_: BranchedClassifier
    denoiser_: Denoiser
    weighing_: Weighing
    snapshots_: Snapshots
    noise_rate_: float
    prior_: pd.DataFrame
    tables: ClassVar[tuple[str, ...]] = ("history_", "prior_")

    def __init__(
        self,
        encoder: str = "auto",
        branches: int = 3,
        noise_rate: float | str | None = None,
        profile: str = "class",
        seed: int = 0,
        **settings: Any,
    ) -> None:
        if noise_rate is not None:
            settings["noise_rate"] = noise_rate
        self._configure(encoder=encoder, branches=branches, profile=profile, seed=seed, **settings)

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
            the first stage's mean over branches, then the diffusion alone with one reverse chain a label.
        checkpoint : path, optional
            Folder for a checkpoint after each epoch of the first stage; the same call goes on where it
            stopped. The second stage is short and starts again.

        Raises
        ------
        ValueError
            If a split or column is missing, every label is suspect, or a checkpoint is of another run.
        Interrupted
            On Ctrl-C. In the first stage only a checkpoint keeps what was learnt; after it, what the second
            stage has learnt so far is there, and `predict` works.
        """
        c = self.config
        if "validation" in ds and not len(ds["validation"]):
            ds = type(ds)({split: part for split, part in ds.items() if split != "validation"})
        if c.selection == "noisy_validation" and "validation" not in ds:
            raise ValueError("selection='noisy_validation' needs ds['validation']: its texts")
        data, names = observe(ds, "train"), label_names(ds)
        if c.transition is not None and len(c.transition) != len(names):
            invalid("transition", f"{len(c.transition)} classes", f"the data's {len(names)}: {names}")
        texts = {"train": data.texts}
        if "validation" in ds:
            texts["validation"] = check_texts(ds["validation"]["text"][:], "ds['validation']['text']")

        judge = Judge.of(ds, data, c)
        learnt = judge.learnt(data.noisy_label)
        recorder, history = self._first_stage(ds, data, learnt, texts, len(names), eval_splits, checkpoint)
        # Each of these is large or takes time, so it is made once.
        trajectory = {split: recorder.trajectory(split) for split in texts}
        recorder.embedding.clear()  # copied, and the largest thing there is
        embedding = {split: self._text_embedding(part) for split, part in texts.items()}
        dynamics = recorder.dynamics("train")

        self.label_names_, self._trained_on = names, data.identity()
        suspect, self.noise_rate_, suspicion = suspects(
            dynamics, trajectory["train"], data.noisy_label, score=c.score,
            noise_rate=self._noise_rate(embedding["train"], data.noisy_label),
            margin_epochs=c.margin_epochs, normalise=c.normalise, agreement=c.agreement, seed=c.seed,
        )  # fmt: skip
        suspect &= ~data.checked
        at = [e - 1 for e in snapshot_epochs(c.epochs, c.trajectory_points)]
        early = {split: early_space(z[:, at]) for split, z in trajectory.items()}
        self.weighing_ = Weighing(c, len(names), len(at))
        judged = [recorder.probability[judge.split][e] for e in at]
        self.weighing_.weigh_epochs(judged, judge)
        prior = self._prior(embedding, early, data, suspect, judge)
        condition = {split: conditions(z[:, at], embedding[split]) for split, z in trajectory.items()}
        refinement = self._refinement(data, recorder, condition, prior)

        n = len(data.texts)
        try:
            refinement.fit(self._evaluator(ds, eval_splits))
        finally:
            self.denoiser_ = refinement.denoiser
            of, p_observed = judge.split, self.weighing_.p_observed(judged)
            last = trajectory[of][0, -1]
            seen = Seen(condition[of], p_observed, embedding[of], early[of], last)
            self._weigh_stages(judge, n, seen)
            self.history_ = pd.concat(
                [
                    history.assign(stage="classifier"),
                    pd.DataFrame(refinement.rows).assign(stage="diffusion", bits=32),
                ],
                ignore_index=True,
            )
            self.history_.insert(0, "stage", self.history_.pop("stage"))
            table = prior.first(n).table(names, data.noisy_label)
            self.prior_ = table.assign(suspicion=suspicion, refined_weight=refinement.weight.mean(0).max(1))
            self.prior_.insert(1, "text", data.texts)
            if "id" in ds["train"].column_names:
                self.prior_.insert(1, "id", ds["train"]["id"][:])
            self.prior_weight_, self.trajectory_ = prior.weight[:n], trajectory["train"]
            self.dynamics_ = dynamics
            self._finish("denoiser", refinement.best_epoch, refinement.best_weights)
        return self

    # -- the steps of fit ---------------------------------------------------------------------------------

    def _first_stage(
        self, ds: DatasetDict, data: Observed, learnt: NDArray[np.int64], texts: Mapping[str, list[str]],
        n_classes: int, eval_splits: Sequence[str], checkpoint: str | Path | None,
    ) -> tuple[TrajectoryRecorder, pd.DataFrame]:  # fmt: skip
        """Train the branches on the observed labels; record trajectories and dynamics after each epoch."""
        c = self.config
        model = new_branches(c, n_classes)
        inputs = {split: model.prepare(part) for split, part in texts.items()}
        loss = CoRegularisedLoss(learnt)
        recorder = TrajectoryRecorder("branches", inputs, snapshot_epochs(c.epochs, c.trajectory_points))
        evaluated = [(split, model.prepare(t), label) for split, t, label in eval_parts(ds, eval_splits)]
        trainer = Trainer.from_config(
            c, {"branches": model}, {"branches": inputs["train"]}, loss, ema_epochs=c.branch_ema_epochs,
            description="SiDyP, classifier",
        )  # fmt: skip
        saved = self._checkpoint(checkpoint, data, ds, model.encoder.fingerprint)
        try:
            with trainer.running(saved, recorder=recorder) as epochs:
                loss.weight = c.coregularisation_at(trainer.epoch)
                for row in epochs:
                    row["coregularisation"] = loss.weight
                    loss.weight = c.coregularisation_at(trainer.epoch)
                    recorder.record(trainer)
                    for split, part, label in evaluated:
                        p = trainer.predict("branches", part, averaged=True).class_probability()
                        row[f"accuracy_{split}"] = accuracy(p, label)
        except Interrupted:
            kept = "nothing is kept" if saved else "without a checkpoint nothing is kept"
            if saved and trainer.epoch:
                kept = f"the checkpoint keeps {trainer.epoch}: the same call goes on there"
            raise Interrupted(
                f"SiDyP was interrupted in epoch {trainer.epoch + 1} of {c.epochs} of its first stage; {kept}"
            ) from None  # the trainer's message speaks of epochs that are lost with it
        self.branches_ = model
        trainer.release()
        *earlier, last = (recorder.weights.pop(epoch) for epoch in sorted(recorder.weights))
        self.branches_.load_state_dict(last)
        self.snapshots_ = Snapshots(earlier)
        return recorder, trainer.history

    def _noise_rate(self, text: NDArray[np.float32], noisy_label: NDArray[np.int64]) -> float | str:
        """Return the share of labels to suspect: given, or estimated from votes in text space."""
        nobody, n_classes = np.zeros(len(noisy_label), bool), len(self.label_names_)
        near, far = nearest_trusted(text, noisy_label, nobody, k=2 * self.config.neighbours)
        vote = vote_shares(near, far, noisy_label, n_classes)
        rate, self.noise_rate_interval_ = estimate_noise_rate(vote, noisy_label)
        given = self.config.noise_rate
        if given == "mixture":
            return "auto"  # so it is called where the scores are all there is
        return rate if isinstance(given, str) else given

    def _prior(
        self, embedding: Mapping[str, NDArray[np.float32]], early: Mapping[str, NDArray[np.float32]],
        data: Observed, suspect: NDArray[np.bool_], judge: Judge,
    ) -> Prior:  # fmt: skip
        """Return the prior of training and validation texts, in this order."""
        c = self.config
        if c.evidence:
            return self.weighing_.prior(embedding, early, data.noisy_label, suspect, self.noise_rate_, judge)
        space = np.concatenate(list(embedding.values()))
        # Validation texts are nobody's neighbours: their labels are for judging.
        others = len(space) - len(data.texts)
        label = np.concatenate([data.noisy_label, np.full(others, -1)])
        doubted = np.concatenate([suspect, np.zeros(others, bool)])
        return neighbour_prior(
            space, label, doubted, len(self.label_names_), k=c.neighbours, gamma=c.gamma, delta=c.delta
        )  # fmt: skip

    def _weigh_stages(self, judge: Judge, n_texts: int, seen: Seen) -> None:
        """Weigh first stage, neighbours and diffusion by the labels that judge."""
        if not self.config.evidence:
            return
        known = np.flatnonzero(judge.label >= 0)
        nothing = np.empty((len(STAGES), 0, len(self.label_names_)))
        stages = self._stages(seen.take(known)) if len(known) else nothing
        self.weighing_.weigh_stages(stages, judge.label[known], n_texts)

    def _stages(self, seen: Seen) -> NDArray[np.float64]:
        """Return what first stage, neighbours and diffusion say of n texts, (3, n, C)."""
        return self.weighing_.stages(seen, self._diffusion(seen))

    def _refinement(
        self, data: Observed, recorder: TrajectoryRecorder, condition: Mapping[str, Tensor], prior: Prior
    ) -> Refinement:
        """Return the second stage, not trained yet."""
        n = len(data.texts)
        validation = None
        if "validation" in condition:
            # The chain needs an observed label: the one the first stage finds likeliest.
            guess = recorder.probability["validation"][-1].mean(1).argmax(1).astype(np.int64)
            validation = (condition["validation"], guess, prior.weight[n:].argmax(1))
        place = choose_device(self.config.device)
        return Refinement(
            condition["train"], data.noisy_label, prior.first(n), self.config, place, validation
        )

    def _evaluator(
        self, ds: Mapping[str, Dataset], eval_splits: Sequence[str]
    ) -> Callable[[Denoiser, dict[str, float]], None] | None:
        """Return a function that writes accuracies on true labels into the second stage's history."""
        if not eval_splits:
            return None
        parts = [(split, self._encode(texts), label) for split, texts, label in eval_parts(ds, eval_splits)]

        def write(denoiser: Denoiser, row: dict[str, float]) -> None:
            for split, seen, label in parts:
                row[f"accuracy_{split}"] = accuracy(self._diffusion(seen, denoiser, chains=1), label)

        return write

    # -- prediction ---------------------------------------------------------------------------------------

    def _encode(self, texts: Sequence[str]) -> Seen:
        """Return what the second stage is told of n texts, and what the first stage says."""
        place, model = choose_device(self.config.device), self.branches_
        precision = choose_precision(self.config.mixed_precision, place)
        found = self.snapshots_.predictions(model.to(place), model.prepare(texts), place, precision)
        trajectory = np.stack([p.embedding.astype(np.float16) for p in found]).transpose(2, 0, 1, 3)
        text = self._text_embedding(texts)
        return Seen(
            conditions(trajectory, text), self.weighing_.p_observed([p.probability for p in found]), text,
            early_space(trajectory), found[-1].embedding.mean(1),
        )  # fmt: skip

    def _predict(self, texts: Sequence[str]) -> Prediction:
        seen = self._encode(texts)
        return Prediction(self._posterior(seen), seen.embedding)

    def _diffusion(
        self, seen: Seen, denoiser: Denoiser | None = None, chains: int | None = None
    ) -> Probabilities:
        """Return P(y | x) by the diffusion alone."""
        place = choose_device(self.config.device)
        condition, p_observed = seen.condition.to(place), seen.p_observed.to(place)
        who = (denoiser or self.denoiser_).to(place)
        return posterior(who, condition, p_observed, self.config, chains=chains)

    def _posterior(self, seen: Seen) -> Probabilities:
        """Return P(y | x)."""
        return self.weighing_.blended(self._stages(seen)) if self.config.evidence else self._diffusion(seen)

    def predict_observed(self, texts: Sequence[str]) -> Probabilities:
        """Return the first stage alone: P_clf(ỹ | x), the mean of branches and weighed epochs.

        Shape (n, C), rows sum to 1.
        """
        checked = self._checked(texts)
        if not checked:
            return np.empty((0, len(self.label_names_)), np.float32)
        found: Probabilities = self._encode(checked).p_observed.mean(0).cpu().numpy()
        return found

    def _refined(
        self, texts: Sequence[str], noisy_label: NDArray[np.int64]
    ) -> tuple[Probabilities, NDArray[np.str_]]:
        """Return P(y | x, ỹ), shape (n, C), and for each text why its label is what it is (`refine`)."""
        place, seen, missing = choose_device(self.config.device), self._encode(texts), noisy_label < 0
        p = refined(
            self.denoiser_.to(place), seen.condition.to(place), seen.p_observed.to(place), noisy_label,
            self.config,
        )  # fmt: skip
        why = np.where(p.argmax(1) == noisy_label, "kept", "diffusion").astype(object)
        if self.config.evidence:
            known, blank = np.flatnonzero(~missing), np.flatnonzero(missing)
            if len(known):
                p[known], why[known] = self.weighing_.refined(seen.take(known), p[known], noisy_label[known])
            if len(blank):
                p[blank] = self._posterior(seen.take(blank))
        return p, np.where(missing, "filled", why).astype(str)

    def refine(self, ds: DatasetDict) -> DatasetDict:
        """Return the data with refined labels, to be exported or trained on.

        Parameters
        ----------
        ds : DatasetDict
            Splits with ``text`` and ``noisy_label`` get the new columns; others, and empty ones, stay.

        Returns
        -------
        DatasetDict
            With ``refined_label`` (a ClassLabel) and ``refined_probability``: the likeliest class under
            P(y | x, ỹ), and its probability; an observed label is kept unless another one is `CHANGE` times
            as likely, and always if a person has checked it. ``refined_reason``: "kept", "checked", "filled"
            (a missing label: under P(y | x)), or which of "first stage", "neighbours" and "diffusion" name
            the new label by themselves ("all together": none does).
        """
        self._check_fitted()
        result = type(ds)(ds)
        for split, part in ds.items():
            if "noisy_label" not in part.column_names or not len(part):
                continue
            texts = check_texts(part["text"][:], f"ds[{split!r}]['text']")
            label = numbers_of(part, "noisy_label", f"ds[{split!r}]", self.label_names_)
            p, why = self._refined(texts, label)
            checked = checked_labels(part, label)
            p[checked], why = (
                np.eye(len(self.label_names_))[label[checked]],
                np.where(checked, "checked", why),
            )
            names = ClassLabel(names=self.label_names_)
            part = with_column(part, "refined_label", p.argmax(1).tolist(), names)
            part = with_column(part, "refined_probability", p.max(1).astype(float).tolist())
            result[split] = with_column(part, "refined_reason", why.tolist())
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
            ``detection``: `nlkit.metrics.detection_report`, noise_rate_used and the estimate's interval;
            ``spaces`` and ``stages``: `nlkit.methods.sidyp.weighing.Weighing.report`; ``prior``:
            `nlkit.metrics.prior_report`; ``correction``: `nlkit.metrics.correction_report` of the refined
            labels.
        """
        data = self._check_trained_on(dataset)
        label, noisy = numbers_of(dataset, "label", "dataset", self.label_names_), data.noisy_label
        found = detection_report(self.prior_["suspicion"].to_numpy(), noisy, label)
        refined = self._refined(data.texts, noisy)[0].argmax(1)
        low, high = self.noise_rate_interval_
        return {
            "detection": {
                **found,
                "noise_rate_used": self.noise_rate_,
                "noise_rate_low": low,
                "noise_rate_high": high,
            },
            **self.weighing_.report(),
            "prior": prior_report(self.prior_["case"], self.prior_["likeliest"], label),
            "correction": correction_report(noisy, refined, label),
        }

    # -- saving -------------------------------------------------------------------------------------------

    def _networks(self) -> dict[str, nn.Module]:
        return {
            "branches": self.branches_, "denoiser": self.denoiser_, "snapshots": self.snapshots_,
            "weighing": self.weighing_,
        }  # fmt: skip

    def _extra_values(self) -> dict[str, Any]:
        return {
            "noise_rate": self.noise_rate_,
            "noise_rate_interval": self.noise_rate_interval_,
            "neighbourhood": self.weighing_.sizes(),
            "snapshots": self.snapshots_.count,
            "condition_size": self.denoiser_.condition.weight.shape[1],
        }

    def _rebuild(self, values: dict[str, Any]) -> None:
        n_classes = len(self.label_names_)
        self.branches_ = new_branches(self.config, n_classes)
        # Filled with what was saved: only names and shapes count here.
        self.snapshots_ = Snapshots([self.branches_.state_dict()] * values["snapshots"])
        self.denoiser_ = new_denoiser(
            self.config.branches, n_classes, values["condition_size"], self.config
        ).eval()
        self.noise_rate_, interval = values["noise_rate"], values["noise_rate_interval"]
        self.noise_rate_interval_ = tuple(interval)
        self.weighing_ = Weighing(self.config, n_classes, values["snapshots"] + 1)
        self.weighing_.restore_sizes(values["neighbourhood"])

"""What a fitted SiDyP says: predictions, refined labels, its reverse chain, and how it is saved.

`nlkit.methods.sidyp.method` is how it learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from datasets import ClassLabel, Dataset, DatasetDict
from numpy.typing import NDArray
from torch import Tensor, nn

from nlkit._util import invalid
from nlkit.data.checks import check_labels, check_texts, class_numbers
from nlkit.data.observed import with_column
from nlkit.methods.base import Method
from nlkit.methods.noiseal.method import NoiseAL
from nlkit.methods.sidyp.branches import BranchedClassifier, Snapshots
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.diffusion import Denoiser, alpha_bar, p_sample_loop, q_sample, to_simplex
from nlkit.methods.sidyp.posterior import conditions, new_denoiser, posterior, refined
from nlkit.metrics import correction_report, detection_report, prior_report
from nlkit.models.device import choose_device, choose_precision
from nlkit.models.encoder import TextEncoder
from nlkit.training import Prediction, predict

__all__ = ["FittedSiDyP"]

Probabilities = NDArray[np.float32]


class FittedSiDyP(Method):
    """The half of `nlkit.SiDyP` that needs no training data: see there for its attributes."""

    config: SiDyPConfig
    branches_: BranchedClassifier
    denoiser_: Denoiser
    snapshots_: Snapshots
    noise_rate_: float
    prior_: pd.DataFrame
    warm_start: NoiseAL | None
    _lost_warm_start: bool
    tables: ClassVar[tuple[str, ...]] = ("history_", "prior_")

    def _new_branches(self, n_classes: int) -> BranchedClassifier:
        c = self.config
        with torch.random.fork_rng():
            encoder = TextEncoder(
                c.encoder, trainable_layers=c.trainable_layers, max_length=c.max_length, device=c.device
            )
            torch.manual_seed(c.seed)
            return BranchedClassifier(encoder, n_classes, c.branches, dropout=c.dropout)

    def _encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Prediction]:
        """Return condition (M, n, P), P_clf (M, n, C) and the first stage's prediction of n texts."""
        place, model = choose_device(self.config.device), self.branches_
        precision = choose_precision(self.config.mixed_precision, place)
        found = self.snapshots_.predictions(model.to(place), model.prepare(texts), place, precision)
        trajectory = np.stack([p.embedding.astype(np.float16) for p in found]).transpose(2, 0, 1, 3)
        condition = conditions(trajectory, self._text_embedding(texts))
        p_observed = torch.from_numpy(found[-1].probability).transpose(0, 1)
        return condition.to(place), p_observed.to(place), found[-1]

    def _predict(self, texts: Sequence[str]) -> Prediction:
        condition, p_observed, last = self._encode(texts)
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
        condition, p_observed, _ = self._encode(texts)
        denoiser = self.denoiser_.to(condition.device)
        return refined(denoiser, condition, p_observed, noisy_label, self.config)

    def chain(self, texts: Sequence[str], noisy_label: Sequence[int]) -> Probabilities:
        """Return the reverse chain of n texts step by step, for drawing.

        Parameters
        ----------
        texts : sequence of n strings
        noisy_label : sequence of n integers
            The observed labels that the denoiser is told; −1 is missing.

        Returns
        -------
        ndarray, shape (T' + 1, M, n, C)
            Points of the simplex (rows sum to 1): pure noise first, the chain's class probabilities last. One
            chain a branch; all texts see the same noise.
        """
        label, encoded = self._encode_with_labels(texts, noisy_label)
        steps: list[Tensor] = []
        place, denoiser = encoded.device, self.denoiser_.to(encoded.device)
        p_sample_loop(
            denoiser, label.expand(len(encoded), -1), encoded,
            alpha_bar(self.config.sampling_steps).to(place), shared_noise=True, trace=steps,
            generator=torch.Generator(place).manual_seed(self.config.seed),
        )  # fmt: skip
        return torch.stack(steps).cpu().numpy()

    @torch.no_grad()
    def denoised(
        self, texts: Sequence[str], noisy_label: Sequence[int], shown: Sequence[int], step: int
    ) -> Probabilities:
        """Return what the denoiser answers to a label that it is shown under noise: P(y | s_t, ỹ, x).

        One call of the denoiser, no chain; by choosing `shown` one sees what it believes, the noised label or
        the text.

        Parameters
        ----------
        texts : sequence of n strings
        noisy_label : sequence of n integers
            The observed labels ỹ that the denoiser is told; −1 is missing.
        shown : sequence of n integers
            The classes whose corners are noised: s_0. −1 is the middle, no class.
        step : int
            t, from 0 (no noise) to T, `diffusion_steps` (nothing but noise).

        Returns
        -------
        ndarray, shape (n, C)
            The branches' mean; rows sum to 1. The noise depends on the seed alone, and on the text's place.
        """
        observed, encoded = self._encode_with_labels(texts, noisy_label)
        label = class_numbers(list(shown), "shown")
        if len(label) != len(observed):
            raise ValueError(f"shown holds {len(label)} labels for {len(observed)} texts")
        n_classes = len(self.label_names_)
        if len(label) and not (label.min() >= -1 and label.max() < n_classes):
            invalid("shown", list(shown), f"classes from 0 to {n_classes - 1}, or -1")
        T, k, place = self.config.diffusion_steps, self.config.simplex_scale, encoded.device
        if not 0 <= step <= T:
            invalid("step", step, f"a whole number from 0 to {T}")
        level = alpha_bar(T)[step].expand(len(label)).to(place)
        generator = torch.Generator(place).manual_seed(self.config.seed)
        noise = torch.randn(len(label), n_classes, generator=generator, device=place)
        state = q_sample(to_simplex(torch.from_numpy(label).to(place), n_classes, k), level, noise, k)
        M, denoiser = len(encoded), self.denoiser_.to(place)
        seen = denoiser.observed(to_simplex(observed, n_classes, k).expand(M, -1, -1) / k) + encoded
        found = denoiser.denoise(state.expand(M, -1, -1), level.expand(M, -1), seen).softmax(-1).mean(0)
        answer: Probabilities = found.cpu().numpy()
        return answer

    @torch.no_grad()
    def _encode_with_labels(self, texts: Sequence[str], noisy_label: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return observed labels (n,), checked, and what the denoiser is told of the texts, (M, n, H)."""
        checked = self._checked(texts)
        label = class_numbers(list(noisy_label), "noisy_label")
        if len(label) != len(checked):
            raise ValueError(f"noisy_label holds {len(label)} labels for {len(checked)} texts")
        check_labels(label, len(self.label_names_))
        condition, _, _ = self._encode(checked)
        return torch.from_numpy(label).to(condition.device), self.denoiser_.to(
            condition.device
        ).encode_condition(condition)

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
            names = ClassLabel(names=self.label_names_)
            part = with_column(part, "refined_label", p.argmax(1).tolist(), names)
            result[split] = with_column(part, "refined_probability", p.max(1).astype(float).tolist())
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
        self._check_trained_on(dataset, len(self.prior_))
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

"""What baselines and their rivals share: one network, or two as one module, that one loss trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from datasets import DatasetDict
from numpy.typing import NDArray
from torch import Tensor, nn

from nlkit.data.observed import Observed, label_names, observe
from nlkit.methods.base import Method, new_strong, predict_texts
from nlkit.models.batching import Batch, Inputs
from nlkit.models.classifiers import Output, StrongClassifier, TextClassifier
from nlkit.models.prediction import Prediction
from nlkit.noise.estimating import out_of_fold_probabilities
from nlkit.training.config import PAPER, TrainingConfig
from nlkit.training.recording import DynamicsRecorder
from nlkit.training.trainer import Trainer

__all__ = ["Learner", "LearnerConfig", "TwoNetworks", "new_pair"]


@dataclass(frozen=True, kw_only=True)
class LearnerConfig(TrainingConfig):
    """Settings of a `Learner`; those of `TrainingConfig` come with it.

    Attributes
    ----------
    record
        Keep every training sample's probabilities after each epoch in ``dynamics_``.
    """

    record: bool = False

    profiles: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {
            "trainable_layers": 0, "epochs": 10, "batch_size": 64, "lr_head": 3e-3, "lr_decay_share": 0.0,
        },
        "class": {},
        "paper": {"trainable_layers": "all", "max_length": 256, "epochs": 30, **PAPER},
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choice("record", (True, False))


class Learner(Method):
    """A method that is one network (`_new_network`), one loss (`_new_loss`), and what is done after an epoch.

    Attributes
    ----------
    dynamics_ : dict of str to ndarray, shape (E, N, C)
        With ``record=True``: what the network predicted after each epoch for the training texts that it
        learns from, in their order; of two networks (E, N, 2, C). Not saved.
    """

    config_class = LearnerConfig
    config: LearnerConfig
    strong_: Any

    def _new_network(self, n_classes: int) -> Any:
        """Return the untrained network; the seed decides its weights."""
        return new_strong(self.config, n_classes)

    def _new_loss(self, data: Observed, n_classes: int, **learned: Any) -> Any:
        """Return the loss, which checkpoints keep; `learned` is what `_fit_on` was handed."""
        raise NotImplementedError

    def _votes(self, data: Observed, n_classes: int) -> NDArray[np.float64]:
        """Return out-of-fold class probabilities, shape (N, C), of labelled texts' frozen embeddings."""
        embedding = self._text_embedding(data.texts)
        return out_of_fold_probabilities(embedding, data.noisy_label, n_classes, seed=self.config.seed)

    def _told(self, loss: Any) -> dict[str, Any]:
        """Return what the loss has found out, by the names of the attributes that it becomes."""
        return {}

    def _after_epoch(self, trainer: Trainer, loss: Any) -> dict[str, float]:
        """Prepare the next epoch; return what of it belongs in the history."""
        return {}

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Learn from the training texts whose ``noisy_label`` is there; parameters as in `NoiseAL.fit`."""
        # A text without a label has nothing to teach a supervised loss.
        return self._fit_on(observe(ds, "train").labelled(), ds, eval_splits, checkpoint)

    def _fit_on(
        self, data: Observed, ds: DatasetDict, eval_splits: Sequence[str], checkpoint: str | Path | None,
        **learned: Any,
    ) -> Self:  # fmt: skip
        """Train the network on `data`; `ds` gives the class names and the other splits.

        What else was learned before is handed in by name, and set together with the network: after an
        interrupted first epoch, everything is as it was before.
        """
        c, names = self.config, label_names(ds)
        network, loss = self._new_network(len(names)), self._new_loss(data, len(names), **learned)
        trainer = Trainer.from_config(
            c, {"strong": network}, {"strong": network.prepare(data.texts)}, loss,
            description=" ".join([type(self).__name__, *filter(None, [getattr(c, "loss", "")])]),
        )  # fmt: skip
        recorder, selection = DynamicsRecorder(), self._selection(ds, network, "strong", eval_splits)
        saved = self._checkpoint(checkpoint, data, ds, network.encoder.fingerprint)
        try:
            with trainer.running(saved, recorder=recorder, loss=loss, selection=selection) as epochs:
                for row in epochs:
                    if c.record:
                        recorder.record(strong=trainer.predict("strong"))
                    row |= self._after_epoch(trainer, loss) | selection.after_epoch(trainer)
        finally:
            if trainer.epoch:
                self.strong_ = network
                self.label_names_, self.history_ = names, trainer.history
                self._trained_on = observe(ds, "train").identity()
                self.dynamics_ = recorder.stacked()
                for name, value in (learned | self._told(loss)).items():
                    setattr(self, name, value)
                self._finish("strong", selection.best_epoch, selection.weights, selection.lost)
        return self

    def _networks(self) -> dict[str, nn.Module]:
        return {"strong": self.strong_}

    def _predict(self, texts: Sequence[str]) -> Prediction:
        found = predict_texts(self.strong_, texts, self.config)
        return Prediction(found.class_probability(), found.embedding)

    def _rebuild(self, values: dict[str, Any]) -> None:
        self.strong_ = self._new_network(len(self.label_names_))


class TwoNetworks(TextClassifier):
    """Two strong classifiers with weights of their own on the same batches, side by side in dimension 1.

    Their frozen layers are the same, so texts are prepared once.
    """

    def __init__(self, first: StrongClassifier, second: StrongClassifier) -> None:
        super().__init__()
        self.networks = nn.ModuleList([first, second])

    @property
    def encoder(self) -> Any:
        """The first network's; the second one's frozen layers are the same."""
        return self.networks[0].encoder

    def prepare(self, texts: Sequence[str]) -> Inputs:
        """Run the encoder's frozen trunk on N texts, or read its cached activations."""
        inputs: Inputs = self.encoder.prepare(texts)
        return inputs

    def forward(self, batch: Batch) -> Output:
        """Return embeddings (B, 2, D) and logits (B, 2, C)."""
        outputs = [network(batch) for network in self.networks]
        return Output(*(torch.stack([getattr(o, k) for o in outputs], 1) for k in ("embedding", "logits")))

    def classify(self, embedding: Tensor) -> Tensor:
        """Return logits, shape (B, 2, C), of sentence embeddings, shape (B, 2, D)."""
        pairs = zip(self.networks, embedding.unbind(1), strict=True)
        return torch.stack([network.classify(part) for network, part in pairs], 1)  # type: ignore[operator]

    def parameter_groups(self, lr_encoder: float, lr_head: float) -> list[dict[str, object]]:
        """Return the optimizer's groups of both networks."""
        return [g for network in self.networks for g in network.parameter_groups(lr_encoder, lr_head)]  # type: ignore[operator]


def new_pair(config: TrainingConfig, n_classes: int) -> TwoNetworks:
    """Return two untrained strong classifiers; the seed decides their heads."""
    return TwoNetworks(*(new_strong(config, n_classes, number=number) for number in (0, 1)))

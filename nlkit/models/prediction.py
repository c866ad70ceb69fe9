"""Prediction without learning: what a model says of many texts, in batches of like length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nlkit.models.batching import Inputs, sorted_batches
from nlkit.models.classifiers import Output
from nlkit.models.device import autocast, moved, texts_at_once, threads_for

__all__ = ["Prediction", "predict"]


@dataclass(frozen=True)
class Prediction:
    """What one model says of N texts: class probabilities (N, C), rows sum to 1, and embeddings (N, D).

    A model of M branches says it M times: (N, M, C) and (N, M, D).
    """

    probability: NDArray[np.float32]
    embedding: NDArray[np.float32]

    def class_probability(self) -> NDArray[np.float32]:
        """Return class probabilities (N, C): the mean over branches, where there are any."""
        return self.probability if self.probability.ndim == 2 else self.probability.mean(1)


@torch.inference_mode()
def predict(
    model: nn.Module, inputs: Inputs, device: torch.device, *, batch_size: int | None = None,
    precision: str = "no",
) -> Prediction:  # fmt: skip
    """Return class probabilities (N, C) and embeddings (N, D) of N prepared texts, in evaluation mode.

    `batch_size` is by default `nlkit.models.device.texts_at_once`; `precision` is "no", "bf16" or "fp16".
    """
    learning = model.training
    model.eval()
    probability = embedding = torch.empty(0)
    for index in sorted_batches(inputs.lengths, batch_size or texts_at_once(device)):
        with threads_for(model), autocast(precision, device):
            output: Output = model(inputs.batch(index).to(device))
        p, z = output.logits.float().softmax(-1), output.embedding.float()
        if not probability.numel():
            probability = p.new_empty(len(inputs), *p.shape[1:])
            embedding = z.new_empty(len(inputs), *z.shape[1:])
        rows = moved(torch.from_numpy(index), device)
        probability[rows], embedding[rows] = p, z
    model.train(learning)
    return Prediction(probability.cpu().numpy(), embedding.cpu().numpy())

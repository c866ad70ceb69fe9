"""Prediction without learning: what a model says of many texts, in batches of like length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn

from nlkit.models.batching import Inputs, sorted_batches
from nlkit.models.classifiers import Output
from nlkit.models.device import autocast

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
    model: Callable[..., Output] | nn.Module,
    inputs: Inputs,
    device: torch.device,
    *,
    batch_size: int = 64,
    precision: str = "no",
    accelerator: Accelerator | None = None,
) -> Prediction:
    """Return class probabilities (N, C) and embeddings (N, D) of N prepared texts, in evaluation mode.

    `precision` is "no", "bf16" or "fp16"; with an `accelerator` of several processes each does its share.
    """
    module = cast(nn.Module, model)
    learning = module.training
    module.eval()
    batches = list(sorted_batches(inputs.lengths, batch_size))
    # Fewer batches than processes are not worth sharing: each process then computes them all.
    several = accelerator is not None and 1 < accelerator.num_processes <= len(batches)
    if several:
        assert accelerator is not None
        batches = batches[accelerator.process_index :: accelerator.num_processes]
    probability = embedding = torch.empty(0)
    for index in batches:
        with autocast(precision, device):
            output = module(inputs.batch(index).to(device))
        p, z = output.logits.float().softmax(-1), output.embedding.float()
        if not probability.numel():
            probability = p.new_zeros(len(inputs), *p.shape[1:])
            embedding = z.new_zeros(len(inputs), *z.shape[1:])
        rows = torch.from_numpy(index).to(device)
        probability[rows], embedding[rows] = p, z
    if several:
        assert accelerator is not None
        # Each process filled its own rows of zeros, so the sum over processes is the whole.
        probability = accelerator.reduce(probability, "sum")
        embedding = accelerator.reduce(embedding, "sum")
    module.train(learning)
    return Prediction(probability.cpu().numpy(), embedding.cpu().numpy())

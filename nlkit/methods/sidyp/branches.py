"""SiDyP's first stage: M branches over one encoder, and the trajectories that their embeddings draw.

After the published description (arXiv 2505.19675). The branches share the encoder, frozen trunk and trainable
layers alike, and differ in their heads, each with weights and dropout of its own; co-regularisation pulls
their predictions together, which slows the memorising of wrong labels. All heads are one batched computation.

A branch's sentence embedding is the hidden layer of its head. Its way through the epochs, the trajectory, is
recorded for the training and validation texts; a few copies of the learning weights (`Snapshots`) give any
later text a trajectory too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from nlkit.methods.base import new_encoder
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.diffusion import BranchLinear
from nlkit.models.batching import Batch, Inputs
from nlkit.models.classifiers import Output
from nlkit.models.device import full_precision, moved
from nlkit.models.encoder import TextEncoder
from nlkit.models.prediction import Prediction, predict
from nlkit.models.saving import Tensors, below
from nlkit.training import losses
from nlkit.training.trainer import Trainer, copied_weights

__all__ = [
    "BranchedClassifier",
    "CoRegularisedLoss",
    "Snapshots",
    "TrajectoryRecorder",
    "new_branches",
    "snapshot_epochs",
]


class BranchedClassifier(nn.Module):
    """One encoder with M classification heads of one hidden layer each.

    Parameters
    ----------
    encoder : TextEncoder
        Its trainable layers learn from all branches.
    n_classes, branches : int
        C and M.
    dropout : float
        Before each linear layer, drawn for each branch anew.
    """

    def __init__(self, encoder: TextEncoder, n_classes: int, branches: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder, self.branches = encoder, branches
        self.dropout = nn.Dropout(dropout)
        self.hidden = BranchLinear(branches, encoder.width, encoder.width)
        self.out = BranchLinear(branches, encoder.width, n_classes)

    def prepare(self, texts: Sequence[str]) -> Inputs:
        """Run the encoder's frozen trunk on N texts, or read its cached activations."""
        return self.encoder.prepare(texts)

    def forward(self, batch: Batch) -> Output:
        """Return embeddings (B, M, D) and logits (B, M, C)."""
        shared = self.encoder(batch)
        with full_precision(shared.device):
            shared = shared.float().expand(self.branches, *shared.shape)  # (M, B, D)
            embedding = nn.functional.gelu(self.hidden(self.dropout(shared)))
            logits = self.out(self.dropout(embedding))
        return Output(embedding.transpose(0, 1), logits.transpose(0, 1))

    def parameter_groups(self, lr_encoder: float, lr_head: float) -> list[dict[str, object]]:
        """Return the optimizer's groups: pre-trained layers learn slowly, the new heads fast."""
        groups = [
            {"params": [p for p in self.encoder.parameters() if p.requires_grad], "lr": lr_encoder},
            {"params": [*self.hidden.parameters(), *self.out.parameters()], "lr": lr_head},
        ]
        return [g for g in groups if g["params"]]


def new_branches(config: SiDyPConfig, n_classes: int) -> BranchedClassifier:
    """Return an untrained classifier with the config's encoder and branches; the seed decides its heads."""
    c = config
    with torch.random.fork_rng():
        encoder = new_encoder(c)
        torch.manual_seed(c.seed)
        return BranchedClassifier(encoder, n_classes, c.branches, dropout=c.dropout)


class CoRegularisedLoss:
    """Mean CE of the branches plus α times their co-regularisation.

    Parameters
    ----------
    noisy_label : array of int, shape (N,)
        Observed labels; a sample without one (−1) is co-regularised only.

    Attributes
    ----------
    weight : float
        α, set anew before each epoch (`SiDyPConfig.coregularisation_at`).
    """

    def __init__(self, noisy_label: NDArray[np.int64]) -> None:
        self.label, self.weight = torch.from_numpy(noisy_label), 0.0

    def __call__(
        self, name: str, model: Any, output: Output, index: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its two parts."""
        logits = output.logits  # (B, M, C)
        self.label = self.label.to(logits.device)
        label = self.label[moved(torch.from_numpy(index), logits.device)]
        known = label >= 0
        each = nn.functional.cross_entropy(
            logits.transpose(1, 2), label[:, None].expand(logits.shape[:2]), ignore_index=-1, reduction="none"
        )
        # By the number of labels, so that missing ones do not make the steps smaller.
        ce = each.sum() / (known.sum().clamp(min=1) * logits.shape[1])
        apart = losses.co_regularisation(logits.transpose(0, 1)).mean()
        loss = ce + self.weight * apart
        return loss, {"loss": loss, "loss_ce": ce, "loss_coreg": apart}


def snapshot_epochs(epochs: int, points: int) -> list[int]:
    """Return at most `points` epochs of 1 … E, evenly spaced, the last and, with two or more, the first."""
    return sorted({round(e) for e in np.linspace(epochs, 1, min(points, epochs))})


class TrajectoryRecorder:
    """Keep what the branches say of the training and validation texts after each epoch, and their weights.

    By the moving average of the weights, if the trainer keeps one.

    Parameters
    ----------
    name : str
        The model's name in the trainer.
    inputs : mapping of str to Inputs
        Splits whose trajectories are kept.
    keep : sequence of int
        Epochs after which the learning weights are copied (`snapshot_epochs`).

    Attributes
    ----------
    embedding : dict of str to list of ndarray
        For each split one array (N, M, D) of float16 an epoch.
    probability : dict of str to list of ndarray
        What the branches say of each split: one array (N, M, C) of float16 an epoch.
    weights : dict of int to dict of Tensor
        Epoch → copied weights.
    """

    def __init__(self, name: str, inputs: Mapping[str, Inputs], keep: Sequence[int]) -> None:
        self.name, self.inputs, self.keep = name, dict(inputs), set(keep)
        self.embedding: dict[str, list[NDArray[np.float16]]] = {split: [] for split in inputs}
        self.probability: dict[str, list[NDArray[np.float16]]] = {split: [] for split in inputs}
        self.weights: dict[int, Tensors] = {}

    def record(self, trainer: Trainer) -> None:
        """Predict every split once."""
        for split, inputs in self.inputs.items():
            found = trainer.predict(self.name, inputs, averaged=True)
            self.embedding[split].append(found.embedding.astype(np.float16))
            self.probability[split].append(found.probability.astype(np.float16))
        if trainer.epoch in self.keep:
            with trainer.averages[self.name].used() if trainer.averages else nullcontext():
                self.weights[trainer.epoch] = copied_weights(trainer.models[self.name])

    def trajectory(self, split: str) -> NDArray[np.float16]:
        """Return the embeddings of a split, shape (M, E, N, D)."""
        return np.stack(self.embedding[split]).transpose(2, 0, 1, 3)

    def dynamics(self, split: str) -> NDArray[np.float16]:
        """Return the class probabilities of a split, shape (M, E, N, C)."""
        return np.stack(self.probability[split]).transpose(2, 0, 1, 3)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all that was recorded."""
        tensors = {f"z.{s}": torch.from_numpy(np.stack(v)) for s, v in self.embedding.items() if v}
        tensors |= {f"p.{s}": torch.from_numpy(np.stack(v)) for s, v in self.probability.items() if v}
        for epoch, weights in self.weights.items():
            tensors |= {f"w.{epoch}.{key}": value for key, value in weights.items()}
        return tensors, {"epochs": list(self.weights)}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what was recorded."""
        for split in self.embedding:
            self.embedding[split] = list(tensors[f"z.{split}"].numpy())
            self.probability[split] = list(tensors[f"p.{split}"].numpy())
        for epoch in values["epochs"]:
            self.weights[epoch] = below(tensors, f"w.{epoch}.")


class Snapshots(nn.Module):
    """The learning weights of a `BranchedClassifier` after some epochs, as buffers that are saved with it.

    Parameters
    ----------
    weights : sequence of dict of Tensor
        One state a snapshot, in the order of the epochs.
    """

    def __init__(self, weights: Sequence[Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.count = len(weights)
        for number, state in enumerate(weights):
            for key, value in state.items():
                # A buffer's name must not hold a dot.
                self.register_buffer(f"{number}/{key.replace('.', '/')}", value.clone())

    def predictions(
        self, model: BranchedClassifier, inputs: Inputs, device: torch.device, precision: str
    ) -> list[Prediction]:
        """Return what a model says of N texts by each snapshot's weights, then by its own, which it keeps."""
        self.to(device)
        states = [self.state_of(number) for number in range(self.count)]
        seen = [*(_WithWeights(model, state) for state in states), model]
        return [predict(each, inputs, device, precision=precision) for each in seen]

    def state_of(self, number: int) -> Tensors:
        """Return the state of one snapshot, by the model's own names."""
        buffers = {key.replace("/", "."): value for key, value in self.named_buffers()}
        return below(buffers, f"{number}.")


class _WithWeights(nn.Module):
    """A model that runs with other weights than its own, which are neither copied nor touched."""

    def __init__(self, model: nn.Module, weights: Tensors) -> None:
        super().__init__()
        self.model, self.weights = model, weights

    def forward(self, batch: Batch) -> Output:
        return cast(Output, functional_call(self.model, self.weights, (batch,)))

"""M plain classification heads, one after the other: read this to understand
`nlkit.methods.sidyp.branches`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nlkit.methods.sidyp.branches import BranchedClassifier
from nlkit.models.batching import Batch
from tests.reference import losses


def heads(model: BranchedClassifier) -> list[nn.Sequential]:
    """One ordinary head a branch, with that branch's weights."""
    result = []
    for m in range(model.branches):
        head = nn.Sequential(nn.Linear(*model.hidden.weight.shape[1:]), nn.GELU())
        head.append(nn.Linear(*model.out.weight.shape[1:]))
        for plain, batched in ((head[0], model.hidden), (head[2], model.out)):
            plain.weight.data = batched.weight[m].detach().T.clone()
            plain.bias.data = batched.bias[m, 0].detach().clone()
        result.append(head)
    return result


def outputs(model: BranchedClassifier, batch: Batch) -> tuple[Tensor, Tensor]:
    """Embeddings (M, B, D) and logits (M, B, C), without dropout."""
    text = model.encoder(batch)
    embedding, logits = [], []
    for head in heads(model):
        embedding.append(head[1](head[0](text)))
        logits.append(head[2](embedding[-1]))
    return torch.stack(embedding), torch.stack(logits)


def loss(
    logits: Sequence[Sequence[Sequence[float]]], label: Sequence[int], weight: float
) -> tuple[float, float, float]:
    """Loss of a batch, its cross-entropy, and how far the M branches are apart; `logits` is (M, B, C)."""
    entropies, apart = [], []
    for i, y in enumerate(label):
        of_branches = [branch[i] for branch in logits]
        if y >= 0:
            entropies += [-math.log(losses.softmax(z)[y]) for z in of_branches]
        apart.append(losses.co_regularisation(of_branches))
    ce = sum(entropies) / len(entropies) if entropies else 0.0
    coreg = sum(apart) / len(apart)
    return ce + weight * coreg, ce, coreg

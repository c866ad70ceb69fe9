"""What stands around CUDA graphs, without a GPU: replayed passes leave the gradients of plain ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nlkit.models.batching import Batch
from nlkit.models.classifiers import Output
from nlkit.training import losses
from nlkit.training.graphs import ModelPass, _Recorded, fitted
from tests.training.test_trainer import Tiny, samples

CPU = torch.device("cpu")


@dataclass
class Replays:
    """Stands in for a graph: does again what was recorded."""

    replay: Callable[[], None]


class Frozen(Tiny):
    """Learns by its head alone, as a classifier on pooled activations does."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder.requires_grad_(False)


def recording(run: ModelPass) -> ModelPass:
    """Let a pass record on the CPU, as it would on a GPU."""

    def record(batch: Batch) -> _Recorded:
        values, mask = batch.values.clone(), batch.mask.clone()
        live = run._run(values, mask)
        outputs = [part.detach().clone() for part in live]
        above = [torch.zeros_like(part) if part.requires_grad else None for part in live]
        run._gradients = run._gradients or [torch.zeros_like(w) for w in run._weights]

        def forward() -> None:
            live[:] = run._run(values, mask)
            for kept, part in zip(outputs, live, strict=True):
                kept.copy_(part.detach())

        def backward() -> None:
            parts = [(part, up) for part, up in zip(live, above, strict=True) if up is not None]
            found = torch.autograd.grad(
                [p for p, _ in parts], run._weights, [u for _, u in parts], retain_graph=True
            )
            for kept, gradient in zip(run._gradients, found, strict=True):
                assert kept is not None
                kept.copy_(gradient)

        recorded.append(tuple(values.shape))
        return _Recorded(values, mask, outputs, above, Replays(forward), Replays(backward))

    recorded: list[tuple[int, ...]] = []
    run.records, run._record = True, record  # type: ignore[method-assign]
    run.shapes = recorded  # type: ignore[attr-defined]
    return run


def plain_loss(model: Any, output: Output, label: Tensor) -> Tensor:
    return losses.cross_entropy(output.logits, label).mean()


def mixed_loss(model: Any, output: Output, label: Tensor) -> Tensor:
    """Uses the head by itself, as EmbMix does, and not the logits."""
    return losses.cross_entropy(model.classify(output.embedding.flip(0)), label).mean()


@pytest.mark.parametrize("loss", [plain_loss, mixed_loss])
@pytest.mark.parametrize("kind", [Tiny, Frozen])
def test_replayed_passes_leave_the_gradients_of_plain_ones(kind: Any, loss: Any) -> None:
    (inputs, label), model = samples(), kind().eval()
    run, plain = recording(ModelPass(model, "no", CPU, 16, 8)), ModelPass(model, "no", CPU, 16, 8)
    rng = np.random.default_rng(0)
    for size in (16, 15, 16, 3, 16):
        index = rng.permutation(len(inputs))[:size]
        batch, y = inputs.batch(index), torch.from_numpy(label[index])
        found: list[list[Tensor]] = []
        for each in (plain, run):
            model.zero_grad(set_to_none=True)
            output = each(batch)
            assert len(output.logits) == len(output.embedding) == size
            loss(model, output, y).backward()
            each.backward()
            found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other)
    assert run.shapes == [(16, 8)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("rows", "width", "wanted"), [(3, 5, 16), (4, 16, 16), (1, 17, 32), (4, 33, 40), (2, 40, 40)]
)
@pytest.mark.parametrize("inner", [(), (3,)])
def test_batches_are_padded_to_few_shapes(rows: int, width: int, wanted: int, inner: tuple[int, ...]) -> None:
    values, mask = torch.randn(rows, width, *inner), torch.ones(rows, width, dtype=torch.bool)
    found = fitted(Batch(values, mask), 4, 40)
    assert found.values.shape == (4, wanted, *inner)
    assert torch.equal(found.values[:rows, :width], values)
    assert found.mask.sum(1).tolist() == [width] * rows + [1] * (4 - rows)
    assert not nn.functional.pad(found.mask, (0, 0))[:rows, width:].any()

"""A model's forward and backward pass; on a GPU recorded as CUDA graphs, one for each shape of a batch.

A step of BERT-base starts about a thousand kernels, which takes the CPU longer than they take the GPU. A
graph starts all of them at once. A shape that comes for the first time runs as it is, which also loads its
kernels; when it comes again it is recorded.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nlkit.models.batching import Batch
from nlkit.models.classifiers import Output
from nlkit.models.device import autocast

__all__ = ["ModelPass", "fitted"]

WIDTHS = 16
"""Batches are padded to multiples of it, so that there are few shapes."""


def fitted(batch: Batch, rows: int, widest: int) -> Batch:
    """Return a batch of `rows` rows and a width that is a multiple of `WIDTHS`, but no more than `widest`.

    Rows that are added have one token, so that their mean is a number.
    """
    values, mask = batch.values, batch.mask
    more = max(0, min(-(-mask.shape[1] // WIDTHS) * WIDTHS, widest) - mask.shape[1])
    below = rows - len(mask)
    inner = (0, 0) * (values.ndim - 2)
    values = nn.functional.pad(values, (*inner, 0, more, 0, below))
    mask = nn.functional.pad(mask, (0, more, 0, below))
    if below:
        mask[-below:, 0] = True
    return Batch(values, mask)


@dataclass(frozen=True)
class _Recorded:
    """Graphs of one shape, and the tensors that they read and write."""

    values: Tensor
    mask: Tensor
    outputs: list[Tensor]
    above: list[Tensor | None]  # gradients of the outputs; None for one that nothing is learnt through
    forward: Any
    backward: Any


class ModelPass:
    """Run a model on batches: call it for the output, then `backward` after the loss's own backward pass.

    Parameters
    ----------
    model : module
        Its weights have to stay where they are.
    precision : str
        "no", "bf16" or "fp16".
    device : torch.device
        Graphs are recorded on a CUDA device alone.
    rows, widest : int
        Most samples and tokens of a batch.
    """

    def __init__(
        self, model: nn.Module, precision: str, device: torch.device, rows: int, widest: int
    ) -> None:
        self.model, self.precision, self.device = model, precision, device
        self.rows, self.widest, self.records = rows, widest, device.type == "cuda"
        self.recorded: dict[torch.Size, _Recorded | None] = {}
        self._weights = [p for p in model.parameters() if p.requires_grad]
        self._gradients: list[Tensor | None] = []  # where all graphs leave those of the weights
        # Memory is handed on between graphs of one stream and pool: no two of them run at once.
        self._stream: Any = torch.cuda.Stream(device) if self.records else None  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle() if self.records else None
        self._running: tuple[_Recorded, list[Tensor]] | None = None

    def __call__(self, batch: Batch) -> Output:
        """Return what the model says, in float32."""
        self._running = None
        if not self.records:
            return Output(*self._run(batch.values, batch.mask))
        rows, batch = len(batch.mask), fitted(batch, self.rows, self.widest)
        shape = batch.values.shape
        found = self.recorded.get(shape)
        if found is None and shape in self.recorded:
            found = self._record(batch)
        self.recorded[shape] = found
        if found is None:
            return Output(*(part[:rows] for part in self._run(batch.values, batch.mask)))
        found.values.copy_(batch.values)
        found.mask.copy_(batch.mask)
        found.forward.replay()
        outputs = [
            part[:rows].detach().requires_grad_(above is not None)
            for part, above in zip(found.outputs, found.above, strict=True)
        ]
        self._running = found, outputs
        return Output(*outputs)

    def backward(self) -> None:
        """Bring the gradients of the output down to the weights; done already where no graph has run."""
        if self._running is None:
            return
        found, outputs = self._running
        for above, output in zip(found.above, outputs, strict=True):
            if above is not None:
                above.zero_()
                if output.grad is not None:
                    above[: len(output)].copy_(output.grad)
        found.backward.replay()
        # A loss that uses a part of the model by itself has left gradients there.
        pairs = list(zip(self._weights, self._gradients, strict=True))
        both = [(g, p.grad) for p, g in pairs if g is not None and p.grad is not None]
        if both:
            torch._foreach_add_([g for g, _ in both], [own for _, own in both])
        for weight, gradient in pairs:
            if gradient is not None:
                weight.grad = gradient

    def _run(self, values: Tensor, mask: Tensor) -> list[Tensor]:
        with autocast(self.precision, self.device):
            output = self.model(Batch(values, mask))
        return [output.embedding.float(), output.logits.float()]

    def _record(self, batch: Batch) -> _Recorded | None:
        forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        values, mask = batch.values.clone(), batch.mask.clone()
        try:
            with self._recording(forward):
                outputs = self._run(values, mask)
            above = [torch.zeros_like(part) if part.requires_grad else None for part in outputs]
            if not self._gradients:
                self._gradients = [torch.zeros_like(weight) for weight in self._weights]
            with self._recording(backward):
                found = torch.autograd.grad(
                    [part for part in outputs if part.requires_grad], self._weights,
                    [part for part in above if part is not None], allow_unused=True,
                )  # fmt: skip
                kept = [
                    (k, g)
                    for k, g in zip(self._gradients, found, strict=True)
                    if g is not None and k is not None
                ]
                torch._foreach_copy_([k for k, _ in kept], [g for _, g in kept])
            self._gradients = [None if g is None else k for k, g in zip(self._gradients, found, strict=True)]
        except RuntimeError as error:
            self.records = False
            warnings.warn(f"CUDA graphs cannot be recorded, training goes on without: {error}", stacklevel=2)
            return None
        return _Recorded(values, mask, [part.detach() for part in outputs], above, forward, backward)

    @contextmanager
    def _recording(self, graph: Any) -> Iterator[None]:
        """Record what the block starts instead of running it; other threads may go on meanwhile."""
        stream = self._stream
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                yield
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(stream)

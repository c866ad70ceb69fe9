"""What an encoder does on a GPU alone: half-precision weights, round widths, copies that do not wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nlkit.models.batching import Batch

__all__ = ["halved", "one_behind", "rounded"]

Key = TypeVar("Key")


def rounded(batch: Batch, limit: int) -> Batch:
    """Return a batch of a width that is a multiple of 8, which suits GPUs, but no more than `limit`."""
    width = batch.mask.shape[1]
    more = (0, min(-width % 8, max(0, limit - width)))
    values = nn.functional.pad(batch.values, (*(0, 0) * (batch.values.ndim - 2), *more))
    return Batch(values, nn.functional.pad(batch.mask, more))


class _Halved(torch.autograd.Function):
    """Copies of weights in half precision, made all at once; their gradients come back in float32."""

    @staticmethod
    def forward(ctx: Any, kind: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        copies = tuple(torch.empty_like(weight, dtype=kind) for weight in weights)
        torch._foreach_copy_(copies, weights)
        return copies

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        there = [gradient for gradient in gradients if gradient is not None]
        whole = [torch.empty_like(gradient, dtype=torch.float32) for gradient in there]
        torch._foreach_copy_(whole, there)
        of = iter(whole)
        return None, *(None if gradient is None else next(of) for gradient in gradients)


@contextmanager
def halved(module: nn.Module, kind: torch.dtype) -> Iterator[None]:
    """Let a module have copies of its weights in half precision inside the block; what they learn is its own.

    `torch.func.functional_call` does the same, and takes a tenth of a step for it.
    """
    places: list[tuple[dict[str, Any], str]] = [
        (part._parameters, name)
        for part in module.modules()
        for name, weight in part._parameters.items()
        if weight is not None
    ]
    own = [holder[name] for holder, name in places]
    copies = _Halved.apply(kind, *own)  # type: ignore[no-untyped-call]
    try:
        for (holder, name), copy_ in zip(places, copies, strict=True):
            holder[name] = copy_
        yield
    finally:
        for (holder, name), weight in zip(places, own, strict=True):
            holder[name] = weight


def one_behind(found: Iterable[tuple[Key, Tensor]]) -> Iterator[tuple[Key, Tensor]]:
    """Bring tensors to the CPU, each while a GPU computes the next."""
    waiting: list[tuple[Key, Tensor, torch.cuda.Event | None]] = []

    def ready() -> tuple[Key, Tensor]:
        key, tensor, copied = waiting.pop(0)
        if copied is None:
            return key, tensor
        copied.synchronize()
        return key, tensor.clone()  # pinned memory is scarce

    for key, tensor in found:
        waiting.append((key, tensor.to("cpu", non_blocking=True), _marked(tensor.device)))
        if len(waiting) > 1:
            yield ready()
    if waiting:
        yield ready()


def _marked(device: torch.device) -> torch.cuda.Event | None:
    """Return an event that comes when all that was asked of a GPU so far is done; None for a CPU."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return event

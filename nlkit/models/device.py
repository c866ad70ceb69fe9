"""Where models run, with how many threads, and in which floating-point format.

Half precision is chosen by trying it once on a processor (`bf16_gain`), not by the processor's name. Large
matrix products get a thread for each core that this process may keep busy, or ``NLKIT_THREADS``; that is set
when this module is imported. Small steps run in one (`threads_for`): more would mostly wait for each other,
which on a busy machine takes many times as long.
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import torch
from torch import Tensor, nn

from nlkit._util import content_hash, count_cores, invalid, keep, recalled

__all__ = [
    "MEASURED",
    "autocast",
    "bf16_gain",
    "choose_device",
    "choose_precision",
    "full_precision",
    "half_type",
    "measured",
    "moved",
    "one_thread",
    "texts_at_once",
    "threads_for",
]

MEASURED = "precision.json"
"""File of the cache folder with what was measured to choose a precision."""

WORTH = 1.3
"""How many times as fast as float32 bf16 has to be on a processor to be chosen there."""


def _thread_count() -> int:
    """Return how many threads large products get: `NLKIT_THREADS`, else PyTorch's, but no more than cores."""
    given = os.environ.get("NLKIT_THREADS")
    if given is None:
        return min(torch.get_num_threads(), count_cores())
    if not given.isdecimal() or int(given) < 1:
        invalid("NLKIT_THREADS", given, "a whole number from 1 on; unset it for one thread a core")
    return int(given)


torch.set_num_threads(_thread_count())


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one CPU thread, in the block or in the function that this decorates."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(model: nn.Module) -> AbstractContextManager[None]:
    """Return the context in which a model's batches run: all threads if encoder layers learn, else one."""
    learns = any(getattr(part, "learns", False) for part in model.modules())
    return nullcontext() if learns else one_thread()


def choose_device(device: str = "auto") -> torch.device:
    """Return the device named, or for ``"auto"`` a CUDA device where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        invalid("device", device, "this PyTorch sees no CUDA device; use 'auto' or 'cpu'")
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> str:
    """Return `precision`, or for ``"auto"`` bf16 where the hardware is faster with it, else "no".

    That is a CUDA device with bf16, or a CPU whose `bf16_gain` is at least `WORTH`.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    return "bf16" if device.type == "cpu" and bf16_gain() >= WORTH else "no"


def measured(key: str, measure: Callable[[], float]) -> float:
    """Return a number that was measured on this machine before, or measure it, and keep it in the cache."""
    known = recalled(MEASURED).get(key)
    if not isinstance(known, float):
        known = measure()
        keep(MEASURED, recalled(MEASURED) | {key: known})
    return known


@cache
def bf16_gain() -> float:
    """Return how many times as fast as in float32 this processor is in bf16, by some 50 ms of trying.

    The answer is kept in the cache folder by processor and PyTorch, so that a machine decides the same every
    time. Processors with AMX or AVX512-BF16 gain much; others have no such products and lose.
    """
    told = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    kind = torch.backends.cpu.get_cpu_capability()
    here = content_hash(
        torch.__version__, platform.machine(), platform.processor(), kind, json.dumps(dict(told))
    )
    return measured(here, _measured_gain)


@torch.inference_mode()
def _measured_gain(rows: int = 256, width: int = 384) -> float:
    """Time a feed-forward block of MiniLM's size in both formats in turns; compare the best of five."""
    place, taken = torch.device("cpu"), {"no": math.inf, "bf16": math.inf}
    x, weight = torch.ones(rows, width), torch.ones(4 * width, width)
    with one_thread():
        for _ in range(5):
            for precision in taken:
                began = time.perf_counter()
                with autocast(precision, place):
                    nn.functional.linear(nn.functional.gelu(nn.functional.linear(x, weight)), weight.T)
                taken[precision] = min(taken[precision], time.perf_counter() - began)
    return taken["no"] / taken["bf16"]


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which models run in the given precision."""
    kinds = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device.type, dtype=kinds[precision], enabled=precision != "no")


def full_precision(device: torch.device) -> torch.autocast:
    """Return the context in which a part of a model runs in float32, whatever `autocast` says around it.

    Its inputs may come in bf16 or fp16 and are not converted: call ``.float()`` on them.
    """
    return torch.autocast(device.type, enabled=False)


def half_type(device: torch.device) -> torch.dtype | None:
    """Return the half-precision type that `autocast` has switched on for a GPU; None for a CPU, or if off."""
    kind = device.type
    return torch.get_autocast_dtype(kind) if kind != "cpu" and torch.is_autocast_enabled(kind) else None


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on `device`, without waiting for what is still being computed there.

    A copy to a GPU from memory that is not pinned waits for all that was begun before.
    """
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def texts_at_once(device: torch.device) -> int:
    """Return how many texts a batch without learning has; on a GPU few would leave it idle."""
    return 64 if device.type == "cpu" else 256

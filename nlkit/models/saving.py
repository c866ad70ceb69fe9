"""Saving and loading: tensors as safetensors, everything else as JSON beside them. Never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nlkit._util import atomic_write

__all__ = ["FORMAT", "Tensors", "below", "load_tensors", "save_tensors"]

FORMAT = 3
"""Version of what is saved. 1 (nlkit before the modules moved): other names of settings and weights. 2: SiDyP
without `nlkit.methods.sidyp.weighing`."""

Tensors = dict[str, Tensor]


def save_tensors(path: str | Path, tensors: Tensors, values: dict[str, Any]) -> None:
    """Write tensors and JSON values to one safetensors file, by a temporary name and a rename."""
    own = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(own, temporary, metadata={"nlkit": json.dumps({"format": FORMAT, **values})})


def load_tensors(path: str | Path) -> tuple[Tensors, dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises
    ------
    ValueError
        If the file is damaged, was not written by nlkit, or is of another format than `FORMAT`.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            values = json.loads((file.metadata() or {})["nlkit"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"path={str(path)!r} was not written by nlkit, or is damaged: {error}") from error
    found = values.pop("format", 1)
    if found != FORMAT:
        raise ValueError(
            f"path={str(path)!r} has format {found}, this nlkit reads format {FORMAT}: "
            + ("fit again" if found < FORMAT else "install the nlkit that wrote it, or a newer one")
        )
    return tensors, values


def below(tensors: Tensors, prefix: str) -> Tensors:
    """Return the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

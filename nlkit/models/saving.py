"""Saving and loading: tensors as safetensors, everything else as JSON beside them. Never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nlkit._util import atomic_write

__all__ = ["load_tensors", "save_tensors"]


def save_tensors(path: str | Path, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Write tensors and JSON values to one safetensors file, by a temporary name and a rename."""
    own = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(own, temporary, metadata={"nlkit": json.dumps(values)})


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises
    ------
    ValueError
        If the file is damaged or was not written by nlkit.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            values = json.loads((file.metadata() or {})["nlkit"])
            return {key: file.get_tensor(key) for key in file.keys()}, values  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"path={str(path)!r} was not written by nlkit, or is damaged: {error}") from error

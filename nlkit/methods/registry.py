"""Every method by name: for tables that compare them all, and to load what one of them saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlkit.data.packaged import ASSETS
from nlkit.methods.base import Method
from nlkit.methods.baselines import Baseline
from nlkit.methods.label_cleaning import ConfidentLearning, KNNRelabel
from nlkit.methods.noiseal.method import NoiseAL
from nlkit.methods.sidyp.method import SiDyP
from nlkit.models.saving import load_tensors

__all__ = ["METHODS", "load"]

METHODS: dict[str, type[Method]] = {
    method.__name__: method for method in (NoiseAL, SiDyP, Baseline, KNNRelabel, ConfidentLearning)
}
"""Name → class. `nlkit.load` finds the class of a saved method here."""


def load(folder: str | Path, *, encoder: str | None = None) -> Any:
    """Load a fitted method that was saved with its ``save(folder)``; no code of anyone's is run.

    Parameters
    ----------
    encoder : str, optional
        The name of the encoder it was saved with, as consent to fetch it, where that is one of the hub and
        neither installed beside nlkit nor a folder here.

    Returns
    -------
    NoiseAL, Baseline or any other method of `nlkit.METHODS`
        It predicts as it did when it was saved.
    """
    path = Path(folder) / "model.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"folder={str(folder)!r} holds no model.safetensors: nothing was saved there")
    tensors, values = load_tensors(path)
    name = values.get("class")
    if name not in METHODS:
        raise ValueError(f"{path}: saved by method {name!r}, this nlkit knows {sorted(METHODS)}")
    needed = str(values["config"]["encoder"])
    if needed not in (*ASSETS, encoder) and not Path(needed).is_dir():
        raise ValueError(
            f"folder={str(folder)!r} was saved with encoder={needed!r}, which is not here: to fetch it from "
            f"the hub, if you trust who saved it, load(folder, encoder={needed!r})"
        )
    return METHODS[name]._from_saved(Path(folder), tensors, values)

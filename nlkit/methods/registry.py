"""Every method by name: for tables that compare them all, and to load what one of them saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from nlkit._util import expanded, invalid
from nlkit.data.packaged import ASSETS, AssetError
from nlkit.methods.base import Method
from nlkit.methods.baselines import Baseline
from nlkit.methods.both import NoiseALThenSiDyP
from nlkit.methods.forward import ForwardCorrection
from nlkit.methods.label_cleaning import ConfidentLearning, KNNRelabel
from nlkit.methods.linear import LinearModel
from nlkit.methods.mixing import DivideMix, SelfMix
from nlkit.methods.noiseal.method import NoiseAL
from nlkit.methods.prompting import PromptedLLM
from nlkit.methods.sidyp.method import SiDyP
from nlkit.methods.small_loss import CoTeaching, JoCoR
from nlkit.models.saving import AGAIN, check_finite, check_folder, load_tensors

__all__ = ["METHODS", "load", "register_method"]

Class = TypeVar("Class", bound=type[Method])

METHODS: dict[str, type[Method]] = {}
"""Name → class. `nlkit.load` finds the class of a saved method here, comparisons and sweeps find all."""


def register_method(method: Class) -> Class:
    """Add a method of yours to `METHODS`, by the name of its class; a decorator.

    Raises
    ------
    ValueError
        If it is no subclass of `nlkit.methods.base.Method`, or the name is another method's. A class that is
        defined anew, in the same module, takes the older one's place, as a notebook's cell does.
    """
    if not (isinstance(method, type) and issubclass(method, Method)):
        invalid("method", method, "a subclass of nlkit.methods.base.Method")
    there = METHODS.get(method.__name__, method)
    if there.__module__ != method.__module__:
        invalid("method", method.__name__, f"another name than that of a method of {there.__module__}")
    METHODS[method.__name__] = method
    return method


for _method in (
    NoiseAL, SiDyP, Baseline, ForwardCorrection, KNNRelabel, ConfidentLearning, CoTeaching, JoCoR, SelfMix,
    DivideMix, LinearModel, PromptedLLM, NoiseALThenSiDyP,
):  # fmt: skip
    register_method(_method)


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

    Raises
    ------
    ValueError, OSError
        If a file of the folder is missing, damaged, of another save or not finite; by file and remedy.
    AssetError
        If the package with the encoder's weights is not installed, or damaged.
    """
    place = expanded(folder)
    path = place / "model.safetensors"
    if path.name not in check_folder(place):
        raise FileNotFoundError(f"{place} holds no {path.name}: no method was saved there")
    tensors, values = load_tensors(path)
    check_finite(tensors, path)
    name = values.get("class")
    if name not in METHODS:
        raise ValueError(f"{path}: saved by method {name!r}, this nlkit knows {sorted(METHODS)}")
    try:
        needed = str(values["config"]["encoder"])
        if needed not in (*ASSETS, encoder) and not expanded(needed).is_dir():
            raise ValueError(
                f"folder={str(folder)!r} was saved with encoder={needed!r}, which is not here: to fetch it "
                f"from the hub, if you trust who saved it, load(folder, encoder={needed!r})"
            )
        return METHODS[name]._from_saved(place, tensors, values)
    except AssetError:
        raise  # a RuntimeError that has a remedy of its own
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} does not hold all of a {name} ({error}): {AGAIN}") from error

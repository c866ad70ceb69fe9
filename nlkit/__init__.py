"""nlkit: teach and study learning from noisy labels in text classification.

Everything public is listed in ``__all__`` and imported on first use, so that ``import nlkit`` stays fast:
torch and transformers load when a model does.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# name -> module that holds it; None: the module itself
_PUBLIC: dict[str, str | None] = {
    "Baseline": "baselines",
    "ConfidentLearning": "relabelling",
    "KNNRelabel": "relabelling",
    "NoiseAL": "noiseal",
    "SiDyP": "sidyp",
    "TextEncoder": "encoder",
    "add_noise": "noise",
    "annotators": None,
    "assets": None,
    "check": None,
    "comparing": None,
    "cleaning": None,
    "correction_report": "metrics",
    "course": None,
    "data": None,
    "doctor": "doctor",
    "diffusion": None,
    "dynamics": None,
    "evaluate_probabilities": "metrics",
    "gold_pool": "examples",
    "label_with_llm": "labelling",
    "load": "persistence",
    "load_dataset": "data",
    "losses": None,
    "metrics": None,
    "noise": None,
    "noise_report": "noise",
    "plots": None,
    "detection": None,
    "prior": None,
    "recorded": None,
    "reliability": "metrics",
    "resuming": None,
    "split": None,
    "training": None,
    "transition_matrix": "noise",
    "widgets": None,
    "METHODS": "methods",
}

__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nlkit' has no attribute {name!r}")
    holder = _PUBLIC[name]
    value = (
        import_module(f"nlkit.{name}") if holder is None else getattr(import_module(f"nlkit.{holder}"), name)
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

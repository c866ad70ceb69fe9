"""nlkit: teach and study learning from noisy labels in text classification.

Everything public is listed in ``__all__`` and imported on first use, so that ``import nlkit`` stays fast:
torch and transformers load when a model does.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# OpenMP reads it when torch is loaded. Threads that wait by spinning take the cores from those they wait for:
# beside other programs everything then takes many times as long.
if "torch" not in sys.modules:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# name -> module that holds it
_NAMES = {
    "Baseline": "methods.baselines",
    "Budget": "annotate.plan",
    "CoTeaching": "methods.small_loss",
    "ConfidentLearning": "methods.label_cleaning",
    "Decisions": "study.decisions",
    "DivideMix": "methods.mixing",
    "ForwardCorrection": "methods.forward",
    "JoCoR": "methods.small_loss",
    "KNNRelabel": "methods.label_cleaning",
    "LinearModel": "methods.linear",
    "METHODS": "methods.registry",
    "NoiseAL": "methods.noiseal.method",
    "NoiseALThenSiDyP": "methods.both",
    "PromptedLLM": "methods.prompting",
    "SelfMix": "methods.mixing",
    "SetFit": "methods.contrastive",
    "SiDyP": "methods.sidyp.method",
    "TextEncoder": "models.encoder",
    "add_noise": "noise.making",
    "agreement": "study.annotators",
    "clean": "study.cleaned",
    "correction_report": "metrics.labels",
    "doctor": "diagnosis",
    "evaluate_probabilities": "metrics.predictions",
    "gold_pool": "annotate.examples",
    "label_with_llm": "annotate.labelling",
    "load": "methods.registry",
    "load_dataset": "data.loading",
    "look": "study.looking",
    "noise_report": "noise.report",
    "register_method": "methods.registry",
    "reliability": "metrics.predictions",
    "review": "course.widgets.review",
    "report": "course.sweep_report",
    "search": "study.sweeps.searching",
    "sweep": "study.sweeps.running",
    "to_csv": "data.writing",
    "transition_matrix": "noise.making",
}

# name -> module that it is
_MODULES = {
    "annotators": "annotate",
    "assets": "data.packaged",
    "check": "course.check",
    "cleaning": "study.cleaning",
    "comparing": "study.comparing",
    "course": "course",
    "data": "data",
    "detection": "methods.sidyp.detection",
    "diffusion": "methods.sidyp.diffusion",
    "dynamics": "methods.noiseal.dynamics",
    "evidence": "methods.sidyp.evidence",
    "exchange": "study.exchange",
    "losses": "training.losses",
    "metrics": "metrics",
    "noise": "noise",
    "partition": "methods.noiseal.partition",
    "plots": "course.plots",
    "prior": "methods.sidyp.prior",
    "recorded": "study.recorded",
    "resuming": "study.resuming",
    "split": "methods.noiseal.partition",
    "training": "training",
    "widgets": "course.widgets",
}

__all__ = [*sorted({*_NAMES, *_MODULES}), "__version__"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(f"nlkit.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"nlkit.{_MODULES[name]}")
    else:
        raise AttributeError(f"module 'nlkit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""Every method by name, for tables that compare them all."""

from __future__ import annotations

from nlkit.base import Method
from nlkit.baselines import Baseline
from nlkit.noiseal import NoiseAL
from nlkit.relabelling import ConfidentLearning, KNNRelabel
from nlkit.sidyp import SiDyP

__all__ = ["METHODS"]

METHODS: dict[str, type[Method]] = {
    "NoiseAL": NoiseAL,
    "SiDyP": SiDyP,
    "Baseline": Baseline,
    "KNNRelabel": KNNRelabel,
    "ConfidentLearning": ConfidentLearning,
}
"""Name → class. `nlkit.load` finds the class of a saved method here."""

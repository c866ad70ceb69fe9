"""Every method by name, for tables that compare them all."""

from __future__ import annotations

from nlkit.base import Method
from nlkit.baselines import Baseline
from nlkit.noiseal import NoiseAL

__all__ = ["METHODS"]

METHODS: dict[str, type[Method]] = {"NoiseAL": NoiseAL, "Baseline": Baseline}
"""Name → class. `nlkit.load` finds the class of a saved method here."""

"""What NoiseAL's samples learn in the warm-up; test_plain.py has the rest."""

from __future__ import annotations

import numpy as np

from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.loss import CLEAN, HARD, IGNORED, PURIFIED, NoiseALLoss

CLASSES = 4
KINDS = {"clean": CLEAN, "purified": PURIFIED, "hard": HARD}


def test_before_a_split_labels_are_learnt_and_missing_ones_are_not() -> None:
    objective = NoiseALLoss(3, CLASSES, NoiseALConfig())
    objective.set_observed(np.array([2, -1, 0]))
    assert objective.kind.tolist() == [CLEAN, IGNORED, CLEAN]
    assert objective.target.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]

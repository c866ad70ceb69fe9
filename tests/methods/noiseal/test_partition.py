"""The dynamic-enhanced threshold: edges and errors; test_plain.py holds it against the page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlkit.methods.noiseal.partition import DynamicThreshold, partition_samples, replay

MARGIN = {"margin": 0.3, "cap": 0.99}
ALL = {"momentum": 0.9, **MARGIN}
HALF = [[0.5, 0.5]]


def test_table_has_one_row_a_sample() -> None:
    table = partition_samples(
        [[0.9, 0.1]] * 3, [[0.8, 0.2]] * 3, [0, 1, -1], [0.5] * 3, [0.5] * 3, **MARGIN
    ).table()
    assert list(table.columns) == ["index", "set", "p_s", "p_w", "tau_s", "tau_w", "reason"]
    assert table["set"].tolist() == ["R", "P", "P"]
    assert table["p_s"].tolist() == [0.9, 0.1, 0.0]


def test_thresholds_are_strict() -> None:
    at = partition_samples(HALF, HALF, [0], [0.5], [0.5], margin=0.0, cap=0.99)
    assert at.reason[0] == "nobody_sure"


def test_no_samples_and_no_epochs() -> None:
    assert len(partition_samples(np.empty((0, 3)), np.empty((0, 3)), [], [], [], **MARGIN).set) == 0
    assert replay([], [], [0, 1], **ALL) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], HALF, [0], [0.5], [0.5]), "p_strong"),
        ((HALF, [[0.2, 0.3, 0.5]], [0], [0.5], [0.5]), "p_weak"),
        ((HALF, HALF, [0, 1], [0.5], [0.5]), "noisy_label"),
        ((HALF, HALF, [0], [0.5, 0.5], [0.5]), "tau_strong"),
        ((HALF, HALF, [2], [0.5], [0.5]), "allowed are -1 to 1"),
        ((HALF, HALF, [-2], [0.5], [0.5]), "allowed are -1 to 1"),
    ],
)
def test_bad_input_is_named(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        partition_samples(*arguments, **MARGIN)
    with pytest.raises(ValueError, match="2 epochs, dynamics_weak 1"):
        replay([HALF] * 2, [HALF], [0], **ALL)


@pytest.mark.parametrize(
    "setting", [{"momentum": 1.0}, {"momentum": -0.1}, {"margin": 1.5}, {"cap": 0.0}, {"cap": 1.0}]
)
def test_bad_settings_are_named(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        DynamicThreshold(3, 2, **ALL | setting)

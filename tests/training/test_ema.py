"""The moving average of weights: a naive twin, use and return, and a resumed run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nlkit.training.ema import WeightAverage
from nlkit.training.recording import DynamicsRecorder
from tests.training.test_trainer import make, run


def naive(values: list[float], horizon: float) -> float:
    average = 0.0
    for step, value in enumerate(values, start=1):
        share = max(1 / step, 1 / horizon)
        average = (1 - share) * average + share * value
    return average


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(1, 20))
def test_equals_its_twin(values: list[float], horizon: float) -> None:
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, horizon)
    for value in values:
        with torch.no_grad():
            model.weight.fill_(value)
        average.update()
    assert average.weights[0].item() == pytest.approx(naive(values, horizon), abs=1e-4)


def test_used_inside_the_block_and_given_back_after_it_or_kept() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    average = WeightAverage(model, 5)
    assert len(average.weights) == 1
    average.weights[0].fill_(7.0)
    own = model.weight.detach().clone()

    def fail_in_the_block() -> None:
        with average.used():
            assert (model.weight == 7.0).all()
            raise RuntimeError("in the block")

    with pytest.raises(RuntimeError, match="in the block"):
        fail_in_the_block()
    assert torch.equal(model.weight, own)
    # Kept for good, it does not change with the average any more.
    average.keep()
    average.weights[0].fill_(8.0)
    assert (model.weight == 7.0).all()


def test_a_horizon_below_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"horizon=0\.5"):
        WeightAverage(nn.Linear(1, 1), 0.5)


def test_training_is_the_same_and_the_average_is_there_to_be_asked_for() -> None:
    plain, recorder = run(make(3)), DynamicsRecorder()
    averaged = run(make(3, ema_epochs=0.5), recorder=recorder)
    wanted = plain.predict("a").probability
    np.testing.assert_array_equal(averaged.predict("a").probability, wanted)
    seen = averaged.predict("a", averaged=True).probability
    np.testing.assert_array_equal(recorder.stacked()["a"][-1], seen.astype(np.float16))
    assert not np.allclose(seen, wanted)
    # Without an average the weights as they are predict.
    np.testing.assert_array_equal(plain.predict("a", averaged=True).probability, wanted)

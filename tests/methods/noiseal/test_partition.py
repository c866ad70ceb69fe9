from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit.methods.noiseal.partition import (
    REASONS,
    SETS,
    DynamicThreshold,
    partition_samples,
    replay,
    update_thresholds,
)

MARGIN = {"margin": 0.3, "cap": 0.99}
ALL = {"momentum": 0.9, **MARGIN}


@st.composite
def problems(draw: Any, epochs: int = 1) -> tuple[Any, ...]:
    """Dynamics of two models (E, N, C), labels with missing ones, and thresholds."""
    n, classes = draw(st.integers(1, 30)), draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sharpness = draw(st.sampled_from([0.05, 0.3, 1.0, 10.0]))
    strong, weak = rng.dirichlet(np.full(classes, sharpness), (2, epochs, n))
    label = rng.integers(-1, classes, n)
    # Half the labels agree with the strong model, or R and the discrepancy set would stay empty.
    label = np.where(rng.random(n) < 0.5, strong[0].argmax(1), label)
    return strong, weak, label, rng.random(n), rng.random(n)


@given(problems())
def test_every_sample_in_one_set_with_a_fitting_reason(problem: Any) -> None:
    (strong,), (weak,), label, ts, tw = problem
    split = partition_samples(strong, weak, label, ts, tw, **MARGIN)
    assert set(split.set) <= set(SETS)
    assert set(split.reason) <= set(REASONS)
    set_of = {"both_trust": "R", "strong_only": "H", "weak_only": "H"}
    set_of |= {"confident_other": "P", "nobody_sure": "H"}
    assert [set_of[r] for r in split.reason] == list(split.set)
    assert "R" not in split.set[label == -1]


@given(problems(), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.999), st.floats(0.01, 0.999))
def test_larger_margin_or_cap_never_enlarges_p(
    problem: Any, margin_a: float, margin_b: float, cap_a: float, cap_b: float
) -> None:
    (strong,), (weak,), label, ts, tw = problem
    low, high = sorted([margin_a, margin_b])
    small, large = sorted([cap_a, cap_b])

    def in_p(margin: float, cap: float) -> Any:
        return partition_samples(strong, weak, label, ts, tw, margin=margin, cap=cap).set == "P"

    assert not (in_p(high, small) & ~in_p(low, small)).any()
    assert not (in_p(low, large) & ~in_p(low, small)).any()
    # R does not depend on either.
    r = [partition_samples(strong, weak, label, ts, tw, margin=m, cap=c).set == "R" for m, c in
         [(low, small), (high, large)]]  # fmt: skip
    assert (r[0] == r[1]).all()


@given(problems(), st.integers(0, 2**32 - 1))
def test_permuting_samples_or_classes_permutes_the_answer(problem: Any, seed: int) -> None:
    (strong,), (weak,), label, ts, tw = problem
    rng = np.random.default_rng(seed)
    plain = partition_samples(strong, weak, label, ts, tw, **MARGIN)
    order = rng.permutation(len(label))
    moved = partition_samples(strong[order], weak[order], label[order], ts[order], tw[order], **MARGIN)
    assert (moved.set == plain.set[order]).all()
    assert (moved.reason == plain.reason[order]).all()
    classes = rng.permutation(strong.shape[1])  # new column j holds old class classes[j]
    renamed = np.where(label >= 0, np.argsort(classes)[label], -1)
    swapped = partition_samples(strong[:, classes], weak[:, classes], renamed, ts, tw, **MARGIN)
    assert (swapped.set == plain.set).all()


def test_thresholds_follow_the_largest_probability_and_only_after_the_split() -> None:
    threshold = DynamicThreshold(2, 4, **ALL)
    p = np.array([[0.1, 0.7, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1]])
    first = threshold.partition(p, p[:, ::-1], [1, 3])
    assert (first.tau_strong == 0.25).all()
    np.testing.assert_allclose(threshold.tau_strong, 0.9 * 0.25 + 0.1 * np.array([0.7, 0.4]))
    second = threshold.partition(p, p[:, ::-1], [1, 3])
    np.testing.assert_allclose(second.tau_strong, [0.295, 0.265])
    # The observed label of sample 1 has 0.1: its own probability would have moved τ down, not up.
    assert threshold.tau_strong[1] > 0.25
    np.testing.assert_allclose(update_thresholds([0.5], [[0.2, 0.8]], 0.0), [0.8])


def test_table_has_one_row_a_sample() -> None:
    table = partition_samples(
        [[0.9, 0.1]] * 3, [[0.8, 0.2]] * 3, [0, 1, -1], [0.5] * 3, [0.5] * 3, **MARGIN
    ).table()
    assert list(table.columns) == ["index", "set", "p_s", "p_w", "tau_s", "tau_w", "reason"]
    assert table["set"].tolist() == ["R", "P", "P"]
    assert table["p_s"].tolist() == [0.9, 0.1, 0.0]


def test_thresholds_are_strict() -> None:
    at = partition_samples([[0.5, 0.5]], [[0.5, 0.5]], [0], [0.5], [0.5], margin=0.0, cap=0.99)
    assert at.reason[0] == "nobody_sure"


def test_no_samples_and_no_epochs() -> None:
    assert len(partition_samples(np.empty((0, 3)), np.empty((0, 3)), [], [], [], **MARGIN).set) == 0
    assert replay([], [], [0, 1], **ALL) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], [[0.5, 0.5]], [0], [0.5], [0.5]), "p_strong"),
        (([[0.5, 0.5]], [[0.2, 0.3, 0.5]], [0], [0.5], [0.5]), "p_weak"),
        (([[0.5, 0.5]], [[0.5, 0.5]], [0, 1], [0.5], [0.5]), "noisy_label"),
        (([[0.5, 0.5]], [[0.5, 0.5]], [0], [0.5, 0.5], [0.5]), "tau_strong"),
        (([[0.5, 0.5]], [[0.5, 0.5]], [2], [0.5], [0.5]), "allowed are -1 to 1"),
        (([[0.5, 0.5]], [[0.5, 0.5]], [-2], [0.5], [0.5]), "allowed are -1 to 1"),
    ],
)
def test_bad_input_is_named(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        partition_samples(*arguments, **MARGIN)


@pytest.mark.parametrize(
    "setting", [{"momentum": 1.0}, {"momentum": -0.1}, {"margin": 1.5}, {"cap": 0.0}, {"cap": 1.0}]
)
def test_bad_settings_are_named(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        DynamicThreshold(3, 2, **ALL | setting)


def test_replay_wants_equally_many_epochs() -> None:
    with pytest.raises(ValueError, match="2 epochs, dynamics_weak 1"):
        replay([[[0.5, 0.5]]] * 2, [[[0.5, 0.5]]], [0], **ALL)

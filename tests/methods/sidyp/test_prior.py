"""The neighbours' prior: who is a neighbour, and edges (`test_plain` has more)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nlkit.methods.sidyp.detection import detect, suspicion
from nlkit.methods.sidyp.prior import candidates, nearest_trusted, neighbour_prior, update_prior, vote
from tests.methods.sidyp.test_detection import C, clusters, samples

NOBODY = [False] * 3


@given(samples(), st.integers(1, 12))
def test_neighbours_are_the_nearest_trusted_others(case: dict[str, Any], k: int) -> None:
    x, label, suspect = case["embedding"], case["label"], case["suspect"]
    trusted = np.flatnonzero(~suspect & (label >= 0))
    assume(len(trusted))
    number, distance = nearest_trusted(x, label, suspect, k=k)
    for i, row in enumerate(number.tolist()):
        others = trusted[trusted != i]
        far = np.linalg.norm(x[others] - x[i], axis=1)
        nearest = others[np.argsort(far, kind="stable")][:k]
        assert [j for j in row if j >= 0] == nearest.tolist()
        np.testing.assert_allclose(distance[i, : len(nearest)], np.sort(far)[:k], atol=1e-9)
        assert np.isinf(distance[i, len(nearest) :]).all()


@given(samples(), st.integers(1, 8), st.floats(0.3, 0.99), st.floats(0.3, 0.99))
def test_fewer_of_the_neighbours_give_the_prior_of_fewer(
    case: dict[str, Any], k: int, gamma: float, delta: float
) -> None:
    x, label, suspect = case["embedding"], case["label"], case["suspect"]
    assume((~suspect & (label >= 0)).any())
    number, distance = nearest_trusted(x, label, suspect, k=12)
    found = vote(number[:, :k], distance[:, :k], label, suspect, C, gamma=gamma, delta=delta)
    whole = neighbour_prior(x, label, suspect, C, k=k, gamma=gamma, delta=delta)
    np.testing.assert_allclose(found.weight, whole.weight)
    assert np.array_equal(found.neighbours, whole.neighbours)
    assert found.case.tolist() == whole.case.tolist()


def test_corrects_wrong_labels() -> None:
    x, y, noisy = clusters()
    found = neighbour_prior(x, noisy, detect(suspicion(x[None, None], noisy, C), 0.3)[0], C)
    assert (found.weight.argmax(1) == y).mean() > 0.9 > (noisy == y).mean()


def test_equal_texts_decide() -> None:
    x = np.array([[0.0], [0.0], [1.0], [1.1], [0.9]])
    found = neighbour_prior(x, [0, 1, 2, 2, 2], np.zeros(5, bool), C, k=4)
    assert found.weight[0].argmax() == 1
    assert found.case[0] == "certain"


def test_a_single_trusted_sample_answers_for_all() -> None:
    found = neighbour_prior(np.zeros((3, 2)), [1, 0, -1], [False, True, False], C)
    assert found.weight.argmax(1).tolist() == [1, 1, 1]
    assert found.neighbours.tolist() == [[-1], [0], [0]]


def test_the_table_is_readable_and_the_first_samples_are_left() -> None:
    found = neighbour_prior([[0.0], [1.0], [1.2]], [0, 1, -1], NOBODY, C, k=2, delta=0.5)
    table = found.table(["earn", "acq", "ship"], [0, 1, -1])
    assert table["noisy_label"].tolist() == ["earn", "acq", ""]
    assert table["candidates"].tolist() == ["acq 1.00", "earn 1.00", "acq 0.86, earn 0.14"]
    assert table["index"].tolist() == [0, 1, 2]
    assert table["likeliest"].tolist() == [1, 0, 1]
    assert table["case"].tolist() == ["certain", "certain", "dominant"]
    np.testing.assert_allclose(table["weight"], found.weight.max(1))
    first = found.first(2)
    for name in ("weight", "case", "neighbours", "suspect"):
        assert np.array_equal(getattr(first, name), getattr(found, name)[:2])


def test_neighbours_of_one_class_make_it_certain_even_with_gamma_of_one() -> None:
    x = np.array([[0.0], [0.1], [0.2], [0.3], [9.0], [9.1], [9.2]])
    found = neighbour_prior(x, [1, 2, 2, 2, 0, 0, 0], [True, *[False] * 6], C, k=2, gamma=1.0)
    assert found.case.tolist() == ["certain"] * 7
    assert np.array_equal(found.weight, np.eye(C)[[2, 2, 2, 2, 0, 0, 0]])


def test_candidates_keep_one_two_or_all() -> None:
    weight, case = candidates([[0.95, 0.05, 0.0], [0.5, 0.4, 0.1], [0.4, 0.3, 0.3]], delta=0.85)
    assert case.tolist() == ["certain", "dominant", "uncertain"]
    np.testing.assert_allclose(weight, [[1, 0, 0], [5 / 9, 4 / 9, 0], [0.4, 0.3, 0.3]])


@pytest.mark.parametrize(
    ("label", "suspect", "settings", "message"),
    [
        ([0, 1, 2], [True] * 3, {}, r"nothing can be read off neighbours.*lower noise_rate"),
        ([-1, -1, -1], NOBODY, {}, "nothing can be read off neighbours"),
        ([0, 1], NOBODY, {}, r"embedding \(3, 3\), noisy_label \(2,\)"),
        ([0, 1, 2], NOBODY, {"k": 0}, "k=0"),
        ([0, 1, 2], NOBODY, {"gamma": 0.0}, "gamma=0.0"),
        ([0, 1, 2], NOBODY, {"delta": 1.5}, "delta=1.5"),
    ],
)
def test_what_cannot_be_is_named(label: Any, suspect: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        neighbour_prior(np.eye(3), label, suspect, C, **settings)


def test_votes_and_rounds_that_cannot_be_are_named() -> None:
    with pytest.raises(ValueError, match=r"neighbours \(2, 3\), distance \(2, 2\)"):
        vote(np.zeros((2, 3), int), np.ones((2, 2)), [0, 1], [False] * 2, C)
    with pytest.raises(ValueError, match="rounds=0"):
        update_prior(np.eye(C)[0], 1, 0)

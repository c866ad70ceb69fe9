from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit.annotate.demonstrations import balance_report, balanced_pool, nearest
from tests.reference import annotate as reference


@st.composite
def samples(draw: st.DrawFn) -> tuple[list[int], list[int], list[float]]:
    index = draw(st.lists(st.integers(0, 99), unique=True, max_size=25))
    label = draw(st.lists(st.integers(-1, 3), min_size=len(index), max_size=len(index)))
    # Few different values, so that ties are common.
    confidence = draw(st.lists(st.sampled_from([0.2, 0.5, 0.9]), min_size=len(index), max_size=len(index)))
    return index, label, confidence


@given(samples(), st.integers(1, 6))
def test_balanced_pool_equals_its_twin(
    drawn: tuple[list[int], list[int], list[float]], per_class: int
) -> None:
    index, label, confidence = drawn
    pool = balanced_pool(index, label, confidence, per_class)
    assert pool.tolist() == reference.balanced_pool(index, label, confidence, per_class)


@st.composite
def search(draw: st.DrawFn) -> dict[str, Any]:
    Q, P = draw(st.integers(0, 5)), draw(st.integers(0, 9))
    vector = st.lists(st.integers(-2, 2), min_size=3, max_size=3)  # small integers: ties and zero vectors
    return {
        "query": np.array(draw(st.lists(vector, min_size=Q, max_size=Q)), dtype=float).reshape(Q, 3),
        "pool": np.array(draw(st.lists(vector, min_size=P, max_size=P)), dtype=float).reshape(P, 3),
        "query_index": draw(st.lists(st.integers(0, 9), min_size=Q, max_size=Q)),
        "pool_index": draw(st.lists(st.integers(0, 9), min_size=P, max_size=P)),
        "query_texts": draw(st.lists(st.sampled_from(["a", "b", "a  b"]), min_size=Q, max_size=Q)),
        "pool_texts": draw(st.lists(st.sampled_from(["a b", "c", "d"]), min_size=P, max_size=P)),
    }


@given(search(), st.integers(1, 5))
def test_nearest_equals_its_twin(case: dict[str, Any], k: int) -> None:
    query, pool = case.pop("query"), case.pop("pool")
    found = nearest(query, pool, k, **case)
    assert found.shape == (len(query), k)
    assert found.tolist() == reference.nearest(query, pool, k, **case)


def test_nearest_is_last_and_length_does_not_matter() -> None:
    pool = np.array([[1.0, 0.0], [100.0, 100.0], [0.0, 1.0]])
    assert nearest(np.array([[0.1, 1.0]]), pool, 2).tolist() == [[1, 2]]


def test_a_small_pool_is_padded_in_front() -> None:
    pool = np.eye(2)
    assert nearest(pool, pool, 3, query_index=[7, 8], pool_index=[7, 8]).tolist() == [
        [-1, -1, 1],
        [-1, -1, 0],
    ]


def test_balance_report_counts_every_class() -> None:
    report = balance_report([0, 0, 2], ["a", "b", "c"])
    assert report["n"].tolist() == [2, 0, 1]
    assert report["share"].sum() == pytest.approx(1.0)
    assert balance_report([], ["a", "b"])["share"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: balanced_pool([0], [0], [0.5], 0), "per_class"),
        (lambda: balanced_pool([0], [0], [float("nan")], 1), "NaN"),
        (lambda: balanced_pool([0, 1], [0], [0.5], 1), "one length"),
        (lambda: nearest(np.eye(2), np.eye(2), 1, query_index=[0, 1]), "both or neither"),
        (lambda: nearest(np.eye(2), np.eye(2), 0), "k=0"),
        (lambda: nearest(np.eye(2), np.eye(3), 1), "embeddings"),
        (lambda: balance_report([3], ["a", "b"]), "class numbers"),
    ],
)
def test_bad_arguments_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

"""Feedback to the exercises: right, wrong with a hint, and never an exception."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit import check


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (check.q1, 0.4 / 7), (check.q1, 0.057), (check.q1, np.float32(0.4 / 7)),
        (check.q2, 0.6), (check.q2, 1 - 0.4),
        (check.q3, ("same", "smaller")), (check.q3, ["same", "smaller"]),
        (check.q4, 0.86), (check.q4, 0.4 * 0.8 + 0.6 * 0.9),
    ],
)  # fmt: skip
def test_right(question, answer):
    feedback = question(answer)
    assert feedback.right
    assert repr(feedback).startswith("Right: ")


@pytest.mark.parametrize(
    ("question", "answer", "hint"),
    [
        (check.q1, 0.05, "how many classes are left"), (check.q1, 0.4, "any flip"), (check.q1, 5.7, "100"),
        (check.q1, 0.2, "sums to 1"), (check.q1, None, "give a number"), (check.q1, "0.057", "give a number"),
        (check.q2, 1, "noisy ones"), (check.q2, 0.4, "disagrees"), (check.q2, 60, "100"),
        (check.q2, 0.1, "true class"), (check.q2, math.nan, "give a number"),
        (check.q3, ("smaller", "smaller"), "watch R"), (check.q3, ("same", "larger"), "R is right"),
        (check.q3, (None, None), "two words"), (check.q3, "same", "two words"),
        (check.q4, 0.92, "turned wrong"), (check.q4, 0.54, "turned right"), (check.q4, 0.32, "stay right"),
        (check.q4, 86, "percents"), (check.q4, 0.1, "count"), (check.q4, None, "give a number"),
    ],
)  # fmt: skip
def test_wrong_gets_its_hint(question, answer, hint):
    feedback = question(answer)
    assert not feedback.right
    assert hint in feedback.message
    assert repr(feedback).startswith("Not yet: ")


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary(),
    st.lists(st.one_of(st.none(), st.text(), st.lists(st.integers()))),
    st.dictionaries(st.text(), st.integers()),
    st.just(np.zeros(3)), st.just(object()), st.just(10**400), st.tuples(st.just([]), st.just({})),
)  # fmt: skip


@given(answer=ANYTHING)
@pytest.mark.parametrize("question", [check.q1, check.q2, check.q3, check.q4])
def test_nothing_raises(question, answer):
    feedback = question(answer)
    assert feedback.message
    assert feedback.message.endswith((".", "?", ")."))


def test_all_is_public():
    assert set(check.__all__) == {"Feedback", "q1", "q2", "q3", "q4"}

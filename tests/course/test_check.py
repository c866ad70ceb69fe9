"""Feedback to the exercises: right, wrong with a hint, and never an exception."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nlkit as nk
from nlkit.course.check import TOPICS, Question, start_here
from nlkit.methods.sidyp.prior import CASES
from notebooks import build as notebooks

QUESTIONS = [
    pytest.param(question, id=f"{topic}.{name}")
    for topic, questions in TOPICS.items()
    for name, question in vars(questions).items()
]

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary(),
    st.lists(st.one_of(st.none(), st.text(), st.lists(st.integers()))),
    st.dictionaries(st.text(), st.integers()),
    st.just(np.zeros(3)), st.just(object()), st.just(10**400), st.tuples(st.just([]), st.just({})),
)  # fmt: skip


def test_every_notebook_has_its_questions_and_they_are_completed():
    assert {name.split("_", 1)[1] for name in notebooks.names()} == set(TOPICS) <= set(dir(nk.check))
    assert {"q1", "q2", "q3"} <= set(dir(nk.check.start_here))
    assert str(start_here.q1.right) not in repr(nk.check.start_here), "no answer is shown unasked"
    with pytest.raises(AttributeError, match=r"'nlkit\.check' has no attribute 'q1': one of .*start_here"):
        _ = nk.check.q1


def test_words_of_the_package_are_its_own():
    assert tuple(nk.check.dynamic_prior.q1.options) == CASES


@pytest.mark.parametrize("question", QUESTIONS)
class TestEveryQuestion:
    def test_right(self, question):
        assert repr(question(question.right)) == f"Right: {question.why}"

    def test_every_hint_is_reached(self, question):
        for wrong, hint in question.hints:
            # "*" stands for any word: one that makes the answer wrong.
            tried = [[o if w == "*" else w for w in wrong] for o in question.options]
            said = [question(answer) for answer in (tried if isinstance(wrong, list) else [wrong])]
            assert hint in {feedback.message for feedback in said if not feedback.right}

    def test_no_answer_gets_a_hint_that_says_what_to_give(self, question):
        for nothing in (None, (None, None), "", []):
            feedback = question(nothing)
            assert not feedback.right
            assert feedback.message.startswith("give ")

    @given(answer=ANYTHING)
    def test_nothing_raises(self, question, answer):
        assert isinstance(question(answer).message, str)


class TestNumber:
    @pytest.mark.parametrize("answer", [0.4 / 7, 0.057, np.float32(0.4 / 7), torch.tensor(0.4 / 7)])
    def test_near_enough(self, answer):
        assert start_here.q1(answer).right

    @pytest.mark.parametrize(
        ("answer", "hint"),
        [
            (0.05, "how many classes are left"), (0.2, "sums to 1"), (5.7, "divide percents by 100"),
            ("0.057", "give a number"), (True, "give a number"), (math.nan, "give a number"),
        ],
    )  # fmt: skip
    def test_wrong_gets_its_hint(self, answer, hint):
        feedback = start_here.q1(answer)
        assert hint in feedback.message
        assert repr(feedback).startswith("Not yet: ")

    def test_a_count_is_no_share(self):
        count = Question("How many?", right=7, why="seven.", otherwise="count again.", share=False)
        assert count(7.0).right
        assert count(50).message == "count again."
        assert count(None).message == "give a number."


class TestChoice:
    def test_lists_and_tuples(self):
        assert start_here.q3(["same", "smaller"]).right
        assert start_here.q3(("same", "larger")).message.startswith("R is right")
        assert start_here.q3(("smaller", "smaller")).message == start_here.q3.otherwise
        assert 'give 2 words in order, each one of "smaller"' in start_here.q3("same").message

    def test_one_word(self):
        one = Question(
            "Which?", right="a", why="so.", otherwise="no.", hints=[("b", "b?")], options=("a", "b", "c")
        )
        assert one("a").right
        assert [one(word).message for word in ("b", "c", "d", ["a"])] == [
            "b?", "no.", 'give one of "a", "b", "c".', 'give one of "a", "b", "c".',
        ]  # fmt: skip

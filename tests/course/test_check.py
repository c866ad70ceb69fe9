"""Feedback to the exercises: right, nearly, wrong with help, three hints, and never an exception."""

from __future__ import annotations

import math
import re
from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from IPython.lib.pretty import pretty

import nlkit as nk
from nlkit.course.check import TOPICS, Question, Task, coding, start_here
from nlkit.course.check.coding import TASKS
from nlkit.methods.sidyp.prior import CASES
from notebooks import build as notebooks

EXERCISES = {f"{t}.{n}": exercise for t, topic in TOPICS.items() for n, exercise in vars(topic).items()}
QUESTIONS = {name: exercise for name, exercise in EXERCISES.items() if isinstance(exercise, Question)}
TO_WRITE = {name: exercise for name, exercise in EXERCISES.items() if isinstance(exercise, Task)}

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary(),
    st.lists(st.one_of(st.none(), st.text(), st.lists(st.integers()))),
    st.dictionaries(st.text(), st.integers()),
    st.just(np.zeros(3)), st.just(object()), st.just(10**400), st.tuples(st.just([]), st.just({})),
)  # fmt: skip


def parametrize(found):
    return pytest.mark.parametrize("exercise", [pytest.param(e, id=name) for name, e in found.items()])


def question(**more):
    return Question(name="nk.check.x.q1", asked="?", _why="so.", _hints=["a", "b", "c"], **more)


@pytest.fixture(autouse=True)
def as_new():
    """Every test begins with exercises that nobody has tried."""
    for exercise in EXERCISES.values():
        exercise.tries, exercise.hints_read = [], 0


def test_every_notebook_has_its_questions_and_they_are_completed():
    assert {name.split("_", 1)[1] for name in notebooks.names()} == set(TOPICS) <= set(dir(nk.check))
    assert {"q1", "q2", "q3"} <= set(dir(nk.check.start_here))
    for topic in TOPICS.values():
        assert any(isinstance(exercise, Task) for exercise in vars(topic).values()), "one asks for code"
    with pytest.raises(AttributeError, match=r"'nlkit\.check' has no attribute 'q1': one of .*start_here"):
        _ = nk.check.q1


def test_words_of_the_package_are_its_own():
    assert tuple(nk.check.dynamic_prior.q1.options) == CASES


@parametrize(EXERCISES)
class TestEveryExercise:
    def test_three_hints_one_after_the_other(self, exercise):
        said = [exercise.hint() for _ in range(4)]
        assert [hint.level for hint in said] == [1, 2, 3, 3]
        assert len({hint.message for hint in said}) == 3
        assert repr(exercise.hint(2)) == f"Hint 2 of 3: {said[1].message}"
        for level in (0, 4, "1"):
            with pytest.raises(ValueError, match="from 1 to 3"):
                exercise.hint(level)

    def test_showing_it_does_not_show_the_answer(self, exercise):
        for shown in (repr(exercise), pretty(exercise), " ".join(a for a in dir(exercise) if a[0] != "_")):
            assert exercise._why not in shown
            assert not any(hint in shown for hint in exercise._hints)
            if isinstance(right := getattr(exercise, "_right", None), float | int):
                assert str(right) not in shown.replace(exercise.asked, "")

    @given(answer=ANYTHING)
    def test_nothing_raises(self, exercise, answer):
        assert isinstance(exercise(answer).message, str)


@parametrize({name: e for name, e in QUESTIONS.items() if isinstance(e._right, float)})
def test_no_hint_gives_the_number(exercise):
    for level in (1, 2, 3):
        message = exercise.hint(level).message
        assert message.strip()
        numbers = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", message)]
        quotients = [float(a) / float(b) for a, b in re.findall(r"([\d.]*\d) ?/ ?(\d[\d.]*\d|\d)", message)]
        assert not any(math.isclose(n, exercise._right, abs_tol=0.005) for n in numbers + quotients), message


@parametrize(QUESTIONS)
class TestEveryQuestion:
    def test_right(self, exercise):
        assert repr(exercise(exercise._right)) == f"Right: {exercise._why}"
        assert exercise.points == 1

    def test_every_mistake_is_met(self, exercise):
        for wrong, hint in exercise._mistakes:
            # "*" stands for any word: one that makes the answer wrong.
            tried = [[o if w == "*" else w for w in wrong] for o in exercise.options]
            said = [exercise(answer) for answer in (tried if isinstance(wrong, list) else [wrong])]
            assert hint in {feedback.message for feedback in said if not feedback.right}

    def test_no_answer_is_told_what_to_give_and_is_no_try(self, exercise):
        for nothing in (None, (None, None), "", []):
            feedback = exercise(nothing)
            assert not feedback.right
            assert feedback.message.startswith("give ")
        assert exercise.tries == []


class TestNumber:
    @pytest.mark.parametrize("answer", [0.4 / 7, 0.057, np.float32(0.4 / 7), torch.tensor(0.4 / 7)])
    def test_near_enough(self, answer):
        assert start_here.q1(answer).right

    @pytest.mark.parametrize(
        ("answer", "hint"),
        [
            (0.05, "how many classes are left"), (0.2, "think again; nk.check.start_here.q1.hint() helps"),
            (5.7, "divide percents by 100"), ("0.057", "give a number"), (True, "give a number"),
            (math.nan, "give a number"),
        ],
    )  # fmt: skip
    def test_wrong_gets_a_word_of_help(self, answer, hint):
        feedback = start_here.q1(answer)
        assert hint in feedback.message
        assert repr(feedback).startswith("Not yet: ")

    @pytest.mark.parametrize("rounded", [0.88, 0.87, 0.9])
    def test_nearly(self, rounded):
        feedback = nk.check.label_noise.q1(rounded)
        assert repr(feedback) == "Nearly: right up to rounding: give one more digit."
        assert (feedback.right, feedback.points) == (False, 0.5)
        assert nk.check.label_noise.q1(0.875).right
        assert nk.check.label_noise.q1.points == 1

    @given(right=st.floats(0.001, 0.999), decimals=st.integers(1, 6), off=st.sampled_from([-1, 0, 1]))
    def test_only_a_rounded_number_is_nearly_right(self, right, decimals, off):
        exact = question(_right=right, _tolerance=1e-9)
        given = round(round(right, decimals) + off * 10**-decimals, decimals)
        feedback = exact(given)
        if off:
            shown = -Decimal(repr(given)).as_tuple().exponent
            assert not feedback.right
            assert not feedback.nearly or abs(given - right) <= 0.5001 * 10**-shown
        else:
            assert feedback.right or feedback.nearly == (abs(given - right) <= 0.1 * max(given, right))

    def test_a_count_is_no_share(self):
        count = question(_right=7, share=False)
        assert count(7.0).right
        assert count(50).message.startswith("think again")
        assert count(None).message == "give a number."


class TestChoice:
    def test_lists_and_tuples(self):
        assert start_here.q3(["same", "smaller"]).right
        assert start_here.q3(("same", "larger")).message.startswith("R is right")
        assert start_here.q3(("smaller", "smaller")).message.startswith("think again")
        assert 'give 2 words in order, each one of "smaller"' in start_here.q3("same").message

    def test_one_word(self):
        one = question(_right="a", _mistakes=[("b", "b?")], options=("a", "b", "c"))
        assert one("a").right
        assert [one(word).message for word in ("b", "d", ["a"])] == [
            "b?", 'give one of "a", "b", "c".', 'give one of "a", "b", "c".',
        ]  # fmt: skip


# One plausible mistake for each function; the word of help that it should get.
WRONG = {
    "corrected": (lambda b, a, t: ((a == t).mean(), (a != t).mean()), "correction"),
    "symmetric": (lambda c, r: np.full((c, c), r / c) + (1 - r) * np.eye(c), "1 − rate"),
    "auc": (lambda x, w: (x[w][:, None] > x[~w]).mean(), "exchanged"),
    "which_set": (lambda s, w, y, a, b, m: "R" if s[y] > a and w[y] > b else "P", "thresholds of 1"),
    "nearest": (lambda v, p, k: np.argsort(p @ v)[-k:], "nlkit's is"),
    "reverse_cross_entropy": (lambda p, q, a: -(q * np.log(p)).sum(), "sure of a sure answer"),
    "calibrate": (lambda p, e: p / e, "sum to 1"),
    "vote": (lambda y, d, c: np.bincount(y, minlength=c) / len(y), "nlkit's is"),
    "step_back": (lambda p, a, e, k: np.sqrt(a) * k * (2 * p - 1) + np.sqrt(1 - a) * k * e, "likeliest"),
    "ece": (lambda p, y, b: abs(p.max(1).mean() - (p.argmax(1) == y).mean()), "nlkit's is"),
    "interval": (lambda x, d, q: (x[d].mean(1).min(), x[d].mean(1).max()), "nlkit's is"),
}


class TestFunctions:
    @parametrize(TO_WRITE)
    def test_nlkits_own_is_right_and_keeps_all_laws(self, exercise):
        assert exercise(TASKS[exercise._task].twin).right

    @parametrize(TO_WRITE)
    def test_a_mistake_is_told_with_its_case(self, exercise):
        wrong, help_ = WRONG[exercise._task]
        feedback = exercise(wrong)
        assert help_ in feedback.message
        assert "Seen with " in feedback.message
        assert not feedback.right
        assert len(exercise.tries) == 1

    @parametrize(TO_WRITE)
    def test_a_stub_is_no_try(self, exercise):
        for stub in (lambda *case: None, None, 3):
            assert exercise(stub).message.startswith("give your function")
        assert exercise.tries == []

    def test_whatever_it_raises_is_told(self):
        def endless(classes, rate):
            return endless(classes, rate)

        for silly, name in (
            (endless, "RecursionError"),
            (lambda: 1, "TypeError"),
            (lambda c, r: 1 / 0, "Zero"),
        ):
            assert name in nk.check.label_noise.q5(silly).message
        assert "shape (2,)" in nk.check.label_noise.q5(lambda c, r: [1, 2]).message
        assert "ValueError" in nk.check.label_noise.q5(lambda c, r: [["a"] * c] * c).message

    def test_arguments_stay_and_nothing_is_printed(self, capsys):
        def calibrate(p, empty):
            print("working")
            p /= empty
            p /= p.sum()
            return p

        assert nk.check.llm_noise.q5(calibrate).right
        assert capsys.readouterr().out == ""

    def test_bootstrap_is_the_packages(self):
        values, rng = np.random.default_rng(0).random(200), np.random.default_rng(1)
        own = coding.interval(values, rng.integers(200, size=(4000, 200)), 0.9)
        assert own == pytest.approx(nk.metrics.bootstrap_interval(values, level=0.9), abs=0.004)


class TestScore:
    def test_of_a_notebook_and_of_all(self):
        topic = nk.check.label_noise
        assert topic.q1(0.5) is not None
        topic.q1(0.875)
        topic.q2(0.3)
        topic.q3.hint()
        topic.q3(2400)
        topic.q4(("true", "other"))
        topic.q4(("true", "other"))
        assert repr(topic.score()) == (
            "3.5 of 5 points, 1 at the first try and without a hint; hints read: 1. "
            "Open: label_noise.q2, label_noise.q5."
        )
        assert (nk.check.score().points, nk.check.score().of) == (3.5, len(EXERCISES))

    def test_the_same_once_more_is_no_new_try(self):
        for answer in (0.5, 0.5, 0.875, 0.875):
            nk.check.label_noise.q1(answer)
        assert [feedback.right for feedback in nk.check.label_noise.q1.tries] == [False, True]

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nlkit.annotate import LocalLLM
from nlkit.annotate.base import (
    DECIDED,
    Demonstration,
    annotator_name,
    answer_table,
    candidate_sets,
    check_request,
    checked_answers,
)
from nlkit.annotate.local import as_annotator

NAMES = ["a", "b", "c"]


def test_flat_demonstrations_are_shared_and_nested_ones_belong_to_their_text() -> None:
    one, two = Demonstration("x", 0), Demonstration("y", 2)
    flat = check_request(["t", "u"], NAMES, [one, two])
    assert flat.shared == [one, two]
    assert flat.own(1) == []
    nested = check_request(["t", "u"], NAMES, [[one], [one, two]])
    assert nested.shared == []
    assert nested.own(1) == [one, two]


@pytest.mark.parametrize("demonstrations", [None, [], [[], []]])
def test_zero_shot_has_several_spellings(demonstrations: object) -> None:
    assert check_request(["t", "u"], NAMES, demonstrations).zero_shot  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "names", "demonstrations", "message"),
    [
        ("text", NAMES, None, "texts must be a sequence"),
        (["t", float("nan")], NAMES, None, r"texts\[1\] is float"),
        (["t"], "ab", None, "label_names must be a sequence"),
        (["t"], ["a"], None, "at least two"),
        (["t"], ["a", "a"], None, "every name once"),
        (["t"], ["a", " "], None, "no blank"),
        (["t"], NAMES, [Demonstration("x", 3)], "from 0 to 2"),
        (["t"], NAMES, [Demonstration("x", -1)], "missing labels"),
        (["t"], NAMES, [("x", True)], "integer class"),
        (["t"], NAMES, [Demonstration("x", 0), [Demonstration("x", 0)]], "mixture"),
        (["t"], NAMES, ["x"], "mixture"),
        (["t", "u"], NAMES, [[Demonstration("x", 0)]], "2 lists"),
        (["t"], NAMES, [[("x", 0, 1)]], r"demonstrations\[0\]\[0\]"),
    ],
)
def test_bad_requests_are_refused_with_the_field(
    texts: object, names: object, demonstrations: object, message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        check_request(texts, names, demonstrations)  # type: ignore[arg-type]


@given(
    arrays(np.float64, st.tuples(st.integers(0, 6), st.just(3)), elements=st.floats(0.01, 1.0)),
    st.floats(0, 1),
)
def test_table_rows_sum_to_one_and_abstain_below_the_threshold(p: np.ndarray, threshold: float) -> None:
    n = len(p)
    table = answer_table(
        p, NAMES, abstain_below=threshold, source=["model"] * n, prompt_tokens=[1] * n, prompts=["q"] * n
    )
    probabilities = table[["p_0", "p_1", "p_2"]].to_numpy()
    assert len(table) == n
    assert table["label"].dtype == np.int64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    for row, q in zip(table.itertuples(), probabilities, strict=True):
        assert row.confidence == q.max()
        if q.max() < threshold:
            assert (row.label, row.label_name, row.status) == (-1, "", "abstained")
            assert row.reason == f"confidence below {threshold}"
        else:
            assert (row.status, row.reason) == ("answered", "")
            assert row.label == q.argmax()
            assert row.label_name == NAMES[row.label]


@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 10_000))
def test_a_candidate_set_by_hand(classes: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, rng.choice([0.2, 1.0])), 12)
    label = rng.integers(-1, classes, 12)  # not always the likeliest: what a model says and how likely it is
    table = pd.DataFrame(p, columns=[f"p_{c}" for c in range(classes)]).assign(label=label)
    found = candidate_sets(table, classes, most)
    for row, said, own in zip(p, label, found, strict=True):
        wanted = np.zeros(classes)
        if said >= 0:
            chosen = [said]
            for c in sorted(set(range(classes)) - {said}, key=lambda c: -row[c]):
                if len(chosen) < most and row[chosen].sum() < DECIDED:
                    chosen.append(c)
            wanted[chosen] = row[chosen] / row[chosen].sum()
        np.testing.assert_allclose(own, wanted, atol=1e-6)
    alone = candidate_sets(table[["label"]], classes, most)  # an annotator that tells no probabilities
    np.testing.assert_array_equal(alone, candidate_sets(table, classes, 1))
    np.testing.assert_array_equal(alone, [[c == y for c in range(classes)] for y in label])


def answers(label: list[Any], **more: Any) -> pd.DataFrame:
    return pd.DataFrame({"label": label, "confidence": [0.5] * len(label), **more})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0, 1], r"'mine' must answer with a DataFrame"),
        (pd.DataFrame({"label": [0, 1]}), "columns label and confidence"),
        (answers([0]), "gave 1 answers to 2 texts"),
        (answers([0, 7]), r"answered \[0, 7\]; allowed are the class numbers 0 to 2, and -1"),
        (answers([0, -2]), "allowed are"),
        (answers(["earn", "acq"]), "allowed are"),
    ],
)
def test_answers_that_cannot_be_used_name_the_annotator(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_answers(given, 2, 3, "mine")


def test_good_answers_pass_and_an_annotator_without_a_name_is_called_by_its_class() -> None:
    given = answers([-1, 2])
    assert checked_answers(given, 2, 3, annotator_name(SimpleNamespace())) is given
    assert annotator_name(SimpleNamespace()) == "SimpleNamespace"


def test_a_name_is_a_local_model_and_an_annotator_stays_itself() -> None:
    told: list[list[str]] = []
    given = SimpleNamespace(name="own", annotate=lambda *_: None, ready=told.append)
    assert as_annotator(given, ("a", "b")) is given
    assert told == [["a", "b"]]
    made = as_annotator("smollm2", ["a", "b"])
    assert isinstance(made, LocalLLM)


@pytest.mark.parametrize("given", [7, LocalLLM, SimpleNamespace(annotate="no function")])
def test_what_cannot_annotate_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"annotator=.*a model name such as 'smollm2'"):
        as_annotator(given, ["a", "b"])

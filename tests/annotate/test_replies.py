from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit.annotate.replies import ReplyToken, label_scores, named_label

NAMES = ["acq", "earn", "money", "money-fx", "real estate"]


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        *((reply, 1) for reply in ("earn", "  Earn.\n", '"earn".', "'EARN.'")),
        ("“money-fx”", 3), ("money", 2), ("real \n estate", 4),
        *((reply, -1) for reply in ("", ".", "earn..", "earnings", "The label is earn", "not earn")),
        *((reply, -1) for reply in ("earn, acq", "label: earn", "1")),
    ],
)  # fmt: skip
def test_the_whole_reply_must_be_one_name(reply: str, label: int) -> None:
    assert named_label(reply, NAMES) == label


def test_names_that_differ_in_case_alone_are_told_apart() -> None:
    names = ["US", "us", "."]
    assert [named_label(reply, names) for reply in ("US", "us", "Us", "us.", ".")] == [0, 1, -1, 1, 2]


def letters(text: str) -> list[str]:
    return [character for character in text.casefold() if character.isalnum()]


around = st.text(" .\"'`“”\n-xX", max_size=2)


@given(st.tuples(around, st.sampled_from([*NAMES, "EARN", "Acq"]), around).map("".join))
def test_a_named_label_is_all_that_the_reply_spells(reply: str) -> None:
    label = named_label(reply, NAMES)
    if label != -1:
        assert letters(NAMES[label]) == letters(reply)


def token(text: str, p: float, **others: float) -> ReplyToken:
    return ReplyToken(
        text, math.log(p), [(text, math.log(p))] + [(t, math.log(q)) for t, q in others.items()]
    )


def test_one_token_labels_get_what_the_first_token_says() -> None:
    scores = label_scores(1, NAMES[:2], [token("earn", 0.6, acq=0.2, The=0.2)])
    np.testing.assert_allclose(np.exp(scores), [0.25, 0.75])


def test_a_common_beginning_is_shared_until_it_parts() -> None:
    # "mon" begins two labels; then "ey" ends one of them, and " earn" is no way on.
    scores = label_scores(0, NAMES, [token("a", 0.5, mon=0.4), token("cq", 0.8, earn=0.2)])
    np.testing.assert_allclose(np.exp(scores), np.array([0.4, 0, 0.2, 0.2, 0]) / 0.8)
    scores = label_scores(3, NAMES, [token("money", 0.8, Earn=0.1), token("-fx", 0.5), token(".", 0.1)])
    np.testing.assert_allclose(np.exp(scores), np.array([0, 0.1, 0, 0.4, 0]) / 0.5)


def test_tokens_that_do_not_spell_the_answer_tell_nothing() -> None:
    assert np.isnan(label_scores(1, NAMES, [])).all()
    assert np.isnan(label_scores(1, NAMES, [token("acq", 0.9)])).all()
    assert np.isnan(label_scores(1, NAMES, [ReplyToken("earn", float("inf"), [])])).all()
    assert np.isnan(label_scores(1, NAMES, [ReplyToken("earn", -9999.0, [])])).all()


pieces = st.sampled_from(["a", "acq", "e", "mon", "money", "-fx", " ", '"', "x", "real", "", "."])
alternatives = st.lists(st.tuples(pieces, st.floats(-20, 0)), max_size=5)


@given(st.lists(st.builds(ReplyToken, pieces, st.floats(-20, 0), alternatives), max_size=4))
def test_scores_are_probabilities_or_unknown(tokens: list[ReplyToken]) -> None:
    scores = label_scores(2, NAMES, tokens)
    assert np.isnan(scores).all() or np.exp(scores).sum() == pytest.approx(1)
    if any("".join(t.text for t in tokens[:end]) == "money" for end in range(len(tokens) + 1)):
        assert scores[2] > -np.inf

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit.annotate.replies import Reading, Reply, ReplyToken, label_scores, read_completion, read_reply

NAMES = ["acq", "earn", "money", "money-fx", "real estate"]


def named(reply: str, names: list[str] = NAMES) -> int:
    return read_reply(reply, names).label


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        *((reply, 1) for reply in ("earn", "  Earn.\n", '"earn".', "'EARN.'", "earn..")),
        *((reply, 1) for reply in ("**Earn**.", "- earn", "`earn`")),
        ("“money-fx”", 3), ("money", 2), ("real \n estate", 4),
        *((reply, -1) for reply in ("", ".", "earnings", "The label is earn", "not earn", "earn?", "!earn")),
        *((reply, -1) for reply in ("~~earn~~", "<b>earn</b>", "earn, acq", "1")),
        # Marked lines
        *((reply, 0) for reply in ("label: acq", "**Label:** Acq.", "Final answer: acq", "# Answer = `acq`")),
        ("The text is about a merger, not earn.\n\nAnswer: acq\nI am sure.", 0),
        *((reply, -1) for reply in ("Label: not acq", "Label: acq or earn", "Label: acq\nLabel: earn")),
        *((reply, -1) for reply in ("earn\n\nText: a merger\nLabel: acq", "Text: a merger\nLabel: acq")),
        # Reasoning
        *((f"{thought} earn", 1) for thought in ("<think>\nacq? no\n</think>\n\n", "so: acq?</think>")),
        *((reply, -1) for reply in ("<think>earn", "<think>a</think><think>earn", "<think>earn</think>")),
        # JSON, and code
        *((reply, 3) for reply in ('{"label": "money-fx"}', '["money-fx"]', "```\nmoney-fx\n```")),
        ('```json\n{"topic": "Money-FX"}\n```', 3),
        *((reply, -1) for reply in ('{"label": null}', '{"a": "acq", "b": "earn"}', '["acq", "earn"]')),
        ("[" * 9999, -1),
    ],
)  # fmt: skip
def test_a_reply_names_one_label_or_none(reply: str, label: int) -> None:
    assert named(reply) == label


@pytest.mark.parametrize(
    ("reply", "finish", "expected"),
    [
        ("acq", "stop", Reading(0, "answered")),
        ("acq\n", "length", Reading(0, "answered")),  # cut, but not in the word
        ("money", "length", Reading(-1, "unusable", "cut at max_tokens")),
        ("acq", "content_filter", Reading(-1, "unusable", "content filter")),
        ("acq", "refusal", Reading(-1, "abstained", "the model refuses")),
        ("<think>acq or earn", "stop", Reading(-1, "unusable", "reasoning without an end")),
        ("acq/earn", "stop", Reading(-1, "abstained", "several labels named")),
        ("acq or buy", "stop", Reading(-1, "unusable", "no label named")),
        (" ", "stop", Reading(-1, "unusable", "empty reply")),
    ],
)
def test_the_status_tells_why_there_is_no_label(reply: str, finish: str, expected: Reading) -> None:
    assert read_reply(reply, NAMES, finish) == expected


def test_names_that_differ_in_case_or_marks_alone_are_told_apart() -> None:
    names = ["US", "us", ".", "C", "C#"]
    replies = ("US", "us", "Us", "us.", ".", "C", "C#", "c#.")
    assert [named(reply, names) for reply in replies] == [0, 1, -1, 1, 2, 3, 4, -1]


def completion(content: object, **choice: object) -> dict[str, object]:
    return {"choices": [{"message": {"content": content}} | choice]}


def test_a_completion_may_come_in_parts_with_surrogates_and_without_counts() -> None:
    parts = [
        {"type": "thinking", "thinking": "acq"},
        {"type": "text", "text": "ea"},
        {"type": "output_text", "text": "rn"},
    ]
    assert read_completion(completion(parts)) == Reply("earn", "", 0, 0, [])
    assert read_completion(completion("a\ud83d\ude00\ud83d")).text == "a😀\ufffd"
    odd = completion("earn", finish_reason="length", logprobs={"content": [{"token": "e"}]}) | {"usage": [1]}
    assert read_completion(odd) == Reply("earn", "length", 0, 0, [])
    top = [{"token": "e", "logprob": -0.1, "top_logprobs": [{"token": "a", "logprob": -3.0}]}]
    counted = completion(None, logprobs={"content": top}) | {
        "usage": {"prompt_tokens": 5, "completion_tokens": 2}
    }
    assert read_completion(counted) == Reply("", "", 5, 2, [ReplyToken("e", -0.1, [("a", -3.0)])])
    for broken in ({}, {"choices": []}, {"choices": [{"text": "earn"}]}, "html", None):
        with pytest.raises(ValueError, match="no chat completion"):
            read_completion(broken)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logprob", "sure"),
        pytest.param("logprob", 10**400, id="huge"),
        ("logprob", None),
        ("token", None),
        ("token", 7),
    ],
)
@pytest.mark.parametrize("at", ["token", "alternative"])
def test_tokens_listed_in_another_form_are_left_out(field: str, value: object, at: str) -> None:
    other: dict[str, object] = {"token": "acq", "logprob": -2.0}
    listed: dict[str, object] = {"token": "earn", "logprob": -0.1, "top_logprobs": [other]}
    (listed if at == "token" else other)[field] = value
    assert read_completion(completion("earn", logprobs={"content": [listed]})) == (*Reply("earn")[:4], [])


@pytest.mark.parametrize(("given", "kept"), [(2**31, 0), (-5, 0), ("7", 0), (None, 0), (7, 7)])
def test_an_impossible_count_is_not_counted(given: object, kept: int) -> None:
    usage = {"prompt_tokens": given, "completion_tokens": given}
    assert read_completion(completion("earn") | {"usage": usage})[2:4] == (kept, kept)


def letters(text: str) -> list[str]:
    return [character for character in text.casefold() if character.isalnum()]


around = st.text(" .\"'`“”\n-xX", max_size=2)


@given(st.tuples(around, st.sampled_from([*NAMES, "EARN", "Acq"]), around).map("".join))
def test_a_named_label_is_all_that_the_reply_spells(reply: str) -> None:
    label = named(reply)
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


def test_the_label_is_found_behind_reasoning_and_in_json() -> None:
    plain = [token("earn", 0.6, acq=0.2)]
    before = [token(t, 0.9, earn=0.05) for t in ("<think>", "earn", "</think>", '{"', "label", '":', ' "')]
    for tokens in ([*before, *plain], [*before, *plain, token('"}', 1.0)]):
        np.testing.assert_array_equal(label_scores(1, NAMES, tokens), label_scores(1, NAMES, plain))


def test_tokens_that_do_not_spell_the_answer_tell_nothing() -> None:
    assert np.isnan(label_scores(1, NAMES, [])).all()
    assert np.isnan(label_scores(1, NAMES, [token("earn", 0.9)])).all()  # no alternative: not certainty
    assert np.isnan(label_scores(1, NAMES, [token("acq", 0.9)])).all()
    assert np.isnan(label_scores(1, NAMES, [ReplyToken("earn", float("inf"), [("a", -1.0)])])).all()
    assert np.isnan(label_scores(1, NAMES, [ReplyToken("earn", -9999.0, [("a", -1.0)])])).all()


pieces = st.sampled_from(["a", "acq", "e", "mon", "money", "-fx", " ", '"', "x", "real", "", "."])
alternatives = st.lists(st.tuples(pieces, st.floats(-20, 0)), max_size=5)


@given(st.lists(st.builds(ReplyToken, pieces, st.floats(-20, 0), alternatives), max_size=4))
def test_scores_are_probabilities_or_unknown(tokens: list[ReplyToken]) -> None:
    scores = label_scores(2, NAMES, tokens)
    assert np.isnan(scores).all() or np.exp(scores).sum() == pytest.approx(1)
    if not np.isnan(scores).any():
        assert scores[2] > -np.inf

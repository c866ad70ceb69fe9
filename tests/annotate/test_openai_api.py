"""OpenAIChat against a real HTTP server on this machine; nothing of the client is replaced."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import signal
import sqlite3
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from nlkit.annotate import Annotator, AnswerStore, Budget, Demonstration, OpenAIChat, Simulated, openai_chat
from nlkit.annotate.local import as_annotator
from tests.annotate.chat_server import Answer, ChatServer, running

LABELS = ["acq", "crude", "earn"]
P = [f"p_{c}" for c in range(3)]
KEY = "sk-test-0123456789"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running(ChatServer()) as chat:
        yield chat


def annotator(server: ChatServer, **settings: Any) -> OpenAIChat:
    return OpenAIChat("tiny-chat", server.url, **({"api_key": KEY, "store": None} | settings))


def oracle(query: str, *_: Any) -> Answer:
    """Answer with the query's first word, in a manner that must be forgiven."""
    return Answer(f'"{query.split()[0].upper()}".')


TRUTH = [i % 3 for i in range(12)]
TEXTS = [f"{LABELS[c]} report number {i}" for i, c in enumerate(TRUTH)]


def test_answers_come_back_in_order_in_the_common_table(server: ChatServer) -> None:
    server.answer = oracle
    chat = annotator(server)
    table = chat.annotate(TEXTS, LABELS, [Demonstration("opec cuts output", 1)])
    assert isinstance(chat, Annotator)
    assert not chat.simulated
    assert table["label"].tolist() == TRUTH
    assert table["label_name"].tolist() == [LABELS[c] for c in TRUTH]
    assert set(table["source"]) == {"model"}
    assert set(table["prompt_tokens"]) == {42}
    twin = Simulated(reference=dict.fromkeys(TEXTS, 0)).annotate(TEXTS, LABELS)
    assert table.dtypes.to_dict() == twin.dtypes.to_dict()
    # What the table shows is what was sent, with key and settings.
    assert {r["messages"][0]["content"] for r in server.requests} == set(table["prompt"])
    assert "- earn: company earnings" in table["prompt"][0]
    assert "Text: opec cuts output\nLabel: crude\n" in table["prompt"][0]
    assert set(server.keys) == {KEY}
    sent = {(r["model"], r["temperature"], r["logprobs"]) for r in server.requests}
    assert sent == {("tiny-chat", 0.0, True)}


def test_nothing_is_asked_twice_and_known_answers_need_no_server_no_key_and_no_package(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "s.sqlite"
    server.answer = oracle
    first = annotator(server, store=store).annotate([*TEXTS, *TEXTS, f" {TEXTS[0]}\n"], LABELS)
    assert server.times() == dict.fromkeys(TEXTS, 1)
    # Another model, temperature or question is asked.
    annotator(server, store=store, temperature=1.0).annotate(TEXTS[:1], LABELS)
    OpenAIChat("other", server.url, store=store).annotate(TEXTS[:1], LABELS)
    annotator(server, store=store).annotate(TEXTS[:1], LABELS[::-1])
    assert len(server.asked) == 15
    monkeypatch.setitem(sys.modules, "openai", None)
    chat = annotator(server, store=store, api_key=None)
    again = chat.annotate(TEXTS, LABELS)
    assert set(again["source"]) == {"store"}
    assert again[["label", *P]].equals(first[["label", *P]][:12])
    with pytest.raises(ImportError, match=r'pip install "nlkit\[api\]"'):
        chat.annotate(["one more"], LABELS)
    assert len(server.asked) == 15


def test_probabilities_come_from_the_replys_tokens(server: ChatServer, tmp_path: Path) -> None:
    log = math.log
    server.answer = lambda *_: Answer("earn", [("earn", log(0.6), {"earn": log(0.6), "crude": log(0.2)})])
    table = annotator(server, store=tmp_path / "s.sqlite").annotate(["profit up"], LABELS)
    np.testing.assert_allclose(table[P], [[0, 0.25, 0.75]])
    assert table["confidence"][0] == pytest.approx(0.75)
    # The threshold is applied to what the store holds.
    shy = annotator(server, store=tmp_path / "s.sqlite", abstain_below=0.8).annotate(["profit up"], LABELS)
    assert shy["label"].tolist() == [-1]
    assert shy["confidence"][0] == pytest.approx(0.75)
    assert len(server.asked) == 1


def test_the_reply_counts_even_where_another_label_is_likelier(server: ChatServer) -> None:
    server.answer = lambda *_: Answer("acq", [("acq", math.log(0.3), {"earn": math.log(0.6)})])
    table = annotator(server, temperature=1.5).annotate(["x"], LABELS)
    assert (table["label"][0], table["label_name"][0]) == (0, "acq")
    assert table["confidence"][0] == table["p_0"][0] == pytest.approx(1 / 3)


def test_without_token_probabilities_the_confidence_is_unknown(server: ChatServer) -> None:
    with pytest.warns(UserWarning, match=r"abstain_below=0\.9 has no effect on 1 of 1"):
        table = annotator(server, abstain_below=0.9).annotate(["x"], LABELS)
    assert table["label"].tolist() == [2]
    assert table[P].to_numpy().tolist() == [[0, 0, 1]]
    assert np.isnan(table["confidence"][0])


def test_settings_are_sent_and_change_what_is_known(server: ChatServer, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "max_tokens": 500,
        "reasoning_effort": "low",
        "extra_body": {"seed": 7, "chat_template_kwargs": {"enable_thinking": False}},
        "default_headers": {"X-Team": "ours"},
    }
    plain, chat = annotator(server), annotator(server, **settings)
    chat.annotate(["x"], LABELS)
    sent = server.requests[0]
    assert (sent["max_tokens"], sent["reasoning_effort"], sent["seed"]) == (500, "low", 7)
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}
    assert sent["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"] == LABELS
    assert len({plain.key(), chat.key(), annotator(server, replies="text").key()}) == 3
    annotator(server, replies="text", temperature=None).annotate(["x"], LABELS)
    assert set(server.requests[1]) == {"model", "messages", "max_tokens"}


def test_what_a_server_refuses_at_first_is_left_out_and_the_cap_never(server: ChatServer) -> None:
    refusals = {
        "response_format": ("json_schema is not supported", 400),
        "logprobs": ("unknown field: logprobs", 422),
        "max_tokens": ("Unsupported parameter: 'max_tokens': use 'max_completion_tokens'", 400),
        "temperature": ("temperature: only the default is supported", 400),
    }

    def strict(query: str, nth: int, request: Any) -> Answer:
        for field, (message, status) in refusals.items():
            if field in request:
                return Answer(message, status=status)
        return oracle(query)

    server.answer = strict
    chat = annotator(server)
    assert chat.annotate(TEXTS, LABELS)["label"].tolist() == TRUTH
    # Learned once, with the first text alone, and shown.
    assert server.times() == {TEXTS[0]: 5} | dict.fromkeys(TEXTS[1:], 1)
    assert chat.lacks == set(refusals)
    assert "'logprobs', 'max_tokens'" in repr(chat)
    assert all({"max_tokens", "max_completion_tokens"} & set(request) for request in server.requests)


@pytest.mark.parametrize("first", [True, False])
def test_one_texts_refusal_changes_nothing_for_others(server: ChatServer, first: bool) -> None:
    texts = [*TEXTS, "too long"][:: -1 if first else 1]
    too_long = Answer("prompt and max_tokens exceed the context; logprobs need some too", status=400)
    server.answer = lambda query, *_: too_long if query == "too long" else oracle(query)
    chat = annotator(server)
    with pytest.warns(UserWarning, match=r"1 of 13 texts have no label .* \(1 failed\).*exceed the context"):
        row = chat.annotate(texts, LABELS).set_index("status").loc["failed"]
    assert (row["label"], row["source"], "lower max_text_chars" in row["reason"]) == (-1, "none", True)
    assert chat.lacks == set()
    assert sum("max_tokens" in r and "logprobs" in r for r in server.requests) >= len(TEXTS)
    assert all({"max_tokens", "max_completion_tokens"} & set(r) for r in server.requests)


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (Answer("I think it is earn"), "unusable", "no label named"),
        (Answer(""), "unusable", "empty reply"),
        (Answer("earn or acq"), "abstained", "several labels"),
        (Answer("earn", finish="length"), "unusable", "max_tokens"),
        (Answer("", finish="content_filter"), "unusable", "content filter"),
        (Answer("filtered", status=400, code="content_filter"), "unusable", "content filter"),
        (Answer(None, more={"refusal": "I cannot help with earn"}), "abstained", "refuses"),
        (Answer("\ud83d"), "unusable", "no label named"),
    ],
)
def test_a_reply_without_a_label_is_kept_and_asked_again_on_demand_alone(
    server: ChatServer, tmp_path: Path, answer: Answer, status: str, reason: str
) -> None:
    server.answer = lambda *_: answer
    for source in ("model", "store"):
        with pytest.warns(UserWarning, match=f"2 of 2 texts have no label from tiny-chat.*{reason}"):
            table = annotator(server, store=tmp_path / "s.sqlite").annotate(TEXTS[:2], LABELS)
        assert table["label"].tolist() == [-1, -1]
        assert set(table["status"]) == {status}
        assert table["reason"].str.contains(reason).all()
        assert set(table["source"]) == {source}
        np.testing.assert_allclose(table[P], 1 / 3)
        assert table["confidence"].isna().all()
    assert len(server.asked) == 2
    server.answer = oracle
    again = status == "unusable"
    with warnings.catch_warnings(action="error" if again else "ignore"):
        chat = annotator(server, store=tmp_path / "s.sqlite", retry_unusable=True)
        label = chat.annotate(TEXTS[:2], LABELS)["label"].tolist()
    assert label == (TRUTH[:2] if again else [-1, -1])
    assert len(server.asked) == (4 if again else 2)


@pytest.mark.parametrize("status", [408, 409, 429, 503])
@pytest.mark.parametrize("header", [{}, {"Retry-After": "0.01"}, {"Retry-After": formatdate()}])
def test_a_busy_or_failing_server_is_asked_again(
    server: ChatServer, status: int, header: dict[str, str]
) -> None:
    def busy(query: str, nth: int, request: Any) -> Answer:
        return Answer("wait a little", status=status, headers=header) if nth <= 2 else oracle(query)

    server.answer = busy
    table = annotator(server, max_retries=2).annotate(TEXTS, LABELS)
    assert table["label"].tolist() == TRUTH
    assert server.times() == dict.fromkeys(TEXTS, 3)


def test_a_slow_reply_is_asked_again(server: ChatServer) -> None:
    over = threading.Event()

    def slow(query: str, nth: int, request: Any) -> Answer:
        if nth == 1:
            over.wait(20)
        return Answer("earn")

    server.answer = slow
    table = annotator(server, timeout=0.5).annotate(["x"], LABELS)
    assert table["label"].tolist() == [2]
    server.answer = lambda *_: Answer("earn" if over.wait(20) else "")
    with pytest.raises(TimeoutError, match=r"within timeout=0\.5 s"):
        annotator(server, timeout=0.5, max_retries=0).annotate(["y"], LABELS)
    over.set()


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"timeout": 0.3}, r"timeout=0\.3 s"),
        ({"timeout": 600.0, "deadline": 0.3}, r"what was left of deadline=0\.3 s"),
    ],
)
def test_a_reply_that_drips_is_given_up(server: ChatServer, limits: dict[str, float], told: str) -> None:
    # Every byte comes soon after the last, and all of them would take hours.
    server.answer = lambda *_: Answer("earn", drip=20.0)
    with pytest.raises(TimeoutError, match=f"gave no whole reply within {told}: raise it"):
        annotator(server, max_retries=0, **limits).annotate(["x"], LABELS)


def test_a_question_ends_at_its_deadline(server: ChatServer) -> None:
    busy = Answer("wait", status=503, headers={"Retry-After-Ms": "1e6"})
    server.answer = lambda query, *_: busy if query == "busy" else oracle(query)
    with pytest.warns(UserWarning, match="1 failed"):
        annotator(server, deadline=5.0).annotate([*TEXTS, "busy"], LABELS)
    assert server.times()["busy"] == 1  # the server asks for more time than there is


def test_after_a_failure_only_the_rest_is_asked(server: ChatServer, tmp_path: Path) -> None:
    def failing(query: str, nth: int, request: Any) -> Answer:
        return Answer("no", status=503) if query == TEXTS[6] else oracle(query)

    server.answer = failing
    chat = annotator(server, store=tmp_path / "s.sqlite", max_retries=1, workers=3)
    with pytest.warns(UserWarning, match=r"fails .*asked 2 times"):
        assert chat.annotate(TEXTS, LABELS)["label"].tolist() == [*TRUTH[:6], -1, *TRUTH[7:]]
    server.answer = oracle
    table = chat.annotate(TEXTS, LABELS)
    assert table["label"].tolist() == TRUTH
    assert set(table["status"]) == {"answered"}
    assert server.times() == dict.fromkeys(TEXTS, 1) | {TEXTS[6]: 3}


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [(Answer("down", status=500), 10, 16), (Answer("insufficient_quota", status=429), 1, 3)],
)
def test_a_server_that_stops_answering_is_left_alone(
    server: ChatServer, answer: Answer, least: int, most: int
) -> None:
    # After the first twelve everything fails: ten in a row, or one for want of credit, are enough.
    server.answer = lambda query, *_: oracle(query) if query in TEXTS else answer
    texts = [*TEXTS, *(f"text {i}" for i in range(100))]
    with pytest.warns(UserWarning, match="100 failed"):
        table = annotator(server, max_retries=0, workers=3).annotate(texts, LABELS)
    assert table["label"].tolist() == TRUTH + [-1] * 100
    assert table["reason"][12:].str.contains("fails|no credit").all()
    assert least <= len(server.asked) - 12 <= most


def test_refused_texts_do_not_keep_the_others_from_being_asked(server: ChatServer) -> None:
    refused = [f"bad {i}" for i in range(40)]
    server.answer = lambda query, *_: Answer("no", status=400) if query in refused else oracle(query)
    with pytest.warns(UserWarning, match="40 failed"):
        table = annotator(server, workers=3).annotate([TEXTS[0], *refused, *TEXTS[1:]], LABELS)
    assert table["label"].tolist() == [TRUTH[0], *[-1] * 40, *TRUTH[1:]]
    # Before the first answer, three are enough to tell that no question pleases the server.
    server.asked.clear()
    with pytest.raises(ValueError, match="refuses the question"):
        annotator(server).annotate(refused, LABELS)
    assert len(server.asked) == 3


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let SIGINT interrupt, as at a terminal: a shell starts background jobs with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def strike(after: float = 0.0) -> None:
    time.sleep(after)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_call_keeps_every_reply_and_asks_no_more(server: ChatServer, tmp_path: Path) -> None:
    texts = [f"acq text {i}" for i in range(60)]

    def interrupting(query: str, nth: int, request: Any) -> Answer:
        if query == texts[5]:
            strike()
        time.sleep(0.05)
        return oracle(query)

    server.answer = interrupting
    chat = annotator(server, store=tmp_path / "s.sqlite", workers=3)
    with pytest.raises(KeyboardInterrupt):
        chat.annotate(texts, LABELS)
    asked = len(server.asked)
    assert 6 <= asked < 60
    assert len(AnswerStore(tmp_path / "s.sqlite")) == asked
    assert server.under_way == 0
    server.answer = oracle
    assert set(chat.annotate(texts, LABELS)["label"]) == {0}
    assert server.times() == dict.fromkeys(texts, 1)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_twice_waits_for_no_reply_and_loses_none(server: ChatServer, tmp_path: Path) -> None:
    texts, over = [f"acq text {i}" for i in range(60)], threading.Event()

    def hanging(query: str, nth: int, request: Any) -> Answer:
        if query in texts[20:]:
            over.wait(60)  # longer than any patience
        return oracle(query)

    def twice() -> None:
        while len(server.asked) < 24 or server.under_way < 4:  # twenty were answered, four hang
            time.sleep(0.01)
        strike(0.2)
        strike(0.2)

    server.answer = hanging
    striker = threading.Thread(target=twice)
    striker.start()
    with pytest.raises(KeyboardInterrupt):
        annotator(server, store=tmp_path / "s.sqlite", workers=4).annotate(texts, LABELS)
    assert server.under_way == 4
    over.set()
    striker.join()
    assert len(AnswerStore(tmp_path / "s.sqlite")) == 20
    assert not [t for t in threading.enumerate() if t.name == "nlkit-chat"]


def test_a_call_that_ends_early_waits_until_what_came_is_kept(server: ChatServer, tmp_path: Path) -> None:
    class Broken:
        n = 0

        def update(self, done: int) -> None:
            if done >= 3:
                raise RuntimeError("no bar")

    store = AnswerStore(tmp_path / "s.sqlite")
    chat, put = annotator(server, store=store), store._put
    chat.ready(LABELS)

    def slow(*values: Any) -> None:
        time.sleep(0.3)
        put(*values)

    store._put = slow  # type: ignore[method-assign]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_chat, "progress", lambda **_: nullcontext(Broken()))
        with pytest.raises(RuntimeError, match="no bar"):
            chat.annotate(TEXTS, LABELS)
    assert not [t for t in threading.enumerate() if t.name == "nlkit-chat"]
    assert len(store) >= 1 + 3


def test_a_running_loop_goes_on_and_another_thread_may_use_the_store(
    server: ChatServer, tmp_path: Path
) -> None:
    ticks = threading.Semaphore(0)

    def patient(query: str, *_: Any) -> Answer:
        assert ticks.acquire(timeout=60)  # answers only while the caller's loop runs
        return oracle(query)

    async def notebook() -> list[list[int]]:
        async def tick() -> None:
            while True:
                ticks.release()
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        awaited = await chat.aannotate(TEXTS[:6], LABELS)
        other = await asyncio.to_thread(chat.annotate, TEXTS[:9], LABELS)
        ticking.cancel()
        server.answer = oracle
        blocking = chat.annotate(TEXTS, LABELS)  # works in a loop too, which stands still meanwhile
        return [table["label"].tolist() for table in (awaited, other, blocking)]

    server.answer = patient
    chat = annotator(server, store=tmp_path / "s.sqlite")
    assert asyncio.run(notebook()) == [TRUTH[:6], TRUTH[:9], TRUTH]
    assert server.times() == dict.fromkeys(TEXTS, 1)


def test_a_cancelled_task_stops_asking(server: ChatServer) -> None:
    over = threading.Event()
    server.answer = lambda query, *_: (query == TEXTS[0] or over.wait(60), oracle(query))[1]

    async def cancelled() -> None:
        task = asyncio.create_task(annotator(server, workers=2).aannotate(TEXTS, LABELS))
        while server.under_way < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.warns(UserWarning, match="cancelled"), pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    over.set()
    assert len(server.asked) == 3


def test_a_store_that_fails_stops_the_questions(server: ChatServer, tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "s.sqlite")
    chat = annotator(server, store=store, workers=2)
    chat.annotate(TEXTS[:1], LABELS)
    store._connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    server.answer = lambda *_: (time.sleep(0.02), Answer("earn"))[1]
    with pytest.raises((sqlite3.IntegrityError, ValueError), match="full"):
        chat.annotate([f"text {i}" for i in range(60)], LABELS)
    assert len(server.asked) < 20


def test_as_many_are_under_way_as_there_are_workers(server: ChatServer) -> None:
    together = threading.Barrier(3, timeout=20)

    def meeting(query: str, nth: int, request: Any) -> Answer:
        together.wait()  # goes on only when three are here at once
        return Answer("earn")

    chat = annotator(server, workers=3)
    chat.ready(LABELS)  # the first question ever is asked alone
    server.answer = meeting
    chat.annotate(TEXTS, LABELS)
    assert server.most_under_way == 3


def test_a_wrong_key_is_told_and_never_shown(
    server: ChatServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = lambda *_: Answer(f"Incorrect API key provided: {KEY}", status=401)
    chat = annotator(server, store=tmp_path / "s.sqlite", workers=2)
    with pytest.raises(ValueError, match="api_key is refused") as caught:
        chat.annotate(TEXTS, LABELS)
    assert len(server.asked) <= 2
    assert "OPENAI_API_KEY" in str(caught.value)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert KEY not in str(chain)
        chain = chain.__cause__ or chain.__context__
    server.answer = oracle
    chat.annotate(TEXTS, LABELS)
    assert "/chat/completions" in caplog.text
    assert KEY not in repr(chat) + chat.name + chat.key() + caplog.text
    chat.store.close()  # type: ignore[union-attr]
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()


@pytest.mark.parametrize("around", ["{}\n", "\ufeff {}\r\n\x00"])
def test_a_key_is_stripped(server: ChatServer, around: str) -> None:
    annotator(server, api_key=around.format(KEY)).annotate(["x"], LABELS)
    assert server.keys == [KEY]


@pytest.mark.parametrize("key", ["sk one", "sk\none", "sk-\u200b1", "schlüssel"])
def test_what_cannot_be_a_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="api_key has white space") as caught:
        OpenAIChat("m", api_key=key, store=None)
    assert key not in str(caught.value)


@pytest.mark.parametrize("written", [str, repr, lambda s: s.replace("/", r"\/"), lambda s: quote(s, safe="")])
def test_a_key_is_hidden_in_every_spelling(server: ChatServer, written: Any, tmp_path: Path) -> None:
    key = "sk/'quoted'\\\"0123+="
    headers = {"api-key": f"header-{key}"}
    chat = annotator(server, api_key=key, default_headers=headers, store=tmp_path / "s.sqlite")
    server.answer = lambda query, *_: Answer(f"{written(key)} {written(headers['api-key'])}", status=401)
    with pytest.raises(ValueError, match="is refused") as caught:
        chat.annotate(["x"], LABELS)
    assert "0123" not in str(caught.value)
    server.answer = lambda query, *_: Answer(f"{written(key)}")
    with pytest.warns(UserWarning, match="no label named") as warned:
        table = chat.annotate(["x"], LABELS)
    assert (
        "0123"
        not in str(warned[0].message) + table.to_csv() + AnswerStore(tmp_path / "s.sqlite").export().to_csv()
    )


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("true", 0),
        ("<think>true or false?</think>\nLabel: **True**", 0),
        ("Label: true\nLabel: false", -1),
        (f"{KEY}, false", -1),
    ],
)
@pytest.mark.filterwarnings("ignore:1 of 1 texts")
def test_a_header_may_have_the_value_of_a_label(
    server: ChatServer, tmp_path: Path, said: str, label: int
) -> None:
    chat = annotator(server, default_headers={"X-Debug": "true"}, store=tmp_path / "s.sqlite")
    server.answer = lambda *_: Answer(said)
    for _ in ("model", "store"):
        assert chat.annotate(["x"], ["true", "false"])["label"].tolist() == [label]
    assert KEY not in chat.store.export().to_csv()  # type: ignore[union-attr]
    assert len(server.asked) == 1


def test_the_version_of_azures_api_is_no_secret(server: ChatServer) -> None:
    server.answer = lambda *_: Answer("unknown api-version 2024-10-21", status=400)
    with pytest.raises(ValueError, match="unknown api-version 2024-10-21"):
        annotator(server, default_query={"api-version": "2024-10-21"}).annotate(["x"], LABELS)


def test_the_key_may_come_from_the_environment_and_one_in_the_address_is_not_shown(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    chat = OpenAIChat("tiny-chat", store=None)
    chat.annotate(["x"], LABELS)
    assert server.keys == [KEY]
    secret = OpenAIChat("m", server.url.replace("//", f"//user:{KEY}@") + f"?api-key={KEY}", store=None)
    assert secret.base_url == chat.base_url
    caplog.set_level(logging.DEBUG)
    azure = OpenAIChat(
        "m", server.url, store=None, default_query={"key": KEY}, default_headers={"k": f"{KEY}\n"}
    )
    for asked in (secret, azure):
        asked.annotate(["x"], LABELS)
        assert KEY not in repr(asked) + asked.key() + caplog.text
    assert "chat/completions?api-key=[secret]" in caplog.text
    assert "chat/completions?key=[secret]" in caplog.text


def test_logs_hide_the_keys_of_all_annotators_by_one_filter(
    server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = [f"sk-{i}-0123456789" for i in range(3)]
    chats = [annotator(server, default_query={"key": key}) for key in keys]
    for chat in chats:
        chat.annotate(["x"], LABELS)
        httpx = logging.getLogger("httpx")
        assert len(httpx.filters) == 1
    httpx.warning("%s at once", keys)
    assert not [key for key in keys if key in caplog.text]
    assert "at once" in caplog.text
    kept = weakref.ref(chats[0].endpoint.secrets)
    del chat, chats
    gc.collect()
    assert kept() is None


def test_ready_finds_what_would_stop_an_annotation_and_asks_once(server: ChatServer) -> None:
    server.answer = lambda *_: Answer("no", status=401)
    chat = annotator(server)
    with pytest.raises(ValueError, match="api_key is refused"):
        as_annotator(chat, LABELS)
    server.answer = lambda *_: Answer("I cannot tell")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_annotator(chat, LABELS)
    chat.ready(LABELS)
    assert server.asked == ["N/A"] * 2


@pytest.mark.parametrize(
    ("answer", "settings", "kind", "message"),
    [
        (Answer("no such model", status=404), {}, ValueError, "model='tiny-chat' is not known at base_url="),
        (Answer("no key", status=401), {"api_key": None}, ValueError, "api_key is not given"),
        (Answer("bad request", status=400), {}, ValueError, "pass temperature=None"),
        (Answer("over", status=429), {"max_retries": 1}, ConnectionError, "the account's quota.*2 times"),
        (Answer("pay", status=402), {}, ConnectionError, "has no credit .*: add some"),
        *((Answer(raw=raw), {"max_retries": 0}, ValueError, "no chat completion")
          for raw in (b"<html>welcome</html>", b"{}", b"{broken", b'{"choices": []}')),
    ],
)  # fmt: skip
def test_errors_name_field_value_and_remedy(
    server: ChatServer, answer: Answer, settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    server.answer = lambda *_: answer
    with pytest.raises(kind, match=message):
        annotator(server, **settings).annotate(["x"], LABELS)


def test_an_address_that_is_wrong_or_where_nobody_listens_is_named() -> None:
    with running(ChatServer()) as server:
        with pytest.raises(ValueError, match="most end in /v1"):
            OpenAIChat("m", server.url.removesuffix("/v1"), store=None).annotate(["x"], LABELS)
        chat = annotator(server, max_retries=1)
    with pytest.raises(ConnectionError, match="no server answers at base_url='http://127"):
        chat.annotate(["x"], LABELS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": " "}, "model=' '"),
        ({"base_url": "localhost:8000"}, "base_url='localhost:8000'"),
        ({"temperature": 3}, "temperature=3"),
        ({"timeout": 0}, "timeout=0"),
        ({"deadline": 0}, "deadline=0"),
        ({"requests_per_minute": -1}, "requests_per_minute=-1"),
        ({"replies": "xml"}, "replies='xml'.*auto, logprobs, text"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"extra_body": {"seed": 1, "n": 9}}, r"extra_body=\['n'\]"),
        ({"budget": Budget(money=1)}, "price=None.*a million tokens of m"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"workers": 0}, "workers=0"),
        ({"workers": 1.5}, r"workers=1\.5"),
        ({"max_text_chars": 0}, "max_text_chars=0"),
        ({"abstain_below": 2}, "abstain_below=2"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OpenAIChat(**({"model": "m", "store": None} | settings))


def test_an_empty_text_abstains_and_is_not_asked(server: ChatServer) -> None:
    server.answer = oracle
    llm = annotator(server)
    assert llm.plan(["", " \n", TEXTS[0]], LABELS).calls == 1
    table = llm.annotate(["", " \n", TEXTS[0]], LABELS)
    assert table["label"].tolist() == [-1, -1, TRUTH[0]]
    assert table["status"].tolist() == ["abstained", "abstained", "answered"]
    assert table["reason"].tolist()[:2] == ["the text is empty"] * 2
    assert len(server.asked) == 1


def test_long_texts_are_cut_and_no_texts_ask_nothing(server: ChatServer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert annotator(server).annotate([], LABELS).empty
        assert server.asked == []
        annotator(server, max_text_chars=7).annotate(["one two three"], LABELS)
    assert server.asked == ["one two"]
    with pytest.raises(ValueError, match="white space"):
        annotator(server).annotate(["x"], ["a b", "a  b"])

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from nlkit.annotate import PRICES, Budget, OpenAIChat, asking
from nlkit.annotate.labelling import label_with_llm
from nlkit.annotate.plan import Cost, price_of, token_counter
from tests.annotate.chat_server import Answer, ChatServer, running
from tests.made import labelled_split

LABELS = ["acq", "earn"]
TEXTS = [f"text {i}" for i in range(10)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(ChatServer()) as chat:
        yield chat


def annotator(server: ChatServer, **settings: Any) -> OpenAIChat:
    return OpenAIChat("tiny-chat", server.url, **({"api_key": "key", "store": None} | settings))


costs = st.builds(Cost, st.integers(0, 3), st.integers(0, 50), st.floats(0, 1))


@given(st.lists(st.tuples(costs, st.floats(0, 1))), costs)
def test_a_budget_is_never_exceeded(questions: list[tuple[Cost, float]], limit: Cost) -> None:
    budget, under_way = Budget(*limit), []
    for most, part in questions:
        reserved = budget.reserve(most)
        if reserved:
            under_way.append((most, Cost(most[0], int(most[1] * part), most[2] * part)))
        else:
            # Spent for good, or only until the others are settled.
            alone = [a + b <= c + 1e-9 for a, b, c in zip(budget.spent, most, limit, strict=True)]
            assert (reserved is None) == all(alone)
            while under_way:
                budget.settle(*under_way.pop())
        assert all(s <= most + 1e-9 for s, most in zip(budget.spent, limit, strict=True))
    assert f"{limit.tokens} spent" in repr(budget)


@pytest.mark.parametrize(("given", "message"), [({}, "at least one limit"), ({"tokens": -1}, "tokens=-1")])
def test_a_budget_needs_limits(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Budget(**given)


def test_one_purse_serves_annotators_threads_and_label_with_llm(server: ChatServer) -> None:
    budget = Budget(questions=25)
    ds = {"train": labelled_split(LABELS, text=[f"ds {i}" for i in range(10)], label=[0, 1] * 5)}
    chats = [annotator(server, budget=budget, workers=4, temperature=t) for t in (0, 1)]
    with ThreadPoolExecutor() as pool:
        assert len([*pool.map(lambda chat: chat.annotate(TEXTS, LABELS), chats)]) == 2
    with pytest.warns(
        UserWarning, match=r"most often: the budget is spent: Budget\(questions: 25 of 25 spent\)"
    ):
        label_with_llm(DatasetDict(ds), chats[0], splits=["train"])
    with pytest.warns(UserWarning, match="the budget is spent"):
        rest = chats[1].annotate(["one more"], LABELS)
    assert len(server.asked) == 25 == budget.spent.questions
    assert rest["status"].tolist() == ["failed"]


@pytest.mark.parametrize("limit", [{"tokens": 3000}, {"money": 0.003}])
def test_tokens_and_money_are_reserved_before_and_settled_after(server: ChatServer, limit: Any) -> None:
    budget = Budget(**limit)
    chat = annotator(server, budget=budget, workers=8, price=(1.0, 1.0))
    most = chat.endpoint.most("x" * 100, LABELS).tokens
    with pytest.warns(UserWarning, match="the budget is spent"):
        chat.annotate([f"text {i}" for i in range(200)], LABELS)
    assert budget.spent == pytest.approx((len(server.asked), tokens := 43 * len(server.asked), tokens / 1e6))
    # All but less than one question's most was spent.
    assert 3000 - most - 200 < tokens <= 3000


def test_what_is_sent_besides_may_cost_too() -> None:
    plain, more = (
        OpenAIChat("m", store=None, extra_body=body).endpoint.most("x", LABELS).tokens
        for body in ({}, {"tools": "y" * 500})
    )
    assert more >= plain + 500


def test_what_was_turned_away_is_given_back_and_what_broke_off_is_not(server: ChatServer) -> None:
    def faulty(query: str, nth: int, request: Any) -> Answer:
        if nth == 1 and query == "busy":
            return Answer("wait", status=429)
        return Answer(raw=b'{"choi') if nth == 1 and query == "broken" else Answer("earn")

    server.answer = faulty
    budget = Budget(questions=10)
    annotator(server, budget=budget).annotate(["busy", "broken", "good"], LABELS)
    assert budget.spent.questions == 4
    assert len(server.asked) == 5


def test_a_plan_is_what_is_asked_then(server: ChatServer, tmp_path: Path) -> None:
    chat = annotator(server, store=tmp_path / "s.sqlite", price=(2.0, 10.0), workers=2)
    blank = chat.plan([*TEXTS, TEXTS[0]], LABELS)
    assert (blank.texts, blank.known, blank.calls) == (11, 0, 10)
    assert math.isnan(blank.seconds)
    assert "4 bytes a token" in repr(blank)
    assert server.asked == []
    chat.annotate(TEXTS[:4], LABELS)
    # 42 tokens were counted for each prompt, one for each reply; the store tells another session.
    for annotator_ in (chat, annotator(server, store=tmp_path / "s.sqlite", price=(2.0, 10.0))):
        plan = annotator_.plan(TEXTS, LABELS)
        assert (plan.known, plan.calls, plan.prompt_tokens, plan.completion_tokens) == (4, 6, 6 * 42, 6)
        assert plan.money == pytest.approx((6 * 42 * 2 + 6 * 10) / 1e6)
        assert "already answered  4" in repr(plan)
        assert "counted so far" in repr(plan)
    assert chat.plan(TEXTS, LABELS).seconds > 0
    assert chat.plan(TEXTS[:4], LABELS).seconds == chat.plan([], LABELS).money == 0


def test_a_pace_is_part_of_the_plan_and_kept(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = annotator(server, requests_per_minute=1200, workers=10)
    chat.annotate(["x"], LABELS)
    # Ten workers need as long as the first question took, unless the pace is slower.
    assert chat.plan(TEXTS, LABELS).seconds == pytest.approx(max(0.5, chat.endpoint.tally.seconds))
    turns: list[float] = []

    async def turn(tokens: float) -> None:
        turns.append(tokens)

    monkeypatch.setattr(chat.endpoint.pace, "turn", turn)
    chat.annotate(TEXTS, LABELS)
    assert len(turns) == len(TEXTS)
    slow = annotator(server, tokens_per_minute=6000)
    assert slow.plan(TEXTS, LABELS).seconds == pytest.approx(slow.plan(TEXTS, LABELS).prompt_tokens / 100)


@pytest.mark.parametrize(
    ("limits", "apart"), [((1200, None), 0.05), ((None, 6000), 0.1), ((1200, 6000), 0.1), ((None, None), 0)]
)
def test_turns_are_apart_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[float | None, float | None], apart: float
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def turns() -> None:
        for _ in range(4):
            await pace.turn(10)

    monkeypatch.setattr(asking, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: 100.0))
    pace = asking.Pace(*limits)
    asyncio.run(turns())
    assert waits == pytest.approx([i * apart for i in range(4)])


def test_tokens_are_counted_by_the_models_own_tokenizer(server: ChatServer, converted: Path) -> None:
    chat = OpenAIChat(str(converted), server.url, store=None)
    plan = chat.plan(TEXTS[:1], LABELS)
    assert plan.counted == "counted"
    count = token_counter(str(converted))
    assert count is not None
    assert 60 < plan.prompt_tokens < 100


def test_prices_may_be_edited_and_stand_for_dated_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert price_of("gpt-4o-mini-2024-07-18") == PRICES["gpt-4o-mini"] != PRICES["gpt-4o"]
    assert math.isnan(price_of("my-model")[0])
    monkeypatch.setitem(PRICES, "my-model", (1.0, 2.0))
    assert OpenAIChat("my-model", store=None, budget=Budget(money=1)).endpoint.price == (1.0, 2.0)

"""A server with all faults that we know, seeded: nothing raised, nothing lost, nothing paid twice."""

from __future__ import annotations

import random
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from nlkit.annotate import AnswerStore, Budget, OpenAIChat
from tests.annotate.chat_server import Answer, ChatServer, running

LABELS = ["acq", "crude", "earn"]
KEY = "sk-fault-0123456789"

WELL = Answer("crude")
HALF = WELL.body("m")[:60]
# name -> (what comes first, what comes again, the status in the end)
FAULTS: dict[str, tuple[Answer, Answer, str]] = {
    "timeout of the server": (Answer("late", status=408), WELL, "answered"),
    "conflict": (Answer("lock", status=409), WELL, "answered"),
    "busy": (Answer("busy", status=429, headers={"Retry-After-Ms": "5"}), WELL, "answered"),
    "busy till a date": (Answer("busy", status=429, headers={"Retry-After": formatdate()}), WELL, "answered"),
    "broken": (Answer("oops", status=500), WELL, "answered"),
    "gateway": (Answer(raw=b"<html>bad gateway</html>", status=502), WELL, "answered"),
    "half a JSON": (Answer(raw=HALF), WELL, "answered"),
    "HTML with 200": (Answer(raw=b"<html>login</html>"), WELL, "answered"),
    "no choices": (Answer(raw=b'{"choices": []}'), WELL, "answered"),
    "no UTF-8": (Answer(raw=b"\xff\xfe{"), WELL, "answered"),
    "reset": (Answer(reset=True), WELL, "answered"),
    "dripping": (Answer("crude", drip=0.3), WELL, "answered"),
    "always broken": (Answer("oops", status=500), Answer("oops", status=503), "failed"),
    "always half": (Answer(raw=HALF), Answer(raw=HALF), "failed"),
    "bad request": (Answer("no", status=400), WELL, "failed"),
    "too long": (Answer("max_tokens and logprobs", status=400), WELL, "failed"),
    "too large": (Answer("too large", status=413), WELL, "failed"),
    "unprocessable": (Answer("temperature", status=422), WELL, "failed"),
    "forbidden words": (Answer(f"WAF, {KEY}", status=403), WELL, "failed"),
    "lost": (Answer("gone", status=404), WELL, "failed"),
    "filtered": (Answer("filter", status=400, code="content_filter"), WELL, "unusable"),
    "cut": (Answer("cru", finish="length"), WELL, "unusable"),
    "empty": (Answer(""), WELL, "unusable"),
    "null": (Answer(None), WELL, "unusable"),
    "surrogate": (Answer("crude \ud83d"), WELL, "unusable"),
    "key": (Answer(f"your key is {KEY}"), WELL, "unusable"),
    "refusal": (Answer(None, more={"refusal": "I must not."}), WELL, "abstained"),
    "two labels": (Answer("acq or earn"), WELL, "abstained"),
    "parts": (Answer([{"type": "text", "text": "crude"}]), WELL, "answered"),
    "reasoned": (Answer("<think>acq</think>\n**Crude**."), WELL, "answered"),
    "odd logprobs": (Answer("crude", [("crude", "sure", {"acq": "never"})]), WELL, "answered"),
    "odd count": (Answer(raw=WELL.body("m").replace(b"42", b"9" * 30)), WELL, "answered"),
}
N = 2000


def test_two_thousand_questions_to_a_faulty_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    draw = random.Random(0)
    texts = [f"text {i}" for i in range(N)]
    fate = {text: draw.choice(list(FAULTS)) if draw.random() < 0.1 else "" for text in texts}
    assert set(fate.values()) == {"", *FAULTS}
    given = Counter[str]()  # whole replies, which are paid
    billed = Counter[str]()  # those, and what may have been paid

    def answer(query: str, nth: int, request: dict[str, Any]) -> Answer:
        first, later, _ = FAULTS.get(fate[query], (WELL, WELL, ""))
        now = first if nth == 1 else later
        billed[query] += now.status == 200
        given[query] += now.status == 200 and now.raw is None and not now.drip and not now.reset
        assert {"max_tokens", "max_completion_tokens"} & set(request)
        return now

    with running(ChatServer()) as server:
        server.answer = answer
        settings: dict[str, Any] = {
            "timeout": 10.0,  # a good reply that came later would be paid twice
            "max_retries": 2,
            "workers": 32,
            "store": tmp_path / "s.sqlite",
        }
        budget = Budget(questions=1500)
        first = OpenAIChat("m", server.url, KEY, budget=budget, **settings)
        second = OpenAIChat("m", server.url, KEY, **settings)
        with pytest.warns(UserWarning, match="of 2000 texts have no label") as warned:
            table = first.annotate(texts, LABELS)
        # A question that times out before the server sees it is spent, but not billed.
        assert sum(billed.values()) <= budget.spent.questions == 1500
        # Those that the purse did not reach say so; the others are as without one.
        beyond = table["reason"].str.contains("budget is spent")
        assert 300 < beyond.sum() < 700
        with pytest.warns(UserWarning, match="of 2000 texts have no label") as again:
            rest = second.annotate(texts, LABELS)
    for i, text in enumerate(texts):
        fault = fate[text]
        expected = FAULTS[fault][2] if fault else "answered"
        if not beyond[i]:
            assert (text, fault, table["status"][i]) == (text, fault, expected)
        elif rest["status"][i] != "answered":
            assert (text, fault, rest["status"][i]) == (text, fault, expected)
        assert given[text] <= 1, (text, fault)
        row = rest.loc[i]
        assert (row["label"] == 1) == (row["status"] == "answered") == (row["reason"] == "")
    assert first.lacks == second.lacks == set()
    seen = (
        table.to_csv()
        + rest.to_csv()
        + repr(first)
        + caplog.text
        + "".join(str(w.message) for w in [*warned, *again])
    )
    with AnswerStore(tmp_path / "s.sqlite") as store:
        assert len(store) == (rest["status"] != "failed").sum()
        seen += store.export().to_csv()
    assert KEY not in seen

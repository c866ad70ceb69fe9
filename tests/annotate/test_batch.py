"""BatchChat against a real HTTP server on this machine with /v1/files and /v1/batches."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from nlkit.annotate import BatchChat, BatchPending, Budget, OpenAIChat
from nlkit.annotate.plan import Cost
from tests.annotate.chat_server import Answer, ChatServer, running

LABELS = ["acq", "crude", "earn"]
TRUTH = [i % 3 for i in range(12)]
TEXTS = [f"{LABELS[c]} report number {i}" for i, c in enumerate(TRUTH)]
KEY = "sk-test-0123456789"


class BatchServer(ChatServer):
    """Answers a job's questions when it is told to `finish` it."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = lambda query, *_: Answer(query.split()[0])
        self.files: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.at_once = False
        self.unconfirmed = False

    def handle(self, path: str, key: str, request: Any) -> tuple[Answer, bytes]:
        path = path.partition("?")[0]
        if isinstance(request, bytes):
            begin = request.index(b"\r\n\r\n", request.index(b"nlkit.jsonl")) + 4
            number = f"file-{len(self.files)}"
            self.files[number] = request[begin:].partition(b"\r\n--")[0]
            return self.told({"id": number, "object": "file"})
        if path == "/v1/batches" and request is not None:
            number = f"batch_{len(self.jobs)}"
            self.jobs[number] = {"id": number, "object": "batch", "status": "in_progress"} | request
            if self.at_once:
                self.finish(number)
            return self.told(self.jobs[number], status=500 if self.unconfirmed else 200)
        if path == "/v1/batches":
            jobs = list(self.jobs.values())
            return self.told({"object": "list", "data": jobs, "has_more": False})
        name = path.removesuffix("/content").rpartition("/")[2]
        if name in self.jobs and request is None:
            return self.told(self.jobs[name])
        if name in self.files:
            return Answer(raw=self.files[name]), self.files[name]
        return super().handle(path, key, request or {"messages": [{"content": ""}], "model": ""})

    @staticmethod
    def told(value: Any, status: int = 200) -> tuple[Answer, bytes]:
        return Answer(status=status), json.dumps(value).encode()

    def finish(self, number: str, status: str = "completed", first: int = 10**6) -> None:
        """End a job after its `first` questions; as at OpenAI, errors go to a file of their own."""
        job, good, bad = self.jobs[number], [], []
        lines = self.files[job["input_file_id"]].decode().split("\n")
        for line in lines[:first]:
            question = json.loads(line)
            answer, body = super().handle(question["url"], "", question["body"])
            response = {"status_code": answer.status, "body": json.loads(body)}
            kept = json.dumps({"custom_id": question["custom_id"], "response": response}, ensure_ascii=False)
            (good if answer.status == 200 else bad).append(kept)
        for field, kept_lines in ("output_file_id", good), ("error_file_id", bad):
            if kept_lines:
                job[field] = f"file-{len(self.files)}"
                self.files[job[field]] = "\n".join(kept_lines[::-1]).encode() + b"\n"
        job["status"] = status
        job["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(BatchServer()) as batch:
        yield batch


def annotator(server: BatchServer, path: Path, **settings: Any) -> BatchChat:
    return BatchChat("m", server.url, KEY, **({"store": path / "s.sqlite", "max_retries": 0} | settings))


def test_questions_are_handed_over_and_collected_by_the_same_call(
    server: BatchServer, tmp_path: Path
) -> None:
    with pytest.raises(BatchPending, match=r"0 of 11 .* batch_0.*same call later") as pending:
        annotator(server, tmp_path).annotate(TEXTS, LABELS)
    assert (pending.value.jobs, pending.value.total) == (["batch_0"], 11)
    # The first question was asked directly, to learn what the server can; the same call sends nothing again.
    assert len(server.asked) == 1
    with pytest.raises(BatchPending):
        annotator(server, tmp_path).annotate(TEXTS, LABELS)
    assert (len(server.jobs), len(server.asked)) == (1, 1)
    server.finish("batch_0")
    # Some of the texts now, the others later, from the same job.
    assert annotator(server, tmp_path).annotate(TEXTS[:5], LABELS)["label"].tolist() == TRUTH[:5]
    table = annotator(server, tmp_path).annotate(TEXTS, LABELS)
    assert table["label"].tolist() == TRUTH
    assert (table["source"] == "store").sum() == 5
    # OpenAIChat knows these answers too.
    direct = OpenAIChat("m", server.url, KEY, store=tmp_path / "s.sqlite").annotate(TEXTS, LABELS)
    assert set(direct["source"]) == {"store"}
    assert server.times() == dict.fromkeys(TEXTS, 1)
    assert KEY.encode() not in (tmp_path / "s.sqlite").read_bytes()


def test_waiting_collects_jobs_of_a_size_in_one_call(server: BatchServer, tmp_path: Path) -> None:
    server.at_once = True
    price = {"price": (2.0, 4.0)}
    chat = annotator(server, tmp_path, wait=True, poll=0.01, job_size=4, **price)
    assert chat.annotate(TEXTS, LABELS)["label"].tolist() == TRUTH
    assert len(server.jobs) == 3
    direct = OpenAIChat("m", server.url, KEY, store=chat.store, **price)
    direct.endpoint = chat.endpoint
    assert chat.plan(["x"], LABELS).money == pytest.approx(direct.plan(["x"], LABELS).money / 2)


def test_what_failed_is_told_and_alone_asked_again(server: BatchServer, tmp_path: Path) -> None:
    def some(query: str, *_: Any) -> Answer:
        return Answer("busy", status=503) if query == TEXTS[3] else Answer(query.split()[0])

    server.answer = some
    chat = annotator(server, tmp_path)
    with pytest.raises(BatchPending):
        chat.annotate(TEXTS, LABELS)
    server.finish("batch_0", "expired", first=8)
    with pytest.warns(UserWarning, match="4 failed.*same call again"):
        table = chat.annotate(TEXTS, LABELS)
    assert table["status"].tolist() == ["answered"] * 3 + ["failed"] + ["answered"] * 5 + ["failed"] * 3
    assert "batch_0: " in table["reason"][3]
    assert "busy" in table["reason"][3]
    assert "the job is expired" in table["reason"][11]
    server.answer = lambda query, *_: Answer(query.split()[0])
    with pytest.raises(BatchPending, match="0 of 4"):
        chat.annotate(TEXTS, LABELS)
    server.finish("batch_1")
    assert chat.annotate(TEXTS, LABELS)["label"].tolist() == TRUTH
    assert server.times() == dict.fromkeys(TEXTS, 1) | {TEXTS[3]: 2}


def test_a_job_that_the_server_does_not_know_is_not_paid_again_unless_forgotten(
    server: BatchServer, tmp_path: Path
) -> None:
    chat = annotator(server, tmp_path)
    with pytest.raises(BatchPending, match="0 of 11"):
        chat.annotate(TEXTS, LABELS)
    jobs, server.jobs = server.jobs, {}
    with pytest.warns(UserWarning, match=r"11 failed.*to this api_key.*store\.forget_job\('batch_0'\)"):
        chat.annotate(TEXTS, LABELS)
    assert server.jobs == {}
    server.jobs = jobs
    # A part of the job's questions: no more of them are done than there are.
    jobs["batch_0"]["request_counts"] = {"total": 11, "completed": 8, "failed": 0}
    with pytest.raises(BatchPending, match=r"5 of 5 .*batch_0"):
        chat.annotate(TEXTS[1:6], LABELS)
    assert chat.store.forget_job("batch_0") == 11  # type: ignore[union-attr]
    with pytest.raises(BatchPending, match="batch_1"):
        chat.annotate(TEXTS, LABELS)
    # Known, but its answers are gone: those are asked anew.
    server.finish("batch_1")
    server.files.clear()
    with pytest.warns(UserWarning, match="11 failed.*not at the server any more"):
        chat.annotate(TEXTS, LABELS)
    with pytest.raises(BatchPending, match="batch_2"):
        chat.annotate(TEXTS, LABELS)


@pytest.mark.parametrize(("refused", "asked", "handed_over"), [(1, 2, 10), (2, 3, 9), (3, 3, 0), (12, 3, 0)])
@pytest.mark.parametrize("code", [None, "content_filter"])
def test_a_refused_text_does_not_keep_the_others_from_being_handed_over(
    server: BatchServer, tmp_path: Path, refused: int, asked: int, handed_over: int, code: str | None
) -> None:
    no = Answer("no", status=400, code=code)
    server.answer = lambda query, *_: no if query in TEXTS[:refused] else Answer(query.split()[0])
    if code and refused >= 3:
        handed_over = 9  # a filter is an answer, not a refusal
    kind, told = (
        (BatchPending, f"0 of {handed_over}") if handed_over else (ValueError, "refuses the question")
    )
    with pytest.raises(kind, match=told):
        annotator(server, tmp_path).annotate(TEXTS, LABELS)
    assert len(server.asked) == asked
    assert len(server.jobs) == bool(handed_over)


def test_a_job_sent_but_not_noted_is_found_and_not_sent_again(server: BatchServer, tmp_path: Path) -> None:
    chat = annotator(server, tmp_path)
    chat.ready(LABELS)
    server.unconfirmed = True
    with pytest.raises(ConnectionError, match="fails"):
        chat.annotate(TEXTS, LABELS)
    server.unconfirmed = False
    with pytest.raises(BatchPending, match="batch_0"):
        chat.annotate(TEXTS, LABELS)
    assert len(server.jobs) == 1
    # One that was never made is.
    server.jobs.clear()
    chat.store.set_job(chat.store.jobs(_keys(chat, TEXTS)), "sending nothing")  # type: ignore[union-attr]
    with pytest.raises(BatchPending):
        chat.annotate(TEXTS, LABELS)
    assert len(server.jobs) == 1


def _keys(chat: BatchChat, texts: list[str]) -> list[str]:
    _, names, asked = chat._questions(texts, LABELS, None)
    assert chat.store is not None
    return [chat.store.key(chat.key(), prompt, names) for prompt in asked]


def test_three_processes_hand_over_once(server: BatchServer, tmp_path: Path) -> None:
    def run() -> None:
        with pytest.raises(BatchPending):
            annotator(server, tmp_path).annotate(TEXTS, LABELS)

    processes = [get_context("fork").Process(target=run) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 3
    assert len(server.jobs) == 1


def test_a_budget_is_kept_and_charged_what_it_did_cost(server: BatchServer, tmp_path: Path) -> None:
    budget = Budget(questions=6, money=1.0)
    chat = annotator(server, tmp_path, budget=budget, price=(10, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(BatchPending):
            chat.annotate(TEXTS, LABELS)
        server.finish("batch_0")
        table = chat.annotate(TEXTS, LABELS)
    assert table["status"].tolist() == ["answered"] * 6 + ["failed"] * 6
    assert "the budget is spent" in table["reason"][11]
    # 43 tokens each; the first at the full price, the others at half of it.
    assert budget.spent == (6, 6 * 43, pytest.approx(43e-5 * (1 + 5 / 2)))


def test_a_job_is_charged_once_and_keeps_nobody_waiting(server: BatchServer, tmp_path: Path) -> None:
    budget = Budget(questions=12)
    chat = annotator(server, tmp_path, budget=budget)
    chat.ready(LABELS)
    files, server.files = server.files, None  # type: ignore[assignment]  # breaks what is sent
    for _ in range(2):
        with pytest.raises(ConnectionError):
            chat.annotate(TEXTS[:4], LABELS)
    server.files = files
    with pytest.raises(BatchPending):
        chat.annotate(TEXTS[:11], LABELS)
    assert budget.spent.questions == 12
    # Others with this purse are told that it is spent, not to wait.
    assert budget.reserve(Cost(1)) is False
    server.finish("batch_0", "expired", first=5)
    with pytest.warns(UserWarning, match="6 failed"):
        chat.annotate(TEXTS[:11], LABELS)
    assert budget.spent.questions == 1 + 5


@pytest.mark.parametrize(
    ("answer", "kind", "remedy"),
    [
        (Answer(f"Incorrect API key: {KEY}", status=401), ValueError, "api_key is refused"),
        (Answer("no", status=404), ValueError, "is not known"),
    ],
)
def test_what_is_wrong_shows_before_anything_is_handed_over(
    server: BatchServer, tmp_path: Path, answer: Answer, kind: type[Exception], remedy: str
) -> None:
    server.answer = lambda *_: answer
    with pytest.raises(kind, match=remedy) as caught:
        annotator(server, tmp_path).annotate(TEXTS, LABELS)
    assert KEY not in str(caught.value)
    assert server.jobs == {}


def test_a_server_without_batch_jobs_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(ChatServer()) as plain:
        chat = BatchChat("m", plain.url, KEY, store=tmp_path / "s.sqlite", max_retries=0)
        with pytest.raises(ValueError, match=r"no batch jobs.*use OpenAIChat"):
            chat.annotate(TEXTS, LABELS)


@pytest.mark.parametrize("setting", [{"store": None}, {"poll": 0}, {"job_size": 0}])
def test_bad_settings_are_named(tmp_path: Path, setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        BatchChat("m", **({"store": tmp_path / "s.sqlite"} | setting))

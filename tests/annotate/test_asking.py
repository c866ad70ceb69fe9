"""`answered`: many threads and processes on one store, killed and interrupted, ask every prompt once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlkit.annotate import store as store_module
from nlkit.annotate.store import AnswerStore, Keep, StoredAnswer, answered

NAMES = ["a", "b"]
PROMPTS = [f"p{i}" for i in range(200)]


def reply(prompt: str, **more: Any) -> StoredAnswer:
    return StoredAnswer(prompt, np.array([len(prompt), 0.0]), **more)


def all_at_once(asked: list[str]) -> Callable[[list[str], Keep], None]:
    def ask(missing: list[str], keep: Keep) -> None:
        asked.extend(missing)
        keep([reply(prompt) for prompt in missing])

    return ask


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C is an exception here and in what is forked, also where the shell of the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def store(tmp_path: Path) -> AnswerStore:
    return AnswerStore(tmp_path / "s.sqlite")


def test_twelve_threads_ask_every_prompt_once(store: AnswerStore) -> None:
    asked: list[str] = []

    def ask(missing: list[str], keep: Keep) -> None:
        for prompt in missing:
            asked.append(prompt)
            keep([reply(prompt)])

    def call(seed: int) -> tuple[dict[str, StoredAnswer], set[str]]:
        mine = random.Random(seed).sample(PROMPTS, 60)
        answers, known = answered(store, "m", mine, NAMES, ask)
        assert set(answers) == set(mine)
        return answers, known

    with ThreadPoolExecutor(12) as pool:
        results = list(pool.map(call, range(12)))
    everything = {prompt for answers, _ in results for prompt in answers}
    assert Counter(asked) == Counter(everything)
    # What a call did not ask itself was known to it; each prompt was news to one call.
    assert sum(len(answers) - len(known) for answers, known in results) == len(everything)


def test_answers_of_many_threads_share_commits(store: AnswerStore) -> None:
    other, commits = AnswerStore(store.path), list[str]()
    store._connection.set_trace_callback(
        lambda statement: commits.append(statement) if statement == "COMMIT" else None
    )

    def ask(missing: list[str], keep: Keep) -> None:
        def one(prompt: str) -> None:
            time.sleep(0.01)
            keep([reply(prompt)])
            assert prompt in other.get("m", [prompt], NAMES)  # on disk as soon as keep returns

        with ThreadPoolExecutor(128) as pool:
            list(pool.map(one, missing))

    prompts = [f"p{i}" for i in range(512)]
    assert len(answered(store, "m", prompts, NAMES, ask)[0]) == 512
    assert len(commits) < 512 / 4


def test_a_prompt_that_got_no_answer_is_free_again(store: AnswerStore) -> None:
    def half(missing: list[str], keep: Keep) -> None:
        keep([reply("p0")])

    answers, known = answered(store, "m", PROMPTS[:3], NAMES, half)
    assert {p: a.status for p, a in answers.items()} == {"p0": "answered"}
    assert known == set()
    asked: list[str] = []
    answers, known = answered(store, "m", PROMPTS[:3], NAMES, all_at_once(asked))
    assert asked == ["p1", "p2"]
    assert known == {"p0"}

    def refused(missing: list[str], keep: Keep) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        answered(store, "m", ["q"], NAMES, refused)
    answered(store, "m", ["q"], NAMES, all_at_once(asked))
    assert asked[2:] == ["q"]


def test_answers_of_some_statuses_are_asked_again_when_wanted(store: AnswerStore) -> None:
    def unusable(missing: list[str], keep: Keep) -> None:
        keep([reply(prompt, status="unusable") for prompt in missing])

    answered(store, "m", ["p", "q"], NAMES, unusable)
    asked: list[str] = []
    assert answered(store, "m", ["p"], NAMES, all_at_once(asked))[1] == {"p"}
    answers, known = answered(store, "m", ["p"], NAMES, all_at_once(asked), again={"unusable"})
    assert (asked, answers["p"].status, known) == (["p"], "answered", set())
    assert store.get("m", ["p"], NAMES)["p"].status == "answered"
    # Two who ask again at once share the new answer, even if it is no better.
    began = threading.Barrier(2, timeout=20)
    times: list[str] = []

    def slow(missing: list[str], keep: Keep) -> None:
        times.extend(missing)
        time.sleep(0.3)
        unusable(missing, keep)

    def call(_: int) -> StoredAnswer:
        began.wait()
        return answered(store, "m", ["q"], NAMES, slow, again={"unusable"})[0]["q"]

    with ThreadPoolExecutor(2) as pool:
        assert {a.status for a in pool.map(call, range(2))} == {"unusable"}
    assert times == ["q"]


def test_without_a_store_all_is_asked() -> None:
    asked: list[str] = []
    answers, known = answered(None, "m", ["p", "q", "p"], NAMES, all_at_once(asked))
    assert (asked, set(answers), known) == (["p", "q"], {"p", "q"}, set())


def test_a_lease_is_renewed_while_asking_and_ends_without(
    store: AnswerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_LEASE", 0.4)
    # One on another machine, not heard of any more: what it went for is free after its time.
    store._write(store._claim, "elsewhere 1 x", store._keys("m", ["p"], NAMES), "", 0.0)
    [(until,)] = store._do(store._rows, "SELECT until FROM askers")
    asked: list[str] = []
    answered(store, "m", ["p"], NAMES, all_at_once(asked))
    assert asked == ["p"]
    assert time.time() >= until
    # One here that takes longer than a lease keeps it.
    monkeypatch.setattr(store_module, "_LEASE", 2.0)
    inside = threading.Event()

    def slow(missing: list[str], keep: Keep) -> None:
        inside.set()
        time.sleep(3)
        all_at_once(asked)(missing, keep)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(answered, store, "m", ["q"], NAMES, slow)
        inside.wait(20)
        assert answered(store, "m", ["q"], NAMES, all_at_once(asked))[1] == {"q"}
        assert first.result()[1] == set()
    assert asked == ["p", "q"]


def asker(store: AnswerStore, log: Path, first: int = 0, count: int = 200, pause: float = 0.002) -> Any:
    """Start a process that asks in four threads; each question is noted before, each kept answer after."""

    def note(what: str, prompt: str) -> None:
        with log.open("a") as file:
            file.write(f"{what} {prompt}\n")

    def ask(missing: list[str], keep: Keep) -> None:
        def one(prompt: str) -> None:
            note("asked", prompt)
            time.sleep(pause)
            keep([reply(prompt)])
            note("kept", prompt)

        pool = ThreadPoolExecutor(4)
        try:
            for future in [pool.submit(one, prompt) for prompt in missing]:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def run() -> None:
        prompts = [f"p{i}" for i in range(first, first + count)]
        assert set(answered(AnswerStore(store.path), "m", prompts, NAMES, ask)[0]) == set(prompts)

    process = get_context("fork").Process(target=run)
    process.start()
    return process


def ended(process: Any) -> int:
    process.join(60)
    return int(process.exitcode)


def noted(log: Path, what: str) -> Counter[str]:
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(line.removeprefix(f"{what} ") for line in lines if line.startswith(what))


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("firsts", [(0, 0), (0, 0, 0), (0, 100, 50)])
def test_processes_share_their_answers(store: AnswerStore, tmp_path: Path, firsts: Sequence[int]) -> None:
    askers = [asker(store, tmp_path / "log", first) for first in firsts]
    assert [ended(process) for process in askers] == [0] * len(firsts)
    prompts = {f"p{first + i}" for first in firsts for i in range(200)}
    assert noted(tmp_path / "log", "asked") == Counter(prompts)


def test_a_killed_process_loses_nothing_that_it_kept(store: AnswerStore, tmp_path: Path) -> None:
    log, moments = tmp_path / "log", [0, 3, 20, 50, 90]
    for moment in moments:
        process = asker(store, log, pause=0.04)
        until(lambda m=moment: len(noted(log, "kept")) > m)  # type: ignore[misc]
        process.kill()
        assert ended(process) == -signal.SIGKILL
        assert noted(log, "kept").keys() <= set(store.export()["prompt"])
    assert ended(asker(store, log)) == 0
    asked = noted(log, "asked")
    assert asked.keys() == set(PROMPTS)
    # At most the four questions under way at a kill are asked a second time.
    assert asked.total() - 200 <= 4 * len(moments)
    assert all(times == 1 for prompt, times in asked.items() if noted(log, "kept")[prompt] > 1)


def test_the_process_beside_a_killed_one_takes_over(store: AnswerStore, tmp_path: Path) -> None:
    log = tmp_path / "log"
    killed = asker(store, log, count=40, pause=0.3)
    until(lambda: len(noted(log, "asked")) > 4)
    beside = asker(store, log, count=40)
    time.sleep(0.3)
    killed.kill()
    assert ended(killed) == -signal.SIGKILL
    assert ended(beside) == 0
    assert noted(log, "asked").total() <= 40 + 4


def test_ctrl_c_twice_loses_nothing_that_was_handed_over(store: AnswerStore, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = asker(store, log, pause=0.05)
    until(lambda: len(noted(log, "kept")) > 20)
    for _ in range(2):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.01)
    assert ended(process) != 0
    kept = set(store.export()["prompt"])
    assert noted(log, "kept").keys() <= kept
    # Nothing is left leased, and the rest is asked at once.
    assert ended(asker(store, log)) == 0
    asked = noted(log, "asked")
    assert asked.keys() == set(PROMPTS)
    assert all(asked[prompt] == 1 for prompt in kept)


def test_an_interrupted_wait_does_not_end_the_writing(
    store: AnswerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = threading.main_thread().ident
    put = store._put

    def struck(*values: Any) -> None:
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.1)
        put(*values)

    monkeypatch.setattr(store, "_put", struck)
    with pytest.raises(KeyboardInterrupt):
        store.put_many("m", [reply("p")], NAMES)
    assert set(store.get("m", ["p"], NAMES)) == {"p"}


def test_a_forked_child_opens_the_file_anew(store: AnswerStore) -> None:
    store.put_many("m", [reply("p")], NAMES)
    child = os.fork()
    if not child:
        try:
            store.put_many("m", [reply("q")], NAMES)
            os._exit(len(store))
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    store.put_many("m", [reply("r")], NAMES)
    assert len(store) == 3

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlkit.annotate.store import AnswerStore, StoredAnswer

NAMES = ["a", "b"]


def answer(prompt: str, *scores: float) -> StoredAnswer:
    return StoredAnswer(prompt, np.array(scores), 7, "reply")


def test_what_is_put_is_found_again_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "s.sqlite"
    with AnswerStore(path) as store:
        store.put_many("m", [answer("p", -1.5, -np.inf), answer("q", np.nan, np.nan)], NAMES)
    with AnswerStore(path) as store:
        found = store.get("m", ["p", "q", "unknown"], NAMES)
        assert len(store) == 2
    assert set(found) == {"p", "q"}
    np.testing.assert_array_equal(found["p"].scores, [-1.5, -np.inf])
    assert np.isnan(found["q"].scores).all()
    assert found["p"][2:4] == (7, "reply")


def test_annotator_prompt_and_labels_all_count() -> None:
    store = AnswerStore(":memory:")
    store.put_many("m", [answer("p", 0, 1)], NAMES)
    assert store.get("other", ["p"], NAMES) == {}
    assert store.get("m", ["p "], NAMES) == {}
    assert store.get("m", ["p"], ["b", "a"]) == {}
    assert store.get("m", ["p"], ["ab", ""]) == {}


def test_the_first_answer_stays() -> None:
    store = AnswerStore(":memory:")
    assert store  # an empty one too
    store.put_many("m", [answer("p", 1, 2)], NAMES)
    store.put_many("m", [answer("p", 3, 4), answer("q", 5, 6)], NAMES)
    assert store.get("m", ["p"], NAMES)["p"].scores.tolist() == [1, 2]
    assert len(store) == 2


def test_many_prompts_are_looked_up() -> None:
    store = AnswerStore(":memory:")
    prompts = [f"p{i}" for i in range(1700)]
    store.put_many("m", [answer(p, 0, i) for i, p in enumerate(prompts)], NAMES)
    found = store.get("m", prompts, NAMES)
    assert [found[p].scores[1] for p in prompts] == list(range(1700))


def test_export_has_a_row_per_answer() -> None:
    store = AnswerStore(":memory:")
    assert store.export().empty
    store.put_many("m", [answer("p", 1, 2)], NAMES)
    row = store.export().iloc[0]
    assert row[["annotator", "prompt", "label_names", "scores"]].tolist() == ["m", "p", NAMES, [1.0, 2.0]]


def test_scores_of_another_length_are_refused_and_nothing_is_written() -> None:
    store = AnswerStore(":memory:")
    with pytest.raises(ValueError, match="2 label names"):
        store.put_many("m", [answer("p", 1, 2), answer("q", 1, 2, 3)], NAMES)
    assert len(store) == 0


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("these are my notes, and no database at all\n" * 50)
    with pytest.raises(ValueError, match="give another path"):
        AnswerStore(text)
    assert text.read_text().startswith("these are my notes")
    foreign = tmp_path / "foreign.sqlite"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE music (title TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(ValueError, match="music"):
        AnswerStore(foreign)
    with pytest.raises(OSError, match="writable"):
        AnswerStore(tmp_path)


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with AnswerStore(path) as store:
        store.put_many("m", [answer(f"p{i}", i, i) for i in range(500)], NAMES)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(ValueError, match="move the file"):  # noqa: PT012
        store = AnswerStore(path)
        store.get("m", ["p1"], NAMES)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with AnswerStore(path) as store:
        store._run("PRAGMA user_version = 99")
    with pytest.raises(ValueError, match="newer nlkit"):
        AnswerStore(path)


WRITER = """
import sys
import numpy as np
from nlkit.annotate.store import AnswerStore, StoredAnswer
path, who = sys.argv[1:]
store = AnswerStore(path)
for i in range(60):
    own, common = f"{who}{i}", f"common{i}"
    store.put_many("m", [StoredAnswer(p, np.array([i, i]), 1) for p in (own, common)], ["a", "b"])
    assert store.get("m", [own, common], ["a", "b"]).keys() == {own, common}
"""


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sqlite")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, who]) for who in "xyz"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    with AnswerStore(path) as store:
        assert len(store) == 4 * 60


OPENER = """
import sys
from nlkit.annotate.store import AnswerStore
print("ready", flush=True)
for line in sys.stdin:
    try:
        AnswerStore(line.strip()).close()
    except OSError as error:
        print(error, flush=True)
    else:
        print("open", flush=True)
"""


def test_a_new_store_is_opened_by_several_processes_at_once(tmp_path: Path) -> None:
    command, pipe = [sys.executable, "-c", OPENER], subprocess.PIPE
    openers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    # The first answer is "ready"; then one for every round.
    said = [_line(opener) for opener in openers]
    for number in range(40):
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write(f"{tmp_path / str(number)}.sqlite\n")
            opener.stdin.flush()
        said += [_line(opener) for opener in openers]
    for opener in openers:
        opener.communicate(timeout=60)
    assert set(said) == {"ready", "open"}
    for number in range(40):
        assert len(AnswerStore(tmp_path / f"{number}.sqlite")) == 0


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_store_that_another_program_keeps_locked_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OSError, match="no other program holds it"):
        AnswerStore(path, timeout=0.2)
    holder.execute("ROLLBACK")
    AnswerStore(path, timeout=0.2).close()


def test_a_full_store_names_its_file_and_keeps_what_it_had(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "s.sqlite")
    store.put_many("m", [answer("p", 1, 2)], NAMES)
    pages = store._run("PRAGMA page_count")[0][0]
    store._run(f"PRAGMA max_page_count = {pages}")  # what SQLite says then is what it says of a full disk
    with pytest.raises(OSError, match=r"s\.sqlite: database or disk is full.*the disk has room"):
        store.put_many("m", [answer("q" * 10**5, 1, 2)], NAMES)
    assert set(store.get("m", ["p"], NAMES)) == {"p"}


def test_a_store_that_may_only_be_read_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, connect = tmp_path / "s.sqlite", sqlite3.connect
    AnswerStore(path).close()
    # Not by permissions, which do not bind root.
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **settings: connect(f"file:{path}?mode=ro", uri=True, **settings)
    )
    with pytest.raises(OSError, match=r"readonly.*its folder is writable"):
        AnswerStore(path)


class Interrupted(sqlite3.Connection):
    """A connection whose first transaction is interrupted before it ends, as by Ctrl-C."""

    struck = False

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        cursor = super().executemany(*arguments)
        if not self.struck:
            self.struck = True
            assert self.in_transaction
            raise KeyboardInterrupt
        return cursor


def test_a_store_goes_on_after_an_interrupt(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = AnswerStore(path)
    store._connection = sqlite3.connect(path, isolation_level="IMMEDIATE", factory=Interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.put_many("m", [answer("p", 1, 2)], NAMES)
    with AnswerStore(path, timeout=0.2) as other:  # nothing is locked, and nothing of it was written
        other.put_many("m", [answer("r", 5, 6)], NAMES)
        assert len(other) == 1
    store.put_many("m", [answer("p", 1, 2), answer("q", 3, 4)], NAMES)
    with AnswerStore(path) as other:
        assert set(other.get("m", ["p", "q", "r"], NAMES)) == {"p", "q", "r"}

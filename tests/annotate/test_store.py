from __future__ import annotations

import sqlite3
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nlkit.__main__ import main
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
    with pytest.raises(ValueError, match="left as it is: give another path"):
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
    with pytest.raises(ValueError, match=r"damaged: .* \.recover"):  # noqa: PT012
        store = AnswerStore(path)
        store.get("m", ["p1"], NAMES)


def test_a_newer_store_is_refused_and_a_closed_one_says_so(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = AnswerStore(path)
    store.close()
    with pytest.raises(ValueError, match="was closed: open it again"):
        store.put_many("m", [answer("p", 1, 2)], NAMES)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ValueError, match="newer nlkit"):
        AnswerStore(path)


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("SQLITE_FULL", OSError, "disk is full"),
        ("SQLITE_BUSY_RECOVERY", OSError, "no other program holds it"),
        ("SQLITE_IOERR_LOCK", OSError, "local disk"),
        ("SQLITE_IOERR_FSYNC", OSError, "call again"),
        ("SQLITE_READONLY_DIRECTORY", PermissionError, "are writable"),
        ("SQLITE_CORRUPT_INDEX", ValueError, "give another path"),
    ],
)
def test_errors_name_the_remedy_and_send_no_good_file_away(
    name: str, kind: type[Exception], remedy: str
) -> None:
    store, error = AnswerStore(":memory:"), sqlite3.OperationalError("said")
    error.sqlite_errorname = name
    problem = store._problem(error)
    assert isinstance(problem, kind)
    assert remedy in str(problem)
    assert "move" not in str(problem)


def test_a_full_disk_is_told_and_what_was_kept_stays(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "s.sqlite")
    store.put_many("m", [answer("p", 1, 2)], NAMES)
    store._do(store._rows, "PRAGMA max_page_count = 12")
    with pytest.raises(OSError, match="the disk is full: free some space"):
        store.put_many("m", [answer(f"{i}" * 9000, 1, 2) for i in range(9)], NAMES)
    assert set(store.export()["prompt"]) == {"p"}
    store._do(store._rows, "PRAGMA max_page_count = 9999")
    store.put_many("m", [answer("q", 1, 2)], NAMES)
    assert len(AnswerStore(store.path)) == 2


V1 = """
CREATE TABLE answers (
    key TEXT PRIMARY KEY, annotator TEXT NOT NULL, prompt TEXT NOT NULL, label_names TEXT NOT NULL,
    scores BLOB NOT NULL, prompt_tokens INTEGER NOT NULL, reply TEXT NOT NULL, created REAL NOT NULL
) WITHOUT ROWID;
PRAGMA application_id = 0x6E6C6B74;
PRAGMA user_version = 1;
"""


def test_a_store_of_version_1_is_brought_to_this_one(tmp_path: Path) -> None:
    path, remote = tmp_path / "s.sqlite", '["openai", "https://here/v1", "m", 0.0]'
    scores, unknown = np.array([-1.0, -2.0]).tobytes(), np.full(2, np.nan).tobytes()
    rows = [("local", "p", scores, ""), (remote, "q", unknown, "'B'."), (remote, "r", unknown, "no idea")]
    with sqlite3.connect(path) as connection:
        connection.executescript(V1)
        for who, prompt, blob, reply in rows:
            key = AnswerStore.key(who, prompt, NAMES)
            connection.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (key, who, prompt, '["a", "b"]', blob, 7, reply, 1e9),
            )
    connection.close()
    old = path.read_bytes()
    for _ in range(2):  # and opened again as it is now
        with AnswerStore(path) as store:
            found = store.get("local", ["p"], NAMES)["p"]
            assert found.scores.tolist() == [-1, -2]
            assert found[2:] == (7, "", "answered", "", 0, "")
            status = {p: a.status for p, a in store.get(remote, ["q", "r"], NAMES).items()}
            assert status == {"q": "answered", "r": "unusable"}
            assert set(store.export()["created"].dt.year) == {2001}
    # All or nothing: a step that fails leaves the old file.
    path.write_bytes(old)
    broken = type("Broken", (AnswerStore,), {"schema": (*AnswerStore.schema, ("DROP TABLE answers", "?"))})
    with pytest.raises(sqlite3.OperationalError):
        broken(path)
    assert path.read_bytes() == old


def test_what_utf8_cannot_hold_is_replaced() -> None:
    store, bad = AnswerStore(":memory:"), "p\ud83d"
    store.put_many("m", [StoredAnswer(bad, np.zeros(2), 1, "r\udc00")], NAMES)
    assert store.get("m", [bad], NAMES)[bad].reply == "r\ufffd"


def test_only_statuses_named_are_replaced() -> None:
    store, none = AnswerStore(":memory:"), np.zeros(2)
    with pytest.raises(ValueError, match=r"status='failed'.*answered, abstained, unusable"):
        store.put_many("m", [StoredAnswer("p", none, status="failed")], NAMES)
    store.put_many("m", [StoredAnswer("p", none, status="unusable"), answer("q", 1, 2)], NAMES)
    for replace, reply in ({"abstained"}, ""), ({"unusable"}, "new"):
        new = [StoredAnswer(prompt, none, reply="new") for prompt in "pq"]
        store.put_many("m", new, NAMES, replace=replace)
        assert store.get("m", ["p"], NAMES)["p"].reply == reply
    assert store.get("m", ["q"], NAMES)["q"].reply == "reply"
    assert len(store) == 2


def test_a_new_store_is_opened_and_written_by_several_processes_at_once(tmp_path: Path) -> None:
    fork = get_context("fork")
    together, rounds = fork.Barrier(4, timeout=60), 12

    def run(who: int) -> None:
        for number in range(rounds):
            together.wait()
            with AnswerStore(tmp_path / f"{number}.sqlite") as store:
                store.put_many("m", [answer("common", 1, 2), answer(f"p{who}", 1, 2)], NAMES)

    processes = [fork.Process(target=run, args=(who,)) for who in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    for number in range(rounds):
        assert len(AnswerStore(tmp_path / f"{number}.sqlite")) == 5


def test_a_store_that_another_program_keeps_locked_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OSError, match="no other program holds it"):
        AnswerStore(path, timeout=0.2)
    holder.execute("ROLLBACK")
    AnswerStore(path, timeout=0.2).close()


def test_a_store_that_may_only_be_read_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, connect = tmp_path / "s.sqlite", sqlite3.connect
    AnswerStore(path).close()
    # Not by permissions, which do not bind root.
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **settings: connect(f"file:{path}?mode=ro", uri=True, **settings)
    )
    with pytest.raises(OSError, match=r"readonly.*its folder are writable"):
        AnswerStore(path)


def test_answers_are_summed_up_forgotten_and_pruned(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with AnswerStore(path) as store:
        store.put_many("one", [answer("p", 1, 2), answer("secret", 1, 2)._replace(status="unusable")], NAMES)
        store.put_many("two", [answer("p", 1, 2), answer("q", 1, 2)], NAMES)
        summary = store.summary().set_index("annotator")
        counts = ["answers", "answered", "abstained", "unusable", "prompt_tokens"]
        assert summary[counts].to_numpy().tolist() == [[2, 1, 0, 1, 14], [2, 2, 0, 0, 14]]
        with pytest.raises(ValueError, match="delete the file"):
            store.forget()
        assert store.forget(annotator="on", status="answered", prompts=["q", "secret"]) == 0
        assert store.forget(status="unusable") == 1
        assert store.forget(annotator="tw", prompts=["p"]) == 1
        assert set(store.export()[["annotator", "prompt"]].itertuples(index=False)) == {
            ("one", "p"),
            ("two", "q"),
        }
        assert b"secret" not in path.read_bytes()
        assert store.prune(1) == 0
        store._do(store._rows, "UPDATE answers SET created = created - 2e5 WHERE annotator = 'one'")
        assert store.prune(1) == 1
        assert len(store) == 1


def test_the_command_line_lists_exports_and_deletes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path))
    (tmp_path / "answers").mkdir()

    def said(*arguments: str, code: int = 0) -> str:
        assert main(["answers", *arguments]) == code
        return "".join(capsys.readouterr())

    assert "there is no answer store at" in said("ls", code=1)
    with AnswerStore(tmp_path / "answers" / "answers.sqlite") as store:
        assert "no answers yet" in said("ls")
        store.put_many("gpt", [answer("p", 1, 2), answer("é", np.nan, np.nan)], NAMES)
    assert "gpt" in said("ls")
    for name, read in ("a.csv", pd.read_csv), ("a.jsonl", partial(pd.read_json, lines=True)):
        assert "2 answers in" in said("export", str(tmp_path / name))
        assert set(read(tmp_path / name)["prompt"]) == {"p", "é"}
    assert r".csv or .jsonl" in said("export", str(tmp_path / "a.txt"), code=1)
    assert "delete the file" in said("forget", code=1)
    assert "2 answers deleted" in said("forget", "--annotator", "gpt")
    assert "0 answers deleted" in said("prune", "30")
    (tmp_path / "notes").write_text("no store\n" * 99)
    assert "no SQLite file" in said("--store", str(tmp_path / "notes"), "ls", code=1)

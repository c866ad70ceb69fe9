"""Every answer of an annotator, kept in one SQLite file so that nothing is asked twice."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from nlkit._util import cache_folder, content_hash, expanded

__all__ = ["AnswerStore", "StoredAnswer", "answered", "open_store"]

_APPLICATION_ID = 0x6E6C6B74  # "nlkt", in the file's header: tells our files from other SQLite files
_SCHEMA_VERSION = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    annotator TEXT NOT NULL,
    prompt TEXT NOT NULL,
    label_names TEXT NOT NULL,
    scores BLOB NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    reply TEXT NOT NULL,
    created REAL NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    completion_tokens INTEGER NOT NULL,
    finish_reason TEXT NOT NULL
) WITHOUT ROWID
"""
_LOOKUP_CHUNK = 500  # SQLite limits the number of ? in one statement


class StoredAnswer(NamedTuple):
    """An answer before calibration and abstention, which may change without asking again.

    `scores` has shape (C,): the log-likelihood of each label (all NaN: no usable answer). `reply` is the text
    an API answered, "" for a local model; `status` is "answered", "abstained" or "unusable".
    """

    prompt: str
    scores: npt.NDArray[np.float64]
    prompt_tokens: int = 0
    reply: str = ""
    status: str = "answered"
    reason: str = ""
    completion_tokens: int = 0
    finish_reason: str = ""


class AnswerStore:
    """Answers keyed by annotator, prompt and label names, in SQLite.

    Several processes may use a file at once.

    Parameters
    ----------
    path : path or str
        The file; it and its folder are made when missing. ``":memory:"`` keeps answers for this object only.
    timeout : float
        Seconds to wait for another process that is writing.

    Raises
    ------
    ValueError
        If the file is not a store of nlkit, is damaged, or was written by a newer nlkit.
    OSError
        If it cannot be opened, or another process keeps it locked.

    Notes
    -----
    `put_many` commits before it returns. Two processes that ask the same prompt at the same time both may put
    it; the first answer stays, and `get` gives both of them that one.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 30.0) -> None:
        self.path = str(expanded(path))
        if self.path != ":memory:":
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        try:
            # "IMMEDIATE": a write waits for its lock at its beginning, where waiting cannot deadlock.
            self._connection = sqlite3.connect(
                self.path, timeout=timeout, isolation_level="IMMEDIATE", check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._problem(error) from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _problem(self, error: object) -> Exception:
        if isinstance(error, sqlite3.OperationalError):
            return OSError(
                f"cannot use the answer store {self.path}: {error}; check that it is no folder, that its "
                "folder is writable, that the disk has room, and that no other program holds it"
            )
        return ValueError(
            f"{self.path} is not a readable answer store ({error}): give another path, or move the file "
            "away; the answers in it will then be asked again"
        )

    def _prepare(self) -> None:
        tables = {name for (name,) in self._run("SELECT name FROM sqlite_master WHERE type = 'table'")}
        ((identity,),), ((version,),) = self._run("PRAGMA application_id"), self._run("PRAGMA user_version")
        if tables and identity != _APPLICATION_ID:
            raise self._problem(f"a foreign SQLite file with tables {sorted(tables)}")
        if version > _SCHEMA_VERSION:
            raise ValueError(
                f"{self.path} was written by a newer nlkit (store version {version}, this one reads "
                f"{_SCHEMA_VERSION}): upgrade nlkit, or give another path"
            )
        # A committed answer survives a power cut, not only a killed process. One commit a batch is cheap.
        self._run("PRAGMA synchronous = FULL")
        # Written every time: a file that may only be read is an error now, not at the first answer.
        self._run("BEGIN IMMEDIATE")
        self._run(_TABLE)
        self._run(f"PRAGMA application_id = {_APPLICATION_ID}")
        self._run(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        self._run("COMMIT")

    def _run(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._problem(error) from error

    @staticmethod
    def key(annotator: str, prompt: str, label_names: Sequence[str]) -> str:
        """Return the key of one question; `annotator` holds the model and all that changes its answers."""
        return content_hash(annotator, prompt, *label_names)

    def get(
        self, annotator: str, prompts: Iterable[str], label_names: Sequence[str]
    ) -> dict[str, StoredAnswer]:
        """Return the known answers among `prompts`, by prompt."""
        wanted = {self.key(annotator, prompt, label_names): prompt for prompt in prompts}
        keys = list(wanted)
        found: dict[str, StoredAnswer] = {}
        for start in range(0, len(keys), _LOOKUP_CHUNK):
            chunk = keys[start : start + _LOOKUP_CHUNK]
            marks = ",".join("?" * len(chunk))
            rows = self._run(
                "SELECT key, scores, prompt_tokens, reply, status, reason, completion_tokens, finish_reason "
                f"FROM answers WHERE key IN ({marks})",
                chunk,
            )
            for key, scores, *others in rows:
                found[wanted[key]] = StoredAnswer(wanted[key], np.frombuffer(scores, dtype="<f8"), *others)
        return found

    def put_many(self, annotator: str, answers: Iterable[StoredAnswer], label_names: Sequence[str]) -> None:
        """Write answers in one transaction, on disk when this returns; a key that is there already stays."""
        names, now = json.dumps(list(label_names)), time.time()
        rows = []
        for answer in answers:
            scores = np.asarray(answer.scores, dtype="<f8")
            if scores.shape != (len(label_names),):
                raise ValueError(f"scores of shape {scores.shape} do not fit {len(label_names)} label names")
            key = self.key(annotator, answer.prompt, label_names)
            kept = (answer.prompt, names, scores.tobytes(), answer.prompt_tokens, answer.reply, now)
            rows.append((key, annotator, *kept, *answer[4:]))
        unusable = "DELETE FROM answers WHERE key = ? AND status = 'unusable'"
        insert = f"INSERT OR IGNORE INTO answers VALUES ({', '.join('?' * 12)})"
        try:
            with self._connection:  # one transaction, taken back at an error or interrupt
                self._connection.executemany(unusable, [row[:1] for row in rows])
                self._connection.executemany(insert, rows)
        except sqlite3.DatabaseError as error:
            raise self._problem(error) from error

    def __len__(self) -> int:
        """Return the number of answers in the file, of all annotators."""
        return int(self._run("SELECT COUNT(*) FROM answers")[0][0])

    def __bool__(self) -> bool:
        # Without this an empty store would count as no store in `if store:`.
        return True

    def export(self) -> pd.DataFrame:
        """Return all answers, oldest first; label_names and scores are lists."""
        columns = ["annotator", "prompt", "label_names", "scores", "prompt_tokens", "reply", "created"]
        rows = self._run(f"SELECT {', '.join(columns)} FROM answers ORDER BY created, key")
        table = pd.DataFrame(rows, columns=columns)
        table["label_names"] = [json.loads(names) for names in table["label_names"]]
        table["scores"] = [np.frombuffer(scores, dtype="<f8").tolist() for scores in table["scores"]]
        table["created"] = pd.to_datetime(table["created"], unit="s", utc=True)
        return table

    def close(self) -> None:
        """Close the file; what was put is in it already."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


Keep = Callable[[Sequence[StoredAnswer]], None]


def open_store(store: str | os.PathLike[str] | AnswerStore | None) -> AnswerStore | None:
    """Return the store an annotator's argument means: "default" (in the cache), a path, a store, or none."""
    if store is None or isinstance(store, AnswerStore):
        return store
    return AnswerStore(cache_folder("answers") / "answers.sqlite" if store == "default" else store)


def answered(
    store: AnswerStore | None,
    annotator: str,
    prompts: Sequence[str],
    label_names: Sequence[str],
    ask: Callable[[list[str], Keep], None],
    *,
    again: frozenset[str] = frozenset(),
) -> tuple[dict[str, StoredAnswer], set[str]]:
    """Return the answer to every prompt, and the prompts whose answers the store knew before.

    ``ask(missing, keep)`` asks the others, each once, and hands over answers as they come. They are on disk
    before anyone uses them, so an interrupted run loses at most those under way. Statuses named in `again`
    are asked anew.
    """
    answers = store.get(annotator, prompts, label_names) if store is not None else {}
    answers = {prompt: answer for prompt, answer in answers.items() if answer.status not in again}
    known = set(answers)

    def keep(new: Sequence[StoredAnswer]) -> None:
        if store is not None:
            store.put_many(annotator, new, label_names)
        answers.update((answer.prompt, answer) for answer in new)

    missing = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
    if missing:
        ask(missing, keep)
    return answers, known

"""Every answer of an annotator, kept in one SQLite file so that nothing is asked twice."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from nlkit._util import content_hash

__all__ = ["AnswerStore", "StoredAnswer"]

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
    created REAL NOT NULL
) WITHOUT ROWID
"""
_LOOKUP_CHUNK = 500  # SQLite limits the number of ? in one statement


class StoredAnswer(NamedTuple):
    """An answer before calibration and abstention, which may change without asking again.

    `scores` has shape (C,): the log-likelihood of each label (all NaN: no usable answer). `reply` is the text
    an API answered, "" for a local model.
    """

    prompt: str
    scores: npt.NDArray[np.float64]
    prompt_tokens: int
    reply: str = ""


class AnswerStore:
    """Answers keyed by annotator, prompt and label names, in SQLite.

    The file is in WAL mode: several processes may use it at once.

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

    Notes
    -----
    `put_many` commits before it returns. Two processes that ask the same prompt at the same time both may put
    it; the first answer stays, and `get` gives both of them that one.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 30.0) -> None:
        self.path = str(path)
        if self.path != ":memory:":
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        try:
            # Annotators with a thread pool write from the thread that made the store.
            self._connection = sqlite3.connect(self.path, timeout=timeout, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise self._unopened(error) from error
        try:
            self._prepare_in(timeout)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise self._unopened(error) from error
            if isinstance(error, sqlite3.DatabaseError):
                raise ValueError(self._damaged(error)) from error
            raise

    def _unopened(self, error: object) -> OSError:
        return OSError(
            f"cannot open the answer store {self.path}: {error}; check that it is no folder, that its "
            f"folder is "
            "writable, and that no other program holds it"
        )

    def _damaged(self, error: object) -> str:
        return (
            f"{self.path} is not a readable answer store ({error}): give another path, or move the file "
            f"(and its "
            "-wal and -shm neighbours) away; the answers in it will then be asked again"
        )

    def _prepare_in(self, timeout: float) -> None:
        """Prepare the file; while another process does, wait at most `timeout` seconds.

        SQLite itself does not wait for every lock: a switch to WAL fails at once where another process
        switches too.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self._prepare()
            except sqlite3.OperationalError as error:
                # The low byte is the kind of error, the rest only its reason.
                kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if kind != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                time.sleep(0.02)

    def _prepare(self) -> None:
        run = self._connection.execute
        tables = {row[0] for row in run("SELECT name FROM sqlite_master WHERE type = 'table'")}
        identity = run("PRAGMA application_id").fetchone()[0]
        version = run("PRAGMA user_version").fetchone()[0]
        if tables and identity != _APPLICATION_ID:
            raise ValueError(self._damaged(f"a foreign SQLite file with tables {sorted(tables)}"))
        if version > _SCHEMA_VERSION:
            raise ValueError(
                f"{self.path} was written by a newer nlkit (store version {version}, this one reads "
                f"{_SCHEMA_VERSION}): upgrade nlkit, or give another path"
            )
        if run("PRAGMA journal_mode").fetchone()[0] != "wal":  # else nothing to lock the file for
            run("PRAGMA journal_mode = WAL")
        # FULL: a committed answer survives a power cut, not only a killed process. One commit per batch is
        # cheap.
        run("PRAGMA synchronous = FULL")
        run("BEGIN IMMEDIATE")
        run(_TABLE)
        run(f"PRAGMA application_id = {_APPLICATION_ID}")
        run(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        run("COMMIT")

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
            rows = self._read(
                f"SELECT key, scores, prompt_tokens, reply FROM answers WHERE key IN ({marks})", chunk
            )
            for key, scores, tokens, reply in rows:
                prompt = wanted[key]
                found[prompt] = StoredAnswer(prompt, np.frombuffer(scores, dtype="<f8"), tokens, reply)
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
            row = (
                key,
                annotator,
                answer.prompt,
                names,
                scores.tobytes(),
                answer.prompt_tokens,
                answer.reply,
                now,
            )
            rows.append(row)
        if self._connection.in_transaction:
            # An interrupt struck while an earlier call was taking its own transaction back.
            self._connection.execute("ROLLBACK")
        try:
            # Inside the block: an interrupt may strike when the transaction has just begun.
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def __len__(self) -> int:
        """Return the number of answers in the file, of all annotators."""
        return int(self._read("SELECT COUNT(*) FROM answers")[0][0])

    def __bool__(self) -> bool:
        # Without this an empty store would count as no store in `if store:`.
        return True

    def export(self) -> pd.DataFrame:
        """Return all answers, oldest first; label_names and scores are lists."""
        columns = ["annotator", "prompt", "label_names", "scores", "prompt_tokens", "reply", "created"]
        rows = self._read(f"SELECT {', '.join(columns)} FROM answers ORDER BY created, key")
        table = pd.DataFrame(rows, columns=columns)
        table["label_names"] = [json.loads(names) for names in table["label_names"]]
        table["scores"] = [np.frombuffer(scores, dtype="<f8").tolist() for scores in table["scores"]]
        table["created"] = pd.to_datetime(table["created"], unit="s", utc=True)
        return table

    def _read(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise ValueError(self._damaged(error)) from error

    def close(self) -> None:
        """Close the file; what was put is in it already."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""Every answer of an annotator, kept in one SQLite file so that nothing is asked, or paid, twice."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil

from nlkit._util import cache_folder, content_hash, invalid, progress
from nlkit.annotate.database import Database
from nlkit.annotate.prompts import harmless

__all__ = ["AnswerStore", "Keep", "StoredAnswer", "answered", "open_store"]

STATUSES = ("answered", "abstained", "unusable")

_SCHEMA = (
    (
        """CREATE TABLE answers (
            key TEXT PRIMARY KEY, annotator TEXT NOT NULL, prompt TEXT NOT NULL, label_names TEXT NOT NULL,
            scores BLOB NOT NULL, prompt_tokens INTEGER NOT NULL, reply TEXT NOT NULL, created REAL NOT NULL
        ) WITHOUT ROWID""",
    ),
    (
        "ALTER TABLE answers ADD COLUMN status TEXT NOT NULL DEFAULT 'answered'",
        "ALTER TABLE answers ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE answers ADD COLUMN completion_tokens INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE answers ADD COLUMN finish_reason TEXT NOT NULL DEFAULT ''",
        """UPDATE answers SET status = 'unusable', reason = 'the reply names no label'
            WHERE annotator LIKE '["openai"%' AND NOT names_one(reply, label_names)""",
        # Who is asking, and which answers they have gone for: nobody else asks for those.
        "CREATE TABLE askers (owner TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID",
        "CREATE TABLE leases (key TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID",
        # Questions handed to a server that answers within a day (`nlkit.annotate.batch`).
        "CREATE TABLE jobs (key TEXT PRIMARY KEY, job TEXT NOT NULL) WITHOUT ROWID",
    ),
)
_COLUMNS = (
    "key, annotator, prompt, label_names, scores, prompt_tokens, reply, created, "
    "status, reason, completion_tokens, finish_reason"
)
_PUT = f"""
INSERT INTO answers ({_COLUMNS}) VALUES ({", ".join("?" * 12)}) ON CONFLICT (key) DO UPDATE
SET ({_COLUMNS}) = ({", ".join(f"excluded.{c}" for c in _COLUMNS.split(", "))}) WHERE instr(?, status)
"""
_AMONG = "key IN (SELECT value FROM json_each(?))"

_LEASE = 60.0  # seconds that a lease holds without being renewed
_POLL = 0.2  # seconds between looks at what others are asking


class StoredAnswer(NamedTuple):
    """An answer before calibration and abstention, which may change without asking again.

    `scores` has shape (C,): the log-likelihood of each label (all NaN: not known). `reply` is the text an API
    answered, "" for a local model. `status` is "answered", "abstained" or "unusable" (paid, but no label),
    and `reason` says why.
    """

    prompt: str
    scores: npt.NDArray[np.float64]
    prompt_tokens: int = 0
    reply: str = ""
    status: str = "answered"
    reason: str = ""
    completion_tokens: int = 0
    finish_reason: str = ""


Keep = Callable[[Sequence[StoredAnswer]], None]


def _names_one(reply: str, label_names: str) -> bool:
    """Return whether a reply kept by version 1 is a label name, as it read replies."""

    def bare(text: str) -> str:
        return " ".join(text.split()).strip("\"'`“”„‘’‚«»‹›. ").casefold()

    return bare(reply) in map(bare, json.loads(label_names))


class AnswerStore(Database):
    """Answers keyed by annotator, prompt and label names, in SQLite.

    Any number of threads and processes may use a file at once.

    Parameters
    ----------
    path : path or str
        The file; it and its folder are made when missing. ``":memory:"`` keeps answers for this object only.
        A file of an older nlkit is brought to this version.
    timeout : float
        Seconds to wait for another process that is writing.

    Raises
    ------
    ValueError
        If the file is not a store of nlkit, is damaged, or was written by a newer nlkit.
    OSError
        If it cannot be opened or written, the disk is full, its file system cannot lock files, or another
        process keeps it locked; the message says which. All methods raise these.

    Notes
    -----
    An answer is on disk when `put_many` returns. Answers that several threads bring at once share one commit.
    SQLite's rollback journal is kept, which works on network file systems that lock files; its write-ahead
    log does not.
    """

    application_id = 0x6E6C6B74  # "nlkt"
    schema = _SCHEMA
    functions: ClassVar = {"names_one": _names_one}

    @staticmethod
    def key(annotator: str, prompt: str, label_names: Sequence[str]) -> str:
        """Return the key of one question; `annotator` holds the model and all that changes its answers."""
        return content_hash(annotator, prompt, *label_names)

    def _keys(self, annotator: str, prompts: Iterable[str], label_names: Sequence[str]) -> dict[str, str]:
        return {self.key(annotator, prompt, label_names): prompt for prompt in prompts}

    def get(
        self, annotator: str, prompts: Iterable[str], label_names: Sequence[str]
    ) -> dict[str, StoredAnswer]:
        """Return the known answers among `prompts`, by prompt."""
        found: dict[str, StoredAnswer] = self._do(self._find, self._keys(annotator, prompts, label_names))
        return found

    def _find(self, keys: dict[str, str], again: str = "", since: float = 0.0) -> dict[str, StoredAnswer]:
        """Return the answers by prompt, without those older than `since` of a status named in `again`."""
        rows = self._rows(
            "SELECT key, scores, prompt_tokens, reply, status, reason, completion_tokens, finish_reason "
            f"FROM answers WHERE {_AMONG} AND NOT (instr(?, status) AND created < ?)",
            json.dumps(list(keys)), again, since,
        )  # fmt: skip
        return {
            keys[key]: StoredAnswer(keys[key], np.frombuffer(scores, dtype="<f8"), *rest)
            for key, scores, *rest in rows
        }

    def put_many(
        self,
        annotator: str,
        answers: Iterable[StoredAnswer],
        label_names: Sequence[str],
        *,
        replace: Collection[str] = (),
    ) -> None:
        """Write answers, all or none; they are on disk when this returns.

        An answer that is there already stays, unless its status is in `replace`.
        """
        names, now, again = json.dumps(list(label_names)), time.time(), " ".join(replace)
        rows, settled = list[Any](), list[str]()
        for answer in answers:
            scores = np.asarray(answer.scores, dtype="<f8")
            if scores.shape != (len(label_names),):
                raise ValueError(f"scores of shape {scores.shape} do not fit {len(label_names)} label names")
            key = self.key(annotator, answer.prompt, label_names)
            settled.append(key)
            if answer.status not in STATUSES:
                invalid("status", answer.status, f"one of {', '.join(STATUSES)}")
            row = (
                key, annotator, answer.prompt, names, scores.tobytes(), int(answer.prompt_tokens),
                answer.reply, now, answer.status, answer.reason, int(answer.completion_tokens),
                answer.finish_reason, again,
            )  # fmt: skip
            rows.append([harmless(value) if isinstance(value, str) else value for value in row])
        self._write(self._put, rows, json.dumps(settled))

    def _put(self, rows: list[Any], settled: str) -> None:
        self._connection.executemany(_PUT, rows)
        self._rows(f"DELETE FROM leases WHERE {_AMONG}", settled)

    def _claim(
        self, owner: str, keys: dict[str, str], again: str, since: float
    ) -> tuple[dict[str, StoredAnswer], list[str]]:
        """Return the answers there are, and the prompts that are now this owner's to ask."""
        gone = [who for who, until in self._rows("SELECT * FROM askers") if _gone(who, until)]
        self._leave(*gone)
        found = self._find(keys, again, since)
        wanted = json.dumps([key for key, prompt in keys.items() if prompt not in found])
        free = self._rows(
            f"SELECT value FROM json_each(?) WHERE value NOT IN (SELECT key FROM leases WHERE {_AMONG})",
            wanted, wanted,
        )  # fmt: skip
        if free:
            self._rows("INSERT OR REPLACE INTO askers VALUES (?, ?)", owner, time.time() + _LEASE)
            self._connection.executemany(
                "INSERT INTO leases VALUES (?, ?)", [(key, owner) for (key,) in free]
            )
        return found, [keys[key] for (key,) in free]

    def _leave(self, *owners: str) -> None:
        for owner in owners:
            self._rows("DELETE FROM leases WHERE owner = ?", owner)
            self._rows("DELETE FROM askers WHERE owner = ?", owner)

    @contextmanager
    def _renewed(self, owner: str) -> Iterator[None]:
        """Renew an owner's leases until the block ends, then give back those that are left."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(_LEASE / 4):
                with suppress(OSError):  # the next time may do: three are missed before a lease ends
                    until = time.time() + _LEASE
                    self._write(self._rows, "UPDATE askers SET until = ? WHERE owner = ?", until, owner)

        threading.Thread(target=renew, name="nlkit-lease", daemon=True).start()
        try:
            yield
        finally:
            over.set()
            self._write(self._leave, owner)

    def jobs(self, keys: Iterable[str]) -> dict[str, str]:
        """Return which of these questions (by `key`) were handed to a server's batch job, and to which."""
        return dict(self._do(self._rows, f"SELECT key, job FROM jobs WHERE {_AMONG}", json.dumps(list(keys))))

    def set_job(self, keys: Iterable[str], job: str | None) -> None:
        """Note that these questions are in this job, or (None) in none any more."""
        listed = json.dumps(list(keys))
        if job is None:
            self._write(self._rows, f"DELETE FROM jobs WHERE {_AMONG}", listed)
        else:
            self._write(self._rows, "REPLACE INTO jobs SELECT value, ? FROM json_each(?)", job, listed)

    def forget_job(self, job: str) -> int:
        """Give a batch job up: its questions will be asked, and paid, again. Return how many they are."""
        return len(self._write(self._rows, "DELETE FROM jobs WHERE job = ? RETURNING 1", job))

    def __len__(self) -> int:
        """Return the number of answers in the file, of all annotators."""
        return int(self._do(self._rows, "SELECT COUNT(*) FROM answers")[0][0])

    def __bool__(self) -> bool:
        # Without this an empty store would count as no store in `if store:`.
        return True

    def export(self) -> pd.DataFrame:
        """Return all answers, oldest first; label_names and scores are lists."""
        columns = _COLUMNS.removeprefix("key, ").split(", ")
        rows = self._do(self._rows, f"SELECT {', '.join(columns)} FROM answers ORDER BY created, key")
        table = pd.DataFrame(rows, columns=columns)
        table["label_names"] = [json.loads(names) for names in table["label_names"]]
        table["scores"] = [np.frombuffer(scores, dtype="<f8").tolist() for scores in table["scores"]]
        table["created"] = pd.to_datetime(table["created"], unit="s", utc=True)
        return table

    def summary(self) -> pd.DataFrame:
        """Return a row per annotator: its answers by status, their tokens, the oldest and the newest."""
        counts = ", ".join(f"SUM(status = '{status}') AS {status}" for status in STATUSES)
        columns = ["annotator", "answers", *STATUSES, "prompt_tokens", "completion_tokens", "first", "last"]
        rows = self._do(
            self._rows,
            f"SELECT annotator, COUNT(*), {counts}, SUM(prompt_tokens), SUM(completion_tokens), "
            "MIN(created), MAX(created) FROM answers GROUP BY annotator ORDER BY annotator",
        )
        table = pd.DataFrame(rows, columns=columns)
        for column in ("first", "last"):
            table[column] = pd.to_datetime(table[column], unit="s", utc=True)
        return table

    def forget(
        self,
        *,
        annotator: str | None = None,
        status: str | None = None,
        prompts: Sequence[str] | None = None,
    ) -> int:
        """Delete answers, which will be asked again, and return how many.

        Parameters
        ----------
        annotator : str, optional
            Those whose annotator, as `summary` shows it, contains this.
        status : str, optional
            Those of this status.
        prompts : sequence of str, optional
            Those to these prompts. Several arguments: what meets them all.
        """
        if annotator is None and status is None and prompts is None:
            raise ValueError("forget needs an annotator, a status or prompts; to forget all, delete the file")
        if status is not None and status not in STATUSES:
            invalid("status", status, f"one of {', '.join(STATUSES)}")
        return self._delete(
            "(?1 IS NULL OR instr(annotator, ?1)) AND (?2 IS NULL OR status = ?2) "
            "AND (?3 IS NULL OR prompt IN (SELECT value FROM json_each(?3)))",
            annotator, status, None if prompts is None else json.dumps([harmless(p) for p in prompts]),
        )  # fmt: skip

    def prune(self, older_than: float) -> int:
        """Delete the answers that are more than this many days old, and return how many."""
        if not older_than >= 0:
            invalid("older_than", older_than, "days, at least 0")
        return self._delete("created < ?1", time.time() - older_than * 86400)

    def _delete(self, condition: str, *values: object) -> int:
        gone: list[Any] = self._write(
            self._rows, f"DELETE FROM answers WHERE {condition} RETURNING 1", *values
        )
        self._do(self._rows, "VACUUM")  # the texts leave the file too
        return len(gone)


def _gone(owner: str, until: float) -> bool:
    """Return whether an asker has ended, or has not been heard of for too long."""
    host, process, _ = owner.split()
    return until < time.time() or (host == _host() and not psutil.pid_exists(int(process)))


def _host() -> str:
    return socket.gethostname().replace(" ", "-") or "-"


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
    again: Collection[str] = frozenset(),
) -> tuple[dict[str, StoredAnswer], set[str]]:
    """Return the answers to the prompts, and the prompts whose answers were asked by others than this call.

    Parameters
    ----------
    ask : callable
        ``ask(missing, keep)`` asks each prompt once and hands answers over by ``keep([...])`` as they come,
        from any thread, where they are on disk when it returns. A prompt may end without an answer.
    again : collection of str
        Stored answers of these statuses are asked anew.

    Notes
    -----
    While a prompt is asked here, no other thread or process asks it: they wait for the answer, and ask
    themselves if none came. The lease is renewed as long as `ask` runs, and taken over from a process that
    has ended or has not renewed it for a minute.
    """
    answers: dict[str, StoredAnswer] = {}
    left, asked = list(dict.fromkeys(prompts)), set[str]()
    if store is None:
        if left:
            ask(left, lambda new: answers.update((answer.prompt, answer) for answer in new))
        return answers, set()

    owner, since, statuses = f"{_host()} {os.getpid()} {uuid.uuid4().hex}", time.time(), " ".join(again)

    def keep(new: Sequence[StoredAnswer]) -> None:
        store.put_many(annotator, new, label_names, replace=again)
        answers.update((answer.prompt, answer) for answer in new)

    def without_answer() -> dict[str, str]:
        open_ones = (prompt for prompt in left if prompt not in answers and prompt not in asked)
        return store._keys(annotator, open_ones, label_names)

    answers |= store._do(store._find, without_answer(), statuses, since)
    if not without_answer():
        return answers, set(answers)
    waiting = None
    with store._renewed(owner):
        while keys := without_answer():
            found, missing = store._write(store._claim, owner, keys, statuses, since)
            answers |= found
            if missing:
                asked.update(missing)
                ask(missing, keep)
                store._write(store._leave, owner)
            elif not found:
                waiting = waiting or progress(total=len(keys), desc="waiting for answers asked elsewhere")
                waiting.update(waiting.total - len(keys) - waiting.n)
                time.sleep(_POLL)
    if waiting is not None:
        waiting.close()
    return answers, set(answers) - asked

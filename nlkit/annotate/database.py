"""An SQLite file for any number of threads and processes, whose errors say what to do."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from nlkit._util import expanded

__all__ = ["Database"]

_GATHER = 0.01  # seconds a commit waits for more, when the last one was shared by several threads

_REMEDIES: tuple[tuple[tuple[str, ...], type[Exception], str], ...] = (
    (
        ("BUSY", "LOCKED"), OSError,
        "check that no other program holds it, and call again; on a network file system that cannot lock "
        "files, give a path on a local disk",
    ), (
        ("IOERR_LOCK", "IOERR_RDLOCK", "IOERR_CHECKRESERVEDLOCK", "PROTOCOL", "NOLFS"), OSError,
        "its file system cannot lock files, as some network ones: give a path on a local disk, or set "
        "NLKIT_CACHE to a folder there",
    ),
    (("FULL",), OSError, "the disk is full: free some space and call again; what was kept is safe"),
    (("READONLY", "PERM"), PermissionError, "check that the file and its folder are writable"),
    (("CANTOPEN",), OSError, "check that it is no folder, and that its folder is writable"),
    (("IOERR",), OSError, "the disk or the network failed: call again; what was kept is safe"),
    (("NOTADB",), ValueError, "it is no SQLite file and was left as it is: give another path"),
    (
        ("CORRUPT",), ValueError,
        "it is damaged: give another path, and save what can be read with sqlite3's command .recover",
    ),
)  # fmt: skip


class Database:
    """One SQLite file; see `nlkit.annotate.store.AnswerStore` for parameters, errors and promises.

    A thread of its own does all the work on the file, so that any thread may call, and Ctrl-C ends the
    waiting and never the writing. Writes of several threads share one transaction, and so one wait for the
    disk.

    `application_id` in the file's header tells our files from others. `schema` has the statements that each
    version added to the one before: it is never changed, only added to.
    """

    application_id: int
    schema: tuple[tuple[str, ...], ...]
    functions: ClassVar[dict[str, Callable[..., Any]]]  # what the schema's statements may call

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 30.0) -> None:
        self.path = str(expanded(path))
        self.timeout = timeout
        if self.path != ":memory:":
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: list[tuple[Callable[[], Any], Future[Any]]] = []
        self._shared = False
        self._thread = ThreadPoolExecutor(1, "nlkit-store")
        try:
            self._do(self._prepare)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    def _prepare(self) -> None:
        # Transactions are opened by hand. The thread check is off for the garbage collector's sake.
        self._connection = sqlite3.connect(
            self.path, timeout=self.timeout, isolation_level=None, check_same_thread=False
        )
        try:
            # A committed answer survives a power cut, not only a killed process.
            self._rows("PRAGMA synchronous = FULL")
            for name, function in self.functions.items():
                self._connection.create_function(name, -1, function)
            # A write every time: a file that may only be read is an error now, not at the first answer.
            with self._transaction():
                self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def _migrate(self) -> None:
        tables = [name for (name,) in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        ((identity,),), ((version,),) = self._rows("PRAGMA application_id"), self._rows("PRAGMA user_version")
        if tables and identity != self.application_id:
            raise ValueError(
                f"{self.path} is a foreign SQLite file with tables {sorted(tables)}: give another path"
            )
        newest = len(self.schema)
        if version > newest:
            raise ValueError(
                f"{self.path} was written by a newer nlkit (store version {version}, this one reads "
                f"{newest}): upgrade nlkit, or give another path"
            )
        for added in self.schema[version:]:
            for statement in added:
                self._rows(statement)
        self._rows(f"PRAGMA application_id = {self.application_id}")
        self._rows(f"PRAGMA user_version = {newest}")

    def _rows(self, statement: str, *values: object) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._rows("BEGIN IMMEDIATE")  # waits for the lock here, where waiting cannot deadlock
        try:
            yield
            self._rows("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk has ended it already
                self._rows("ROLLBACK")
            raise

    def _leave_parent(self) -> None:
        """Open the file anew in a forked child, which has no thread."""
        if self._process != os.getpid():
            # Kept, as closing what is the parent's could undo what it is writing.
            self._inherited = self._connection, self._thread
            self._open()

    def _do(self, function: Callable[..., Any], *values: Any) -> Any:
        """Run a function in the file's thread, after what waits to be written."""
        self._leave_parent()

        def work() -> Any:
            self._flush()
            return function(*values)

        try:
            return self._thread.submit(work).result()
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def _write(self, function: Callable[..., Any], *values: Any) -> Any:
        """Run a function in a transaction, perhaps with others'; it is on disk when this returns."""
        self._leave_parent()
        written: Future[Any] = Future()
        with self._lock:
            self._waiting.append((lambda: function(*values), written))
        self._do(lambda: None)
        try:
            return written.result()
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def _flush(self) -> None:
        if self._waiting and self._shared:
            time.sleep(_GATHER)
        with self._lock:
            group, self._waiting = self._waiting, []
        if not group:
            return
        self._shared = len(group) > 1
        try:
            with self._transaction():
                results = [function() for function, _ in group]
        except Exception as error:
            for _, written in group:
                written.set_exception(error)
        else:
            for (_, written), result in zip(group, results, strict=True):
                written.set_result(result)

    def _problem(self, error: sqlite3.Error) -> Exception:
        if "closed database" in str(error):
            return ValueError(f"the answer store {self.path} was closed: open it again")
        name = getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_")
        for names, kind, remedy in _REMEDIES:
            if name.startswith(names):
                return kind(f"cannot use the answer store {self.path} ({error}): {remedy}")
        return error

    def close(self) -> None:
        """Close the file; what was put is in it already."""
        self._do(self._connection.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

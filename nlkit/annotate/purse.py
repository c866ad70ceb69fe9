"""A budget that processes share: a purse in a file, which no number of them can overdraw."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import ClassVar

from nlkit.annotate.database import Database
from nlkit.annotate.plan import Budget, Cost, _add, _fits

__all__ = ["STALE_SECONDS", "Purse"]

STALE_SECONDS = 900.0
"""What was reserved so long ago, by a process that may be gone, counts as spent: it may have been paid."""


class _Accounts(Database):
    application_id = 0x6E6C6B70
    schema = (
        (
            "CREATE TABLE accounts (owner TEXT PRIMARY KEY, questions INTEGER, tokens INTEGER, money REAL, "
            "at REAL) WITHOUT ROWID",
            "INSERT INTO accounts VALUES ('spent', 0, 0, 0.0, 0.0)",
        ),
    )
    functions: ClassVar = {}


class Purse(Budget):
    """A `Budget` whose account is an SQLite file: every process that opens it pays from the same.

    Parameters
    ----------
    path : path
        Of the file; on several machines in a folder that they share, whose file system can lock.
    questions, tokens, money
        Limits as in `Budget`, the same in every process.

    Attributes
    ----------
    spent : Cost
        By all, since the file was made.
    mine : Cost
        By this object.
    """

    def __init__(
        self, path: str | os.PathLike[str], questions: int | None = None, tokens: int | None = None,
        money: float | None = None,
    ) -> None:  # fmt: skip
        self._file = _Accounts(Path(path))
        self._owner, self.mine = uuid.uuid4().hex, Cost()
        super().__init__(questions, tokens, money)

    @property
    def spent(self) -> Cost:
        """By all, since the file was made."""
        return Cost(*self._file._do(self._file._rows, f"{_SUM} WHERE owner = 'spent'")[0])

    @spent.setter
    def spent(self, value: Cost) -> None:
        pass  # the file knows

    def reserve(self, cost: Cost) -> bool | None:
        """Set aside what a question may cost. None: not now, others have reserved too much; try again."""

        def work() -> bool | None:
            rows, stale = self._file._rows, time.time() - STALE_SECONDS
            old = "owner != 'spent' AND at < ?"
            self._pay(Cost(*rows(f"{_SUM} WHERE {old}", stale)[0]))
            rows(f"DELETE FROM accounts WHERE {old}", stale)
            if _fits(_add(Cost(*rows(_SUM)[0]), cost), self.limit):
                self._add(self._owner, cost)
                return True
            return (
                None
                if _fits(_add(Cost(*rows(f"{_SUM} WHERE owner = 'spent'")[0]), cost), self.limit)
                else False
            )

        answer: bool | None = self._file._write(work)
        return answer

    def settle(self, reserved: Cost, cost: Cost) -> None:
        """Replace what was reserved by what it did cost."""

        def work() -> None:
            self._add(self._owner, Cost(-reserved.questions, -reserved.tokens, -reserved.money))
            self._pay(cost)

        self._file._write(work)
        with self._lock:
            self.mine = _add(self.mine, cost)

    def _pay(self, cost: Cost) -> None:
        self._add("spent", cost)

    def _add(self, owner: str, cost: Cost) -> None:
        self._file._rows(
            "INSERT INTO accounts VALUES (?, ?, ?, ?, ?) ON CONFLICT (owner) DO UPDATE SET "
            "questions = questions + excluded.questions, tokens = tokens + excluded.tokens, "
            "money = money + excluded.money, at = excluded.at", owner, *cost, time.time(),
        )  # fmt: skip


_SUM = "SELECT COALESCE(SUM(questions), 0), COALESCE(SUM(tokens), 0), COALESCE(SUM(money), 0) FROM accounts"

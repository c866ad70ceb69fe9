"""Many questions at once: an event loop in a thread of its own asks them, and what comes is kept at once.

A thread, so that it works the same from a script, from a notebook whose loop runs, and from other threads.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from threading import Event, Lock, Thread
from typing import Any

from nlkit.annotate.store import Keep, StoredAnswer

__all__ = ["Asking", "Pace", "QuestionError"]

GRACE = 2.0
"""Seconds that questions under way, which are paid for, have to end after a first Ctrl-C."""

Ask = Callable[[str], Awaitable[StoredAnswer]]


class QuestionError(Exception):
    """A question that got no answer; `kind` is the error to raise where nothing can go on (None: not one).

    `final`: others would not fare better, so none is asked. `first`: only while nothing was answered yet.
    `own`: of this question alone, so that it tells nothing about others once something was answered.
    """

    def __init__(
        self,
        reason: str,
        kind: type[Exception] | None = ConnectionError,
        *,
        final: bool = False,
        first: bool = False,
        own: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason, self.kind, self.final, self.first, self.own = reason, kind, final, first, own


class Pace:
    """Spreads questions so that no minute has more than so many of them, or of their tokens.

    Shared by all workers and threads; the beginning is no exception.
    """

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self.seconds_each = 60 / requests_per_minute if requests_per_minute else 0.0
        self.seconds_per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._free = 0.0
        self._lock = Lock()

    def seconds(self, tokens: float) -> float:
        """Return how long a question of so many tokens keeps the way."""
        return max(self.seconds_each, tokens * self.seconds_per_token)

    async def turn(self, tokens: float) -> None:
        """Wait until a question of so many tokens may be sent."""
        with self._lock:
            begins = max(self._free, time.monotonic())
            self._free = begins + self.seconds(tokens)
        await asyncio.sleep(begins - time.monotonic())


class Asking:
    """Asks each prompt once; `failed` tells afterwards what the others did not get, by prompt.

    Parameters
    ----------
    open_ask : callable
        Returns an asynchronous context that gives ``await ask(prompt)``, which may raise `QuestionError`.
    proved : callable
        Whether the server has ever answered. Until then one question is sent at a time, and three that fail
        in a row are enough to give up; later it takes ten, or as many as there are workers.
    stop : Event
        Set by others: no further question, and those under way are cancelled.
    """

    def __init__(
        self,
        open_ask: Callable[[], AbstractAsyncContextManager[Ask]],
        keep: Keep,
        *,
        workers: int,
        proved: Callable[[], bool],
        stop: Event,
    ) -> None:
        self.open_ask, self.keep, self.workers, self.proved, self.stop = open_ask, keep, workers, proved, stop
        self.failed: dict[str, QuestionError] = {}
        self.done = 0
        self._failed_in_row = 0
        self._stopped: QuestionError | None = None
        self._until = math.inf
        self._error: BaseException | None = None
        self._over = Event()

    def run(self, prompts: Iterable[str], bar: Any) -> None:
        """Ask; Ctrl-C once lets replies under way come for a moment, twice does not; both keep what came."""
        self._waiting = list(prompts)[::-1]
        interrupt: KeyboardInterrupt | None = None
        thread = Thread(target=self._thread, name="nlkit-chat")
        try:
            thread.start()
            while not self._over.is_set():
                try:
                    self._over.wait(0.1)
                    bar.update(self.done - bar.n)
                except KeyboardInterrupt as again:
                    self._halt(QuestionError("interrupted"), grace=GRACE if interrupt is None else 0.0)
                    interrupt = again
        finally:
            if not self._over.is_set():  # interrupted between the lines above
                self._halt(QuestionError("interrupted"), grace=0.0)
            if thread.is_alive():
                thread.join()  # what came is kept: later, at the program's end, nothing could be
        if interrupt is not None:
            raise interrupt
        if self._error is not None:
            raise self._error
        if self._stopped is not None:
            self.failed |= dict.fromkeys(self._waiting, self._stopped)

    def _halt(self, why: QuestionError, grace: float = math.inf) -> None:
        self._stopped = self._stopped or why
        self._until = min(self._until, time.monotonic() + grace)

    def _thread(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:
            self._error = error
        finally:
            self._over.set()

    async def _all(self) -> None:
        self._come: asyncio.Queue[StoredAnswer | None] = asyncio.Queue()
        writer = asyncio.create_task(self._write())
        try:
            async with self.open_ask() as ask:
                while self._waiting and not self._stopped and not self.proved() and not writer.done():
                    await self._together(1, ask, writer, once=True)
                await self._together(self.workers, ask, writer)
        finally:
            self._come.put_nowait(None)
            await writer

    async def _together(self, workers: int, ask: Ask, writer: asyncio.Task[None], once: bool = False) -> None:
        tasks = {asyncio.create_task(self._work(ask, once)) for _ in range(min(workers, len(self._waiting)))}
        try:
            while tasks and not writer.done() and time.monotonic() < self._until:
                if self.stop.is_set():
                    self._halt(QuestionError("cancelled", None), grace=0.0)
                done, tasks = await asyncio.wait(tasks, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if writer.done():
                self._halt(QuestionError("the answers cannot be kept"))

    async def _work(self, ask: Ask, once: bool) -> None:
        while self._waiting and not self._stopped:
            prompt = self._waiting.pop()
            try:
                answer = await ask(prompt)
            except QuestionError as failure:
                self.failed[prompt] = failure.with_traceback(None)  # whose frames hold much
                self._failed_in_row += not (failure.own and self.proved())
                patience = max(10, self.workers) if self.proved() else 3
                early = failure.first and not self.proved()
                if failure.final or early or self._failed_in_row >= patience:
                    self._halt(failure)
            else:
                self._failed_in_row = 0
                self._come.put_nowait(answer)
            self.done += 1
            if once:
                return

    async def _write(self) -> None:
        """Keep answers in groups: all that came while the group before was written."""
        group: list[StoredAnswer | None] = []
        while None not in group:
            group = [await self._come.get()]
            while not self._come.empty():
                group.append(self._come.get_nowait())
            if kept := [answer for answer in group if answer is not None]:
                await asyncio.to_thread(self.keep, kept)

"""A chat model asked by batch jobs: half the price, and the answers within a day."""

from __future__ import annotations

import io
import json
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Event
from typing import Any

from nlkit._util import invalid, progress
from nlkit.annotate.asking import QuestionError
from nlkit.annotate.base import Demonstrations
from nlkit.annotate.openai_chat import OpenAIChat
from nlkit.annotate.plan import Cost, Plan
from nlkit.annotate.replies import read_completion
from nlkit.annotate.store import AnswerStore, Keep

__all__ = ["BatchChat", "BatchPending"]

_RUNNING = {"validating", "in_progress", "finalizing", "cancelling"}
_PRICE = 0.5  # of the usual price
_SENDING = "sending "  # before a job's number is known, the store has this and a mark that the job bears


class BatchPending(Exception):  # noqa: N818 - no error: the answers come later
    """Questions are with the server; the same call later collects their answers.

    Attributes
    ----------
    jobs : list of str
        The batch jobs' numbers at the server.
    done, total : int
        How many of their questions are answered, as far as the server says, and how many they have.
    """

    def __init__(self, jobs: list[str], done: int, total: int) -> None:
        super().__init__(
            f"{done} of {total} questions are answered in the batch job(s) {', '.join(jobs)}: make the same "
            "call later, which collects the answers and sends nothing twice, or pass wait=True"
        )
        self.jobs, self.done, self.total = jobs, done, total


class BatchChat(OpenAIChat):
    """`OpenAIChat` by a server's batch jobs (/v1/files and /v1/batches): half the price, within a day.

    Parameters
    ----------
    model, base_url, api_key, settings
        As for `OpenAIChat`, whose answers in the store it shares. The store is needed: it keeps the jobs.
    wait : bool
        Wait for the answers. False: `annotate` hands the questions over and raises `BatchPending`; the same
        call later, from any process, collects what has come.
    poll : float
        With `wait`: seconds between two looks.
    job_size : int
        Most questions of a job; OpenAI allows 50,000.

    Notes
    -----
    The first question of a new annotator is asked directly, at the full price: so a wrong key shows at once,
    and what the server cannot do is known before thousands of questions are sent. Where the server refuses
    its text, so is the next; after three, nothing is sent.

    A question that failed in a job, or was not reached before it expired, is a row of status "failed" with
    the reason; the same call again asks those, and no others, in a new job. Those of a job that the server
    does not know (another account's?) wait for the right key, or for `AnswerStore.forget_job`. A budget is
    charged what the questions can cost at most when they are sent, and what they did cost when the same
    object collects them.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        wait: bool = False,
        poll: float = 30.0,
        job_size: int = 50_000,
        **settings: Any,
    ) -> None:
        super().__init__(model, base_url, api_key, **settings)
        if self.store is None:
            invalid("store", None, "a store: it keeps the numbers of the jobs until their answers come")
        if not poll > 0:
            invalid("poll", poll, "seconds, more than 0")
        if job_size < 1:
            invalid("job_size", job_size, "at least 1")
        self.wait, self.poll, self.job_size = wait, poll, job_size
        self._charged: dict[str, Cost] = {}

    def plan(
        self, texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations = None
    ) -> Plan:
        """Return what `annotate` would ask, at half the price, and in a time that nobody knows.

        Questions that are in a job, but not answered yet, count as if they were still to be asked.
        """
        direct = super().plan(texts, label_names, demonstrations)
        return replace(direct, money=direct.money * _PRICE, seconds=float("nan"))

    def _ask(
        self, missing: Sequence[str], names: Sequence[str], keep: Keep, stop: Event
    ) -> dict[str, QuestionError]:
        import openai

        assert self.store is not None
        prompts = {self.store.key(self.key(), prompt, names): prompt for prompt in missing}
        at = self.endpoint
        try:
            with openai.OpenAI(**at.arguments(), max_retries=at.max_retries) as client:
                return self._run(client, self.store, prompts, names, keep, stop)
        except openai.NotFoundError as error:
            said = at.secrets.shorten(error)
            failure = QuestionError(f"{self.base_url} has no batch jobs ({said}): use OpenAIChat", ValueError)
        except openai.APIStatusError as error:
            failure = at._status(error)
        except openai.OpenAIError as error:
            failure = QuestionError(f"no server answers at {self.base_url} ({at.secrets.shorten(error)})")
        # Raised here, so that the package's own error, which may hold the key, is no part of the traceback.
        raise (failure.kind or ConnectionError)(failure.reason)

    def _run(
        self, client: Any, store: AnswerStore, prompts: dict[str, str], names: Sequence[str], keep: Keep,
        stop: Event,
    ) -> dict[str, QuestionError]:  # fmt: skip
        """Send what is in no job yet, then collect; `prompts` by their keys in the store."""
        self._find_sent(client, store, prompts)
        known, failed = store.jobs(prompts), dict[str, QuestionError]()
        new = [key for key in prompts if key not in known]
        for _ in range(3):  # one text may be refused for its own sake; three in a row are no accident
            if new and not self.endpoint.settled and all(why.own for why in failed.values()):
                failed |= super()._ask([prompts[new.pop(0)]], names, keep, stop)
        if failed and not self.endpoint.settled:
            failed |= dict.fromkeys((prompts[key] for key in new), [*failed.values()][-1])
            new = []
        new = [key for key in new if self._pay_ahead(key, prompts[key], names, failed)]
        for start in range(0, len(new), self.job_size):
            keys = new[start : start + self.job_size]
            self._send(client, store, {key: prompts[key] for key in keys}, names)
        with progress(total=len(prompts), desc=f"batch jobs of {self.name}", unit="text") as bar:
            while pending := self._collect(client, store, prompts, names, keep, failed):
                if not self.wait:
                    raise pending
                bar.update(pending.done - bar.n)
                if stop.wait(self.poll):
                    return failed | dict.fromkeys(prompts.values(), QuestionError("cancelled", None))
        return failed

    def _find_sent(self, client: Any, store: AnswerStore, prompts: dict[str, str]) -> None:
        """Learn the numbers of jobs that were sent by a process that ended before it had noted them."""
        lost = defaultdict(list)
        for key, job in store.jobs(prompts).items():
            if job.startswith(_SENDING):
                lost[job.removeprefix(_SENDING)].append(key)
        if lost:
            jobs = {(batch.metadata or {}).get("nlkit"): batch.id for batch in client.batches.list()}
            for mark, own in lost.items():
                store.set_job(own, jobs.get(mark))

    def _pay_ahead(
        self, key: str, prompt: str, names: Sequence[str], failed: dict[str, QuestionError]
    ) -> bool:
        """Return whether the budget allows a question, and spend what it may cost."""
        if self.budget is None or key in self._charged:  # by a call that could not send it
            return True
        most = self._half(self.endpoint.most(prompt, names))
        if self.budget.reserve(most):
            # Spent, not reserved for a day: others with this purse would wait for it.
            self.budget.settle(most, most)
            self._charged[key] = most
            return True
        failed[prompt] = QuestionError(f"the budget is spent: {self.budget}", None)
        return False

    def _half(self, cost: Cost) -> Cost:
        return cost._replace(money=cost.money * _PRICE)

    def _settle(self, key: str, cost: Cost) -> None:
        if self.budget is not None and key in self._charged:
            most = self._charged.pop(key)
            self.budget.settle(Cost(), Cost._make(did - may for did, may in zip(cost, most, strict=True)))

    def _send(self, client: Any, store: AnswerStore, prompts: dict[str, str], names: Sequence[str]) -> None:
        common = {"method": "POST", "url": "/v1/chat/completions"}
        lines = [
            json.dumps({"custom_id": key, "body": self.endpoint.body(prompt, names)} | common)
            for key, prompt in prompts.items()
        ]
        content, mark = "\n".join(lines).encode(), uuid.uuid4().hex
        file = client.files.create(file=("nlkit.jsonl", io.BytesIO(content)), purpose="batch")
        store.set_job(prompts, _SENDING + mark)
        # Not retried: a job that was made but not confirmed would be made, and paid, twice.
        job = client.with_options(max_retries=0).batches.create(
            input_file_id=file.id, endpoint=common["url"], completion_window="24h", metadata={"nlkit": mark}
        )
        store.set_job(prompts, job.id)

    def _collect(
        self, client: Any, store: AnswerStore, prompts: dict[str, str], names: Sequence[str], keep: Keep,
        failed: dict[str, QuestionError],
    ) -> BatchPending | None:  # fmt: skip
        """Keep the answers of the jobs that have ended; return what to wait for, if anything."""
        import openai

        jobs = defaultdict(set)
        for key, number in store.jobs(prompts).items():
            jobs[number].add(key)
        running, done, total = list[str](), 0, 0
        for number, keys in jobs.items():
            try:
                job = client.batches.retrieve(number)
            except openai.NotFoundError:  # to another key, perhaps: to ask again would be to pay again
                why = (
                    f"{number} is not known at {self.base_url} to this api_key: use the one that sent it, or"
                )
                lost = QuestionError(f"{why} ask anew after store.forget_job({number!r})", ValueError)
                failed |= dict.fromkeys((prompts[key] for key in keys), lost)
                continue
            if job.status in _RUNNING:
                running.append(number)
                # The server counts other calls' questions too.
                done += min(job.request_counts.completed, len(keys)) if job.request_counts else 0
                total += len(keys)
                continue
            errors = (job.errors and job.errors.data) or []
            why = "; ".join([job.status, *(error.message or "" for error in errors)])
            try:
                lines = list(_lines(client, job))
            except openai.NotFoundError:
                lines, why = [], f"{why}; its answers are not at the server any more"
            # Other calls' questions may be in the job too: they stay noted until they are asked for.
            answers, reasons = [], dict.fromkeys(keys, f"no answer, and the job is {why}")
            for line in lines:
                key, cost = str(line.get("custom_id")), Cost()
                if key not in reasons:
                    continue
                try:
                    reply = read_completion(line["response"]["body"])
                except (LookupError, TypeError, ValueError):
                    reasons[key] = str(line.get("error") or line.get("response"))
                else:
                    answers.append(self.stored(prompts[key], names, reply))
                    cost = self._half(self.endpoint.cost(reply.prompt_tokens, reply.completion_tokens))
                    del reasons[key]
                self._settle(key, cost)
            keep(answers)
            for key, said in reasons.items():
                self._settle(key, Cost())
                failed[prompts[key]] = QuestionError(f"{number}: {self.endpoint.secrets.shorten(said)}")
            store.set_job(keys, None)
        return BatchPending(running, done, total) if running else None


def _lines(client: Any, job: Any) -> Iterator[dict[str, Any]]:
    """Yield the lines of a job's answers and errors; a broken one is passed over."""
    for file in filter(None, (job.output_file_id, job.error_file_id)):
        for line in client.files.content(file).content.split(b"\n"):
            with suppress(ValueError):
                yield json.loads(line)

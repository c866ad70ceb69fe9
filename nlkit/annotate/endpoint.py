"""One server that speaks OpenAI's chat protocol: what it is sent, what it cannot do, what its errors mean."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from threading import RLock
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit
from weakref import WeakSet

from nlkit.annotate.asking import Pace, QuestionError
from nlkit.annotate.plan import Budget, Cost, Tally
from nlkit.annotate.replies import Reply, read_completion

__all__ = ["Endpoint", "Secrets", "checked_key"]

_TOP = 20  # alternatives listed per token: the most that the API allows
_TEMPLATE = 128  # tokens that a server's chat template may add to a prompt
_BLANK = "".join(map(chr, range(33))) + "\x7f\x85\xa0\u200b\u2028\u2029\ufeff"

# Optional fields, and the words by which servers name them when they refuse them.
_OPTIONAL = {
    "response_format": r"response_format|json_schema|guided|grammar",
    "logprobs": r"logprobs",
    "max_tokens": r"\bmax_tokens",
    "temperature": r"temperature",
}


def checked_key(key: str) -> str:
    """Return an API key without white space and control characters around it.

    Raises
    ------
    ValueError
        If there are some inside; it does not show the key.
    """
    key = key.strip(_BLANK)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(
            "api_key has white space, control or non-ASCII characters inside, so it is no key: give it alone"
        )
    return key


class Secrets:
    """Takes secrets out of messages, in plain form and as Python, JSON and URLs write them."""

    def __init__(self, *secrets: str) -> None:
        forms = {
            form
            for s in secrets
            if len(s) >= 4
            for form in (s, repr(s)[1:-1], json.dumps(s)[1:-1], s.replace("/", r"\/"), quote(s, safe=""))
        }
        self._forms = sorted(forms, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return the text without them."""
        for form in self._forms:
            text = text.replace(form, "[secret]")
        return text

    def shorten(self, text: object) -> str:
        """Return the text without them in one line of at most 300 characters."""
        line = " ".join(self.hide(str(text)).split())
        return line if len(line) <= 300 else line[:300] + "…"


_IN_USE: WeakSet[Secrets] = WeakSet()
_in_use = RLock()


def _without_secrets(record: logging.LogRecord) -> bool:
    """Take the secrets of all endpoints in use out of a log's line; loggers take this as a filter."""
    record.msg, record.args = record.getMessage(), ()
    with _in_use:
        for secrets in _IN_USE:
            record.msg = secrets.hide(record.msg)
    return True


class Endpoint:
    """A model at a server, asked one prompt at a time; see `OpenAIChat` for the settings.

    Attributes
    ----------
    lacks : frozenset of str
        Optional fields that this server refused before its first reply. What it refuses later is one
        question's trouble and changes nothing for the others.
    settled : bool
        Whether it has replied yet.
    tally : Tally
    """

    def __init__(
        self,
        model: str,
        address: str,
        key: str,
        *,
        temperature: float | None,
        timeout: float,
        deadline: float,
        max_retries: int,
        replies: str,
        max_tokens: int | None,
        extra: Mapping[str, Any],
        headers: Mapping[str, str],
        query: Mapping[str, str],
        pace: Pace,
        budget: Budget | None,
        price: tuple[float, float],
    ) -> None:
        self.model, self.temperature = model, temperature
        self.timeout, self.deadline, self.max_retries = timeout, deadline, max_retries
        self.replies, self.max_tokens, self.extra = replies, max_tokens, dict(extra)
        self.headers = {name: value.strip(_BLANK) for name, value in headers.items()}
        self.pace, self.budget, self.price = pace, budget, price
        parts = urlsplit(address)
        bare = parts._replace(path=parts.path.rstrip("/"), query="", fragment="")
        self.address = urlunsplit(bare)  # the package would append its paths to a query
        self.query = dict(parse_qsl(parts.query)) | dict(query)
        # Shown without user and password, either of which may be a key.
        self.shown = urlunsplit(bare._replace(netloc=parts.netloc.rpartition("@")[2]))
        sent = [value for name, value in self.query.items() if name != "api-version"]
        self.secrets = Secrets(key, parts.username or "", parts.password or "", *sent, *self.headers.values())
        self.lacks: frozenset[str] = frozenset()
        self.settled = False
        self.tally = Tally()
        self._key = key

    def cap(self, label_names: Sequence[str]) -> int:
        """Return the most tokens of a reply, a limit that is always sent."""
        # A name has at most as many tokens as bytes; the rest is for quotes, JSON and the reply's end.
        return self.max_tokens or max(len(name.encode()) for name in label_names) + 24

    def most(self, prompt: str, label_names: Sequence[str]) -> Cost:
        """Return what one question can cost at most: a token for each byte that is sent."""
        more = json.dumps([_schema(label_names), self.extra], default=repr)
        read = len(prompt.encode()) + _TEMPLATE + len(more)
        return self.cost(read, self.cap(label_names))

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Cost:
        """Return the cost of one question that took so many tokens."""
        into, out = self.price
        money = (prompt_tokens * into + completion_tokens * out) / 1e6
        return Cost(1, prompt_tokens + completion_tokens, 0.0 if math.isnan(money) else money)

    def body(
        self, prompt: str, label_names: Sequence[str], lacks: frozenset[str] | None = None
    ) -> dict[str, Any]:
        """Return the request that asks a prompt, as the API's JSON, without the fields that are lacking."""
        lacks = self.lacks if lacks is None else lacks
        limit = "max_completion_tokens" if "max_tokens" in lacks else "max_tokens"
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            limit: self.cap(label_names),
        }
        if self.temperature is not None and "temperature" not in lacks:
            body["temperature"] = self.temperature
        if self.replies != "text" and "logprobs" not in lacks:
            body |= {"logprobs": True, "top_logprobs": _TOP}
        if self.replies == "auto" and "response_format" not in lacks:
            body["response_format"] = _schema(label_names)
        return body | self.extra

    def arguments(self) -> dict[str, Any]:
        """Return how the package ``openai`` reaches the server; from now on its logs hold no secrets."""
        with _in_use:
            _IN_USE.add(self.secrets)
        for name in ("openai._base_client", "httpx", "httpx2"):  # which log addresses with their queries
            logging.getLogger(name).addFilter(_without_secrets)
        return {
            # The package insists on a key; a server that needs none ignores it, and another answers 401.
            "api_key": self._key or "none",
            "base_url": self.address,
            "timeout": self.timeout,
            "default_headers": self.headers,
            "default_query": self.query,
        }

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        """Give an open client of the package ``openai``; retries, which cost, are counted here, not by it."""
        import openai

        async with openai.AsyncOpenAI(**self.arguments(), max_retries=0) as client:
            yield client

    async def ask(self, client: Any, prompt: str, label_names: Sequence[str]) -> Reply:
        """Ask, and ask again where that may help, until there is a reply.

        Raises
        ------
        QuestionError
            If there is none within `max_retries` and `deadline`, or the budget is spent.
        """
        import openai

        most, lacks, retries, end = self.most(prompt, label_names), self.lacks, 0, math.inf
        while True:
            await self._pay_ahead(prompt, most)
            began, cost, wait = time.monotonic(), most, None
            end = min(end, began + self.deadline)
            left = max(0.0, end - began)
            try:
                async with asyncio.timeout(min(self.timeout, left)):
                    body = self.body(prompt, label_names, lacks)
                    raw = await client.chat.completions.with_raw_response.create(
                        model=self.model, messages=body["messages"], extra_body=body
                    )
                reply = read_completion(json.loads(raw.http_response.content))
                if reply.prompt_tokens:
                    cost = self.cost(reply.prompt_tokens, reply.completion_tokens)
                seconds = time.monotonic() - began
                self.tally.add(prompt, reply.prompt_tokens, reply.completion_tokens, seconds)
                if not self.settled:
                    self.lacks, self.settled = lacks, True
                return reply
            except openai.APIStatusError as error:
                cost, wait = Cost(), _asked_wait(error.response.headers)
                if error.code == "content_filter":
                    return Reply("", "content_filter")
                refused = self._refused(error) - lacks
                if refused and not self.settled:
                    lacks |= refused
                    continue
                failure, again = self._status(error), _is_passing(error)
            except (TimeoutError, openai.APITimeoutError):
                of_all = f"what was left of deadline={self.deadline}"
                limit = f"timeout={self.timeout}" if self.timeout <= left else of_all
                reason = f"{self._where} gave no whole reply within {limit} s: raise it"
                failure, again = QuestionError(f"{reason}, or lower workers", TimeoutError), True
            except openai.APIConnectionError as error:
                cause = error.__cause__ or error
                nobody = type(cause).__name__ == "ConnectError"
                cost = Cost() if nobody else most
                reason = f"no server answers at {self._where} ({self.secrets.shorten(cause)})"
                failure, again = QuestionError(f"{reason}: start it, or mend the address", first=nobody), True
            except (ValueError, LookupError, TypeError, RecursionError, openai.OpenAIError) as error:
                said = self.secrets.shorten(error)
                reason = f"{self._where} answers with something that is no chat completion ({said})"
                failure = QuestionError(f"{reason}: most servers' address ends in /v1", ValueError)
                again = retries == 0  # once: a broken reply was most likely paid for
            finally:
                self._settle(most, cost)
            retries += 1
            if wait is None:
                wait = min(0.5 * 2 ** (retries - 1), 8.0) * random.uniform(0.75, 1)
            if not again or retries > self.max_retries or time.monotonic() + wait >= end:
                if retries > 1:
                    failure.reason += f"; asked {retries} times"
                raise failure
            await asyncio.sleep(wait)

    @property
    def _where(self) -> str:
        return f"base_url={self.shown!r}"

    async def _pay_ahead(self, prompt: str, most: Cost) -> None:
        """Reserve what a question may cost at most, then wait for its turn."""
        while self.budget is not None:
            reserved = self.budget.reserve(most)
            if reserved:
                break
            if reserved is False:
                reason = f"the budget is spent: {self.budget}, and a question may cost {_told(most)}"
                raise QuestionError(reason, None, final=True)
            await asyncio.sleep(0.01)
        try:
            await self.pace.turn(self.tally.estimate(prompt))
        except asyncio.CancelledError:
            self._settle(most, Cost())
            raise

    def _settle(self, most: Cost, cost: Cost) -> None:
        if self.budget is not None:
            self.budget.settle(most, cost)

    def _refused(self, error: Any) -> set[str]:
        """Return the optional fields that a refusal names."""
        if error.status_code not in (400, 422):
            return set()
        return {field for field, words in _OPTIONAL.items() if re.search(words, str(error))}

    def _status(self, error: Any) -> QuestionError:
        """Tell what an HTTP error means, and its remedy."""
        where, said, status = self._where, self.secrets.shorten(error), error.status_code
        if status in (401, 403):
            given = "api_key is refused" if self._key else "api_key is not given"
            return QuestionError(
                f"{given} by {where} ({said}): set the environment's OPENAI_API_KEY, or pass api_key=…; it "
                f"must belong to this server and be allowed to use model={self.model!r}",
                ValueError, first=status == 403, final=status == 401,
            )  # fmt: skip
        if status == 404:
            return QuestionError(
                f"model={self.model!r} is not known at {where} ({said}): choose one that the server lists at "
                "…/models, and check that the address is right (most end in /v1)",
                ValueError, first=True,
            )  # fmt: skip
        if _no_credit(error):
            return QuestionError(
                f"the account at {where} has no credit ({said}): add some, or ask elsewhere", final=True
            )
        if status == 429:
            return QuestionError(
                f"{where} refuses more questions ({said}): wait, check the account's quota, or lower workers "
                "or requests_per_minute"
            )
        if _is_passing(error):
            return QuestionError(f"{where} fails ({said}): try later")
        return QuestionError(
            f"{where} refuses the question to model={self.model!r} ({said}); if it names temperature, pass "
            "temperature=None; if the text is too long, lower max_text_chars", ValueError, own=True,
        )  # fmt: skip


def _schema(label_names: Sequence[str]) -> dict[str, Any]:
    properties = {"label": {"type": "string", "enum": list(label_names)}}
    schema = {
        "type": "object", "properties": properties, "required": ["label"], "additionalProperties": False,
    }  # fmt: skip
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def _told(cost: Cost) -> str:
    money = f", {cost.money:.2g} in money" if cost.money else ""
    return f"{cost.tokens:,} tokens{money}"


def _no_credit(error: Any) -> bool:
    return error.status_code == 402 or "insufficient_quota" in str(error)


def _is_passing(error: Any) -> bool:
    """Whether asking again may help: the server is busy or fails, and not for want of credit."""
    return (error.status_code in (408, 409, 429) or error.status_code >= 500) and not _no_credit(error)


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait, a little spread, or None."""
    said = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if said[0] is not None:
            seconds = float(said[0]) / 1000
        elif said[1] is not None and said[1].strip().replace(".", "", 1).isdigit():
            seconds = float(said[1])
        elif said[1] is not None:
            seconds = parsedate_to_datetime(said[1]).timestamp() - time.time()
        else:
            return None
    except ValueError:
        return None
    return max(0.0, seconds) * random.uniform(1, 1.1) if math.isfinite(seconds) else None

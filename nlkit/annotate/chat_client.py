"""Questions to a chat server: several under way at once, patience with a busy one, errors with a remedy."""

from __future__ import annotations

import math
import os
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

from nlkit.annotate.replies import ReplyToken

__all__ = ["ChatClient", "Reply"]

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0  # seconds
_TOP = 20  # alternatives listed per token: the most that the API allows


class Reply(NamedTuple):
    """What came back: the text, the prompt's tokens (0: not counted), and the reply's tokens if listed."""

    text: str
    prompt_tokens: int
    tokens: list[ReplyToken]


class _Stopped(Exception):  # noqa: N818 - no error: the caller has gone
    """The call was given up while this question was waiting for its turn."""


def _package() -> Any:
    try:
        import openai
    except ImportError:
        raise ImportError(
            'OpenAIChat needs the package openai, which is not installed: pip install "nlkit[api]"'
        ) from None
    return openai


class ChatClient:
    """Asks one model of one server, through the package ``openai``.

    Parameters
    ----------
    shown_url : str
        The server's address as errors may show it.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str | None,
        *,
        shown_url: str,
        temperature: float | None,
        timeout: float,
        max_retries: int,
    ) -> None:
        self._package = _package()
        self._secret = api_key or os.environ.get("OPENAI_API_KEY") or ""
        # The package insists on a key; a server that needs none ignores it, and another one answers 401.
        self._api = self._package.OpenAI(
            api_key=self._secret or "none", base_url=base_url, timeout=timeout, max_retries=0
        )
        self._model, self._where, self._retries = model, f"base_url={shown_url!r}", max_retries
        # What a server may refuse and an answer can do without.
        self._optional: dict[str, Any] = {"logprobs": True, "top_logprobs": _TOP, "max_tokens": None}
        self._settings = {} if temperature is None else {"temperature": temperature}

    def ask(
        self,
        questions: Sequence[str],
        keep: Callable[[str, Reply], None],
        *,
        max_tokens: int,
        workers: int,
    ) -> None:
        """Ask all questions; `keep` gets each with its reply, in this thread, in the order replies come.

        When a question fails for good, or the call is interrupted, no further question is sent; the replies
        to those under way, which are paid for, still go to `keep`, and then the error is raised.
        """
        stop = threading.Event()
        pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="nlkit-chat")
        asked = {pool.submit(self._reply, question, max_tokens, stop): question for question in questions}
        try:
            for future in as_completed(asked):
                keep(asked[future], future.result())
                del asked[future]
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            for future, question in asked.items():
                if not future.cancelled() and future.exception() is None:
                    keep(question, future.result())
            raise
        pool.shutdown()

    def _reply(self, question: str, max_tokens: int, stop: threading.Event) -> Reply:
        problem: Exception
        refused = self._package.BadRequestError, self._package.UnprocessableEntityError
        attempt = 0
        while not stop.is_set():
            optional = dict(self._optional)
            if "max_tokens" in optional:
                optional["max_tokens"] = max_tokens
            try:
                completion = self._api.chat.completions.create(
                    model=self._model,
                    messages=[{"role": "user", "content": question}],
                    **self._settings,
                    **optional,
                )
            except refused as error:
                if error.code == "content_filter":
                    return Reply("", 0, [])
                if self._do_without(str(error), optional):
                    continue
                problem = self._explain(error)
            except self._package.OpenAIError as error:
                wait = self._wait(error, attempt)
                if wait is not None and attempt < self._retries:
                    attempt += 1
                    stop.wait(wait)
                    continue
                problem = self._explain(error)
            except ValueError as error:
                problem = self._no_chat(f"no JSON: {error}")
            else:
                return self._read(completion)
            # Raised here and not above, so that the package's own error, which may hold the key, is not
            # part of the traceback.
            raise problem
        raise _Stopped

    def _do_without(self, message: str, sent: dict[str, Any]) -> bool:
        """Drop what the server refused, for all later questions too; False if that is nothing we sent."""
        named = [name for name in sent if name in message]
        if any("logprobs" in name for name in named):
            named = ["logprobs", "top_logprobs", *named]
        for name in named:
            self._optional.pop(name, None)
        return bool(named)

    def _wait(self, error: Any, attempt: int) -> float | None:
        """Return the seconds to wait before asking again, or None where asking again will not help."""
        package = self._package
        if isinstance(error, package.APIConnectionError):
            # Nobody listens there: say so at once. A connection that broke is worth another attempt.
            if type(error.__cause__).__name__ == "ConnectError":
                return None
        elif not isinstance(error, package.RateLimitError | package.InternalServerError):
            return None
        if getattr(error, "code", None) == "insufficient_quota":
            return None
        headers = getattr(getattr(error, "response", None), "headers", {})
        for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            try:
                return min(max(float(headers[name]) * unit, 0.0), _LONGEST_WAIT)
            except (KeyError, ValueError):
                continue  # absent, or a date
        # Spread out, so that workers refused together do not come back together.
        return float(min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT)) * random.uniform(0.75, 1.25)

    def _read(self, completion: Any) -> Reply:
        choices = getattr(completion, "choices", None)
        if not choices or getattr(choices[0], "message", None) is None:
            raise self._no_chat(str(completion))
        usage = getattr(completion, "usage", None)
        listed = getattr(getattr(choices[0], "logprobs", None), "content", None) or []
        tokens = [
            ReplyToken(t.token, t.logprob, [(a.token, a.logprob) for a in t.top_logprobs or []])
            for t in listed
            if t.logprob is not None and not math.isnan(t.logprob)
        ]
        return Reply(choices[0].message.content or "", getattr(usage, "prompt_tokens", None) or 0, tokens)

    def _no_chat(self, seen: str) -> ValueError:
        return ValueError(
            f"{self._where} answers with something that is no chat completion ({self._said(seen)}): most "
            "servers' address ends in /v1"
        )

    def _said(self, message: str) -> str:
        """Return a server's words, short and without the key, which some servers repeat."""
        text = " ".join(message.split())
        if self._secret:
            text = text.replace(self._secret, "[api_key]")
        return text if len(text) <= 300 else text[:300] + "…"

    def _explain(self, error: Any) -> Exception:
        """Turn the package's error into one that names field, value and remedy, without the key."""
        package, said = self._package, self._said(str(error))
        if isinstance(error, package.AuthenticationError | package.PermissionDeniedError):
            given = "api_key is refused" if self._secret else "api_key is not given"
            return ValueError(
                f"{given} by {self._where} ({said}): set the environment's OPENAI_API_KEY, or pass "
                f"api_key=…; it must belong to this server and be allowed to use model={self._model!r}"
            )
        if isinstance(error, package.NotFoundError):
            return ValueError(
                f"model={self._model!r} is not known at {self._where} ({said}): choose one that the server "
                "lists at …/models, and check that the address is right (most end in /v1)"
            )
        if isinstance(error, package.APITimeoutError):
            return TimeoutError(
                f"{self._where} did not answer within timeout={self._api.timeout} s, "
                f"{self._retries + 1} times: raise timeout, or lower workers; the answers so far are kept"
            )
        if isinstance(error, package.APIConnectionError):
            cause = self._said(str(error.__cause__ or error))
            return ConnectionError(
                f"no server answers at {self._where} ({cause}): start it, or mend the address; the answers "
                "so far are kept"
            )
        if isinstance(error, package.RateLimitError):
            return ConnectionError(
                f"{self._where} refuses more questions ({said}): wait, check the account's quota, or lower "
                f"workers and raise max_retries={self._retries}; the answers so far are kept"
            )
        if isinstance(error, package.InternalServerError):
            return ConnectionError(
                f"{self._where} fails ({said}), {self._retries + 1} times: try later; the answers so far are "
                "kept"
            )
        return ValueError(
            f"{self._where} refuses the question to model={self._model!r} ({said}); "
            "if it names temperature, pass temperature=None; if the text is too long, lower max_text_chars"
        )

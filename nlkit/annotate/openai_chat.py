"""A chat model behind an OpenAI-compatible API as annotator: a hosted one, vLLM, Ollama, llama.cpp."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt
import pandas as pd

from nlkit._util import invalid, progress
from nlkit.annotate import prompts
from nlkit.annotate.base import ABSTAINED, Demonstrations, answer_table, check_request
from nlkit.annotate.replies import ReplyToken, label_scores, named_label
from nlkit.annotate.store import AnswerStore, Keep, StoredAnswer, answered, open_store

__all__ = ["OpenAIChat"]

_OPENAI = "https://api.openai.com/v1"
_TOP = 20  # alternatives listed per token: the most that the API allows

Floats = npt.NDArray[np.float64]


class Reply(NamedTuple):
    """What came back: the text, the prompt's tokens (0: not counted), and the reply's tokens if listed."""

    text: str
    prompt_tokens: int
    tokens: list[ReplyToken]


class OpenAIChat:
    """A chat model of any OpenAI-compatible server, asked for one label name per text.

    Needs the package ``openai`` (``pip install "nlkit[api]"``), unless the store knows every answer.

    Parameters
    ----------
    model : str
        The model's name as the server knows it.
    base_url : str, optional
        The server, usually ending in ``/v1``, such as ``http://127.0.0.1:8000/v1``. None: the environment's
        OPENAI_BASE_URL, else OpenAI.
    api_key : str, optional
        None: the environment's OPENAI_API_KEY; servers of your own often need none. The key is sent to the
        server and written nowhere: not in the store, in `repr`, in logs or in errors.
    temperature : float or None
        0 asks for the likeliest reply. None sends none: some models accept only their own.
    timeout : float
        Seconds to wait for one reply.
    max_retries : int
        How often a question is asked again when the server is busy (429), fails (5xx), is too slow or does
        not answer at all; the package ``openai`` decides how long to wait between.
    workers : int
        Questions under way at the same time.
    abstain_below : float
        Abstain (-1) where the answer's probability is known and smaller.
    label_descriptions : mapping, optional
        Label name -> what it stands for; Reuters' names have one built in.
    max_text_chars : int
        Queries and demonstrations are cut to this many characters.
    store : "default", path, AnswerStore or None
        Where answers are kept, so that nothing is asked (and paid) twice. None keeps nothing.

    Notes
    -----
    The whole reply must be one label name (`nlkit.annotate.replies.named_label`); everything else counts as
    abstained, and is kept and not asked again either.

    A reply alone says nothing about how sure the model was. Where the server gives the log-probabilities of
    the reply's tokens, the confidence and ``p_0`` … ``p_{C-1}`` are estimated from them
    (`nlkit.annotate.replies.label_scores`). Where it does not, the confidence is NaN, not 1, and the row is
    one-hot at the answered label: it says which label was named, not how probable it is. An unusable reply
    has confidence NaN and a uniform row.

    Every reply is in the store before it is used. An interrupted call (Ctrl-C, an error) asks nothing more,
    waits for the questions under way, keeps their replies, and ends; the same call later asks only the rest.
    """

    simulated = False

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        temperature: float | None = 0.0,
        timeout: float = 60.0,
        max_retries: int = 5,
        workers: int = 4,
        abstain_below: float = 0.0,
        label_descriptions: Mapping[str, str] | None = None,
        max_text_chars: int = 2000,
        store: str | os.PathLike[str] | AnswerStore | None = "default",
    ) -> None:
        if not isinstance(model, str) or not model.strip():
            invalid("model", model, "a model's name as the server knows it")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI
        if not base_url.startswith(("http://", "https://")):
            invalid("base_url", base_url, "an address beginning with http:// or https://")
        if temperature is not None and not 0 <= temperature <= 2:
            invalid("temperature", temperature, "a number from 0 to 2, or None")
        if not timeout > 0:
            invalid("timeout", timeout, "seconds, more than 0")
        for field, value, least in (
            ("max_retries", max_retries, 0),
            ("workers", workers, 1),
            ("max_text_chars", max_text_chars, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                invalid(field, value, f"an integer of at least {least}")
        if not 0 <= abstain_below <= 1:
            invalid("abstain_below", abstain_below, "a probability from 0 to 1")
        self.model = model
        self.base_url = _without_secrets(base_url)
        self.temperature = temperature
        self.timeout = timeout
        self.max_retries = max_retries
        self.workers = workers
        self.abstain_below = abstain_below
        self.label_descriptions = dict(label_descriptions or {})
        self.max_text_chars = max_text_chars
        self.name = model
        self.store = open_store(store)
        self._address = base_url
        self._secret = api_key or os.environ.get("OPENAI_API_KEY") or ""
        self._refused: set[str] = set()  # optional fields that the server does not know

    def __repr__(self) -> str:
        return f"OpenAIChat({self.model!r}, base_url={self.base_url!r}, temperature={self.temperature})"

    def annotate(
        self, texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations = None
    ) -> pd.DataFrame:
        """Label `texts` with one of `label_names`.

        Parameters
        ----------
        demonstrations : optional
            None: zero-shot. A flat list of `Demonstration`: shown with every text. A list of lists, one per
            text: each text's own, the most telling last.

        Returns
        -------
        DataFrame
            See `nlkit.annotate.base.answer_table` and the notes above. ``source`` is "store" for answers
            known before this call, ``prompt_tokens`` 0 where the server does not count them.

        Raises
        ------
        ValueError, TypeError
            For arguments that `nlkit.annotate.base.check_request` refuses, a wrong key, an unknown model, or
            an address that is no chat API.
        ConnectionError, TimeoutError
            If no server answers, or it is still busy, failing or too slow after `max_retries`.
        ImportError
            If something must be asked and the package ``openai`` is missing.
        """
        request = check_request(texts, label_names, demonstrations)
        names = [prompts.clean(name) for name in request.label_names]
        if len(set(names)) < len(names):
            invalid("label_names", request.label_names, "names that differ in more than white space")
        described = prompts.describe(request.label_names, self.label_descriptions)
        asked = [
            prompts.chat(
                names,
                list(described.values()),
                [d._replace(text=self._cut(d.text)) for d in [*request.shared, *request.own(i)]],
                self._cut(text),
            )
            for i, text in enumerate(request.texts)
        ]
        answers, known = answered(
            self.store, self.key(), asked, names, lambda missing, keep: self._ask(missing, names, keep)
        )
        n, C = len(asked), len(names)
        label = np.array([named_label(answers[q].reply, names) for q in asked], dtype=np.int64)
        p = np.full((n, C), 1 / C)
        confidence = np.full(n, np.nan)
        for i, q in enumerate(asked):
            if label[i] == ABSTAINED:
                continue
            if np.isnan(answers[q].scores).any():
                p[i] = np.eye(C)[label[i]]
            else:
                p[i] = np.exp(answers[q].scores)
                confidence[i] = p[i, label[i]]
        self._warn(label, confidence, [answers[q].reply for q in asked])
        return answer_table(
            p,
            request.label_names,
            label=label,
            confidence=confidence,
            abstain_below=self.abstain_below,
            source=["store" if q in known else "model" for q in asked],
            prompt_tokens=[answers[q].prompt_tokens for q in asked],
            prompts=asked,
        )

    def key(self) -> str:
        """Return what identifies this annotator's answers: server, model and temperature."""
        return json.dumps(["openai", self.base_url, self.model, self.temperature])

    def _cut(self, text: str) -> str:
        return prompts.clean(text)[: self.max_text_chars].rstrip()

    def _ask(self, missing: Sequence[str], names: Sequence[str], keep: Keep) -> None:
        """Ask the server; `keep` gets the answers in this thread, in the order they come.

        When a question fails for good, or the call is interrupted, no further question is sent; the answers
        to those under way, which are paid for, are still kept, and then the error is raised.
        """
        self._client  # noqa: B018 - a missing package is an error of this thread, before any other
        # A name has at most as many tokens as bytes; the rest is for quotes and the end of the reply.
        longest = max(len(name.encode()) for name in names) + 8
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="nlkit-chat")
        waiting, asked = iter(missing), dict[Future[Reply], str]()

        def send(count: int) -> None:
            for prompt in islice(waiting, count):
                asked[pool.submit(self._reply, prompt, longest)] = prompt

        def read(future: Future[Reply]) -> None:
            reply = future.result()
            label = named_label(reply.text, names)
            scores: Floats = np.full(len(names), np.nan)
            if label != ABSTAINED:
                scores = label_scores(label, names, reply.tokens)
            keep([StoredAnswer(asked[future], scores, reply.prompt_tokens, reply.text)])
            del asked[future]
            bar.set_postfix({"label": names[label] if label != ABSTAINED else "none"})
            bar.update()

        with progress(total=len(missing), desc=f"asking {self.name}", unit="text") as bar:
            try:
                send(self.workers)
                while asked:
                    done = wait(asked, return_when=FIRST_COMPLETED).done
                    for future in done:
                        read(future)
                    send(len(done))
            except BaseException:
                for future in wait(asked).done:
                    if future.exception() is None:
                        read(future)
                raise
            finally:
                pool.shutdown()

    @cached_property
    def _package(self) -> Any:
        try:
            import openai
        except ImportError:
            raise ImportError(
                'OpenAIChat needs the package openai, which is not installed: pip install "nlkit[api]"'
            ) from None
        return openai

    @cached_property
    def _client(self) -> Any:
        # The package insists on a key; a server that needs none ignores it, and another one answers 401.
        return self._package.OpenAI(
            api_key=self._secret or "none",
            base_url=self._address,
            timeout=self.timeout,
            max_retries=self.max_retries,
        )

    def _reply(self, question: str, max_tokens: int) -> Reply:
        package = self._package
        # An answer can do without these, and some servers refuse them.
        optional = {"logprobs": True, "top_logprobs": _TOP, "max_tokens": max_tokens}
        settings: dict[str, Any] = {k: v for k, v in optional.items() if k not in self._refused}
        if self.temperature is not None:
            settings["temperature"] = self.temperature
        problem: Exception
        try:
            completion = self._client.chat.completions.create(
                model=self.model, messages=[{"role": "user", "content": question}], **settings
            )
        except (package.BadRequestError, package.UnprocessableEntityError) as error:
            if error.code == "content_filter":
                return Reply("", 0, [])
            named = {name for name in optional if name in settings and name in str(error)}
            if named:
                self._refused |= named | ({"logprobs", "top_logprobs"} if "logprobs" in str(error) else set())
                return self._reply(question, max_tokens)
            problem = self._explain(error)
        except package.OpenAIError as error:
            problem = self._explain(error)
        except ValueError as error:
            problem = self._no_chat(f"no JSON: {error}")
        else:
            return self._read(completion)
        # Raised here and not above, so that the package's own error, which may hold the key, is not part of
        # the traceback.
        raise problem

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
            f"base_url={self.base_url!r} answers with something that is no chat completion "
            f"({self._said(seen)}): most servers' address ends in /v1"
        )

    def _said(self, message: str) -> str:
        """Return a server's words, short and without the key, which some servers repeat."""
        text = " ".join(message.split())
        if self._secret:
            text = text.replace(self._secret, "[api_key]")
        return text if len(text) <= 300 else text[:300] + "…"

    def _explain(self, error: Any) -> Exception:
        """Turn the package's error into one that names field, value and remedy, without the key."""
        package, where, said = self._package, f"base_url={self.base_url!r}", self._said(str(error))
        cause = self._said(str(error.__cause__ or error))
        times, kept = f"{self.max_retries + 1} times", "the answers so far are kept"
        given = "api_key is refused" if self._secret else "api_key is not given"
        for kind, raised, message in (
            (
                (package.AuthenticationError, package.PermissionDeniedError), ValueError,
                f"{given} by {where} ({said}): set the environment's OPENAI_API_KEY, or pass api_key=…; it "
                f"must belong to this server and be allowed to use model={self.model!r}",
            ), (
                package.NotFoundError, ValueError,
                f"model={self.model!r} is not known at {where} ({said}): choose one that the server lists at "
                "…/models, and check that the address is right (most end in /v1)",
            ), (
                package.APITimeoutError, TimeoutError,
                f"{where} did not answer within timeout={self.timeout} s, {times}: raise timeout, or lower "
                f"workers; {kept}",
            ), (
                package.APIConnectionError, ConnectionError,
                f"no server answers at {where} ({cause}): start it, or mend the address; {kept}",
            ), (
                package.RateLimitError, ConnectionError,
                f"{where} refuses more questions ({said}), {times}: wait, check the account's quota, or "
                f"lower workers and raise max_retries; {kept}",
            ), (
                package.InternalServerError, ConnectionError,
                f"{where} fails ({said}), {times}: try later; {kept}",
            ),
        ):  # fmt: skip
            if isinstance(error, kind):
                return raised(message)
        return ValueError(
            f"{where} refuses the question to model={self.model!r} ({said}); if it names temperature, pass "
            "temperature=None; if the text is too long, lower max_text_chars"
        )

    def _warn(self, label: npt.NDArray[np.int64], confidence: Floats, replies: Sequence[str]) -> None:
        unusable = np.flatnonzero(label == ABSTAINED)
        if len(unusable) > len(label) / 2:
            example = replies[unusable[0]][:60]
            warnings.warn(
                f"{len(unusable)} of {len(label)} replies of {self.name} are no label name, such as "
                f"{example!r}: label_descriptions or demonstrations may help, or another model",
                stacklevel=3,
            )
        silent = int((np.isnan(confidence) & (label != ABSTAINED)).sum())
        if self.abstain_below > 0 and silent:
            warnings.warn(
                f"abstain_below={self.abstain_below} has no effect on {silent} of {len(label)} answers: the "
                "server gives no log-probabilities for them",
                stacklevel=3,
            )


def _without_secrets(url: str) -> str:
    """Return the address without user, password, query and fragment, any of which may hold a key."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))

"""A chat model behind an OpenAI-compatible API as annotator: a hosted one, vLLM, Ollama, llama.cpp."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import json
import math
import os
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nlkit._util import content_hash, invalid, progress
from nlkit.annotate import prompts
from nlkit.annotate.asking import Asking, Pace, QuestionError
from nlkit.annotate.base import ABSTAINED, Demonstrations, Request, answer_table, check_request
from nlkit.annotate.endpoint import Endpoint, checked_key
from nlkit.annotate.plan import Budget, Plan, price_of, token_counter
from nlkit.annotate.replies import Reading, Reply, label_scores, read_reply
from nlkit.annotate.store import AnswerStore, Keep, StoredAnswer, answered, open_store

__all__ = ["OpenAIChat"]

_OPENAI = "https://api.openai.com/v1"
_OURS = {"max_completion_tokens", "max_tokens", "messages", "model", "n", "stream"}  # budgets rest on them
_REPLY_TOKENS = 8  # a label or a small JSON object: assumed in plans until replies were counted

Floats = npt.NDArray[np.float64]


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
    replies : {"auto", "logprobs", "text"}
        "auto" asks for JSON with one of the labels, and for log-probabilities; "logprobs" for these alone;
        "text" for neither. What the server refuses on the first question is left out from then on (`lacks`).
    max_tokens : int, optional
        Most tokens of a reply, always sent. None: enough for a label. A model that reasons needs more.
    reasoning_effort : str, optional
        Sent if given, such as "low".
    extra_body : mapping, optional
        More fields of the request; they replace those of the same name.
    default_headers, default_query : mapping, optional
        Sent with every request; Azure wants ``default_query={"api-version": …}``.
    timeout : float
        Seconds to wait for one whole reply, however it trickles in.
    deadline : float
        Seconds for one question in all, with its retries.
    max_retries : int
        How often a question is asked again when the server is busy (408, 409, 429), fails (5xx), is too slow,
        breaks off, or does not answer; after the time that it asks for, or a growing random one. What is no
        chat completion is asked again once.
    workers : int
        Questions under way at the same time.
    requests_per_minute, tokens_per_minute : float, optional
        Spread questions, of all workers together, to stay below a limit of the server. Tokens: of prompts.
    budget : Budget, optional
        A purse that is never overdrawn; texts that it does not reach have the status "failed".
    price : (float, float), optional
        For a million tokens of prompts and of replies. None: by `nlkit.annotate.plan.PRICES`.
    abstain_below : float
        Abstain (-1) where the answer's probability is known and smaller.
    retry_unusable : bool
        Ask unusable answers (cut off, filtered, without a label), which were paid and are kept, again.
    label_descriptions : mapping, optional
        Label name -> what it stands for; Reuters' names have one built in.
    max_text_chars : int
        Queries and demonstrations are cut to this many characters.
    store : "default", path, AnswerStore or None
        Where answers are kept, so that nothing is asked (and paid) twice. None keeps nothing.

    Notes
    -----
    The reply must be one label name (`nlkit.annotate.replies.read_reply`). A reply alone says nothing about
    how sure the model was. Where the server gives the log-probabilities of the reply's tokens, the confidence
    and ``p_0`` … ``p_{C-1}`` are estimated from them (`nlkit.annotate.replies.label_scores`). Where it does
    not, the confidence is NaN, not 1, and the row is one-hot at the answered label: it says which label was
    named, not how probable it is. A text without a label has confidence NaN and a uniform row.

    One text that fails, or a broken reply, is a row with its status and reason; the next call asks it anew.
    When many in a row fail, or no other could be answered, the rest is not asked and fails for that reason.

    Ctrl-C stops the questions; those under way, which are paid, have two seconds, and none after a second
    Ctrl-C. All that came is in the store; the same call later asks only the rest. A thread of your own that
    annotates must be joined: once the main thread has ended, Python lets no other keep what comes.
    """

    simulated = False

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        temperature: float | None = 0.0,
        replies: str = "auto",
        max_tokens: int | None = None,
        reasoning_effort: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        deadline: float = 300.0,
        max_retries: int = 5,
        workers: int = 8,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        budget: Budget | None = None,
        price: tuple[float, float] | None = None,
        abstain_below: float = 0.0,
        retry_unusable: bool = False,
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
        if replies not in ("auto", "logprobs", "text"):
            invalid("replies", replies, "one of auto, logprobs, text")
        for field, limit in {
            "timeout": timeout,
            "deadline": deadline,
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
        }.items():
            if limit is not None and not limit > 0:
                invalid(field, limit, "more than 0")
        for field, value, least in (
            ("max_retries", max_retries, 0),
            ("workers", workers, 1),
            ("max_text_chars", max_text_chars, 1),
            ("max_tokens", 1 if max_tokens is None else max_tokens, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                invalid(field, value, f"an integer of at least {least}")
        if not 0 <= abstain_below <= 1:
            invalid("abstain_below", abstain_below, "a probability from 0 to 1")
        if taken := sorted(_OURS & {*(extra_body or {})}):
            invalid("extra_body", taken, f"other fields than {', '.join(sorted(_OURS))}")
        price = price_of(model) if price is None else price
        if budget is not None and budget.limit.money < math.inf and math.isnan(sum(price)):
            invalid("price", None, f"(prompt, completion) for a million tokens of {model}, to keep a budget")
        self.model = model
        self.temperature = temperature
        self.replies = replies
        self.reasoning_effort = reasoning_effort
        self.extra_body = dict(extra_body or {})
        self.workers = workers
        self.budget = budget
        self.abstain_below = abstain_below
        self.retry_unusable = retry_unusable
        self.label_descriptions = dict(label_descriptions or {})
        self.max_text_chars = max_text_chars
        self.name = model
        self.store = open_store(store)
        effort = {} if reasoning_effort is None else {"reasoning_effort": reasoning_effort}
        self.endpoint = Endpoint(
            model,
            base_url,
            checked_key(api_key or os.environ.get("OPENAI_API_KEY") or ""),
            temperature=temperature,
            timeout=timeout,
            deadline=deadline,
            max_retries=max_retries,
            replies=replies,
            max_tokens=max_tokens,
            extra=effort | self.extra_body,
            headers=default_headers or {},
            query=default_query or {},
            pace=Pace(requests_per_minute, tokens_per_minute),
            budget=budget,
            price=price,
        )
        self.base_url = self.endpoint.shown

    @property
    def lacks(self) -> frozenset[str]:
        """Optional fields that the server refused on the first question: they are not sent to it."""
        return self.endpoint.lacks

    def __repr__(self) -> str:
        lacks = f", lacks={sorted(self.lacks)}" if self.lacks else ""
        return (
            f"OpenAIChat({self.model!r}, base_url={self.base_url!r}, temperature={self.temperature}{lacks})"
        )

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
            known before this call and "none" for failed ones and empty texts, which are not asked;
            ``prompt_tokens`` is 0 where the server does not count them.

        Raises
        ------
        ValueError, TypeError
            For arguments that `nlkit.annotate.base.check_request` refuses. If nothing is answered, neither
            now nor before: for a wrong key, an unknown model, or an address that is no chat API.
        ConnectionError, TimeoutError
            If nothing is answered because no server answers, or it is still busy, failing or too slow after
            `max_retries`, or the account has no credit.
        ImportError
            If something must be asked and the package ``openai`` is missing.

        Warns
        -----
        UserWarning
            In one line, if texts failed or replies were unusable.
        """
        return self._annotate(texts, label_names, demonstrations, Event())

    async def aannotate(
        self, texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations = None
    ) -> pd.DataFrame:
        """Do as `annotate` while the running event loop, a notebook's for one, goes on; may be cancelled."""
        stop = Event()
        try:
            return await asyncio.to_thread(self._annotate, texts, label_names, demonstrations, stop)
        finally:
            stop.set()

    def ready(self, label_names: Sequence[str]) -> None:
        """Ask one question, kept as any other, so that what would stop an annotation shows before training.

        Where the store knows its answer, nothing is asked: a recorded run needs no server, and what is wrong
        with one shows at the first question that is new.

        Raises
        ------
        ValueError, ConnectionError, TimeoutError, ImportError
            As `annotate`.
        """
        if not self.endpoint.settled:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a text without content may well get no label
                self.annotate([prompts.CONTENT_FREE[0]], label_names)

    def plan(
        self, texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations = None
    ) -> Plan:
        """Return what `annotate` would ask and what that would cost; nothing is asked.

        Tokens are counted by the tokenizer in the model's folder, where `model` is one, or by the package
        tiktoken, where it is installed and knows the model. Else they are estimated from what the server
        counted so far, in this session and for the answers in the store.
        """
        request, names, asked = self._questions(texts, label_names, demonstrations)
        stored = {} if self.store is None else self.store.get(self.key(), asked, names)
        known = {prompt for prompt, answer in stored.items() if answer.status not in self._again}
        silent = known | self._empty(request, asked)
        missing = [prompt for prompt in dict.fromkeys(asked) if prompt not in silent]
        tally, timed = copy.copy(self.endpoint.tally), self.endpoint.tally
        for prompt, answer in stored.items():
            tally.add(prompt, answer.prompt_tokens, answer.completion_tokens)
        count = token_counter(self.model)
        read = sum(map(count or tally.estimate, missing))
        mean = tally.completion_tokens / tally.replies if tally.replies else _REPLY_TOKENS
        written = math.ceil(mean * len(missing))
        paced = self.endpoint.pace.seconds(read / max(1, len(missing))) * len(missing)
        latency = timed.seconds / timed.replies if timed.replies else math.nan
        slowest = np.fmax(latency * len(missing) / self.workers, paced if paced or not missing else math.nan)
        into, out = self.endpoint.price
        counted = "estimated from those counted so far" if tally.replies else "estimated, 4 bytes a token"
        return Plan(
            texts=len(asked),
            known=sum(prompt in known for prompt in asked),
            calls=len(missing),
            prompt_tokens=read,
            completion_tokens=written,
            money=(read * into + written * out) / 1e6,
            seconds=float(slowest),
            counted="counted" if count else counted,
        )

    def key(self) -> str:
        """Return what identifies this annotator's answers: server, model and what else changes them."""
        extra = {"effort": self.reasoning_effort, "body": self.extra_body}
        given: list[Any] = [self.replies] if self.replies != "auto" else []
        if any(extra.values()):
            given.append(content_hash(json.dumps(extra, sort_keys=True, default=repr)))
        return json.dumps(["openai", self.base_url, self.model, self.temperature, *given])

    def stored(self, prompt: str, label_names: Sequence[str], reply: Reply) -> StoredAnswer:
        """Return what is kept of a reply."""
        reading = read_reply(reply.text, label_names, reply.finish_reason)
        text = self.endpoint.secrets.hide(reply.text)  # some servers repeat what they are sent
        if read_reply(text, label_names, reply.finish_reason) != reading:  # a header may be like a label
            text = "" if reading.label == ABSTAINED else f"{label_names[reading.label]}\n"
        scores: Floats = np.full(len(label_names), np.nan)
        if reading.label != ABSTAINED:
            scores = label_scores(reading.label, label_names, reply.tokens)
        return StoredAnswer(
            prompt,
            scores,
            reply.prompt_tokens,
            text,
            reading.status,
            reading.reason,
            reply.completion_tokens,
            reply.finish_reason,
        )

    @property
    def _again(self) -> frozenset[str]:
        return frozenset({"unusable"} if self.retry_unusable else ())

    def _cut(self, text: str) -> str:
        return prompts.clean(text)[: self.max_text_chars].rstrip()

    def _questions(
        self, texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations
    ) -> tuple[Request, list[str], list[str]]:
        """Return the checked request, the label names as asked, and a prompt for each text."""
        request = check_request(texts, label_names, demonstrations)
        names = [prompts.clean(name) for name in request.label_names]
        if len(set(names)) < len(names):
            invalid("label_names", request.label_names, "names that differ in more than white space")
        described = list(prompts.describe(request.label_names, self.label_descriptions).values())
        asked = [
            prompts.chat(
                names,
                described,
                [d._replace(text=self._cut(d.text)) for d in [*request.shared, *request.own(i)]],
                self._cut(text),
            )
            for i, text in enumerate(request.texts)
        ]
        return request, names, asked

    def _empty(self, request: Request, asked: Sequence[str]) -> set[str]:
        """Return the prompts of texts that say nothing."""
        return {prompt for prompt, text in zip(asked, request.texts, strict=True) if not self._cut(text)}

    def _annotate(
        self, texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations, stop: Event
    ) -> pd.DataFrame:
        request, names, asked = self._questions(texts, label_names, demonstrations)
        failed: dict[str, QuestionError] = {}
        empty = self._empty(request, asked)
        answers, known = answered(
            self.store,
            self.key(),
            [q for q in asked if q not in empty],
            names,
            lambda missing, keep: failed.update(self._ask(missing, names, keep, stop)),
            again=self._again,
        )
        failures = {prompt: why for prompt, why in failed.items() if prompt not in answers}
        if failures and not answers and not self.endpoint.settled:
            last = [*failures.values()][-1]
            if last.kind is not None:
                raise last.kind(last.reason)
        n, C = len(asked), len(names)
        nothing, lost = StoredAnswer("", np.full(C, np.nan)), QuestionError("not asked")
        kept = [answers.get(prompt, nothing) for prompt in asked]
        # Read again: this version may understand a reply that the one which kept it did not.
        read = [
            read_reply(answers[prompt].reply, names, answers[prompt].finish_reason)
            if prompt in answers
            else Reading(ABSTAINED, "abstained", "the text is empty")
            if prompt in empty
            else Reading(ABSTAINED, "failed", failures.get(prompt, lost).reason)
            for prompt in asked
        ]
        label = np.array([reading.label for reading in read], dtype=np.int64)
        p, confidence = np.full((n, C), 1 / C), np.full(n, np.nan)
        for i, answer in enumerate(kept):
            if label[i] != ABSTAINED and np.isnan(answer.scores).any():
                p[i] = np.eye(C)[label[i]]
            elif label[i] != ABSTAINED:
                p[i] = np.exp(answer.scores)
                confidence[i] = p[i, label[i]]
        self._warn(read, [answer.reply for answer in kept], confidence)
        return answer_table(
            p,
            request.label_names,
            label=label,
            confidence=confidence,
            abstain_below=self.abstain_below,
            source=["store" if q in known else "model" if q in answers else "none" for q in asked],
            prompt_tokens=[answer.prompt_tokens for answer in kept],
            prompts=asked,
            status=[reading.status for reading in read],
            reason=[reading.reason for reading in read],
            finish_reason=[answer.finish_reason for answer in kept],
        )

    def _ask(
        self, missing: Sequence[str], names: Sequence[str], keep: Keep, stop: Event
    ) -> dict[str, QuestionError]:
        """Ask the server; `keep` gets the answers as they come. Return why the others have none."""
        if importlib.util.find_spec("openai") is None:
            raise ImportError(
                'OpenAIChat needs the package openai, which is not installed: pip install "nlkit[api]"'
            )

        @asynccontextmanager
        async def opened() -> AsyncIterator[Callable[[str], Awaitable[StoredAnswer]]]:
            async with self.endpoint.client() as client:

                async def ask(prompt: str) -> StoredAnswer:
                    return self.stored(prompt, names, await self.endpoint.ask(client, prompt, names))

                yield ask

        asking = Asking(opened, keep, workers=self.workers, proved=lambda: self.endpoint.settled, stop=stop)
        with progress(total=len(missing), desc=f"asking {self.name}", unit="text") as bar:
            asking.run(missing, bar)
        return asking.failed

    def _warn(self, read: Sequence[Reading], replies: Sequence[str], confidence: Floats) -> None:
        """Tell in one line what has no label, and why; that a model abstains now and then is no news."""
        count = Counter(reading.status for reading in read)
        if count["failed"] or count["unusable"] or count["abstained"] > len(read) / 2:
            without = [
                (r.reason, text) for r, text in zip(read, replies, strict=True) if r.label == ABSTAINED
            ]
            reason, _ = Counter(reason for reason, _ in without).most_common(1)[0]
            example = next(
                (f", such as {text[:60]!r}" for why, text in without if text and why == reason), ""
            )
            told = ", ".join(f"{count[s]} {s}" for s in ("failed", "unusable", "abstained") if count[s])
            remedy = {
                "failed": "the same call again asks the failed ones anew",
                "unusable": "for unusable replies a larger max_tokens with retry_unusable=True may help",
                "abstained": "label_descriptions or demonstrations may help",
            }
            warnings.warn(
                f"{len(without)} of {len(read)} texts have no label from {self.name} ({told}); most often: "
                f"{reason}{example}; {'; '.join(remedy[s] for s in remedy if count[s])}",
                stacklevel=4,
            )
        silent = sum(r.status == "answered" and math.isnan(c) for r, c in zip(read, confidence, strict=True))
        if self.abstain_below > 0 and silent:
            warnings.warn(
                f"abstain_below={self.abstain_below} has no effect on {silent} of {len(read)} answers: the "
                "server gives no log-probabilities for them",
                stacklevel=4,
            )

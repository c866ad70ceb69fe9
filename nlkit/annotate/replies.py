"""What a chat model's reply says: which label it names, if one, and how sure the model was of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nlkit.annotate.base import ABSTAINED
from nlkit.annotate.prompts import clean, harmless

__all__ = ["Reading", "Reply", "ReplyToken", "label_scores", "read_completion", "read_reply"]

_MARKS = "\"'`“”„‘’‚«»‹›*_# "
_TAG = "(?:think|thinking|thought|reasoning)"
_REASONED = re.compile(rf".*</{_TAG}>", re.S | re.I)
_REASONS = re.compile(rf"<{_TAG}>", re.I)
_FENCE = re.compile(r"```\w*\s*(.*?)\s*```", re.S)
_SAID = re.compile(r"[\W_]*(?:final )?(?:label|answer|category|class|topic)\W*[:=](.+)", re.I)
_BETWEEN = re.compile(r"[,;/|\n]|\bor\b|\band\b", re.I)


class ReplyToken(NamedTuple):
    """One token of a reply: its text, its log-probability, and what could have stood in its place."""

    text: str
    logprob: float
    alternatives: Sequence[tuple[str, float]]


class Reply(NamedTuple):
    """What a server sent: text, why it ended, tokens read and written (0: not counted), tokens if listed."""

    text: str
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens: Sequence[ReplyToken] = ()


class Reading(NamedTuple):
    """The number of the label that a reply names, or -1, with status and reason as in `answer_table`."""

    label: int
    status: str
    reason: str = ""


def read_completion(body: Any) -> Reply:
    """Return what a chat completion, decoded from JSON, says.

    The text may come in parts, of which those of reasoning are left out; what a model says when it refuses is
    its text, and its finish_reason "refusal". Lone surrogates, which no file could hold, are replaced.

    Raises
    ------
    ValueError
        If it is no chat completion.
    """
    match body:
        case {"choices": [{"message": {**message}, **choice}, *_]}:
            pass
        case _:
            raise ValueError("no chat completion")
    content, reason = message.get("content") or "", choice.get("finish_reason")
    if isinstance(content, list):
        content = "".join(
            str(part.get("text") or "")
            for part in content
            if isinstance(part, dict) and "text" in str(part.get("type"))
        )
    if message.get("refusal") and not content:
        content, reason = message["refusal"], "refusal"
    usage = body.get("usage")
    read, written = (_count(usage, field) for field in ("prompt_tokens", "completion_tokens"))
    return Reply(harmless(str(content)), str(reason or ""), read, written, _listed(choice.get("logprobs")))


def _count(usage: Any, field: str) -> int:
    value = usage.get(field) if isinstance(usage, dict) else 0
    # A negative count would be a refund, and SQLite keeps no integer of more than 64 bits.
    return value if isinstance(value, int) and 0 <= value < 2**31 else 0


def _listed(logprobs: Any) -> list[ReplyToken]:
    """Return the reply's tokens; none where a server lists them in another form, for the answer is good."""
    try:
        return [
            ReplyToken(*_token(t), [_token(a) for a in t["top_logprobs"]])
            for t in (logprobs or {}).get("content") or []
            if t["logprob"] is not None
        ]
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        return []


def _token(listed: Any) -> tuple[str, float]:
    return "" + listed["token"], float(listed["logprob"])  # refuses a token that is no text


def _bare(text: str) -> str:
    return clean(text).lstrip(_MARKS + "-•>").rstrip(_MARKS + ".,;:!")


def _folded(text: str) -> str:
    return _bare(text).casefold()


def _named(said: str, label_names: Sequence[str]) -> int:
    """Return the label that is all that is said; the strictest reading that names one counts."""
    for form in (clean, _bare, _folded):
        spoken = form(said)
        named = [c for c, name in enumerate(label_names) if form(name) == spoken]
        if spoken and len(named) == 1:
            return named[0]
    return ABSTAINED


def _json_says(text: str) -> list[str]:
    """Return the texts that stand where a JSON reply has its label."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if isinstance(value, dict):
        value = value["label"] if "label" in value else list(value.values())
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def read_reply(reply: str, label_names: Sequence[str], finish_reason: str = "") -> Reading:
    """Return which label a reply names, never by a guess.

    The whole reply, after any block of reasoning, must be one label name. Letter case, quotes, markdown, code
    fences and a final punctuation mark are forgiven; so are a JSON object with the label, and a line such as
    "Label: x" or "Answer: x", if no line names another. A sentence that mentions a label is no answer: it may
    just as well deny it. The strictest reading counts first, so names that differ only in what is forgiven
    are still told apart.

    A reply that names several labels, or refuses, counts as abstained. One without a label, or cut at the
    limit of tokens so that its last word may not be whole, is unusable.
    """
    if finish_reason == "refusal":
        return Reading(ABSTAINED, "abstained", "the model refuses")
    if finish_reason == "content_filter":
        return Reading(ABSTAINED, "unusable", "content filter")
    if finish_reason == "length" and not reply[-1:].isspace():
        return Reading(ABSTAINED, "unusable", "cut at max_tokens")
    text = _REASONED.sub("", reply, count=1).strip()
    if _REASONS.search(text):
        return Reading(ABSTAINED, "unusable", "reasoning without an end")
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1]
    if (label := _named(text, label_names)) != ABSTAINED:
        return Reading(label, "answered")
    lines = text.splitlines()
    marked = [match[1] for line in lines if (match := _SAID.fullmatch(line))]
    said = _json_says(text)
    parts = said or [*marked, *(lines if marked else _BETWEEN.split(text))]
    labels = {_named(part, label_names) for part in parts} - {ABSTAINED}
    if len(labels) > 1:
        return Reading(ABSTAINED, "abstained", "several labels named")
    # Without a mark, and where a line goes on with another text, a label is only mentioned.
    if labels and (marked or said) and not any(line.startswith("Text:") for line in lines):
        return Reading(labels.pop(), "answered")
    return Reading(ABSTAINED, "unusable", "no label named" if text else "empty reply")


def label_scores(
    answered: int, label_names: Sequence[str], tokens: Sequence[ReplyToken]
) -> npt.NDArray[np.float64]:
    """Estimate the log-probability of every label from a reply's tokens and their listed alternatives.

    The label is where the reply's last tokens that spell it are: after reasoning, marks or JSON. The answered
    label has the product of these tokens' probabilities. An alternative at one of them adds its probability,
    times that of the label's tokens before, to the label it begins; where it begins several, each gets an
    equal part. What begins no label is left out, and the rest is divided by its sum.

    Returns
    -------
    array of shape (C,)
        Log-probabilities, ``-inf`` for labels that no listed alternative begins; all NaN where the tokens do
        not spell the answered label (a server may list other tokens than those of the reply), or where none
        of them has an alternative.
    """
    names = [_folded(name) for name in label_names]
    for start in reversed(range(len(tokens))):
        mass = np.zeros(len(names))
        spelt, before, told = "", 0.0, False
        for token in tokens[start:]:
            for text, logprob in token.alternatives:
                beginning = _folded(spelt + text)
                if text == token.text:
                    continue
                told = True
                begun = [c for c, name in enumerate(names) if beginning and name.startswith(beginning)]
                if begun:
                    mass[begun] += np.exp(before + logprob) / len(begun)
            spelt, before = spelt + token.text, before + token.logprob
            if _folded(spelt) == names[answered]:
                mass[answered] += np.exp(before)
                if told and np.isfinite(mass).all() and mass[answered] > 0:
                    with np.errstate(divide="ignore"):
                        scores: npt.NDArray[np.float64] = np.log(mass / mass.sum())
                    return scores
                return np.full(len(names), np.nan)
            if not names[answered].startswith(_folded(spelt)):
                break
    return np.full(len(names), np.nan)

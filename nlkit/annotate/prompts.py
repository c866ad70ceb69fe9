"""The words put to a language model, and nothing else.

Tests and stored answers depend on every character here: an answer is found again by its prompt, so a change
asks everything anew and can move the accuracy measured by benchmarks/annotator.py.

A prompt for scoring is ``prefix + suffix``. The prefix (task, labels, shared demonstrations) is the same for
all texts of a call, so a model reads it once. Both parts and every label begin where a tokenizer splits
anyway (at a line break or a space), so reading them apart gives the same tokens as reading them together.
A chat model gets one message (`chat`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nlkit.annotate.base import Demonstration

__all__ = [
    "CONTENT_FREE",
    "DESCRIPTIONS",
    "LABEL_END",
    "chat",
    "clean",
    "continuation",
    "describe",
    "harmless",
    "prefix",
    "quoted",
    "suffix",
]

DESCRIPTIONS: dict[str, str] = {
    "acq": "mergers, acquisitions and stakes in companies",
    "crude": "crude oil and energy",
    "earn": "company earnings, profits and dividends",
    "grain": "grain, wheat and corn",
    "interest": "interest rates",
    "money-fx": "currencies and foreign exchange",
    "ship": "shipping and ports",
    "trade": "international trade and tariffs",
}
"""What the terse names of Reuters R8 stand for; other names describe themselves."""

CONTENT_FREE = ("N/A", "", "[MASK]")
"""Texts that say nothing: what a model answers to them is its bias (contextual calibration)."""

LABEL_END = "\n"
"""Closes a label, so that ``money`` and ``money-fx`` compete as wholes."""

_TASK = "Classify each text by its label."
_LABELS = "Labels:"
_CHAT_TASK = "Classify the last text by one of these labels:"
_CHAT_FORM = "Reply with the name of that label, spelt as in the list, and with nothing else."

_COMMAND = re.compile(r"\b(?:text|label)\s*:|<[|｜]\w{1,40}[|｜]>(?:\s*(?:system|user|assistant)\b)?", re.I)
_CONTROL = re.compile(r"<(?=[|｜]|/?s>|(?:start|end)_of_turn>)|\[(?=/?INST\])")


def clean(text: str) -> str:
    """Collapse all white space to single blanks, so that a text cannot end its own line of the template."""
    return harmless(" ".join(text.split()))


def harmless(text: str) -> str:
    """Replace lone surrogates, which can be neither sent nor stored, by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def describe(label_names: Sequence[str], descriptions: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a description per label: the user's, else the built-in one, else the name itself."""
    own = dict(descriptions or {})
    unknown = sorted(set(own) - set(label_names))
    if unknown:
        raise ValueError(f"label_descriptions name {unknown}, but the label names are {list(label_names)}")
    return {name: clean(own.get(name, DESCRIPTIONS.get(name, name))) for name in label_names}


def quoted(text: str) -> str:
    """Return a text as the template shows it, where it is data: in one line, with nothing to be obeyed.

    The template's own "Text:" and "Label:" are left out, and so is what chat formats take for the end of a
    message; a blank breaks up what is left of such. An ordinary text may have such words too, as in "record
    label: Sony", and loses them; all others stay as they are.
    """
    shown = clean(text)
    while _COMMAND.search(shown):  # what stood around one may be another
        shown = clean(_COMMAND.sub("", shown))
    return _CONTROL.sub(r"\g<0> ", shown)


def _block(text: str, word: str | None) -> str:
    answer = f" {word}" if word is not None else ""
    return f"\n\nText: {quoted(text)}".rstrip() + f"\nLabel:{answer}"


def _listed(words: Sequence[str], descriptions: Sequence[str]) -> list[str]:
    return [
        f"- {word}: {description}" if description != word else f"- {word}"
        for word, description in zip(words, descriptions, strict=True)
    ]


def prefix(
    words: Sequence[str], descriptions: Sequence[str] | None, demonstrations: Sequence[Demonstration] = ()
) -> str:
    """Return what all texts of a call share: task, label words with descriptions, shared demonstrations.

    Without `descriptions` the labels are not listed: demonstrations show them.
    """
    lines = [_TASK]
    if descriptions is not None:
        lines += [_LABELS, *_listed(words, descriptions)]
    return "\n".join(lines) + "".join(_block(d.text, words[d.label]) for d in demonstrations)


def suffix(words: Sequence[str], demonstrations: Sequence[Demonstration], query: str) -> str:
    """Return what is one text's own: its demonstrations, then the query with its label left open."""
    return "".join(_block(d.text, words[d.label]) for d in demonstrations) + _block(query, None)


def chat(
    words: Sequence[str], descriptions: Sequence[str], demonstrations: Sequence[Demonstration], query: str
) -> str:
    """Return the whole message put to a chat model, which writes its answer instead of being scored.

    One message, not a dialogue: some models know no system role, and what is sent is what a table shows.
    What all texts share stands first, where servers can reuse it.
    """
    task = "\n".join([_CHAT_TASK, *_listed(words, descriptions), _CHAT_FORM])
    return task + suffix(words, demonstrations, query)


def continuation(word: str) -> str:
    """Return the label word as it continues a prompt."""
    return f" {word}{LABEL_END}"

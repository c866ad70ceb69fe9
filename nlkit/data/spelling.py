"""What the values of label columns mean: which are one label written twice, and which look like no label.

Nothing is decided here. What is not sure becomes a `LabelError`: a table with counts, and a dictionary that
answers it when it is given back as ``label_map``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nlkit.data.checks import is_missing
from nlkit.data.readers import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LabelError", "fold", "integer", "looks_like_none", "spelled", "suspicious"]

ENDS = " \t\r\n.,;:!?\"'`*()[]{}<>“”‘’«»…"
LEAD = re.compile(r"^(the )?(label|category|class|topic|answer)\s*(:|=|is\b)\s*")
_NOTHING = (
    "?|??|???|-|--|n/a|na|nan|null|nil|none|unknown|unclear|undetermined|unsure|error|missing|abstain|skip|idk"
    "|not sure|no label|not applicable|unlabeled|unlabelled|cannot determine"
)
NOTHING = frozenset(_NOTHING.split("|"))
REFUSAL = re.compile(
    r"\b(i|we)( can ?not| can.?t| could ?n.t|( a|.)m (unable|not|sorry)| do(n.t| not)| apologi[sz]e)\b"
    r"|\bas an ai\b|\bsorry\b"
    r"|\b(cannot|can.t|(unable|impossible|hard|difficult) to) (be )?(determine|classif|decide|tell|say)"
    r"|\b(not enough|insufficient) (information|context)|\bnone of the|\bdoes(n.t| not) (fit|belong)"
)
SENTENCE = re.compile(r"\b(is|are|was|belongs|seems|appears|would|should|because|classified|about)\b")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")

ASK: Any = ...
"""Proposed where nothing can be: the person has to say."""


class LabelError(DataError):
    """Labels that may be others than they seem; nothing is read until ``label_map`` says what they are.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a value: value, count, column, why, proposed.
    label_map : dict of str to str or None
        The proposals: value -> class name; None is missing, and `...` has to be filled in.
    """

    def __init__(self, table: pd.DataFrame, file: str) -> None:
        self.table = table
        self.label_map = dict(zip(table["value"], table["proposed"], strict=True))
        shown = table.head(40).map(lambda cell: "..." if cell is ASK else str(cell)[:60])
        more = f"\n… {len(table) - 40} more: see the error's `table`" if len(table) > 40 else ""
        listed = ", ".join(f"{k!r}: {'...' if v is ASK else repr(v)}" for k, v in self.label_map.items())
        super().__init__(
            f"the labels hold {len(table)} values that may be no classes of their own",
            "Nothing was read. Say what they are: a class, itself (then it is a class of its own), or None "
            f"for a missing label (`...` has to be filled in):\nlabel_map={{{listed}}}\n"
            f"{shown.to_string(index=False)}{more}", file,
        )  # fmt: skip


def spelled(value: Any) -> str | None:
    """Return a label as text, or None when it is missing; 2.0 is 2: so pandas writes integers with gaps."""
    if not isinstance(value, str):
        return (
            None
            if is_missing(value)
            else _tidy(str(value).lower() if isinstance(value, bool) else str(value))
        )
    return _tidy(value)


@lru_cache(4096)
def _tidy(value: str) -> str | None:
    raw = value.strip()
    return re.sub(r"\.0+$", "", raw) if re.fullmatch(r"[+-]?\d{1,9}\.0+", raw) else raw or None


def integer(raw: str) -> int | None:
    """Return the integer that a label is, or None."""
    return int(raw) if re.fullmatch(r"[+-]?[0-9]{1,9}", raw) else None


def fold(raw: str) -> str:
    """Return what spellings of one label share: no case, invisible signs, leading 0 or outer punctuation."""
    text = unicodedata.normalize("NFKC", raw).casefold()
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    text = LEAD.sub("", text.strip(ENDS)).strip(ENDS) or text
    text = re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", text)
    number = integer(text)
    return text if number is None else str(number)


def looks_like_none(raw: str) -> str:
    """Return why a value looks like no label, or ""."""
    text = fold(raw)
    if text in NOTHING or raw.casefold() in NOTHING:
        return "no label"
    if raw[0] in "[{":
        return "a list"
    if NUMBER.fullmatch(raw) and (integer(raw) is None or int(raw) < 0):
        return "a negative number" if integer(raw) is not None else "a score"
    if REFUSAL.search(text.replace("’", "'")):
        return "a refusal"
    return "a sentence" if len(text.split()) > 3 and SENTENCE.search(text) else ""


def suspicious(
    count: Mapping[str, int], names: Sequence[str], classes: Collection[str], closed: str,
    pairs: Counter[tuple[Any, ...]],
) -> dict[str, tuple[str, Any]]:  # fmt: skip
    """Return why a value may be no class of its own, and what it is proposed to be, value by value.

    Parameters
    ----------
    count
        Value, as `spelled`, -> how often it occurs; only values whose meaning is not known yet.
    names
        Classes in the order of their numbers, as far as that is known; as values they are asked about.
    classes
        Classes that were named in answer to a question.
    closed
        Why there can be no others; "" if there can.
    pairs
        How often two labels stand in one row: a number is proposed to be the name it stands beside most.
    """
    found: dict[str, tuple[str, Any]] = {}
    plain = []
    # Of several spellings the first one is the class: the most frequent, else the shortest.
    for raw in sorted(count, key=lambda raw: (-count[raw], len(raw), raw.swapcase())):
        if reason := looks_like_none(raw):
            found[raw] = (reason, None)
        else:
            plain.append(raw)
    numbers = [raw for raw in plain if integer(raw) is not None]
    if any(integer(raw) is None for raw in [*plain, *names, *classes]):
        stand_for = {raw: _stands_for(raw, names, pairs) for raw in numbers}
        if len(set(stand_for.values())) < len(numbers):
            stand_for = dict.fromkeys(numbers, ASK)
        why = "a number beside names"
        found |= {raw: (closed or why if name is ASK else why, name) for raw, name in stand_for.items()}
    sure = [*(name for name in names if name not in count), *classes]
    known = {fold(name): name for name in sure}
    for raw in plain:
        if raw in found:
            continue
        if (same := known.setdefault(fold(raw), raw)) != raw:
            found[raw] = (f"{same!r} in another spelling", same)
        elif closed and raw not in names:
            found[raw] = (closed, ASK)
    for raw in (raw for raw, (reason, _) in found.items() if reason == "a sentence"):
        held = {name for key, name in known.items() if re.search(rf"\b{re.escape(key)}\b", fold(raw))}
        found[raw] = ("a sentence", held.pop() if len(held) == 1 else None)
    return found


def _stands_for(raw: str, names: Sequence[str], pairs: Counter[tuple[Any, ...]]) -> Any:
    """Return the name that a number stands for: by its place, or beside most in the other column."""
    if names:
        return names[int(raw)] if 0 <= int(raw) < len(names) else ASK
    beside = ((a, b) if b == raw else (b, a) for (a, b), _ in pairs.most_common() if raw in (a, b))
    return next((name for name, _ in beside if name is not None and integer(name) is None), ASK)

"""Eight groups of 20 Newsgroups that a class can judge by reading, under plain names and without headers.

The packaged posts have lost their headers but for the subject; what is left of them in the text, the lines
that say who wrote what in which article, tells the topic by names and is cut.
"""

from __future__ import annotations

import re

from nlkit.data.readers import Table

__all__ = ["GROUPS", "readable", "without_headers"]

GROUPS = {
    "comp.graphics": "graphics",
    "misc.forsale": "for sale",
    "rec.autos": "cars",
    "rec.sport.baseball": "baseball",
    "sci.crypt": "encryption",
    "sci.med": "medicine",
    "sci.space": "space",
    "soc.religion.christian": "Christianity",
}
"""Group -> what it is called here."""

# "in article abc news site edu me site edu my name writes": only letters and spaces are left of a post.
QUOTED = re.compile(r"\bin (?:article|message) (?:\S+ ){1,25}?(?:writes|wrote|says|said)\b")
HEADERS = re.compile(
    r"^(?:(?:re|fwd) )+|\bnntp posting host(?: \S+){1,4}|\b(?:reply to|x newsreader)(?: \S+){1,3}"
)


def without_headers(text: str) -> str:
    """Return a post without "re", and without who wrote what in which article."""
    return " ".join(HEADERS.sub("", QUOTED.sub("", text)).split())


def readable(table: Table) -> Table:
    """Return the posts of `GROUPS` that have twenty words or more, with plain names and without headers."""
    rows = zip(table.columns["label"], table.columns["text"], strict=True)
    kept = {
        i: text for i, (label, raw) in enumerate(rows)
        if label in GROUPS and (text := without_headers(raw)).count(" ") >= 19
    }  # fmt: skip
    chosen = table.select(list(kept))
    chosen.columns["label"] = [GROUPS[label] for label in chosen.columns["label"]]
    chosen.columns["text"] = list(kept.values())
    return chosen

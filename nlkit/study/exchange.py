"""Suspects out to a labelling tool and decisions back: Argilla's records and Label Studio's tasks, as JSON.

Neither tool is needed here. For Argilla it is the list that its ``dataset.records.from_json`` and ``to_json``
read and write, for Label Studio the basic JSON of its import and export (not JSON-MIN). In both the field is
called ``text`` and the question ``label``.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from nlkit._util import atomic_write, expanded
from nlkit.data.checks import check_choice
from nlkit.data.loading import same_text
from nlkit.study.decisions import Decisions

__all__ = ["TOOLS", "from_tool", "label_studio_config", "to_tool"]

TOOLS = ("argilla", "label-studio")


def to_tool(decisions: Decisions, path: str | os.PathLike[str], *, tool: str) -> Path:
    """Write the suspects that are not decided, what helps most first, with their proposals as suggestions.

    Parameters
    ----------
    decisions : Decisions
        Such as `nlkit.review` has: ``nk.review(…).decisions``.
    path
        A .json file; what is there is replaced.
    tool : str
        "argilla": for ``dataset.records.from_json``; the dataset needs a text field ``text`` and a label
        question ``label`` with the class names. "label-studio": to be imported in a project that is set up by
        `label_studio_config`.

    Returns
    -------
    pathlib.Path
        Where it is.
    """
    check_choice("tool", tool, TOOLS)
    table, make = decisions.found.table, _record if tool == "argilla" else _task
    entries = [
        make(key, table.loc[place]) for key, place in _places(decisions).items()
        if place not in decisions.decided
    ]  # fmt: skip
    target = expanded(path)
    with atomic_write(target) as temporary:
        temporary.write_text(json.dumps(entries, ensure_ascii=False, indent=1), "utf-8")
    return target


def from_tool(decisions: Decisions, path: str | os.PathLike[str]) -> int:
    """Take the decisions that people made in Argilla or Label Studio; return how many.

    Parameters
    ----------
    decisions : Decisions
        Of the same data. What is decided in the file counts more than what was decided before.
    path
        JSON that the tool wrote. Texts that nobody answered, and those skipped or cancelled, stay undecided.

    Raises
    ------
    ValueError
        If the file is no such JSON, or of other texts or classes; nothing is taken then.

    Warns
    -----
    UserWarning
        If people disagree on a text: it stays undecided.
    """
    file = expanded(path)
    try:
        entries = json.loads(file.read_text("utf-8"))
        told = [_told(entry) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        remedy = "export it as JSON from Argilla (records.to_json) or Label Studio (JSON, not JSON-MIN)"
        raise ValueError(f"{file} cannot be read ({error!r}): {remedy}") from error
    places, table = _places(decisions), decisions.found.table
    names, made, split = decisions.found.names, [], []
    for key, text, labels in told:
        place = places.get(key)
        if place is None or same_text(text) != same_text(table["text"][place]):
            raise ValueError(
                f"{file}: {key!r} is no suspect of these data: choose the file that belongs to them"
            )
        if unknown := sorted(set(labels) - set(names)):
            raise ValueError(
                f"{file}: {key!r} has the label {unknown[0]!r}, which is none of {', '.join(names)}"
            )
        if len(set(labels)) == 1:
            made.append((place, labels[0]))
        elif labels:
            split.append(f"{key} ({', '.join(f'{n} × {name}' for name, n in Counter(labels).most_common())})")
    if split:
        shown = ", ".join(split[:5]) + ", …" * (len(split) > 5)
        warnings.warn(f"{file}: people disagree on {len(split)} texts, left undecided: {shown}", stacklevel=2)
    decisions.decide_all(made)
    return len(made)


def label_studio_config(names: list[str]) -> str:
    """Return the labelling configuration that a Label Studio project needs for these classes."""
    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in names)
    return (
        '<View><Text name="text" value="$text"/>'
        f'<Choices name="label" toName="text" choice="single" showInLine="true">{choices}</Choices></View>'
    )


def _places(decisions: Decisions) -> dict[str, int]:
    """Return the suspects in their order by what they are called outside: ids, if these tell them apart."""
    ids = decisions.found.table["id"].astype(str)
    return {(ids[place] if ids.is_unique else f"row {place}"): place for place in decisions.order}


def _seen(row: Any) -> dict[str, Any]:
    return {
        "label_as_found": row["noisy_label"],
        "confidence": float(row["confidence"]),
        "reason": row["reason"],
    }


def _record(key: str, row: Any) -> dict[str, Any]:
    suggestion = {"value": row["proposal"], "score": float(row["confidence"]), "agent": "nlkit"}
    return {
        "id": key, "fields": {"text": row["text"]}, "metadata": _seen(row),
        "suggestions": {"label": suggestion}, "responses": {}, "vectors": {}, "_server_id": None,
    }  # fmt: skip


def _task(key: str, row: Any) -> dict[str, Any]:
    choice = {
        "from_name": "label",
        "to_name": "text",
        "type": "choices",
        "value": {"choices": [row["proposal"]]},
    }
    predicted = {"model_version": "nlkit", "score": float(row["confidence"]), "result": [choice]}
    # A task's own "id" is Label Studio's.
    return {"data": {"key": key, "text": row["text"], **_seen(row)}, "predictions": [predicted]}


def _told(entry: dict[str, Any]) -> tuple[str, str, list[str]]:
    """Return what a text is called, the text, and the labels that people gave it."""
    if "fields" in entry:  # Argilla
        answers = entry["responses"].get("label", [])
        return entry["id"], entry["fields"]["text"], [answer["value"] for answer in answers]
    kept = [one for one in entry["annotations"] if not one.get("was_cancelled")]
    results = [result for one in kept for result in one["result"] if result["from_name"] == "label"]
    return entry["data"]["key"], entry["data"]["text"], [result["value"]["choices"][0] for result in results]

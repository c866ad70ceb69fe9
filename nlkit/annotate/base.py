"""What every annotator is asked and what it answers: demonstrations, protocol, table of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from nlkit._util import invalid

__all__ = [
    "ABSTAINED",
    "DECIDED",
    "Annotator",
    "Demonstration",
    "Request",
    "annotator_name",
    "answer_table",
    "candidate_sets",
    "check_annotator",
    "check_request",
    "checked_answers",
]

ABSTAINED = -1

DECIDED = 0.9
"""Probability that a candidate set holds, if so few labels can."""


class Demonstration(NamedTuple):
    """One solved example shown to the annotator before the query."""

    text: str
    label: int


Demonstrations = Sequence[Demonstration] | Sequence[Sequence[Demonstration]] | None


@runtime_checkable
class Annotator(Protocol):
    """Whatever gives labels to texts: a local language model, an API, or a simulation.

    `name` is what tables and legends show; `simulated` is True where the answers come from the truth.
    One that also has ``ready(label_names)`` is asked by `NoiseAL`, before it trains, whether it will work.
    """

    name: str
    simulated: bool

    def annotate(
        self, texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations = None
    ) -> pd.DataFrame:
        """Label `texts`; see `answer_table` for the columns.

        `demonstrations` is None (zero-shot), one flat list shown with every text, or one list per text.
        """
        ...


def annotator_name(annotator: Any) -> str:
    """Return what tables call an annotator, even one of the user's own making without a name."""
    return str(getattr(annotator, "name", type(annotator).__name__))


def check_annotator(annotator: Any) -> None:
    """Raise ValueError unless this is a model's name or an object with ``annotate``."""
    named = isinstance(annotator, str)
    if not named and (isinstance(annotator, type) or not callable(getattr(annotator, "annotate", None))):
        invalid(
            "annotator", annotator,
            "a model name such as 'smollm2', or an object with annotate(texts, label_names, demonstrations)",
        )  # fmt: skip


def checked_answers(answers: Any, n: int, n_classes: int, name: str) -> pd.DataFrame:
    """Return an annotator's answers to n texts if they can be used.

    Raises
    ------
    ValueError
        If they are not a table of n rows with ``label`` from −1 to C − 1 and ``confidence``.
    """
    who = f"the annotator {name!r}"
    if not isinstance(answers, pd.DataFrame) or not {"label", "confidence"} <= set(answers.columns):
        raise ValueError(f"{who} must answer with a DataFrame that has the columns label and confidence")
    if len(answers) != n:
        raise ValueError(f"{who} gave {len(answers)} answers to {n} texts")
    label = answers["label"].to_numpy()
    if not np.issubdtype(label.dtype, np.integer) or not ((label >= ABSTAINED) & (label < n_classes)).all():
        raise ValueError(
            f"{who} answered {sorted(set(label.tolist()))}; allowed are the class numbers 0 to "
            f"{n_classes - 1}, and {ABSTAINED} to abstain"
        )
    return answers


def candidate_sets(answers: pd.DataFrame, n_classes: int, most: int) -> npt.NDArray[np.float32]:
    """Return what each answer says as a target of shape (n, C): the answer, or a few labels that it is among.

    A set has the answer and then the likeliest labels until it holds `DECIDED` of the probability, but no
    more than `most` labels; they share the row, which sums to 1, by their probabilities. An answer without
    probabilities (columns ``p_0`` …) stands alone; a row without an answer is 0.
    """
    label = answers["label"].to_numpy()
    alone = np.eye(n_classes + 1, dtype=np.float32)[label, :-1]  # −1, abstained, is the last row
    columns = [f"p_{c}" for c in range(n_classes)]
    if most == 1 or not set(columns) <= set(answers.columns):
        return alone
    p = answers[columns].to_numpy(np.float64)
    order = np.argsort(-(p + 2 * alone), axis=1, kind="stable")  # the answer, then by probability
    sorted_p = np.take_along_axis(p, order, axis=1)
    held = np.cumsum(sorted_p, axis=1) - sorted_p  # by the labels before
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, (held < DECIDED) & (np.arange(n_classes) < most), axis=1)
    target = p * kept * (label >= 0)[:, None]
    total = target.sum(axis=1, keepdims=True)
    found: npt.NDArray[np.float32] = np.where(total > 0, target / np.maximum(total, 1e-12), alone)
    return found.astype(np.float32)


@dataclass(frozen=True)
class Request:
    """A checked question: n texts, C label names, shared demonstrations and, perhaps, one list per text."""

    texts: list[str]
    label_names: list[str]
    shared: list[Demonstration]
    per_text: list[list[Demonstration]] | None

    @property
    def zero_shot(self) -> bool:
        """Whether no text comes with a demonstration."""
        return not self.shared and not any(self.per_text or [])

    def own(self, i: int) -> list[Demonstration]:
        """Return the demonstrations of text `i` alone (not the shared ones)."""
        return self.per_text[i] if self.per_text is not None else []


def _is_demonstration(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def _check_demonstrations(items: Sequence[Any], where: str, n_labels: int) -> list[Demonstration]:
    for i, item in enumerate(items):
        if not _is_demonstration(item):
            invalid(f"{where}[{i}]", item, "a Demonstration(text, label) with a string and an integer")
        label = item[1]
        if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < n_labels:
            invalid(
                f"{where}[{i}].label", label,
                f"an integer class number from 0 to {n_labels - 1} (drop missing labels first)",
            )  # fmt: skip
    return [Demonstration(text, int(label)) for text, label in items]


def check_request(
    texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations
) -> Request:
    """Check the arguments of `Annotator.annotate` and bring them into one form.

    Raises
    ------
    TypeError
        If `texts` or `label_names` is a single string, or holds something else than strings.
    ValueError
        If there are fewer than two label names, names repeat or are blank, a demonstration's label is out of
        range, or the number of demonstration lists differs from the number of texts.
    """
    for field, value in (("texts", texts), ("label_names", label_names)):
        if isinstance(value, str):
            raise TypeError(f"{field} must be a sequence of strings, not one string: write [{value[:40]!r}]")
        for i, item in enumerate(value):
            if not isinstance(item, str):
                raise TypeError(f"{field}[{i}] is {type(item).__name__}, not a string: drop or convert it")
    names = list(label_names)
    if len(names) < 2:
        invalid("label_names", names, "at least two label names")
    if any(not name.strip() for name in names) or len(set(names)) < len(names):
        invalid("label_names", names, "every name once, and no blank names")
    items: list[Any] = list(demonstrations or [])
    if all(_is_demonstration(item) for item in items):
        return Request(list(texts), names, _check_demonstrations(items, "demonstrations", len(names)), None)
    if any(_is_demonstration(item) or isinstance(item, str) for item in items):
        invalid(
            "demonstrations", "a mixture", "one flat list of demonstrations, or one list of them per text"
        )
    if len(items) != len(texts):
        invalid("len(demonstrations)", len(items), f"one list per text, so {len(texts)} lists")
    own = [_check_demonstrations(d, f"demonstrations[{i}]", len(names)) for i, d in enumerate(items)]
    return Request(list(texts), names, [], own)


def answer_table(
    probabilities: npt.NDArray[np.floating[Any]],
    label_names: Sequence[str],
    *,
    label: npt.NDArray[np.int64] | None = None,
    confidence: npt.NDArray[np.float64] | None = None,
    abstain: npt.NDArray[np.bool_] | None = None,
    abstain_below: float = 0.0,
    source: Sequence[str],
    prompt_tokens: Sequence[int],
    prompts: Sequence[str],
    status: Sequence[str] | None = None,
    reason: Sequence[str] | None = None,
    finish_reason: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Build the table that every annotator returns, one row per text in the order asked.

    Parameters
    ----------
    probabilities : array of shape (n, C)
        Probability of each label; rows are divided by their sum.
    label : array of shape (n,), optional
        The answers, where they are known by other means than the largest probability.
    confidence : array of shape (n,), optional
        The probability of each answer, where it is not the largest of its row; NaN: not known.
    abstain : array of shape (n,), optional
        True where the annotator gave no usable answer. `abstain_below` adds the rows whose confidence is
        smaller; an unknown confidence (NaN) is not smaller.
    status, reason, finish_reason : sequence of n strings, optional
        As below, where an API's replies say more than that there is a label.

    Returns
    -------
    DataFrame
        Columns ``label`` (int64, -1 = abstained), ``label_name`` ("" = abstained), ``confidence`` (the
        largest probability, unless given), ``p_0`` ... ``p_{C-1}`` (rows sum to 1), ``source`` ("model" or
        "store"), ``prompt_tokens``, ``prompt``, ``status`` ("answered"; "abstained": the annotator named no
        label; "unusable": what came cannot be read; "failed": nothing came), ``reason`` of every other status
        than "answered", and ``finish_reason``, an API's word why a reply ended ("" for others).
    """
    p = np.asarray(probabilities, dtype=np.float64).reshape(-1, len(label_names))
    p = p / p.sum(axis=1, keepdims=True)
    if confidence is None:
        confidence = p.max(axis=1, initial=0.0)
    label = p.argmax(axis=1).astype(np.int64) if label is None else label.copy()
    state = pd.Series("answered" if status is None else list(status), index=range(len(label)), dtype="str")
    why = pd.Series("" if reason is None else list(reason), index=range(len(label)), dtype="str")
    unsure = (confidence < abstain_below) & (label != ABSTAINED)
    label[unsure] = ABSTAINED
    why[unsure] = f"confidence below {abstain_below}"
    if abstain is not None:
        label[abstain] = ABSTAINED
    state[(label == ABSTAINED) & (state == "answered")] = "abstained"
    why[(state != "answered") & (why == "")] = "no label given"
    columns: dict[str, Any] = {
        "label": label,
        "label_name": [label_names[c] if c != ABSTAINED else "" for c in label],
        "confidence": confidence,
    }
    columns |= {f"p_{c}": p[:, c] for c in range(len(label_names))}
    columns |= {
        "source": list(source),
        "prompt_tokens": np.asarray(prompt_tokens, dtype=np.int64),
        "prompt": list(prompts),
        "status": state,
        "reason": why,
        "finish_reason": [""] * len(label) if finish_reason is None else list(finish_reason),
    }
    texts = ("label_name", "source", "prompt", "status", "reason", "finish_reason")
    return pd.DataFrame(columns).astype(dict.fromkeys(texts, "str"))

"""Labels made by a language model: zero-shot, few-shot with fixed demonstrations, or with retrieved ones.

The noise in such labels is real: it depends on the text, it is not spread evenly over the classes, and a
whole class may be mistaken for another. `nlkit.noise.noise_report` says what it looks like.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict

from nlkit._util import invalid
from nlkit.annotate.base import Annotator, Demonstration, annotator_name, checked_answers
from nlkit.annotate.examples import fixed, retrieve
from nlkit.annotate.local import as_annotator
from nlkit.annotate.prompts import clean
from nlkit.data.checks import check_count, class_names, texts_of
from nlkit.data.observed import with_column
from nlkit.noise.report import noise_report

__all__ = ["label_with_llm", "llm_answers"]

_LABELLED = ("train", "validation")


def label_with_llm(
    ds: DatasetDict,
    annotator: str | Annotator,
    shots: int = 0,
    pool: Dataset | None = None,
    *,
    seed: int = 0,
    encoder: str = "minilm",
    splits: Sequence[str] = _LABELLED,
    return_report: bool = False,
) -> Any:
    """Let an annotator label train and validation: its answers become the column `noisy_label`.

    Parameters
    ----------
    ds
        Needs `text` and, for the names of the C classes, a `ClassLabel`: `label`, or else `noisy_label`. An
        older `noisy_label` is replaced; `label` and test stay as they are.
    annotator
        A model's name, such as "smollm2", for ``LocalLLM(name, precision="auto")``; or an annotator, with
        the settings of your choice (calibration, label words, abstention …).
    shots
        0: zero-shot. k > 0: k solved examples of each class, or from `pool` the k nearest ones in all.
    pool
        None: the demonstrations are fixed. They are k texts of each class, drawn from ``ds["train"]`` with
        their true labels; these k · C labels are the only ones used. All texts are shown the same, in k
        rounds over the classes. A text that is itself a demonstration is asked with the other ones.
        A dataset with `text` and `label`, the same classes and true labels (see `gold_pool`): each text is
        shown the k nearest ones by the encoder's embeddings, the nearest last and never the text itself.
    seed
        Seed of the draw of fixed demonstrations.
    encoder
        With `pool`: the encoder that says which texts are near.
    splits
        Which of train and validation to label; those that `ds` lacks are passed over.
    return_report
        Also return how many texts got an answer and, where the truth is known, how many wrong ones.

    Returns
    -------
    datasets.DatasetDict
        A new one; `noisy_label` is -1 where the annotator abstained.
    pandas.DataFrame
        Only with ``return_report=True``, as the second of two: columns split, n, answered, abstained and rate
        (fraction wrong among the answered texts with a true label; NaN when there are none).

    Warns
    -----
    UserWarning
        If a class has no text for a fixed demonstration.

    Notes
    -----
    The texts of all splits are asked in one call, so ``calibration="batch"`` averages over all of them. A
    `LocalLLM` or `OpenAIChat` keeps its answers in its store: after an interruption, the same call asks only
    for the rest. An `OpenAIChat` also keeps within its `Budget`; texts beyond it count as abstained.
    """
    answers = llm_answers(ds, annotator, shots, pool, seed=seed, encoder=encoder, splits=splits)
    result, rows = type(ds)(ds), []
    chosen = list(dict.fromkeys(answers["split"]))
    feature = ClassLabel(names=_names(ds, chosen))
    for split in chosen:
        own = answers.loc[answers["split"] == split, "label"].to_numpy(np.int64)
        result[split] = with_column(ds[split], "noisy_label", own.tolist(), feature)
        if return_report:
            judged = "label" in ds[split].column_names
            rate = noise_report(result, split).rate if judged else float("nan")
            rows.append((split, len(own), int((own >= 0).sum()), int((own < 0).sum()), rate))
    if not return_report:
        return result
    return result, pd.DataFrame(rows, columns=["split", "n", "answered", "abstained", "rate"])


def llm_answers(
    ds: DatasetDict,
    annotator: str | Annotator,
    shots: int = 0,
    pool: Dataset | None = None,
    *,
    seed: int = 0,
    encoder: str = "minilm",
    splits: Sequence[str] = _LABELLED,
) -> pd.DataFrame:
    """Ask as `label_with_llm` does, and return all that was answered: confidence and probabilities too.

    Parameters
    ----------
    ds, annotator, shots, pool, seed, encoder, splits
        As in `label_with_llm`.

    Returns
    -------
    DataFrame, one row a text
        split and index, its place there; then what the annotator gives (`nlkit.annotate.base.answer_table`):
        label, -1 where it abstained, confidence, p_0 … p_{C-1}, prompt …
    """
    check_count("shots", shots)
    check_count("seed", seed)
    if pool is not None and shots == 0:
        invalid("shots", shots, "at least 1 with a pool: how many of it each text is shown; or pool=None")
    named = [splits] if isinstance(splits, str) else list(splits)
    if unknown := [split for split in named if split not in _LABELLED]:
        invalid("splits", unknown, "only train and validation are labelled; test keeps its true labels")
    chosen = [split for split in _LABELLED if split in named and split in ds]
    if not chosen:
        invalid("splits", named, f"at least one that ds has; it has {sorted(ds)}")
    texts = {split: texts_of(ds[split], f"ds[{split!r}]") for split in chosen}
    names = _names(ds, chosen)
    everything = [text for split in chosen for text in texts[split]]
    annotator = as_annotator(annotator, names)  # a missing model is found before the texts are embedded
    if pool is None:
        shown = fixed(ds, names, shots, seed) if shots else []
        answers = _ask_with_fixed(annotator, everything, names, shown)
    else:
        if "label" in (getattr(pool, "column_names", None) or []):  # what else it needs `retrieve` checks
            _check_names("pool", class_names(pool, "label", "pool"), "ds", names)
        answers = _ask(annotator, everything, names, retrieve(everything, pool, shots, encoder=encoder)[0])
    places = [(split, i) for split in chosen for i in range(len(texts[split]))]
    where = pd.DataFrame(places, columns=["split", "index"])
    return pd.concat([where, answers], axis=1)


def _names(ds: DatasetDict, splits: Sequence[str]) -> list[str]:
    """Return the C class names; their column's features are looked at, not its values."""
    found = {}
    for split in splits:
        column = next((c for c in ("label", "noisy_label") if c in ds[split].column_names), None)
        if column is None:
            invalid(
                f"ds[{split!r}]", ds[split].column_names,
                "a column `label` or `noisy_label` of type ClassLabel, which has the names of the classes",
            )  # fmt: skip
        found[split] = class_names(ds[split], column, split)
    names = found[splits[0]]
    if len(names) < 2:
        invalid("label_names", names, "at least two classes to choose from")
    for split, others in found.items():
        _check_names(split, others, splits[0], names)
    return names


def _check_names(place: str, names: list[str], other: str, expected: list[str]) -> None:
    if names != expected:
        invalid(f"the classes of {place}", names, f"those of {other}, in that order: {expected}")


def _ask(annotator: Any, texts: Sequence[str], names: Sequence[str], demonstrations: Any) -> pd.DataFrame:
    answers = annotator.annotate(list(texts), list(names), demonstrations)
    return checked_answers(answers, len(texts), len(names), annotator_name(annotator))


def _ask_with_fixed(
    annotator: Any, texts: Sequence[str], names: Sequence[str], shown: list[Demonstration]
) -> pd.DataFrame:
    """Show all texts the same demonstrations, but none of them itself; no demonstrations: zero-shot."""
    given = {clean(d.text) for d in shown}
    is_shown = np.array([clean(text) in given for text in texts], dtype=bool)
    others, own = np.flatnonzero(~is_shown).tolist(), np.flatnonzero(is_shown).tolist()
    asked: list[tuple[list[int], pd.DataFrame]] = []
    if others:
        asked.append((others, _ask(annotator, [texts[i] for i in others], names, shown or None)))
    left = {i: [d for d in shown if clean(d.text) != clean(texts[i])] for i in own}
    if own and getattr(annotator, "calibration", None) == "batch":
        # Together: a batch of one text, calibrated by its own mean, would say nothing.
        asked.append((own, _ask(annotator, [texts[i] for i in own], names, list(left.values()))))
    else:
        # Apart: shared demonstrations are what the default calibration asks for.
        asked += [([i], _ask(annotator, [texts[i]], names, left[i] or None)) for i in own]
    return pd.concat([table.set_axis(rows) for rows, table in asked]).sort_index()

"""Load text classification data: packaged sets, files of your own, sets on the Hugging Face hub.

Whatever the source, the result is a `datasets.DatasetDict` with the splits train, validation and test and the
columns ``text``, ``label`` and, when the source has it, ``noisy_label``; -1 means that a label is missing.
Three rules hold for every source:

- The test split is the official one. A training or validation row whose text also occurs in test is left out
  (R8 has 5 such rows, R52 8, 20 Newsgroups 7), and no text is in both train and validation. Copies inside one
  split stay.
- Draws are stratified and depend on `seed` alone. Classes too rare to be drawn keep their place in the names.
- Rows that are left out, malformed or copied, are counted: files give a `DataWarning`, and
  ``return_report=True`` lists every one of them.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlkit._util import invalid
from nlkit.data import packaged as assets
from nlkit.data.checks import check_count
from nlkit.data.hub import HUB, from_hub
from nlkit.data.labels import Part, check_columns, coding_of, to_part
from nlkit.data.readers import DataError, read_tab, read_table
from nlkit.data.sampling import cut, draw

if TYPE_CHECKING:
    import pandas as pd
    from datasets import DatasetDict

__all__ = ["HUB", "OFFLINE", "SPLITS", "DataError", "DataWarning", "load_dataset"]

SPLITS = ("train", "validation", "test")

# name -> what the set is; the files are in nlkit.data.packaged
OFFLINE: dict[str, str] = {
    "r8": "Reuters-21578, the 8 largest topics, 5,485 + 2,189 news",
    "r52": "Reuters-21578, 52 topics, some with one text only, 6,532 + 2,568 news",
    "20ng": "20 Newsgroups, by date, 11,293 + 7,528 posts",
}


class DataWarning(UserWarning):
    """Rows of a file were left out; the message counts them."""


def load_dataset(
    source: str | Mapping[str, str | os.PathLike[str]],
    train_size: int | None = None,
    validation: float = 0.1,
    seed: int = 0,
    *,
    test_size: int | None = None,
    text: str | None = None,
    label: str | None = None,
    noisy_label: str | None = None,
    label_names: Sequence[str] | None = None,
    label_map: Mapping[Any, str | None] | None = None,
    encoding: str | None = None,
    return_report: bool = False,
) -> Any:
    """Load a data set as train, validation and test.

    Parameters
    ----------
    source
        "r8", "r52" or "20ng" (offline); "trec", "ag_news", "sst2" or "imdb" (hub, revision pinned); or a
        mapping of "train", and optionally "validation" and "test", to .csv, .tsv, .jsonl or .parquet files.
    train_size
        Exact number of training texts, drawn stratified; None takes all.
    validation
        Size of the validation split, cut from the training part: a float is a fraction (of `train_size`, or
        of the training part), an int a count, 0 none. Not used when `source` has a validation file.
    seed
        Seed of every draw.
    test_size
        Number of test texts, drawn stratified; None takes all, in the source's order.
    text, label, noisy_label
        Names of the columns in your files; None means "text", "label" and "noisy_label". Train and
        validation need at least one of the two label columns, test needs `label`. A label column that is
        given by name must be in at least one of the files.
    label_names
        Names of the classes in the order of their numbers. Without it, names are sorted, and integers must be
        the class numbers 0 … C-1. Labels in files may be names or class numbers; -1 or empty is missing. When
        every name is itself an integer, as in ``["1", "2", "3"]``, integers are names.
    label_map
        What values of the label columns are: value -> class name, or None for missing; a value mapped to
        itself is a class of its own. The answer to a `LabelError`, which prints it.
    encoding
        Encoding of CSV, TSV and JSONL files; None means UTF-8.
    return_report
        Also return what was left out.

    Returns
    -------
    datasets.DatasetDict
        Columns ``text`` (string), ``label`` and ``noisy_label`` (`ClassLabel`, if the source has them).
    pandas.DataFrame
        With ``return_report=True``: one row for each row left out, with split, file, row (as in the file),
        reason and content (its beginning).

    Raises
    ------
    LabelError
        Values of the label columns may be one label in several spellings, numbers beside names, or no labels
        (refusals, scores, "?"): it shows them with counts, and the `label_map` to give back.
    DataError
        A file cannot be used: it names the file, the row and the remedy.
    ValueError
        A setting that is not allowed.
    """
    _check_settings(train_size, validation, seed, test_size)
    given = {"text": text, "label": label, "noisy_label": noisy_label}
    _check_file_settings(
        source, given, {"label_names": label_names, "label_map": label_map, "encoding": encoding}
    )
    if isinstance(source, Mapping):
        if "train" not in source or set(source) - set(SPLITS):
            allowed = 'a mapping with "train" and, if you have them, "validation" and "test"'
            invalid("source", dict(source), allowed)
        tables = {s: read_table(source[s], encoding or "utf-8") for s in SPLITS if s in source}
        names = label_names
    elif source in OFFLINE:
        files = assets.find(source).files.values()
        tables = dict(zip(("train", "test"), map(read_tab, files), strict=True))
        names = sorted(set(tables["train"].columns["label"]))
    elif source in HUB:
        tables, names = from_hub(source, OFFLINE)
    else:
        invalid("source", source, f"one of {', '.join([*OFFLINE, *HUB])}, or a mapping of splits to files")
    columns = {setting: column or setting for setting, column in given.items()}
    text_column = columns.pop("text")
    check_columns(tables, text_column, {setting: given[setting] for setting in columns})
    coding = coding_of(names, label_map, tables, columns)
    parts = {split: to_part(table, text_column, columns, coding) for split, table in tables.items()}
    _sample(parts, train_size, validation, seed, test_size)
    if isinstance(source, Mapping):
        _warn(parts)
    result = _to_datasets(parts, coding.names)
    return (result, _report(parts)) if return_report else result


def _check_settings(train_size: int | None, validation: float, seed: int, test_size: int | None) -> None:
    for name, value in (("train_size", train_size), ("test_size", test_size)):
        if value is not None:
            check_count(name, value, 1, "None (all) or ")
    if not (isinstance(validation, float) and 0 <= validation < 1):
        check_count("validation", validation, 0, "a fraction in [0, 1) or ")
    check_count("seed", seed)


def _check_file_settings(
    source: object, columns: Mapping[str, str | None], others: Mapping[str, object]
) -> None:
    """Check the settings that only files have; a named set would silently ignore them."""
    for setting, value in (*columns.items(), *others.items()):
        if value is None:
            continue
        if isinstance(source, Mapping):
            if setting in columns and not (isinstance(value, str) and value):
                invalid(setting, value, f"the name of a column, or None for {setting!r}")
        elif source in OFFLINE or source in HUB:
            allowed = f"{source!r} has its own columns and classes; leave {setting} out, it is for your files"
            invalid(setting, value, allowed)


def _sample(
    parts: dict[str, Part], train_size: int | None, validation: float, seed: int, test_size: int | None
) -> None:
    """Make the splits disjoint and draw them, in place."""
    # One generator a split: the size of one does not change which texts another one gets.
    rng_test, rng_train = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    later: dict[str, str] = {}
    for split in reversed(SPLITS):
        if split not in parts:
            continue
        part = parts[split]
        taken = [later.get(text) for text in part.texts]
        for other in set(filter(None, taken)):
            part.leave_out((i for i, where in enumerate(taken) if where == other), f"same text in {other}")
        part.keep(np.array([i for i, where in enumerate(taken) if where is None], dtype=np.int64))
        if not part.texts:
            problem = f"every text of the {split} split is also in a later one"
            raise DataError(problem, "Use separate texts.", part.file)
        later.update(dict.fromkeys(part.texts, split))
    if test_size is not None:
        if "test" not in parts:
            invalid("test_size", test_size, "None: the source has no test split")
        test = parts["test"]
        if test_size > len(test.texts):
            invalid("test_size", test_size, f"at most {len(test.texts)}, the size of the test split")
        test.keep(draw(test.strata, test_size, rng_test))
    train = parts["train"]
    total = len(train.texts)
    held_out = 0
    if "validation" not in parts and validation > 0:
        wanted = validation * (train_size or total) if validation < 1 else validation
        held_out = max(round(wanted), 1)
    # First, because a fraction of an impossible size makes validation impossible too.
    if train_size is not None and train_size > total:
        invalid("train_size", train_size, f"the training part has {total} texts; pass a smaller train_size")
    kept, drawn, copies = cut(train.texts, train.strata, train_size, held_out, rng_train)
    if len(drawn) < held_out:
        # `cut` draws as many as the classes can spare, so len(drawn) is the most there can be.
        fewer = f"at most {len(drawn)}, " if len(drawn) else ""
        invalid(
            "validation",
            validation,
            f"it asks for {held_out}, but every class keeps its last text for training, so that a training "
            f"part of {total} texts can spare at most {len(drawn)}; pass {fewer}validation=0 for no such "
            'split, or a "validation" file beside your own "train"',
        )
    if len(kept) < (train_size or 1):
        most = total - held_out - len(copies)
        gone = f" ({len(copies)} are copies of texts in validation)" if len(copies) else ""
        field, value = ("validation", validation) if train_size is None else ("train_size", train_size)
        invalid(
            field, value,
            f"the training part has {total} texts; with {held_out} for validation at most {most} are left "
            f"for training{gone}, with validation=0 all {total}",
        )  # fmt: skip
    train.leave_out(copies, "same text in validation")
    if held_out:
        parts["validation"] = Part(train.file, train.texts, train.labels, train.rows, [])
        parts["validation"].keep(drawn)
    train.keep(kept)


def _warn(parts: Mapping[str, Part]) -> None:
    for part in parts.values():
        if part.left_out:
            first = min(part.left_out)
            counts = Counter(skipped.reason.split(" (")[0] for skipped in part.left_out)
            reasons = ", ".join(f"{count} × {reason}" for reason, count in counts.most_common())
            warnings.warn(
                f"{part.file}: {len(part.left_out)} rows were left out ({reasons}); "
                f"the first is row {first.row}. load_dataset(…, return_report=True) lists them.",
                DataWarning,
                stacklevel=3,
            )


def _report(parts: Mapping[str, Part]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        (split, part.file, *skipped) for split, part in parts.items() for skipped in sorted(part.left_out)
    ]
    return pd.DataFrame(rows, columns=["split", "file", "row", "reason", "content"])


def _to_datasets(parts: Mapping[str, Part], names: Sequence[str]) -> DatasetDict:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, NamedSplit, Value

    result = DatasetDict()
    for split in sorted(parts, key=SPLITS.index):
        part = parts[split]
        features = {"text": Value("string")} | {name: ClassLabel(names=list(names)) for name in part.labels}
        columns = {"text": part.texts, **part.labels}
        result[split] = Dataset.from_dict(columns, features=Features(features), split=NamedSplit(split))
    return result

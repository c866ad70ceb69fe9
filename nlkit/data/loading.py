"""Load text classification data: packaged sets, files and frames of your own, sets on the Hugging Face hub.

Whatever the source, the result is a `datasets.DatasetDict` with the splits train, validation and test and the
columns ``id``, ``text``, ``label`` and, when the source has it, ``noisy_label``; -1 means that a label is
missing. Three rules hold for every source:

- The test split is the official one. A training or validation row whose text also occurs in test is left out
  (R8 has 5 such rows, R52 8, 20 Newsgroups 7), and no text is in both train and validation; in data of your
  own white space and case make no other text. Copies inside one split stay.
- Draws are stratified and depend on `seed` alone. Classes too rare to be drawn keep their place in the names.
- Rows that are left out, without a text, malformed or copied, are counted: your own give a `DataWarning`, and
  ``return_report=True`` lists every one of them.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlkit._util import invalid
from nlkit.data import packaged as assets
from nlkit.data.checks import check_count
from nlkit.data.hub import HUB, from_hub
from nlkit.data.keeping import Others, to_datasets
from nlkit.data.labels import Part, check_columns, coding_of, to_part
from nlkit.data.newsgroups import readable
from nlkit.data.readers import SUFFIXES, DataError, DataWarning, Table, read_rows, read_tab
from nlkit.data.sampling import cut, draw

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HUB", "OFFLINE", "SPLITS", "DataError", "DataWarning", "load_dataset"]

SPLITS = ("train", "validation", "test")

# name -> what the set is; the files are in nlkit.data.packaged
OFFLINE: dict[str, str] = {
    "r8": "Reuters-21578, the 8 largest topics, 5,485 + 2,189 news",
    "r52": "Reuters-21578, 52 topics, some with one text only, 6,532 + 2,568 news",
    "20ng": "20 Newsgroups, by date, 11,293 + 7,528 posts",
    "newsgroups": "8 of them with plain names, without headers, to be judged by reading",
}


# What a column of splits may call them
SPELLED = {"dev": "validation", "val": "validation", "valid": "validation"} | {
    split: split for split in SPLITS
}


def load_dataset(
    source: Any,
    train_size: int | None = None,
    validation: float = 0.1,
    seed: int = 0,
    *,
    test_size: int | None = None,
    text: str | None = None,
    label: str | None = None,
    noisy_label: str | Sequence[str] | None = None,
    id: str | None = None,
    split: str | None = None,
    label_names: Sequence[str] | None = None,
    label_map: Mapping[Any, str | None] | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    return_report: bool = False,
) -> Any:
    """Load a data set as train, validation and test.

    Parameters
    ----------
    source
        "r8", "r52", "20ng" or "newsgroups" (offline); "trec", "ag_news", "sst2" or "imdb" (hub, revision
        pinned); or your own: a .csv, .tsv, .json, .jsonl or .parquet file, also with .gz, a list of such
        files, a `pandas.DataFrame` or a `datasets.Dataset`. It is all for training, unless a column says
        which split a row is in. Or a mapping of "train", and perhaps "validation" and "test", to such
        sources.
    train_size
        Exact number of training texts, drawn stratified; None takes all.
    validation
        Size of the validation split, cut from the training part: a float is a fraction (of `train_size`, or
        of the training part), an int a count, 0 none. Not used when `source` has a validation split.
    seed
        Seed of every draw.
    test_size
        Number of test texts, drawn stratified; None takes all.
    text, label, noisy_label
        Names of the columns in your data; None means "text", "label" and "noisy_label". Train and validation
        need at least one of the two label columns, test needs `label`. A label column that is given by name
        must be in at least one of the splits. `noisy_label` may be several columns, of as many annotators:
        they become ``noisy_label_`` and their names, and `nlkit.agreement` makes one of them.
    id
        Column that tells your rows apart; None means "id" if there is one that does, else the row's number:
        in a file as an editor counts (with several files after the file's name), from 0 in frames.
    split
        Column that says "train", "validation" (or "dev", "val", "valid") or "test"; None means "split" if
        there is one that says nothing else.
    label_names
        Names of the classes in the order of their numbers. Without it, names are sorted, and integers must be
        the class numbers 0 … C-1. Labels in files may be names or class numbers; -1 or empty is missing. When
        every name is itself an integer, as in ``["1", "2", "3"]``, integers are names. The numbers of a
        `ClassLabel` are read as its names.
    label_map
        What values of the label columns are: value -> class name, or None for missing; a value mapped to
        itself is a class of its own. The answer to a `LabelError`, which prints it.
    delimiter
        What separates the columns of CSV and TSV; None looks, and warns if it is not what the name says.
    encoding
        Encoding of CSV, TSV, JSON and JSONL files; None means UTF-8.
    return_report
        Also return what was left out.

    Returns
    -------
    datasets.DatasetDict
        Columns ``id``, ``text`` (string), ``label`` and ``noisy_label`` (`ClassLabel`, if the source has
        them), and every other column of your data, in the order of its rows: one whose name is taken gets
        "original_" before it, and so do labels before `label_map` changed them. With an `id` of your own
        there is ``row`` as well, the row's number (with several files counted over all of them), by which
        `nlkit.to_csv` finds the order.
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
    given = {"text": text, "label": label, **_by_annotator(noisy_label)}
    own = {"id": id, "split": split, "delimiter": delimiter, "encoding": encoding}
    packaged = isinstance(source, str) and (source in OFFLINE or source in HUB)
    _check_own_settings(source, packaged, given | own, {"label_names": label_names, "label_map": label_map})
    names = label_names
    if not packaged:
        tables = _own_tables(source, split, encoding, delimiter)
    elif source in OFFLINE:
        files = assets.find("20ng" if source == "newsgroups" else source).files.values()
        tables = dict(zip(("train", "test"), map(read_tab, files), strict=True))
        if source == "newsgroups":
            tables = {split: readable(table) for split, table in tables.items()}
        names = sorted(set(tables["train"].columns["label"]))
    else:
        tables, names = from_hub(source, OFFLINE)
    columns = {setting: column or setting for setting, column in given.items()}
    text_column = columns.pop("text")
    check_columns(tables, text_column, {setting: given[setting] for setting in columns})
    coding = coding_of(names, label_map, tables, columns)
    parts = {name: to_part(table, text_column, columns, coding) for name, table in tables.items()}
    _sample(parts, train_size, validation, seed, test_size, own=not packaged)
    if not packaged:
        _warn(parts)
    others = Others(id, text_column, columns, keep_labels=bool(label_map))
    result = to_datasets(parts, coding.names, others)
    return (result, _report(parts)) if return_report else result


def _by_annotator(noisy_label: Any) -> dict[str, Any]:
    """Return the columns of observed labels by what they become."""
    if noisy_label is None or isinstance(noisy_label, str):
        return {"noisy_label": noisy_label}
    columns = list(noisy_label) if isinstance(noisy_label, list | tuple) else []
    if len(set(map(str, columns))) < max(len(columns), 2):
        invalid("noisy_label", noisy_label, "a column, a list of at least two different ones, or None")
    return {f"noisy_label_{column}": column for column in columns}


def _check_settings(train_size: int | None, validation: float, seed: int, test_size: int | None) -> None:
    for name, value in (("train_size", train_size), ("test_size", test_size)):
        if value is not None:
            check_count(name, value, 1, "None (all) or ")
    if not (isinstance(validation, float) and 0 <= validation < 1):
        check_count("validation", validation, 0, "a fraction in [0, 1) or ")
    check_count("seed", seed)


def _check_own_settings(
    source: object, packaged: bool, texts: Mapping[str, str | None], others: Mapping[str, object]
) -> None:
    """Check the settings that only data of your own have; a named set would silently ignore them."""
    for setting, value in (*texts.items(), *others.items()):
        if value is not None and packaged:
            allowed = f"{source!r} has its own columns and classes; leave {setting} out, it is for your files"
            invalid(setting, value, allowed)
        good = isinstance(value, str) and value and (setting != "delimiter" or len(value) == 1)
        if value is not None and setting in texts and not good:
            wanted = {"delimiter": "a character", "encoding": "a Python codec"}
            invalid(setting, value, f"{wanted.get(setting, 'the name of a column')}, or None")


def _own_tables(
    source: Any, split: str | None, encoding: str | None, delimiter: str | None
) -> dict[str, Table]:
    """Read data of one's own, by split."""
    if isinstance(source, str) and Path(source.lower().removesuffix(".gz")).suffix not in SUFFIXES:
        invalid(
            "source", source, f"one of {', '.join([*OFFLINE, *HUB])}, a file, or a mapping of splits to files"
        )
    if isinstance(source, Mapping) and ("train" not in source or set(source) - set(SPLITS)):
        invalid(
            "source", list(source), 'a mapping with "train" and, if you have them, "validation" and "test"'
        )
    sources = source if isinstance(source, Mapping) else {"train": source}
    tables = {s: read_rows(sources[s], encoding, delimiter) for s in SPLITS if s in sources}
    if len(tables) > 1:
        if len({table.file for table in tables.values()}) < len(tables):  # frames have no names of their own
            for name, table in tables.items():
                table.file += f" ({name})"
        return tables
    table, column = tables["train"], split or "split"
    values = [str(value).strip().casefold() for value in table.columns.get(column, [])]
    if not values or (not split and set(values) - SPELLED.keys()):
        if split:
            have = ", ".join(map(repr, table.columns))
            raise DataError(
                f"there is no column {split!r}", f"It has {have}; pass split=… with one.", table.file
            )
        return tables
    del table.columns[column]
    where: dict[str, list[int]] = {name: [] for name in SPLITS}
    for place, value in enumerate(values):
        if value not in SPELLED:
            problem = f"{value!r} is no split (column {column!r})"
            raise DataError(
                problem, f"Write one of {', '.join(SPELLED)}.", table.file_of(place), table.rows[place]
            )
        where[SPELLED[value]].append(place)
    found = {name: table.select(places) for name, places in where.items() if places}
    if "train" not in found:
        raise DataError("no row is in the train split", "Write train for some.", table.file)
    found["train"].skipped = table.skipped
    return found


def same_text(text: str) -> str:
    """Return what texts share that differ in white space and case only."""
    return " ".join(text.split()).casefold()


def _sample(
    parts: dict[str, Part], train_size: int | None, validation: float, seed: int, test_size: int | None, *,
    own: bool,
) -> None:  # fmt: skip
    """Make the splits disjoint and draw them, in place; `own` data keep their order."""
    key: Callable[[str], str] = same_text if own else str
    order: Callable[[Any], Any] = np.sort if own else np.asarray
    # One generator a split: the size of one does not change which texts another one gets.
    rng_test, rng_train = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    later: dict[str, str] = {}
    keys = {split: list(map(key, part.texts)) for split, part in parts.items()}
    for split in reversed(SPLITS):
        if split not in parts:
            continue
        part = parts[split]
        taken = [later.get(text) for text in keys[split]]
        for other in dict.fromkeys(filter(None, taken)):
            part.leave_out((i for i, where in enumerate(taken) if where == other), f"same text in {other}")
        free = [i for i, where in enumerate(taken) if where is None]
        keys[split] = [keys[split][i] for i in free]
        part.keep(np.array(free, dtype=np.int64))
        if not part.texts:
            problem = f"every text of the {split} split is also in a later one"
            raise DataError(problem, "Use separate texts.", part.table.file)
        later.update(dict.fromkeys(keys[split], split))
    if test_size is not None:
        if "test" not in parts:
            invalid("test_size", test_size, "None: the source has no test split")
        test = parts["test"]
        if test_size > len(test.texts):
            invalid("test_size", test_size, f"at most {len(test.texts)}, the size of the test split")
        test.keep(order(draw(test.strata, test_size, rng_test)))
    train = parts["train"]
    total = len(train.texts)
    held_out = 0
    if "validation" not in parts and validation > 0:
        wanted = validation * (train_size or total) if validation < 1 else validation
        held_out = max(round(wanted), 1)
    # First, because a fraction of an impossible size makes validation impossible too.
    if train_size is not None and train_size > total:
        invalid("train_size", train_size, f"the training part has {total} texts; pass a smaller train_size")
    kept, drawn, copies = cut(keys["train"], train.strata, train_size, held_out, rng_train)
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
        parts["validation"] = Part(train.table, train.texts, train.labels, train.at, [])
        parts["validation"].keep(order(drawn))
    train.keep(order(kept))


def _warn(parts: Mapping[str, Part]) -> None:
    for part in parts.values():
        if part.left_out:
            counts = Counter(skipped.reason.split(" (")[0] for skipped in part.left_out)
            reasons = ", ".join(f"{count} × {reason}" for reason, count in counts.most_common())
            rows = sorted(skipped.row for skipped in part.left_out)
            listed = ", ".join(map(str, rows[:20])) + ", …" * (len(rows) > 20)
            warnings.warn(
                f"{part.table.file}: {len(rows)} rows were left out ({reasons}): row {listed}. "
                "load_dataset(…, return_report=True) lists them.",
                DataWarning,
                stacklevel=3,
            )


def _report(parts: Mapping[str, Part]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        (split, one.file, one.row, one.reason, one.content)
        for split, part in parts.items()
        for one in sorted(part.left_out)
    ]
    return pd.DataFrame(rows, columns=["split", "file", "row", "reason", "content"])

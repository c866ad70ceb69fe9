"""No label is read as another: what is not sure is asked, and the answer can be given back as printed."""

from __future__ import annotations

import ast
import re

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetInfo, Features, Value

from nlkit.data import LabelError, load_dataset
from nlkit.data.spelling import fold, looks_like_none
from nlkit.noise import noise_report

LETTERS = ("text", "label", "noisy_label")


def load(tmp_path, rows, columns=("text", "label"), **settings):
    """Write rows of a text's label, or labels, to CSV and load them; text i is "ti"."""
    rows = [(f"t{i}", *(row if isinstance(row, tuple) else (row,))) for i, row in enumerate(rows)]
    pd.DataFrame(rows, columns=list(columns)).to_csv(tmp_path / "own.csv", index=False)
    return load_dataset({"train": tmp_path / "own.csv"}, validation=0, **settings)["train"]


def by_name(split, column="label"):
    """Return text -> the name of its label, None if it is missing."""
    names = split.features[column].names
    pairs = zip(split["text"], split[column], strict=True)
    return {text: names[number] if number >= 0 else None for text, number in pairs}


MIXED = [(0, "neg"), (1, "pos"), (1, "pos"), (0, "pos"), (0, "neg")]
ASKED = [
    # rows, settings, the question's proposals, names once it is answered so
    (["Sport", "Sport", "sport", "Sport.", " SPORT", "Art", '"art"'], {},
     {"sport": "Sport", "Sport.": "Sport", "SPORT": "Sport", '"art"': "Art"}, ["Art", "Sport"]),
    (["true", "True", "true", "False", "false", "false"], {},
     {"True": "true", "False": "false"}, ["false", "true"]),
    (["a\u200bb", "ab", "ab", "c", "Category: c"], {},
     {"a\u200bb": "ab", "Category: c": "c"}, ["ab", "c"]),
    (["1", "01", "1", "0"], {}, {"01": "1"}, ["0", "1"]),
    (["a", "b", "a", "b", "?", "I cannot determine the category", "-100", "0.87", "['a', 'b']", "N/A"], {},
     dict.fromkeys(["?", "I cannot determine the category", "-100", "0.87", "['a', 'b']", "N/A"]),
     ["a", "b"]),
    (["world", "sport", "The text is about sport, I think.", "This is world and sport."], {},
     {"The text is about sport, I think.": "sport", "This is world and sport.": None}, ["sport", "world"]),
    (MIXED, {}, {"0": "neg", "1": "pos"}, ["neg", "pos"]),
    ([-1, 0, 1, 1], {"label_names": ["bad", "so so", "good"]},
     {"-1": "bad", "0": "so so", "1": "good"}, ["bad", "so so", "good"]),
    *(
        (rows, {"label_names": list(names)}, dict(zip(map(str, rows), found, strict=True)), list(names))
        for rows, names, found in (
            ([-1, 1], "xy", "xy"), ([-1, 0], "xy", "xy"), ([-1, 1], "xyz", "xz"), ([-1, 0], "xyz", "xy"),
            ([-2, -1, 2], "vwxyz", "vwz"), ([-1, 0, 1, 2], "wxyz", "wxyz"),
        )
    ),
    ([-1, 0, 1, 1], {}, {"-1": "negative", "0": "neutral", "1": "positive"},
     ["negative", "neutral", "positive"]),
    ([-1, 1, 1], {}, {"-1": "negative", "1": "positive"}, ["negative", "positive"]),
    (["Sport", "art", "ART"], {"label_names": ["art", "sport"]}, {"Sport": "sport", "ART": "art"},
     ["art", "sport"]),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "settings", "proposed", "names"), ASKED)
def test_a_question_is_answered_by_what_it_prints(tmp_path, rows, settings, proposed, names):
    columns = LETTERS if isinstance(rows[0], tuple) else LETTERS[:2]
    with pytest.raises(LabelError, match=r"own\.csv: the labels hold .*Nothing was read") as asked:
        load(tmp_path, rows, columns, **settings)
    assert asked.value.label_map == proposed
    printed = re.search(r"^label_map=(.*)$", str(asked.value), re.M)[1]
    answer = ast.literal_eval(printed)
    assert answer == proposed
    found = load(tmp_path, rows, columns, label_map=answer, **settings)
    assert found.features["label"].names == names
    for place, column in enumerate(columns[1:]):
        for i, row in enumerate(rows):
            value = str(row[place] if isinstance(row, tuple) else row).strip()
            assert by_name(found, column)[f"t{i}"] == proposed.get(value, value)


def test_the_question_counts_and_says_where_and_why(tmp_path):
    rows = [("pos", "POS"), ("neg", "POS"), ("pos", "?"), ("neg", "neg")]
    with pytest.raises(LabelError) as asked:
        load(tmp_path, rows, LETTERS)
    assert asked.value.table.to_dict("records") == [
        {"value": "POS", "count": 2, "column": "noisy_label", "first": "own.csv, row 2",
         "why": "'pos' in another spelling", "proposed": "pos"},
        {"value": "?", "count": 1, "column": "noisy_label", "first": "own.csv, row 4", "why": "no label",
         "proposed": None},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "settings", "names"),
    [
        (["Sport", "sport"], {"label_map": {"sport": "sport", "Sport": "Sport"}}, ["Sport", "sport"]),
        (["none", "favour", "against"], {"label_map": {"none": "none"}}, ["against", "favour", "none"]),
        (["none", "favour"], {"label_names": ["favour", "none"]}, ["favour", "none"]),
        (["$", "$$", "$$$", "C", "C++", "C#", "A+", "A-"], {},
         ["$", "$$", "$$$", "A+", "A-", "C", "C#", "C++"]),
        ([1, 2, 3], {"label_map": {1: "one", 2: "two", 3: "three"}}, ["one", "three", "two"]),
        ([0, 1, -1], {"label_map": {-1: None}}, ["0", "1"]),
        ([0, 1, 2, -1], {"label_names": ["x", "y", "z"]}, ["x", "y", "z"]),  # all three and missing ones
        *(
            (rows, {"label_names": list(names)}, list(names))  # -1 is missing
            for rows, names in (([-1, 0, 1], "xy"), ([-1, 0, 2], "xyz"), ([-1, 0, 2], "wxyz"))
        ),
        (["x", "y", "-1"], {}, ["x", "y"]),
        (["SPORT"] * 3 + ["Sport", "art"], {"label_map": {"sport": "Sport", "SPORT": "Sport"}},
         ["Sport", "art"]),
        (MIXED, {"label_names": ["neg", "pos"]}, ["neg", "pos"]),
    ],
)  # fmt: skip
def test_what_is_sure_is_not_asked(tmp_path, rows, settings, names):
    columns = LETTERS if isinstance(rows[0], tuple) else LETTERS[:2]
    assert load(tmp_path, rows, columns, **settings).features["label"].names == names


@pytest.mark.parametrize(
    ("label_map", "settings", "message"),
    [
        ([("a", "b")], {}, r"label_map=\[.*a dictionary"),
        ({"a": ...}, {}, r"label_map\['a'\]=Ellipsis .*the name of a class, or None"),
        ({"a": 1}, {}, r"label_map\['a'\]=1"),
        ({"a": "z"}, {"label_names": ["x", "y"]}, r"label_map\['a'\]='z'.*one of x, y, or None"),
    ],
)
def test_bad_maps(tmp_path, label_map, settings, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, ["a", "b"], label_map=label_map, **settings)


def parquet(path, names, labels, column="label"):
    feature = ClassLabel(names=list(names))
    columns = {"text": [f"{path.stem} {i}" for i in range(len(labels))], column: labels}
    Dataset.from_dict(columns, Features({"text": Value("string"), column: feature})).to_parquet(path)
    return path


def test_files_with_their_classes_in_another_order(tmp_path):
    source = {"train": parquet(tmp_path / "train.parquet", "abc", [0, 1, 2, -1]),
              "test": parquet(tmp_path / "test.parquet", "cab", [0, 1, 2])}  # fmt: skip
    ds = load_dataset(source, validation=0)
    assert by_name(ds["train"]) == {"train 0": "a", "train 1": "b", "train 2": "c", "train 3": None}
    assert by_name(ds["test"]) == {"test 0": "c", "test 1": "a", "test 2": "b"}
    assert ds["train"].features["label"].names == ds["test"].features["label"].names == ["a", "b", "c"]


def test_files_of_one_split_may_know_other_classes(tmp_path):
    files = [parquet(tmp_path / "1.parquet", "cab", [0, 1]), parquet(tmp_path / "2.parquet", "ad", [1, 0])]
    train = load_dataset(files, validation=0)["train"]
    assert train.features["label"].names == ["c", "a", "b", "d"]
    assert list(by_name(train).values()) == ["c", "a", "d", "a"]


@pytest.mark.parametrize(
    ("names", "labels", "proposed"),
    [
        (("Sport", "sport", "art"), [0, 1, 1, 2], {"Sport": "sport"}),
        (("art", "sport", "n/a"), [0, 1, 2, 2], {"n/a": None}),
    ],
)
def test_names_that_a_file_carries_are_asked_about_too(tmp_path, names, labels, proposed):
    source = {"train": parquet(tmp_path / "train.parquet", names, labels)}
    with pytest.raises(LabelError) as asked:
        load_dataset(source, validation=0)
    assert asked.value.label_map == proposed
    train = load_dataset(source, validation=0, label_map=proposed)["train"]
    assert train.features["label"].names == [name for name in names if name not in proposed]
    assert list(by_name(train).values()) == [proposed.get(names[y], names[y]) for y in labels]


def test_class_labels_of_other_names_are_asked(tmp_path):
    source = {"train": parquet(tmp_path / "train.parquet", ("Sport", "Art"), [0, 1, 0]),
              "test": parquet(tmp_path / "test.parquet", ("art", "sport"), [0, 1])}  # fmt: skip
    with pytest.raises(LabelError) as asked:
        load_dataset(source, validation=0)
    assert asked.value.label_map == {"sport": "Sport", "Art": "art"}
    ds = load_dataset(source, validation=0, label_map=asked.value.label_map)
    assert ds["test"].features["label"].names == ["Sport", "art"]
    assert by_name(ds["train"]) == {"train 0": "Sport", "train 1": "art", "train 2": "Sport"}
    assert by_name(ds["test"]) == {"test 0": "art", "test 1": "Sport"}


def test_numbers_of_two_class_labels_are_compared_by_name():
    features = Features(
        {"label": ClassLabel(names=["a", "b", "c"]), "noisy_label": ClassLabel(names=["c", "a", "d"])}
    )
    agree = Dataset.from_dict({"label": [0, 2, 0, -1], "noisy_label": [1, 0, 1, 0]}, features)
    report = noise_report(agree)
    assert (report.rate, report.n, report.counts.tolist()) == (0.0, 3, [[2, 0, 0], [0, 0, 0], [0, 0, 1]])
    for number, said in (
        (2, "'d' is not allowed: the classes a, b, c"),
        (-2, "-2 is not allowed: .* 0 to 2"),
    ):
        other = Dataset(pa.table({"label": [0], "noisy_label": [number]}), DatasetInfo(features=features))
        with pytest.raises(ValueError, match=rf"train\['noisy_label'\]={said}"):
            noise_report(other)


def test_a_class_number_without_a_name(tmp_path):
    path = tmp_path / "t.parquet"
    parquet(path, "abc", [0, 1, 2])
    whole = Dataset.from_parquet(str(path))
    table = whole.data.table.set_column(1, "label", [[0, 1, 7]])
    pq.write_table(table.replace_schema_metadata(whole.data.table.schema.metadata), path)
    with pytest.raises(
        ValueError, match=r"row 3: the class number 7 of the column 'label' has no name: a, b, c"
    ):
        load_dataset({"train": path})


@pytest.mark.parametrize(
    ("raw", "folded"),
    [("Sport ", "sport"), ("**Sci_Tech**", "sci tech"), ("sci-tech", "sci tech"), ("ﬁlm", "film"),
     ("007", "7"), ("?", "?"), ("-1", "-1"), ("Label: x", "x"), ("体育。", "体育。")],
)  # fmt: skip
def test_spellings_fold(raw, folded):
    assert fold(raw) == folded
    assert fold(folded) == folded


@pytest.mark.parametrize(
    ("raw", "why"),
    [("As an AI, I can't say.", "a refusal"), ("Sorry", "a refusal"), ("[1, 2]", "a list"),
     ("0.5", "a score"), ("1e-3", "a score"), ("-100", "a negative number"), ("UNKNOWN", "no label"),
     ("sport", ""), ("$", ""), ("science and technology news", ""), ("2", ""), ("I’m not sure", "a refusal")],
)  # fmt: skip
def test_what_looks_like_no_label(raw, why):
    assert looks_like_none(raw) == why

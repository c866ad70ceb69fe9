"""Rows of one's own: every format and source, ids, order, other columns and splits come through."""

from __future__ import annotations

import gzip
import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict

from nlkit.data import DataError, DataWarning, load_dataset

ROWS = [
    {"text": f"text {i}, and so on", "label": "ab"[i % 2], "note": ["x", None][i % 2], "when": i / 2}
    for i in range(12)
]
TABLE = pd.DataFrame(ROWS)


def write(path, table=TABLE):
    """Write a table in the format of the path's name."""
    plain = path.name.removesuffix(".gz")
    if plain.endswith(".parquet"):
        raw = table.to_parquet()
    elif plain.endswith((".json", ".jsonl")):
        raw = table.to_json(orient="records", lines=plain.endswith("l")).encode()
    else:
        raw = table.to_csv(index=False, sep="\t" if plain.endswith(".tsv") else ",").encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


NAMES = [f"own.{kind}{gz}" for kind in ("csv", "tsv", "json", "jsonl", "parquet") for gz in ("", ".gz")]


@pytest.mark.parametrize("name", [*NAMES, "DataFrame", "Dataset", "DatasetDict"])
def test_every_source_keeps_order_ids_and_columns(tmp_path, name):
    made = {
        "DataFrame": TABLE, "Dataset": Dataset.from_pandas(TABLE),
        "DatasetDict": DatasetDict(train=Dataset.from_pandas(TABLE)),
    }  # fmt: skip
    source = made[name] if name in made else write(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        ds = load_dataset(source, validation=2)
    first = 0 if name in made else 1 if "json" in name or "parquet" in name else 2
    found = ds["train"].to_list() + ds["validation"].to_list()
    assert ds["train"]["id"][:] == sorted(ds["train"]["id"][:])
    assert (len(ds["train"]), len(ds["validation"])) == (10, 2)
    assert sorted(row["id"] for row in found) == list(range(first, first + 12))
    for row in found:
        given = ROWS[row["id"] - first]
        assert (row["text"], "ab"[row["label"]]) == (given["text"], given["label"])
        assert (row["note"] or None) == given["note"]
        assert float(row["when"]) == given["when"]


def test_several_files_say_which_row_is_whose(tmp_path):
    files = [
        write(tmp_path / "one.csv", TABLE[:5]),
        write(tmp_path / "two.jsonl.gz", TABLE[5:].drop(columns="note")),
    ]
    ds = load_dataset(files, validation=0)["train"]
    assert ds["id"][:] == [f"one.csv:{i}" for i in range(2, 7)] + [f"two.jsonl.gz:{i}" for i in range(1, 8)]
    assert ds["text"][:] == TABLE["text"].tolist()
    assert ds["note"][5:] == [None] * 7


@pytest.mark.parametrize(("given", "column"), [(None, "id"), ("key", "key")])
def test_ids_of_ones_own(given, column):
    table = TABLE.assign(**{column: [f"k{i}" for i in reversed(range(12))]})
    ds = load_dataset(table, validation=0, id=given)["train"]
    assert ds["id"][:] == [f"k{i}" for i in reversed(range(12))]
    assert ds["row"][:] == list(range(12))
    assert column == "id" or column not in ds.column_names


@pytest.mark.parametrize("kind", ["frame", "list", "file"])
def test_each_split_of_its_own_may_count_anew(tmp_path, kind):
    parts = {"train": TABLE[:8].assign(id=range(8)), "test": TABLE[8:].assign(id=[3, 2, 1, 0])}
    make = {"frame": lambda part, _: part, "list": lambda part, _: [part[:2], part[2:]],
            "file": lambda part, split: write(tmp_path / f"{split}.csv", part)}[kind]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        ds = load_dataset({s: make(part, s) for s, part in parts.items()}, validation=0, id="id")
    assert [list(map(int, ds[split]["id"])) for split in parts] == [[*range(8)], [3, 2, 1, 0]]


def test_ids_that_do_not_tell_rows_apart():
    twice = TABLE.assign(id=["a", "b"] * 6)
    with pytest.warns(DataWarning, match=r"the id 'a' also stands in row 0 .*numbered instead"):
        ds = load_dataset(twice, validation=0)["train"]
    assert ds["id"][:] == list(range(12))
    assert ds["original_id"][:] == ["a", "b"] * 6
    with pytest.raises(DataError, match=r"row 2: the id 'a' also stands in row 0 \(column 'id'\)"):
        load_dataset(twice, id="id")
    with pytest.raises(DataError, match=r"row 3: the id nan is missing"):
        load_dataset(TABLE.assign(key=["a", "b", "c", None] * 3), id="key")
    with pytest.raises(DataError, match=r"row 0: the id \['a'\] is a list"):
        load_dataset(TABLE.assign(key=[["a"], ["b"]] * 6), id="key")
    with pytest.raises(DataError, match=r"no column 'key'.*pass id="):
        load_dataset(TABLE, id="key")


def test_columns_whose_names_are_taken():
    table = TABLE.rename(columns={"text": "body"}).assign(
        text="other", original_text="more", id=range(12), row=1
    )
    ds = load_dataset(table, validation=0, text="body")["train"]
    assert ds["text"][:] == TABLE["text"].tolist()
    assert (ds["original_original_text"][0], ds["original_text"][0]) == ("other", "more")
    assert ds["original_row"][:] == [1] * 12
    mapped = load_dataset(TABLE, validation=0, label_map={"a": "first", "b": "second"})["train"]
    assert mapped["original_label"][:] == TABLE["label"].tolist()


def test_values_of_several_kinds_become_text():
    ds = load_dataset(TABLE.assign(note=[1, "x", None] * 4), validation=0)["train"]
    assert ds["note"][:3] == ["1", "x", None]


def test_classes_of_other_columns_are_names():
    other = Dataset.from_pandas(TABLE).add_column("llm", [0, -1] * 6, feature=ClassLabel(names=["p", "q"]))
    assert load_dataset(other, validation=0)["train"]["llm"][:] == ["p", None] * 6


@pytest.mark.parametrize("given", [None, "part"])
def test_a_column_that_says_the_split(tmp_path, given):
    parts = ["train"] * 6 + ["dev"] * 2 + ["Test"] * 4
    path = write(tmp_path / "own.csv", TABLE.assign(**{given or "split": parts}))
    ds = load_dataset(path, split=given)
    assert {split: part["id"][:] for split, part in ds.items()} == {
        "train": [2, 3, 4, 5, 6, 7], "validation": [8, 9], "test": [10, 11, 12, 13],
    }  # fmt: skip
    assert ds["train"].features == ds["test"].features
    assert load_dataset({"train": path}, split=given)["test"]["id"][:] == [10, 11, 12, 13]


def test_splits_that_are_none():
    ds = load_dataset(TABLE.assign(split=["left", "right"] * 6), validation=0)
    assert ds["train"]["split"][:2] == ["left", "right"]
    with pytest.raises(
        DataError, match=r"row 1: 'right' is no split \(column 'side'\)\. Write one of dev, val"
    ):
        load_dataset(TABLE.assign(side=["train", "right"] * 6), split="side")
    with pytest.raises(DataError, match=r"no column 'side'.*pass split="):
        load_dataset(TABLE, split="side")
    with pytest.raises(DataError, match="no row is in the train split"):
        load_dataset(TABLE.assign(split="test"))


@pytest.mark.parametrize(
    ("name", "content", "found", "texts"),
    [
        ("a.csv", '\ufefftext;label\n"a; b";y\nc,d;x\n1,5;x\n', ";", ["a; b", "c,d", "1,5"]),
        ("a.csv", "text\tlabel\na, b\tx\nc, d\ty\n", "\t", ["a, b", "c, d"]),
        ("a.tsv", "text,label\na,x\nb,y\n", ",", ["a", "b"]),
        ("a.csv", "text|label\na, b|x\nb|y\n", "|", ["a, b", "b"]),
    ],
)
def test_the_delimiter_is_found_and_shown(tmp_path, name, content, found, texts):
    path = tmp_path / name
    path.write_text(content, "utf-8", newline="")
    with pytest.warns(
        DataWarning, match=re.escape(f"a{path.suffix}: the columns are separated by {found!r}")
    ):
        ds = load_dataset(path, validation=0)["train"]
    assert ds["text"][:] == texts
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        assert load_dataset(path, validation=0, delimiter=found)["train"].to_list() == ds.to_list()


def test_lone_quotes_of_a_tsv_join_no_rows(tmp_path):
    lines = [
        '"Well, he said\tx',
        'and left"\ty',
        'a "word" here\tx',
        '5" disk\ty',
        '"quoted" start\tx',
        '"\ty',
    ]
    path = tmp_path / "own.tsv"
    path.write_text("text\tlabel\n" + "\n".join(lines) + "\n", "utf-8")
    ds = load_dataset(path, validation=0)["train"]
    assert ds["text"][:] == [line.split("\t")[0] for line in lines]
    assert ds["id"][:] == [2, 3, 4, 5, 6, 7]
    quoted = tmp_path / "quoted.tsv"  # quotes that are quotes still are
    quoted.write_text('text\tlabel\n"two\nlines"\tx\n"say ""hi"""\ty\n', "utf-8")
    assert load_dataset(quoted, validation=0)["train"]["text"][:] == ["two\nlines", 'say "hi"']


@pytest.mark.parametrize(
    ("name", "content", "texts", "left_out"),
    [
        ("a.tsv", 'text\tlabel\n"hello\tx"\nplain\ty\n"real"\tx"\n', ['"hello', "plain", "real"], []),
        ("a.csv", "text,label,more\na,x,\nb,y,\n,,\n,,\n\n", ["a", "b"], [4, 5]),
    ],
)
def test_no_row_vanishes(tmp_path, name, content, texts, left_out):
    path = tmp_path / name
    path.write_text(content, "utf-8")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ds, report = load_dataset(path, validation=0, label_map={'x"': "x"}, return_report=True)
    assert len(told) == bool(left_out)
    assert ds["train"]["text"][:] == texts
    assert report["row"].tolist() == left_out


def test_json_as_pandas_and_others_write_it(tmp_path):
    plain = TABLE[["text", "label"]]
    for number, content in enumerate((
        plain.to_json(orient="columns"), json.dumps(plain.to_dict("list")), plain.to_json(orient="records"),
        plain.to_json(orient="records", lines=True), json.dumps({"data": plain.to_dict("records")}),
    )):  # fmt: skip
        path = tmp_path / f"{number}.json"
        path.write_text(content, "utf-8")
        assert load_dataset(path, validation=0)["train"]["text"][:] == TABLE["text"].tolist()


def test_white_space_and_case_make_no_other_text():
    train = TABLE.assign(text=["Good phone ", "good  Phone", *TABLE["text"][2:]])
    test = TABLE[:1].assign(text="Good phone")
    with pytest.warns(DataWarning, match=r"2 × same text in test\): row 0, 1"):
        ds = load_dataset({"train": train, "test": test}, validation=0)
    assert ds["train"]["id"][:] == list(range(2, 12))
    for seed in range(5):
        ds, report = load_dataset(train, validation=3, seed=seed, return_report=True)
        texts = [{" ".join(text.lower().split()) for text in part["text"][:]} for part in ds.values()]
        assert not texts[0] & texts[1]
        assert sum(map(len, ds.values())) + len(report) == 12


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (5, {}, r"source=5 is not allowed: a data set's name, a file"),
        ([], {}, r"source=\[\]"),
        ("own.xlsx", {}, r"source='own.xlsx'.*r8, r52, 20ng"),
        ("r8", {"id": "x"}, r"id='x' is not allowed: 'r8' has its own"),
        (TABLE.assign(**{"1": 0}).rename(columns={"note": 1}), {}, r"columns \['1'\] appear twice"),
        (TABLE, {"delimiter": ""}, r"delimiter='' is not allowed: a character"),
    ],
)
def test_bad_sources(source, settings, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(source, **settings)


def test_home_is_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "own.csv")
    assert len(load_dataset("~/own.csv", validation=0)["train"]) == 12


def test_numbers_are_drawn_alike_in_files_and_frames(tmp_path):
    one = load_dataset(write(tmp_path / "own.csv"), train_size=6, validation=3, seed=4)
    two = load_dataset(TABLE, train_size=6, validation=3, seed=4)
    for split in one:
        assert np.array_equal(np.array(one[split]["id"]) - 2, two[split]["id"])

"""The way out: labels by name, ids and order as they came in, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

from nlkit.data import load_dataset
from nlkit.data.observed import with_column
from nlkit.data.writing import neutralised, to_csv
from tests.made import labelled_split

TABLE = pd.DataFrame({
    "text": [f"text {i}" for i in range(8)], "label": list("abababab"), "noisy_label": [*"abbbaaa", None],
    "=cmd": ["=1+1", "+49 30", "-x", "@me", "-1.5", "+3", "\tq", "plain"], "n": range(8),
})  # fmt: skip


@pytest.mark.parametrize("key", [None, [f"k{i}" for i in reversed(range(8))]])
@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_all_goes_out_by_name_and_in_order(tmp_path, name, key):
    table = TABLE if key is None else TABLE.assign(id=key)
    ds = load_dataset(table, validation=3)
    ds["train"] = with_column(ds["train"], "refined_label", [0] * 5, ds["train"].features["label"])
    path = to_csv(ds, tmp_path / name)
    found = pd.read_csv(path, keep_default_na=False)
    assert found["id"].tolist() == (key or list(range(8)))
    assert found["text"].tolist() == TABLE["text"].tolist()
    assert found["label"].tolist() == TABLE["label"].tolist()
    assert found["noisy_label"].tolist() == [*"abbbaaa", ""]
    assert sorted(found["refined_label"]) == ["", "", "", *"aaaaa"]
    assert found["n"].tolist() == list(range(8))
    assert sorted(found["split"]) == ["train"] * 5 + ["validation"] * 3
    assert found["'=cmd"].tolist() == ["'=1+1", "'+49 30", "'-x", "'@me", "-1.5", "+3", "'\tq", "plain"]
    again = load_dataset(path, label="refined_label", noisy_label="noisy_label", label_names=["a", "b"])
    assert len(again["train"]) == 5


@pytest.mark.parametrize(
    "source",
    [
        TABLE.assign(row=range(8, 0, -1)),
        [TABLE[:5].assign(id=range(8, 3, -1)), TABLE[5:].assign(id=range(3))],
        [part.assign(split=[*"tvtvtvtv"][: len(part)]).replace({"split": {"t": "train", "v": "dev"}})
         for part in (TABLE[:5].assign(id=range(8, 3, -1)), TABLE[5:].assign(id=range(3)))],
    ],
    ids=["a column row", "several with ids", "several with ids and splits"],
)  # fmt: skip
def test_numbers_of_ones_own_are_no_order(tmp_path, source):
    found = pd.read_csv(to_csv(load_dataset(source, validation=3), tmp_path / "out.csv"))
    assert found["text"].tolist() == TABLE["text"].tolist()


def test_every_cell_is_one_and_integers_stay_so(tmp_path):
    texts = ["a\rb", "a\r\nb", 'a"b', "a,b", "a\nb"]
    train = Dataset.from_dict({"text": texts, "n": [1, None, 2**60 + 1, 3, 4]})
    path = to_csv({"train": train, "test": Dataset.from_dict({"text": ["c"]})}, tmp_path / "out.csv")
    found = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert found["text"].tolist() == [*texts, "c"]
    assert found["n"].tolist() == ["1", "", str(2**60 + 1), "3", "4", ""]


def test_splits_of_several_files_stay_apart(tmp_path):
    split = labelled_split("ab", text=["x", "y"], label=[1, -1])
    path = to_csv(DatasetDict(train=split, test=split), tmp_path / "out.csv")
    with path.open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["text", "label", "split"], ["x", "b", "train"], ["y", "", "train"], ["x", "b", "test"],
            ["y", "", "test"],
        ]  # fmt: skip
    with pytest.raises(ValueError, match=r"path='out.txt' is not allowed: .*\.csv"):
        to_csv(split, "out.txt")


@pytest.mark.parametrize("value", ["=HYPERLINK(1)", "+a", "-a", "@a", "\ta", "\ra", "-", "=1"])
def test_what_begins_as_a_formula_is_text(value):
    assert neutralised(value) == "'" + value


@pytest.mark.parametrize("value", ["-1", "+2.5", "1e-3", "a=b", "", 3, None, "'=x"])
def test_other_cells_stay(value):
    assert neutralised(value) == value

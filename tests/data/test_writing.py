"""The way out: labels by name, ids and order as they came in, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv

import pandas as pd
import pytest
from datasets import DatasetDict

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

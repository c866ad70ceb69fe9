"""A look at data: each finding is found where it was put, counted, and warned of; clean data are quiet."""

from __future__ import annotations

import warnings

import pytest
from datasets import DatasetDict

import nlkit as nk
from tests.made import labelled_split

CLEAN = [f"{word} report number {i}" for i in range(8) for word in ("oil", "wheat")]
LABELS = [0, 1] * 8


def data(texts=(), labels=(), test=("another text",)):
    """Return clean data, with these rows after the sixteen clean ones."""
    train = labelled_split(["oil", "wheat"], text=[*CLEAN, *texts], noisy_label=[*LABELS, *labels])
    held = labelled_split(["oil", "wheat"], text=list(test), label=[0] * len(test))
    return DatasetDict(train=train, test=held)


MAIL = "Dear all , as every week we send you the news of our house . " * 5
CASES = [
    ("same text, other label", data(["Good  phone", "good phone ", "good phone"], [0, 1, -1]), [16, 17]),
    ("text also in test", data(["Good phone "], [0], test=["good Phone"]), [16]),
    ("text of unknown tokens alone", data(["\U0001f9ff \U0001fae0"], [0]), [16]),
    ("same text once cut, other label", data([MAIL + "oil", MAIL + "wheat"], [0, 1]), [16, 17]),
    ("text cut at max_length", data([f"{i} {MAIL}" for i in range(8)], LABELS[:8]), list(range(16, 24))),
    ("no label", data([f"text {i}" for i in range(8)], [-1] * 8), list(range(16, 24))),
    ("class of fewer than 5", data([], [])["train"].select([*range(0, 16, 2), 1, 3]), [8, 9]),
]


@pytest.mark.parametrize(("finding", "ds", "ids"), CASES, ids=[case[0] for case in CASES])
def test_what_was_put_there_is_found(finding, ds, ids):
    ds = ds if isinstance(ds, DatasetDict) else DatasetDict(train=ds)
    with pytest.warns(UserWarning, match=rf"train: {finding}: {len(ids)} of {len(ds['train'])} rows \("):
        found = nk.look(ds)
    row = found[(found["split"] == "train") & (found["finding"] == finding)].iloc[0]
    assert (row["count"], row["ids"], row["share"]) == (len(ids), ids, len(ids) / len(ds["train"]))


def test_clean_data_are_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = nk.look(data())
    assert not found["count"].any()
    assert set(found["split"]) == {"train", "test"}
    with pytest.raises(ValueError, match="ds='Dataset' is not allowed: a DatasetDict"):
        nk.look(data()["train"])


def test_mails_whose_point_comes_late_name_max_length():
    ds = data([MAIL + "oil", MAIL + "wheat"], [0, 1])
    with pytest.warns(UserWarning, match=r"after max_length=64 tokens: choose a larger max_length"):
        nk.look(ds)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nk.look(ds, max_length=128)


def test_ids_are_those_of_the_data(r8_small):
    with warnings.catch_warnings(record=True):
        found = nk.look(r8_small)
    cut = found[(found["finding"] == "text cut at max_length") & (found["split"] == "train")].iloc[0]
    assert set(cut["ids"]) <= set(r8_small["train"]["id"])
    assert 0.1 < cut["share"] < 0.9

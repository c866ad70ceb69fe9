"""Several annotators' columns: read by name, made into one, and shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nlkit as nk
from nlkit.__main__ import main
from nlkit.data import LabelError
from nlkit.study.annotators import dawid_skene

NAMES = ["no", "yes"]


@pytest.fixture(scope="module")
def table(r8_small):
    """Texts labelled by one who is mostly right, two who are often not, and one who mostly says yes."""
    rng, n = np.random.default_rng(0), 400
    y = rng.integers(0, 2, n)
    said = [np.where(rng.random(n) < p, y, 1 - y) for p in (0.92, 0.7, 0.7)]
    said.append(np.where(rng.random(n) < 0.9, 1, y))
    columns = dict(zip("abcd", np.array(NAMES, object)[np.array(said)], strict=True))
    gold = np.array(NAMES, object)[y]
    rows = pd.DataFrame({"text": r8_small["train"]["text"][:n], **columns, "gold": gold})
    rows.loc[::9, "c"] = None
    rows.loc[7, ["a", "b", "c", "d"]] = None
    return rows


def load(table, **settings):
    settings = {"noisy_label": ["a", "b", "c", "d"], "label": "gold", "validation": 0} | settings
    return nk.load_dataset(table, **settings)


def test_the_consensus_knows_whom_to_believe(table):
    ds = load(table)
    found = nk.agreement(ds)
    truth = np.array(ds["train"]["label"])
    labels = np.stack([np.array(ds["train"][f"noisy_label_{who}"]) for who in "abcd"])
    majority = np.stack([(labels == c).sum(0) for c in (0, 1)]).argmax(0)
    right = (found.consensus == truth).mean()
    assert right > (majority == truth).mean() + 0.02
    assert right >= found.annotators["right"].max() - 0.02
    assert found.annotators["right"]["a"] == (labels[0] == truth)[labels[0] >= 0].mean()
    assert found.annotators["labelled"].to_dict() == {"a": 399, "b": 399, "c": 354, "d": 399}
    assert found.consensus[7] == -1
    assert found.probability[7].tolist() == [0, 0]
    assert np.allclose(np.delete(found.probability, 7, 0).sum(1), 1)
    assert found.annotators["replaces"]["a"]
    assert found.annotators["advantage"].idxmax() == "a"
    assert found.interval[0] < found.alpha < found.interval[1]
    assert found.shares.loc["yes", "low"] <= truth.mean() <= found.shares.loc["yes", "high"]
    again = found.dataset(ds)["train"]
    assert again["noisy_label"] == found.consensus.tolist()
    assert again.features["noisy_label"].names == NAMES
    assert "may" not in repr(found)
    assert f"α {found.alpha:.2f} (" in repr(found)
    # What is true plays no part in it.
    hidden = nk.agreement(ds.remove_columns("label"))
    assert np.array_equal(hidden.probability, found.probability)
    assert hidden.shares is None


def test_splits_are_one_after_another(table):
    ds = load(table, validation=0.25)
    found = nk.agreement(ds)
    parts = found.dataset(ds)
    told = [*parts["train"]["noisy_label"], *parts["validation"]["noisy_label"]]
    assert told == found.consensus.tolist()
    both = [y for split in parts.values() for y in split["label"]]
    assert (found.consensus == both).mean() > 0.85


def test_dawid_and_skene_see_through_one_who_says_the_contrary():
    y = np.arange(60) % 2
    rng = np.random.default_rng(0)
    good = [np.where(rng.random(60) < 0.85, y, 1 - y) for _ in range(4)]
    found = dawid_skene(np.stack([*good, 1 - y]), 3)
    assert found.shape == (60, 3)
    assert (found.argmax(1) == y).mean() > 0.9
    assert not found[:, 2].any()


def test_what_columns_hold_is_asked_about_in_all_of_them(table):
    odd = table.assign(d=table["d"].replace("yes", "Yes."), b=table["b"].replace("no", "0"))
    with pytest.raises(LabelError) as asked:
        load(odd)
    assert asked.value.label_map == {"Yes.": "yes", "0": "no"}
    ds = load(odd, label_map=asked.value.label_map)
    assert ds["train"]["noisy_label_d"] == load(table)["train"]["noisy_label_d"]
    assert ds["train"]["noisy_label_b"] == load(table)["train"]["noisy_label_b"]


@pytest.mark.parametrize("wrong", [["a"], [], ["a", "a"], 3, {"a": 1}])
def test_columns_that_cannot_be_several(table, wrong):
    with pytest.raises(ValueError, match=r"noisy_label=.* is not allowed: a column, a list of at least two"):
        load(table, noisy_label=wrong)


def test_refusals(table):
    with pytest.raises(
        ValueError, match=r"ds=\[\] is not allowed: splits with at least two columns noisy_label_"
    ):
        nk.agreement(load(table, noisy_label="a"))
    with pytest.raises(ValueError, match="'nobody'"):
        load(table, noisy_label=["a", "nobody"])


def test_the_command_takes_several_labels(table, tmp_path, capsys):
    few = table.iloc[:90]
    few = few.assign(gold=few["gold"].where(few.index % 3 == 0))
    few.to_csv(tmp_path / "my.csv", index=False)
    call = ["clean", str(tmp_path / "my.csv"), "--gold", "gold", "--out", str(tmp_path / "out")]
    assert main([*call, "--label", "a", "--label", "b", "--label", "c", "--label", "d"]) == 0
    printed = capsys.readouterr().out
    ds = load(few)
    found = nk.agreement(ds)
    assert f"Agreement of a, b, c, d: α {found.alpha:.2f}" in printed
    rows = pd.read_csv(tmp_path / "out" / "cleaned.csv", keep_default_na=False)
    names = np.array([*NAMES, ""], object)
    assert rows["noisy_label"].tolist() == names[found.consensus].tolist()
    assert rows["noisy_label_d"].tolist() == few["d"].fillna("").tolist()
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert f"<strong>{found.alpha:.2f}</strong>" in page
    row = found.shares.loc["yes"]
    assert f"{row['low']:.0%} to {row['high']:.0%}<div" in page

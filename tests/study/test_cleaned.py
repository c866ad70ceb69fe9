"""A file of one's own in, cleaned labels, a list, a model and a report out."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, DatasetDict

import nlkit as nk
from nlkit.__main__ import main
from nlkit.data.observed import with_column
from nlkit.models.saving import check_folder
from nlkit.study.cleaned import _together
from tests.made import labelled_split

EVIL = "=1+1 <script>alert('x')</script> & "
SHIP = "ship <b>&"


@pytest.fixture(scope="module")
def given_data(r8_small):
    """R8 with 40 % wrong labels, a class name and texts that are no good HTML, ids and another column."""
    ds = nk.add_noise(r8_small, kind="symmetric", rate=0.4, seed=0)
    names = [SHIP if name == "ship" else name for name in ds["train"].features["label"].names]
    result = DatasetDict()
    for split, part in ds.items():
        for column in ("label", "noisy_label"):
            if column in part.column_names:
                part = with_column(part, column, part[column][:], ClassLabel(names=names))
        texts = [EVIL + text if i % 10 == 0 else text for i, text in enumerate(part["text"])]
        part = with_column(part, "text", texts)
        part = with_column(part, "id", [f"{split}-{3 * i}" for i in range(len(part))])
        result[split] = with_column(part, "when", ["@now" if i % 2 else "-1.5" for i in range(len(part))])
    some = [-1 if i % 40 == 7 else y for i, y in enumerate(result["train"]["noisy_label"])]
    result["train"] = with_column(result["train"], "noisy_label", some, ClassLabel(names=names))
    return result


@pytest.fixture(scope="module")
def cleaned(given_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "result"
    return nk.clean(given_data, out=folder, max_length=32), folder


def test_more_labels_are_right_than_were(cleaned, given_data):
    found, _ = cleaned
    truth, before = np.array(found.dataset["label"]), np.array(found.dataset["noisy_label"])
    after = np.array(found.dataset["cleaned_label"])
    assert found.unchanged_because == []
    assert (after == truth).sum() > (before == truth).sum() + 40
    assert np.array_equal(found.table["changed"], before != after)
    assert found.gold["accuracy_after"] == pytest.approx((after == truth).mean())
    # Whatever is true, the result is the same.
    hidden = DatasetDict({s: part.remove_columns("label") for s, part in given_data.items() if s != "test"})
    assert nk.clean(hidden, max_length=32).table.equals(found.table)


def test_nothing_is_lost_or_moved(cleaned, given_data):
    found, folder = cleaned
    rows = pd.read_csv(folder / "cleaned.csv", keep_default_na=False, dtype=str)
    parts = [given_data[split] for split in ("train", "validation")]
    assert rows["id"].tolist() == [i for part in parts for i in part["id"]]
    assert rows["split"].tolist() == ["train"] * 400 + ["validation"] * 40
    texts = [t for part in parts for t in part["text"]]
    assert rows["text"].tolist() == [f"'{t}" if t.startswith("=") else t for t in texts]
    assert set(rows["when"]) == {"'@now", "-1.5"}
    for column in ("label", "noisy_label"):
        names = [*parts[0].features[column].names, ""]
        assert rows[column].tolist() == [names[y] for part in parts for y in part[column]]
    assert rows["cleaned_label"].tolist() == found.table["cleaned_label"].tolist()
    assert (rows["label_changed"] == "True").tolist() == found.table["changed"].tolist()
    review = pd.read_csv(folder / "review.csv", keep_default_na=False)
    assert review["id"].tolist() == found.suspects["id"].tolist()
    assert (review["finders"].diff().dropna() <= 0).all()
    assert set(review["decision"]) == {""}
    assert not (review["proposal"] == review["noisy_label"]).any()


def test_splits_are_put_together_by_name():
    names, other = ["a", "b", "c"], ["c", "a", "b"]
    ds = DatasetDict({
        "train": labelled_split(names, text=["1", "2"], label=[0, 1], noisy_label=[2, -1]),
        "validation": labelled_split(other, text=["3", "4"], noisy_label=[0, 1], label=[1, -1]),
        "test": labelled_split(other, text=["5"], label=[2]),
    })  # fmt: skip
    rows = _together(ds, names)
    assert rows["text"] == ["1", "2", "3", "4"]
    assert rows["noisy_label"] == [2, -1, 2, 0]
    assert rows["label"] == [0, 1, 0, -1]
    assert rows["split"] == ["train", "train", "validation", "validation"]


class Page(HTMLParser):
    """Collects tags, and where anything would be loaded from."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.said = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href", "onload", "onclick")]

    def handle_data(self, data):
        self.said += data


def test_the_report_stands_alone_and_escapes(cleaned):
    found, folder = cleaned
    text = (folder / "report.html").read_text("utf-8")
    page = Page(text)
    assert not {"script", "b>", "link", "img", "iframe"} & set(page.tags)
    assert page.loaded == []
    assert "url(" not in text
    assert "@import" not in text
    assert text.count(EVIL) == 0
    assert SHIP in page.said
    assert page.tags.count("article") == 12
    assert f"{found.table['changed'].sum()} of 440 labels were changed" in page.said
    assert f"between {found.findings.interval[0]:.0%} and {found.findings.interval[1]:.0%}" in page.said
    assert f"{round(found.gold['accuracy_before'] * 440)} (" in page.said
    assert "The split test (200 texts) has no labels" in page.said


def test_the_folder_is_whole_and_no_review_is_overwritten(cleaned, monkeypatch, given_data):
    found, folder = cleaned
    assert {"cleaned.csv", "review.csv", "report.html", "model/model.safetensors"} <= check_folder(folder)
    texts = given_data["test"]["text"][:5]
    assert np.array_equal(nk.load(folder / "model").predict(texts), found.method.predict(texts))
    found.save(folder)  # nobody has edited it
    reviewed = (folder / "review.csv").read_text().replace(",\n", ",keep\n", 1)
    (folder / "review.csv").write_text(reviewed)
    monkeypatch.setattr(nk.SiDyP, "fit", None)  # refused before anything takes time
    with pytest.raises(FileExistsError, match=r"review\.csv is not as it was saved.*Choose another folder"):
        nk.clean(given_data, out=folder)
    assert (folder / "review.csv").read_text() == reviewed


def test_the_command_says_what_is_too_thin(r8_small, tmp_path, capsys):
    few, names = r8_small["train"].select(range(60)), r8_small["train"].features["label"].names
    table = pd.DataFrame({"body": few["text"], "label": [names[y] for y in few["label"]], "extra": range(60)})
    table.to_csv(tmp_path / "my.csv", index=False)
    out = tmp_path / "out"
    call = ["clean", str(tmp_path / "my.csv"), "--text", "body", "--label", "label", "--out", str(out)]
    assert main(call) == 0
    printed = capsys.readouterr().out
    assert "no label changed, because there are 60 labels" in printed
    # What `nlkit.look` finds is told before anything is trained, and stands in the report.
    small = [name for name in names if 0 < table["label"].value_counts().get(name, 0) < 5]
    count = table["label"].isin(small).sum()
    assert re.search(rf"train: class of fewer than 5: {count} of 60 rows.*{small[0]} \(", printed)
    page = Page((out / "report.html").read_text("utf-8"))
    assert re.search(rf"train{count}class of fewer than 5. Nothing sure", page.said)
    rows = pd.read_csv(out / "cleaned.csv")
    assert rows["id"].nunique() == 60
    assert rows["cleaned_label"].equals(rows["noisy_label"])
    labels = rows.set_index("text")["noisy_label"]
    assert labels[table["body"]].tolist() == table["label"].tolist()
    assert "Against the true labels" not in (out / "report.html").read_text("utf-8")
    with pytest.raises(SystemExit):
        main([*call[:-2], "--gold", "nobody", "--out", str(tmp_path / "other")])
    assert "'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize("as_file", [True, False])
def test_the_command_takes_what_the_question_prints(r8_small, tmp_path, capsys, as_file):
    few = r8_small["train"].select(range(40))
    own = [("ship", "Ship", "earn", "acq")[i % 4] for i in range(40)]
    table = pd.DataFrame({"text": few["text"], "llm": own, "label": ["x", "y"] * 20})
    table.loc[3, "text"] = " "
    table.to_csv(tmp_path / "my.csv", index=False, sep=";", encoding="utf-16")
    call = ["clean", str(tmp_path / "my.csv"), "--label", "llm", "--delimiter", ";", "--encoding", "utf-16"]
    call += ["--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main(call)
    printed = capsys.readouterr().err
    assert re.search(r"Ship +10 +noisy_label", printed)
    answer = next(line for line in printed.splitlines() if line.startswith("label_map="))
    if as_file:
        (tmp_path / "answer.txt").write_text(answer)
    assert main([*call, "--label-map", str(tmp_path / "answer.txt") if as_file else answer]) == 0
    assert re.search(r"Left out:\n.*\n +5 the text is missing", capsys.readouterr().out)
    rows, kept = pd.read_csv(tmp_path / "out" / "cleaned.csv"), table.drop(3)
    assert set(rows["noisy_label"]) == {"ship", "earn", "acq"}
    assert rows["original_label"].tolist() == kept["label"].tolist()  # no truth, no class, and not lost

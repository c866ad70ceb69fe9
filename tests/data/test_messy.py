"""One messy file goes in and out: every row, label and number is accounted for."""

from __future__ import annotations

import csv
import random
from collections import Counter

import pytest

import nlkit as nk
from nlkit.data import DataWarning, LabelError

SPELLINGS = {  # class -> its spellings, the most frequent first: 17 of six classes
    "Sport": ["Sport", "sport", "Sport.", " SPORT "], "Politics": ["Politics", "politics", "**Politics**"],
    "World News": ["World News", "world news", "world_news"],
    "Science": ["Science", "Label: science", "science"],
    "Art": ["Art", "A\u200brt"], "Economy": ["Economy", '"economy"'],
}  # fmt: skip
REFUSALS = ["I cannot determine the category", "?", "-100", "As an AI, I can't say."]
CLASS = {spelling.strip(): name for name, spellings in SPELLINGS.items() for spelling in spellings}


@pytest.fixture(scope="module")
def rows():
    """Return 1,500 rows of key, text, gold, llm and note: many of the LLM's labels are odd, or wrong."""
    assert sum(map(len, SPELLINGS.values())) == 17
    rng, rows = random.Random(0), []
    for i in range(1500):
        name = list(SPELLINGS)[i % 6]
        usual, *others = SPELLINGS[name]
        llm = rng.choice(others) if i % 7 == 3 else rng.choice(REFUSALS) if i % 49 == 5 else usual
        if i % 11 == 1:
            llm = list(SPELLINGS)[(i + 1) % 6]
        text = f'{name}; report "{i}" of the day'
        if i % 100 == 20:
            text = rng.choice(["", "  "])
        if i % 150 == 30:
            text = rows[-1]["text"].upper() + " "  # a copy but for white space and case
        rows.append({"key": f"k{1500 - i}", "text": text, "gold": usual, "llm": llm, "note": f"={i}+1"})
    return rows


@pytest.fixture(scope="module")
def path(rows, tmp_path_factory):
    """Write them with a BOM and semicolons."""
    path = tmp_path_factory.mktemp("messy") / "own.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return path


def load(path, **settings):
    columns = {"label": "gold", "noisy_label": "llm", "id": "key", "delimiter": ";"}
    return nk.load_dataset(path, **columns, **settings)


def test_it_is_asked_once_and_for_all(path, rows):
    with pytest.raises(LabelError) as asked:
        load(path)
    count = Counter(row["llm"].strip() for row in rows)
    odd = {raw: n for raw, n in count.items() if raw not in SPELLINGS}
    assert len(odd) == 11 + len(REFUSALS)
    assert asked.value.label_map == {raw: CLASS.get(raw) for raw in odd}
    assert dict(zip(asked.value.table["value"], asked.value.table["count"], strict=True)) == odd
    assert set(asked.value.table["column"]) == {"noisy_label"}


def test_it_goes_in_by_one_command_and_out_in_order(path, rows, tmp_path):
    with pytest.raises(LabelError) as asked:
        load(path)
    answer = asked.value.label_map
    with pytest.warns(DataWarning, match=r"15 × the text is missing"):
        ds, report = load(path, validation=150, label_map=answer, return_report=True)
    reasons = Counter(report["reason"])
    assert reasons["the text is missing"] == sum(not row["text"].strip() for row in rows) == 15
    assert len(ds["validation"]) == 150
    assert len(ds["train"]) + 150 + len(report) == 1500  # nothing is lost
    assert sorted(ds["train"].features["label"].names) == sorted(SPELLINGS)

    back = nk.to_csv(ds, tmp_path / "out.csv")
    with back.open(encoding="utf-8", newline="") as stream:
        out = list(csv.DictReader(stream))
    left_out = set(report["row"])
    kept = [row for i, row in enumerate(rows, start=2) if i not in left_out]
    assert [row["id"] for row in out] == [row["key"] for row in kept]
    for found, given in zip(out, kept, strict=True):
        assert found["text"] == given["text"]
        assert (found["label"], found["noisy_label"]) == (given["gold"], CLASS.get(given["llm"].strip(), ""))
        assert found["note"] == "'" + given["note"]
        assert found["original_noisy_label"].lstrip("'") == given["llm"]
    wrong = sum(CLASS.get(row["llm"].strip(), row["gold"]) != row["gold"] for row in kept)
    unlabelled = sum(row["llm"] in REFUSALS for row in kept)
    measured = [nk.noise_report(ds, split) for split in ("train", "validation")]
    assert sum(m.missing for m in measured) == unlabelled
    assert sum(m.n for m in measured) == len(kept) - unlabelled
    assert sum(m.counts.sum() - m.counts.trace() for m in measured) == wrong > 100

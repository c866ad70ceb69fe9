from __future__ import annotations

import csv
import json
import warnings
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, load_from_disk
from hypothesis import given
from hypothesis import strategies as st

from nlkit import data
from nlkit.data import DataError, DataWarning, load_dataset
from nlkit.data import packaged as assets
from nlkit.data.sampling import allocate, cut, draw

FORMATS = ["csv", "tsv", "jsonl", "parquet"]

# Quotes, separators, line breaks of all kinds and empty-looking characters are what breaks readers.
texts = st.text(
    st.one_of(st.sampled_from("\"',\t\n\r\u2028\u0085\ufeffé🙂 "), st.characters(exclude_categories=["Cs"])),
    min_size=1,
    max_size=30,
).filter(lambda t: t.strip())


def write(path: Path, rows: list[dict]) -> Path:
    suffix = path.suffix
    if suffix == ".jsonl":
        path.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8", newline="\n"
        )
    elif suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter="," if suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    return path


def raw(path: Path, content: str, encoding: str = "utf-8") -> dict:
    path.write_bytes(content.encode(encoding))
    return {"train": path}


def pairs(split, column="label"):
    return list(zip(split["text"][:], split[column][:], strict=True))


# ---- packaged sets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(data.OFFLINE))
def test_packaged_sets_come_whole(name):
    ds, report = load_dataset(name, return_report=True)
    lines = {
        split: [line for line in path.read_text("utf-8").split("\n")[3:] if line.count("\t") == 1]
        for split, path in zip(("train", "test"), assets.find(name).files.values(), strict=True)
    }
    names = ds["train"].features["label"].names
    test = Counter((text, names[label]) for text, label in pairs(ds["test"]))
    assert test == Counter((line.split("\t")[1].strip(), line.split("\t")[0]) for line in lines["test"])
    copies = report["reason"].str.startswith("same text")
    assert len(ds["train"]) + len(ds["validation"]) + copies.sum() == sum(
        bool(line.strip()) for line in lines["train"]
    )
    assert names == sorted(names)
    assert all(ds[split].features == ds["train"].features for split in ds)
    assert min(ds["train"]["label"][:]) == 0


@pytest.mark.parametrize("name", sorted(data.OFFLINE))
def test_no_text_is_in_two_splits(name):
    ds = load_dataset(name, train_size=1500, validation=0.3, seed=1)
    assert {split: len(ds[split]) for split in ("train", "validation")} == {"train": 1500, "validation": 450}
    sets = [set(ds[split]["text"][:]) for split in data.SPLITS]
    assert len(set.union(*sets)) == sum(map(len, sets))


def test_the_report_points_to_the_rows_of_the_file():
    _, report = load_dataset("r8", return_report=True)
    lines = assets.find("r8").files["reuters-r8-train.tab"].read_text("utf-8").split("\n")
    train = report[report["split"] == "train"]
    assert train["reason"].tolist() == ["empty line"] + ["same text in test"] * 5
    for row, content in zip(train["row"], train["content"], strict=True):
        assert content in lines[row - 1]


def test_a_class_of_one_stays_in_train():
    ds = load_dataset("r52", validation=0.4)
    counts = Counter(ds["train"]["label"][:])
    assert len(counts) == len(ds["train"].features["label"].names) == 52
    small = load_dataset("r52", train_size=30, validation=5, test_size=10)
    assert [len(small[split]) for split in data.SPLITS] == [30, 5, 10]
    assert len(small["train"].features["label"].names) == 52


def test_the_same_seed_gives_the_same_texts():
    first, second, other = (load_dataset("r8", 100, seed=seed, test_size=50) for seed in (3, 3, 4))
    for split in data.SPLITS:
        assert pairs(first[split]) == pairs(second[split])
        assert pairs(first[split]) != pairs(other[split])


def test_the_test_texts_do_not_depend_on_the_training_size():
    assert pairs(load_dataset("r8", 100, test_size=50)["test"]) == pairs(
        load_dataset("r8", 50, test_size=50)["test"]
    )


def test_packaged_sets_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        assert len(load_dataset("r8", train_size=50)["train"]) == 50


@pytest.mark.parametrize(
    ("validation", "wanted"), [(0.1, 20), (0.25, 50), (7, 7), (1, 1), (0, None), (0.0, None), (0.0001, 1)]
)
def test_validation_as_fraction_or_count(validation, wanted):
    ds = load_dataset("r8", train_size=200, validation=validation, test_size=10)
    assert len(ds["train"]) == 200
    assert (len(ds["validation"]) if "validation" in ds else None) == wanted


def test_stratified_within_one_sample_a_class(r8_small):
    whole = load_dataset("r8", validation=0)
    for split, source in (("train", "train"), ("test", "test")):
        share = np.bincount(whole[source]["label"][:], minlength=8) / len(whole[source])
        counts = np.bincount(r8_small[split]["label"][:], minlength=8)
        # Train is drawn after validation took its own share, which moves a count by less than one more.
        assert (np.abs(counts - share * len(r8_small[split])) < (2 if split == "train" else 1)).all()


# ---- sampling ---------------------------------------------------------------------------------------------

counts = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any)


@given(counts, st.floats(0, 1))
def test_allocation_is_proportional_within_one(counts, fraction):
    sizes = np.array(counts)
    total = int(fraction * sizes.sum())
    shares = allocate(sizes, total)
    assert shares.sum() == total
    assert (shares <= sizes).all()
    assert (np.abs(shares - total * sizes / sizes.sum()) < 1 + 1e-9).all()


@given(counts, st.data())
def test_allocation_respects_the_capacity(counts, data):
    sizes = np.array(counts)
    capacity = np.array([data.draw(st.integers(0, size)) for size in counts])
    total = data.draw(st.integers(0, int(capacity.sum())))
    shares = allocate(sizes, total, capacity)
    assert shares.sum() == total
    assert ((shares >= 0) & (shares <= capacity)).all()


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=60), st.floats(0, 1), st.integers(0, 99))
def test_a_draw_has_no_position_twice(labels, fraction, seed):
    total = int(fraction * len(labels))
    chosen = draw(np.array(labels), total, np.random.default_rng(seed))
    assert len(set(chosen.tolist())) == len(chosen) == total


@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3)), min_size=2, max_size=60),
    st.integers(0, 20),
    st.one_of(st.none(), st.integers(1, 30)),
    st.integers(0, 99),
)
def test_a_cut_loses_nothing_and_nothing_straddles_it(samples, held_out, train_size, seed):
    texts = [f"text {number}" for number, _ in samples]
    labels = np.array([label for _, label in samples])
    train, validation, copies = cut(texts, labels, train_size, held_out, np.random.default_rng(seed))
    positions = [*train, *validation, *copies]
    assert len(set(positions)) == len(positions)
    in_validation = {texts[i] for i in validation}
    assert not in_validation & {texts[i] for i in train}
    assert {texts[i] for i in copies} <= in_validation
    assert set(labels[validation]) <= set(labels)
    if train_size is None:
        assert len(positions) == len(samples)
    assert len(validation) <= held_out
    assert all((labels == c).sum() > (labels[validation] == c).sum() for c in set(labels[validation]))


# ---- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
@given(samples=st.lists(st.tuples(texts, st.sampled_from(["a", "b, c", 'd "e"'])), min_size=1, max_size=12))
def test_every_text_survives_every_format(tmp_path_factory, suffix, samples):
    rows = [{"text": text, "label": label} for text, label in samples]
    path = write(tmp_path_factory.mktemp("round") / f"train.{suffix}", rows)
    names = ["a", "b, c", 'd "e"']
    ds = load_dataset({"train": path}, validation=0, label_names=names)
    assert Counter((text, names[label]) for text, label in pairs(ds["train"])) == Counter(samples)
    assert ds["train"].features["text"] == Value("string")
    assert ds["train"].features["label"] == ClassLabel(names=names)


@pytest.mark.parametrize("suffix", FORMATS)
def test_three_files_with_other_column_names(tmp_path, suffix):
    def rows(prefix, n):
        return [{"body": f"{prefix} {i}", "topic": "ab"[i % 2], "seen": "ba"[i % 2]} for i in range(n)]

    source = {
        split: write(tmp_path / f"{split}.{suffix}", rows(split, n))
        for split, n in (("train", 20), ("validation", 6), ("test", 8))
    }
    ds = load_dataset(source, train_size=10, text="body", label="topic", noisy_label="seen")
    assert {split: len(ds[split]) for split in ds} == {"train": 10, "validation": 6, "test": 8}
    assert ds["train"].column_names == ["text", "label", "noisy_label"]
    assert all(row["label"] == 1 - row["noisy_label"] for row in ds["train"])
    assert ds["test"]["text"][:] == [f"test {i}" for i in range(8)]


@pytest.mark.parametrize("suffix", FORMATS)
def test_missing_labels_become_minus_one(tmp_path, suffix):
    empty = "" if suffix in ("csv", "tsv") else None
    labels = ["no", "yes", empty, "-1"]
    path = write(
        tmp_path / f"t.{suffix}", [{"text": f"t{i}", "label": label} for i, label in enumerate(labels)]
    )
    ds = load_dataset({"train": path}, validation=0)
    assert dict(pairs(ds["train"])) == {"t0": 0, "t1": 1, "t2": -1, "t3": -1}


def test_minus_one_survives_saving(tmp_path):
    ds = load_dataset(raw(tmp_path / "t.csv", "text,label\na,x\nb,y\nc,\n"), validation=0)
    ds.save_to_disk(tmp_path / "saved")
    assert sorted(load_from_disk(tmp_path / "saved")["train"]["label"][:]) == [-1, 0, 1]
    assert sorted(ds["train"].with_format("numpy")["label"][:].tolist()) == [-1, 0, 1]


@pytest.mark.parametrize("suffix", FORMATS)
def test_integer_labels(tmp_path, suffix):
    rows = [{"text": f"t{i}", "label": i % 3} for i in range(9)]
    path = write(tmp_path / f"t.{suffix}", rows)
    plain = load_dataset({"train": path}, validation=0)
    named = load_dataset({"train": path}, validation=0, label_names=["x", "y", "z"])
    assert plain["train"].features["label"].names == ["0", "1", "2"]
    assert (
        sorted(pairs(plain["train"]))
        == sorted(pairs(named["train"]))
        == [(r["text"], r["label"]) for r in rows]
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_stars_from_one_to_three_are_names_when_told_so(tmp_path, suffix):
    rows = [{"text": f"t{i}", "label": 1 + i % 3} for i in range(9)]
    path = write(tmp_path / f"t.{suffix}", rows)
    with pytest.raises(DataError, match=r"not all of 0 … C-1: 1, 2, 3.*label_names"):
        load_dataset({"train": path})
    ds = load_dataset({"train": path}, validation=0, label_names=["1", "2", "3"])
    assert sorted(pairs(ds["train"])) == [(row["text"], row["label"] - 1) for row in rows]


def test_pandas_writes_gaps_as_floats(tmp_path):
    ds = load_dataset(raw(tmp_path / "t.csv", "text,label\na,0.0\nb,1.0\nc,\n"), validation=0)
    assert dict(pairs(ds["train"])) == {"a": 0, "b": 1, "c": -1}


def test_parquet_of_datasets_keeps_its_class_names(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["z", "m", "a"])})
    saved = Dataset.from_dict({"text": ["p", "q", "r"], "label": [2, 0, -1]}, features=features)
    saved.to_parquet(tmp_path / "t.parquet")
    ds = load_dataset({"train": tmp_path / "t.parquet"}, validation=0)
    assert ds["train"].features["label"].names == ["z", "m", "a"]
    assert dict(pairs(ds["train"])) == {"p": 2, "q": 0, "r": -1}


def test_noisy_labels_alone_are_enough_for_train(tmp_path):
    train = raw(tmp_path / "t.csv", "text,noisy_label\na,x\nb,y\nc,x\nd,y\n")["train"]
    test = raw(tmp_path / "u.csv", "text,label\ne,x\nf,y\n")["train"]
    ds = load_dataset({"train": train, "test": test}, validation=2)
    assert ds["train"].column_names == ds["validation"].column_names == ["text", "noisy_label"]
    assert ds["test"].column_names == ["text", "label"]
    assert len(ds["validation"]) == 2


def test_a_byte_order_mark_and_another_encoding(tmp_path):
    marked = raw(tmp_path / "m.csv", "\ufefftext,label\na,x\nb,y\n")
    assert len(load_dataset(marked, validation=0)["train"]) == 2
    latin = raw(tmp_path / "l.csv", "text,label\ncafé,x\nthé,y\n", "cp1252")
    assert set(load_dataset(latin, validation=0, encoding="cp1252")["train"]["text"][:]) == {"café", "thé"}


def test_long_texts_are_read(tmp_path):
    long = "word " * 100_000
    before = csv.field_size_limit()
    ds = load_dataset(raw(tmp_path / "t.csv", f"text,label\n{long}x,a\nb,b\n"), validation=0)
    assert max(map(len, ds["train"]["text"][:])) == len(long) + 1
    assert csv.field_size_limit() == before


# ---- rows left out ----------------------------------------------------------------------------------------

BROKEN = {
    "csv": ("text,label\na,x\nb,y,z\n\nonly\nd,y\n\n\n", [3, 4, 5]),
    "tsv": ("text\tlabel\na\tx\nb\ty\tz\n\nonly\nd\ty\n", [3, 4, 5]),
    "jsonl": ('{"text":"a","label":"x"}\n{"text":\n\n[1]\n{"text":"d","label":"y"}\n\n', [2, 3, 4]),
}


@pytest.mark.parametrize("suffix", sorted(BROKEN))
def test_malformed_rows_are_counted_and_listed(tmp_path, suffix):
    content, broken = BROKEN[suffix]
    source = raw(tmp_path / f"t.{suffix}", content)
    with pytest.warns(DataWarning, match=rf"t\.{suffix}: 3 rows were left out .*first is row {broken[0]}"):
        ds, report = load_dataset(source, validation=0, return_report=True)
    assert sorted(ds["train"]["text"][:]) == ["a", "d"]
    assert report["row"].tolist() == broken
    assert (report["split"] == "train").all()
    assert (report["file"] == str(source["train"])).all()
    assert report["reason"].str.len().min() > 0


def test_row_numbers_count_lines_inside_quotes(tmp_path):
    source = raw(tmp_path / "t.csv", 'text,label\n"one\ntwo\nthree",x\nb,y\nc,unknown\n')
    with pytest.raises(DataError, match=r"t\.csv, row 6: unknown label 'unknown'"):
        load_dataset(source, label_names=["x", "y"])


def test_texts_of_test_are_left_out_of_train_with_a_warning(tmp_path):
    source = raw(tmp_path / "t.csv", "text,label\na,x\nb,y\nc,x\nc,x\n")
    source["test"] = raw(tmp_path / "u.csv", "text,label\nc,x\nz,y\n")["train"]
    with pytest.warns(DataWarning, match="2 × same text in test"):
        ds = load_dataset(source, validation=0)
    assert sorted(ds["train"]["text"][:]) == ["a", "b"]
    assert ds["test"]["text"][:] == ["c", "z"]


# ---- errors -----------------------------------------------------------------------------------------------

HEAD = "text,label\na,x\nb,y\n"


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (
            HEAD + "c,z\n",
            {"label_names": ["x", "y"]},
            r"row 4: unknown label 'z' .*Use one of x, y.*label_names",
        ),
        (HEAD + "c,7\n", {"label_names": ["x", "y"]}, r"row 4: unknown label '7' .*class number 0 … 1"),
        ("body,label\na,x\n", {}, r"no column 'text'\. It has 'body', 'label'; pass text="),
        (
            "text,topic\na,x\n",
            {},
            r"no column 'label' or 'noisy_label'\. It has 'text', 'topic'; pass label=",
        ),
        ("text,label\n", {}, r"the train split is empty"),
        ("text,label\nonly\n", {}, r"the train split is empty \(1 malformed rows\)"),
        ("", {}, r"row 1: the file has no header"),
        ("text,text\na,b\n", {}, r"row 1: columns \['text'\] appear twice"),
        (HEAD + ",x\n", {}, r"row 4: the text is missing \(column 'text'\)\. Fill it in or delete the row"),
        (HEAD + '"  ",x\n', {}, r"row 4: the text is missing"),
        (HEAD + '"c,x\nd,y\n', {}, r"row 4: the quotes do not match .*double the quotes"),
        ("text,label\na,x\nb,x\n", {}, r"the labels hold 1 class"),
        ("text,label\na,\nb,\n", {}, r"the labels hold 0 class"),
    ],
)
def test_errors_name_the_file_the_row_and_the_remedy(tmp_path, content, arguments, message):
    with pytest.raises(DataError, match=r"bad\.csv.*" + message):
        load_dataset(raw(tmp_path / "bad.csv", content), **arguments)


@pytest.mark.parametrize("value", ["null", "NaN", '""'])
def test_missing_text_in_jsonl(tmp_path, value):
    content = '{"text": "a", "label": 0}\n{"text": ' + value + ', "label": 1}\n'
    with pytest.raises(DataError, match=r"row 2: the text is missing"):
        load_dataset(raw(tmp_path / "t.jsonl", content))


def test_half_a_character_in_jsonl(tmp_path):
    content = '{"text": "a", "label": 0}\n{"text": "b \\ud800", "label": 1}\n'
    with pytest.raises(
        DataError,
        match=r"t\.jsonl, row 2: the text holds half a character, .*\\ud800.* \(column 'text'\)\. Re",
    ):
        load_dataset(raw(tmp_path / "t.jsonl", content), validation=0)
    whole = content.replace("ud800", "ud83d\\ude42")
    ds = load_dataset(raw(tmp_path / "t.jsonl", whole), validation=0)
    assert sorted(ds["train"]["text"][:]) == ["a", "b 🙂"]


def test_text_that_is_a_number(tmp_path):
    with pytest.raises(DataError, match=r"row 1: the text is int 5, not a string.*text="):
        load_dataset(raw(tmp_path / "t.jsonl", '{"text": 5, "label": 0}\n'), label_names=["a", "b"])


def test_wrong_encoding(tmp_path):
    source = raw(tmp_path / "t.csv", "text,label\na,x\ncafé,y\n", "latin-1")
    with pytest.raises(DataError, match=r"t\.csv, row 3: the bytes .* are not utf-8.*encoding="):
        load_dataset(source)
    with pytest.raises(ValueError, match=r"encoding='klingon'"):
        load_dataset(source, encoding="klingon")


def test_broken_parquet_missing_file_and_unknown_suffix(tmp_path):
    with pytest.raises(DataError, match="not a readable Parquet file"):
        load_dataset(raw(tmp_path / "t.parquet", "PAR1 no"))
    with pytest.raises(DataError, match="no such file"):
        load_dataset({"train": tmp_path / "absent.csv"})
    with pytest.raises(ValueError, match=r"must end in \.csv, \.tsv, \.jsonl or \.parquet"):
        load_dataset({"train": tmp_path / "t.xlsx"})


def test_a_test_file_needs_true_labels(tmp_path):
    train = raw(tmp_path / "t.csv", HEAD)["train"]
    test = raw(tmp_path / "u.csv", "text,noisy_label\nc,x\n")["train"]
    with pytest.raises(DataError, match=r"u\.csv: there is no column 'label'\."):
        load_dataset({"train": train, "test": test})


def test_a_train_file_that_is_all_in_test(tmp_path):
    train = raw(tmp_path / "t.csv", HEAD)["train"]
    test = raw(tmp_path / "u.csv", HEAD)["train"]
    with pytest.raises(DataError, match="every text of the train split is also in a later one"):
        load_dataset({"train": train, "test": test})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "r9"}, "source='r9'.*r8, r52, 20ng, trec, ag_news, sst2, imdb"),
        ({"source": {"test": "t.csv"}}, "source=.*a mapping"),
        ({"source": {"train": "t.csv", "dev": "d.csv"}}, "source=.*a mapping"),
        ({"train_size": 0}, "train_size=0"),
        ({"train_size": True}, "train_size=True"),
        ({"train_size": 10.0}, "train_size=10.0"),
        ({"train_size": 5400}, "train_size=5400.*5480 texts; with 540 for validation at most 4940"),
        ({"train_size": 5400}, "train_size=5400.*with validation=0 all 5480"),
        ({"train_size": 6000}, "train_size=6000.*5480 texts.*smaller train_size"),
        ({"train_size": 10, "validation": 6000}, "validation=6000.*5480 texts can spare at most 5472"),
        ({"validation": 6000}, "validation=6000.*5480 texts can spare at most 5472"),
        ({"text": "nope"}, r"text='nope' is not allowed: 'r8' .*leave text out"),
        ({"label": "nope"}, r"label='nope' is not allowed: 'r8' .*leave label out"),
        ({"noisy_label": "nope"}, r"noisy_label='nope' is not allowed: 'r8' .*leave noisy_label out"),
        ({"label_names": ["x", "y"]}, r"label_names=\['x', 'y'\] is not allowed: 'r8' .*leave label_names"),
        ({"encoding": "cp1252"}, r"encoding='cp1252' is not allowed: 'r8' .*leave encoding out"),
        ({"source": "sst2", "text": "sentence"}, r"text='sentence' is not allowed: 'sst2'"),
        ({"source": {"train": "t.csv"}, "label": ["gold"]}, r"label=\['gold'\].*the name of a column"),
        ({"source": {"train": "t.csv"}, "text": ""}, r"text=''.*the name of a column"),
        ({"validation": 1.0}, "validation=1.0.*fraction in"),
        ({"validation": -1}, "validation=-1"),
        ({"validation": True}, "validation=True"),
        ({"validation": float("nan")}, "validation=nan"),
        ({"test_size": 0}, "test_size=0"),
        ({"test_size": 3000}, "test_size=3000.*at most 2189"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "seed=1.5"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(**{"source": "r8", **arguments})


NAMED = "text,gold,llm\na,x,y\nb,y,y\nc,x,x\n"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"label": "gold", "noisy_label": "lmm"},
            r"t\.csv: there is no column 'lmm'\. It has 'text', 'gold', 'llm'; pass noisy_label=",
        ),
        (
            {"label": "gould", "noisy_label": "llm"},
            r"t\.csv: there is no column 'gould'\. It has 'text', 'gold', 'llm'; pass label=",
        ),
        # The usual name is optional only as long as nobody asks for it.
        ({"label": "gold", "noisy_label": "noisy_label"}, r"no column 'noisy_label'.*leave noisy_label out"),
    ],
)
def test_a_column_that_was_asked_for_must_exist(tmp_path, columns, message):
    with pytest.raises(DataError, match=message):
        load_dataset(raw(tmp_path / "t.csv", NAMED), validation=0, **columns)


def test_a_column_that_was_asked_for_may_be_in_one_file_only(tmp_path):
    source = raw(tmp_path / "t.csv", "text,llm\na,x\nb,y\n")
    source["test"] = raw(tmp_path / "u.csv", "text,gold\nc,x\n")["train"]
    ds = load_dataset(source, validation=0, label="gold", noisy_label="llm")
    assert ds["train"].column_names == ["text", "noisy_label"]
    assert ds["test"].column_names == ["text", "label"]
    with pytest.raises(
        DataError,
        match=r"t\.csv: there is no column 'lmm' here, nor in the other files\. "
        r"train has 'text', 'topic'; test has 'text', 'gold', 'topic'; pass noisy_label=",
    ):
        load_dataset(
            raw(tmp_path / "t.csv", "text,topic\na,x\nb,y\n")
            | {"test": raw(tmp_path / "u.csv", "text,gold,topic\nc,x,x\n")["train"]},
            label="topic",
            noisy_label="lmm",
        )


def test_the_columns_of_the_design_can_be_given(tmp_path):
    source = raw(tmp_path / "t.csv", "text,label,noisy_label\na,x,y\nb,y,y\n")
    given = load_dataset(
        source, validation=0, text="text", label="label", noisy_label="noisy_label", label_names=["x", "y"]
    )
    assert given["train"][:] == load_dataset(source, validation=0)["train"][:]


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (
            "".join(f"t{i},{i}\n" for i in range(8)),
            {},
            r"validation=0\.1 is not allowed: it asks for 1, .*every class keeps its last text"
            r".*8 texts can spare at most 0.*validation=0.*\"validation\" file",
        ),
        ("t,0\n", {"label_names": ["a", "b"]}, r"validation=0\.1 .*can spare at most 0.*validation=0"),
        (
            "t,0\nu,1\nv,1\n",
            {"validation": 2},
            r"validation=2 .*can spare at most 1.*at most 1, validation=0",
        ),
        # A draw that is too large is the training part's fault, however much validation follows from it.
        ("t,0\nu,1\n", {"train_size": 100}, r"train_size=100 .*has 2 texts"),
        # One text in three copies: the one that goes to validation takes the others with it.
        ("t,0\nt,0\nt,1\n", {}, r"validation=0\.1 .*at most 0 are left.*2 .*copies.*validation=0"),
    ],
)
def test_a_validation_split_that_cannot_be_cut(tmp_path, content, arguments, message):
    source = raw(tmp_path / "t.csv", "text,label\n" + content)
    with pytest.raises(ValueError, match=message):
        load_dataset(source, **arguments)
    small = {name: value for name, value in arguments.items() if name == "label_names"}
    assert len(load_dataset(source, validation=0, **small)["train"]) == content.count("\n")


@pytest.mark.parametrize("names", ["xy", ["x"], ["x", "x"], ["x", ""], ["x", "-1"], ["x", 1], []])
def test_bad_label_names(tmp_path, names):
    with pytest.raises(ValueError, match="label_names="):
        load_dataset(raw(tmp_path / "t.csv", HEAD), label_names=names)


# ---- hub --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(data.HUB))
def test_hub_sets_say_offline_what_can_be_used_instead(name):
    with pytest.raises(DataError, match=rf"'{name}' could not be fetched.*{', '.join(data.OFFLINE)}"):
        load_dataset(name)


@pytest.mark.parametrize("name", sorted(data.HUB))
def test_hub_sets_are_pinned_and_brought_to_the_same_columns(name, monkeypatch):
    wanted = data.HUB[name]
    calls = []

    def fake(repository, *, revision, split, data_files):
        calls.append((repository, revision, split))
        features = Features({wanted.text: Value("string"), wanted.label: ClassLabel(names=["n", "p"])})
        return Dataset.from_dict(
            {wanted.text: [f"{split} {i}" for i in range(20)], wanted.label: [i % 2 for i in range(20)]},
            features=features,
        )

    monkeypatch.setattr(datasets, "load_dataset", fake)
    ds = load_dataset(name, train_size=10, validation=4)
    assert isinstance(ds, DatasetDict)
    assert calls == [(wanted.repository, wanted.revision, part) for part in ("train", wanted.test)]
    assert [len(ds[split]) for split in data.SPLITS] == [10, 4, 20]
    assert ds["train"].column_names == ["text", "label"]
    assert ds["train"].features["label"].names == ["n", "p"]
    assert len(wanted.revision) == 40

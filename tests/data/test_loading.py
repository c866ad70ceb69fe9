"""Loading: whole sets, exact draws, every format, and errors that name file, row and remedy."""

from __future__ import annotations

import csv
import json
import re
import warnings
from collections import Counter

import datasets
import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_from_disk
from hypothesis import given
from hypothesis import strategies as st

from nlkit import data
from nlkit.data import DataError, DataWarning, load_dataset, newsgroups
from nlkit.data import packaged as assets
from nlkit.data.observed import with_column
from nlkit.data.sampling import allocate, cut, draw
from tests.made import labelled_split

FORMATS = ["csv", "tsv", "jsonl", "parquet"]

# Quotes, separators, line breaks of all kinds and empty-looking characters are what breaks readers.
texts = st.text(
    st.one_of(st.sampled_from("\"',\t\n\r\u2028\u0085\ufeffé🙂 "), st.characters(exclude_categories=["Cs"])),
    min_size=1,
    max_size=30,
).filter(lambda t: t.strip())


def write(path, rows):
    if path.suffix == ".jsonl":
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text(lines, "utf-8", newline="\n")
    elif path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.fixture
def files(tmp_path):
    """Write files of these contents, by split; a name may say the suffix: ``train_jsonl``."""

    def make(encoding="utf-8", **contents):
        found = {}
        for name, content in contents.items():
            split, _, suffix = name.partition("_")
            found[split] = tmp_path / f"{split}.{suffix or 'csv'}"
            found[split].write_bytes(content.encode(encoding))
        return found

    return make


def pairs(split, column="label"):
    return list(zip(split["text"][:], split[column][:], strict=True))


class TestPackaged:
    @pytest.mark.parametrize("name", sorted(data.OFFLINE.keys() & assets.ASSETS.keys()))
    def test_sets_come_whole(self, name):
        ds, report = load_dataset(name, return_report=True)
        lines = {
            split: [line for line in path.read_text("utf-8").split("\n")[3:] if line.count("\t") == 1]
            for split, path in zip(("train", "test"), assets.find(name).files.values(), strict=True)
        }
        names = ds["train"].features["label"].names
        test = Counter((text, names[label]) for text, label in pairs(ds["test"]))
        assert test == Counter((line.split("\t")[1].strip(), line.split("\t")[0]) for line in lines["test"])
        copies = report["reason"].str.startswith("same text").sum()
        whole = sum(bool(line.strip()) for line in lines["train"])
        assert len(ds["train"]) + len(ds["validation"]) + copies == whole
        assert names == sorted(names)
        assert all(ds[split].features == ds["train"].features for split in ds)
        assert min(ds["train"]["label"][:]) == 0

    @pytest.mark.parametrize("name", sorted(data.OFFLINE))
    def test_no_text_is_in_two_splits(self, name):
        ds = load_dataset(name, train_size=1500, validation=0.3, seed=1)
        assert (len(ds["train"]), len(ds["validation"])) == (1500, 450)
        sets = [set(ds[split]["text"][:]) for split in data.SPLITS]
        assert len(set.union(*sets)) == sum(map(len, sets))

    def test_readable_newsgroups_have_plain_names_and_no_quotation_lines(self):
        ds = load_dataset("newsgroups", train_size=2000)
        whole = load_dataset("20ng", validation=0)
        assert ds["train"].features["label"].names == sorted(newsgroups.GROUPS.values())
        words = set(" ".join(whole["train"]["text"][:]).split())
        for text in ds["train"]["text"][:]:
            assert len(text.split()) >= 20
            assert not text.startswith("re ")
            assert not re.search(r"\bin article( \S+){1,25} writes\b", text)
        assert set(" ".join(ds["train"]["text"][:]).split()) <= words, "cut, and nothing put in"

    def test_what_is_cut_from_a_post(self):
        post = "re re my car in article a b site edu me site edu some one writes it is fine he said and so on"
        assert newsgroups.without_headers(post) == "my car it is fine he said and so on"

    def test_the_report_points_to_the_rows_of_the_file(self):
        _, report = load_dataset("r8", return_report=True)
        lines = assets.find("r8").files["reuters-r8-train.tab"].read_text("utf-8").split("\n")
        train = report[report["split"] == "train"]
        assert train["reason"].tolist() == ["empty line"] + ["same text in test"] * 5
        assert all(map(str.__contains__, [lines[row - 1] for row in train["row"]], train["content"]))

    def test_a_class_of_one_stays_in_train(self):
        ds = load_dataset("r52", validation=0.4)
        assert len(set(ds["train"]["label"])) == len(ds["train"].features["label"].names) == 52
        small = load_dataset("r52", train_size=30, validation=5, test_size=10)
        assert [len(small[split]) for split in data.SPLITS] == [30, 5, 10]
        assert len(small["train"].features["label"].names) == 52

    def test_the_seed_decides_and_nothing_warns(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error", DataWarning)
            one, same, other = (load_dataset("r8", 100, seed=seed, test_size=50) for seed in (3, 3, 4))
        for split in data.SPLITS:
            assert pairs(one[split]) == pairs(same[split])
            assert pairs(one[split]) != pairs(other[split])
        # The size of train does not change which texts are tested on.
        assert pairs(load_dataset("r8", 50, seed=3, test_size=50)["test"]) == pairs(one["test"])

    @pytest.mark.parametrize(
        ("validation", "wanted"),
        [(0.1, 20), (0.25, 50), (7, 7), (1, 1), (0, None), (0.0, None), (0.0001, 1)],
    )
    def test_validation_as_fraction_or_count(self, validation, wanted):
        ds = load_dataset("r8", train_size=200, validation=validation, test_size=10)
        assert len(ds["train"]) == 200
        assert (len(ds["validation"]) if "validation" in ds else None) == wanted

    def test_stratified_within_one_sample_a_class(self, r8_small):
        whole = load_dataset("r8", validation=0)
        # Train is drawn after validation took its own share, which moves a count by less than one more.
        for split, most in (("train", 2), ("test", 1)):
            share = np.bincount(whole[split]["label"][:], minlength=8) / len(whole[split])
            counts = np.bincount(r8_small[split]["label"][:], minlength=8)
            assert (np.abs(counts - share * len(r8_small[split])) < most).all()


class TestSampling:
    @given(st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any), st.booleans(), st.data())
    def test_allocation_is_proportional_within_one_and_respects_the_capacity(self, counts, capped, data):
        sizes = np.array(counts)
        capacity = np.array([data.draw(st.integers(0, size)) for size in counts]) if capped else None
        most = sizes if capacity is None else capacity
        total = data.draw(st.integers(0, int(most.sum())))
        shares = allocate(sizes, total, capacity)
        assert shares.sum() == total
        assert ((shares >= 0) & (shares <= most)).all()
        if not capped:
            assert (np.abs(shares - total * sizes / sizes.sum()) < 1 + 1e-9).all()

    @given(st.lists(st.integers(-1, 4), min_size=1, max_size=60), st.floats(0, 1), st.integers(0, 99))
    def test_a_draw_has_no_position_twice(self, labels, fraction, seed):
        total = int(fraction * len(labels))
        chosen = draw(np.array(labels), total, np.random.default_rng(seed))
        assert len(set(chosen.tolist())) == len(chosen) == total

    @given(
        st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3)), min_size=2, max_size=60),
        st.integers(0, 20),
        st.one_of(st.none(), st.integers(1, 30)),
        st.integers(0, 99),
    )
    def test_a_cut_loses_nothing_and_nothing_straddles_it(self, samples, held_out, train_size, seed):
        texts, labels = [f"text {number}" for number, _ in samples], np.array([y for _, y in samples])
        train, validation, copies = cut(texts, labels, train_size, held_out, np.random.default_rng(seed))
        positions = [*train, *validation, *copies]
        assert len(set(positions)) == len(positions)
        in_validation = {texts[i] for i in validation}
        assert not in_validation & {texts[i] for i in train}
        assert {texts[i] for i in copies} <= in_validation
        assert train_size is not None or len(positions) == len(samples)
        assert len(validation) <= held_out
        assert all((labels == c).sum() > (labels[validation] == c).sum() for c in set(labels[validation]))


class TestFormats:
    @pytest.mark.parametrize("suffix", FORMATS)
    @given(
        samples=st.lists(st.tuples(texts, st.sampled_from(["a", "b, c", 'd "e"'])), min_size=1, max_size=12)
    )
    def test_every_text_survives_every_format(self, tmp_path_factory, suffix, samples):
        rows = [{"text": text, "label": label} for text, label in samples]
        path = write(tmp_path_factory.mktemp("round") / f"train.{suffix}", rows)
        names = ["a", "b, c", 'd "e"']
        ds = load_dataset({"train": path}, validation=0, label_names=names)
        assert Counter((text, names[label]) for text, label in pairs(ds["train"])) == Counter(samples)
        assert ds["train"].features["text"] == Value("string")
        assert ds["train"].features["label"] == ClassLabel(names=names)

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_three_files_with_other_column_names(self, tmp_path, suffix):
        def rows(prefix, n):
            return [{"body": f"{prefix} {i}", "topic": "ab"[i % 2], "seen": "ba"[i % 2]} for i in range(n)]

        sizes = {"train": 20, "validation": 6, "test": 8}
        source = {split: write(tmp_path / f"{split}.{suffix}", rows(split, n)) for split, n in sizes.items()}
        ds = load_dataset(source, train_size=10, text="body", label="topic", noisy_label="seen")
        assert {split: len(ds[split]) for split in ds} == {"train": 10, "validation": 6, "test": 8}
        assert ds["train"].column_names == ["id", "text", "label", "noisy_label"]
        assert all(row["label"] == 1 - row["noisy_label"] for row in ds["train"])
        assert ds["test"]["text"][:] == [f"test {i}" for i in range(8)]

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_missing_labels_become_minus_one_and_stay_it(self, tmp_path, suffix):
        labels = ["no", "yes", "" if suffix in ("csv", "tsv") else None, "-1"]
        path = write(tmp_path / f"t.{suffix}", [{"text": f"t{i}", "label": y} for i, y in enumerate(labels)])
        ds = load_dataset({"train": path}, validation=0)
        assert dict(pairs(ds["train"])) == {"t0": 0, "t1": 1, "t2": -1, "t3": -1}
        ds.save_to_disk(tmp_path / "saved")
        assert sorted(load_from_disk(tmp_path / "saved")["train"]["label"][:]) == [-1, -1, 0, 1]
        assert sorted(ds["train"].with_format("numpy")["label"][:].tolist()) == [-1, -1, 0, 1]

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_integer_labels_are_numbers_or_names_when_told_so(self, tmp_path, suffix):
        rows = [{"text": f"t{i}", "label": i % 3} for i in range(9)]
        path = write(tmp_path / f"t.{suffix}", rows)
        plain = load_dataset({"train": path}, validation=0)["train"]
        named = load_dataset({"train": path}, validation=0, label_names=["x", "y", "z"])["train"]
        assert plain.features["label"].names == ["0", "1", "2"]
        assert sorted(pairs(plain)) == sorted(pairs(named)) == [(r["text"], r["label"]) for r in rows]
        stars = write(tmp_path / f"s.{suffix}", [{**row, "label": row["label"] + 1} for row in rows])
        with pytest.raises(DataError, match=r"not all of 0 … C-1: 1, 2, 3.*label_names"):
            load_dataset({"train": stars})
        ds = load_dataset({"train": stars}, validation=0, label_names=["1", "2", "3"])
        assert sorted(pairs(ds["train"])) == sorted(pairs(plain))

    def test_pandas_writes_gaps_as_floats(self, files):
        ds = load_dataset(files(train="text,label\na,0.0\nb,1.0\nc,\n"), validation=0)
        assert dict(pairs(ds["train"])) == {"a": 0, "b": 1, "c": -1}

    def test_parquet_of_datasets_keeps_its_class_names(self, tmp_path):
        labelled_split("zma", text=["p", "q", "r"], label=[2, 0, -1]).to_parquet(tmp_path / "t.parquet")
        ds = load_dataset({"train": tmp_path / "t.parquet"}, validation=0)
        assert ds["train"].features["label"].names == ["z", "m", "a"]
        assert dict(pairs(ds["train"])) == {"p": 2, "q": 0, "r": -1}

    def test_noisy_labels_alone_are_enough_for_train(self, files):
        source = files(train="text,noisy_label\na,x\nb,y\nc,x\nd,y\n", test="text,label\ne,x\nf,y\n")
        ds = load_dataset(source, validation=2)
        assert ds["train"].column_names == ds["validation"].column_names == ["id", "text", "noisy_label"]
        assert ds["test"].column_names == ["id", "text", "label"]
        assert len(ds["validation"]) == 2

    def test_a_byte_order_mark_and_another_encoding(self, files):
        assert len(load_dataset(files(train="\ufefftext,label\na,x\nb,y\n"), validation=0)["train"]) == 2
        latin = files("cp1252", train="text,label\ncafé,x\nthé,y\n")
        ds = load_dataset(latin, validation=0, encoding="cp1252")
        assert set(ds["train"]["text"][:]) == {"café", "thé"}

    def test_long_texts_are_read(self, files):
        long, before = "word " * 100_000, csv.field_size_limit()
        ds = load_dataset(files(train=f"text,label\n{long}x,a\nb,b\n"), validation=0)
        assert max(map(len, ds["train"]["text"][:])) == len(long) + 1
        assert csv.field_size_limit() == before

    def test_a_pair_of_surrogates_is_one_character(self, files):
        content = '{"text": "a", "label": 0}\n{"text": "b \\ud83d\\ude42", "label": 1}\n'
        ds = load_dataset(files(train_jsonl=content), validation=0)
        assert sorted(ds["train"]["text"][:]) == ["a", "b 🙂"]


class TestLeftOut:
    @pytest.mark.parametrize(
        ("suffix", "content", "broken"),
        [
            ("csv", "text,label\na,x\nb,y,z\n\nonly\nd,y\n\n\n", [3, 4, 5]),
            ("tsv", "text\tlabel\na\tx\nb\ty\tz\n\nonly\nd\ty\n", [3, 4, 5]),
            ("jsonl", '{"text":"a","label":"x"}\n{"text":\n\n[1]\n{"text":"d","label":"y"}\n\n', [2, 3, 4]),
        ],
    )
    def test_malformed_rows_are_counted_and_listed(self, files, suffix, content, broken):
        source = files(**{f"train_{suffix}": content})
        said = rf"train\.{suffix}: 3 rows were left out .*: row {', '.join(map(str, broken))}\."
        with pytest.warns(DataWarning, match=said):
            ds, report = load_dataset(source, validation=0, return_report=True)
        assert sorted(ds["train"]["text"][:]) == ["a", "d"]
        assert report["row"].tolist() == broken
        assert set(report["split"]) == {"train"}
        assert set(report["file"]) == {str(source["train"])}
        assert report["reason"].str.len().min() > 0
        assert report["content"].isin(["b,y,z", "b\ty\tz", "only", "", '{"text":', "[1]"]).all()

    def test_texts_that_cannot_be_used_are_all_named_at_once(self, files):
        texts = ["a", None, "b", "", " ", float("nan"), 5, "half \ud83d", "c"]
        lines = "".join(json.dumps({"text": text, "label": i % 2}) + "\n" for i, text in enumerate(texts))
        said = r"6 rows were left out \(4 × the text is missing, .*\): row 2, 4, 5, 6, 7, 8\."
        with pytest.warns(DataWarning, match=said):
            ds, report = load_dataset(files(train_jsonl=lines), validation=0, return_report=True)
        assert ds["train"]["id"][:] == [1, 3, 9]
        assert pairs(ds["train"]) == [("a", 0), ("b", 0), ("c", 0)]
        assert report["row"].tolist() == [2, 4, 5, 6, 7, 8]

    def test_texts_of_test_are_left_out_of_train_with_a_warning(self, files):
        source = files(train="text,label\na,x\nb,y\nc,x\nC ,x\n", test="text,label\nc,x\nz,y\n")
        with pytest.warns(DataWarning, match="2 × same text in test"):
            ds = load_dataset(source, validation=0)
        assert sorted(ds["train"]["text"][:]) == ["a", "b"]
        assert ds["test"]["text"][:] == ["c", "z"]


HEAD = "text,label\na,x\nb,y\n"
XY, AB = {"label_names": ["x", "y"]}, {"label_names": ["a", "b"]}
NAMED = "text,gold,llm\na,x,y\nb,y,y\nc,x,x\n"


class TestErrors:
    @pytest.mark.parametrize(
        ("contents", "arguments", "message"),
        [
            (HEAD + "c,z\n", XY, r" z +1 +label train\.csv, row 4 not in label_names +\.\.\."),
            (HEAD + "c,7\n", XY, r" 7 +1 +label train\.csv, row 4 not in label_names +\.\.\."),
            ('text,label\n"one\ntwo\nthree",x\nb,y\nc,no\n', XY,
             r" no +1 +label train\.csv, row 6 not in label_names"),
            ("body,label\na,x\n", {}, r"no column 'text'\. It has 'body', 'label'; pass text="),
            ("text,topic\na,x\n", {},
             r"no column 'label' or 'noisy_label'\. It has 'text', 'topic'; pass label="),
            ("text,label\n", {}, r"the train split is empty"),
            ("text,label\nonly\n", {}, r"the train split is empty \(1 malformed rows\)"),
            ("", {}, r"row 1: the file has no header"),
            ("text,text\na,b\n", {}, r"row 1: columns \['text'\] appear twice"),
            ("text,label\n,x\n", {"label_names": ["x", "y"]},
             r"row 2: no row can be used: the text is missing \(column 'text'\)\. Pass text="),
            (HEAD + '"c,x\nd,y\n', {}, r"row 4: the quotes do not match .*double the quotes"),
            ("text,label\na,x\nb,x\n", {}, r"the labels hold 1 class"),
            ("text,label\na,\nb,\n", {}, r"the labels hold 0 class"),
            ({"train": HEAD, "test": "text,noisy_label\nc,x\n"}, {}, r"there is no column 'label'\."),
            ({"train": HEAD, "test": HEAD}, {}, "every text of the train split is also in a later one"),
            ({"train_parquet": "PAR1 no"}, {}, "not a readable Parquet file"),
            ({"train_jsonl": '{"text": 5, "label": 0}\n'}, AB,
             r"row 1: .*the text is int, not a string.*text="),
            ({"train_json": "5"}, {}, r"the train split is empty \(1 malformed rows\)"),
            ({"train_csv.gz": "text"}, {}, r"not a whole \.gz file"),
            (NAMED, {"label": "gold", "noisy_label": "lmm"},
             r"no column 'lmm'\. It has 'text', 'gold', 'llm'; pass noisy_label="),
            (NAMED, {"label": "gould", "noisy_label": "llm"},
             r"no column 'gould'\. It has 'text', 'gold', 'llm'; pass label="),
            # The usual name is optional only as long as nobody asks for it.
            (NAMED, {"label": "gold", "noisy_label": "noisy_label"},
             r"no column 'noisy_label'.*leave noisy_label out"),
            ({"train": "text,topic\na,x\nb,y\n", "test": "text,gold,topic\nc,x,x\n"},
             {"label": "topic", "noisy_label": "lmm"},
             r"no column 'lmm' here, nor in the other files\. train has 'text', 'topic'; test has 'text', "
             r"'gold', 'topic'; pass noisy_label="),
        ],
    )  # fmt: skip
    def test_name_the_file_the_row_and_the_remedy(self, files, contents, arguments, message):
        contents = contents if isinstance(contents, dict) else {"train": contents}
        with pytest.raises(DataError, match=r"(?s)(train|test)\.\w+.*" + message):
            load_dataset(files(**contents), **arguments)

    def test_wrong_encoding_and_no_such_file(self, files, tmp_path):
        source = files("latin-1", train="text,label\na,x\ncafé,y\n")
        with pytest.raises(DataError, match=r"train\.csv, row 3: the bytes .* are not utf-8.*encoding="):
            load_dataset(source)
        with pytest.raises(ValueError, match=r"encoding='klingon'"):
            load_dataset(source, encoding="klingon")
        with pytest.raises(DataError, match="no such file"):
            load_dataset({"train": tmp_path / "absent.csv"})
        with pytest.raises(ValueError, match=r"ends in \.csv, \.tsv, \.json, \.jsonl or \.parquet, or"):
            load_dataset({"train": tmp_path / "t.xlsx"})

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"source": "r9"}, "source='r9'.*r8, r52, 20ng, newsgroups, trec, ag_news, sst2, imdb"),
            ({"source": {"test": "t.csv"}}, "source=.*a mapping"),
            ({"source": {"train": "t.csv", "dev": "d.csv"}}, "source=.*a mapping"),
            *[({"train_size": value}, f"train_size={value}") for value in (0, True, 10.0)],
            ({"train_size": 5400}, "train_size=5400.*5480 texts; with 540 for validation at most 4940"),
            ({"train_size": 5400}, "train_size=5400.*with validation=0 all 5480"),
            ({"train_size": 6000}, "train_size=6000.*5480 texts.*smaller train_size"),
            ({"train_size": 10, "validation": 6000}, "validation=6000.*5480 texts can spare at most 5472"),
            ({"validation": 6000}, "validation=6000.*5480 texts can spare at most 5472"),
            *[({name: "nope"}, f"{name}='nope' is not allowed: 'r8' .*leave {name} out")
              for name in ("text", "label", "noisy_label", "encoding")],
            (XY, r"label_names=\['x', 'y'\] is not allowed: 'r8' .*leave label_names"),
            ({"source": "sst2", "text": "sentence"}, r"text='sentence' is not allowed: 'sst2'"),
            ({"source": {"train": "t.csv"}, "label": ["gold"]}, r"label=\['gold'\].*the name of a column"),
            ({"source": {"train": "t.csv"}, "text": ""}, r"text=''.*the name of a column"),
            ({"validation": 1.0}, "validation=1.0.*fraction in"),
            *[({"validation": value}, f"validation={value}") for value in (-1, True, float("nan"))],
            ({"test_size": 0}, "test_size=0"), ({"test_size": 3000}, "test_size=3000.*at most 2189"),
            ({"seed": -1}, "seed=-1"), ({"seed": 1.5}, "seed=1.5"),
        ],
    )  # fmt: skip
    def test_bad_settings(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            load_dataset(**{"source": "r8", **arguments})

    @pytest.mark.parametrize("names", ["xy", ["x"], ["x", "x"], ["x", ""], ["x", "-1"], ["x", 1], []])
    def test_bad_label_names(self, files, names):
        with pytest.raises(ValueError, match="label_names="):
            load_dataset(files(train=HEAD), label_names=names)

    @pytest.mark.parametrize(
        ("rows", "arguments", "message"),
        [
            ("".join(f"t{i},{i}\n" for i in range(8)), {},
             r"validation=0\.1 is not allowed: it asks for 1, .*every class keeps its last text"
             r".*8 texts can spare at most 0.*validation=0.*\"validation\" file"),
            ("t,0\n", AB, r"validation=0\.1 .*can spare at most 0.*validation=0"),
            ("t,0\nu,1\nv,1\n", {"validation": 2},
             r"validation=2 .*can spare at most 1.*at most 1, validation=0"),
            # A draw that is too large is the training part's fault, however much validation follows from it.
            ("t,0\nu,1\n", {"train_size": 100}, r"train_size=100 .*has 2 texts"),
            # One text in three copies: the one that goes to validation takes the others with it.
            ("t,0\nt,0\nt,1\n", {}, r"validation=0\.1 .*at most 0 are left.*2 .*copies.*validation=0"),
        ],
    )  # fmt: skip
    def test_a_validation_split_that_cannot_be_cut(self, files, rows, arguments, message):
        source = files(train="text,label\n" + rows)
        with pytest.raises(ValueError, match=message):
            load_dataset(source, **arguments)
        small = {name: value for name, value in arguments.items() if name == "label_names"}
        assert len(load_dataset(source, validation=0, **small)["train"]) == rows.count("\n")


def test_columns_that_are_given_by_name(files):
    source = files(train="text,llm\na,x\nb,y\n", test="text,gold\nc,x\n")
    ds = load_dataset(source, validation=0, label="gold", noisy_label="llm")  # each in one file only
    assert ds["train"].column_names == ["id", "text", "noisy_label"]
    assert ds["test"].column_names == ["id", "text", "label"]
    usual = files(train="text,label,noisy_label\na,x,y\nb,y,y\n")
    names = {name: name for name in ("text", "label", "noisy_label")}
    given = load_dataset(usual, validation=0, label_names=["x", "y"], **names)
    assert given["train"][:] == load_dataset(usual, validation=0)["train"][:]


@pytest.mark.parametrize("name", sorted(data.HUB))
class TestHub:
    def test_says_offline_what_can_be_used_instead(self, name):
        said = rf"'{name}' could not be fetched.*{', '.join(data.OFFLINE)}"
        with pytest.raises(DataError, match=said):
            load_dataset(name)

    def test_sets_are_pinned_and_brought_to_the_same_columns(self, name, monkeypatch):
        wanted, calls = data.HUB[name], []

        def fake(repository, *, revision, split, data_files):
            calls.append((repository, revision, split))
            features = Features({wanted.text: Value("string"), wanted.label: ClassLabel(names=["n", "p"])})
            rows = [{wanted.text: f"{split} {i}", wanted.label: i % 2} for i in range(20)]
            return Dataset.from_list(rows, features=features)

        monkeypatch.setattr(datasets, "load_dataset", fake)
        ds = load_dataset(name, train_size=10, validation=4)
        assert calls == [(wanted.repository, wanted.revision, part) for part in ("train", wanted.test)]
        assert [len(ds[split]) for split in data.SPLITS] == [10, 4, 20]
        assert ds["train"].column_names == ["id", "text", "label"]
        assert ds["train"].features["label"].names == ["n", "p"]
        assert len(wanted.revision) == 40


def test_a_column_is_added_or_replaced_and_the_data_stay_as_they_were():
    plain = Dataset.from_dict({"text": ["a", "b"], "y": [0, 1]})
    found = with_column(plain, "y", [1, 0], ClassLabel(names=["no", "yes"]))
    assert found["y"][:] == [1, 0]
    assert found.features["y"].names == ["no", "yes"]
    assert with_column(found, "z", ["p", "q"]).column_names == ["text", "y", "z"]
    assert plain["y"][:] == [0, 1]

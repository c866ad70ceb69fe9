"""All methods side by side, and what is said of their differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nlkit as nk
from nlkit.methods.baselines import LOSSES
from nlkit.study import comparing
from nlkit.study.comparing import BEST, LAST

ROWS = [("A", 0, LAST), ("A", 1, LAST), ("B", 0, LAST), ("B", 1, LAST), ("A", 0, BEST), ("A", 1, BEST)]


@pytest.fixture
def scores():
    return pd.DataFrame(ROWS, columns=["method", "seed", "selected"])


@pytest.fixture
def label():
    return np.random.default_rng(0).integers(0, 4, 80)


@pytest.fixture
def guess(label):
    rng = np.random.default_rng(1)
    return np.stack([np.where(rng.random(80) < 0.3, (label + 1) % 4, label) for _ in ROWS])


class TestContestants:
    def test_every_method_and_every_loss(self):
        makers = comparing.contestants(annotator="smollm2", query_budget=3, profile="quick")
        made = {name: make(7) for name, make in makers.items()}
        assert {type(method) for method in made.values()} == set(nk.METHODS.values())
        assert len(makers) == len(nk.METHODS) - 1 + len(LOSSES)
        losses = [method.config.loss for method in made.values() if type(method) is nk.Baseline]
        assert losses == list(LOSSES)
        assert {(m.config.seed, m.config.profile) for m in made.values()} == {(7, "quick")}
        asks = made["NoiseAL"]
        assert (asks.annotator, asks.config.query_budget) == ("smollm2", 3)

    def test_only_those_that_are_named(self):
        assert list(comparing.contestants(methods=["SiDyP", "JoCoR"])) == ["SiDyP", "JoCoR"]
        with pytest.raises(ValueError, match="methods='CE' is not allowed: one of NoiseAL"):
            comparing.contestants(methods=["CE"])

    def test_a_method_that_is_added_takes_part(self, monkeypatch):
        added = type("Added", (nk.Baseline,), {})
        monkeypatch.setitem(nk.METHODS, "Added", added)
        assert isinstance(comparing.contestants(profile="quick")["Added"](0), added)


@pytest.fixture(scope="module")
def found():
    """Data of two seeds, two ways to make a method, and what `compare` found."""
    ds = nk.load_dataset("r8", train_size=60, test_size=40, seed=0)
    data = {seed: nk.add_noise(ds, rate=0.2, seed=seed) for seed in (0, 1)}
    makers = {name: comparing.contestants(profile="quick")[name] for name in ("CE", "KNNRelabel")}
    return data, makers, comparing.compare(data, makers)


class TestCompare:
    def test_a_row_for_each_method_seed_and_selection(self, found):
        data, makers, (scores, guess) = found
        assert len(scores) == len(guess) == 2 * 2 * 2
        assert set(zip(scores["method"], scores["seed"], scores["selected"], strict=True)) == {
            (name, seed, selected) for name in makers for seed in data for selected in (LAST, BEST)
        }
        label = np.array(data[0]["test"]["label"])
        np.testing.assert_allclose((guess == label).mean(1), scores["accuracy"])
        assert (scores["n"] == 40).all()

    def test_rows_are_what_the_method_says(self, found):
        data, makers, (scores, _) = found
        method = makers["CE"](1).fit(data[1])
        row = scores.query("method == 'CE' and seed == 1").set_index("selected")["macro_f1"]
        assert row[LAST] == pytest.approx(method.evaluate(data[1]["test"])["macro_f1"])
        assert row[BEST] == pytest.approx(method.at_best_epoch().evaluate(data[1]["test"])["macro_f1"])

    def test_without_noisy_validation_labels_there_is_the_last_epoch_only(self, found):
        data, makers, _ = found
        ds = type(data[0])({split: data[0][split] for split in ("train", "test")})
        scores, guess = comparing.compare({0: ds}, {"CE": makers["CE"]})
        assert scores["selected"].tolist() == [LAST]
        assert guess.shape == (1, 40)

    @pytest.mark.parametrize("missing", [-1, None])
    def test_samples_of_unknown_truth_are_left_out(self, found, missing):
        data, makers, _ = found
        test = data[0]["test"].map(
            lambda row, i: {"label": missing if i < 10 else row["label"]}, with_indices=True
        )
        scores, guess = comparing.compare({0: type(data[0])({**data[0], "test": test})}, {"CE": makers["CE"]})
        assert guess.shape == (2, 30)
        assert (scores["n"] == 30).all()

    def test_finished_fits_are_kept(self, found, tmp_path, monkeypatch):
        data, makers, (scores, guess) = found
        fits, fit = [], nk.Baseline.fit

        def counted(self, ds, **settings):
            if len(fits) == 3 and "interrupted" not in fits:
                fits.append("interrupted")
                raise KeyboardInterrupt
            fits.append(self.config.seed)
            return fit(self, ds, **settings)

        monkeypatch.setattr(nk.Baseline, "fit", counted)
        makers = {"CE": makers["CE"], "again": makers["CE"]}
        with pytest.raises(KeyboardInterrupt):
            comparing.compare(data, makers, checkpoint=tmp_path)
        again, same_guess = comparing.compare(data, makers, checkpoint=tmp_path)
        assert fits == [0, 1, 0, "interrupted", 1]
        ce = scores["method"] == "CE"
        for name in ("CE", "again"):
            own = (again["method"] == name).to_numpy()
            np.testing.assert_array_equal(same_guess[own], guess[ce])
            pd.testing.assert_frame_equal(
                again[own].drop(columns=["method", "seconds"]).reset_index(drop=True),
                scores[ce].drop(columns=["method", "seconds"]).reset_index(drop=True),
            )

    @pytest.mark.parametrize("what", ["train", "validation", "test", "settings"])
    def test_other_data_or_settings_are_fitted(self, found, tmp_path, monkeypatch, what):
        data, makers, _ = found
        fits, fit = [], nk.Baseline.fit
        monkeypatch.setattr(nk.Baseline, "fit", lambda self, ds: fits.append(0) or fit(self, ds))
        one, make = {0: data[0]}, {"CE": makers["CE"]}
        comparing.compare(one, make, checkpoint=tmp_path)
        if what == "settings":
            make = {"CE": lambda seed: nk.Baseline(loss="ce", profile="quick", epochs=2, seed=seed)}
        else:
            one = {0: type(data[0])({**data[0], what: data[0][what].select(range(5, len(data[0][what])))})}
        comparing.compare(one, make, checkpoint=tmp_path)
        assert len(fits) == 2


class TestIntervals:
    def test_means_over_seeds_with_both_intervals(self, scores, guess, label):
        table = comparing.intervals(scores, guess, label, ("A", LAST)).set_index(["method", "selected"])
        right = (guess == label).mean(1)
        assert list(table.index) == [("A", LAST), ("B", LAST), ("A", BEST)]
        assert table.loc[("B", LAST), "accuracy"] == pytest.approx(right[2:4].mean())
        assert table.loc[("A", BEST), "difference"] == pytest.approx(right[4:].mean() - right[:2].mean())
        assert (table["low"] < table["accuracy"]).all()
        assert (table["accuracy"] < table["high"]).all()
        assert table.loc[("A", LAST), ["difference", "difference_low", "difference_high"]].eq(0).all()

    def test_pairing_narrows_what_is_right_on_the_same_texts(self, scores, label):
        hard = np.arange(80) < 30
        wrong = np.where(hard, (label + 1) % 4, label)
        better = np.where(np.arange(80) < 28, (label + 1) % 4, label)
        guess = np.stack([wrong, wrong, better, better, wrong, wrong])
        row = comparing.intervals(scores, guess, label, ("A", LAST)).iloc[1]
        assert row["difference_high"] - row["difference_low"] < 0.5 * (row["high"] - row["low"])

    def test_unknown_reference(self, scores, guess, label):
        with pytest.raises(ValueError, match=r"against=\('C', 'last epoch'\) is not allowed: one of \('A'"):
            comparing.intervals(scores, guess, label, ("C", LAST))


class TestRanks:
    def test_places(self):
        runs = pd.DataFrame(
            {"d": ["x"] * 6 + ["y"] * 6, "r": 0.5, "method": ["A", "A", "B", "B", "C", "C"] * 2,
             "accuracy": [0.9, 0.7, 0.6, 0.6, 0.7, 0.7, 0.1, 0.1, 0.5, 0.5, 0.5, 0.5]}
        )  # fmt: skip
        table = comparing.ranks(runs, ["d", "r"])
        assert table.loc["A"].tolist() == [1.0, 3.0, 2.0]
        assert table.loc["B"].tolist() == [3.0, 1.5, 2.25]
        assert list(table.columns) == ["x 0.5", "y 0.5", "mean"]
        assert table.index[0] == "C"


class TestOptimism:
    @given(st.integers(0, 100))
    def test_a_single_method_has_no_luck_in_being_chosen(self, seed):
        right = np.random.default_rng(seed).random((1, 50)) < 0.8
        halves = comparing.optimism(right, draws=400, seed=seed)
        assert (halves["chosen_on"] - halves["elsewhere"]).mean() == pytest.approx(0, abs=0.025)

    def test_equal_methods_look_better_where_they_won(self):
        right = np.random.default_rng(0).random((10, 300)) < 0.8
        halves = comparing.optimism(right)
        assert (halves["chosen_on"] - halves["elsewhere"]).mean() > 0.01
        assert halves["winner"].nunique() > 2

    def test_one_draw_by_hand(self):
        right = np.array([[1, 1, 0, 0], [0, 1, 1, 0.5]])
        order = np.random.default_rng(3).permutation(4)
        row = comparing.optimism(right, draws=1, seed=3).iloc[0]
        first = right[:, order[:2]].mean(1)
        assert row["winner"] == first.argmax()
        assert row["elsewhere"] == right[int(row["winner"]), order[2:]].mean()

    @pytest.mark.parametrize("shape", [(0, 4), (2, 1), (4,)])
    def test_bad_shape(self, shape):
        with pytest.raises(ValueError, match=r"right=.* is not allowed: shape \(M, N\)"):
            comparing.optimism(np.zeros(shape))


class TestOwnData:
    @pytest.fixture
    def folder(self, tmp_path):
        def write(train="text,noisy_label", test="text,label", suffix=".csv"):
            rows = [f"text number {i},{'good' if i % 2 else 'bad'}" for i in range(40)]
            (tmp_path / f"train{suffix}").write_text("\n".join([train, *rows[:30]]))
            (tmp_path / f"test{suffix}").write_text("\n".join([test, *rows[30:]]))
            return tmp_path

        return write

    def test_files_become_splits(self, folder):
        ds = comparing.own_data(folder())
        assert {split: len(part) for split, part in ds.items()} == {"train": 27, "validation": 3, "test": 10}
        assert (
            ds["train"].features["noisy_label"].names == ds["test"].features["label"].names == ["bad", "good"]
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"train": "text,label"}, "train.csv with a column 'noisy_label'"),
         ({"test": "text,noisy_label"}, "label"),
         ({"suffix": ".xls"}, "a folder that holds one of train.csv, train.tsv")],
    )  # fmt: skip
    def test_what_is_missing_is_named(self, folder, change, message):
        with pytest.raises(ValueError, match=message):
            comparing.own_data(folder(**change))

    def test_one_file_is_cut_by_its_checked_labels(self, tmp_path):
        rows = [f"{'good' if i % 2 else 'bad'},text number {i},{'Bad' if i % 4 else ''}" for i in range(40)]
        file = tmp_path / "my.csv"
        file.write_text("\n".join(["llm,body,gold", *rows]))
        named = {"text": "body", "noisy_label": "llm", "label": "gold"}
        with pytest.raises(ValueError, match="label_map="):
            comparing.own_data(file, **named)
        ds = comparing.own_data(file, label_map={"Bad": "bad", "bad": "bad"}, **named)
        assert {split: len(part) for split, part in ds.items()} == {"train": 9, "validation": 1, "test": 30}
        assert ds["train"].features["noisy_label"].names == ["bad", "good"]
        assert set(ds["train"]["label"]) == {-1}
        assert set(ds["test"]["label"]) == {0}
        texts = {f"text number {i}" for i in range(0, 40, 4)}
        assert {*ds["train"]["text"], *ds["validation"]["text"]} == texts
        file.write_text("text,noisy_label,label\na,x,x\nb,y,y\n")
        with pytest.raises(ValueError, match="some rows have a checked label, and others none"):
            comparing.own_data(file)
        file.write_text("text,noisy_label\na,x\nb,y\n")
        with pytest.raises(ValueError, match=r"my\.csv with a column 'label'"):
            comparing.own_data(file)

    def test_it_can_be_compared_on(self, folder):
        ds = comparing.own_data(folder())
        scores, _ = comparing.compare({0: ds}, {"CE": comparing.contestants(profile="quick")["CE"]})
        assert scores["n"].tolist() == [10, 10]

"""Recorded runs: what comes back is what a live run gives, and everyone can tell which it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nlkit.study import recorded
from nlkit.study.recorded import RECORD, experiment
from nlkit.study.resuming import each

SETTINGS = {"dataset": "r8", "rate": 0.4, "size": None}
SHARES = np.array([0.1234567, 0.9], np.float32)


def found():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), size=(2, 5)).astype(np.float16)
    table = pd.DataFrame(
        {"name": ["a", "b", None], "share": [0.25, np.nan, 1 / 3], "n": [1, 2, 3], "ok": True}
    )
    numbers = {"label": np.array([2, 0, -1]), "score": np.array([-3.5, 1e-9, 7.25]), "share": SHARES}
    return {"p": p, "table": table, **numbers}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def kept(place, monkeypatch):
    """A recording of `found`."""
    monkeypatch.setenv(RECORD, str(place))
    run = experiment("some", found, SETTINGS)
    monkeypatch.delenv(RECORD)
    return run


def refuse():
    raise AssertionError("nothing should be computed")


def same(one, other):
    """Equal names, kinds and numbers; probabilities up to a step of what recordings keep."""
    assert set(one.data) == set(other.data)
    for name, value in one.data.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, other[name])
        else:
            assert value.dtype == other[name].dtype
            np.testing.assert_allclose(value, other[name], atol=1 / 255 if name == "p" else 0)


class TestExperiment:
    def test_a_recording_is_read_and_nothing_computed(self, kept):
        run = experiment("some", refuse, SETTINGS)
        assert (run.live, run.as_given) == (False, True)
        same(run, kept)

    @pytest.mark.parametrize(
        ("name", "changed", "recorded_runs", "as_given"),
        [("some", {}, False, True), ("some", {"rate": 0.2}, True, False), ("never", {}, True, False)],
    )
    def test_what_else_is_computed(self, kept, place, name, changed, recorded_runs, as_given):
        run = experiment(name, found, SETTINGS | changed, recorded=recorded_runs)
        assert (run.live, run.as_given) == (True, as_given)
        same(run, kept)
        assert [path.name for path in place.iterdir()] == ["some"]

    def test_tells_beforehand_whether_it_will_compute(self, kept, monkeypatch):
        assert recorded.is_recorded("some", SETTINGS)
        assert not recorded.is_recorded("some", SETTINGS | {"rate": 0.2})
        assert not recorded.is_recorded("never", SETTINGS)
        monkeypatch.setenv(RECORD, "anywhere")
        assert not recorded.is_recorded("some", SETTINGS)

    def test_settings_are_compared_as_json_has_them(self, place, monkeypatch):
        monkeypatch.setenv(RECORD, str(place))
        experiment("some", found, {"rates": (0.2, 0.4)})
        monkeypatch.delenv(RECORD)
        assert not experiment("some", refuse, {"rates": (0.2, 0.4)}).live

    def test_a_live_run_is_not_rounded(self, place):
        live, original = experiment("never", found, SETTINGS), found()
        np.testing.assert_array_equal(live["share"], SHARES)
        np.testing.assert_array_equal(live["p"], original["p"])
        assert live["p"].dtype == live["score"].dtype == np.float32

    def test_values_come_back(self, kept):
        original = found()
        np.testing.assert_allclose(kept["p"], original["p"], atol=1 / 255)
        np.testing.assert_allclose(kept["p"].sum(-1), 1, atol=1e-6)
        np.testing.assert_allclose(kept["score"], original["score"], rtol=1e-6)
        np.testing.assert_array_equal(kept["share"], SHARES)  # only declared probabilities are rounded
        np.testing.assert_array_equal(kept["label"], original["label"])
        assert kept["table"]["name"].tolist()[:2] == ["a", "b"]
        assert kept["table"]["share"].isna().tolist() == [False, True, False]
        with pytest.raises(ValueError, match="key='q' is not allowed: one of label, p, score, share, table"):
            kept["q"]

    def test_an_older_table_does_not_stay(self, kept, place, monkeypatch):
        monkeypatch.setenv(RECORD, str(place))
        experiment("some", lambda: {"only": np.arange(3)}, SETTINGS)
        monkeypatch.delenv(RECORD)
        assert set(experiment("some", refuse, SETTINGS).data) == {"only"}

    def test_what_cannot_be_recorded(self, place, monkeypatch):
        with pytest.raises(ValueError, match="result 'x'='list' is not allowed: a DataFrame, or an array"):
            experiment("never", lambda: {"x": [1]}, {})
        monkeypatch.setenv(RECORD, str(place))
        with pytest.raises(ValueError, match="result 'x'='float16 outside 0 to 1' is not allowed: prob"):
            experiment("never", lambda: {"x": np.array([1.5], np.float16)}, {})


class TestProbabilities:
    """How recordings keep them."""

    @given(arrays.arrays(np.float16, arrays.array_shapes(min_side=0), elements=st.floats(0, 1, width=16)))
    def test_of_any_shape(self, p):
        back = recorded._unpacked(recorded._packed("p", p))
        assert back.shape == p.shape
        np.testing.assert_allclose(back, p, atol=1 / 255)

    @given(st.integers(0, 1000), st.integers(2, 300))
    def test_distributions_stay_distributions(self, seed, classes):
        p = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), size=(2, 3)).astype(np.float16)
        back = recorded._unpacked(recorded._packed("p", p))
        np.testing.assert_allclose(back.sum(-1), 1, atol=1e-5)
        np.testing.assert_allclose(back, p, atol=1 / 255)


class TestRun:
    def test_says_recorded_with_age_and_settings(self, kept):
        kept.when = datetime.now(UTC) - timedelta(days=3)
        assert kept.label.startswith(f"Recorded on {kept.when.date()}, 3 days ago by nlkit ")
        assert "dataset r8, rate 0.4, size None" in kept.label
        assert "<strong>Recorded</strong>" in kept._repr_html_()

    def test_recompute(self, kept):
        run = experiment("some", lambda: {"new": np.arange(2)}, SETTINGS)
        assert run.recompute() is run
        assert run.live
        assert run.label.startswith("Live: computed here in 0 s with dataset r8")
        assert set(run.data) == {"new"}

    def test_a_failed_recompute_leaves_the_run_as_it_was(self, kept):
        run = experiment("some", refuse, SETTINGS)
        with pytest.raises(AssertionError, match="nothing should"):
            run.recompute()
        assert not run.live
        same(run, kept)
        run.compute = lambda: {"x": [1]}
        with pytest.raises(ValueError, match="result 'x'"):
            run.recompute()
        assert not run.live
        run.compute = None
        with pytest.raises(RuntimeError, match="'some' was read without its experiment"):
            run.recompute()

    def test_goes_on_after_an_interruption(self, place, tmp_path, monkeypatch):
        monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "cache"))
        done = []

        def part(number):
            time.sleep(0.05)
            if number == 2 and done == [0, 1]:
                done.append("interrupted")
                raise KeyboardInterrupt
            done.append(number)
            return number

        def compute():
            return {"found": np.array(each([(0,), (1,), (2,)], part))}

        with pytest.raises(KeyboardInterrupt):
            experiment("some", compute, SETTINGS)
        run = experiment("some", compute, SETTINGS)
        assert done == [0, 1, "interrupted", 2]
        assert run["found"].tolist() == [0, 1, 2]
        assert run.seconds >= 0.15  # with those of the parts that were kept
        run.recompute()
        assert done[4:] == [0, 1, 2]

    def test_a_changed_experiment_takes_no_part_of_the_old_one(self, place, tmp_path, monkeypatch):
        monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "cache"))

        def part(number):
            return number * factor

        def first():
            each([(1,)], part)
            raise RuntimeError("something broke")

        def second():
            return {"found": np.array(each([(1,)], part))}

        factor = 2
        with pytest.raises(RuntimeError, match="something broke"):
            experiment("some", first, SETTINGS)
        factor = 3
        assert experiment("some", second, SETTINGS)["found"].tolist() == [3]


def test_recordings_that_are_shipped_are_small():
    files = [path for path in recorded.folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 600_000
    assert {path.suffix for path in files} <= {".parquet"}


@pytest.mark.parametrize("name", recorded.names())
def test_recordings_that_are_shipped_are_labelled_and_hold_no_texts(name):
    run = recorded._read(recorded.folder() / name)
    assert run.label.startswith("Recorded on 20")
    # The annotator's labels depend on neither: that is why notebooks and profiles share them.
    assert {"profile", "encoder"} <= set(run.settings) or name == "observed_labels"
    # A grid has several of these.
    assert all(run.settings.keys() & {part, f"{part}s"} for part in ("dataset", "seed"))
    # Data sets are not to be copied into the repository: words in tables are names, and short.
    for value in run.data.values():
        if isinstance(value, pd.DataFrame):
            for column in value.select_dtypes(["object", "string"]):
                assert value[column].dropna().astype(str).str.len().max() <= 80

"""Long experiments in parts: the same results as a plain loop, and nothing finished is computed twice."""

from __future__ import annotations

import os
import time

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient

from nlkit.study import resuming
from nlkit.study.resuming import KEPT_SECONDS, each, remembered, unfinished

ITEMS = [("a", 1), ("b", 2), ("c", 3)]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path))
    return tmp_path / "unfinished"


@pytest.fixture
def calls():
    return []


@pytest.fixture
def count(calls):
    """A part that says which item it was computed for, and is interrupted where `count.stop_at` says."""

    def part(name, number):
        if name == part.stop_at:
            raise KeyboardInterrupt
        calls.append(name)
        return [name, number / 3]

    part.stop_at = ""
    return part


def interrupted(count, at, *identity):
    count.stop_at = at
    with pytest.raises(KeyboardInterrupt), unfinished(*identity):
        each(ITEMS, count)
    count.stop_at = ""


class TestEach:
    @given(st.lists(st.tuples(st.integers(), st.floats(allow_nan=False), st.text()), max_size=5))
    def test_a_plain_loop(self, items):
        def part(number, real, text):
            return {"n": number, "x": real / 3, "t": [text, None, True]}

        assert each(items, part) == [part(*item) for item in items]

    def test_without_an_experiment_nothing_is_kept(self, cache, count, calls):
        for _ in range(2):
            each(ITEMS, count)
        assert calls == ["a", "b", "c"] * 2
        assert not cache.exists()

    def test_a_folder_of_ones_own_stays(self, tmp_path, count, calls):
        first = each(ITEMS[:2], count, checkpoint=tmp_path / "own")
        assert each(ITEMS, count, checkpoint=tmp_path / "own")[:2] == first
        assert calls == ["a", "b", "c"]

    @pytest.mark.parametrize("left", [0, 1, -2])
    def test_a_truncated_part_is_named_and_made_again(self, tmp_path, count, calls, left):
        found = each(ITEMS, count, checkpoint=tmp_path)
        damaged = sorted(tmp_path.iterdir())[0]
        whole = damaged.read_text()
        damaged.write_text(whole.rstrip()[:left])
        with pytest.warns(UserWarning, match=rf"{damaged.name} is damaged .*computed again"):
            assert each(ITEMS, count, checkpoint=tmp_path) == found
        assert len(calls) == 4
        assert each(ITEMS, count, checkpoint=tmp_path) == found
        assert len(calls) == 4

    def test_numpy_and_tuples_become_plain(self):
        [found] = each([()], lambda: (np.float32(0.1), np.arange(2), {"n": np.int64(3)}))
        assert found == [float(np.float32(0.1)), [0, 1], {"n": 3}]
        assert type(found[0]) is float

    def test_what_cannot_be_kept(self):
        with pytest.raises(TypeError, match="a part of an experiment holds a set, which cannot be kept"):
            each([()], lambda: {1})

    def test_another_function_computes_its_own_and_one_without_source_keeps_nothing(self, tmp_path):
        assert each([(1,)], lambda number: number + 1, checkpoint=tmp_path) == [2]
        assert each([(1,)], lambda number: number + 2, checkpoint=tmp_path) == [3]
        space: dict = {}
        for step in (3, 4):
            exec(f"def part(number): return number + {step}", space)
            assert each([(1,)], space["part"], checkpoint=tmp_path) == [1 + step]

    def test_an_identity_takes_the_place_of_the_source(self, tmp_path, count, calls):
        for name in ("x", "x", "y"):
            each(ITEMS, count, identity=lambda *item, name=name: f"{name}{item}", checkpoint=tmp_path)
        assert calls == ["a", "b", "c"] * 2


def test_remembered_once_and_anew_if_fresh(tmp_path):
    numbers = iter(range(3))
    file = tmp_path / "new" / "one.json"
    found = [remembered(file, lambda: [next(numbers)], fresh=fresh) for fresh in (False, False, True)]
    assert found == [[0], [0], [1]]
    with pytest.raises(ZeroDivisionError):
        remembered(file, lambda: 1 / 0, fresh=True)
    assert remembered(file, lambda: next(numbers)) == [1]


class TestUnfinished:
    @pytest.mark.parametrize("at", ["a", "b", "c"])
    def test_goes_on_where_it_stopped(self, cache, count, calls, at):
        interrupted(count, at, "some")
        done = len(calls)
        with unfinished("some"):
            found = each(ITEMS, count)
        assert found == [[name, number / 3] for name, number in ITEMS]
        assert calls == ["a", "b", "c"]
        assert done == "abc".index(at)
        assert not list(cache.iterdir())

    def test_what_is_whole_is_computed_anew(self, cache, count, calls):
        for _ in range(2):
            with unfinished("some"):
                each(ITEMS, count)
        assert calls == ["a", "b", "c"] * 2

    def test_another_experiment_and_another_version_compute_their_own(self, cache, count, calls, monkeypatch):
        interrupted(count, "c", "some", "settings")
        with unfinished("some", "other settings"):
            each(ITEMS, count)
        monkeypatch.setattr(resuming, "__version__", "0.0.0")
        with unfinished("some", "settings"):
            each(ITEMS, count)
        assert calls == ["a", "b", "a", "b", "c", "a", "b", "c"]

    def test_one_inside_another(self, cache, count, calls):
        def outer():
            with unfinished("inner"):
                each(ITEMS[:1], count)
            each(ITEMS, count)

        count.stop_at = "c"
        with pytest.raises(KeyboardInterrupt), unfinished("outer"):
            outer()
        assert len(list(cache.iterdir())) == 1  # the inner one is whole
        assert calls == ["a", "a", "b"]

    def test_a_full_disk_ends_only_what_must_be_kept(self, cache, tmp_path, count, monkeypatch):
        def full(self, text, encoding):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("pathlib.Path.write_text", full)
        with unfinished("some"):
            assert len(each(ITEMS, count)) == 3
        with pytest.raises(OSError, match="No space left"):
            each(ITEMS, count, checkpoint=tmp_path / "own")

    def test_without_a_cache_nothing_is_kept(self, tmp_path, count, calls, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "file"))
        interrupted(count, "c", "some")
        with unfinished("some"):
            each(ITEMS, count)
        assert calls == ["a", "b", "a", "b", "c"]

    def test_is_forgotten_after_a_day(self, cache, count, calls):
        interrupted(count, "b", "yesterday")
        [old] = cache.iterdir()
        os.utime(old, (time.time() - KEPT_SECONDS - 1,) * 2)
        interrupted(count, "b", "today")
        [kept] = cache.iterdir()
        assert kept != old
        interrupted(count, "c", "today")
        assert calls == ["a", "a", "b"]


def test_in_a_notebook(cache, tmp_path):
    """A kernel's functions have a source too; the cell that was stopped is run again."""
    cell = """
    from pathlib import Path
    from nlkit.study.resuming import each, unfinished

    log = Path({log!r})

    def part(number):
        with log.open("a") as file:
            file.write(str(number))
        if number == 2 and len(log.read_text()) == 3:
            raise KeyboardInterrupt
        return number

    with unfinished("in a notebook"):
        print(sum(each([(0,), (1,), (2,)], part)))
    """
    log = tmp_path / "log"
    source = "\n".join(line[4:] for line in cell.format(log=str(log)).splitlines())
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for _ in range(2)])
    NotebookClient(nb, allow_errors=True, kernel_name="python3").execute()
    assert [output.get("ename") for output in nb.cells[0].outputs][-1] == "KeyboardInterrupt"
    assert nb.cells[1].outputs[-1]["text"] == "3\n"
    assert log.read_text() == "0122"

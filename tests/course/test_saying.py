"""Sentences from results: they agree with the numbers they were made of, and a false one is found."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlkit.course import plots
from nlkit.course.saying import Said, amount, compare, ends, extremes, gap, listed, path, ranked, say, when

NAMES = ("CE", "CE, early stopping", "NoiseAL", "SiDyP's first stage", "SiDyP")
SHARES = st.floats(0, 1, allow_nan=False)
TABLES = st.fixed_dictionaries(dict.fromkeys(NAMES, SHARES))


@settings(max_examples=25)  # each draws a figure
@given(TABLES, st.permutations(NAMES), st.sampled_from(["%", ""]))
def test_true_sentences_agree_with_the_table_and_the_figure(values, names, unit):
    table = pd.DataFrame({"method": list(values), "accuracy": list(values.values())})
    _, ax = plots.figure()
    figure = plots.draw_methods(table, ax, bound="SiDyP")
    said = say(
        f"{compare(values, names[0], names[1], unit)}.",
        f"The {extremes(values, unit)}.",
        ranked(values, unit=unit),
    )
    said.check(values, figure)


@given(TABLES, TABLES)
def test_a_sentence_about_other_numbers_is_found(values, others):
    said = say(compare(values, "CE", "NoiseAL") + ".", extremes(values))
    quoted = {name for name in NAMES if f"{name} (" in said}
    if any(f"{100 * values[n]:.1f}" != f"{100 * others[n]:.1f}" for n in quoted):
        with pytest.raises(AssertionError):
            said.check(others)


@given(SHARES, SHARES)
def test_a_gap_says_which_is_larger_and_by_how_much(a, b):
    said = gap(a, b)
    if said == "level with":
        assert abs(a - b) < 0.005
    else:
        number, how = re.fullmatch(r"([\d.]+) points (above|below)", said).groups()
        assert float(number) == pytest.approx(100 * abs(a - b), abs=0.051)
        assert float(number) > 0
        assert (how == "above") == (a > b)


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        ("CE (50.0 %) is 20.0 points above SiDyP (70.0 %)", ""),
        ("CE (50.0 %) is level with SiDyP (70.0 %)", ""),
        ("highest is CE (50.0 %)", ""), ("lowest is SiDyP (70.0 %)", ""), ("SiDyP (71.0 %)", ""),
        ("CE (50.0 %) is 20.0 points below SiDyP (70.0 %)", "Test accuracy in percent: CE 49.0, SiDyP 70.0."),
    ],
)  # fmt: skip
def test_false_sentences(text, figure):
    with pytest.raises(AssertionError):
        Said(text).check({"CE": 0.5, "SiDyP": 0.7}, figure)
    Said("CE (50.0 %) is 20.0 points below SiDyP (70.0 %)").check({"CE": 0.5, "SiDyP": 0.7})


@given(st.lists(SHARES, min_size=1, max_size=12))
def test_a_path_tells_the_best_epoch_and_the_end(curve):
    said = path(curve)
    assert f"ends at {100 * curve[-1]:.1f} %" in said
    fell = max(curve) - curve[-1]
    assert (ends(curve) == "falls") == ("lower" in said) == (fell > 0.01)
    if "lower" in said:
        assert float(re.search(r"([\d.]+) points lower", said)[1]) == pytest.approx(100 * fell, abs=0.051)
        assert curve[int(re.search(r"epoch (\d+)", said)[1]) - 1] == max(curve)


def test_small_words():
    assert listed([]) == "none"
    assert listed(["a"]) == "a"
    assert listed("abc") == "a, b and c"
    assert amount(np.nan) == "unknown"
    assert amount(0.123) == "12.3 %"
    assert amount(0.123, "") == "0.12"
    assert gap(np.nan, 1) == "not to be compared with"
    assert [when(c, "yes", "no") for c in (True, np.bool_(False), np.nan, None)] == ["yes", "no", "no", "no"]
    assert say("A.", "", "B.") == "A. B."
    assert say("Two:", "- a", "- b") == "Two:\n- a\n- b"
    assert say("") == "Nothing to be said of this run."
    assert say("**x**")._repr_markdown_() == "**x**"
    assert "nothing to compare with CE (50.0 %)" in extremes({"CE": 0.5, "X": np.nan})
    assert extremes({"CE": 0.5, "X": 0.5}) == "none is higher than another (50.0 %)"

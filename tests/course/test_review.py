"""Decisions of a person: kept, taken back, found again; and the buttons that make them."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nlkit as nk
from nlkit.study import decisions as module
from nlkit.study.decisions import Decisions
from tests.course.reviewed import NAMES, cleaned

few = cache(lambda: cleaned(9))

STEPS = st.lists(st.one_of(st.sampled_from([None, *NAMES]), st.just("undo")), max_size=25)


@given(STEPS)
def test_decisions_are_those_of_a_plain_list_after_every_reopening(tmp_path_factory, steps):
    file = tmp_path_factory.mktemp("review") / "decisions.json"
    queue, made = list(Decisions(few(), file).order), []
    for step in steps:
        one = Decisions(few(), file)  # as after a crash
        assert one.next() == (queue[0] if queue else None)
        if step == "undo":
            assert one.undo() == (made[-1][0] if made else None)
            if made:
                made, queue = made[:-1], made[-1][2]
        elif queue:
            one.decide(queue[0], step)
            made.append((queue[0], step, queue))
            queue = [*queue[1:], queue[0]] if step is None else queue[1:]
        assert one.made == [entry[:2] for entry in made]
    last = Decisions(few(), file)
    wanted = {place: label for place, label, _ in made if label is not None}
    assert last.decided == wanted
    data = last.dataset()
    for place, (label, checked) in enumerate(zip(data["noisy_label"], data["label_checked"], strict=True)):
        assert checked == (place in wanted)
        assert label == (NAMES.index(wanted[place]) if checked else few().dataset["cleaned_label"][place])


def test_the_order_asks_first_what_helps_most(tmp_path):
    found = cleaned(100)
    order = Decisions(found, tmp_path / "d.json").order
    assert sorted(order) == sorted(found.suspects.index)
    changed, confidence = (found.table[name].to_numpy()[order] for name in ("changed", "confidence"))
    assert (np.diff(changed.astype(int)) >= 0).all()
    assert (np.diff(confidence[~changed]) <= 0).all()
    assert (np.diff(confidence[changed]) >= 0).all()
    assert 0 < changed.sum() < len(changed)


def test_files_of_others_are_refused(tmp_path):
    file = tmp_path / "d.json"
    Decisions(few(), file).decide(3, NAMES[0])
    with pytest.raises(ValueError, match=r"d\.json holds decisions on other texts"):
        Decisions(cleaned(8), file)
    file.write_text(file.read_text()[:-3])
    with pytest.raises(ValueError, match=r"d\.json is damaged .*move it away"):
        nk.review(few(), file)
    with pytest.raises(ValueError, match="label='sport' is not allowed"):
        Decisions(few(), tmp_path / "other.json").decide(3, "sport")


def test_buttons(tmp_path, monkeypatch):
    file = tmp_path / "d.json"
    shown = nk.review(few(), file)
    table = few().table

    def press(name):
        place = shown.place
        shown.buttons[name].click()
        assert [tuple(entry) for entry in json.loads(file.read_text())["made"]] == shown.decisions.made
        return place

    first = shown.place
    assert shown.labels.value not in table.loc[first, ["noisy_label", "proposal"]].tolist()
    assert "&lt;script&gt;" in shown.card.value
    assert "<script" not in shown.card.value
    shown.buttons["undo"].click()  # nothing to take back
    assert shown.place == first
    wanted = {press("accept"): table["proposal"][first]}
    wanted |= {(place := press("keep")): table["noisy_label"][place]}
    skipped, other = press("skip"), shown.labels.value
    wanted |= {press("other"): other}
    assert shown.decisions.decided == wanted
    press("accept")
    back = press("undo")
    assert back != shown.place
    assert shown.decisions.decided == wanted
    assert f"{len(wanted)} of 9 suspects decided" in nk.review(few(), file).said.value

    place, made = shown.place, list(shown.decisions.made)
    monkeypatch.setattr(
        module, "atomic_write", lambda path: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(OSError, match="No space"):
        shown.press("accept")
    assert "No space left" in shown.error.value
    assert (shown.place, shown.decisions.made) == (place, made)
    monkeypatch.undo()
    for _ in range(20):
        missing = shown.place is not None and table["noisy_label"][shown.place] == ""
        shown.buttons["accept" if missing else "keep"].click()
    assert shown.place is None
    assert set(shown.decisions.decided) == set(range(9))
    assert skipped in shown.decisions.decided
    assert shown.buttons["keep"].disabled
    assert not shown.buttons["undo"].disabled

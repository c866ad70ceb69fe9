"""Suspects to labelling tools and decisions back, in the formats that Argilla and Label Studio document."""

from __future__ import annotations

import json
import warnings
import xml.etree.ElementTree as ElementTree

import pytest

from nlkit.study.decisions import Decisions
from nlkit.study.exchange import TOOLS, from_tool, label_studio_config, to_tool
from tests.course.reviewed import NAMES, cleaned


@pytest.fixture
def decisions(tmp_path):
    made = Decisions(cleaned(12), tmp_path / "decisions.json")
    made.decide(made.order[0], NAMES[2])
    return made


def answered(entries, tool, answers):
    """Answer as people do: labels for each entry (None: skipped or cancelled), in the tool's own export."""
    result = []
    for number, (entry, labels) in enumerate(zip(entries, answers, strict=True)):
        if tool == "argilla":  # as Record.to_dict writes it
            said = [{"value": y, "user_id": f"0000-{i}"} for i, y in enumerate(labels) if y is not None]
            result.append({**entry, "responses": {"label": said} if said else {}, "_server_id": f"s{number}"})
            continue
        annotations = [
            {
                "id": 1000 + i, "completed_by": i, "was_cancelled": y is None, "ground_truth": False,
                "created_at": "2026-03-09T21:52:49.513742Z", "lead_time": 4.2, "task": number,
                "result": [] if y is None else [{
                    "from_name": "label", "to_name": "text", "type": "choices", "id": "Dx_aB91ISN",
                    "origin": "manual", "value": {"choices": [y]},
                }],
            }
            for i, y in enumerate(labels)
        ]  # fmt: skip
        result.append({"id": number, "project": 83, **entry, "annotations": annotations})
    return result


@pytest.mark.parametrize("tool", TOOLS)
def test_what_goes_out_is_what_the_tool_documents(decisions, tool, tmp_path):
    entries = json.loads(to_tool(decisions, tmp_path / "out.json", tool=tool).read_text("utf-8"))
    table, places = decisions.found.table, decisions.order[1:]  # the first one is decided
    assert len(entries) == len(places) == 11
    for entry, place in zip(entries, places, strict=True):
        row = table.loc[place]
        if tool == "argilla":
            assert entry["id"] == str(row["id"])
            assert entry["fields"] == {"text": row["text"]}
            suggestion = entry["suggestions"]["label"]
            assert (suggestion["value"], suggestion["agent"]) == (row["proposal"], "nlkit")
            assert suggestion["score"] == pytest.approx(row["confidence"])
            assert entry["metadata"]["label_as_found"] == row["noisy_label"]
        else:
            assert entry["data"]["text"] == row["text"]
            assert "id" not in entry
            (predicted,) = entry["predictions"]
            assert 0 <= predicted["score"] <= 1
            (result,) = predicted["result"]
            assert (result["from_name"], result["to_name"], result["type"]) == ("label", "text", "choices")
            assert result["value"] == {"choices": [row["proposal"]]}


def test_label_studios_configuration_names_what_the_tasks_name():
    view = ElementTree.fromstring(label_studio_config(NAMES))
    text, choices = view
    assert (text.tag, text.attrib) == ("Text", {"name": "text", "value": "$text"})
    assert (choices.tag, choices.attrib["name"], choices.attrib["toName"]) == ("Choices", "label", "text")
    assert [choice.attrib["value"] for choice in choices] == NAMES


@pytest.mark.parametrize("tool", TOOLS)
def test_decisions_come_back(decisions, tool, tmp_path):
    file = to_tool(decisions, tmp_path / "out.json", tool=tool)
    entries, places = json.loads(file.read_text("utf-8")), decisions.order[1:]
    answers = [[NAMES[i % 4]] for i in range(11)]
    answers[2], answers[3], answers[4] = [], [None], [NAMES[0], NAMES[1]]
    answers[5] = [NAMES[3], NAMES[3], None]
    file.write_text(json.dumps(answered(entries, tool, answers)), "utf-8")
    with pytest.warns(
        UserWarning, match=r"people disagree on 1 texts, left undecided: \d+ \(1 × <b>sport, 1 ×"
    ):
        assert from_tool(decisions, file) == 8
    wanted = {
        place: labels[0] for place, labels in zip(places, answers, strict=True) if labels != [None] and labels
    }
    del wanted[places[4]]
    again = Decisions(decisions.found, decisions.file)
    assert again.decided == {decisions.order[0]: NAMES[2]} | wanted
    assert again.undo() == places[10]


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_of_others_is_refused_as_a_whole(decisions, tool, tmp_path):
    file = to_tool(decisions, tmp_path / "out.json", tool=tool)
    entries = json.loads(file.read_text("utf-8"))
    before = dict(decisions.decided)

    def refused(changed, why):
        file.write_text(changed if isinstance(changed, str) else json.dumps(changed), "utf-8")
        with pytest.raises(ValueError, match=why):
            from_tool(decisions, file)
        assert decisions.decided == before

    good = answered(entries, tool, [[NAMES[0]]] * 11)
    refused(
        answered(entries, tool, [[NAMES[0]]] * 10 + [["tennis"]]), "has the label 'tennis', which is none of"
    )
    holder = "fields" if tool == "argilla" else "data"
    refused(
        [*good[:-1], {**good[-1], holder: {**good[-1][holder], "text": "other"}}], "is no suspect of these"
    )
    refused(json.dumps(good)[:-2], "cannot be read .* export it as JSON")
    refused([{"id": 1, "text": "a", "label": "b", "annotator": 1}], "cannot be read .* not JSON-MIN")
    # What a tool does to white space is no other text.
    entry = good[0][holder]
    entry["text"] = entry["text"].replace(" ", "\n", 1).strip()
    file.write_text(json.dumps(good), "utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert from_tool(decisions, file) == 11
    with pytest.raises(ValueError, match="tool='prodigy' is not allowed: one of argilla, label-studio"):
        to_tool(decisions, file, tool="prodigy")


def test_ids_that_are_not_unique_are_rows(tmp_path):
    found = cleaned(12)
    found.table["id"] = 1
    made = Decisions(found, tmp_path / "d.json")
    file = to_tool(made, tmp_path / "out.json", tool="argilla")
    entries = json.loads(file.read_text("utf-8"))
    assert [entry["id"] for entry in entries] == [f"row {place}" for place in made.order]
    file.write_text(json.dumps(answered(entries, "argilla", [[NAMES[1]]] * 12)), "utf-8")
    assert from_tool(made, file) == 12

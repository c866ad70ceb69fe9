"""The notebooks' shared set-up: bad parameters fail at once, and what follows from good ones."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from nlkit import course
from nlkit.annotate import models
from tests.annotate.chat_server import ChatServer, running

GOOD = {
    "profile": "quick", "seed": 0, "dataset": "r8", "train_size": 120, "test_size": 60, "noise": "symmetric",
    "noise_rate": 0.4, "encoder": "minilm", "annotator": "simulated", "recorded": True, "results": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def good():
    return course.setup(**GOOD)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("profile", "slow", "profile='slow' is not allowed: one of quick, class, paper"),
        ("seed", -1, "seed=-1 is not allowed"), ("seed", True, "seed=True is not allowed"),
        ("dataset", "r9", "source='r9' is not allowed: one of r8"),
        ("train_size", 0, "train_size=0 is not allowed"),
        ("noise", "loud", "noise='loud' is not allowed: one of symmetric, asymmetric, instance, llm"),
        ("noise_rate", 1.5, r"noise_rate=1.5 is not allowed: a number in \[0, 1\]"),
        ("noise_rate", "much", "noise_rate='much' is not allowed"),
        ("encoder", "r8", "model='r8' is not allowed"),
        ("recorded", "yes", "recorded='yes' is not allowed: True or False"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        course.setup(**GOOD | {field: value})


@pytest.mark.parametrize("field", ["encoder", "annotator"])
def test_a_model_that_is_not_there(field):
    with pytest.raises((OSError, ValueError), match="nowhere/to-be-found"):
        course.setup(**GOOD | {field: "nowhere/to-be-found"})


def test_data(good):
    assert "noisy_label" not in good.clean["train"].column_names
    assert good.texts == good.ds["train"]["text"][:]
    assert (good.label == np.array(good.ds["train"]["label"])).all()
    assert 0.2 < (good.noisy_label != good.label).mean() < 0.6
    assert len(good.names) == 8
    assert good.labels is None, "noise that was made on purpose is no annotator's"
    assert good.shared == {"encoder": "minilm", "profile": "quick", "seed": 0}


def test_labels_that_are_missing_are_minus_one():
    gaps = Dataset.from_dict({"text": ["a", "b"], "label": [None, 1]})
    assert course.reference({"train": gaps, "validation": gaps.select([1])}) == {"a": -1, "b": 1}
    made = course.setup(**GOOD)
    made.__dict__["ds"] = {"train": gaps.rename_column("label", "noisy_label")}
    assert made.noisy_label.tolist() == [-1, 1]
    made.__dict__["clean"] = {"train": gaps}
    assert made.label.tolist() == [-1, 1]


def test_labels_of_an_annotator_are_a_run_that_other_methods_and_profiles_share():
    made, again = (course.setup(**GOOD | {"noise": "llm"}) for _ in range(2))
    assert 0.2 < (made.noisy_label != made.label).mean() < 0.6
    assert (again.noisy_label == made.noisy_label).all()
    assert set(made.labels.settings) == {"dataset", "train_size", "seed", "annotator"}
    assert (made.labels["train"] == made.noisy_label).all()
    assert made.labels["validation"].tolist() == made.ds["validation"]["noisy_label"][:]
    assert "noisy_label" not in made.ds["test"].column_names or set(made.ds["test"]["noisy_label"]) == {-1}
    assert (np.array(made.noised(7)["train"]["noisy_label"]) == made.noisy_label).all()


def test_recorded_labels_need_no_model(monkeypatch):
    kept = course.setup(**GOOD | {"noise": "llm", "annotator": "smollm2", "train_size": 300})

    def refuse(*anything):
        raise AssertionError("a model was asked")

    monkeypatch.setattr(course, "labeller", refuse)
    assert not kept.labels.live
    assert 0.25 < (kept.noisy_label != kept.label).mean() < 0.6


@pytest.mark.parametrize(
    ("changed", "will_ask"),
    [
        ({}, False), ({"profile": "class"}, False), ({"recorded": False}, True), ({"train_size": 120}, True),
        ({"train_size": 120, "noise": "symmetric"}, False),
    ],
)  # fmt: skip
def test_a_model_that_will_label_is_made_ready_in_the_set_up(changed, will_ask, monkeypatch):
    converted = []
    monkeypatch.setattr(models, "ready_folder", lambda source: converted.append(source.gguf.name))
    course.setup(**GOOD | {"noise": "llm", "annotator": "smollm2", "train_size": 300} | changed)
    assert len(converted) == will_ask


def test_both_models_dynamics_are_one_run_for_both_notebooks():
    made = course.setup(**GOOD | {"train_size": 100})
    run = made.train_both(2)
    assert run.live
    assert run.settings == made.settings | {"epochs": 2}
    assert run["strong"].shape == run["weak"].shape == (2, 100, 8)
    assert (run["noisy_label"] == made.noisy_label).all()
    assert run["issues"].dtype == bool
    assert set(run["history"]["model"]) == {"strong", "weak"}


def test_other_settings_than_the_recorded_ones_are_told():
    made = course.setup(**GOOD, recording="dynamics")
    assert made.changed["train_size"] == (600, 120)
    assert "noise_rate" not in made.changed
    assert "other settings than the recorded run's: " in repr(made)
    assert "train_size 120 (recorded: 600)" in repr(made)


@pytest.mark.parametrize("injected", ["noise_rte = 0.2", "noise_rate = 0.2"])
def test_a_misspelt_parameter_of_papermill_fails_in_the_set_up(injected, monkeypatch):
    cells = ["", "import os", "noise_rate = 0.4\nseed = 0", f"# Parameters\n{injected}\n", "setup(…)"]
    shell = SimpleNamespace(user_ns={"In": cells})
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    if injected.startswith("noise_rate"):
        assert course.setup(**GOOD).noise_rate == 0.4
    else:
        with pytest.raises(ValueError, match=r"'noise_rte' is no parameter .*did you mean 'noise_rate'\?"):
            course.setup(**GOOD)


def test_shows_what_runs(good):
    said = repr(good)
    for part in ("train 120", "test 60", "symmetric, rate 0.4", "simulated", "quick, seed 0", "recorded"):
        assert part in said
    assert "<caption>" in good._repr_html_()


def test_settings_name_all_that_a_result_depends_on(good):
    assert good.settings == {k: v for k, v in GOOD.items() if k not in ("recorded", "results")}
    run = good.run("never recorded", lambda: {"x": np.arange(3)}, rounds=2)
    assert run.settings == good.settings | {"rounds": 2}
    answers = good.make_annotator().annotate(good.texts, good.names)
    assert (answers["label"].to_numpy() == good.label).mean() > 0.8


def test_an_endpoint_is_one_parameter_and_its_key_is_seen_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-this-is-secret")
    path = tmp_path / "found.json"
    with running(ChatServer()) as server:
        place = {"annotator": f"tiny@{server.url}", "results": str(path)}
        made = course.setup(**GOOD | place)
        assert len(server.asked) == 1  # what is wrong with an endpoint shows before anything runs
        llm = made.make_annotator(max_text_tokens=5, store=None)
        answers = llm.annotate(made.texts[:3], made.names)
        assert answers["label_name"].tolist() == ["earn"] * 3
        assert all(0 < len(query) <= 20 for query in server.asked[1:])
        course.labeller(made.annotator, made.clean, store=None).annotate(made.texts[:1], made.names)
        assert "earnings" in server.requests[-1]["messages"][-1]["content"]  # the word for a label
        assert server.keys[-1] == "sk-this-is-secret"
        made.write(table=answers)
    assert not [said for said in (repr(made), repr(llm), path.read_text("utf-8")) if "secret" in said]
    for address in ("http://sk-key@127.0.0.1/v1", "https://127.0.0.1/v1?api-key=sk-key"):
        with pytest.raises(ValueError, match="OPENAI_API_KEY") as caught:
            course.setup(**GOOD | {"annotator": f"tiny@{address}"})
        assert "sk-key" not in str(caught.value)


def test_results(good, tmp_path):
    path = tmp_path / "found.json"
    made = course.setup(**GOOD | {"results": str(path)})
    made.write(table=pd.DataFrame({"method": ["CE"], "accuracy": [np.float32(0.5)]}), n=np.int64(3))
    found = json.loads(path.read_text("utf-8"))
    assert found["table"] == [{"method": "CE", "accuracy": 0.5}]
    assert found["n"] == 3
    assert found["settings"] == made.settings
    good.write(table=1)
    assert list(tmp_path.iterdir()) == [path]

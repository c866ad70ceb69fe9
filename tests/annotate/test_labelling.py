from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, DatasetDict, Value

from nlkit.annotate import AnswerStore, Demonstration, LocalLLM
from nlkit.annotate.base import answer_table, check_request
from nlkit.annotate.demonstrations import nearest
from nlkit.annotate.examples import gold_pool
from nlkit.annotate.labelling import label_with_llm, llm_answers
from nlkit.data.observed import observe
from nlkit.models.encoder import TextEncoder
from nlkit.noise import noise_report
from tests.made import labelled_split


class Recorder:
    """Answers by a rule and remembers, for every text, which demonstrations it was shown."""

    name = "recorder"
    simulated = True

    def __init__(self, rule: Any = len, calibration: str = "auto") -> None:
        self.rule = rule
        self.calibration = calibration
        self.calls: list[list[str]] = []
        self.shown: dict[str, list[Demonstration]] = {}

    def annotate(self, texts: Any, label_names: Any, demonstrations: Any = None) -> pd.DataFrame:
        request = check_request(texts, label_names, demonstrations)
        self.calls.append(request.texts)
        for i, text in enumerate(request.texts):
            self.shown[text] = request.shared + request.own(i)
        C, n = len(label_names), len(texts)
        label = np.array([self.rule(text) for text in texts], dtype=np.int64).reshape(n)
        asked: Any = {"source": ["model"] * n, "prompt_tokens": [0] * n, "prompts": texts}
        return answer_table(np.eye(C)[label % C], label_names, abstain=label < 0, **asked)


def make(texts: list[str], label: list[int], C: int | None = None, **splits: list[str]) -> DatasetDict:
    """Train with these labels, and other splits of class 0, by keyword."""
    names = [f"class {c}" for c in range(C or max(label) + 1)]
    parts = {"train": (texts, label)} | {name: (rows, [0] * len(rows)) for name, rows in splits.items()}
    return DatasetDict({name: labelled_split(names, text=t, label=y) for name, (t, y) in parts.items()})


@pytest.fixture
def small() -> DatasetDict:
    texts = [f"word{i % 3} number {i}" for i in range(12)]
    return make(texts, [i % 3 for i in range(12)], validation=["seen late", "never seen"], test=["a test"])


def test_zero_shot_answers_become_noisy_labels(small: DatasetDict) -> None:
    recorder = Recorder(lambda text: -1 if "number 1" in text else len(text))
    labelled, report = label_with_llm(small, recorder, return_report=True)
    assert len(recorder.calls) == 1  # all splits at once
    assert not any(recorder.shown.values())
    for split in ("train", "validation"):
        expected = [-1 if "number 1" in t else len(t) % 3 for t in small[split]["text"]]
        assert labelled[split]["noisy_label"][:] == expected
        assert labelled[split]["label"][:] == small[split]["label"][:]
        assert labelled[split].features["noisy_label"] == small[split].features["label"]
    assert labelled["test"].column_names == small["test"].column_names
    assert "noisy_label" not in small["train"].column_names
    train = report.set_index("split").loc["train"]
    truth, given = (np.array(labelled["train"][c][:]) for c in ("label", "noisy_label"))
    assert (train["n"], train["answered"], train["abstained"]) == (12, 9, 3)
    assert train["rate"] == (truth != given)[given >= 0].mean()
    assert noise_report(labelled).rate == train["rate"]
    assert len(observe(labelled, "train").labelled().texts) == 9


def test_an_older_noisy_label_is_replaced_and_names_may_come_from_it(small: DatasetDict) -> None:
    first = label_with_llm(small, Recorder())
    again, report = label_with_llm(first, Recorder(lambda _: 2), return_report=True)
    assert set(again["train"]["noisy_label"]) == {2}
    assert report["rate"].notna().all()
    blind = DatasetDict({s: first[s].remove_columns("label") for s in ("train", "validation")})
    again, report = label_with_llm(blind, Recorder(lambda _: 1), return_report=True)
    assert set(again["train"]["noisy_label"]) == {1}
    assert report["rate"].isna().all()


def test_chosen_splits_and_a_missing_validation(small: DatasetDict) -> None:
    part = label_with_llm(small, Recorder(), splits=["validation"])
    assert "noisy_label" in part["validation"].column_names
    assert "noisy_label" not in part["train"].column_names
    alone = label_with_llm(DatasetDict({"train": small["train"]}), Recorder())
    assert set(alone) == {"train"}


@pytest.mark.parametrize("shots", [1, 2])
def test_fixed_demonstrations_are_the_same_for_every_text_and_in_rounds(
    r8_small: DatasetDict, shots: int
) -> None:
    recorder = Recorder()
    label_with_llm(r8_small, recorder, shots=shots, seed=3)
    names = r8_small["train"].features["label"].names
    truth = dict(zip(r8_small["train"]["text"], r8_small["train"]["label"], strict=True))
    shown = recorder.shown[r8_small["validation"]["text"][0]]
    for turn in range(shots):
        block = [d.label for d in shown[turn * len(names) : (turn + 1) * len(names)]]
        assert sorted(block) == list(range(len(names)))
    assert all(truth[d.text] == d.label for d in shown)
    own = {d.text for d in shown}
    for text, seen in recorder.shown.items():
        assert seen == [d for d in shown if d.text != text]
    assert len(recorder.calls) == 1 + len(own)
    again, other = Recorder(), Recorder()
    label_with_llm(r8_small, again, shots=shots, seed=3)
    label_with_llm(r8_small, other, shots=shots, seed=4)
    assert again.shown == recorder.shown
    assert other.shown != recorder.shown


def test_a_demonstration_is_never_shown_with_a_copy_of_itself() -> None:
    texts = ["left  side", "right side", "left side", "up"]
    recorder = Recorder()
    label_with_llm(make(texts, [0, 1, 0, 0], validation=["right\nside"]), recorder, shots=2)
    assert {d.text for d in recorder.shown["up"]} == {"left  side", "right side"}
    for text, seen in recorder.shown.items():
        assert " ".join(text.split()) not in {" ".join(d.text.split()) for d in seen}
    assert len(recorder.shown["left side"]) == 2


def test_demonstrations_are_asked_together_where_their_batch_calibrates_them(r8_small: DatasetDict) -> None:
    apart, together = Recorder(), Recorder(calibration="batch")
    label_with_llm(r8_small, apart, shots=1)
    label_with_llm(r8_small, together, shots=1)
    assert [len(call) for call in together.calls] == [432, 8]
    assert len(apart.calls) == 9
    assert apart.shown == together.shown


def test_only_the_labels_of_demonstrations_are_used(r8_small: DatasetDict) -> None:
    """Without any other true label, every text is shown the same (in the order of another draw)."""
    recorder = Recorder()
    first = label_with_llm(r8_small, recorder, shots=1)
    shown = {d.text for d in recorder.shown[r8_small["validation"]["text"][0]]}
    train = r8_small["train"]
    wrong = [y if t in shown else -1 for t, y in zip(train["text"], train["label"], strict=True)]
    column = train.remove_columns("label").add_column("label", wrong, feature=train.features["label"])
    second = Recorder()
    again = label_with_llm(DatasetDict(r8_small | {"train": column}), second, shots=1)
    for text, seen in recorder.shown.items():
        assert sorted(second.shown[text]) == sorted(seen)
    assert again["train"]["noisy_label"][:] == first["train"]["noisy_label"][:]


def test_a_class_without_a_sample_is_left_out_with_a_warning() -> None:
    ds = make(["a", "b", "c", "d"], [0, 1, 0, -1], C=3, validation=["e"])
    recorder = Recorder()
    with pytest.warns(UserWarning, match="no demonstration of class 2"):
        label_with_llm(ds, recorder, shots=2)
    assert Counter(d.label for d in recorder.shown["e"]) == {0: 2, 1: 1}


def test_pool_shows_the_nearest_last_and_never_the_text_itself(r8_small: DatasetDict) -> None:
    few = DatasetDict({"train": r8_small["train"].select(range(40))})
    pool = gold_pool(few, 16, seed=1)
    recorder = Recorder()
    label_with_llm(few, recorder, 3, pool)
    assert len(recorder.calls) == 1
    pool_texts, label = list(pool["text"]), list(pool["label"])
    texts = list(few["train"]["text"])
    embed = TextEncoder("minilm", trainable_layers=0, max_length=128).embed
    near = nearest(embed(texts), embed(pool_texts), 3, query_texts=texts, pool_texts=pool_texts)
    for text, row in zip(texts, near, strict=True):
        assert recorder.shown[text] == [Demonstration(pool_texts[j], label[j]) for j in row]
        assert text not in {d.text for d in recorder.shown[text]}


def test_a_pool_of_one_leaves_its_own_text_without_demonstrations(small: DatasetDict) -> None:
    recorder = Recorder()
    own = small["train"].select([4, 0])
    pool = own.remove_columns("label").add_column("label", [1, -1], feature=own.features["label"])
    label_with_llm(small, recorder, 2, pool)
    assert recorder.shown[own["text"][0]] == []
    assert recorder.shown[own["text"][1]] == [Demonstration(own["text"][0], 1)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shots": -1}, "shots=-1"),
        ({"shots": 1.0}, r"shots=1\.0"),
        ({"shots": True}, "shots=True"),
        ({"seed": -1}, "seed=-1"),
        ({"splits": ["test"]}, r"splits=\['test'\].*only train and validation"),
        ({"splits": []}, r"splits=\[\].*at least one"),
        ({"annotator": 3}, "annotator=3.*smollm2"),
        ({"annotator": Recorder}, "annotator=.*an object"),
    ],
)
def test_bad_settings(small: DatasetDict, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        label_with_llm(small, **({"annotator": Recorder()} | settings))


def test_bad_pools(small: DatasetDict) -> None:
    recorder, train = Recorder(), small["train"]
    other = ClassLabel(names=["x", "y", "z"])
    unknown = train.remove_columns("label").add_column("label", [-1] * 12, feature=train.features["label"])
    for pool, shots, message in (
        (train, 0, "shots=0.*at least 1 with a pool"),
        (train.remove_columns("label"), 1, r"pool=\['text'\].*text and label"),
        (["a text"], 1, "pool='list'.*a Dataset"),
        (small, 1, "pool=.*a Dataset"),
        (train.cast_column("label", other), 1, r"classes of pool=\['x', 'y', 'z'\].*class 0"),
        (train.cast_column("label", Value("int64")), 1, "pool with 'label'.*ClassLabel"),
        (unknown, 1, "pool.*all missing"),
        (train.select([]), 1, "pool.*no rows"),
    ):
        with pytest.raises(ValueError, match=message):
            label_with_llm(small, recorder, shots, pool)
    assert not recorder.calls


def test_bad_data(small: DatasetDict) -> None:
    train, validation = small["train"], small["validation"]
    blind, numbers = train.remove_columns("label"), train.cast_column("label", Value("int64"))
    named = label_with_llm(small, Recorder())["train"].remove_columns("label")
    renamed = validation.cast_column("label", ClassLabel(names=["x", "y"]))
    for splits, shots, message in (
        ({"test": train}, 0, r"at least one that ds has; it has \['test'\]"),
        ({"train": train.remove_columns("text")}, 0, "column `text`"),
        ({"train": blind}, 0, "`label` or `noisy_label`"),
        ({"train": numbers}, 0, "ClassLabel"),
        (make(["a"], [0]), 0, r"label_names=\['class 0'\].*at least two classes"),
        ({"train": train, "validation": renamed}, 0, r"classes of validation=.*those of train"),
        ({"validation": train}, 1, "train split"),
        ({"train": named}, 1, "shots=1 without a pool needs true labels"),
        (make(["a", "b"], [-1, -1], C=2), 1, "all missing"),
    ):
        with pytest.raises(ValueError, match=message):
            label_with_llm(DatasetDict(splits), Recorder(), shots)
    broken = Recorder()
    broken.annotate = lambda *_: Recorder().annotate(["t"], ["a", "b"])  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"'recorder' gave 1 answers to 14 texts"):
        label_with_llm(small, broken)


def test_a_language_model_is_asked_once(
    r8_small: DatasetDict, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = DatasetDict({s: r8_small[s].select(range(6)) for s in ("train", "validation")})
    pool, store = gold_pool(r8_small, 32), tmp_path / "answers.sqlite"
    settings: dict[str, Any] = {"store": store, "abstain_below": 0.3, "max_text_tokens": 32}
    # As if interrupted: the training texts were asked before.
    for splits, asked in ((["train"], 6), (["train", "validation"], 12)):
        llm = LocalLLM(tiny_folder, **settings)
        labelled, report = label_with_llm(few, llm, 2, pool, splits=splits, return_report=True)
        with AnswerStore(store) as opened:
            assert len(opened) == asked
    assert (report["answered"] + report["abstained"]).tolist() == [6, 6]
    # A third time nothing is asked, so no model loads.
    monkeypatch.setattr(LocalLLM, "_load_scorer", lambda self: pytest.fail("the model was loaded"))
    again = label_with_llm(few, LocalLLM(tiny_folder, **settings), 2, pool)
    assert again["train"]["noisy_label"][:] == labelled["train"]["noisy_label"][:]


@pytest.mark.parametrize("shots", [0, 2])
def test_answers_are_what_the_labels_are_made_of(small: DatasetDict, shots: int) -> None:
    def rule(text: str) -> int:
        return -1 if "number 1" in text else len(text)

    answers = llm_answers(small, Recorder(rule), shots)
    labelled = label_with_llm(small, Recorder(rule), shots)
    for split, own in answers.groupby("split"):
        assert own["index"].tolist() == list(range(len(small[split])))
        assert own["label"].tolist() == labelled[split]["noisy_label"][:]
        assert own["prompt"].tolist() == small[split]["text"][:]  # the recorder's prompt is the text
    np.testing.assert_allclose(answers[["p_0", "p_1", "p_2"]].sum(axis=1), 1)

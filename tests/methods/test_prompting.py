"""The language model alone: what it is asked, what it is shown, what becomes of its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import DatasetDict, concatenate_datasets

import nlkit as nk
from nlkit.study.sweeps.cells import run_cell
from nlkit.study.sweeps.grid import cells_of


class Asked(nk.annotators.Simulated):
    """Remembers what it was shown."""

    shown: Any = None

    def annotate(self, texts: Any, label_names: Any, demonstrations: Any = None) -> Any:
        self.shown = demonstrations
        return super().annotate(texts, label_names, demonstrations)


@pytest.fixture
def annotator(few: DatasetDict) -> Asked:
    parts = [few[name].select_columns(["text", "label"]) for name in ("train", "test")]
    return Asked(0.9, concatenate_datasets(parts))


def test_it_answers_as_the_annotator_does(few: DatasetDict, annotator: Asked) -> None:
    texts, names = list(few["test"]["text"]), few["train"].features["noisy_label"].names
    blind = DatasetDict(train=few["train"].remove_columns("label"))
    fitted = nk.PromptedLLM(annotator=annotator, profile="quick").fit(blind)
    p = fitted.predict_proba(texts)
    answers = annotator.annotate(texts, names)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, answers[[f"p_{c}" for c in range(len(names))]], atol=1e-6)
    assert fitted.annotations_["label"].tolist() == answers["label"].tolist()
    assert fitted.score(few["test"]) == pytest.approx((answers["label"] == few["test"]["label"][:]).mean())
    seen = fitted.fit(few, eval_splits=["test"]).history_["accuracy_test"]
    assert seen.tolist() == [fitted.score(few["test"])]


def test_it_shows_the_nearest_texts_with_their_noisy_labels(few: DatasetDict, annotator: Asked) -> None:
    train, question = few["train"], few["train"]["text"][7]
    fitted = nk.PromptedLLM(annotator=annotator, profile="quick", demonstrations=3).fit(few)
    fitted.predict([question])
    shown = annotator.shown[0]
    embedding = nk.TextEncoder("minilm", trainable_layers=0, max_length=128).embed(train["text"][:])
    near = [i for i in np.argsort(embedding @ embedding[7]) if train["text"][i].split() != question.split()]
    assert [d.text for d in shown] == [train["text"][i] for i in near[-3:]]
    assert [d.label for d in shown] == [train["noisy_label"][i] for i in near[-3:]]
    fitted.set_params(demonstrations=0).predict([question])
    assert annotator.shown is None


def test_an_answer_without_probabilities_and_none_at_all(few: DatasetDict) -> None:
    class Curt:
        name, simulated = "curt", False

        def annotate(self, texts: Any, label_names: Any, demonstrations: Any = None) -> Any:
            import pandas as pd

            return pd.DataFrame({"label": [2, -1][: len(texts)], "confidence": [0.5, 0.0][: len(texts)]})

    p = nk.PromptedLLM(annotator=Curt(), profile="quick").fit(few).predict_proba(["one", "two"])
    assert p[0].tolist() == np.eye(8)[2].tolist()
    np.testing.assert_allclose(p[1], 1 / 8)


def test_saved_with_its_examples_and_the_annotators_name_alone(
    few: DatasetDict, annotator: Asked, tmp_path: Path
) -> None:
    texts = list(few["test"]["text"])
    fitted = nk.PromptedLLM(annotator=annotator, profile="quick").fit(few)
    loaded = nk.load(fitted.save(tmp_path / "model"))
    with pytest.raises(ValueError, match="annotator=None is not allowed"):
        loaded.predict(texts)
    assert np.array_equal(loaded.set_params(annotator=annotator).predict(texts), fitted.predict(texts))
    assert loaded.examples_.equals(fitted.examples_)
    with pytest.raises(ValueError, match="annotator=None is not allowed: a model's name or an annotator"):
        nk.PromptedLLM(annotator=None).fit(few)


def test_in_a_sweep_every_test_text_is_a_question() -> None:
    shared = {"size": 60, "test_size": 50, "profile": "quick"}
    who = {"kind": "Simulated", "accuracy": 0.8}
    [cell] = cells_of({**shared, "method": "PromptedLLM", "annotator": who})
    record = run_cell({"cell": cell, "purse": None})
    assert record["status"] == "done", record["error"]
    assert (record["questions"], record["n"]) == (50, 50)
    assert 0.6 < record["accuracy"] < 0.95
    everyone = [cell["method"] for cell in cells_of({**shared, "annotator": who, "query_budget": 5})]
    assert "PromptedLLM" in everyone
    with pytest.raises(ValueError, match="annotator=None is not allowed: one to ask: PromptedLLM"):
        cells_of({**shared, "method": "PromptedLLM"})

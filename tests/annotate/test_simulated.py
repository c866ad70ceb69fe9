from __future__ import annotations

import warnings

import numpy as np
import pytest
from datasets import Dataset

from nlkit.annotate import Simulated

NAMES = ["a", "b", "c", "d"]
TRUTH = {f"text {i}": i % 4 for i in range(2000)}
TEXTS = list(TRUTH)


def test_right_as_often_as_told_and_wrong_uniformly() -> None:
    table = Simulated(0.8, TRUTH, seed=3).annotate(TEXTS, NAMES)
    truth = np.array(list(TRUTH.values()))
    wrong = table["label"].to_numpy() != truth
    assert wrong.mean() == pytest.approx(0.2, abs=0.03)
    shift = ((table["label"].to_numpy() - truth) % 4)[wrong]
    assert np.bincount(shift, minlength=4)[1:] / wrong.sum() == pytest.approx([1 / 3] * 3, abs=0.08)
    assert table["confidence"][~wrong].mean() > table["confidence"][wrong].mean()
    assert (table[[f"p_{c}" for c in range(4)]].to_numpy().argmax(axis=1) == table["label"]).all()


def test_an_answer_depends_on_seed_and_text_alone() -> None:
    annotator = Simulated(0.5, TRUTH, seed=1)
    whole = annotator.annotate(TEXTS[:50], NAMES)["label"].tolist()
    backwards = annotator.annotate(TEXTS[:50][::-1], NAMES)["label"].tolist()
    assert backwards[::-1] == whole
    assert [annotator.annotate([t], NAMES)["label"][0] for t in TEXTS[:5]] == whole[:5]
    assert Simulated(0.5, TRUTH, seed=2).annotate(TEXTS[:50], NAMES)["label"].tolist() != whole


def test_abstaining_leaves_the_other_answers_alone() -> None:
    plain = Simulated(0.7, TRUTH).annotate(TEXTS, NAMES)["label"].to_numpy()
    shy = Simulated(0.7, TRUTH, abstain_rate=0.3).annotate(TEXTS, NAMES)["label"].to_numpy()
    assert (shy == -1).mean() == pytest.approx(0.3, abs=0.04)
    assert (shy[shy != -1] == plain[shy != -1]).all()


def test_extremes_and_dataset_reference() -> None:
    reference = Dataset.from_dict({"text": TEXTS[:20], "label": [TRUTH[t] for t in TEXTS[:20]]})
    assert Simulated(1.0, reference).annotate(TEXTS[:20], NAMES)["label"].tolist() == reference["label"][:]
    never = Simulated(0.0, reference).annotate(TEXTS[:20], NAMES)["label"]
    assert not (never == np.array(reference["label"][:])).any()


@pytest.mark.parametrize("kind", ["mapping", "dataset"])
@pytest.mark.parametrize("missing", [None, float("nan"), -1])
def test_without_a_true_label_it_abstains_and_says_why(kind: str, missing: float | None) -> None:
    texts, label = ["t", "u", "v"], [1, missing, 2]
    reference = dict(zip(texts, label, strict=True))
    dataset = Dataset.from_dict({"text": texts, "label": label})
    annotator = Simulated(1.0, reference if kind == "mapping" else dataset)
    with pytest.warns(UserWarning, match="no true label of 1 of 3 texts"):
        table = annotator.annotate(texts, NAMES)
    assert table["label"].tolist() == [1, -1, 2]
    assert table["confidence"][1] == 1 / 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert annotator.annotate(["t"], NAMES)["label"].tolist() == [1]


def test_its_name_says_that_it_is_simulated() -> None:
    annotator = Simulated(0.9, TRUTH)
    assert annotator.simulated
    assert annotator.name == "simulated (90 % right)"


def test_errors_name_the_trouble() -> None:
    with pytest.raises(ValueError, match="does not know the text 'news'"):
        Simulated(0.9, TRUTH).annotate(["news"], NAMES)
    with pytest.raises(ValueError, match="needs the truth"):
        Simulated(0.9)
    with pytest.raises(ValueError, match=r"accuracy=1\.5"):
        Simulated(1.5, TRUTH)
    with pytest.raises(ValueError, match="from 0 to 1"):
        Simulated(0.9, {"t": 3}).annotate(["t"], ["a", "b"])
    with pytest.raises(ValueError, match=r"columns \['label'\]"):
        Simulated(0.9, Dataset.from_dict({"text": ["t"]}))

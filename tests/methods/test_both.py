"""NoiseAL, then SiDyP: which labels the second one is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import DatasetDict

import nlkit as nk
from nlkit.data.observed import with_column
from tests.methods.helpers import interrupt, relabelled, replaced


@pytest.fixture(scope="module")
def fitted(every: dict[str, Any]) -> Any:
    return every["NoiseALThenSiDyP"]


def test_it_is_sidyp_on_the_labels_of_noiseals_clean_set(fitted: Any, make: Any, few: DatasetDict) -> None:
    c = fitted.config
    first = nk.NoiseAL(annotator=None, profile="quick", max_length=c.max_length, batch_size=c.batch_size).fit(
        few
    )
    trusted = (first.partition_["set"] == "R").to_numpy()
    assert fitted.trusted_["trusted"].tolist() == trusted.tolist()
    assert 20 < trusted.sum() < 140
    label = np.where(trusted, few["train"]["noisy_label"][:], -1)
    held, texts = few["validation"], list(few["test"]["text"])
    known = first.predict(held["text"][:]) == np.array(held["noisy_label"][:])
    assert 0 < known.sum() < len(held)
    label_held = np.where(known, held["noisy_label"][:], -1)
    told = DatasetDict({**relabelled(few, label), "validation": replaced(held, "noisy_label", label_held)})
    second = make("SiDyP").fit(told)
    assert np.array_equal(fitted.predict_proba(texts), second.predict_proba(texts))


def test_the_whole_training_split_is_known_again(fitted: Any, few: DatasetDict) -> None:
    told = fitted.report(few["train"])["correction"]
    assert 0 <= told["accuracy_after"] <= 1
    assert len(fitted.refine(few)["train"]["refined_label"]) == 160
    with pytest.raises(ValueError, match="is not the training split that fit saw"):
        fitted.report(few["train"].select(range(100)))


def test_what_a_person_has_checked_is_trusted(fitted: Any, make: Any, few: DatasetDict) -> None:
    left = int(np.flatnonzero(~fitted.trusted_["trusted"])[0])
    checked = with_column(few["train"], "label_checked", [i == left for i in range(160)])
    again = make("NoiseALThenSiDyP", epochs=1, diffusion_epochs=1).fit(DatasetDict({**few, "train": checked}))
    assert again.trusted_["trusted"][left]


def test_interrupted_in_the_second_and_resumed(
    fitted: Any, make: Any, few: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, nk.SiDyP, "_prior")
        with pytest.raises(KeyboardInterrupt):
            make("NoiseALThenSiDyP").fit(few, checkpoint=tmp_path)
    resumed, texts = make("NoiseALThenSiDyP").fit(few, checkpoint=tmp_path), list(few["test"]["text"])
    assert np.array_equal(resumed.predict_proba(texts), fitted.predict_proba(texts))

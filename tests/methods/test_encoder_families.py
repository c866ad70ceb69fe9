"""Methods that embed texts work with encoders whose layers cannot be cut, such as MPNet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import DatasetDict

import nlkit as nk
from tests.models.test_encoder import family


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return family("mpnet", tmp_path_factory.mktemp("mpnet"))


@pytest.mark.parametrize("method", ["KNNRelabel", "SiDyP", "NoiseAL"])
def test_methods_embed_texts_with_an_encoder_that_trains_whole(
    r8_small: DatasetDict, encoder: str, method: str
) -> None:
    few = DatasetDict({split: r8_small[split].select(range(24)) for split in ("train", "validation")})
    noisy = nk.add_noise(few, kind="symmetric", rate=0.4, seed=0)
    settings: dict[str, Any] = {"encoder": encoder, "trainable_layers": "all", "max_length": 16, "epochs": 2}
    if method == "SiDyP":
        settings |= {"diffusion_epochs": 1, "neighbours": 3}
    if method == "NoiseAL":
        annotator = nk.annotators.Simulated(0.9, few["train"])
        settings |= {"annotator": annotator, "query_budget": 5, "warmup_epochs": 1}
    model = getattr(nk, method)(profile="quick", **settings).fit(noisy)
    assert np.isfinite(model.predict_proba(few["validation"]["text"])).all()

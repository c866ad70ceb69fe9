"""SetFit: the library trains our encoder, and all else is the linear model's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import DatasetDict

import nlkit as nk
from nlkit.methods.registry import METHODS
from nlkit.study.sweeps.cells import run_cell
from nlkit.study.sweeps.grid import cells_of


def test_the_encoder_learns_pairs_and_is_saved_with_its_head(
    few: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = DatasetDict({name: few[name].remove_columns("label") for name in ("train", "validation")})
    settings = {"profile": "quick", "max_length": 16, "steps": 8, "lr_encoder": 1e-4}
    one, two = nk.SetFit(**settings).fit(few), nk.SetFit(**settings).fit(blind)
    texts, label = few["train"]["text"][:], np.array(few["train"]["noisy_label"][:])
    assert np.array_equal(one.predict_proba(texts), two.predict_proba(texts))
    # Texts of one label are now nearer to each other, relative to others, than to the encoder as it came.
    same = (label[:, None] == label) & ~np.eye(len(label), dtype=bool)
    gaps = []
    for encoder in (one.model_.encoder, nk.TextEncoder(trainable_layers=0, max_length=16)):
        cosine = encoder.embed(texts) @ encoder.embed(texts).T
        gaps.append(cosine[same].mean() - cosine[label[:, None] != label].mean())
    assert gaps[0] > gaps[1] + 0.02
    assert "SetFit" not in METHODS
    monkeypatch.setattr("nlkit.methods.registry.METHODS", METHODS | {"SetFit": nk.SetFit})
    loaded = nk.load(one.save(tmp_path / "model"))
    np.testing.assert_allclose(loaded.predict_proba(texts), one.predict_proba(texts), atol=1e-6)


def test_a_sweep_knows_it_by_its_module() -> None:
    shared = {"size": 60, "test_size": 50, "profile": "quick"}
    how = {"method": "nlkit.methods.contrastive:SetFit", "steps": 1, "max_length": 8, "name": "SetFit"}
    [cell] = cells_of({**shared, "method": how})
    record = run_cell({"cell": cell, "purse": None})
    assert (record["status"], record["made"], record["method"]) == ("done", "SetFit", "SetFit"), record[
        "error"
    ]


def test_without_the_library_its_name_is_told(few: DatasetDict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "setfit", None)
    with pytest.raises(ImportError, match=r"pip install 'nlkit\[setfit\]'"):
        nk.SetFit(profile="quick").fit(few)
    with pytest.raises(ValueError, match="steps=0 is not allowed"):
        nk.SetFit(steps=0)

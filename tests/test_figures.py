"""Figures of fixed seeds stay: what is changed without meaning to is found here.

``python -m tests.test_figures`` writes figures.json anew, for a change that is meant to move them; say in its
message what moved and why.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nlkit as nk

STORED = Path(__file__).with_name("figures.json")
SEEDS = (0, 1, 2)
LOSSES = ("ce", "gce", "sce", "elr", "label_smoothing", "mixup")


def methods(seed: int, ds: Any) -> Iterator[tuple[str, Any]]:
    """Every method in profile quick; also with an annotator that is right nine times in ten."""
    shared = {"profile": "quick", "seed": seed, "mixed_precision": "no"}
    annotator = nk.annotators.Simulated(accuracy=0.9, reference=ds["train"], seed=seed)
    yield from ((loss, nk.Baseline(loss=loss, **shared)) for loss in LOSSES)
    yield "NoiseAL without annotator", nk.NoiseAL(annotator=None, query_budget=0, **shared)
    asks = {"annotator": annotator, "query_budget": 30, **shared}
    yield "NoiseAL, simulated annotator", nk.NoiseAL(trust="full", **asks)
    yield "NoiseAL, annotator measured", nk.NoiseAL(**asks)
    yield "SiDyP", nk.SiDyP(**shared)
    yield "SiDyP, text space", nk.SiDyP(variant="text_space", **shared)
    yield "KNNRelabel", nk.KNNRelabel(**shared)
    yield "ConfidentLearning", nk.ConfidentLearning(**shared)


def figures(seed: int) -> dict[str, dict[str, float]]:
    """Fit every method on 300 texts of R8, of which 40 % have a wrong label; test on 300."""
    ds = nk.load_dataset("r8", train_size=300, test_size=300, seed=seed)
    ds = nk.add_noise(ds, kind="symmetric", rate=0.4, seed=seed)
    found = {}
    for name, method in methods(seed, ds):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tiny classes
            scores = method.fit(ds).evaluate(ds["test"])
        found[name] = {key: round(scores[key], 4) for key in ("accuracy", "macro_f1", "nll")}
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_figures_of_a_fixed_seed_stay(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Activations differ in their last digits by which texts were encoded together, so none are taken over.
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path))
    stored, found = json.loads(STORED.read_text("utf-8"))[str(seed)], figures(seed)
    assert found.keys() == stored.keys()
    for name, scores in stored.items():
        # Another processor adds up in another order, and a text or two of 300 may be predicted otherwise; a
        # few more by NoiseAL, which learns from its own sets.
        near = 0.0168 if name.startswith("NoiseAL") else 0.0101
        assert found[name]["accuracy"] == pytest.approx(scores["accuracy"], abs=near), name
        assert found[name]["macro_f1"] == pytest.approx(scores["macro_f1"], abs=0.05), name
        assert found[name]["nll"] == pytest.approx(scores["nll"], rel=0.05, abs=0.02), name


if __name__ == "__main__":
    STORED.write_text(json.dumps({seed: figures(seed) for seed in SEEDS}, indent=1) + "\n", "utf-8")

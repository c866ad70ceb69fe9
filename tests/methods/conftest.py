"""What the tests of the methods share: one noisy data set, and every method fitted once to a part of it."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import DatasetDict

import nlkit as nk

# Learns so fast that the best epoch comes before the last.
SMALL: dict[str, Any] = {"profile": "quick", "max_length": 16, "epochs": 6, "batch_size": 16, "lr_head": 1e-2}
LEARNING = [name for name, method in nk.METHODS.items() if not method.needs_annotator]
SIDYP: dict[str, Any] = {
    "branches": 2, "diffusion_epochs": 3, "hidden_size": 32, "diffusion_steps": 50, "sampling_steps": 5,
    "neighbours": 5, "chains": 1,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "NoiseAL": {"query_budget": 10, "warmup_epochs": 2},
    "SelfMix": {"warmup_epochs": 2},
    "DivideMix": {"warmup_epochs": 2},
    "SiDyP": SIDYP,
    "NoiseALThenSiDyP": SIDYP,
}


@pytest.fixture(scope="session")
def noisy(r8_small: DatasetDict) -> DatasetDict:
    """400 texts of R8, of which 40 % have a wrong label."""
    return nk.add_noise(r8_small, kind="symmetric", rate=0.4, seed=0)


@pytest.fixture(scope="session")
def few(noisy: DatasetDict) -> DatasetDict:
    """160 of them, and 60 to test on."""
    return DatasetDict(
        {**noisy, "train": noisy["train"].select(range(160)), "test": noisy["test"].select(range(60))}
    )


@pytest.fixture(scope="session")
def make(few: DatasetDict) -> Any:
    """Return what makes a method by name, with settings that cost little."""
    annotator = nk.annotators.Simulated(0.9, reference=few["train"])

    def make(name: str, **settings: Any) -> Any:
        given = {"annotator": annotator} if name == "NoiseAL" else {}
        return nk.METHODS[name](**given | SMALL | OWN.get(name, {}) | settings)

    return make


@pytest.fixture(scope="session")
def every(few: DatasetDict, make: Any) -> dict[str, Any]:
    """Every method, fitted, by name."""
    return {name: make(name).fit(few, eval_splits=["test"]) for name in LEARNING}

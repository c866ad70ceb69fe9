"""SmolLM2, converted and loaded once for all tests, and a tiny random model for what needs no real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nlkit.annotate import Demonstration, LocalLLM, models

LABELS = ["acq", "crude", "earn", "money-fx"]

TEXTS = [
    "oil prices rise as opec cuts output of crude by two mln barrels per day",
    "company reports quarterly net profit of five mln dlrs and raises its dividend",
    "firm agrees to buy rival for cash in a takeover bid worth one billion dlrs",
    "the bank of japan sold dollars to stop the fall of the currency against the yen",
    "dividend unchanged",
]

EXAMPLES = [
    Demonstration("shares rise after merger offer from a larger rival", 0),
    Demonstration("opec ministers meet to discuss oil production quotas", 1),
    Demonstration("fourth quarter net loss narrows , sales up", 2),
    Demonstration("dollar falls against the mark in nervous trading", 3),
]


@pytest.fixture(scope="session")
def converted(private_cache: str) -> Path:
    """The folder with SmolLM2's weights; converting the GGUF file takes long and happens once, here."""
    return Path(models.ready_folder(models.locate("smollm2")))


@pytest.fixture(scope="session")
def tokenizer(converted: Path) -> Any:
    """SmolLM2's tokenizer."""
    return models.load_tokenizer(models.locate("smollm2"))


@pytest.fixture(scope="session")
def smollm2(converted: Path) -> LocalLLM:
    """SmolLM2 without a store, and already loaded."""
    annotator = LocalLLM("smollm2", store=None)
    annotator._load_scorer()
    return annotator


@pytest.fixture(scope="session")
def tiny_folder(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved LLaMA of the same kind as SmolLM2, two layers, random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        # Far from uniform answers: with the usual small weights no mistake would show.
        initializer_range=0.4,
    )
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> LocalLLM:
    """The tiny model without a store, and already loaded."""
    annotator = LocalLLM(tiny_folder, store=None)
    annotator._load_scorer()
    return annotator

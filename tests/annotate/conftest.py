"""One loaded SmolLM2 for all tests here: loading takes far longer than any of them."""

from __future__ import annotations

import pytest

from nlkit.annotators import Demonstration, LocalLLM

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
def smollm2(private_cache: str) -> LocalLLM:
    """SmolLM2 without a store, and already loaded."""
    annotator = LocalLLM("smollm2", store=None)
    annotator._load_scorer()
    return annotator

"""What the tests of the methods share: one noisy data set, made once."""

from __future__ import annotations

import pytest
from datasets import DatasetDict

import nlkit as nk


@pytest.fixture(scope="session")
def noisy(r8_small: DatasetDict) -> DatasetDict:
    """400 texts of R8, of which 40 % have a wrong label."""
    return nk.add_noise(r8_small, kind="symmetric", rate=0.4, seed=0)

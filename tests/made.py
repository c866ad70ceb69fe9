"""What many tests make: small splits from lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import ClassLabel, Dataset, Features, Value


def labelled_split(names: Sequence[str], **columns: Any) -> Dataset:
    """Return a split of texts and, in every other column, class numbers with these names."""
    feature = ClassLabel(names=list(names))
    kinds = {name: Value("string") if name == "text" else feature for name in columns}
    return Dataset.from_dict(columns, features=Features(kinds))

"""One column of a data set in place of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["with_column"]


def with_column(data: Dataset, name: str, values: Sequence[Any], feature: Any = None) -> Dataset:
    """Return a data set with this column, instead of an older one of the same name, as the last one."""
    kept = data.remove_columns([name]) if name in data.column_names else data
    return kept.add_column(name, list(values), feature=feature)

"""One column in place of another."""

from __future__ import annotations

from datasets import ClassLabel, Dataset

from nlkit.data.observed import with_column


def test_a_column_is_added_or_replaced_and_the_data_stay_as_they_were() -> None:
    data = Dataset.from_dict({"text": ["a", "b"], "y": [0, 1]})
    names = ClassLabel(names=["no", "yes"])
    found = with_column(data, "y", [1, 0], names)
    assert found["y"][:] == [1, 0]
    assert found.features["y"].names == ["no", "yes"]
    assert with_column(found, "z", ["p", "q"]).column_names == ["text", "y", "z"]
    assert data["y"][:] == [0, 1]

"""The published study: its page is what its stored records say."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks import study
from nlkit.study.sweeps.grid import cells_of, read_grid
from nlkit.study.sweeps.records import read_records

PAGE = (study.RESULTS / "study.md").read_text("utf-8")


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return read_records(study.STORED)


def test_the_page_is_made_from_the_stored_records(records: pd.DataFrame) -> None:
    assert study.page(records) == PAGE


def test_records_are_cells_of_the_grid_without_texts(records: pd.DataFrame) -> None:
    settings = ["dataset", "size", "test_size", "noise", "rate", "seed", "profile"]
    cells = pd.DataFrame(cells_of(read_grid(study.RESULTS.parent / "study.yaml")))
    cells["profile"] = [config["profile"] for config in cells["config"]]
    assert set(map(tuple, records[settings].to_numpy())) <= set(map(tuple, cells[settings].to_numpy()))
    assert not records.duplicated([*settings, "method"]).any()

"""What `tests/methods/noiseal/test_plain.py` leaves out, which holds pool and search against the page."""

from __future__ import annotations

import numpy as np
import pytest

from nlkit.annotate.demonstrations import balance_report, balanced_pool, nearest


def test_balance_report_counts_every_class() -> None:
    report = balance_report([0, 0, 2], ["a", "b", "c"])
    assert report["n"].tolist() == [2, 0, 1]
    assert report["share"].sum() == pytest.approx(1.0)
    assert balance_report([], ["a", "b"])["share"].tolist() == [0.0, 0.0]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="per_class"):
        balanced_pool([0], [0], [0.5], 0)
    with pytest.raises(ValueError, match="NaN"):
        balanced_pool([0], [0], [float("nan")], 1)
    with pytest.raises(ValueError, match="one length"):
        balanced_pool([0, 1], [0], [0.5], 1)
    with pytest.raises(ValueError, match="both or neither"):
        nearest(np.eye(2), np.eye(2), 1, query_index=[0, 1])
    with pytest.raises(ValueError, match="k=0"):
        nearest(np.eye(2), np.eye(2), 0)
    with pytest.raises(ValueError, match="embeddings"):
        nearest(np.eye(2), np.eye(3), 1)
    with pytest.raises(ValueError, match="class numbers"):
        balance_report([3], ["a", "b"])

"""The rule by which finders change a label, against a loop, and what makes evidence too thin."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit.study.suspects import FINDERS, LEAST_FOUND, LEAST_WRONG, Findings, too_thin

NAMES = ["a", "b", "c"]


def made(noisy, proposal, probability=None, interval=(0.3, 0.5)):
    proposal = np.asarray(proposal, np.int64).reshape(4, -1)
    if probability is None:
        probability = 0.85 * np.eye(3)[np.maximum(proposal, 0)] + 0.05
    return Findings(
        np.asarray(noisy, np.int64), proposal, probability, 0.4, interval, np.empty((len(noisy), 0))
    )


@given(st.lists(st.tuples(st.integers(-1, 2), *[st.integers(0, 2)] * 4), min_size=1, max_size=30))
def test_the_rule_is_that_of_a_loop(rows):
    noisy, *proposal = zip(*rows, strict=True)
    found = made(noisy, proposal)
    table = found.table()
    for i, (z, sidyp, *others) in enumerate(rows):
        votes = Counter(p for p in (sidyp, *others) if p != z)
        row = table.loc[i]
        if not votes:
            assert (row["proposal"], row["finders"], row["agreed"]) == (-1, 0, False)
            assert np.isnan(row["confidence"])
            assert row["reason"] == ""
            continue
        assert row["finders"] == max(votes.values()) == votes[row["proposal"]]
        assert row["agreed"] == (votes[sidyp] >= 3 and sidyp != z)
        assert row["agreed"] <= (row["proposal"] == sidyp)
        assert row["confidence"] == pytest.approx(found.probability[:, i, row["proposal"]].mean())
        by = [name for name, p in zip(FINDERS, (sidyp, *others), strict=True) if p == row["proposal"] != z]
        assert [part.split(" ")[0] for part in row["reason"].split("; ")] == by
        assert (" against " in row["reason"]) == (z >= 0)


def scene(n=200, agreed=60, held_out=0.9, low=0.3, balance=0.5):
    """Labels of two classes; on the first `agreed` ones all finders agree that they are wrong."""
    rng = np.random.default_rng(0)
    noisy = (np.arange(n) >= balance * n).astype(int)
    proposal = np.tile(noisy, (4, 1))
    proposal[:, :agreed] = 1 - noisy[:agreed]
    found = made(noisy, proposal, interval=(low, low + 0.2))
    right = rng.permutation(n) < held_out * n
    found.probability[FINDERS.index("cleanlab")] = np.eye(3)[np.where(right, noisy, 1 - noisy)]
    return found


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"n": 90}, "there are 90 labels, and fewer than 100"),
        ({"low": LEAST_WRONG - 0.001}, "perhaps only 4.9% of the labels are wrong"),
        ({"low": LEAST_WRONG, "agreed": 3}, None),
        ({"agreed": int(200 * 0.3 * LEAST_FOUND) - 1}, "at least 60 labels .* agree on 14 only"),
        ({"agreed": int(200 * 0.3 * LEAST_FOUND)}, None),
        ({"held_out": 0.52}, "no better than calling all 'a': 52% right against 50%"),
        ({"balance": 0.9}, "calling all 'a': 90% right against 90%"),
    ],
)
def test_too_thin(changes, says):
    found = scene(**changes)
    reasons = too_thin(found, found.table(), NAMES)
    if says is None:
        assert reasons == []
    else:
        assert len(reasons) == 1
        assert re.search(says, reasons[0])

"""Agreement, the alt-test and class shares: against plain loops, a library, and known truth."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from crowdkit.metrics.data import alpha_krippendorff
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from nlkit.metrics import alt_test, class_shares, krippendorff_alpha, pairwise_agreement

LABELS = st.integers(2, 4).flatmap(
    lambda n: st.lists(st.lists(st.integers(-1, 2), min_size=n, max_size=n), min_size=1, max_size=25)
)


@given(LABELS)
@settings(max_examples=50)
def test_alpha_is_that_of_a_library_on_texts_with_two_labels(rows):
    labels = np.array(rows).T
    found, (low, high) = krippendorff_alpha(labels, draws=50)
    said = [(i, a, str(y)) for a, own in enumerate(labels) for i, y in enumerate(own) if y >= 0]
    paired = {i for i, _, _ in said if sum(j == i for j, _, _ in said) > 1}
    said = [row for row in said if row[0] in paired]
    if len({y for _, _, y in said}) < 2:
        assert math.isnan(found)
        return
    wanted = alpha_krippendorff(pd.DataFrame(said, columns=["task", "worker", "label"]))
    assert found == pytest.approx(wanted)
    assert low <= high <= 1


def test_alpha_of_a_textbook():
    # Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C: four observers, 12 units.
    data = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, -1, -1, -1], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, -1, 3],
        [-1, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, -1], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, -1],
    ]  # fmt: skip
    assert krippendorff_alpha(data)[0] == pytest.approx(0.743, abs=5e-4)


def test_alphas_interval_holds_what_many_texts_say():
    rng = np.random.default_rng(0)

    def drawn(n):
        y = rng.choice(3, n, p=(0.5, 0.3, 0.2))
        return np.stack([np.where(rng.random(n) < 0.7, y, rng.integers(0, 3, n)) for _ in range(3)])

    truth = krippendorff_alpha(drawn(100_000), draws=2)[0]
    found = [krippendorff_alpha(drawn(150), draws=300, seed=i)[1] for i in range(150)]
    held = np.mean([low <= truth <= high for low, high in found])
    assert 0.88 <= held <= 0.99


@given(LABELS)
def test_pairs_are_those_of_a_loop(rows):
    labels = np.array(rows).T
    found = pairwise_agreement(labels)
    for i, j in permutations(range(len(labels)), 2):
        same = [a == b for a, b in zip(labels[i], labels[j], strict=True) if a >= 0 and b >= 0]
        assert found[i, j] == pytest.approx(np.mean(same)) if same else np.isnan(found[i, j])


def annotators(n=120, right=(0.7, 0.75, 0.8), seed=0, holes=0.1):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    people = np.stack([np.where(rng.random(n) < p, y, rng.integers(0, 3, n)) for p in right])
    people[rng.random(people.shape) < holes] = -1
    return y, people


def naive_alt_test(candidate, people, epsilon, q=0.05):
    """Follow the paper's algorithm text by text."""
    p, advantage = [], []
    for j, left_out in enumerate(people):
        worse, good = [], []
        for i, own in enumerate(candidate):
            rest = [person[i] for k, person in enumerate(people) if k != j and person[i] >= 0]
            if own < 0 or left_out[i] < 0 or not rest:
                continue
            mine, theirs = (sum(r == one for r in rest) / len(rest) for one in (own, left_out[i]))
            good.append(mine >= theirs)
            worse.append(int(theirs >= mine) - int(mine >= theirs))
        p.append(ttest_1samp(worse, epsilon, alternative="less").pvalue)
        advantage.append(np.mean(good))
    m, rank = len(p), np.argsort(p)
    bound = [q * (k + 1) / m / sum(1 / i for i in range(1, m + 1)) for k in range(m)]
    passed = [k for k in range(m) if p[rank[k]] <= bound[k]]
    return (max(passed) + 1 if passed else 0) / m, np.mean(advantage)


@pytest.mark.parametrize("right", [0.4, 0.7, 0.8, 0.95])
@pytest.mark.parametrize("epsilon", [0.05, 0.2])
def test_the_alt_test_is_the_papers(right, epsilon):
    _, everyone = annotators(right=(right, 0.7, 0.75, 0.8), seed=int(100 * right))
    found = alt_test(everyone[0], everyone[1:], epsilon=epsilon)
    rate, advantage = naive_alt_test(everyone[0], everyone[1:], epsilon)
    assert found.winning_rate == pytest.approx(rate)
    assert found.advantage == pytest.approx(advantage)
    assert found.replaces == (rate >= 0.5)


def test_who_may_replace_annotators():
    y, people = annotators()
    assert alt_test(y, people).replaces
    assert not alt_test((y + 1) % 3, people).replaces
    # The same answers as the one left out are no worse, at no spread at all.
    twin = alt_test(people[0], people[:1].repeat(3, 0))
    assert twin.winning_rate == twin.advantage == 1
    # Agreeing with an expert, where the others agree with each other only.
    expert = (y + 1) % 3
    assert alt_test(expert, people, expert=expert).replaces
    assert not alt_test(y, people, expert=expert).replaces
    few = np.where(np.arange(120) < 29, people, -1)
    with pytest.raises(ValueError, match="30 texts"):
        alt_test(y, few)
    with pytest.raises(ValueError, match="labels of at least 2"):
        alt_test(y, people[:1])
    table = alt_test(y, np.vstack([people, few[:1]])).table
    assert table["annotator"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("n", "gold", "shares", "right"),
    [
        (2000, 50, (0.05, 0.35, 0.6), 0.8), (2000, 50, (0.05, 0.35, 0.6), 1.0),
        (2000, 50, (0.05, 0.35, 0.6), 0.3), (300, 30, (0.02, 0.28, 0.7), 0.7),
        (300, 300, (0.2, 0.3, 0.5), 0.7),
    ],
)  # fmt: skip
def test_intervals_of_class_shares_hold_the_truth(n, gold, shares, right):
    """95 times in 100, whatever the labels are worth; and good labels make them narrower than gold alone."""
    rng, held, width, alone, off = np.random.default_rng(0), [], [], [], []
    for _ in range(120):
        y = rng.choice(3, n, p=shares)
        z = np.where(rng.random(n) < right, y, rng.choice(3, n, p=(0.2, 0.2, 0.6)))
        known = np.full(n, -1)
        at = rng.choice(n, gold, replace=False)
        known[at] = y[at]
        found = class_shares(z, known, 3)
        wanted = np.array(shares)
        held.append((found["low"] <= wanted) & (wanted <= found["high"]))
        width.append(found["high"] - found["low"])
        only = class_shares(np.full(n, -1), known, 3)  # labels that say nothing: gold alone
        assert np.allclose(only["estimate"], only["gold_alone"])
        alone.append(only["high"] - only["low"])
        off.append(found["estimate"] - wanted)
    # 120 draws of 0.95 are below 0.9 once in a hundred times.
    assert (np.mean(held, 0) >= 0.9).all()
    assert (np.abs(np.mean(off, 0)) < 0.02).all()
    ratio = np.mean(width, 0) / np.mean(alone, 0)
    assert (ratio < 1.3).all()  # a rare class: few gold texts, and labels worth little
    if right >= 0.8:
        assert (ratio[1:] < 0.75).all()


def test_class_shares_refuse_what_says_nothing():
    with pytest.raises(ValueError, match="label='1 gold labels' is not allowed: two at least"):
        class_shares([0, 1, 0], [-1, 1, -1], 2)
    everything = class_shares([0, 1, 1, 0], [0, 1, 0, 0], 2)
    assert everything["estimate"].tolist() == everything["gold_alone"].tolist() == [0.75, 0.25]

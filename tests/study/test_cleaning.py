"""Losses, the mixture, cleanlab and the comparison of finders."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nlkit.methods.noiseal.partition import replay
from nlkit.study import cleaning

E, N, C = 3, 80, 4


@pytest.fixture(scope="module")
def made():
    """Dynamics of two models that know the true class more or less, and noisy labels."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, C, N)
    noisy = np.where(rng.random(N) < 0.3, (label + 1) % C, label)

    def model(sharpness):
        logits = rng.normal(size=(E, N, C)) + sharpness * np.eye(C)[label]
        p = np.exp(logits)
        return p / p.sum(-1, keepdims=True)

    return model(2.0), model(1.0), noisy, label


class TestLosses:
    def test_equal_the_naive_ones(self, made):
        strong, _, noisy, _ = made
        noisy = np.where(np.arange(N) % 9 == 0, -1, noisy)
        found = cleaning.label_losses(strong, noisy)
        for losses, epoch in zip(found, strong, strict=True):
            for loss, p, z in zip(losses, epoch, noisy, strict=True):
                assert z < 0 or loss == pytest.approx(-math.log(max(p[z], cleaning.SMALLEST)))
        assert np.isnan(found[:, noisy < 0]).all()

    def test_a_probability_of_zero_has_a_finite_loss(self):
        loss = cleaning.label_losses([[[1.0, 0.0], [0.0, 1.0]]], [1, 1])
        np.testing.assert_allclose(loss, [[np.log(510), 0.0]])

    def test_bad_input(self):
        with pytest.raises(ValueError, match="dynamics"):
            cleaning.label_losses(np.ones((2, 2)), [0, 1])
        with pytest.raises(ValueError, match="label"):
            cleaning.label_losses(np.ones((1, 2, 2)) / 2, [0, 2])

    def test_separation_counts_pairs(self, made):
        strong, _, noisy, label = made
        unknown = np.arange(N) % 11 == 0
        seen, truth = np.where(unknown, -1, noisy), np.where(np.arange(N) % 7 == 0, -1, label)
        both = (seen >= 0) & (truth >= 0)
        found, wrong = cleaning.loss_separation(strong, seen, truth), both & (seen != truth)
        for auc, loss in zip(found, cleaning.label_losses(strong, seen), strict=True):
            # How often a wrong label has the larger loss, over all pairs of a wrong and a right one.
            above = loss[wrong][:, None] - loss[both & ~wrong]
            assert auc == pytest.approx(((above > 0) + 0.5 * (above == 0)).mean())

    def test_nothing_to_separate(self, made):
        strong, _, _, label = made
        assert np.isnan(cleaning.loss_separation(strong, label, label)).all()


class TestSmallLoss:
    def test_the_lower_of_two_heaps_is_kept(self):
        rng = np.random.default_rng(0)
        loss = np.concatenate([rng.normal(0.3, 0.1, 60), rng.normal(4.0, 0.5, 40), [np.nan]])
        p = cleaning.small_loss(loss)
        assert (p[:60] > 0.9).all()
        assert (p[60:100] < 0.1).all()
        assert p[100] == 0

    @pytest.mark.parametrize(("loss", "wanted"), [([], []), ([2.0], [1]), ([1.0, 1.0, np.nan], [1, 1, 0])])
    def test_nothing_to_part(self, loss, wanted):
        assert cleaning.small_loss(loss).tolist() == wanted

    def test_bad_input(self):
        with pytest.raises(ValueError, match="loss"):
            cleaning.small_loss([[1.0]])


class TestConfidentIssues:
    def test_finds_wrong_labels_of_real_news(self, r8_small):
        texts, label = r8_small["train"]["text"][:150], np.array(r8_small["train"]["label"][:150])
        noisy = label.copy()
        noisy[::5] = np.where(label[::5] == 2, 0, 2)  # earn for acq and the others, acq for earn
        noisy[1] = -1
        issue = cleaning.confident_issues(texts, noisy, 8)
        assert issue.shape == (150,)
        assert issue[1], "a missing label is an issue"
        wrong = noisy != label
        assert issue[wrong].mean() > 0.6 > 0.3 > issue[~wrong].mean()

    def test_bad_labels(self):
        with pytest.raises(ValueError, match="label"):
            cleaning.confident_issues(["a"], [3], 2)


class TestCompareFinders:
    def test_equals_counting(self, made):
        strong, weak, noisy, label = made
        issues = np.arange(N) % 3 == 0
        table = cleaning.compare_finders(
            strong, weak, noisy, label, issues=issues, momentum=0.5, margin=0.1, cap=0.9
        ).set_index(["finder", "epoch"])
        assert list(dict.fromkeys(table.index.get_level_values(0))) == list(cleaning.FINDERS)
        right = noisy == label
        both = replay(list(strong), list(weak), noisy, momentum=0.5, margin=0.1, cap=0.9)
        for epoch in range(1, E + 1):
            for name, kept in (
                ("both", both[epoch - 1].set == "R"),
                ("cleanlab", ~issues),
                ("mixture", cleaning.small_loss(cleaning.label_losses(strong, noisy)[epoch - 1]) > 0.5),
            ):
                row, hits = table.loc[(name, epoch)], (kept & right).sum()
                assert row["kept"] == kept.sum()
                assert row["precision"] == pytest.approx(hits / kept.sum())
                assert row["recall"] == pytest.approx(hits / right.sum())
                assert row["f1"] == pytest.approx(2 * hits / (kept.sum() + right.sum()))

    def test_both_is_the_intersection(self, made):
        table = cleaning.compare_finders(*made).pivot_table("kept", "epoch", "finder")
        assert (table["both"] <= table[["strong", "weak"]].min(axis=1)).all()
        assert "cleanlab" not in table

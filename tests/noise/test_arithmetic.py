"""What follows from a transition matrix: Bayes' rule, the spread of a rate, given probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nlkit as nk
from nlkit import noise


class TestTrueGivenNoisy:
    @given(st.integers(2, 6), st.integers(0, 10_000))
    def test_equals_counting_one_text_at_a_time(self, C, seed):
        rng = np.random.default_rng(seed)
        label, noisy = rng.integers(0, C, 300), rng.integers(0, C, 300)
        counts = np.zeros((C, C))
        for y, z in zip(label, noisy, strict=True):
            counts[y, z] += 1
        with np.errstate(invalid="ignore"):
            T = counts / counts.sum(1, keepdims=True)
        turned = noise.true_given_noisy(T, np.bincount(label, minlength=C))
        for j in range(C):
            for i in range(C):
                of_label = [y for y, z in zip(label, noisy, strict=True) if z == j]
                assert turned[i, j] == pytest.approx(of_label.count(i) / len(of_label))
        np.testing.assert_allclose(turned.sum(0), 1)

    def test_a_label_of_a_rare_class_is_mostly_wrong(self):
        turned = noise.true_given_noisy(nk.transition_matrix("symmetric", 2, 0.2), [90, 10])
        assert turned[1, 1] == pytest.approx(0.08 / 0.26)

    def test_absent_classes_and_labels(self):
        T = [[1.0, 0.0, 0.0], [np.nan] * 3, [0.5, 0.0, 0.5]]
        turned = noise.true_given_noisy(T, [2, 0, 2])
        np.testing.assert_allclose(turned[:, [0, 2]], [[2 / 3, 0], [0, 0], [1 / 3, 1]])
        assert np.isnan(turned[:, 1]).all()

    @pytest.mark.parametrize(
        ("T", "prior", "field"),
        [(np.eye(2)[:1], [1, 1], "matrix"), (np.eye(2), [1], "prior"), (np.eye(2), [0, 0], "prior"),
         (np.eye(2), [-1, 2], "prior")],
    )  # fmt: skip
    def test_bad_input(self, T, prior, field):
        with pytest.raises(ValueError, match=field):
            noise.true_given_noisy(T, prior)


class TestRateSpread:
    label = np.array([0] * 40 + [1] * 60)

    def test_draws_agree_with_the_formula(self):
        T = noise.transition_matrix("asymmetric", 2, 0.3, pairs={0: 1})  # class 1 keeps its labels
        table = noise.rate_spread(self.label, T, [40, 100], draws=4000)
        np.testing.assert_allclose(table["wanted"], [0.3, 0.12])
        np.testing.assert_allclose(
            table["expected_sd"], [np.sqrt(0.21 / 40), np.sqrt(40 * 0.21) / 100], rtol=1e-12
        )
        np.testing.assert_allclose(table["sd"], table["expected_sd"], rtol=0.1)
        assert (table["low"] < table["wanted"]).all()
        assert (table["wanted"] < table["high"]).all()

    @pytest.mark.parametrize("rate", [0.0, 1.0])
    def test_certain_noise_has_no_spread(self, rate):
        row = noise.rate_spread(self.label, noise.transition_matrix("symmetric", 2, rate), [7]).iloc[0]
        assert row[["low", "high", "wanted"]].tolist() == [rate] * 3
        assert row["sd"] == row["expected_sd"] == 0

    def test_the_seed_decides(self):
        T = noise.transition_matrix("symmetric", 2, 0.5)
        one, same, other = (noise.rate_spread(self.label, T, [30], draws=50, seed=s) for s in (0, 0, 1))
        assert one.equals(same)
        assert not one.equals(other)

    @pytest.mark.parametrize(
        ("change", "field"),
        [({"label": [0, -1]}, "label"), ({"label": [0, 2]}, "label"), ({"label": []}, "label"),
         ({"sizes": []}, "sizes"), ({"sizes": [101]}, "sizes"), ({"sizes": [0]}, "sizes"),
         ({"draws": 1}, "draws")],
    )  # fmt: skip
    def test_bad_input(self, change, field):
        given = {"label": self.label, "matrix": np.eye(2), "sizes": [3]} | change
        with pytest.raises(ValueError, match=field):
            noise.rate_spread(**given)


class TestGivenProbabilities:
    def test_those_of_the_own_classifier_change_nothing(self, r8_small):
        guide = noise.instance_probabilities(r8_small, seed=3)
        for rate in (0.2, 0.6):
            once = noise.add_noise(r8_small, "instance", rate, 3)
            again = noise.add_noise(r8_small, "instance", rate, 3, probabilities=guide)
            for split in ("train", "validation"):
                assert once[split]["noisy_label"][:] == again[split]["noisy_label"][:]

    def test_wrong_labels_go_where_they_say(self, r8_small):
        C = len(r8_small["train"].features["label"].names)
        sure = {s: np.eye(C)[np.full(len(r8_small[s]), 4)] for s in ("train", "validation")}
        noisy = noise.add_noise(r8_small, "instance", 0.5, probabilities=sure)["train"]
        label, seen = np.array(noisy["label"]), np.array(noisy["noisy_label"])
        assert set(seen[(label != seen) & (label != 4)]) == {4}

    @pytest.mark.parametrize(
        ("settings", "field"),
        [
            ({"kind": "symmetric", "probabilities": {}}, "probabilities"),
            ({"kind": "instance", "probabilities": {}}, r"probabilities\['train'\]"),
            ({"kind": "instance", "probabilities": {"train": np.ones((3, 2))}}, "shape"),
            ({"kind": "instance", "probabilities": {}, "features": {}}, "features"),
            ({"kind": "instance", "probabilities": {"train": np.full((400, 8), 0.1)}}, "no probabilities"),
        ],
    )
    def test_bad_input(self, r8_small, settings, field):
        with pytest.raises(ValueError, match=field):
            noise.add_noise(r8_small, **settings)

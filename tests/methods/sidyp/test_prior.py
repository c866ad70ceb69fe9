"""The neighbours' prior: invariants, edges (`test_plain` has more)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit.methods.sidyp.detection import detect, suspicion
from nlkit.methods.sidyp.prior import (
    CASES,
    Prior,
    candidates,
    nearest_trusted,
    neighbour_prior,
    update_prior,
    vote,
)
from tests.methods.sidyp.test_detection import C, clusters, samples


class TestPrior:
    @given(samples(), st.integers(1, 12))
    def test_neighbours_are_the_nearest_trusted_others(self, case: dict[str, Any], k: int) -> None:
        x, label, suspect = case["embedding"], case["label"], case["suspect"]
        trusted = np.flatnonzero(~suspect & (label >= 0))
        if not len(trusted):
            with pytest.raises(ValueError, match="nothing can be read off"):
                neighbour_prior(x, label, suspect, C, k=k)
            return
        found = neighbour_prior(x, label, suspect, C, k=k)
        for i, row in enumerate(found.neighbours.tolist()):
            others = trusted[trusted != i]
            nearest = others[np.argsort(np.linalg.norm(x[others] - x[i], axis=1), kind="stable")][:k]
            assert [j for j in row if j >= 0] == nearest.tolist()

    @given(samples(), st.integers(1, 8), st.floats(0.3, 1.0), st.floats(0.3, 1.0))
    def test_fewer_of_the_neighbours_give_the_prior_of_fewer(
        self, case: dict[str, Any], k: int, gamma: float, delta: float
    ) -> None:
        x, label, suspect = case["embedding"], case["label"], case["suspect"]
        if (suspect | (label < 0)).all():
            return
        number, distance = nearest_trusted(x, label, suspect, k=12)
        settings = {"gamma": gamma, "delta": delta}
        found = vote(number[:, :k], distance[:, :k], label, suspect, C, **settings)
        whole = neighbour_prior(x, label, suspect, C, k=k, **settings)
        np.testing.assert_allclose(found.weight, whole.weight)
        assert np.array_equal(found.neighbours, whole.neighbours)
        assert found.case.tolist() == whole.case.tolist()

    def test_neighbours_that_do_not_fit(self) -> None:
        with pytest.raises(ValueError, match=r"neighbours \(2, 3\), distance \(2, 2\)"):
            vote(np.zeros((2, 3), int), np.ones((2, 2)), [0, 1], [False] * 2, C)

    @given(samples(), st.integers(1, 12))
    def test_invariants(self, case: dict[str, Any], k: int) -> None:
        x, label, suspect = case["embedding"], case["label"], case["suspect"]
        trusted = ~suspect & (label >= 0)
        if not trusted.any():
            return
        found = neighbour_prior(x, label, suspect, C, k=k)
        np.testing.assert_allclose(found.weight.sum(1), 1)
        assert set(found.case) <= set(CASES)
        # Nobody is a neighbour of itself, and a class that nobody trusted has keeps its empty column.
        assert not (found.neighbours == np.arange(len(x))[:, None]).any()
        absent = ~np.isin(np.arange(C), label[trusted])
        assert found.weight.shape == (len(x), C)
        assert (found.weight[:, absent] == 0).all()

    def test_corrects_wrong_labels(self) -> None:
        x, y, noisy = clusters()
        suspect, _ = detect(suspicion(x[None, None], noisy, C), 0.3)
        found = neighbour_prior(x, noisy, suspect, C)
        assert (found.weight.argmax(1) == y).mean() > 0.9 > (noisy == y).mean()

    def test_missing_labels_are_filled(self) -> None:
        x, y, noisy = clusters()
        noisy[:50] = -1
        found = neighbour_prior(x, noisy, noisy != y, C)
        assert (found.weight.argmax(1) == y)[:50].mean() > 0.9
        assert not np.isin(np.arange(50), found.neighbours).any()

    def test_equal_texts_decide(self) -> None:
        x = np.array([[0.0], [0.0], [1.0], [1.1], [0.9]])
        found = neighbour_prior(x, [0, 1, 2, 2, 2], np.zeros(5, bool), C, k=4)
        assert found.weight[0].argmax() == 1
        assert found.case[0] == "certain"

    def test_a_single_trusted_sample_answers_for_all(self) -> None:
        found = neighbour_prior(np.zeros((3, 2)), [1, 0, -1], [False, True, False], C)
        assert found.weight.argmax(1).tolist() == [1, 1, 1]
        assert found.neighbours.tolist() == [[-1], [0], [0]]

    def test_the_table_is_readable(self) -> None:
        found: Prior = neighbour_prior([[0.0], [1.0], [1.2]], [0, 1, -1], [False] * 3, C, k=2, delta=0.5)
        table = found.table(["earn", "acq", "ship"], [0, 1, -1])
        assert table["noisy_label"].tolist() == ["earn", "acq", ""]
        assert table["candidates"].tolist() == ["acq 1.00", "earn 1.00", "acq 0.86, earn 0.14"]
        assert table["index"].tolist() == [0, 1, 2]
        assert table["likeliest"].tolist() == [1, 0, 1]
        assert table["case"].tolist() == ["certain", "certain", "dominant"]
        np.testing.assert_allclose(table["weight"], found.weight.max(1))

    def test_the_order_of_classes_and_samples_does_not_matter(self) -> None:
        x, _, noisy = clusters(40)
        suspect = np.random.default_rng(1).random(40) < 0.3
        plain = neighbour_prior(x, noisy, suspect, C)
        names = np.array([2, 0, 1])
        renamed = neighbour_prior(x, names[noisy], suspect, C)
        np.testing.assert_allclose(renamed.weight[:, names], plain.weight)
        order = np.random.default_rng(2).permutation(40)
        shuffled = neighbour_prior(x[order], noisy[order], suspect[order], C)
        np.testing.assert_allclose(shuffled.weight, plain.weight[order])
        assert shuffled.case.tolist() == plain.case[order].tolist()
        assert np.array_equal(order[shuffled.neighbours], plain.neighbours[order])

    def test_the_first_samples_of_a_prior(self) -> None:
        x, _, noisy = clusters(20)
        suspect = np.arange(20) % 5 == 0
        found = neighbour_prior(x, noisy, suspect, C)
        first = found.first(7)
        assert np.array_equal(first.weight, found.weight[:7])
        assert first.case.tolist() == found.case[:7].tolist()
        assert np.array_equal(first.neighbours, found.neighbours[:7])
        assert first.suspect.tolist() == suspect[:7].tolist()

    def test_a_class_whose_samples_are_all_suspect_keeps_its_column(self) -> None:
        x, y, _ = clusters(60)
        found = neighbour_prior(x, y, y == 1, C)
        assert found.weight.shape == (60, C)
        assert (found.weight[:, 1] == 0).all()
        assert (found.weight[y != 1].argmax(1) == y[y != 1]).mean() > 0.9
        assert set(found.weight[y == 1].argmax(1)) <= {0, 2}

    @pytest.mark.parametrize("certain", [0.5, 1.0])
    def test_neighbours_of_one_class_make_it_certain(self, certain: float) -> None:
        x = np.array([[0.0], [0.1], [0.2], [0.3], [9.0], [9.1], [9.2]])
        label = [1, 2, 2, 2, 0, 0, 0]
        found = neighbour_prior(x, label, [True, *[False] * 6], C, k=2, gamma=certain)
        assert found.case.tolist() == ["certain"] * 7
        assert np.array_equal(found.weight, np.eye(C)[[2, 2, 2, 2, 0, 0, 0]])

    @pytest.mark.parametrize(("label", "suspect"), [([0, 1, 2], True), ([-1, -1, -1], False)])
    def test_nobody_left_to_believe_is_an_error_with_a_remedy(self, label: list[int], suspect: bool) -> None:
        with pytest.raises(ValueError, match=r"nothing can be read off neighbours.*lower noise_rate"):
            neighbour_prior(np.eye(3), label, [suspect] * 3, C)

    def test_arrays_of_different_length_are_named(self) -> None:
        with pytest.raises(ValueError, match=r"embedding \(3, 3\), noisy_label \(2,\)"):
            neighbour_prior(np.eye(3), [0, 1], [False] * 3, C)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [({"k": 0}, "k=0"), ({"gamma": 0.0}, "gamma=0.0"), ({"delta": 1.5}, "delta=1.5")],
    )
    def test_bad_settings_are_named(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            neighbour_prior(np.zeros((2, 1)), [0, 1], [False, False], C, **settings)


def test_candidates_keep_one_two_or_all() -> None:
    weight, case = candidates([[0.95, 0.05, 0.0], [0.5, 0.4, 0.1], [0.4, 0.3, 0.3]], delta=0.85)
    assert case.tolist() == ["certain", "dominant", "uncertain"]
    np.testing.assert_allclose(weight, [[1, 0, 0], [5 / 9, 4 / 9, 0], [0.4, 0.3, 0.3]])


class TestReinforce:
    @given(st.integers(0, C - 1), st.integers(0, C - 1))
    def test_a_one_hot_prior_is_a_fixed_point(self, own: int, answer: int) -> None:
        assert update_prior(np.eye(C)[own], answer, 4).tolist() == np.eye(C)[own].tolist()

    def test_an_answer_that_is_no_candidate_changes_nothing(self) -> None:
        np.testing.assert_allclose(update_prior([0.6, 0.4, 0.0], 2, 4), [0.6, 0.4, 0.0])

    def test_the_same_answer_again_and_again_wins(self) -> None:
        weight = np.array([0.6, 0.3, 0.1])
        for _ in range(6):
            weight = update_prior(weight, 2, 6)
        assert weight.argmax() == 2

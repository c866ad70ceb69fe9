"""The noise explorer: a pair of classes, its share, its texts, and the frame in the matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nlkit import noise
from nlkit.course import plots, widgets


@pytest.fixture(scope="module")
def ds(r8_small):
    return r8_small


class TestPair:
    @pytest.mark.parametrize("pair", [(2, 0), (2, 2), (-1, 0), (2, -1), (-1, -1)])
    def test_texts_are_those_of_the_pair(self, ds, pair):
        view = widgets.compute_noise(ds, "symmetric", 0.4, seed=1, examples=10_000, pair=pair)
        noisy = noise.add_noise(ds, "symmetric", 0.4, 1)["train"]
        wanted = []
        for row in noisy:
            y, z = row["label"], row["noisy_label"]
            fits = pair[0] in (-1, y) and pair[1] in (-1, z)
            if fits and (y != z or pair[0] == pair[1] == y):
                wanted.append(row["text"])
        assert view.examples["text"].tolist() == wanted
        assert view.found == len(wanted) > 0

    def test_a_class_that_does_not_exist(self, ds):
        with pytest.raises(ValueError, match="pair"):
            widgets.compute_noise(ds, "symmetric", 0.4, pair=(0, 8))

    def test_given_probabilities_change_nothing(self, ds):
        guide = noise.instance_probabilities(type(ds)(train=ds["train"]), seed=1)
        plain = widgets.compute_noise(ds, "instance", 0.3, 1)
        given = widgets.compute_noise(ds, "instance", 0.3, 1, probabilities=guide)
        np.testing.assert_array_equal(plain.matrix, given.matrix)


class TestExplorer:
    def test_choosing_a_pair_frames_it_and_shows_its_share(self, ds):
        made = widgets.noise_explorer(ds, rate=0.4)
        assert "Framed" not in made.picture.value
        made.controls["true"].value, made.controls["noisy"].value = 2, 0
        assert "Framed: earn labelled acq" in made.picture.value
        share = widgets.compute_noise(ds, "symmetric", 0.4).matrix[2, 0]
        assert f"P(acq | earn) is {share:.3f} here" in made.table.value
        made.controls["true"].value = -1
        assert "Texts of any class wrongly labelled acq" in made.table.value

    def test_every_position_can_be_drawn_and_no_classifier_is_trained_again(self, ds, monkeypatch):
        made = widgets.noise_explorer(ds, pair=(0, 1))

        def refuse(*arguments):
            raise AssertionError("trained again")

        monkeypatch.setattr(noise, "class_probabilities", refuse)
        assert made.try_controls() == 4 + 3 + 2 * 10
        assert "Framed: acq labelled crude" in made.static[1]


class TestPlots:
    @pytest.fixture
    def ax(self):
        return plots.figure()[1]

    def test_frame_stands_on_its_cell(self, ax):
        plots.draw_transition_matrix(np.eye(3), list("abc"), ax, mark=(2, 1))
        assert ax.patches[0].get_xy() == (0.5, 1.5)

    def test_many_classes_have_no_numbers(self, ax):
        plots.draw_transition_matrix(np.full((20, 20), 0.05), [f"c{i}" for i in range(20)], ax)
        assert len(ax.texts) == 0

    def test_label_truth(self, ax):
        table = pd.DataFrame(
            {"class_name": ["a", "b"], "labelled": [10, 0], "right": [0.8, np.nan], "expected": [0.7, np.nan]}
        )
        alt = plots.draw_label_truth(table, ax)
        assert "a 80 percent (expected 70 percent), b unknown" in alt
        assert [bar.get_width() for bar in ax.patches] == [80, 0]
        assert [t.get_text() for t in ax.get_yticklabels()] == ["a (10)", "b (0)"]

    def test_rate_spread(self, ax):
        T = noise.transition_matrix("symmetric", 2, 0.4)
        table = noise.rate_spread(np.arange(100) % 2, T, [10, 100])
        alt = plots.draw_rate_spread(table, ax)
        low, high = 100 * table["low"][1], 100 * table["high"][1]
        assert f"of 100 labels {low:.1f} to {high:.1f} percent" in alt
        assert "wanted one of 40 percent" in alt

    def test_noise_cost_has_a_mark_of_its_own_a_kind(self, ax):
        costs = pd.DataFrame(
            {"kind": ["x", "x", "y", "y"], "rate": [0.0, 0.2] * 2, "accuracy": [0.9, 0.8, 0.9, 0.5]}
        )
        alt = plots.draw_noise_cost(costs, ax)
        assert "x noise: 0 percent: 90, 20 percent: 80; y noise: 0 percent: 90, 20 percent: 50" in alt
        lines = [container.lines[0] for container in ax.containers]
        assert (
            len({line.get_marker() for line in lines}) == len({line.get_linestyle() for line in lines}) == 2
        )

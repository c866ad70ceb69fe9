"""Figures: what they draw, what they say in words, and how they are displayed."""

from __future__ import annotations

import base64

import IPython.display
import numpy as np
import pandas as pd
import pytest

from nlkit.course import plots


@pytest.fixture
def ax():
    return plots.figure()[1]


def markers(ax):
    return {c.get_label()[0]: c.get_paths()[0].vertices.tobytes() for c in ax.collections}


def test_colours_come_with_another_mark(ax):
    assert len(set(map(tuple, plots.PALETTE))) == len(plots.PALETTE)
    assert len(set(plots.MARKERS.values())) == 3
    plots.draw_accuracy({"a": [0.1, 0.2], "b": [0.2, 0.3], "c": [0.3, 0.4]}, ax)
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    assert len({line.get_marker() for line in ax.lines}) == 3


def test_figures_have_a_ground_of_their_own():
    fig, axes = plots.figure(1, 2)
    assert fig.get_facecolor() == (1.0, 1.0, 1.0, 1.0)
    assert all(ax.get_facecolor() == (1.0, 1.0, 1.0, 1.0) for ax in axes)


def test_the_same_figure_gives_the_same_bytes():
    def make():
        fig, ax = plots.figure(width=2, height=2)
        plots.draw_accuracy({"a": [0.1, 0.5]}, ax)
        return plots.png(fig)

    first = make()
    assert first == make()
    assert first.startswith(b"\x89PNG")
    assert b"Matplotlib" not in first


class TestTransitionMatrix:
    T = np.array([[0.7, 0.3, 0.0], [0.0, 0.6, 0.4], [0.1, 0.0, 0.9]])

    def test_words_name_the_worst_mistake(self, ax):
        alt = plots.draw_transition_matrix(self.T, ["a", "b", "c"], ax, title="x")
        assert "b labelled c, 40 percent" in alt
        assert "Between 60 and 90 percent" in alt
        assert [text.get_text() for text in ax.texts] == ["70", "30", "60", "40", "10", "90"]

    def test_a_class_without_samples_is_left_blank(self, ax):
        T = self.T.copy()
        T[1] = np.nan
        assert "a labelled b, 30 percent" in plots.draw_transition_matrix(T, ["a", "b", "c"], ax)
        assert "nan" not in " ".join(text.get_text() for text in ax.texts)

    def test_shape_is_checked(self, ax):
        with pytest.raises(ValueError, match=r"\(3, 3\)"):
            plots.draw_transition_matrix(self.T, ["a", "b"], ax)


class TestMemorisation:
    def test_accuracy_says_peak_and_end(self, ax):
        alt = plots.draw_accuracy({"test": [0.5, 0.9, 0.7]}, ax, chosen=2)
        assert "highest 90 percent at epoch 2, at the end 70" in alt
        assert "best by noisy validation is 2" in alt
        np.testing.assert_allclose(ax.lines[0].get_ydata(), [50, 90, 70])

    def test_fitted_shares_count_by_hand(self):
        noisy, label = np.array([0, 1, 1, 0, -1]), np.array([0, 1, 0, 1, 0])
        guess = np.array([[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]])
        shares = plots.fitted_shares(np.eye(2)[guess], noisy, label)
        assert shares["epoch"].tolist() == [1, 2]
        assert shares["clean"].tolist() == [1.0, 0.5]
        assert shares["mislabelled"].tolist() == [0.5, 1.0]
        assert shares["corrected"].tolist() == [0.5, 0.0]

    def test_nothing_mislabelled_is_not_zero(self):
        shares = plots.fitted_shares(np.eye(2)[[[0, 1]]], [0, 1], [0, 1])
        assert shares["mislabelled"].isna().all()

    def test_draw_fitted(self, ax):
        shares = pd.DataFrame(
            {"epoch": [1, 2], "clean": [0.8, 0.9], "mislabelled": [0.1, 0.6], "corrected": [0.7, 0.3]}
        )
        alt = plots.draw_fitted(shares, ax)
        assert "memorised: 10, then 60 percent" in alt
        assert len(ax.lines) == 3


class TestSets:
    partition = pd.DataFrame(
        {"set": ["R", "R", "H", "P"], "p_s": [0.9, 0.8, 0.5, 0.1], "p_w": [0.8, 0.9, 0.2, 0.1]}
    )

    def test_each_set_has_its_points_and_marker(self, ax):
        alt = plots.draw_partition(self.partition, ax)
        sizes = [len(c.get_offsets()) for c in ax.collections]
        assert sizes == [2, 1, 1]
        assert set(markers(ax)) == {"R", "H", "P"}
        assert len(set(markers(ax).values())) == 3
        assert "2 are in R" in alt
        assert [t.get_text() for t in ax.get_legend().get_texts()] == [
            "R clean: 2", "H hard: 1", "P purified: 1",
        ]  # fmt: skip

    def test_an_empty_set_is_drawn_as_such(self, ax):
        assert "0 in H" in plots.draw_partition(self.partition[self.partition["set"] != "H"], ax)

    def test_quality(self, ax):
        quality = pd.DataFrame(
            {
                "epoch": [1, 1, 2, 2], "set": ["R", "P", "R", "P"],
                "precision": [0.9, np.nan, 0.95, np.nan], "recall": [0.5, 0.0, 0.8, 0.0],
            }
        )  # fmt: skip
        alt = plots.draw_set_quality(quality, ax, mark=1)
        assert "95 percent of R have right labels" in alt
        assert "none (the set is empty) of P" in alt


def test_methods(ax):
    table = pd.DataFrame({"method": ["CE", "bound"], "accuracy": [0.8, 0.95]})
    alt = plots.draw_methods(table, ax, bound="bound", low=0.7)
    assert alt == "Test accuracy in percent: CE 80.0, bound (upper bound) 95.0."
    assert [patch.get_x() + patch.get_width() for patch in ax.patches] == pytest.approx([80, 95])
    assert "the axis begins at 70" in ax.get_xlabel()
    assert len({patch.get_hatch() for patch in ax.patches}) == 2


class TestShow:
    def test_picture_and_words(self, monkeypatch):
        shown = []
        monkeypatch.setattr(IPython.display, "display", shown.append)
        fig, ax = plots.figure(width=1, height=1)
        ax.plot([0, 1])
        plots.show(fig, 'a <b>"line"</b>\n  & more')
        picture, words = shown
        data, metadata = picture._repr_mimebundle_()
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
        assert metadata["image/png"]["alt"] == 'a <b>"line"</b> & more'
        assert "<b>" not in words.data
        assert "&lt;b&gt;" in words.data

    @pytest.mark.parametrize("alt", ["", "  \n"])
    def test_no_words_no_figure(self, alt):
        with pytest.raises(ValueError, match="alt"):
            plots.show(plots.figure()[0], alt)

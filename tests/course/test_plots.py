"""Figures: what they draw and where, what they say in words, and how they are displayed."""

from __future__ import annotations

import base64
import itertools
import warnings

import IPython.display
import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgba

from nlkit import metrics, noise
from nlkit.course import plots
from nlkit.course.plots import look
from nlkit.methods.sidyp.prior import CASES
from nlkit.study import cleaning


@pytest.fixture
def ax():
    return plots.figure()[1]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def rows(ax):
    return [tick.get_text() for tick in ax.get_yticklabels()]


def apart(artists, *looks):
    """Tell whether each of these looks tells all of the artists apart."""
    return all(len({str(getattr(a, f"get_{name}")()) for a in artists}) == len(artists) for name in looks)


LONG = [
    f"{which} of three names that are as long as a sentence, eighty characters or even more"
    for which in "abc"
]
NAMED = {  # what has names of classes in it: names -> a drawing
    "draw_transition_matrix": lambda names, ax: plots.draw_transition_matrix(np.eye(3), names, ax),
    "draw_recalls": lambda names, ax: plots.draw_recalls({"a method": [0.1, 0.5, 0.9]}, names, ax),
    "draw_label_shares": lambda names, ax: plots.draw_label_shares({"asked": [0.2, 0.3, 0.5]}, names, ax),
    "draw_answer": lambda names, ax: plots.draw_answer([0.2, 0.3, 0.5], names, ax, shown=[1], truth=2),
    "draw_noised": lambda names, ax: plots.draw_noised(np.eye(3)[[0, 1, 2]], 0, names, ax),
    "draw_chain_bars": lambda names, ax: plots.draw_chain_bars(np.eye(3)[[0, 1, 2]], names, ax),
    "draw_branches": lambda names, ax: plots.draw_branches(np.eye(3)[[0, 1]], names, ax),
    "draw_trajectories": lambda names, ax: plots.draw_trajectories(
        np.random.default_rng(0).random((2, 3, 2)), [0, 1, 2], [True, False, False], names, ax
    ),
    "draw_candidates": lambda names, ax: plots.draw_candidates(
        [0.2, 0.3, 0.5], pd.DataFrame({"text": ["$a$"], "label": [1], "distance": [0.1]}), names, ax
    ),
    "draw_label_truth": lambda names, ax: plots.draw_label_truth(
        pd.DataFrame({"class_name": names, "labelled": 5, "right": 0.5, "expected": 0.6}), ax
    ),
}  # fmt: skip


@pytest.mark.parametrize("draw", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize(
    "names",
    [["$", "$$", "$$$"], ["体育", "财经新闻", "스포츠"], LONG, ["字" * 80, "$" * 80, "y"]],
)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_names_of_classes_can_be_drawn(draw, names):
    fig, ax = plots.figure()
    draw(names, ax)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "constrained_layout not applied")
        plots.png(fig)
    assert ax.get_position().width > 0.25
    assert ax.get_position().height > 0.3


def test_names_are_cut_by_their_width():
    assert look.short("a" * 24) == "a" * 24
    assert look.short("a" * 25) == "a" * 23 + "…"
    assert look.short("字" * 30, 10) == "字" * 4 + "…"
    assert look.short(" two \n lines ") == "two lines"


def test_fonts_of_other_scripts_come_last(monkeypatch):
    monkeypatch.setattr(look, "get_font_names", lambda: ["SimHei", "Courier"])
    look._installed.cache_clear()
    assert look.plain()["fontfamily"] == [*matplotlib.rcParams["font.family"], "SimHei"]
    look._installed.cache_clear()


class TestGround:
    def test_colours_come_with_another_mark(self, ax):
        assert len(set(map(tuple, look.PALETTE))) == len(look.PALETTE)
        plots.draw_accuracy({"a": [0.1, 0.2], "b": [0.2, 0.3], "c": [0.3, 0.4]}, ax)
        assert apart(ax.lines, "linestyle", "marker", "color")
        plots.draw_label_shares({"a": [1.0], "b": [1.0], "c": [1.0]}, ["x"], ax)
        assert apart(ax.patches, "hatch", "facecolor")

    @matplotlib.rc_context({"axes.facecolor": "black", "figure.facecolor": "black"})
    def test_white_whatever_the_style(self):
        for fig, _ in (plots.figure(1, 2), plots.panels((1, 3), (2, 1), 4, 4)):
            assert {part.get_facecolor() for part in (fig, *fig.axes)} == {(1.0, 1.0, 1.0, 1.0)}

    def test_panels_are_rows_of_axes(self):
        fig, (top, below) = plots.panels((1, 3), (2, 1), 4, 4)
        fig.canvas.draw()
        heights = [row[0].get_position().height for row in (top, below)]
        assert heights[0] > 1.5 * heights[1]
        assert len({round(ax.get_position().y0, 6) for ax in below}) == 1
        assert top[0].get_position().y0 > below[0].get_position().y1

    def test_the_same_figure_gives_the_same_bytes(self):
        def make():
            fig, ax = plots.figure(width=2, height=2)
            plots.draw_accuracy({"a": [0.1, 0.5]}, ax)
            return plots.png(fig)

        first = make()
        assert first == make()
        assert first.startswith(b"\x89PNG")
        assert b"Matplotlib" not in first

    def test_sharp_pictures_are_the_same_each_time(self):
        def make():
            fig, ax = plots.figure(width=2, height=2)
            plots.draw_accuracy({"a": [0.1, 0.5]}, ax)
            return plots.svg(fig)

        first = make()
        assert first == make()
        assert "<svg" in first
        assert "font-family" not in first, "letters are outlines: no font of the reader's changes them"

    def test_show_gives_picture_and_words(self, monkeypatch):
        shown = []
        monkeypatch.setattr(IPython.display, "display", shown.append)
        plots.show(plots.figure(width=1, height=1)[0], 'a <b>"line"</b>\n  & more')
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


@pytest.mark.parametrize(
    ("draw", "values", "names", "message"),
    [
        (plots.draw_transition_matrix, np.eye(3), "ab", r"matrix=.*\(3, 3\).*\(2, 2\)"),
        (plots.draw_answer, [0.5, 0.5], "a", r"probability=.*\(1,\)"),
        (plots.draw_label_shares, {"true": [1.0]}, "ab", r"shares of 'true'.*\(2,\)"),
        (plots.draw_recalls, {"one": [1.0]}, "ab", r"recall of 'one'.*\(2,\)"),
        (plots.draw_branches, [[0.9, 0.1]], "abc", r"state=.*\(M, 3\)"),
        (plots.draw_chain_bars, [[0.5, 0.5]], "abc", r"chain=.*\(S, 3\)"),
        (plots.draw_chain_bars, [[0.5, 0.2]], "ab", r"sums from 0\.7.*probabilities that sum to 1"),
        (plots.draw_chain_bars, [[1.5, -0.5]], "ab", r"from -0\.5"),
    ],
)
def test_what_does_not_fit_is_named(ax, draw, values, names, message):
    with pytest.raises(ValueError, match=message):
        draw(values, list(names), ax)


class TestNoise:
    T = np.array([[0.7, 0.3, 0.0], [0.0, 0.6, 0.4], [0.1, 0.0, 0.9]])

    def test_matrix_in_numbers_and_words(self, ax):
        alt = plots.draw_transition_matrix(self.T, list("abc"), ax, title="x", mark=(2, 1))
        assert "b labelled c, 40 percent" in alt
        assert "Between 60 and 90 percent" in alt
        assert "Framed: c labelled b, 0 percent." in alt
        assert [text.get_text() for text in ax.texts] == ["70", "30", "60", "40", "10", "90"]
        assert ax.patches[0].get_xy() == (0.5, 1.5)

    def test_a_class_without_samples_is_left_blank(self, ax):
        T = np.where(np.arange(3)[:, None] == 1, np.nan, self.T)
        assert "a labelled b, 30 percent" in plots.draw_transition_matrix(T, list("abc"), ax)
        assert "nan" not in " ".join(text.get_text() for text in ax.texts)

    def test_many_classes_have_no_numbers(self, ax):
        plots.draw_transition_matrix(np.full((20, 20), 0.05), [f"c{i}" for i in range(20)], ax)
        assert len(ax.texts) == 0

    def test_label_truth(self, ax):
        columns = {"class_name": ["a", "b$"], "labelled": [10, 0], "right": [0.8, np.nan]}
        alt = plots.draw_label_truth(pd.DataFrame(columns | {"expected": [0.7, np.nan]}), ax)
        assert "a 80 percent (expected 70 percent), b$ unknown" in alt
        assert [bar.get_width() for bar in ax.patches] == [80, 0]
        assert rows(ax) == ["a (10)", "b$ (0)"]

    def test_rate_spread(self, ax):
        T = noise.transition_matrix("symmetric", 2, 0.4)
        table = noise.rate_spread(np.arange(100) % 2, T, [10, 100])
        low, high = 100 * table["low"][1], 100 * table["high"][1]
        alt = plots.draw_rate_spread(table, ax)
        assert f"of 100 labels {low:.1f} to {high:.1f} percent" in alt
        assert "wanted one of 40 percent" in alt

    def test_noise_cost(self, ax):
        costs = {"kind": ["x", "x", "y", "y"], "rate": [0.0, 0.2] * 2, "accuracy": [0.9, 0.8, 0.9, 0.5]}
        alt = plots.draw_noise_cost(pd.DataFrame(costs), ax)
        assert "x noise: 0 percent: 90, 20 percent: 80; y noise: 0 percent: 90, 20 percent: 50" in alt
        assert apart([container.lines[0] for container in ax.containers], "marker", "linestyle")


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
        assert shares.to_dict("list") == {
            "epoch": [1, 2], "clean": [1.0, 0.5], "mislabelled": [0.5, 1.0], "corrected": [0.5, 0.0],
        }  # fmt: skip
        assert plots.fitted_shares(np.eye(2)[[[0, 1]]], [0, 1], [0, 1])["mislabelled"].isna().all()

    def test_draw_fitted(self, ax):
        shares = {"epoch": [1, 2], "clean": [0.8, 0.9], "mislabelled": [0.1, 0.6], "corrected": [0.7, 0.3]}
        alt = plots.draw_fitted(pd.DataFrame(shares), ax, legend=False)
        assert "memorised: 10, then 60 percent" in alt
        assert len(ax.lines) == 3
        assert ax.get_legend() is None

    def test_pace_says_half_way_and_end(self, ax):
        curves = {"noise": ["rule"] * 2, "epoch": [2, 1], "clean": [0.9, 0.5], "mislabelled": [0.7, 0.2]}
        alt = plots.draw_fitted_pace(pd.DataFrame(curves), ax)
        assert "rule: after half of the epochs 70 percent of the wrong and 90 of the right" in alt
        np.testing.assert_allclose(ax.lines[1].get_xdata(), [50, 90])

    def test_histogram_bars_are_the_shares(self, ax):
        alt = plots.draw_label_histogram([0, 0.5, 1], [0.25, 0.75], [1, 0], ax, title="weak")
        (right, edges, _), (wrong, others, _) = (patch.get_data() for patch in ax.patches)
        assert right.tolist() == [0, 25, 0, 0, 75, 0]
        assert wrong.tolist() == [0, 100, 0, 0, 0, 0]
        assert edges[1] < edges[2] <= others[1] < others[2] < 0.5  # side by side within each bin
        assert apart(ax.patches, "hatch", "facecolor")
        assert alt.startswith("weak: right labels mostly between 0.5 and 1.0 (75 percent); wrong labels")
        assert "no wrong labels" in plots.draw_label_histogram([0, 1], [1], [0], plots.figure()[1])

    def test_separation(self, ax):
        alt = plots.draw_separation({"strong": [0.5, 0.9, 0.7], "weak": [np.nan] * 3}, ax)
        assert "strong: highest 0.90 at epoch 2, 0.70 at the end; weak: unknown" in alt

    def test_sample_path(self, ax):
        strong, weak = np.array([[0.7, 0.3], [0.2, 0.8]]), np.array([[0.6, 0.4], [0.5, 0.5]])
        alt = plots.draw_sample_path(strong, weak, 0, 1, ["a", "b"], ax)
        assert [line.get_ydata().tolist() for line in ax.lines] == [*strong.T.tolist(), *weak.T.tolist()]
        assert [line.get_fillstyle() for line in ax.lines] == ["full", "none"] * 2
        assert "strong model: observed label a from 0.70 to 0.20, true label b from 0.30 to 0.80" in alt
        plots.draw_sample_path(strong, weak, 1, 1, ["a", "b"], other := plots.figure()[1])
        assert len(other.lines) == 2


class TestNoiseAL:
    partition = pd.DataFrame(
        {"set": ["R", "R", "H", "P"], "p_s": [0.9, 0.8, 0.5, 0.1], "p_w": [0.8, 0.9, 0.2, 0.1]}
    )

    def test_each_set_has_its_points_and_marker(self, ax):
        alt = plots.draw_partition(self.partition, ax)
        assert [len(c.get_offsets()) for c in ax.collections] == [2, 1, 1]
        assert len({c.get_paths()[0].vertices.tobytes() for c in ax.collections}) == 3
        assert "2 are in R" in alt
        assert legend(ax) == ["R clean: 2", "H hard: 1", "P purified: 1"]
        assert "rim" not in alt
        wrong = [False, True, False, True]
        alt = plots.draw_partition(self.partition, ax, wrong=wrong)
        assert "1 in R, 0 in H, 1 in P" in alt
        rims = [c.get_offsets() for c in ax.collections if len(c.get_edgecolors()) and len(c.get_offsets())]
        np.testing.assert_allclose(np.concatenate(rims[-2:]), [[0.8, 0.9], [0.1, 0.1]])
        assert legend(ax)[-1] == "wrong label: 2"
        assert "0 in H" in plots.draw_partition(self.partition[self.partition["set"] != "H"], ax)

    def test_quality(self, ax):
        quality = {
            "epoch": [1, 1, 2, 2], "set": ["R", "P", "R", "P"], "precision": [0.9, np.nan, 0.95, np.nan],
            "recall": [0.5, 0.0, 0.8, 0.0],
        }  # fmt: skip
        alt = plots.draw_set_quality(pd.DataFrame(quality), ax, mark=1)
        assert "95 percent of R have right labels" in alt
        assert "none (the set is empty) of P" in alt
        np.testing.assert_allclose(ax.lines[1].get_ydata(), [50, 80])
        assert ax.lines[-1].get_xdata() == [1, 1]

    def test_finders(self, ax):
        rng = np.random.default_rng(0)
        strong, weak = rng.dirichlet([1, 1, 1], (2, 4, 30))
        table = cleaning.compare_finders(strong, weak, *rng.integers(0, 3, (2, 30)))
        alt = plots.draw_finders(table, "recall", ax, names={"both": "two", "weak": "one"}, mark=2)
        assert alt.startswith("Recall of those kept")
        assert "at epoch 2" in alt
        np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * table[table["finder"] == "both"]["recall"])
        assert legend(ax) == ["two", "one"]

    def test_threshold_path(self, ax):
        path = {"epoch": [1, 2], "set": ["H", "R"], "p_s": [0.2, 0.8], "tau_s": [0.3, 0.5]}
        alt = plots.draw_threshold_path(pd.DataFrame(path | {"p_w": [0.1, 0.7], "tau_w": [0.3, 0.4]}), ax)
        assert [text.get_text() for text in ax.texts] == ["H", "R"]
        assert "epoch by epoch: H R" in alt
        assert "0.80 against a threshold of 0.50, the weak one 0.70 against 0.40" in alt

    def test_lessons(self, ax):
        names = ["observed label", "LLM's answer", "models' guess"]
        table = pd.DataFrame({"lesson": names, "n": [10, 0, 4], "right": [8, 0, 1]})
        alt = plots.draw_lessons(table, ax, top=14)
        assert "observed label: 8 of 10 right; LLM's answer: 0 of 0 right; models' guess: 1 of 4" in alt
        right, wrong = (c.datavalues.tolist() for c in ax.containers)
        assert (right, wrong) == ([8, 0, 1], [2, 0, 3])
        assert [text.get_text() for text in ax.texts] == ["8 of 10", "0 of 0", "1 of 4"]

    def test_right_lessons_leave_out_kinds_without_texts(self, ax):
        table = {"epoch": [1, 1, 2, 2], "lesson": ["a", "b"] * 2, "n": [4, 0, 4, 0], "right": [1, 0, 3, 0]}
        alt = plots.draw_right_lessons(pd.DataFrame(table), ax)
        assert "a 25 after epoch 1, 75 after the last" in alt
        assert "b " not in alt
        assert len(ax.lines) == 1

    def test_losses_stack_to_their_sum(self, ax):
        parts = {"R": [2.0, 0.5], "H": [0.0, 1.0], "P": [0.0, 0.25]}
        history = pd.DataFrame({"epoch": [1, 2], **{f"loss_{k}_weak": v for k, v in parts.items()}})
        alt = plots.draw_set_losses(history, ax, model="weak", warmup=1)
        assert "L_H 0.00 in the first epoch, 1.00 in the last" in alt
        assert max(bar.get_y() + bar.get_height() for bar in ax.patches if bar.get_x() > 1) == 1.75


class TestAnnotator:
    def test_answer_marks_truth_examples_and_itself(self, ax):
        alt = plots.draw_answer([0.1, 0.2, 0.7], ["a", "b", "c"], ax, shown=[1, 0, 1], truth=1)
        assert rows(ax) == ["a [2]", "★ b [1, 3]", "c"]
        assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, False, True]
        assert [text.get_text() for text in ax.texts] == ["10", "20", "70"]
        assert "the answer is c, 70 percent sure; the true label is b" in alt
        assert "nearest last: b, a, b" in alt

    def test_answer_with_many_labels_keeps_the_likeliest_and_the_truth(self, ax):
        p = np.arange(1, 31) / np.arange(1, 31).sum()
        plots.draw_answer(p, [f"c{i}" for i in range(30)], ax, truth=0)
        assert rows(ax) == ["★ c0", *(f"c{i}" for i in range(18, 30))]

    def test_shots_begin_at_zero_shot(self, ax):
        table = pd.DataFrame({"way": ["near"] * 2, "k": [4, 1], "accuracy": [0.8, 0.6]})
        alt = plots.draw_shots(table, ax, zero_shot=0.25)
        assert ax.lines[0].get_xdata().tolist() == [0, 1, 4]
        np.testing.assert_allclose(ax.lines[0].get_ydata(), [25, 60, 80])
        assert "near: 25 with 0, 60 with 1, 80 with 4" in alt

    def test_coverage(self, ax):
        curve = pd.DataFrame({"coverage": [0.25, 0.5, 1.0], "accuracy": [1.0, 0.75, 0.5]})
        alt = plots.draw_coverage({"one": curve}, ax)
        assert "50 percent right when it answers 100 percent of the texts, 75 when it answers" in alt
        np.testing.assert_allclose(ax.lines[0].get_xdata(), [25, 50, 100])

    def test_label_shares(self, ax):
        alt = plots.draw_label_shares({"true": [0.5, 0.5], "said": [0.9, 0.1]}, ["a", "b"], ax)
        assert sorted(bar.get_width() for bar in ax.patches) == pytest.approx([10, 50, 50, 90])
        assert "said: most often a, 90 percent" in alt

    def test_questions_end_with_the_last_query(self, ax):
        shares = pd.DataFrame({"n": [1, 2, 3], "answer": [1.0, 0.5, np.nan], "guess": [0.0, 0.5, 0.6]})
        alt = plots.draw_questions(shares, ax, at=2)
        assert "answer 50 percent of the first 2; guess 50 percent of the first 2" in alt
        assert len(ax.lines[0].get_xdata()) == 2
        assert "guess 60 percent of the first 3" in plots.draw_questions(shares, ax)


class TestCalibration:
    # Of 10 samples at 0.9, 6 are right; of 10 at 0.6, 6 are.
    p = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    y = np.array(([0] * 6 + [1] * 4) * 2)

    def test_points_are_the_filled_bins(self, ax):
        table = metrics.reliability(self.p, self.y, bins=5)
        honest = metrics.reliability(np.full((4, 2), 0.5), [0, 0, 1, 1], bins=5)
        alt = plots.draw_reliability({"before": table, "after": honest}, ax)
        diagonal, before, after = ax.lines
        assert np.array_equal(diagonal.get_xdata(), diagonal.get_ydata())
        np.testing.assert_allclose(before.get_xydata(), [[60, 60], [90, 60]])
        np.testing.assert_allclose(after.get_xydata(), [[50, 50]])
        assert apart((before, after), "linestyle", "marker")
        assert "before: expected calibration error 15.0 percent" in alt
        assert "on average 75 percent sure and 60 percent right, so too sure" in alt
        assert "after: expected calibration error 0.0 percent; on average 50 percent sure" in alt
        assert alt.endswith("50 percent right.")
        assert legend(ax) == ["perfectly calibrated", "before: ECE 15.0 %", "after: ECE 0.0 %"]

    def test_more_samples_larger_marks_and_no_legend(self, ax):
        p = np.concatenate([np.tile([0.9, 0.1], (30, 1)), np.tile([0.6, 0.4], (3, 1))])
        alt = plots.draw_reliability({"x": metrics.reliability(p, np.zeros(33, int))}, ax, legend=False)
        small, large = ax.collections[0].get_sizes()
        assert large > 3 * small
        assert "not sure enough" in alt
        assert ax.get_legend() is None
        assert ax.get_xlabel() == ""

    def test_confidences_sum_to_all(self, ax):
        table = metrics.reliability(self.p, self.y, bins=5)
        alt = plots.draw_confidences({"one": table, "two": table}, ax)
        for patch in ax.patches:
            np.testing.assert_allclose(patch.get_data().values, [0, 0, 50, 0, 50])
        assert apart(ax.patches, "hatch", "edgecolor")
        assert "one most, 50 percent, from 40 to 60" in alt


class TestComparison:
    def test_methods(self, ax):
        table = pd.DataFrame({"method": ["CE", "bound"], "accuracy": [0.8, 0.95]})
        alt = plots.draw_methods(table, ax, bound="bound", low=0.7)
        assert alt == "Test accuracy in percent: CE 80.0, bound (upper bound) 95.0."
        assert [patch.get_x() + patch.get_width() for patch in ax.patches] == pytest.approx([80, 95])
        assert "the axis begins at 70" in ax.get_xlabel()
        assert [text.get_text() for text in ax.texts] == ["80.0 %", "95.0 %"]
        assert all(text.get_bbox_patch().get_facecolor() == to_rgba("white") for text in ax.texts)
        assert apart(ax.patches, "hatch")
        assert rows(ax) == ["CE", "bound"]
        assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first on top

    def test_spread_shows_mean_and_every_run(self, ax):
        runs = pd.DataFrame({"method": ["A", "A", "B"], "accuracy": [0.5, 0.7, 0.9]})
        alt = plots.draw_spread(runs, ax, marked=["B"], low=0.4)
        assert "A 60.0 (50.0 to 70.0); B 90.0" in alt
        assert "the axis begins at 40" in ax.get_xlabel()
        assert [bar.get_x() + bar.get_width() for bar in ax.patches] == pytest.approx([60, 90])
        assert apart(ax.patches, "hatch")
        assert [len(line.get_xdata()) for line in ax.lines] == [2, 1]
        assert legend(ax) == ["mean", "one run"]

    def test_settings_have_a_mark_each(self, ax):
        means = pd.DataFrame({"s 0.2": [0.9, 0.8], "s 0.4": [0.5, 0.7]}, index=["A", "B"])
        alt = plots.draw_settings(means, ax, title="r8")
        np.testing.assert_allclose([line.get_xdata() for line in ax.lines], [[90, 80], [50, 70]])
        assert rows(ax) == ["A", "B"]
        assert legend(ax) == ["s 0.2", "s 0.4"]
        assert alt.startswith("r8. Lowest")
        assert "s 0.4 from A 50.0 to B 70.0" in alt

    def test_differences_tell_where_zero_is_within(self, ax):
        table = {
            "method": ["A", "B"], "difference": [0.05, -0.01], "difference_low": [0.02, -0.03],
            "difference_high": [0.08, 0.01],
        }  # fmt: skip
        alt = plots.draw_differences(pd.DataFrame(table), ax, against="CE")
        assert "A +5.0 (+2.0 to +8.0); B -1.0 (-3.0 to +1.0, zero is within)" in alt

    @pytest.mark.parametrize(("x", "places"), [([0.1, 0.1, 0.3], [0.1, 0.3]), ([True, True, False], [0, 1])])
    def test_sweep(self, ax, x, places):
        table = pd.DataFrame({"x": x, "method": "CE", "test accuracy": [0.5, 0.7, 0.9]})
        alt = plots.draw_sweep(table, ax, x="x")
        assert f"CE {x[0]}: 60.0, {x[2]}: 90.0" in alt
        assert ax.get_xticks().tolist() == places
        np.testing.assert_allclose(ax.containers[0].lines[0].get_xydata(), [[places[0], 60], [places[1], 90]])

    def test_recalls(self, ax):
        alt = plots.draw_recalls({"one": [1.0, 0.25], "two": [0.5, np.nan]}, ["a", "b$"], ax)
        marks = [line for line in ax.lines if line.get_marker() not in ("None", None)]
        np.testing.assert_allclose(marks[0].get_xdata(), [100, 25])
        assert apart(marks, "marker")
        assert "one: a 100, b$ 25; two: a 50" in alt


class TestTrajectories:
    @given(st.integers(0, 1000))
    def test_the_plane_is_that_of_all_epochs(self, seed):
        rng = np.random.default_rng(seed)
        E, N, D = rng.integers(1, 4), rng.integers(3, 8), rng.integers(2, 6)
        z = rng.normal(size=(E, N, D)) * np.arange(1, D + 1) ** 2
        points = plots.project_trajectories(z)
        assert points.shape == (E, N, 2)
        flat, shadow = z.reshape(-1, D) - z.mean((0, 1)), points.reshape(-1, 2)
        np.testing.assert_allclose(shadow.mean(0), 0, atol=1e-8)
        # No plane keeps more of the spread, and the first axis has most.
        kept = np.linalg.svd(flat, compute_uv=False)[:2]
        np.testing.assert_allclose(np.linalg.norm(shadow, axis=0), kept, rtol=1e-6)

    def test_the_picture_does_not_flip(self):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(2, 30, 3)) * [5, 2, 0.1]
        points = plots.project_trajectories(z)
        # The axes are those of the data, each in its positive sense, in any order of the samples.
        np.testing.assert_allclose(points, (z - z.mean((0, 1)))[..., :2], atol=0.6)
        order = rng.permutation(30)
        np.testing.assert_allclose(plots.project_trajectories(z[:, order]), points[:, order])
        np.testing.assert_allclose(plots.project_trajectories(z.astype(np.float32)), points, atol=1e-4)

    def test_shapes_are_checked(self, ax):
        with pytest.raises(ValueError, match=r"\(3, 4\).*\(E, N, D\)"):
            plots.project_trajectories(np.zeros((3, 4)))
        for labels, suspects, message in ((2, 4, "points"), (4, 3, "suspect")):
            with pytest.raises(ValueError, match=message):
                plots.draw_trajectories(np.zeros((3, 4, 2)), [0] * labels, [False] * suspects, ["a"], ax)

    # Two trusted texts of class a stay at (0, 0) and (0, 2); a suspect goes from 1 to 4 off their middle.
    points = np.array([[[0, 0], [0, 2], [1, 1], [5, 5]], [[0, 0], [0, 2], [4, 1], [6, 6]]], float)

    def test_paths_marks_and_words(self, ax):
        alt = plots.draw_trajectories(self.points, [0, 0, 0, -1], [False, False, True, False], ["a", "b"], ax)
        assert len(ax.lines) == 3 * 4  # path, start, end
        paths, starts, ends = ax.lines[::3], ax.lines[1::3], ax.lines[2::3]
        for i in range(4):
            np.testing.assert_array_equal(paths[i].get_xydata(), self.points[:, i])
            np.testing.assert_array_equal(starts[i].get_xydata(), self.points[:1, i])
            np.testing.assert_array_equal(ends[i].get_xydata(), self.points[1:, i])
            assert ends[i].get_markersize() > starts[i].get_markersize()
        assert [line.get_linestyle() for line in paths] == ["-", "-", "--", "-"]
        assert [line.get_markerfacecolor() == "white" for line in ends] == [False, False, True, False]
        assert ends[0].get_marker() == ends[2].get_marker() != ends[3].get_marker()
        assert "4 texts' sentence embeddings over 2 epochs" in alt
        assert "the 2 believed from 1.00 to 1.00; the 1 suspect from 1.00 to 4.00" in alt
        assert legend(ax) == ["a", "no label", "believed", "suspect", "after the first epoch"]
        assert "None has a label" in plots.draw_trajectories(self.points, [-1] * 4, [False] * 4, ["a"], ax)

    def test_every_class_has_colour_and_mark_of_its_own(self, ax):
        plots.draw_trajectories(
            np.zeros((2, 30, 2)), range(30), [False] * 30, [str(c) for c in range(30)], ax
        )
        assert len({(to_rgba(line.get_color()), line.get_marker()) for line in ax.lines[2::3]}) == 30


class TestPrior:
    names = ("a", "b", "c", "d")
    neighbours = pd.DataFrame({
        "text": ["costs $5 or $6", "long " * 50, "x", "y", "z", "odd one"],
        "label": [1, 1, 0, 1, 1, 3],
        "distance": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    })  # fmt: skip

    def test_bars_and_their_voters(self, ax):
        alt = plots.draw_candidates([0.25, 0.75, 0, 0], self.neighbours, self.names, ax)
        # The heaviest on top; d was voted for and is no candidate; no neighbour has c.
        assert rows(ax) == ["b", "a", "d"]
        assert [bar.get_width() for bar in ax.patches] == [75, 25, 0]
        assert apart(ax.patches, "hatch")
        assert ax.get_ylim()[0] > ax.get_ylim()[1]
        height = {text.get_text(): text.get_position()[1] for text in ax.texts}
        b, a, d = ax.get_yticks()
        assert b < height["0.10  costs $5 or $6"] < height["and 1 more, up to 0.50 away"] < a
        assert a < height["0.30  x"] < d < height["0.60  odd one"]
        assert {"75 %", "25 %", "no candidate"} <= set(height)
        assert alt == (
            "Candidates for the label of one text, with their neighbours: b 75 percent, 4 neighbours; "
            "a 25 percent, 1 neighbour; d no candidate, 1 neighbour. "
            "The nearest neighbour, 0.10 away, is labelled b."
        )
        none = plots.draw_candidates([1, 0, 0, 0], self.neighbours[:0], self.names, plots.figure()[1])
        assert none.endswith("a 100 percent, 0 neighbours.")

    def test_texts_are_shortened_no_formulas_and_do_not_overlap(self):
        fig, ax = plots.figure(height=5)
        plots.draw_candidates([0.25, 0.75, 0, 0], self.neighbours, self.names, ax, width=30)
        fig.canvas.draw()
        assert max(len(text.get_text()) for text in ax.texts) <= 36
        assert not any(text.get_parse_math() for text in ax.texts if "$" in text.get_text())
        boxes = [text.get_window_extent() for text in ax.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])

    def test_cases_are_stacked_to_their_share(self, ax):
        report = pd.DataFrame({"case": ["certain", "uncertain"], "n": [30, 10], "right": [0.9, 0.2]})
        alt = plots.draw_cases(report, ax)
        right, wrong = (c.datavalues for c in ax.containers)
        np.testing.assert_allclose(right, [67.5, 0, 5])
        np.testing.assert_allclose(right + wrong, [75, 0, 25])
        assert apart([c.patches[0] for c in ax.containers], "hatch")
        assert [label.get_text() for label in ax.get_xticklabels()] == list(CASES)
        assert "certain 75 percent, 90 percent of them true; dominant 0 percent, none" in alt

    def test_cases_over_a_setting(self, ax):
        few = pd.DataFrame({"case": CASES, "n": [2, 1, 1], "right": [1.0, 0.0, 1.0]})
        all_certain = pd.DataFrame({"case": [CASES[0]], "n": [4], "right": [0.5]})
        alt = plots.draw_case_shares({1: few, 9: all_certain}, ax, symbol="K", mark=1)
        np.testing.assert_allclose(
            [line.get_ydata() for line in ax.lines[:4]], [[50, 100], [25, 0], [25, 0], [75, 50]]
        )
        assert apart(ax.lines[:4], "linestyle", "marker", "color")
        assert "K = 9: certain 100, dominant 0, uncertain 0, likeliest is true 50" in alt

    def test_suspicion(self, ax):
        score = [0.1, 0.2, 0.3, 0.9, 1.0, np.nan]
        alt = plots.draw_suspicion(score, [0, 0, 1, 0, 1, -1], [0, 0, 1, 1, 0, 1], ax, title="margin", bins=4)
        assert "area under the ROC curve 1.00" in alt
        assert "right 0.20, wrong 0.95" in alt
        assert "margin" in ax.get_title()
        assert apart(ax.patches, "hatch")
        clean = plots.draw_suspicion([0.1, 0.2], [0, 1], [0, 1], other := plots.figure()[1])
        assert "ROC" not in clean + other.get_title()
        assert "wrong 0" not in clean


class TestDiffusion:
    def test_noised_copies_by_the_class_that_leads(self, ax):
        points = np.array([[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8], [1 / 3] * 3])
        alt = plots.draw_noised(points, 0, ["a", "b$", "c"], ax)
        first, second, third = (c.get_offsets() for c in ax.collections)
        assert (len(first), len(second)) == (3, 0)
        # In a triangle of side 1 the height over a side is the probability of the opposite corner.
        np.testing.assert_allclose(third, [[0.1 + 0.8 / 2, 0.8 * np.sqrt(3) / 2]])
        np.testing.assert_allclose(first[2], [0.5, np.sqrt(3) / 6])
        assert "a 75, b$ 0, c 25" in alt
        assert [text.get_text() for text in ax.texts] == ["a\n75 %", "b$\n0 %", "c\n25 %"]
        with pytest.raises(ValueError, match="label=3"):
            plots.draw_noised(points, 3, ["a", "b", "c"], ax)

    def test_schedule(self, ax):
        alt = plots.draw_schedule([1.0, 0.64, 0.5, 0.0], {"kept": [1, 0.9, 0.7, 0.2]}, ax, mark=1)
        label, noise, kept = ax.lines[:3]
        np.testing.assert_allclose(label.get_ydata(), [1, 0.8, np.sqrt(0.5), 0])
        np.testing.assert_allclose(noise.get_ydata() ** 2 + label.get_ydata() ** 2, 1)
        assert kept.get_ydata().tolist() == [1, 0.9, 0.7, 0.2]
        assert apart(ax.lines[:3], "linestyle")
        assert "equally strong at t = 2" in alt
        assert "label 0.80" in alt
        assert "kept 0.90" in alt

    def test_branches_side_by_side(self, ax):
        state = np.array([[0.9, 0.1], [0.2, 0.8]])
        alt = plots.draw_branches(state, ["a", "b"], ax, title="now")
        np.testing.assert_allclose([line.get_xdata() for line in ax.lines], 100 * state)
        assert apart(ax.lines, "marker")
        for c in (0, 1):  # all marks of a class stay in its row, and apart
            places = [line.get_ydata()[c] for line in ax.lines]
            assert len(set(places)) == 2
            assert all(abs(y - c) < 0.5 for y in places)
        assert "branch 1 at a, 90 percent; branch 2 at b, 80 percent" in alt

    def test_answers(self, ax):
        shown = ["right one", "right one", "other", "other"]
        table = {
            "shown": shown,
            "t": [0, 9] * 2,
            "right": [0.9, 0.7, 0.6, 0.7],
            "as shown": [0.9, 0.7, 0.3, 0.1],
        }
        alt = plots.draw_answers(pd.DataFrame(table), ax)
        np.testing.assert_allclose([line.get_ydata() for line in ax.lines], [[90, 70], [60, 70], [30, 10]])
        assert "shown other, as shown 30 percent at first and 10 at last" in alt

    def test_bars_are_stacked_to_the_whole(self, ax):
        chain = np.random.default_rng(0).dirichlet([1.0] * 9, 4)
        chain[-1] = np.eye(9)[3]
        plots.draw_chain_bars(chain, [f"class {c}" for c in range(9)], ax, mark=2)
        *bars, frame = ax.containers
        assert len(bars) == 6  # five with a name, and the rest
        np.testing.assert_allclose(sum(c.datavalues for c in bars), 100)
        for below, above in itertools.pairwise(bars):
            tops = [bar.get_y() + bar.get_height() for bar in below]
            np.testing.assert_allclose([bar.get_y() for bar in above], tops)
        by_name = {c.get_label(): c for c in bars}
        assert list(by_name) == [*(f"class {c}" for c in np.argsort(-chain.sum(0))[:5]), "others (4)"]
        np.testing.assert_allclose(by_name["class 3"].datavalues, 100 * chain[:, 3])
        assert apart([c.patches[0] for c in bars[:5]], "hatch")
        assert legend(ax) == list(by_name)[::-1]
        assert frame.patches[0].get_x() < 2 < frame.patches[0].get_x() + frame.patches[0].get_width()

    def test_words_say_when_it_settles(self, ax):
        chain = [[0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.1, 0.9], [0, 1]]
        alt = plots.draw_chain_bars(chain, ["a", "b"], ax)
        assert "over 4 reverse steps" in alt
        assert (
            "gives most to a, 60 percent; the end gives most to b, 100 percent, which leads from step 3"
            in alt
        )
        assert len(ax.containers) == 2  # nothing left for "others"
        assert "from the start on" in plots.draw_chain_bars(chain[3:], ["a", "b"], ax)
        ax.figure.canvas.draw()
        assert ax.get_xticklabels()[list(ax.get_xticks()).index(0)].get_text() == "start"

    def test_one_class_too_many_gets_its_name(self, ax):
        plots.draw_chain_bars(np.full((2, 6), 1 / 6), list("abcdef"), ax)
        assert len(ax.containers) == 6
        assert "others" not in " ".join(legend(ax))
        with pytest.raises(ValueError, match=r"top=9.*1 to 6"):
            plots.draw_chain_bars([[0.5, 0.5]], ["a", "b"], ax, top=9)

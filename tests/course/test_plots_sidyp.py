"""Figures of SiDyP: where they put things, and what they say in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgba

from nlkit import metrics
from nlkit.course import plots


@pytest.fixture
def ax():
    return plots.figure()[1]


def words_in(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


class TestReliability:
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
        assert before.get_linestyle() != after.get_linestyle()
        assert before.get_marker() != after.get_marker()
        assert "before: expected calibration error 15.0 percent" in alt
        assert "on average 75 percent sure and 60 percent right, so too sure" in alt
        assert "after: expected calibration error 0.0 percent; on average 50 percent sure" in alt
        assert alt.endswith("50 percent right.")
        assert words_in(ax) == ["perfectly calibrated", "before: ECE 15.0 %", "after: ECE 0.0 %"]

    def test_more_samples_larger_marks(self, ax):
        p = np.concatenate([np.tile([0.9, 0.1], (30, 1)), np.tile([0.6, 0.4], (3, 1))])
        plots.draw_reliability({"x": metrics.reliability(p, np.zeros(33, int))}, ax)
        small, large = ax.collections[0].get_sizes()
        assert large > 3 * small

    def test_too_modest(self, ax):
        table = metrics.reliability([[0.6, 0.4]] * 3, [0, 0, 0])
        assert "not sure enough" in plots.draw_reliability({"x": table}, ax)


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

    def test_shape_is_checked(self, ax):
        with pytest.raises(ValueError, match=r"\(3, 4\).*\(E, N, D\)"):
            plots.project_trajectories(np.zeros((3, 4)))
        with pytest.raises(ValueError, match="differ"):
            plots.draw_trajectories(np.zeros((3, 4, 2)), [0, 1], [False] * 4, ["a", "b"], ax)

    # Two believed texts of class a stay at (0, 0) and (0, 2); a suspect goes from 1 to 4 off their middle.
    points = np.array([[[0, 0], [0, 2], [1, 1], [5, 5]], [[0, 0], [0, 2], [4, 1], [6, 6]]], float)

    def test_paths_marks_and_words(self, ax):
        alt = plots.draw_trajectories(self.points, [0, 0, 0, -1], [False, False, True, False], ["a", "b"], ax)
        assert len(ax.lines) == 3 * 4  # path, start, end
        paths, starts, ends = ax.lines[::3], ax.lines[1::3], ax.lines[2::3]
        for i in range(4):
            np.testing.assert_array_equal(paths[i].get_xydata(), self.points[:, i])
            np.testing.assert_array_equal(starts[i].get_xydata(), self.points[:1, i])
            np.testing.assert_array_equal(ends[i].get_xydata(), self.points[1:, i])
        assert [line.get_linestyle() for line in paths] == ["-", "-", "--", "-"]
        assert [line.get_markerfacecolor() == "white" for line in ends] == [False, False, True, False]
        assert ends[0].get_marker() == ends[2].get_marker() != ends[3].get_marker()
        assert all(
            end.get_markersize() > start.get_markersize() for start, end in zip(starts, ends, strict=True)
        )
        assert "4 texts' sentence embeddings over 2 epochs" in alt
        assert "the 2 believed from 1.00 to 1.00; the 1 suspect from 1.00 to 4.00" in alt
        assert words_in(ax) == ["a", "no label", "believed", "suspect", "after the first epoch"]

    def test_nobody_labelled(self, ax):
        assert "None has a label" in plots.draw_trajectories(self.points, [-1] * 4, [False] * 4, ["a"], ax)

    def test_every_class_has_colour_and_mark_of_its_own(self, ax):
        points = np.zeros((2, 30, 2))
        plots.draw_trajectories(points, range(30), [False] * 30, [str(c) for c in range(30)], ax)
        assert len({(to_rgba(line.get_color()), line.get_marker()) for line in ax.lines[2::3]}) == 30


class TestTernary:
    def test_corners_middle_and_equal_sides(self):
        corners = plots.ternary(np.eye(3))
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
        np.testing.assert_allclose(sides, 1)
        np.testing.assert_allclose(plots.ternary([1 / 3] * 3), corners.mean(0))
        assert plots.ternary(np.full((4, 5, 3), 1 / 3)).shape == (4, 5, 2)

    @given(st.integers(0, 1000))
    def test_linear_inside_and_faithful(self, seed):
        p, q = np.random.default_rng(seed).dirichlet([1.0] * 3, 2)
        np.testing.assert_allclose(plots.ternary((p + q) / 2), (plots.ternary(p) + plots.ternary(q)) / 2)
        # The distance to the side opposite a corner is that class's probability, in heights.
        x, y = plots.ternary(p)
        assert y / (np.sqrt(3) / 2) == pytest.approx(p[2])
        assert x - y / np.sqrt(3) == pytest.approx(p[1])

    @pytest.mark.parametrize(
        ("p", "message"),
        [([0.5, 0.5], "three classes"), ([0.5, 0.2, 0.2], "sums to 0.9"), ([1.5, -0.5, 0], "down to -0.5")],
    )
    def test_bad_input_is_named(self, p, message):
        with pytest.raises(ValueError, match=message):
            plots.ternary(p)


class TestTernaryChain:
    chain = np.array([
        [[1 / 3, 1 / 3, 1 / 3], [0.2, 0.6, 0.2]],
        [[0.5, 0.4, 0.1], [0.2, 0.6, 0.2]],
        [[0.1, 0.1, 0.8], [0.0, 1.0, 0.0]],
    ])  # fmt: skip

    def test_paths_run_from_start_to_end(self, ax):
        alt = plots.draw_ternary_chain(self.chain, ["a", "b", "c"], ax)
        drawn = [line for line in ax.lines if line.get_marker() not in ("None", None)]
        path, start, end = drawn[:3]
        np.testing.assert_allclose(path.get_xydata(), plots.ternary(self.chain[:, 0]))
        np.testing.assert_allclose(start.get_xydata(), plots.ternary(self.chain[:1, 0]))
        np.testing.assert_allclose(end.get_xydata(), plots.ternary(self.chain[-1:, 0]))
        assert start.get_markerfacecolor() == "white"
        other = drawn[5]
        assert end.get_marker() != other.get_marker()
        assert end.get_color() != other.get_color()
        assert "2 texts over 2 steps on the triangle of a, b, c" in alt
        assert "0 at a, 1 at b, 1 at c" in alt
        assert "47 percent on average at the start and 90 at the end" in alt
        assert "1 of the texts had another likeliest class" in alt
        assert words_in(ax) == ["start", "ends at a: 0", "ends at b: 1", "ends at c: 1"]

    def test_corners_have_names_outside(self, ax):
        plots.draw_ternary_chain(self.chain, ["a$", "b$", "c"], ax)
        assert [text.get_text() for text in ax.texts] == ["a$", "b$", "c"]
        heights = [text.get_position()[1] for text in ax.texts]
        assert heights[0] < 0
        assert heights[2] > np.sqrt(3) / 2

    def test_shape_is_checked(self, ax):
        with pytest.raises(ValueError, match=r"\(3, 3\).*\(S, n, 3\)"):
            plots.draw_ternary_chain(self.chain[:, 0], ["a", "b", "c"], ax)


class TestChainBars:
    def test_bars_are_stacked_to_the_whole(self, ax):
        rng = np.random.default_rng(0)
        chain = rng.dirichlet([1.0] * 9, 4)
        chain[-1] = np.eye(9)[3]
        plots.draw_chain_bars(chain, [f"class {c}" for c in range(9)], ax)
        assert len(ax.containers) == 6  # five with a name, and the rest
        np.testing.assert_allclose(sum(c.datavalues for c in ax.containers), 100)
        for below, above in zip(ax.containers, ax.containers[1:], strict=False):
            np.testing.assert_allclose(
                [bar.get_y() for bar in above], [bar.get_y() + bar.get_height() for bar in below]
            )
        by_name = {c.get_label(): c for c in ax.containers}
        named = [f"class {c}" for c in np.argsort(-chain.sum(0))[:5]]
        assert list(by_name) == [*named, "others (4)"]
        np.testing.assert_allclose(by_name["class 3"].datavalues, 100 * chain[:, 3])
        assert len({c.patches[0].get_hatch() for c in ax.containers[:5]}) == 5
        assert words_in(ax) == list(by_name)[::-1]

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
        assert "others" not in " ".join(words_in(ax))

    def test_bad_input_is_named(self, ax):
        with pytest.raises(ValueError, match=r"top=9.*1 to 6"):
            plots.draw_chain_bars([[0.5, 0.5]], ["a", "b"], ax, top=9)
        with pytest.raises(ValueError, match=r"\(S, 3\)"):
            plots.draw_chain_bars([[0.5, 0.5]], ["a", "b", "c"], ax)


class TestCandidates:
    names = ("a", "b", "c", "d")
    neighbours = pd.DataFrame({
        "text": ["costs $5 or $6", "long " * 50, "x", "y", "z", "odd one"],
        "label": [1, 1, 0, 1, 1, 3],
        "distance": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    })  # fmt: skip

    def test_bars_and_their_voters(self, ax):
        alt = plots.draw_candidates([0.25, 0.75, 0, 0], self.neighbours, self.names, ax)
        # The heaviest on top; d was voted for and is no candidate; nobody spoke of c.
        assert [tick.get_text() for tick in ax.get_yticklabels()] == ["b", "a", "d"]
        assert [bar.get_width() for bar in ax.patches] == [75, 25, 0]
        assert len({bar.get_hatch() for bar in ax.patches}) == 3
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

    def test_texts_are_shortened_and_no_formulas(self, ax):
        plots.draw_candidates([0.25, 0.75, 0, 0], self.neighbours, self.names, ax, width=30)
        assert max(len(text.get_text()) for text in ax.texts) <= 36
        assert not any(text.get_parse_math() for text in ax.texts if "$" in text.get_text())

    def test_without_neighbours(self, ax):
        alt = plots.draw_candidates([1, 0, 0, 0], self.neighbours[:0], self.names, ax)
        assert alt.endswith("a 100 percent, 0 neighbours.")

    def test_texts_do_not_overlap(self):
        fig, ax = plots.figure(height=5)
        plots.draw_candidates([0.25, 0.75, 0, 0], self.neighbours, self.names, ax)
        fig.canvas.draw()
        boxes = [text.get_window_extent() for text in ax.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])

    def test_shape_is_checked(self, ax):
        with pytest.raises(ValueError, match=r"\(4,\), a weight a class"):
            plots.draw_candidates([1.0], self.neighbours, self.names, ax)

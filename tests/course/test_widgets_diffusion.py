"""Explorers of simplex diffusion: pure parts against plain loops, controls, words, failures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from nlkit.course import plots, widgets
from nlkit.course.widgets import diffusion as module
from nlkit.methods.sidyp import plain
from nlkit.methods.sidyp.diffusion import alpha_bar

S, M, n, C = 5, 2, 4, 6
EVIL = "<script>alert('x')</script>"
NAMES = ["earn", "acq", EVIL, "ship", "$trade$", "grain"]


@pytest.fixture
def chain():
    return np.random.default_rng(0).dirichlet(np.full(C, 0.4), (S, M, n))


@pytest.fixture
def chains(chain):
    return widgets.chain_explorer(chain, [0, 1, 2, -1], [f"{EVIL} {i} costs $5" for i in range(n)], NAMES)


@pytest.fixture
def noised():
    return widgets.diffusion_explorer(["a", EVIL, "c"], n_classes=8, T=40, step=10, label=1)


def test_controls_say_what_they_are_and_all_positions_draw(chains, noised):
    for made in (chains, noised):
        assert all(len(control.description) > 3 for control in made.controls.values())
        assert made.try_controls() > 8


class TestNoised:
    @pytest.mark.parametrize("step", [0, 7, 40])
    def test_equals_the_plain_one(self, step):
        view = widgets.compute_noised(2, step, T=40, scale=3.0, n=5, seed=1)
        noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
        level = plain.alpha_bar(40)[step]
        noised = plain.q_sample(plain.to_simplex(torch.tensor(2), 3, 3.0), level, noise, 3.0)
        np.testing.assert_allclose(view.points, noised.softmax(-1), atol=1e-4)
        assert view.level == pytest.approx(float(level), abs=1e-6)
        np.testing.assert_allclose(view.leads, np.bincount(view.points.argmax(1), minlength=3) / 5)

    def test_the_label_drowns(self):
        lead = [widgets.compute_noised(0, t, T=100).leads[0] for t in (0, 50, 100)]
        assert lead[0] == 1
        assert lead[0] > lead[1] > lead[2]

    def test_the_scale_moves_no_copy_to_another_class(self):
        a, b = (widgets.compute_noised(1, 60, T=100, scale=k) for k in (1.0, 8.0))
        assert np.array_equal(a.leads, b.leads)
        assert b.points.max(1).mean() > a.points.max(1).mean()

    @pytest.mark.parametrize(("label", "step", "message"), [(3, 0, "label=3"), (0, 501, "step=501")])
    def test_bad_settings(self, label, step, message):
        with pytest.raises(ValueError, match=message):
            widgets.compute_noised(label, step)

    def test_sliders_redraw(self, noised):
        before, numbers = noised.picture.value, noised.table.value
        noised.controls["step"].value = 40
        assert "At t = 40" in noised.picture.value
        assert noised.table.value != numbers
        assert f"{alpha_bar(40)[40]:.3f}" in noised.table.value
        noised.controls["step"].value = 10
        assert noised.picture.value == before
        noised.controls["label"].value = 2
        assert "copies of the label c" in noised.picture.value

    def test_names_are_escaped_and_the_copy_tells_the_strip(self, noised):
        assert "<script" not in noised.picture.value + noised.table.value
        fig, alt = noised.static
        assert len(fig.axes) == 8
        assert "t = 0 100 percent" in alt

    def test_bad_settings_of_the_explorer(self):
        with pytest.raises(ValueError, match="three names"):
            widgets.diffusion_explorer(["a", "b"])
        with pytest.raises(ValueError, match=r"scale=0\.5"):
            widgets.diffusion_explorer(["a", "b", "c"], scale=0.5)


class TestChain:
    def test_view(self, chain):
        view = widgets.compute_chain(chain, 3, 1, 2)
        assert np.array_equal(view.states, chain[:, 1, 3])
        assert np.array_equal(view.here, chain[2, :, 3])

    @pytest.mark.parametrize(
        ("place", "message"), [((n, 0, 0), "text=4"), ((0, M, 0), "branch=2"), ((0, 0, S), "step=5")]
    )
    def test_places_outside(self, chain, place, message):
        with pytest.raises(ValueError, match=message):
            widgets.compute_chain(chain, *place)

    def test_shapes_are_checked(self, chain):
        with pytest.raises(ValueError, match=r"\(S, M, n, C\)"):
            widgets.compute_chain(chain[0], 0, 0, 0)
        with pytest.raises(ValueError, match=r"texts \(1\)"):
            widgets.chain_explorer(chain, [0] * n, ["one"], NAMES)

    def test_controls_choose_what_is_drawn(self, chains, chain):
        chains.controls["text"].value = 3
        chains.controls["branch"].value = 1
        chains.controls["step"].value = 0
        first = chain[0, 1, 3]
        assert f"{100 * first.max():.0f} %" in chains.table.value
        assert "at the start" in chains.picture.value
        assert "none" in chains.table.value  # its observed label is missing
        chains.controls["step"].value = S - 1
        assert f"after step {S - 1}" in chains.table.value

    def test_texts_and_names_are_escaped(self, chains):
        for i in range(n):
            chains.controls["text"].value = i
            assert "<script" not in chains.picture.value + chains.table.value
            assert "&lt;script&gt;" in chains.table.value

    def test_true_labels_are_shown_where_given(self, chain, chains):
        assert "true label" not in chains.table.value
        made = widgets.chain_explorer(chain, [0] * n, ["t"] * n, NAMES, [5, -1, 0, 0])
        assert "<td" in made.table.value
        assert "grain" in made.table.value
        made.controls["text"].value = 1
        assert "not known" in made.table.value

    def test_the_static_copy_shows_all_branches_along_the_chain(self, chains):
        fig, alt = chains.static
        assert len(fig.axes) == 1 + S
        assert alt.count("branch 2 at") == S


def test_a_later_failure_is_shown_and_raised(chains, monkeypatch):
    def broken(*arguments, **settings):
        raise RuntimeError("<no> chain")

    with monkeypatch.context() as patch:
        patch.setattr(module.plots, "draw_branches", broken)
        with pytest.raises(RuntimeError, match="<no> chain"):
            chains.controls["step"].value = 1
        assert "&lt;no&gt; chain" in chains.error.value
    chains.controls["step"].value = 3
    assert chains.error.value == ""


class TestPlots:
    def test_noised_copies_by_the_class_that_leads(self):
        _, ax = plots.figure()
        points = np.array([[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8], [0.5, 0.3, 0.2]])
        alt = plots.draw_noised(points, 0, ["a", "b", "c"], ax)
        assert [len(c.get_offsets()) for c in ax.collections] == [3, 0, 1]
        np.testing.assert_allclose(ax.collections[2].get_offsets(), plots.ternary(points[2:3]))
        assert "a 75, b 0, c 25" in alt
        assert [text.get_text() for text in ax.texts] == ["a\n75 %", "b\n0 %", "c\n25 %"]
        with pytest.raises(ValueError, match="label=3"):
            plots.draw_noised(points, 3, ["a", "b", "c"], ax)

    def test_schedule(self):
        _, ax = plots.figure()
        level = [1.0, 0.64, 0.5, 0.0]
        alt = plots.draw_schedule(level, {"kept": [1, 0.9, 0.7, 0.2]}, ax, mark=1)
        label, noise, kept = ax.lines[:3]
        np.testing.assert_allclose(label.get_ydata(), [1, 0.8, np.sqrt(0.5), 0])
        np.testing.assert_allclose(noise.get_ydata() ** 2 + label.get_ydata() ** 2, 1)
        assert kept.get_ydata().tolist() == [1, 0.9, 0.7, 0.2]
        assert len({line.get_linestyle() for line in ax.lines[:3]}) == 3
        assert "equally strong at t = 2" in alt
        assert "label 0.80" in alt
        assert "kept 0.90" in alt

    def test_branches_side_by_side(self):
        _, ax = plots.figure()
        state = np.array([[0.9, 0.1], [0.2, 0.8]])
        alt = plots.draw_branches(state, ["a", "b"], ax, title="now")
        np.testing.assert_allclose([line.get_xdata() for line in ax.lines], 100 * state)
        assert ax.lines[0].get_marker() != ax.lines[1].get_marker()
        for c in (0, 1):  # all marks of a class stay in its row, and apart
            rows = [line.get_ydata()[c] for line in ax.lines]
            assert len(set(rows)) == 2
            assert all(abs(y - c) < 0.5 for y in rows)
        assert "branch 1 at a, 90 percent; branch 2 at b, 80 percent" in alt
        with pytest.raises(ValueError, match=r"\(M, 3\)"):
            plots.draw_branches(state, ["a", "b", "c"], ax)

    def test_answers(self):
        _, ax = plots.figure()
        rows = [
            ("right one", 0, 0.9, 0.9),
            ("right one", 9, 0.7, 0.7),
            ("other", 0, 0.6, 0.3),
            ("other", 9, 0.7, 0.1),
        ]
        alt = plots.draw_answers(pd.DataFrame(rows, columns=["shown", "t", "right", "as shown"]), ax)
        np.testing.assert_allclose([line.get_ydata() for line in ax.lines], [[90, 70], [60, 70], [30, 10]])
        assert "shown other, as shown 30 percent at first and 10 at last" in alt

    def test_a_frame_marks_a_bar(self):
        _, ax = plots.figure()
        plots.draw_chain_bars([[0.5, 0.5]] * 4, ["a", "b"], ax, mark=2)
        frame = ax.containers[-1].patches[0]
        assert frame.get_x() < 2 < frame.get_x() + frame.get_width()
        assert frame.get_height() == 100

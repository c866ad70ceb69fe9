"""The explorer of the neighbours' prior: pure part against the plain one, controls, words, failures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from nlkit.course import plots, widgets
from nlkit.course.widgets import prior as module
from nlkit.methods.sidyp import plain
from nlkit.methods.sidyp.prior import CASES, nearest_trusted, neighbour_prior
from tests.methods.sidyp.test_detection import C, clusters

N, K = 60, 12
EVIL = "<script>alert('x')</script>"
NAMES = ["earn", EVIL, "ship"]


@pytest.fixture(scope="module")
def data():
    """Neighbours, distances, observed labels, suspects and true labels of a small set."""
    x, y, noisy = clusters(N)
    suspect = (noisy != y) & (np.random.default_rng(0).random(N) < 0.7)
    return *nearest_trusted(x, noisy, suspect, k=K), noisy, suspect, y, x


@pytest.fixture
def explorer(data):
    return widgets.prior_explorer(
        *data[:5], [f"{EVIL} {i} costs $5" for i in range(N)], NAMES, shown=[3, 7], k=5
    )


class TestCompute:
    @pytest.mark.parametrize(("k", "certain", "dominant"), [(1, 0.9, 0.8), (4, 0.7, 0.6), (K, 1.0, 0.95)])
    def test_equals_the_plain_one(self, data, k, certain, dominant):
        number, distance, noisy, suspect, y, x = data
        view = widgets.compute_prior(
            number, distance, noisy, suspect, y, C, k=k, gamma=certain, delta=dominant
        )
        x, label, suspect, y = (torch.from_numpy(part) for part in (x, noisy, suspect, y))
        weight = plain.neighbour_prior(x, label.masked_fill(suspect, -1), C, k, certain, dominant)
        np.testing.assert_allclose(view.prior.weight, weight, atol=1e-6)
        assert (view.prior.case == "certain").tolist() == (weight == 1).any(-1).tolist()
        hits = (weight.argmax(-1) == y).numpy()
        assert view.right == pytest.approx(np.mean(hits))
        assert view.report["n"].sum() == N

    def test_the_same_as_the_methods_own(self, data):
        number, distance, noisy, suspect, y, x = data
        view = widgets.compute_prior(number, distance, noisy, suspect, y, C, k=5)
        np.testing.assert_allclose(view.prior.weight, neighbour_prior(x, noisy, suspect, C, k=5).weight)

    @pytest.mark.parametrize("k", [0, K + 1])
    def test_no_more_neighbours_than_recorded(self, data, k):
        with pytest.raises(ValueError, match=f"k={k}"):
            widgets.compute_prior(*data[:5], C, k=k)

    def test_without_true_labels(self, data):
        view = widgets.compute_prior(*data[:4], np.full(N, -1), C, k=3)
        assert np.isnan(view.right)
        assert len(view.report) == 0


class TestExplorer:
    def test_all_positions_draw(self, explorer):
        assert all(len(control.description) > 3 for control in explorer.controls.values())
        assert explorer.try_controls() >= 10

    def test_sliders_redraw_and_come_back(self, explorer):
        before, rows = explorer.picture.value, explorer.table.value
        explorer.controls["k"].value = 1
        assert "certain 100 percent" in explorer.picture.value
        assert explorer.table.value != rows
        explorer.controls["k"].value = 5
        assert explorer.picture.value == before

    def test_the_text_is_the_one_chosen(self, explorer):
        for i in (3, 7):
            explorer.controls["text"].value = i
            assert f">Text {i}</caption>" in explorer.table.value

    def test_texts_and_names_are_escaped(self, explorer):
        assert "<script" not in explorer.picture.value + explorer.table.value
        assert "&lt;script&gt;" in explorer.table.value

    def test_the_static_copy_tells_the_strips(self, explorer):
        fig, alt = explorer.static
        assert len(fig.axes) == 1 + 4 + 4 + 4
        for words in ("K = 1:", f"K = {K}:", "γ = 0.6:", "δ = 0.95:"):
            assert words in alt

    @pytest.mark.parametrize(("setting", "value"), [("gamma", 0.3), ("delta", 1.2), ("k", 40), ("shown", [])])
    def test_bad_settings(self, data, setting, value):
        with pytest.raises(ValueError, match=setting):
            widgets.prior_explorer(*data[:5], ["t"] * N, NAMES, **{setting: value})

    def test_a_later_failure_is_shown_and_raised(self, explorer, monkeypatch):
        def broken(*arguments, **settings):
            raise RuntimeError("<no> vote")

        with monkeypatch.context() as patch:
            patch.setattr(module, "vote", broken)
            with pytest.raises(RuntimeError, match="<no> vote"):
                explorer.controls["k"].value = 2
            assert "&lt;no&gt; vote" in explorer.error.value
        explorer.controls["k"].value = 3
        assert explorer.error.value == ""


class TestPlots:
    def test_cases_are_stacked_to_their_share(self):
        _, ax = plots.figure()
        report = pd.DataFrame({"case": ["certain", "uncertain"], "n": [30, 10], "right": [0.9, 0.2]})
        alt = plots.draw_cases(report, ax)
        right, wrong = (c.datavalues for c in ax.containers)
        np.testing.assert_allclose(right, [67.5, 0, 5])
        np.testing.assert_allclose(right + wrong, [75, 0, 25])
        assert ax.containers[0].patches[0].get_hatch() != ax.containers[1].patches[0].get_hatch()
        assert [label.get_text() for label in ax.get_xticklabels()] == list(CASES)
        assert "certain 75 percent, 90 percent of them true; dominant 0 percent, none" in alt

    def test_suspicion(self):
        _, ax = plots.figure()
        score = [0.1, 0.2, 0.3, 0.9, 1.0, np.nan]
        alt = plots.draw_suspicion(score, [0, 0, 1, 0, 1, -1], [0, 0, 1, 1, 0, 1], ax, title="margin", bins=4)
        assert "area under the ROC curve 1.00" in alt
        assert "right 0.20, wrong 0.95" in alt
        assert "margin" in ax.get_title()
        right, wrong = ax.patches
        assert right.get_hatch() != wrong.get_hatch()

    def test_suspicion_where_all_labels_are_right(self):
        _, ax = plots.figure()
        alt = plots.draw_suspicion([0.1, 0.2], [0, 1], [0, 1], ax)
        assert "ROC" not in alt + ax.get_title()
        assert "wrong 0" not in alt

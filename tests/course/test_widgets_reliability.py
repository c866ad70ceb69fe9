"""The explorer of calibration, and figures of recalls and confidences."""

from __future__ import annotations

import numpy as np
import pytest

from nlkit import metrics
from nlkit.course import plots, widgets
from nlkit.course.widgets import reliability as module

N, C = 120, 4
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    label = rng.integers(0, C, N)
    logits = rng.normal(size=(N, C)) + 1.5 * np.eye(C)[label]

    def softmax(z):
        p = np.exp(z)
        return p / p.sum(1, keepdims=True)

    return {"modest": softmax(logits), EVIL: softmax(5 * logits)}, label


@pytest.fixture
def explorer(data):
    return widgets.reliability_explorer(*data, beside=EVIL)


def naive_ece(p, label, bins):
    """Bins of equal width that hold their upper bound, one prediction at a time."""
    inside = [[] for _ in range(bins)]
    for row, y in zip(p.tolist(), label.tolist(), strict=True):
        sure = max(row)
        number = next(b for b in range(bins) if b == bins - 1 or sure <= (b + 1) / bins)
        inside[number].append((sure, row.index(sure) == y))
    gaps = [abs(sum(s for s, _ in b) - sum(hit for _, hit in b)) for b in inside]
    return sum(gaps) / len(label)


class TestCompute:
    @pytest.mark.parametrize("bins", [1, 7, 30])
    def test_equals_its_twin(self, data, bins):
        p, label = data
        view = widgets.compute_reliability(p["modest"], label, bins=bins)
        assert view.ece == pytest.approx(naive_ece(p["modest"], label, bins))
        assert view.table["n"].sum() == N
        assert view.confidence == pytest.approx(p["modest"].max(1).mean())
        assert view.accuracy == pytest.approx((p["modest"].argmax(1) == label).mean())

    def test_adaptive_bins_hold_equally_many(self, data):
        view = widgets.compute_reliability(data[0]["modest"], data[1], bins=6, adaptive=True)
        assert view.table["n"].tolist() == [N // 6] * 6
        assert view.ece == pytest.approx(metrics.ece(data[0]["modest"], data[1], bins=6, adaptive=True))

    def test_sharper_is_too_sure(self, data):
        modest, sharp = (widgets.compute_reliability(p, data[1]) for p in data[0].values())
        assert sharp.accuracy == modest.accuracy
        assert sharp.confidence > modest.confidence
        assert sharp.ece > modest.ece


class TestExplorer:
    def test_all_positions_draw(self, explorer):
        assert all(len(control.description) > 3 for control in explorer.controls.values())
        assert explorer.try_controls() >= 11

    def test_controls_redraw_and_come_back(self, explorer):
        before, rows = explorer.picture.value, explorer.table.value
        explorer.controls["bins"].value = 3
        assert explorer.picture.value != before
        assert explorer.table.value != rows
        explorer.controls["bins"].value = 15
        assert explorer.picture.value == before
        explorer.controls["adaptive"].value = True
        assert explorer.picture.value != before

    def test_the_table_holds_the_methods_chosen(self, explorer):
        assert explorer.table.value.count("<tr>") == 3
        explorer.controls["beside"].value = module.NOBODY
        assert explorer.table.value.count("<tr>") == 2
        explorer.controls["beside"].value = "modest"  # beside itself: once
        assert explorer.table.value.count("<tr>") == 2
        explorer.controls["method"].value = EVIL
        assert explorer.table.value.count("<tr>") == 3

    def test_names_are_escaped(self, explorer):
        assert "<script" not in explorer.picture.value + explorer.table.value
        assert "&lt;script&gt;" in explorer.table.value

    def test_the_static_copy_tells_the_strip(self, explorer):
        fig, alt = explorer.static
        assert len(fig.axes) == 5
        for words in ("5 bins of equal width", "30 bins with equally many texts", "modest with other bins"):
            assert words in alt

    @pytest.mark.parametrize(
        ("setting", "value"), [("method", "loud"), ("beside", "loud"), ("bins", 0), ("bins", 99)]
    )
    def test_bad_settings(self, data, setting, value):
        with pytest.raises(ValueError, match=setting):
            widgets.reliability_explorer(*data, **{setting: value})
        with pytest.raises(ValueError, match="at least one method"):
            widgets.reliability_explorer({}, data[1])

    def test_a_later_failure_is_shown_and_raised(self, explorer, monkeypatch):
        def broken(*arguments, **settings):
            raise RuntimeError("<no> bins")

        with monkeypatch.context() as patch:
            patch.setattr(module, "reliability", broken)
            with pytest.raises(RuntimeError, match="<no> bins"):
                explorer.controls["bins"].value = 4
            assert "&lt;no&gt; bins" in explorer.error.value
        explorer.controls["bins"].value = 5
        assert explorer.error.value == ""


class TestPlots:
    def test_confidences_sum_to_all(self, data):
        _, ax = plots.figure()
        tables = {name: metrics.reliability(p, data[1], bins=8) for name, p in data[0].items()}
        alt = plots.draw_confidences(tables, ax)
        for patch, table in zip(ax.patches, tables.values(), strict=True):
            values = patch.get_data().values
            assert values.sum() == pytest.approx(100)
            np.testing.assert_allclose(values, 100 * table["n"] / N)
        assert ax.patches[0].get_hatch() != ax.patches[1].get_hatch()
        assert "modest most" in alt

    def test_reliability_without_its_legend(self, data):
        _, ax = plots.figure()
        plots.draw_reliability({"x": metrics.reliability(data[0]["modest"], data[1])}, ax, legend=False)
        assert ax.get_legend() is None
        assert ax.get_xlabel() == ""

    def test_recalls(self):
        _, ax = plots.figure()
        alt = plots.draw_recalls({"one": [1.0, 0.25], "two": [0.5, np.nan]}, ["a", "b$"], ax)
        marks = [line for line in ax.lines if line.get_marker() not in ("None", None)]
        np.testing.assert_allclose(marks[0].get_xdata(), [100, 25])
        assert marks[0].get_marker() != marks[1].get_marker()
        assert "one: a 100, b$ 25; two: a 50" in alt
        with pytest.raises(ValueError, match="with 2 classes"):
            plots.draw_recalls({"one": [1.0]}, ["a", "b"], ax)

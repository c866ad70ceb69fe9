"""The explorer of the methods' results over data sets and kinds of noise."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from nlkit.course import plots
from nlkit.course.widgets.comparison import MEASURES, compare_explorer, compute_comparison
from nlkit.study.comparing import BEST, LAST

EVIL = "<script>alert('x')</script>"
METHODS = ("CE", "NoiseAL", EVIL)


@pytest.fixture
def grid():
    rng = np.random.default_rng(0)
    where = product(["r8", "20ng"], ["symmetric", "asymmetric"], [0.2, 0.4], METHODS, [0, 1], [LAST, BEST])
    columns = ["dataset", "noise", "noise_rate", "method", "seed", "selected"]
    table = pd.DataFrame(list(where), columns=columns)
    return table.assign(
        noise_rate=table["noise_rate"].astype(np.float32), **{m: rng.random(len(table)) for m in MEASURES}
    )


class TestCompute:
    @pytest.mark.parametrize("measure", MEASURES)
    def test_summary_as_counted_by_hand(self, grid, measure):
        view = compute_comparison(grid, "20ng", "asymmetric", 0.4, measure, BEST)
        wanted = {}
        for row in grid.to_dict("records"):
            where = (row["dataset"], row["noise"], round(row["noise_rate"], 3), row["selected"])
            if where == ("20ng", "asymmetric", 0.4, BEST):
                wanted.setdefault(row["method"], []).append(row[measure])
        means = {name: np.mean(values) for name, values in wanted.items()}
        order = sorted(means, key=means.get, reverse=measure != "ece")
        assert view.summary["method"].tolist() == order
        np.testing.assert_allclose(view.summary["mean"], [means[name] for name in order])
        np.testing.assert_allclose(view.summary["sd"], [np.std(wanted[name], ddof=1) for name in order])
        assert view.summary["behind"].iloc[0] == 0
        assert (view.summary["behind"] >= 0).all()
        assert list(dict.fromkeys(view.runs["method"])) == order
        assert len(view.runs) == 6

    def test_one_seed_has_no_spread(self, grid):
        view = compute_comparison(grid[grid["seed"] == 0], "r8", "symmetric", 0.2)
        assert (view.summary["sd"] == 0).all()

    @pytest.mark.parametrize(
        ("where", "message"),
        [(("r9", "symmetric", 0.2), "setting="), (("r8", "symmetric", 0.3), "setting="),
         (("r8", "symmetric", 0.2, "speed"), "measure='speed' is not allowed: one of accuracy")],
    )  # fmt: skip
    def test_what_is_not_there_is_named(self, grid, where, message):
        with pytest.raises(ValueError, match=message):
            compute_comparison(grid, *where)


class TestExplorer:
    @pytest.fixture
    def explorer(self, grid):
        return compare_explorer(grid, noise_rate=0.4, marked=["NoiseAL"])

    def test_moves(self, explorer):
        assert "r8, symmetric noise 0.4, last epoch" in explorer.picture.value
        before = explorer.table.value
        explorer.controls["dataset"].value = "20ng"
        explorer.controls["measure"].value = "ece"
        explorer.controls["selected"].value = BEST
        assert "20ng, symmetric noise 0.4, best by noisy validation" in explorer.picture.value
        assert "expected calibration error" in explorer.table.value
        assert explorer.table.value != before
        assert explorer.try_controls() == 5 + 2 + 2 + 2 + 3 + 2

    def test_every_control_says_what_it_is(self, explorer):
        assert all(len(control.description) > 3 for control in explorer.controls.values())

    def test_names_are_escaped(self, explorer):
        assert "<script" not in explorer.table.value + explorer.picture.value
        assert "&lt;script&gt;" in explorer.table.value

    def test_a_hole_in_the_grid_is_found_at_once(self, grid):
        hole = (grid["dataset"] == "20ng") & (grid["noise"] == "asymmetric") & (grid["noise_rate"] > 0.3)
        with pytest.raises(ValueError, match=r"setting=.*'20ng', 'asymmetric', 0.4"):
            compare_explorer(grid[~hole])

    def test_a_start_that_is_not_there(self, grid):
        with pytest.raises(ValueError, match=r"setting=.*0.3"):
            compare_explorer(grid, noise_rate=0.3)

    def test_static_copy_tells_every_setting(self, explorer):
        fig, alt = explorer.static
        assert len(fig.axes) == 1 + 8
        for setting in ("r8, symmetric 0.2:", "20ng, asymmetric 0.4:"):
            assert setting in alt


class TestPlots:
    def test_spread_shows_mean_and_every_run(self):
        _, ax = plots.figure()
        runs = pd.DataFrame({"method": ["A", "A", "B"], "accuracy": [0.5, 0.7, 0.9]})
        said = plots.draw_spread(runs, ax, marked=["B"], low=0.4)
        assert "A 60.0 (50.0 to 70.0); B 90.0" in said
        assert "the axis begins at 40" in ax.get_xlabel()
        assert [bar.get_x() + bar.get_width() for bar in ax.patches] == pytest.approx([60, 90])
        assert ax.patches[0].get_hatch() != ax.patches[1].get_hatch()
        assert [len(line.get_xdata()) for line in ax.lines] == [2, 1]

    def test_differences_tell_where_zero_is_within(self):
        _, ax = plots.figure()
        table = pd.DataFrame({
            "method": ["A", "B"], "difference": [0.05, -0.01], "difference_low": [0.02, -0.03],
            "difference_high": [0.08, 0.01],
        })  # fmt: skip
        said = plots.draw_differences(table, ax, against="CE")
        assert "A +5.0 (+2.0 to +8.0); B -1.0 (-3.0 to +1.0, zero is within)" in said

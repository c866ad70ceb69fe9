"""The dynamics player, the sample explorer and the threshold explorer's warm-up."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from nlkit.course import plots, widgets
from nlkit.study import cleaning
from tests.reference import dynamics as naive

E, N, C = 5, 60, 3
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def dynamics():
    rng = np.random.default_rng(0)
    label = rng.integers(0, C, N)
    noisy = np.where(rng.random(N) < 0.3, (label + 1) % C, label)
    steps = np.arange(1, E + 1)[:, None, None]

    def model(truth, heart):
        """Learn the true class early and the observed one by heart, later."""
        logits = rng.normal(size=(E, N, C)) + truth * np.eye(C)[label] + heart * steps * np.eye(C)[noisy]
        p = np.exp(logits)
        return (p / p.sum(-1, keepdims=True)).astype(np.float32)

    return model(2.0, 0.2), model(1.0, 0.8), noisy, label


class TestMoment:
    @pytest.mark.parametrize("measure", ["trust", "loss"])
    def test_equals_the_naive_one(self, dynamics, measure):
        strong, weak, noisy, label = dynamics
        seen, truth = np.where(np.arange(N) % 10 == 0, -1, noisy), np.where(np.arange(N) % 9 == 0, -1, label)
        view = widgets.compute_moment(strong, weak, seen, truth, 3, measure)
        known = (seen >= 0) & (truth >= 0)
        for name, model in (("strong", strong), ("weak", weak)):
            losses = naive.label_losses(model, seen, cleaning.SMALLEST)[2]
            values = losses if measure == "loss" else [np.exp(-loss) for loss in losses]
            for found, of in zip(
                view.shares[name], (known & (seen == truth), known & (seen != truth)), strict=True
            ):
                np.testing.assert_allclose(found, naive.shares(values, of, view.edges))
            auc = naive.area_under_roc(np.array(losses)[known], (seen != truth)[known])
            assert view.table.set_index("model").loc[name, "auc"] == pytest.approx(auc)

    def test_table_has_the_fitted_shares(self, dynamics):
        strong, weak, noisy, label = dynamics
        view = widgets.compute_moment(strong, weak, noisy, label, E)
        for row, model in zip(view.table.to_dict("records"), (strong, weak), strict=True):
            wanted = plots.fitted_shares(model, noisy, label).iloc[-1]
            assert {key: row[key] for key in ("clean", "mislabelled", "corrected")} == pytest.approx(
                wanted.drop("epoch").to_dict()
            )

    def test_without_wrong_labels(self, dynamics):
        strong, weak, _, label = dynamics
        view = widgets.compute_moment(strong, weak, label, label, 1)
        assert not view.shares["weak"][1].any()
        assert "–" in widgets.dynamics_explorer(strong, weak, label, label).table.value

    @pytest.mark.parametrize(("change", "field"), [({"epoch": 0}, "epoch"), ({"epoch": E + 1}, "epoch"),
                                                   ({"measure": "x"}, "measure")])  # fmt: skip
    def test_bad_settings(self, dynamics, change, field):
        with pytest.raises(ValueError, match=field):
            widgets.compute_moment(*dynamics, **({"epoch": 1} | change))


class TestPlayer:
    def test_controls_redraw(self, dynamics):
        made = widgets.dynamics_explorer(*dynamics, epoch=2)
        assert "strong model after epoch 2" in made.picture.value
        made.controls["epoch"].value = E
        assert f"weak model after epoch {E}" in made.picture.value
        assert f"After epoch {E}" in made.table.value
        before = made.picture.value
        made.controls["measure"].value = "loss"
        assert made.picture.value != before
        assert made.try_controls() == 3 + 3

    def test_play_moves_the_slider_in_the_browser(self, dynamics):
        made = widgets.dynamics_explorer(*dynamics, epoch=2)
        play = made.box.children[0]
        assert (play.min, play.max, play.value) == (1, E, 2)
        assert "play" in play.description

    def test_static_copy_tells_the_strip(self, dynamics):
        fig, alt = widgets.dynamics_explorer(*dynamics).static
        assert len(fig.axes) == 2 + 2 * 4
        assert "Epoch 1:" in alt
        assert f"Epoch {E}:" in alt
        assert "AUC of the loss" in alt

    def test_bad_shapes(self, dynamics):
        strong, weak, noisy, label = dynamics
        with pytest.raises(ValueError, match="one shape"):
            widgets.dynamics_explorer(strong, weak[:2], noisy, label)
        with pytest.raises(ValueError, match="E at least 1"):
            widgets.dynamics_explorer(strong[:0], weak[:0], noisy, label)


class TestSamples:
    def make(self, dynamics, samples, names=("a", EVIL, "c")):
        texts = [f"{EVIL} number {i}" for i in range(N)]
        return widgets.sample_explorer(*dynamics, texts, names, samples=samples)

    def test_choosing_a_sample(self, dynamics):
        _, weak, noisy, label = dynamics
        wrong, right = int(np.flatnonzero(noisy != label)[0]), int(np.flatnonzero(noisy == label)[0])
        made = self.make(dynamics, [wrong, right])
        assert f"Sample {wrong}" in made.table.value
        assert "true label" in made.picture.value
        made.controls["sample"].value = right
        assert f"number {right}" in made.table.value
        assert f"to {weak[-1, right, noisy[right]]:.2f}" in made.picture.value
        assert made.try_controls() == 3
        assert "<script" not in made.table.value + made.picture.value
        assert len(made.static[0].axes) == 2

    @pytest.mark.parametrize("samples", [[], [N], [-1]])
    def test_bad_samples(self, dynamics, samples):
        with pytest.raises(ValueError, match="samples"):
            self.make(dynamics, samples)


class TestThresholdExplorer:
    def test_the_epoch_is_the_warmup_where_nothing_else_follows(self, dynamics):
        made = widgets.threshold_explorer(*dynamics, warmup=True)
        assert made.controls["epoch"].description == "warm-up epochs W"
        assert widgets.threshold_explorer(*dynamics).controls["epoch"].description == "epoch"

    def test_examples_come_with_their_true_label(self, dynamics):
        texts = [f"text {i}" for i in range(N)]
        made = widgets.threshold_explorer(*dynamics, texts, label_names=["x0", "x1", "x2"], examples=3)
        _, samples = made.table.value.split("</table>", 1)
        assert "Up to 3 samples of each set" in samples
        assert "true label" in samples
        view = widgets.compute_partition(
            widgets.compute_partitions(*dynamics[:3], 0.9, 0.3), E, *dynamics[2:]
        )
        assert samples.count("<tr>") == 1 + sum(min(3, size) for size in view.sizes.values())
        i = int(np.flatnonzero(view.partition["set"] == "R")[0])
        row = f"<td>text {i}</td><td>x{dynamics[2][i]}</td><td>x{dynamics[3][i]}</td>"
        assert row in re.sub(r' style="[^"]*"', "", samples)


class TestPlots:
    @pytest.fixture
    def ax(self):
        return plots.figure()[1]

    def test_histogram_bars_are_the_shares(self, ax):
        alt = plots.draw_label_histogram([0, 0.5, 1], [0.25, 0.75], [1, 0], ax, title="weak")
        right, wrong = ax.collections
        assert [path.vertices[:, 1].max() for path in right.get_paths()] == [25, 75]
        assert [path.vertices[:, 1].max() for path in wrong.get_paths()] == [100, 0]
        assert right.get_hatch() != wrong.get_hatch()
        assert alt.startswith(
            "weak: right labels mostly between 0.5 and 1.0 (75 percent); wrong labels mostly"
        )
        assert "no wrong labels" in plots.draw_label_histogram([0, 1], [1], [0], plots.figure()[1])

    def test_separation(self, ax):
        alt = plots.draw_separation({"strong": [0.5, 0.9, 0.7], "weak": [np.nan] * 3}, ax)
        assert "strong: highest 0.90 at epoch 2, 0.70 at the end; weak: unknown" in alt

    def test_finders(self, ax, dynamics):
        table = cleaning.compare_finders(*dynamics)
        alt = plots.draw_finders(table, "recall", ax, names={"both": "two", "weak": "one"}, mark=2)
        assert alt.startswith("Recall of those kept")
        line = ax.lines[0]
        np.testing.assert_allclose(line.get_ydata(), 100 * table[table["finder"] == "both"]["recall"])
        assert "at epoch 2" in alt
        assert len({entry.get_linestyle() for entry in ax.lines[:2]}) == 2

    def test_threshold_path(self, ax):
        path = pd.DataFrame(
            {"epoch": [1, 2], "set": ["H", "R"], "p_s": [0.2, 0.8], "tau_s": [0.3, 0.5], "p_w": [0.1, 0.7],
             "tau_w": [0.3, 0.4]}
        )  # fmt: skip
        alt = plots.draw_threshold_path(path, ax, title="one")
        assert [text.get_text() for text in ax.texts] == ["H", "R"]
        assert "epoch by epoch: H R" in alt
        assert "0.80 against a threshold of 0.50, the weak one 0.70 against 0.40" in alt

    def test_fitted_legend_can_be_left_out(self, ax, dynamics):
        shares = plots.fitted_shares(dynamics[0], *dynamics[2:])
        plots.draw_fitted(shares, ax, legend=False)
        assert ax.get_legend() is None

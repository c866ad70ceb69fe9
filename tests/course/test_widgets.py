"""Explorers: pure parts, controls driven by value, failures that are seen, bounded work."""

from __future__ import annotations

import IPython.display
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from nlkit.course import plots, widgets
from nlkit.course.widgets import partition
from nlkit.methods.noiseal.partition import replay
from nlkit.study import recorded

E, N, C = 4, 60, 3
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def dynamics():
    rng = np.random.default_rng(0)
    label = rng.integers(0, C, N)
    noisy = np.where(rng.random(N) < 0.3, (label + 1) % C, label)

    def model(sharpness):
        logits = (
            rng.normal(size=(E, N, C)) + sharpness * np.eye(C)[label] * np.arange(1, E + 1)[:, None, None]
        )
        p = np.exp(logits)
        return (p / p.sum(-1, keepdims=True)).astype(np.float16)

    return model(1.0), model(0.6), noisy, label


@pytest.fixture
def ds():
    names = ["earn", EVIL, "ship"]
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    texts = [f"{EVIL} number {i}" for i in range(N)]
    rows = {"text": texts, "label": [i % C for i in range(N)]}
    return DatasetDict(train=Dataset.from_dict(rows, features=features))


@pytest.fixture
def explorer(dynamics):
    return widgets.threshold_explorer(*dynamics)


def test_controls_say_what_they_are(explorer, ds):
    for made in (explorer, widgets.noise_explorer(ds)):
        for control in made.controls.values():
            assert len(control.description) > 3
        assert all(control in made.box.children for control in made.controls.values())


class TestCompute:
    def test_splits_are_those_of_replay(self, dynamics):
        strong, weak, noisy, _ = dynamics
        for ours, theirs in zip(
            widgets.compute_partitions(strong, weak, noisy, 0.8, 0.2, 0.9),
            replay(strong, weak, noisy, momentum=0.8, margin=0.2, cap=0.9), strict=True,
        ):  # fmt: skip
            assert (ours.set == theirs.set).all()

    def test_partition_view(self, dynamics):
        strong, weak, noisy, label = dynamics
        splits = widgets.compute_partitions(strong, weak, noisy, 0.9, 0.3)
        view = widgets.compute_partition(splits, 2, noisy, label)
        assert sum(view.sizes.values()) == N
        assert view.report["size"].tolist() == list(view.sizes.values())
        assert (view.partition["set"].to_numpy() == splits[1].set).all()
        assert widgets.compute_partition(splits, 2, noisy).report is None
        for epoch in (0, E + 1):
            with pytest.raises(ValueError, match=f"epoch={epoch}"):
                widgets.compute_partition(splits, epoch, noisy)

    def test_quality_has_a_block_an_epoch(self, dynamics):
        strong, weak, noisy, label = dynamics
        quality = widgets.compute_quality(
            widgets.compute_partitions(strong, weak, noisy, 0.9, 0.3), noisy, label
        )
        assert quality["epoch"].tolist() == [e for e in range(1, E + 1) for _ in range(3)]
        assert (quality.groupby("epoch")["size"].sum() == N).all()

    def test_noise_view(self, ds):
        view = widgets.compute_noise(ds, "asymmetric", 0.5, seed=1, examples=3)
        assert len(view.examples) == 3
        assert (view.examples["label"] != view.examples["noisy_label"]).all()
        np.testing.assert_allclose(view.matrix.sum(1), 1)
        assert view.achieved == pytest.approx(np.mean(1 - np.diag(view.matrix)))  # classes of one size
        assert "noisy_label" not in ds["train"].column_names


class TestThreshold:
    def test_sliders_redraw(self, explorer):
        before, table = explorer.picture.value, explorer.table.value
        explorer.controls["epoch"].value = 1
        assert "after epoch 1)" in explorer.picture.value
        assert explorer.picture.value != before
        assert explorer.table.value != table
        explorer.controls["epoch"].value = E
        assert explorer.picture.value == before

    def test_replay_runs_only_for_what_changes_the_split(self, dynamics, monkeypatch):
        explorer = widgets.threshold_explorer(*dynamics)
        calls = []
        monkeypatch.setattr(partition, "replay", lambda *a, **k: calls.append(k) or replay(*a, **k))
        for epoch in (1, 2, 3):
            explorer.controls["epoch"].value = epoch
        assert calls == []
        explorer.controls["margin"].value = 0.1
        explorer.controls["epoch"].value = 1
        assert [(k["momentum"], k["margin"]) for k in calls] == [(0.9, 0.1)]

    def test_table_has_sizes_and_quality_only_with_truth(self, dynamics):
        strong, weak, noisy, label = dynamics
        assert "precision" in widgets.threshold_explorer(strong, weak, noisy, label).table.value
        assert "precision" not in widgets.threshold_explorer(strong, weak, noisy).table.value

    def test_texts_are_escaped(self, dynamics):
        explorer = widgets.threshold_explorer(
            *dynamics, [f"{EVIL} {i}" for i in range(N)], label_names=["a", EVIL, "c"]
        )
        for epoch in range(1, E + 1):
            explorer.controls["epoch"].value = epoch
            assert "<script" not in explorer.table.value
            assert "&lt;script&gt;" in explorer.table.value

    def test_static_copy_tells_the_strip(self, explorer):
        fig, alt = explorer.static
        assert len(fig.axes) == 9
        for word in ("momentum 0.5:", "margin 0.6:", "Quality: R precision"):
            assert word in alt

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"epoch": 9}, "epoch"),
            ({"cap": 2.0}, "cap"),
            ({"momentum": 0.999}, "momentum"),
            ({"margin": -0.1}, "margin"),
        ],
    )
    def test_bad_settings_fail_where_it_is_made(self, dynamics, change, message):
        with pytest.raises(ValueError, match=message):
            widgets.threshold_explorer(*dynamics, **change)

    def test_empty_dynamics(self):
        with pytest.raises(ValueError, match="dynamics_strong has shape"):
            widgets.threshold_explorer(np.empty((0, 3, 2)), np.empty((0, 3, 2)), [0, 1, 0])


class TestNoise:
    def test_sliders_redraw(self, ds):
        explorer = widgets.noise_explorer(ds)
        explorer.controls["rate"].value = 0.0
        assert "symmetric 0: 0.0 % wrong" in explorer.picture.value
        assert explorer.table.value.count("<tr>") == 1  # the head alone
        explorer.controls["kind"].value = "asymmetric"
        explorer.controls["rate"].value = 0.6
        assert "asymmetric 0.6" in explorer.picture.value
        assert explorer.table.value.count("<tr>") == 5

    def test_texts_and_names_are_escaped(self, ds):
        explorer = widgets.noise_explorer(ds)
        assert "<script" not in explorer.table.value + explorer.picture.value
        assert "&lt;script&gt;" in explorer.table.value

    @pytest.mark.parametrize(("setting", "value"), [("kind", "loud"), ("rate", 1.2)])
    def test_bad_settings(self, ds, setting, value):
        with pytest.raises(ValueError, match=setting):
            widgets.noise_explorer(ds, **{setting: value})

    def test_static_copy_shows_every_kind(self, ds):
        fig, alt = widgets.noise_explorer(ds).static
        assert len(fig.axes) == 10
        assert "instance" in alt


class TestFailure:
    def test_a_broken_compute_fails_at_creation(self, dynamics, monkeypatch):
        def broken(*arguments):
            raise RuntimeError("no split today")

        monkeypatch.setattr(partition, "compute_partition", broken)
        with pytest.raises(RuntimeError, match="no split today"):
            widgets.threshold_explorer(*dynamics)

    def test_a_later_failure_is_shown_and_raised_and_forgotten(self, explorer, monkeypatch):
        def broken(*arguments, **settings):
            raise RuntimeError("<no> picture")

        with monkeypatch.context() as patch:
            patch.setattr(plots, "draw_partition", broken)
            with pytest.raises(RuntimeError, match="<no> picture"):
                explorer.controls["epoch"].value = 1
            assert 'role="alert"' in explorer.error.value
            assert "&lt;no&gt; picture" in explorer.error.value
            assert explorer.picture.value == ""
        explorer.controls["epoch"].value = 2
        assert explorer.error.value == ""
        assert "<img" in explorer.picture.value


def test_display_leaves_a_picture_with_words(explorer, monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    explorer._ipython_display_()
    box, picture, words = shown
    assert box is explorer.box
    assert picture.alt == explorer.static[1]
    assert "Below it the same scatter" in words.data


class TestTryingControls:
    def test_every_control_is_moved_and_comes_back(self, explorer, ds):
        before = {name: control.value for name, control in explorer.controls.items()}
        assert explorer.try_controls() == 9
        assert {name: control.value for name, control in explorer.controls.items()} == before
        made = widgets.noise_explorer(ds)
        assert widgets.try_all() >= 9 + made.try_controls()

    def test_a_failure_at_another_position_is_found(self, dynamics):
        made = widgets.threshold_explorer(*dynamics)
        made._redraw = lambda: 1 / made.controls["momentum"].value
        with pytest.raises(RuntimeError, match=r"momentum m \(momentum\) at 0\.0: .*division by zero"):
            made.try_controls()


class TestLive:
    @pytest.fixture
    def run(self, dynamics):
        strong, weak, noisy, label = dynamics

        def compute():
            return {"strong": strong, "weak": weak, "noisy_label": noisy, "label": label}

        return recorded.experiment("never recorded", compute, {"dataset": "made up"})

    @staticmethod
    def make(run):
        return widgets.threshold_explorer(run["strong"], run["weak"], run["noisy_label"], run["label"])

    def test_shows_label_button_and_explorer(self, run):
        live = widgets.explore(run, self.make)
        assert "<strong>Live:</strong>" in live.label.value
        assert "dataset made up" in live.label.value
        assert live.button in live.box.children
        assert live.explorer.box in live.box.children

    def test_button_computes_and_replaces_the_explorer(self, run):
        live = widgets.explore(run, self.make)
        old, run.live = live.explorer, False
        live.button.click()
        assert run.live
        assert live.explorer is not old
        assert live.explorer.box in live.box.children
        assert old.box not in live.box.children
        assert not live.button.disabled
        assert live.error.value == ""

    def test_a_failure_is_shown_and_raised_and_the_old_explorer_stays(self, run):
        live = widgets.explore(run, self.make)
        run.compute = lambda: 1 / 0
        with pytest.raises(ZeroDivisionError):
            live.recompute()
        assert "Computing it failed" in live.error.value
        assert "ZeroDivisionError" in live.error.value
        assert live.explorer.box in live.box.children
        assert not live.button.disabled

    def test_static_copy_is_shown(self, run, monkeypatch):
        shown = []
        monkeypatch.setattr(IPython.display, "display", lambda *things, **_: shown.extend(things))
        widgets.explore(run, self.make)._ipython_display_()
        assert any(isinstance(thing, IPython.display.Image) for thing in shown)

"""Explorers: controls driven by value, what is shown then, failures that are seen, the static copy."""

from __future__ import annotations

import re
import threading
from functools import cache
from html import escape
from weakref import WeakSet

import IPython.display
import numpy as np
import pytest

from nlkit._util import progress
from nlkit.course import plots, widgets
from nlkit.course.widgets import explorer as module
from nlkit.course.widgets import noise, partition
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.sidyp.diffusion import alpha_bar
from nlkit.study import recorded, resuming
from nlkit.study.comparing import BEST
from tests.course.explorers import (
    EVIL,
    MAKERS,
    NAMES,
    TEXTS,
    C,
    E,
    N,
    Q,
    chain,
    dataset,
    dynamics,
    grid,
    loop,
)

# Moves of try_controls: to both ends of a slider, or to every entry of a list, and back.
MOVES = {
    "noise": 4 + 3 + 5 + 5, "dynamics": 3 + 3, "sample": 4, "threshold": 3 + 3 + 3,
    "demonstrations": (Q + 1) + 4 + 3, "budget": 3 + 3, "answers": 3 + (C + 1), "loop": 3,
    "prior": 3 + 3 + 3 + 3, "diffusion": 3 + 4 + 3, "chain": 5 + 3 + 3, "reliability": 3 + 4 + 3 + 3,
    "comparison": 3 + 3 + 3 + 4 + 3,
}  # fmt: skip


@cache
def shared(name):
    """Return an explorer that tests leave at its first position."""
    return MAKERS[name]()


@pytest.mark.parametrize("name", MAKERS)
def test_every_position_is_drawn_escaped_and_comes_back(name, monkeypatch):
    made = shared(name)
    assert all(len(control.description) > 3 for control in made.controls.values())
    assert set(made.controls.values()) < set(made.box.children)
    before = {control: control.value for control in made.controls.values()}
    first, shown, update = (made.picture.value, made.table.value), [], made.update

    def kept():
        update()
        shown.append(made.picture.value + made.table.value)

    monkeypatch.setattr(made, "update", kept)
    assert made.try_controls() == MOVES[name]
    assert {control: control.value for control in made.controls.values()} == before
    assert (made.picture.value, made.table.value) == first
    assert len(set(shown)) > 1
    assert not any("<script" in page for page in shown)
    if name != "dynamics":  # which shows neither texts nor names
        assert any("&lt;script&gt;" in page for page in shown)


@pytest.mark.parametrize(
    ("name", "axes", "words"),
    [
        ("noise", 11, ["instance"]),
        ("dynamics", 2 + 2 * 4, ["Epoch 1:", f"Epoch {E}:", "AUC of the loss"]),
        ("sample", 3, ["One sample's probabilities"]),
        ("threshold", 9, ["momentum 0.5:", "margin 0.6:", "Quality: R precision"]),
        ("demonstrations", 4, ["1 demonstrations: "]),
        ("budget", 2, ["sure: Labels that are right", "unsure: "]),
        ("answers", 4, ["zero-shot: ", "fixed: "]),
        ("loop", 2 + 5, ["taught after epoch 2", "(epoch 1)", "(epoch 5)", "Accuracy over the epochs"]),
        ("prior", 1 + 3, ["K = 1:", "K = 12:", "γ = 0.5:", "δ = 1:"]),
        ("diffusion", 2 + 4, ["t = 0 100 percent", "t = 40 "]),
        ("chain", 1 + 5, ["at the start", "after step 4", "branch 2 at"]),
        ("reliability", 5, ["5 bins of equal width", "30 bins with equally", "modest with other bins"]),
        ("comparison", 1 + 2, ["r8. Lowest", "20ng. Lowest", "symmetric 0.2 from", "asymmetric 0.4 from"]),
    ],
)
def test_the_static_copy_tells_first_position_and_strip(name, axes, words):
    fig, alt = shared(name).static
    assert len(fig.axes) == axes
    assert [word for word in words if word not in alt] == []


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("noise", {"kind": "loud"}, "kind='loud' is not allowed: one of symmetric"),
        ("noise", {"rate": 1.2}, r"rate=1\.2.*from 0\.0 to 1\.0"),
        ("noise", {"pair": (0, 9)}, "noisy=9"),
        ("dynamics", {"epoch": E + 1}, rf"epoch={E + 1} .*a whole number from 1 to {E}"),
        ("dynamics", {"measure": "x"}, "measure='x'"),
        ("sample", {"samples": []}, "samples="),
        ("sample", {"samples": [N]}, "samples="),
        ("sample", {"samples": [-1]}, "samples="),
        ("threshold", {"epoch": 9}, "epoch=9"),
        ("threshold", {"momentum": 0.999}, r"momentum=0\.999"),
        ("threshold", {"margin": -0.1}, r"margin=-0\.1"),
        ("threshold", {"cap": 2.0}, "cap"),
        ("demonstrations", {"k": 2}, "k=2"),
        ("demonstrations", {"way": "none"}, "way='none'"),
        ("demonstrations", {"query": Q}, f"query={Q}"),
        ("budget", {"rule": "none"}, "rule='none'"),
        ("budget", {"n": 10}, "n=10"),
        ("answers", {"way": "none"}, "way='none'"),
        ("answers", {"chosen": C}, f"chosen={C}"),
        ("loop", {"epoch": 0}, "epoch=0"),
        ("prior", {"gamma": 0.3}, r"gamma=0\.3"),
        ("prior", {"delta": 1.2}, r"delta=1\.2"),
        ("prior", {"k": 40}, "k=40"),
        ("prior", {"shown": []}, "shown="),
        ("diffusion", {"scale": 0.5}, r"scale=0\.5"),
        ("diffusion", {"step": 41}, "step=41"),
        ("diffusion", {"label": 3}, "label=3"),
        ("chain", {"step": 5}, "step=5"),
        ("reliability", {"method": "loud"}, "method='loud'"),
        ("reliability", {"beside": "loud"}, "beside='loud'"),
        ("reliability", {"bins": 0}, "bins=0"),
        ("comparison", {"noise_rate": 0.3}, r"noise_rate=0\.3"),
    ],
)
def test_bad_first_values_are_named(name, settings, message):
    with pytest.raises(ValueError, match=message):
        MAKERS[name](**settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s, w, *y: widgets.dynamics_explorer(s, w[:2], *y), "one shape"),
        (lambda s, w, *y: widgets.dynamics_explorer(s[:0], w[:0], *y), "E at least 1"),
        (lambda s, w, *y: widgets.threshold_explorer(s[:0], w[:0], *y), "dynamics_strong has shape"),
        (lambda *_: widgets.diffusion_explorer(["a", "b"]), "three names"),
        (lambda *_: widgets.chain_explorer(chain()[0], [0] * 4, TEXTS[:4], NAMES), r"\(S, M, n, C\)"),
        (lambda *_: widgets.chain_explorer(chain(), [0] * 4, ["one"], NAMES), r"texts \(1\)"),
        (lambda *_: widgets.reliability_explorer({}, [0]), "at least one method"),
    ],
)
def test_bad_data_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(*dynamics())


# What is shown after some moves: words of the picture, and of the table below it.
SHOWN = [
    ("noise", {"rate": 0.0}, "symmetric 0: 0.0 % wrong", "0 of 0"),
    ("noise", {"kind": "asymmetric", "rate": 0.6}, "asymmetric 0.6: ", "Some texts with a wrong label: 4 of"),
    ("noise", {"true": 2, "noisy": 0}, "Framed: $ship$ labelled earn", "P(earn | $ship$) is 0."),
    ("noise", {"noisy": 0}, "Rows are true labels", "Texts of any class wrongly labelled earn"),
    ("dynamics", {"epoch": E}, f"weak model after epoch {E}", f"After epoch {E}"),
    ("sample", {"sample": 7}, "One sample", "Sample 7"),
    ("threshold", {"epoch": 1}, "after epoch 1)", "The sets after epoch 1: R as a finder"),
    ("demonstrations", {"query": 2}, "Labels of the demonstrations", "question 2"),
    ("demonstrations", {"k": 0}, "k = 0: ", "Labels:"),
    ("budget", {"n": 9, "rule": "unsure"}, "of the first 9", "The first 9 questions: "),
    ("answers", {"chosen": 2}, "$ship$ are labelled: none was answered", "Texts of $ship$"),
    ("loop", {"epoch": 5}, "taught after epoch 5", "Questions after epoch 5: 0 of 0 shown; 6 asked so far"),
    ("loop", {"epoch": 3}, "taught after epoch 3", "3 of 3 shown; 5 asked so far"),
    ("prior", {"k": 1}, "certain 100 percent", "The prior with K = 1"),
    ("prior", {"text": 7}, "Candidates for the label", ">Text 7</caption>"),
    ("diffusion", {"step": 40}, "At t = 40", f"{alpha_bar(40)[40]:.3f}"),
    ("diffusion", {"label": 2}, "copies of the label $ship$", "A label at this time"),
    ("chain", {"text": 3, "branch": 1, "step": 0}, "at the start", f"{100 * chain()[0, 1, 3].max():.0f} %"),
    ("chain", {"text": 3}, "after step 2", ">none<"),
    ("reliability", {"beside": "nothing"}, "modest: expected", "with 15 of equal width"),
    ("comparison", {"dataset": "20ng", "selected": BEST}, "20ng, symmetric noise 0.4, best by", "accuracy"),
    ("comparison", {"measure": "ece"}, "expected calibration error (%): ", "error (%) over 2 seeds"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "moves", "picture", "table"), SHOWN)
def test_controls_choose_what_is_shown(name, moves, picture, table):
    made = shared(name)
    first = {control: made.controls[control].value for control in moves}
    before = made.picture.value, made.table.value
    for control, value in moves.items():
        made.controls[control].value = value
    shown = made.picture.value, made.table.value
    for control, value in first.items():
        made.controls[control].value = value
    assert shown != before == (made.picture.value, made.table.value)
    assert picture in shown[0]
    assert table in shown[1]


def rows_of(made):
    """Return the cells of the rows of an explorer's tables, without their heads."""
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in made.table.value.split("<tr>") if "<td" in row]


class TestTables:
    def test_noise_pair_has_its_share(self):
        made = MAKERS["noise"](pair=(2, 0))
        share = widgets.compute_noise(dataset(), "symmetric", 0.4).matrix[2, 0]
        assert f"is {share:.3f} here" in made.table.value
        assert "Framed: $ship$ labelled earn" in made.static[1]

    def test_no_classifier_is_trained_again_for_instance_noise(self, monkeypatch):
        made = MAKERS["noise"]()
        monkeypatch.setattr(noise, "instance_probabilities", lambda *a, **k: 1 / 0)
        made.controls["kind"].value = "instance"
        assert "instance 0.4: " in made.picture.value

    def test_sets_have_quality_only_with_true_labels(self):
        strong, weak, noisy, label = dynamics()
        assert "precision" in widgets.threshold_explorer(strong, weak, noisy, label).table.value
        assert "precision" not in widgets.threshold_explorer(strong, weak, noisy).table.value

    def test_samples_of_each_set_come_with_their_labels(self):
        strong, weak, noisy, label = dynamics()
        made = MAKERS["threshold"](examples=3, momentum=0.9, margin=0.3)
        parts = widgets.compute_partitions(strong, weak, noisy, 0.9, 0.3)
        view = widgets.compute_partition(parts, E, noisy, label)
        samples = [row for row in rows_of(made) if len(row) == 5]
        assert len(samples) == sum(min(3, size) for size in view.sizes.values())
        i = int(np.flatnonzero(view.partition["set"] == "R")[0])
        assert samples[0][2:4] == [escape(NAMES[c]) for c in (noisy[i], label[i])]
        assert f"text {i} " in samples[0][1]

    def test_epoch_is_called_the_warm_up_where_nothing_else_follows(self):
        assert MAKERS["threshold"](warmup=True).controls["epoch"].description == "warm-up epochs W"
        assert MAKERS["threshold"]().controls["epoch"].description == "epoch"

    def test_threshold_begins_as_the_method_does(self):
        made = MAKERS["threshold"]()
        at = [made.controls[name].value for name in ("momentum", "margin", "epoch")]
        assert at == [NoiseALConfig.momentum, NoiseALConfig.margin, E]

    def test_partitions_are_made_only_for_what_changes_them(self, monkeypatch):
        made, calls, replay = MAKERS["threshold"](momentum=0.9), [], partition.replay
        monkeypatch.setattr(partition, "replay", lambda *a, **k: calls.append(k) or replay(*a, **k))
        made.controls["margin"].value = 0.7
        for epoch in (1, 2, 3):
            made.controls["epoch"].value = epoch
        assert [(k["momentum"], k["margin"]) for k in calls] == [(0.9, 0.7)]

    def test_prompt_holds_question_and_examples(self):
        made = MAKERS["demonstrations"]()
        assert made.table.value.count("Text: ") == 4
        made.controls["k"].value = 0
        assert made.table.value.count("Text: ") == 1
        other = MAKERS["demonstrations"](prompt=lambda text, shown: f"{text} after {len(shown)}")
        assert "question 0 after 3" in other.table.value

    def test_budget_slider_ends_with_the_rule_of_fewest_queries(self):
        assert MAKERS["budget"]().controls["n"].max == 9
        with pytest.raises(ValueError, match="no text was asked about"):
            widgets.budget_explorer(grid().head(0).assign(rule=[]), [], [], [])

    def test_wrong_answers_come_first(self):
        verdicts = [row[-1] for row in rows_of(MAKERS["answers"]())]
        assert verdicts == sorted(verdicts, reverse=True)
        assert set(verdicts) == {"wrong", "right"}

    def test_loop_begins_with_the_first_queries_or_the_warm_up(self):
        assert MAKERS["loop"]().controls["epoch"].value == 2
        sets, guess, asked, noisy, label = loop()
        data = (sets, guess, asked.iloc[:0], noisy, label, {"CE": [0.5] * E})
        made = widgets.loop_explorer(*data, warmup=3, texts=TEXTS, label_names=NAMES)
        assert made.controls["epoch"].value == 3

    def test_true_labels_of_chains_where_given(self):
        made = widgets.chain_explorer(chain(), [0] * 4, TEXTS[:4], NAMES, [2, -1, 0, 0])
        assert rows_of(made)[0][-1] == "$ship$"
        made.controls["text"].value = 1
        assert rows_of(made)[0][-1] == "not known"

    def test_the_histogram_of_confidences_keeps_its_bins(self):
        made = MAKERS["reliability"]()
        before = made.picture.value.split("Shares of the predictions")[1].split('"')[0]
        made.controls["bins"].value, made.controls["adaptive"].value = 3, True
        assert made.picture.value.split("Shares of the predictions")[1].split('"')[0] == before

    def test_methods_chosen_have_a_row_each(self):
        made = MAKERS["reliability"]()
        assert len(rows_of(made)) == 2
        made.controls["beside"].value = "modest"  # beside itself: once
        assert len(rows_of(made)) == 1

    def test_a_hole_in_the_grid_is_found_at_once(self):
        table = grid()
        hole = (table["dataset"] == "20ng") & (table["noise"] == "asymmetric") & (table["noise_rate"] > 0.3)
        with pytest.raises(ValueError, match=r"setting=.*'20ng', 'asymmetric', 0.4"):
            widgets.compare_explorer(table[~hole])

    def test_play_moves_the_slider_in_the_browser(self):
        play = MAKERS["dynamics"](epoch=2).box.children[0]
        assert (play.min, play.max, play.value) == (1, E, 2)
        assert "play" in play.description


class TestExplorer:
    @staticmethod
    def make(draw=lambda **at: str(at)):
        """Return an explorer of nothing, whose picture is called by what `draw` says."""
        controls = {
            "whole": ("a whole number", 2, range(1, 4)),
            "name": ("a name", None, [("first", "a"), ("second", "b")]),
            "real": ("a real number", 0.5, module.Span(0.0, 1.0, 0.1)),
        }
        fig, static = plots.figure(width=1, height=1)[0], lambda **at: (fig, f"still {at}")
        return module.Explorer(controls, lambda **at: (fig, draw(**at), "<p>below"), static)

    def test_a_table_of_controls(self):
        made = self.make()
        whole, name, real = made.controls.values()
        assert (whole.min, whole.max, whole.value, whole.description) == (1, 3, 2, "a whole number")
        assert (real.min, real.max, real.step, real.value) == (0.0, 1.0, 0.1, 0.5)
        assert name.value == "a"
        assert made.static[1] == "still {'whole': 2, 'name': 'a', 'real': 0.5}"
        name.value = "b"
        assert "&#x27;name&#x27;: &#x27;b&#x27;" in made.picture.value
        assert made.table.value.endswith("<p>below</div>")

    def test_a_failure_at_first_is_raised(self):
        with pytest.raises(ZeroDivisionError):
            self.make(lambda **at: 1 / 0)

    def test_a_later_failure_is_shown_and_raised_and_forgotten(self):
        def fail(whole, **at):
            if whole == 3:
                raise RuntimeError("<no> picture")
            return "picture"

        made = self.make(fail)
        with pytest.raises(RuntimeError, match="<no> picture"):
            made.controls["whole"].value = 3
        assert 'role="alert"' in made.error.value
        assert "RuntimeError: &lt;no&gt; picture" in made.error.value
        assert made.picture.value == made.table.value == ""
        with pytest.raises(RuntimeError, match=r"a whole number \(whole\) at 3: <no> picture"):
            made.try_controls()
        made.controls["whole"].value = 1
        assert made.error.value == ""
        assert "<img" in made.picture.value

    def test_all_explorers_that_are_alive_are_tried(self, monkeypatch):
        monkeypatch.setattr(module, "_MADE", alive := WeakSet())
        made = [self.make(), self.make()]
        assert set(alive) == set(made)
        assert widgets.try_all() == 2 * (3 + 3 + 3)

    def test_display_is_the_box_then_the_static_copy(self, monkeypatch):
        shown = []
        monkeypatch.setattr(IPython.display, "display", shown.append)
        made = self.make()
        made._ipython_display_()
        box, picture, words = shown
        assert box is made.box
        assert picture.alt == made.static[1]
        assert "still" in words.data

    def test_sliders_go_on_and_have_units(self):
        assert all(
            c.continuous_update for c in self.make().controls.values() if hasattr(c, "continuous_update")
        )
        assert escape('{"epoch": "of 5"}') in MAKERS["dynamics"]().picture.value

    def test_tables_escape_every_cell(self):
        page = module.table([(EVIL, 1)], [EVIL, "n"], EVIL)
        assert "<script" not in page
        assert page.count("&lt;script&gt;") == 3

    def test_texts_are_cut_on_one_line(self):
        assert module.shorten("one\n two   three", 9) == "one two…"
        assert module.shorten(" one two ", 9) == "one two"


class TestLive:
    @pytest.fixture
    def live(self):
        names = ("strong", "weak", "noisy_label", "label")
        compute = lambda: dict(zip(names, dynamics(), strict=True))  # noqa: E731
        run = recorded.experiment("never recorded", compute, {"dataset": "made up"})
        return widgets.explore(run, lambda run: widgets.threshold_explorer(*(run[name] for name in names)))

    def test_shows_label_button_and_explorer(self, live):
        assert "<strong>Live:</strong>" in live.label.value
        assert "dataset made up" in live.label.value
        assert live.explorer.box in live.box.children
        assert live.box.children[1].children == (live.button, live.cancel)

    def test_button_computes_and_replaces_the_explorer(self, live):
        old, live.run.live = live.explorer, False
        live.button.click()
        live.thread.join()
        assert live.run.live
        assert live.explorer is not old
        assert live.explorer.box in live.box.children
        assert old.box not in live.box.children
        assert not live.button.disabled
        assert live.error.value == live.told.value == ""

    def test_a_failure_is_shown_and_the_old_explorer_stays(self, live):
        old, live.run.compute = live.explorer.box, lambda: 1 / 0
        live.recompute()
        live.thread.join()
        assert "Computing it failed" in live.error.value
        assert "ZeroDivisionError" in live.error.value
        assert old in live.box.children
        assert not live.button.disabled

    def test_it_tells_how_far_it_is_and_is_cancelled_and_goes_on_there(self, live, monkeypatch, tmp_path):
        monkeypatch.setenv("NLKIT_CACHE", str(tmp_path))
        data, begun, gate, parts = dict(live.run.data), threading.Event(), threading.Semaphore(0), []

        def part(number):
            for step in progress(range(4), desc="inner", unit="batch"):
                if (number, step) == (1, 2) and not begun.is_set():
                    begun.set()
                    gate.acquire()
            parts.append(number)
            return number

        def compute():
            resuming.each([(0,), (1,), (2,)], part, desc="outer")
            return data

        live.run.compute = compute
        before = live.explorer
        live.recompute()
        first = live.thread
        assert begun.wait(10)
        live.recompute()
        assert live.thread is first, "a second one began"
        assert live.button.disabled
        assert not live.cancel.disabled
        before.controls["margin"].value = 0.7  # goes on meanwhile
        told, share = live._stages.told()
        assert "outer (1 of 3 part) › inner (2 of 4 batch); about" in told
        assert share == pytest.approx((1 + 2 / 4) / 3)
        live.cancel.click()
        gate.release()
        first.join()
        assert "Cancelled" in live.error.value
        assert live.explorer is before
        assert parts == [0]
        live.recompute()
        live.thread.join()
        assert parts == [0, 1, 2], "what was finished is kept"
        assert live.explorer is not before

    def test_static_copy_is_shown(self, live, monkeypatch):
        shown = []
        monkeypatch.setattr(IPython.display, "display", lambda *things, **_: shown.extend(things))
        live._ipython_display_()
        assert any(isinstance(thing, IPython.display.Image) for thing in shown)

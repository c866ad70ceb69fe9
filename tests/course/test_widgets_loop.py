"""The player of NoiseAL's loop: what is taught, against the method itself and a naive twin."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nlkit as nk
from nlkit.course import plots, widgets
from nlkit.course.widgets.loop import LESSONS, compute_lessons, compute_loop, lessons_of, loop_explorer
from nlkit.methods.noiseal import loss as objective
from nlkit.methods.noiseal import method as noiseal
from nlkit.methods.noiseal.partition import SETS

E, N, C, W = 5, 50, 3, 2
EVIL = "<script>alert('x')</script>"


@pytest.fixture
def loop():
    rng = np.random.default_rng(0)
    label = rng.integers(0, C, N)
    noisy = np.where(rng.random(N) < 0.4, (label + 1) % C, label)
    asked = rng.permutation(N)[:6]
    questions = pd.DataFrame(
        {"index": asked, "epoch": [2, 2, 3, 3, 3, 4], "label": [*label[asked[:4]], -1, 0], "confidence": 0.5}
    )
    return rng.integers(0, 3, (E, N)), rng.integers(0, C, (E, N)), questions, noisy, label


def naive(sets, guess, questions, noisy, label, epoch):
    """Say one text at a time what it is taught after an epoch; return (n, right) of each kind of lesson."""
    counts = {name: [0, 0] for name in LESSONS}
    for i in range(N):
        answers = questions[(questions["index"] == i) & (questions["epoch"] <= epoch)]
        if epoch < W:
            kind, target = "observed label", noisy[i]
        elif len(answers) and answers["label"].iloc[0] >= 0:
            kind, target = "LLM's answer", answers["label"].iloc[0]
        elif SETS[sets[epoch - 1, i]] == "R":
            kind, target = "observed label", noisy[i]
        else:
            kind, target = "models' guess", guess[epoch - 1, i]
        counts[kind][0] += 1
        counts[kind][1] += target == label[i]
    return [tuple(counts[name]) for name in LESSONS]


class TestCompute:
    @pytest.mark.parametrize("epoch", range(1, E + 1))
    def test_lessons_as_one_text_at_a_time(self, loop, epoch):
        view = compute_loop(*loop, epoch, W)
        assert list(zip(view.lessons["n"], view.lessons["right"], strict=True)) == naive(*loop, epoch)
        assert sum(view.sizes.values()) == view.lessons["n"].sum() == N

    def test_questions_of_the_round_and_so_far(self, loop):
        assert [len(compute_loop(*loop, e, W).questions) for e in range(1, E + 1)] == [0, 2, 3, 1, 0]
        assert [compute_loop(*loop, e, W).asked for e in range(1, E + 1)] == [0, 2, 5, 6, 6]

    def test_all_epochs(self, loop):
        lessons = compute_lessons(*loop, W)
        assert lessons["epoch"].tolist() == [e for e in range(1, E + 1) for _ in LESSONS]
        assert lessons[["n", "right"]].to_numpy().tolist()[-3:] == [list(x) for x in naive(*loop, E)]

    def test_texts_without_a_label_teach_nothing_in_the_warm_up(self):
        lesson, _ = lessons_of([0, 0], [1, 1], [-1, -1], [-1, 2], warm=True)
        assert lesson.tolist() == [-1, 0]

    def test_texts_of_unknown_truth_are_not_counted(self, loop):
        sets, guess, questions, noisy, label = loop
        hidden = np.where(np.arange(N) < 10, -1, label)
        assert compute_loop(sets, guess, questions, noisy, hidden, 3, W).lessons["n"].sum() == N - 10

    @pytest.mark.parametrize("epoch", [0, E + 1])
    def test_no_such_epoch(self, loop, epoch):
        with pytest.raises(ValueError, match=f"epoch={epoch} is not allowed"):
            compute_loop(*loop, epoch, W)


def test_what_is_said_to_be_taught_is_what_the_method_teaches(monkeypatch):
    made = []

    class Kept(objective.NoiseALLoss):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(noiseal, "NoiseALLoss", Kept)
    setup = nk.course.setup(
        profile="quick", seed=0, dataset="r8", train_size=120, test_size=60, noise="symmetric",
        noise_rate=0.4, encoder="minilm", annotator="simulated", recorded=False, results="",
    )  # fmt: skip
    method = nk.NoiseAL(annotator=setup.make_annotator(), query_budget=12, epochs=5, **setup.shared)
    method.fit(setup.ds)
    record = widgets.record_loop(method, setup.noisy_label)
    assert [SETS[s] for s in record["sets"][-1]] == method.partition_["set"].tolist()
    assert len(record["questions"]) == len(method.annotations_) > 0
    lesson, target = lessons_of(
        record["sets"][-1], record["guess"][-1], method.partition_["llm_label"], setup.noisy_label, warm=False
    )
    kinds = [objective.CLEAN, objective.PURIFIED, objective.HARD]
    assert made[0].kind.tolist() == [kinds[k] for k in lesson]
    assert (made[0].target.argmax(1) == target).mean() > 0.99  # the record is in half precision
    nobody = nk.NoiseAL(annotator=None, epochs=4, **setup.shared).fit(setup.ds)
    assert len(widgets.record_loop(nobody, setup.noisy_label)["questions"]) == 0


class TestExplorer:
    @pytest.fixture
    def explorer(self, loop):
        accuracy = {"NoiseAL": np.linspace(0.5, 0.9, E), "CE": np.linspace(0.6, 0.4, E)}
        return loop_explorer(
            *loop, accuracy, warmup=W, texts=[f"{EVIL} {i}" for i in range(N)],
            label_names=["a", EVIL, "c"],
        )  # fmt: skip

    def test_starts_with_the_first_questions_and_moves(self, explorer):
        assert explorer.controls["epoch"].value == 2
        assert "taught after epoch 2" in explorer.picture.value
        explorer.controls["epoch"].value = 5
        assert "taught after epoch 5" in explorer.picture.value
        assert "Questions after epoch 5: 0 of 0 shown; 6 asked so far" in explorer.table.value
        assert explorer.try_controls() == 3

    def test_nobody_asked(self, loop):
        sets, guess, questions, noisy, label = loop
        made = loop_explorer(
            sets, guess, questions.iloc[:0], noisy, label, {"CE": [0.5] * E}, warmup=W, texts=["t"] * N,
            label_names=list("abc"),
        )  # fmt: skip
        assert made.controls["epoch"].value == W

    def test_texts_and_names_are_escaped(self, explorer):
        for epoch in range(1, E + 1):
            explorer.controls["epoch"].value = epoch
            assert "<script" not in explorer.table.value + explorer.picture.value
        explorer.controls["epoch"].value = 3
        assert "&lt;script&gt;" in explorer.table.value

    def test_a_failure_is_shown_and_raised(self, explorer, monkeypatch):
        monkeypatch.setattr(plots, "draw_lessons", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            explorer.controls["epoch"].value = 1
        assert 'role="alert"' in explorer.error.value

    def test_static_copy_tells_the_strip(self, explorer):
        fig, alt = explorer.static
        assert len(fig.axes) == 2 + 5
        for words in ("taught after epoch 2", "(epoch 1)", "(epoch 5)", "Accuracy over the epochs"):
            assert words in alt


class TestPlots:
    def test_lessons(self):
        _, ax = plots.figure()
        table = pd.DataFrame({"lesson": LESSONS, "n": [10, 0, 4], "right": [8, 0, 1]})
        assert "observed label: 8 of 10 right; LLM's answer: 0 of 0 right; models' guess: 1 of 4" in (
            plots.draw_lessons(table, ax, top=14)
        )
        assert [bar.get_height() for bar in ax.patches] == [8, 2, 0, 0, 1, 3]

    def test_right_lessons_leave_out_kinds_without_texts(self):
        _, ax = plots.figure()
        table = pd.DataFrame({"epoch": [1, 1, 2, 2], "lesson": ["a", "b"] * 2, "n": [4, 0, 4, 0],
                              "right": [1, 0, 3, 0]})  # fmt: skip
        said = plots.draw_right_lessons(table, ax)
        assert "a 25 after epoch 1, 75 after the last" in said
        assert "b " not in said
        assert len(ax.lines) == 1

    def test_losses_stack_to_their_sum(self):
        _, ax = plots.figure()
        history = pd.DataFrame({"epoch": [1, 2], "loss_R_weak": [2.0, 0.5], "loss_H_weak": [0.0, 1.0],
                                "loss_P_weak": [0.0, 0.25]})  # fmt: skip
        said = plots.draw_set_losses(history, ax, model="weak", warmup=1)
        assert "L_H 0.00 in the first epoch, 1.00 in the last" in said
        assert max(bar.get_y() + bar.get_height() for bar in ax.patches if bar.get_x() > 1) == 1.75

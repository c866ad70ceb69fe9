"""Explorers of an annotator: pure parts against naive twins, controls, words, failures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nlkit.annotate import Demonstration
from nlkit.course import plots, widgets
from nlkit.course.widgets import budget, demonstrations, llm_noise

N, C, Q = 40, 4, 5
EVIL = "<script>alert('x')</script>"
NAMES = ["earn", EVIL, "ship", "acq"]
TEXTS = [f"{EVIL} text {i} costs $5" for i in range(N)]
WAYS = ("clean", "all")


@pytest.fixture(scope="module")
def asked():
    """Answers to Q queries: zero-shot, and 1 or 3 examples of two pools with labels of their own."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, C, N)
    labels = {"clean": label, "all": (label + rng.integers(0, 2, N)) % C}
    rows, shown = [], []
    for way, k in [("zero-shot", 0), *((way, k) for way in WAYS for k in (1, 3))]:
        for query in range(Q):
            rows.append((query, way, k))
            shown.append([-1] * (3 - k) + rng.choice(N, k, replace=False).tolist())
    answers = pd.DataFrame(rows, columns=["query", "way", "k"])
    probability = rng.dirichlet(np.ones(C), len(rows))
    answers["label"] = probability.argmax(1)
    return answers, probability, np.array(shown), labels, rng.integers(0, C, Q)


@pytest.fixture
def demonstration(asked):
    answers, probability, shown, labels, truth = asked
    queries = [f"{EVIL} question {q}" for q in range(Q)]
    return widgets.demonstration_explorer(
        answers, probability, shown, queries, TEXTS, labels, truth, NAMES, k=3
    )


class TestDemonstrations:
    @pytest.mark.parametrize(("query", "way", "k"), [(0, "clean", 1), (3, "all", 3), (2, "all", 0)])
    def test_looks_up_what_was_asked(self, asked, query, way, k):
        answers, probability, shown, labels, truth = asked
        view = widgets.compute_demonstration(answers, probability, shown, TEXTS, labels, truth, query, way, k)
        for row, told in enumerate(answers.itertuples()):  # noqa: B007
            if (told.query, told.k) == (query, k) and (k == 0 or told.way == way):
                break
        np.testing.assert_array_equal(view.probability, probability[row])
        own = [i for i in shown[row].tolist() if i >= 0]
        assert view.shown == [Demonstration(TEXTS[i], int(labels[way][i])) for i in own]
        assert len(view.shown) == k
        assert view.verdict == ("right" if answers["label"][row] == truth[query] else "wrong")

    def test_an_abstention_is_neither_right_nor_wrong(self, asked):
        answers, *rest = asked
        view = widgets.compute_demonstration(
            answers.assign(label=-1), *rest[:2], TEXTS, *rest[2:], 0, "all", 1
        )
        assert view.verdict == "abstained"

    def test_what_was_not_asked_is_refused(self, asked):
        answers, probability, shown, labels, truth = asked
        with pytest.raises(ValueError, match="asked once in this way"):
            widgets.compute_demonstration(answers, probability, shown, TEXTS, labels, truth, 0, "all", 2)

    def test_prompt_holds_question_and_examples_escaped(self, demonstration):
        said = demonstration.table.value
        assert "<script" not in said + demonstration.picture.value
        assert "question 0" in said
        assert said.count("Text: ") == 4
        demonstration.controls["k"].value = 0
        assert demonstration.table.value.count("Text: ") == 1
        assert "Labels:" in demonstration.table.value

    def test_prompt_may_be_another(self, asked):
        answers, probability, shown, labels, truth = asked
        made = widgets.demonstration_explorer(
            answers, probability, shown, ["a"] * Q, TEXTS, labels, truth, NAMES, k=1,
            prompt=lambda text, shown: f"{text} after {len(shown)}",
        )  # fmt: skip
        assert "a after 1" in made.table.value

    def test_every_position_is_drawn_and_the_static_copy_says_the_strip(self, demonstration):
        assert demonstration.try_controls() == Q + 1 + 4 + 3
        assert "1 demonstrations: " in demonstration.static[1]
        assert len(demonstration.static[0].axes) == 4

    @pytest.mark.parametrize(("setting", "value"), [("k", 2), ("way", "none"), ("query", Q)])
    def test_bad_start(self, asked, setting, value):
        answers, probability, shown, labels, truth = asked
        with pytest.raises(ValueError, match=setting):
            widgets.demonstration_explorer(
                answers, probability, shown, ["a"] * Q, TEXTS, labels, truth, NAMES,
                **{"k": 1, setting: value},
            )  # fmt: skip

    def test_a_failure_is_shown(self, demonstration, monkeypatch):
        monkeypatch.setattr(demonstrations, "compute_demonstration", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            demonstration.controls["query"].value = 1
        assert 'role="alert"' in demonstration.error.value


@pytest.fixture(scope="module")
def questions():
    rng = np.random.default_rng(1)
    label = rng.integers(0, C, N)
    rows = [
        (rule, i, *rng.integers(0, C, 2), rng.integers(-1, C))
        for rule, n in (("sure", 12), ("unsure", 9))
        for i in rng.choice(N, n, replace=False).tolist()
    ]
    return pd.DataFrame(rows, columns=["rule", "index", "observed", "guess", "answer"]), label


class TestBudget:
    @pytest.mark.parametrize(("rule", "n"), [("sure", 1), ("sure", 12), ("unsure", 5)])
    def test_same_as_one_question_at_a_time(self, questions, rule, n):
        table, label = questions
        view = widgets.compute_budget(table, label, rule, n)
        counts, right = {"wrong": 0, "mended": 0, "spoilt": 0, "guessed": 0}, 0
        own = [row for row in table.itertuples() if row.rule == rule]
        for number, row in enumerate(own, start=1):
            truth = label[row[table.columns.get_loc("index") + 1]]
            right += row.answer == truth
            assert view.shares["annotator's answer"][number - 1] == pytest.approx(right / number)
            if number <= n:
                wrong = row.observed != truth
                counts["wrong"] += wrong
                counts["mended"] += wrong and row.answer == truth
                counts["spoilt"] += not wrong and row.answer != truth
                counts["guessed"] += wrong and row.guess == truth
        assert view.counts == counts
        assert len(view.questions) == n

    def test_explorer(self, questions):
        made = widgets.budget_explorer(*questions, TEXTS, NAMES)
        assert made.controls["n"].max == 9  # of the rule with the fewest
        before = made.picture.value
        made.controls["n"].value = 9
        made.controls["rule"].value = "unsure"
        assert made.picture.value != before
        assert "The first 9 questions" in made.table.value
        assert "<script" not in made.table.value
        assert made.try_controls() == 6
        assert "sure: Labels that are right" in made.static[1]

    def test_bad_settings(self, questions):
        table, label = questions
        with pytest.raises(ValueError, match="n=13"):
            widgets.compute_budget(table, label, "sure", 13)
        with pytest.raises(ValueError, match="rule='none'"):
            widgets.budget_explorer(table, label, TEXTS, NAMES, rule="none")
        with pytest.raises(ValueError, match="no text was asked about"):
            widgets.budget_explorer(table.head(0), label, TEXTS, NAMES)

    def test_a_failure_is_shown(self, questions, monkeypatch):
        made = widgets.budget_explorer(*questions, TEXTS, NAMES)
        monkeypatch.setattr(budget, "compute_budget", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made.controls["n"].value = 1
        assert "This setting failed" in made.error.value


@pytest.fixture(scope="module")
def labelled():
    rng = np.random.default_rng(2)
    label = np.append(rng.integers(0, C - 1, N - 1), -1)  # class 3 has no text, one text no true label
    rows = [
        (way, i, rng.integers(-1, C), rng.random()) for way in ("zero-shot", "fixed") for i in range(0, N, 2)
    ]
    return pd.DataFrame(rows, columns=["way", "index", "label", "confidence"]), label


class TestAnswerNoise:
    @pytest.mark.parametrize(("way", "chosen"), [("zero-shot", 0), ("fixed", 2), ("fixed", 3)])
    def test_same_as_one_answer_at_a_time(self, labelled, way, chosen):
        answers, label = labelled
        view = widgets.compute_answer_noise(answers, label, C, way, chosen)
        counts, wrong, n = np.zeros((C, C), int), 0, 0
        for told, i, said in answers[["way", "index", "label"]].to_numpy().tolist():
            if told == way and said >= 0 and label[i] >= 0:
                counts[label[i], said] += 1
                wrong += label[i] != said
                n += 1
        assert view.rate == pytest.approx(wrong / n)
        assert view.gone.tolist() == counts[chosen].tolist()
        for c in range(C):
            total = counts[c].sum()
            np.testing.assert_allclose(view.matrix[c], counts[c] / total if total else np.full(C, np.nan))
        assert view.examples["confidence"].is_monotonic_decreasing
        assert (label[view.examples["index"]] == chosen).all()

    def test_explorer(self, labelled):
        made = widgets.answer_noise_explorer(*labelled, TEXTS, NAMES, way="fixed")
        before = made.picture.value
        made.controls["chosen"].value = 1
        assert made.picture.value != before
        assert "<script" not in made.table.value + made.picture.value
        shown = [row for row in made.table.value.split("<tr>") if "<td" in row]
        verdicts = ["wrong" if "wrong</td>" in row else "right" for row in shown]
        assert verdicts == sorted(verdicts, reverse=True)  # wrong ones first
        assert made.try_controls() == 2 + 1 + C + 1
        assert "zero-shot: " in made.static[1]

    @pytest.mark.parametrize(("setting", "value"), [("way", "none"), ("chosen", C)])
    def test_bad_settings(self, labelled, setting, value):
        with pytest.raises(ValueError, match=setting):
            widgets.answer_noise_explorer(*labelled, TEXTS, NAMES, **{setting: value})

    def test_a_failure_is_shown(self, labelled, monkeypatch):
        made = widgets.answer_noise_explorer(*labelled, TEXTS, NAMES)
        monkeypatch.setattr(llm_noise, "compute_answer_noise", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made.controls["chosen"].value = 1
        assert "This setting failed" in made.error.value


class TestPlots:
    @pytest.fixture
    def ax(self):
        return plots.figure()[1]

    def test_answer_marks_truth_examples_and_itself(self, ax):
        alt = plots.draw_answer([0.1, 0.2, 0.7], ["a", "b", "c"], ax, shown=[1, 0, 1], truth=1)
        assert [t.get_text() for t in ax.get_yticklabels()] == ["a [2]", "★ b [1, 3]", "c"]
        assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, False, True]
        assert "the answer is c, 70 percent sure; the true label is b" in alt
        assert "nearest last: b, a, b" in alt

    def test_answer_with_many_labels_keeps_the_likeliest_and_the_truth(self, ax):
        p = np.arange(1, 31) / np.arange(1, 31).sum()
        plots.draw_answer(p, [f"c{i}" for i in range(30)], ax, truth=0)
        names = [t.get_text() for t in ax.get_yticklabels()]
        assert names == ["★ c0", *(f"c{i}" for i in range(18, 30))]

    def test_answer_shape(self, ax):
        with pytest.raises(ValueError, match="probability"):
            plots.draw_answer([0.5, 0.5], ["a"], ax)

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
        with pytest.raises(ValueError, match="shares of 'true'"):
            plots.draw_label_shares({"true": [1.0]}, ["a", "b"], ax)

    def test_questions_end_where_nothing_was_asked(self, ax):
        shares = pd.DataFrame({"n": [1, 2, 3], "answer": [1.0, 0.5, np.nan], "guess": [0.0, 0.5, 0.6]})
        alt = plots.draw_questions(shares, ax, at=2)
        assert "answer 50 percent of the first 2; guess 50 percent of the first 2" in alt
        assert len(ax.lines[0].get_xdata()) == 2
        assert "guess 60 percent of the first 3" in plots.draw_questions(shares, ax)

    def test_pace_says_half_way_and_end(self, ax):
        curves = pd.DataFrame(
            {"noise": ["rule"] * 2, "epoch": [1, 2], "clean": [0.5, 0.9], "mislabelled": [0.2, 0.7]}
        )
        alt = plots.draw_fitted_pace(curves, ax)
        assert "rule: after half of the epochs 70 percent of the wrong and 90 of the right" in alt
        np.testing.assert_allclose(ax.lines[1].get_xdata(), [50, 90])

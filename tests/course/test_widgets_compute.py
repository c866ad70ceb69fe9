"""The pure parts of the explorers, against plain loops and the methods themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import nlkit as nk
from nlkit import noise
from nlkit.annotate import Demonstration
from nlkit.course import plots, widgets
from nlkit.course.widgets.comparison import MEASURES, compute_comparison
from nlkit.course.widgets.demonstrations import compute_demonstration
from nlkit.course.widgets.llm_noise import compute_answer_noise
from nlkit.course.widgets.loop import LESSONS
from nlkit.methods.noiseal import loss as objective
from nlkit.methods.noiseal import method as noiseal
from nlkit.methods.noiseal.partition import SETS, replay
from nlkit.methods.sidyp import plain
from nlkit.methods.sidyp.prior import neighbour_prior
from nlkit.metrics import ece, reliability
from nlkit.study import cleaning
from nlkit.study.comparing import BEST
from tests.course import explorers as small
from tests.course.explorers import TEXTS, C, E, N


class TestPartition:
    def test_partitions_are_those_of_replay(self):
        strong, weak, noisy, _ = small.dynamics()
        ours = widgets.compute_partitions(strong, weak, noisy, 0.8, 0.2, 0.9)
        theirs = replay(list(strong), list(weak), noisy, momentum=0.8, margin=0.2, cap=0.9)
        assert [p.set.tolist() for p in ours] == [p.set.tolist() for p in theirs]

    def test_view_and_quality(self):
        strong, weak, noisy, label = small.dynamics()
        parts = widgets.compute_partitions(strong, weak, noisy, 0.9, 0.3)
        view = widgets.compute_partition(parts, 2, noisy, label)
        assert sum(view.sizes.values()) == N
        assert view.report["size"].tolist() == list(view.sizes.values())
        assert (view.partition["set"].to_numpy() == parts[1].set).all()
        assert widgets.compute_partition(parts, 2, noisy).report is None
        for epoch in (0, E + 1):
            with pytest.raises(ValueError, match=f"epoch={epoch}"):
                widgets.compute_partition(parts, epoch, noisy)
        quality = widgets.compute_quality(parts, noisy, label)
        assert quality["epoch"].tolist() == [e for e in range(1, E + 1) for _ in range(3)]
        assert quality[quality["epoch"] == 2]["precision"].tolist() == view.report["precision"].tolist()


class TestNoise:
    def test_view(self):
        ds = small.dataset()
        view = widgets.compute_noise(ds, "asymmetric", 0.5, seed=1, examples=3)
        assert len(view.examples) == 3
        assert (view.examples["label"] != view.examples["noisy_label"]).all()
        np.testing.assert_allclose(view.matrix.sum(1), 1)
        assert view.achieved == pytest.approx(np.mean(1 - np.diag(view.matrix)))  # classes of one size
        assert "noisy_label" not in ds["train"].column_names

    @pytest.mark.parametrize("pair", [(2, 0), (2, 2), (-1, 0), (2, -1), (-1, -1)])
    def test_texts_are_those_of_the_pair(self, r8_small, pair):
        view = widgets.compute_noise(r8_small, "symmetric", 0.4, seed=1, examples=10_000, pair=pair)
        wanted = []
        for row in noise.add_noise(r8_small, "symmetric", 0.4, 1)["train"]:
            y, z = row["label"], row["noisy_label"]
            fits = pair[0] in (-1, y) and pair[1] in (-1, z)
            if fits and (y != z or pair[0] == pair[1] == y):
                wanted.append(row["text"])
        assert view.examples["text"].tolist() == wanted
        assert view.found == len(wanted) > 0

    def test_a_class_that_does_not_exist(self, r8_small):
        with pytest.raises(ValueError, match="pair"):
            widgets.compute_noise(r8_small, "symmetric", 0.4, pair=(0, 8))

    def test_given_probabilities_change_nothing(self, r8_small):
        guide = noise.instance_probabilities(type(r8_small)(train=r8_small["train"]), seed=1)
        one = widgets.compute_noise(r8_small, "instance", 0.3, 1)
        given = widgets.compute_noise(r8_small, "instance", 0.3, 1, probabilities=guide)
        np.testing.assert_array_equal(one.matrix, given.matrix)


class TestMoment:
    @pytest.mark.parametrize("measure", ["trust", "loss"])
    def test_equals_the_naive_one(self, measure):
        strong, weak, noisy, label = small.dynamics()
        seen, truth = np.where(np.arange(N) % 10 == 0, -1, noisy), np.where(np.arange(N) % 9 == 0, -1, label)
        view = widgets.compute_moment(strong, weak, seen, truth, 3, measure)
        known = (seen >= 0) & (truth >= 0)
        for row, model in zip(view.table.to_dict("records"), (strong, weak), strict=True):
            losses = cleaning.label_losses(model, seen)[2]
            values = losses if measure == "loss" else np.exp(-losses)
            for found, of in zip(view.shares[row["model"]], (seen == truth, seen != truth), strict=True):
                counts = np.histogram(values[known & of], view.edges)[0]
                np.testing.assert_allclose(found, counts / counts.sum())
            assert row["auc"] == cleaning.loss_separation(model, seen, truth)[2]
            fitted = plots.fitted_shares(model, seen, truth).iloc[2]
            assert [row[k] for k in ("clean", "corrected")] == [fitted[k] for k in ("clean", "corrected")]

    def test_without_wrong_labels(self):
        strong, weak, _, label = small.dynamics()
        assert not widgets.compute_moment(strong, weak, label, label, 1).shares["weak"][1].any()
        assert "–" in widgets.dynamics_explorer(strong, weak, label, label).table.value


class TestDemonstration:
    @pytest.mark.parametrize(("query", "way", "k"), [(0, "clean", 1), (3, "all", 3), (2, "all", 0)])
    def test_looks_up_the_answer(self, query, way, k):
        answers, probability, shown, labels, truth = small.answers()
        view = compute_demonstration(answers, probability, shown, TEXTS, labels, truth, query, way, k)
        row = next(
            i for i, told in enumerate(answers.to_dict("records"))
            if (told["query"], told["k"]) == (query, k) and (k == 0 or told["way"] == way)
        )  # fmt: skip
        np.testing.assert_array_equal(view.probability, probability[row])
        own = [i for i in shown[row].tolist() if i >= 0]
        assert view.shown == [Demonstration(TEXTS[i], int(labels[way][i])) for i in own]
        assert len(view.shown) == k
        assert view.verdict == ("right" if answers["label"][row] == truth[query] else "wrong")

    @pytest.mark.parametrize(("label", "truth", "verdict"), [(-1, 0, "abstained"), (0, -1, "answered")])
    def test_neither_right_nor_wrong(self, label, truth, verdict):
        answers, probability, shown, labels, _ = small.answers()
        data = (answers.assign(label=label), probability, shown, TEXTS, labels, [truth])
        assert compute_demonstration(*data, 0, "all", 1).verdict == verdict

    def test_what_was_not_asked_is_refused(self):
        answers, probability, shown, labels, truth = small.answers()
        with pytest.raises(ValueError, match="asked once in this way"):
            compute_demonstration(answers, probability, shown, TEXTS, labels, truth, 0, "all", 2)


@pytest.mark.parametrize(("rule", "n"), [("sure", 1), ("sure", 12), ("unsure", 5)])
def test_budget_as_one_query_at_a_time(rule, n):
    table, label = small.questions()
    view = widgets.compute_budget(table, label, rule, n)
    counts, right = {"wrong": 0, "mended": 0, "spoilt": 0, "guessed": 0}, 0
    own = [row for row in table.to_dict("records") if row["rule"] == rule]
    for number, row in enumerate(own, start=1):
        truth = label[row["index"]]
        right += row["answer"] == truth
        assert view.shares["annotator's answer"][number - 1] == pytest.approx(right / number)
        if number <= n:
            wrong = row["observed"] != truth
            counts["wrong"] += wrong
            counts["mended"] += wrong and row["answer"] == truth
            counts["spoilt"] += not wrong and row["answer"] != truth
            counts["guessed"] += wrong and row["guess"] == truth
    assert view.counts == counts
    assert view.questions["index"].tolist() == [row["index"] for row in own[:n]]
    with pytest.raises(ValueError, match=f"n={len(own) + 1}"):
        widgets.compute_budget(table, label, rule, len(own) + 1)


@pytest.mark.parametrize(("way", "chosen"), [("zero-shot", 0), ("fixed", 1), ("fixed", 2)])
def test_answer_noise_as_one_answer_at_a_time(way, chosen):
    answers, label = small.labelled()
    view = compute_answer_noise(answers, label, C, way, chosen)
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


class TestLoop:
    W = 2

    def naive(self, sets, guess, questions, noisy, label, epoch):
        """Say one text at a time what it is taught after an epoch; return n and right of each kind."""
        counts = {name: [0, 0] for name in LESSONS}
        for i in range(N):
            answers = questions[(questions["index"] == i) & (questions["epoch"] <= epoch)]
            if epoch < self.W:
                kind, target = "observed label", noisy[i]
            elif len(answers) and answers["label"].iloc[0] >= 0:
                kind, target = "LLM's answer", answers["label"].iloc[0]
            elif SETS[sets[epoch - 1, i]] == "R":
                kind, target = "observed label", noisy[i]
            else:
                kind, target = "models' guess", guess[epoch - 1, i]
            counts[kind][0] += 1
            counts[kind][1] += target == label[i]
        return list(counts.values())

    def test_lessons_as_one_text_at_a_time(self):
        lessons = widgets.compute_lessons(*small.loop(), self.W)
        assert lessons["epoch"].tolist() == [e for e in range(1, E + 1) for _ in LESSONS]
        for epoch, rows in lessons.groupby("epoch"):
            assert rows[["n", "right"]].to_numpy().tolist() == self.naive(*small.loop(), epoch)
            assert rows["n"].sum() == N

    def test_texts_without_a_label_have_no_target_in_the_warm_up(self):
        lesson, _ = widgets.lessons_of([0, 0], [1, 1], [-1, -1], [-1, 2], warm=True)
        assert lesson.tolist() == [-1, 0]

    def test_texts_of_unknown_truth_are_not_counted(self):
        *loop, label = small.loop()
        hidden = np.where(np.arange(N) < 10, -1, label)
        lessons = widgets.compute_lessons(*loop, hidden, self.W)
        assert lessons.groupby("epoch")["n"].sum().tolist() == [N - 10] * E


@pytest.mark.parametrize("seed", [3, 4])
def test_the_record_is_what_the_method_did(monkeypatch, seed):
    """Of these seeds the half-precision dynamics alone give another last partition."""
    made = []

    class Kept(objective.NoiseALLoss):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(noiseal, "NoiseALLoss", Kept)
    setup = nk.course.setup(
        profile="quick", seed=seed, dataset="r8", train_size=300, test_size=60, noise="symmetric",
        noise_rate=0.4, encoder="minilm", annotator="simulated", recorded=False, results="",
    )  # fmt: skip
    method = nk.NoiseAL(annotator=setup.make_annotator(), query_budget=12, **setup.shared).fit(setup.ds)
    record = widgets.record_loop(method, setup.noisy_label)
    assert [SETS[s] for s in record["sets"][-1]] == method.partition_["set"].tolist()
    sizes = np.stack([(record["sets"] == place).sum(1) for place in range(len(SETS))], 1)
    assert np.abs(sizes - method.history_[["n_R", "n_H", "n_P"]]).to_numpy().max() <= 3
    assert len(record["questions"]) == len(method.annotations_) > 0
    answer, learnt = np.full(len(setup.noisy_label), -1), method.annotations_.query("learnt")
    answer[learnt["index"]] = learnt["label"]
    last = (record["sets"][-1], record["guess"][-1], answer, setup.noisy_label)
    lesson, target = widgets.lessons_of(*last, warm=False)
    kinds = np.array([objective.CLEAN, objective.PURIFIED, objective.HARD])
    assert made[0].kind.tolist() == kinds[lesson].tolist()
    assert (made[0].target.argmax(1) == target).mean() > 0.99  # the guess is recorded in half precision


def test_a_record_without_queries():
    ds = noise.add_noise(nk.load_dataset("r8", train_size=60, test_size=20), rate=0.3)
    method = nk.NoiseAL(annotator=None, profile="quick", epochs=4).fit(ds)
    record = widgets.record_loop(method, ds["train"]["noisy_label"])
    assert len(record["questions"]) == 0
    assert record["sets"].shape == record["guess"].shape == (4, 60)


class TestPrior:
    @pytest.mark.parametrize(("k", "gamma", "delta"), [(1, 0.9, 0.8), (4, 0.7, 0.6), (12, 1.0, 0.95)])
    def test_equals_the_methods_own(self, k, gamma, delta):
        number, distance, noisy, suspect, y, x = small.neighbours()
        view = widgets.compute_prior(number, distance, noisy, suspect, y, C, k=k, gamma=gamma, delta=delta)
        own = neighbour_prior(x, noisy, suspect, C, k=k, gamma=gamma, delta=delta)
        np.testing.assert_allclose(view.prior.weight, own.weight)
        assert view.prior.case.tolist() == own.case.tolist()
        assert view.right == pytest.approx((own.weight.argmax(-1) == y).mean())
        assert view.report["n"].sum() == N

    @pytest.mark.parametrize("k", [0, 13])
    def test_no_more_neighbours_than_recorded(self, k):
        with pytest.raises(ValueError, match=f"k={k}"):
            widgets.compute_prior(*small.neighbours()[:5], C, k=k)

    def test_without_true_labels(self):
        data = (*small.neighbours()[:4], np.full(N, -1))
        view = widgets.compute_prior(*data, C, k=3)
        assert np.isnan(view.right)
        assert len(view.report) == 0
        table = widgets.prior_explorer(*data, TEXTS, small.NAMES, k=3).table.value
        assert "–" in table
        assert "observed labels" not in table


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


class TestReliability:
    @pytest.mark.parametrize(("bins", "adaptive"), [(1, False), (7, False), (30, False), (6, True)])
    def test_a_method_is_measured_as_everywhere(self, bins, adaptive):
        p, label = small.predictions()
        view = widgets.compute_reliability(p["modest"], label, bins=bins, adaptive=adaptive)
        assert view.ece == pytest.approx(ece(p["modest"], label, bins=bins, adaptive=adaptive))
        assert view.table.equals(reliability(p["modest"], label, bins=bins, adaptive=adaptive))
        assert view.confidence == pytest.approx(p["modest"].max(1).mean())
        assert view.accuracy == pytest.approx((p["modest"].argmax(1) == label).mean())

    def test_sharper_is_too_sure(self):
        p, label = small.predictions()
        modest, sharp = (widgets.compute_reliability(one, label) for one in p.values())
        assert sharp.accuracy == modest.accuracy
        assert sharp.confidence > modest.confidence
        assert sharp.ece > modest.ece


class TestComparison:
    @pytest.mark.parametrize("measure", MEASURES)
    def test_summary_as_counted_by_hand(self, measure):
        runs, summary = compute_comparison(small.grid(), "20ng", "asymmetric", 0.4, measure, BEST)
        wanted = {}
        for row in small.grid().to_dict("records"):
            where = (row["dataset"], row["noise"], round(row["noise_rate"], 3), row["selected"])
            if where == ("20ng", "asymmetric", 0.4, BEST):
                wanted.setdefault(row["method"], []).append(row[measure])
        means = {name: np.mean(values) for name, values in wanted.items()}
        order = sorted(means, key=means.get, reverse=measure != "ece")
        assert summary["method"].tolist() == order
        np.testing.assert_allclose(summary["mean"], [means[name] for name in order])
        np.testing.assert_allclose(summary["sd"], [np.std(wanted[name], ddof=1) for name in order])
        np.testing.assert_allclose(summary["behind"], [abs(means[name] - means[order[0]]) for name in order])
        assert list(dict.fromkeys(runs["method"])) == order
        assert len(runs) == 6

    def test_one_seed_has_no_spread(self):
        grid = small.grid()
        _, summary = compute_comparison(grid[grid["seed"] == 0], "r8", "symmetric", 0.2)
        assert (summary["sd"] == 0).all()

    @pytest.mark.parametrize(
        ("where", "message"),
        [(("r9", "symmetric", 0.2), "setting="), (("r8", "symmetric", 0.3), "setting="),
         (("r8", "symmetric", 0.2, "speed"), "measure='speed' is not allowed: one of accuracy")],
    )  # fmt: skip
    def test_what_is_not_there_is_named(self, where, message):
        with pytest.raises(ValueError, match=message):
            compute_comparison(small.grid(), *where)

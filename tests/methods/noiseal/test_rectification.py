"""Whom NoiseAL queries, about what and how often; test_plain.py holds the whole loop against the page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nlkit.annotate import Budget, OpenAIChat
from nlkit.annotate.base import answer_table
from nlkit.annotate.trust import Trust
from nlkit.data.observed import Observed
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.loss import CLEAN, IGNORED, PURIFIED, NoiseALLoss
from nlkit.methods.noiseal.partition import Partition
from nlkit.methods.noiseal.rectification import Rectification, acquisition_order
from nlkit.models.classifiers import Output
from tests.annotate.chat_server import ChatServer, running

CLASSES = 4


class Spy:
    """Answers class (length of the text) mod C, abstains on every fifth text, and keeps what it was asked."""

    name, simulated = "spy", True

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], Any]] = []

    def annotate(self, texts: Any, label_names: Any, demonstrations: Any = None) -> pd.DataFrame:
        self.calls.append((list(texts), demonstrations))
        number = np.array([int(text[4:]) for text in texts])
        return answer_table(
            0.1 + 0.6 * np.eye(CLASSES)[number % CLASSES], list(label_names), abstain=number % 5 == 0,
            source=["model"] * len(texts), prompt_tokens=[1] * len(texts), prompts=list(texts),
        )  # fmt: skip


@given(st.integers(30, 90), st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 4))
@settings(max_examples=20)
def test_queries(n: int, seed: int, budget: int, rounds: int) -> None:
    config = NoiseALConfig(
        warmup_epochs=2, epochs=8, query_budget=budget, query_rounds=rounds, demonstrations=3,
        demonstration_space="strong", trust="full",
    )  # fmt: skip
    rng, spy = np.random.default_rng(seed), Spy()
    label, asked, answers = rng.integers(-1, CLASSES, n), [], np.full(n, -1)
    data = Observed([f"text{i}" for i in range(n)], label)
    rectification = Rectification(data, [f"class{c}" for c in range(CLASSES)], config, spy, None)
    for epoch in range(2, 8):
        sets = np.where(label < 0, "P", rng.choice(list("RHP"), n))
        partition = Partition(sets, sets, *rng.random((4, n)))
        calls = len(spy.calls)
        embedding = rng.normal(size=(n, 5)).astype(np.float32)
        rectification.query(partition, rng.dirichlet(np.ones(CLASSES), n), embedding, epoch)
        for texts, demonstrations in spy.calls[calls:]:
            assert 0 < len(texts) <= -(-budget // rounds)
            for i, (text, shown) in enumerate(zip(texts, demonstrations or [[]] * len(texts), strict=True)):
                me = int(text[4:])
                assert sets[me] == "P"
                assert me not in asked
                asked.append(me)
                others = [int(example.text[4:]) for example in shown]
                assert len(others) <= 3
                assert me not in others
                assert (sets[others] == "R").all()
                assert [example.label for example in shown] == label[others].tolist()
                # Never one that an answer contradicts.
                assert ((answers[others] == -1) | (answers[others] == label[others])).all()
                assert rectification.tables[-1]["demonstrations"][i] == others
            for me in (int(text[4:]) for text in texts):
                answers[me] = me % CLASSES if me % 5 else -1
        assert rectification.n_queries == len(asked) <= budget
        # Answers are kept for good, whatever set a sample is in later.
        assert (rectification.answer == answers).all()
    assert rectification.annotations()["index"].tolist() == asked
    assert len(asked) > 0


@pytest.mark.filterwarnings("ignore:.*the budget is spent")
def test_one_purse_is_kept_through_all_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    n, budget = 40, Budget(questions=13)
    config = NoiseALConfig(query_budget=32, query_rounds=4, demonstrations=0, trust="full")
    data = Observed([f"text{i}" for i in range(n)], np.zeros(n, np.int64))
    sets, rng = np.full(n, "P"), np.random.default_rng(0)
    with running(ChatServer()) as server:
        llm = OpenAIChat("m", server.url, store=None, budget=budget)
        rectification = Rectification(data, ["earn", "acq"], config, llm, None)
        for epoch in range(4):
            partition = Partition(sets, sets, *rng.random((4, n)))
            rectification.query(partition, rng.dirichlet([1, 1], n), np.zeros((n, 2), np.float32), epoch)
        assert len(server.asked) == budget.spent.questions == 13
    # What the purse did not reach was not asked, and may be when there is a new one.
    assert rectification.annotations()["status"].tolist() == ["answered"] * 13
    assert rectification.n_queries == rectification.queried.sum() == 13
    # A run that was resumed after a round without an answer has the same table.
    resumed = Rectification(data, ["earn", "acq"], config, llm, None)
    resumed.restore(*rectification.state())
    pd.testing.assert_frame_equal(resumed.annotations(), rectification.annotations())


def test_two_candidates_are_learnt_where_one_label_cannot_be_had() -> None:
    class Torn(Spy):
        """Is torn between the true class and the one after it, which it likes better, on even texts."""

        def annotate(self, texts: Any, label_names: Any, demonstrations: Any = None) -> pd.DataFrame:
            table = super().annotate(texts, label_names, demonstrations)
            number = np.array([int(text[4:]) for text in texts])
            truth = np.eye(CLASSES)[number % CLASSES]
            p = np.where((number % 2 == 0)[:, None], 0.45 * truth + 0.55 * np.roll(truth, 1, axis=1), truth)
            return table.assign(label=p.argmax(1), **{f"p_{c}": p[:, c] for c in range(CLASSES)})

    n, rng = 20, np.random.default_rng(0)
    truth, sets = np.arange(n) % CLASSES, np.full(n, "P")
    right = {}
    for candidates in (1, 2):
        config = NoiseALConfig(
            query_budget=n, query_rounds=1, demonstrations=0, candidates=candidates, trust="full"
        )
        data = Observed([f"text{i}" for i in range(n)], (truth + 2) % CLASSES)
        asked = Rectification(data, [f"class{c}" for c in range(CLASSES)], config, Torn(), None)
        mean = np.full((n, CLASSES), 1 / CLASSES)
        asked.query(Partition(sets, sets, *rng.random((4, n))), mean, np.zeros((n, 2), np.float32), 2)
        loss = NoiseALLoss(n, CLASSES, config)
        loss.set_targets(sets, data.noisy_label, asked.learnt, mean, said=asked.said())
        assert (loss.kind == PURIFIED).all()
        # What such a target teaches one who holds the truth possible, and likelier than what comes after it.
        logits = (2 * torch.eye(CLASSES)[truth]).requires_grad_()
        for _ in range(50):
            output = Output(logits, logits)
            (slope,) = torch.autograd.grad(
                loss("strong", None, output, np.arange(n), rng)[0], logits, retain_graph=True
            )
            logits = (logits - n * 0.2 * slope).detach().requires_grad_()
        right[candidates] = (logits.argmax(1).numpy() == truth).mean()
        resumed = Rectification(data, asked.label_names, config, Torn(), None)
        resumed.restore(*asked.state())
        np.testing.assert_array_equal(resumed.said(), asked.said())
    assert right == {1: 0.5, 2: 1.0}


@given(st.integers(40, 90), st.integers(0, 10_000), st.integers(2, 60), st.booleans())
@settings(max_examples=20)
def test_the_annotator_is_measured_first(n: int, seed: int, budget: int, good: bool) -> None:
    config = NoiseALConfig(
        warmup_epochs=2, epochs=6, query_budget=budget, demonstrations=3, demonstration_space="strong",
        trust="measured",
    )  # fmt: skip
    rng, spy = np.random.default_rng(seed), Spy()
    truth = np.arange(n) % CLASSES  # what the spy answers, if it does
    label = truth if good else (truth + rng.integers(1, CLASSES, n)) % CLASSES
    data = Observed([f"text{i}" for i in range(n)], label)
    names = [f"class{c}" for c in range(CLASSES)]
    rectification = Rectification(data, names, config, spy, None)
    sets = rng.choice(list("RHP"), n, p=[0.6, 0.3, 0.1])
    partition = Partition(sets, sets, *rng.random((4, n)))
    mean, embedding = rng.dirichlet(np.ones(CLASSES), n), rng.normal(size=(n, 5)).astype(np.float32)
    for epoch in range(2, 6):
        rectification.query(partition, mean, embedding, epoch)
    table, trust = rectification.annotations(), rectification.trust
    probe = np.flatnonzero(rectification.probe)
    assert len(table) == rectification.n_queries <= budget
    assert not table["index"].duplicated().any()
    assert len(probe) == min(max(8, -(-budget // 8)), budget // 2, (sets == "R").sum())
    assert sorted(table.loc[table["set"] == "R", "index"]) == probe.tolist()
    by_label = np.bincount(label[probe], minlength=CLASSES)
    there = np.bincount(label[sets == "R"], minlength=CLASSES)
    assert ((by_label >= by_label.max() - 1) | (by_label == there)).all(), "evenly over the labels"
    # H is asked about once P is exhausted, and what is a probe is no example any more.
    order = table.loc[table["set"] != "R", "set"].tolist()
    assert order == sorted(order, reverse=True)
    assert order.count("P") == min(len(order), (sets == "P").sum())
    # Within a set, what promises to tell most comes first: one round, so one estimate of the annotator.
    first = table[table["epoch"] == table["epoch"].min()]
    probed = first.loc[first["set"] == "R", "index"].to_numpy()
    probed = probed[rectification.answer[probed] != -1]
    then = Trust.measure(rectification.answer[probed], label[probed], CLASSES, config.probe_right)
    gain = then.gain(then.models(mean))
    for name in "PH":
        asked = gain[first.loc[first["set"] == name, "index"]]
        assert (np.diff(asked) <= 1e-12).all()
        if len(asked) and name == "P":
            assert (
                asked[-1]
                >= np.delete(gain, first["index"])[np.delete(sets, first["index"]) == "P"].max(initial=0)
                - 1e-12
            )
    for epoch, asked in table.groupby("epoch"):
        known = set(table.loc[(table["set"] == "R") & (table["epoch"] <= epoch), "index"])
        assert not known & {i for row in asked["demonstrations"] for i in row}
    # Only answers are learnt, and those of an annotator that contradicts all trusted labels are not.
    told = rectification.learnt != -1
    assert (rectification.learnt[told] == rectification.answer[told]).all()
    assert table["learnt"].tolist() == told[table["index"]].tolist()
    assert table["sure"].isna().tolist() == (table["label"] == -1).tolist()
    answered = (rectification.answer[probe] != -1).sum()
    assert trust is not None
    assert (trust.n, trust.agreed) == (answered, answered if good else 0)
    if answered >= 6:
        assert (trust.accuracy > 0.7) if good else (trust.accuracy < 0.5)
    resumed = Rectification(data, names, config, spy, None)
    resumed.restore(*rectification.state())
    pd.testing.assert_frame_equal(resumed.annotations(), table)
    assert (resumed.learnt == rectification.learnt).all()


def test_acquisition_by_entropy_and_at_random() -> None:
    p = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.4, 0.3, 0.3], [0.8, 0.1, 0.1]])

    def order(rule: str, seed: int = 0, of: Any = (0, 1, 2, 3)) -> list[int]:
        rng = np.random.default_rng(seed)
        return acquisition_order(p, np.array([1, 1, 2, -1]), np.array(of), rule, rng).tolist()

    assert order("uncertain") == [2, 1, 3, 0]
    assert order("uncertain", of=(3, 1)) == [1, 3]
    assert sorted(order("random")) == [0, 1, 2, 3]
    assert order("random", 1) == order("random", 1)
    assert len({tuple(order("random", seed)) for seed in range(9)}) > 1


def test_in_the_warm_up_labels_are_learnt_and_missing_ones_are_not() -> None:
    loss = NoiseALLoss(3, CLASSES, NoiseALConfig())
    loss.set_observed(np.array([2, -1, 0]))
    assert loss.kind.tolist() == [CLEAN, IGNORED, CLEAN]
    assert loss.target.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]

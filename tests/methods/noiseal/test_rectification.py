from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from nlkit.annotate.base import answer_table
from nlkit.data.observed import Observed
from nlkit.methods.noiseal import plain
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.loss import CLEAN, HARD, IGNORED, PURIFIED, NoiseALLoss
from nlkit.methods.noiseal.partition import DynamicThreshold, Partition
from nlkit.methods.noiseal.rectification import Rectification, acquisition_order

CLASSES = 4


class Spy:
    """Answers class (length of the text) mod C, abstains on every fifth text, and keeps what it was asked."""

    name, simulated = "spy", True

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], Any]] = []

    def annotate(self, texts: Any, label_names: Any, demonstrations: Any = None) -> pd.DataFrame:
        self.calls.append((list(texts), demonstrations))
        p = np.full((len(texts), len(label_names)), 0.1)
        for i, text in enumerate(texts):
            p[i, int(text[4:]) % len(label_names)] = 0.7
        return answer_table(
            p, list(label_names), abstain=np.array([int(t[4:]) % 5 == 0 for t in texts]),
            source=["model"] * len(texts), prompt_tokens=[1] * len(texts), prompts=list(texts),
        )  # fmt: skip


@dataclass
class Loop:
    """NoiseAL's loop over random predictions: partition, query, set targets."""

    rectification: Rectification
    threshold: DynamicThreshold
    loss: NoiseALLoss
    rng: np.random.Generator
    epoch: int = 0
    mean: Any = field(default=None)

    @property
    def partition(self) -> Partition:
        assert self.threshold.last is not None
        return self.threshold.last

    def step(self) -> None:
        """Go through one epoch, as `NoiseAL.fit` does after training."""
        self.epoch += 1
        noisy, c, rng = self.rectification.data.noisy_label, self.rectification.config, self.rng
        n, predictions = len(noisy), []
        # A third of the samples is trusted by both, a third sure of something else, a third undecided.
        for _ in ("strong", "weak"):
            p = rng.dirichlet(np.full(CLASSES, 0.3), n)
            third = np.arange(n) % 3
            sure = np.where(third == 0, noisy % CLASSES, (noisy + 1) % CLASSES)
            predictions.append(np.where((third < 2)[:, None], 0.1 * p + 0.9 * np.eye(CLASSES)[sure], p))
        self.mean = (predictions[0] + predictions[1]) / 2
        partition = self.threshold.partition(*predictions, noisy)
        if self.epoch >= c.warmup_epochs:
            if self.epoch < c.epochs:
                embedding = rng.normal(size=(n, 5)).astype(np.float32)
                self.rectification.query(partition, self.mean, embedding, self.epoch)
            self.loss.set_targets(partition.set, noisy, self.rectification.answer, self.mean)


def make(n: int, seed: int, annotator: Any, **overrides: Any) -> Loop:
    config = NoiseALConfig(
        **{"warmup_epochs": 2, "epochs": 8, "query_budget": 12, "query_rounds": 3, "demonstrations": 3,
           "margin": 0.1, "demonstration_space": "strong", **overrides}
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    data = Observed([f"text{i}" for i in range(n)], rng.integers(-1, CLASSES, n))
    loss = NoiseALLoss(n, CLASSES, config)
    loss.set_observed(data.noisy_label)
    threshold = DynamicThreshold(n, CLASSES, momentum=config.momentum, margin=config.margin, cap=config.cap)
    names = [f"class{c}" for c in range(CLASSES)]
    return Loop(Rectification(data, names, config, annotator, None), threshold, loss, rng)


def check_targets(loop: Loop) -> None:
    known = loop.rectification
    kind, target = plain.targets(
        loop.partition.set, known.answer, known.data.noisy_label, loop.mean, known.config.temperature
    )
    assert (loop.loss.kind == kind).all()
    np.testing.assert_allclose(loop.loss.target, target, atol=1e-5)


@given(st.integers(3, 80), st.integers(0, 10_000), st.sampled_from([0.3, 1.0]))
@settings(max_examples=20)
def test_targets_follow_sets_and_answers(n: int, seed: int, temperature: float) -> None:
    loop = make(n, seed, Spy(), temperature=temperature)
    noisy = loop.rectification.data.noisy_label
    for number in range(1, 9):
        loop.step()
        assert sum(loop.partition.sizes.values()) == n
        if number < 2:  # warming up: CE on every observed label, and nothing for missing ones
            assert (loop.loss.kind == np.where(noisy >= 0, CLEAN, IGNORED)).all()
            assert (loop.loss.target.argmax(1)[noisy >= 0] == noisy[noisy >= 0]).all()
        else:
            check_targets(loop)
    if n > 30:
        assert {CLEAN, PURIFIED, HARD} <= set(loop.loss.kind.tolist())


@given(st.integers(30, 90), st.integers(0, 10_000), st.integers(0, 30), st.integers(1, 4))
@settings(max_examples=20)
def test_queries(n: int, seed: int, budget: int, rounds: int) -> None:
    spy = Spy()
    loop = make(n, seed, spy, query_budget=budget, query_rounds=rounds)
    label, asked = loop.rectification.data.noisy_label, []
    answers = np.full(n, -1)
    for number in range(1, 9):
        calls = len(spy.calls)
        loop.step()
        sets, new = loop.partition.set, spy.calls[calls:]
        if number < 2 or number == 8:
            assert not new  # none in the warm-up, nor when nothing will be learned any more
        for texts, demonstrations in new:
            assert 0 < len(texts) <= -(-budget // rounds)
            for i, (text, shown) in enumerate(zip(texts, demonstrations or [[]] * len(texts), strict=True)):
                me = int(text[4:])
                assert sets[me] == "P"
                assert me not in asked
                asked.append(me)
                assert len(shown) <= 3
                for example in shown:
                    other = int(example.text[4:])
                    assert other != me
                    assert sets[other] == "R"
                    assert example.label == label[other]
                    assert answers[other] in (-1, label[other])  # never one that an answer contradicts
                table = loop.rectification.tables[-1]
                assert table["demonstrations"][i] == [int(example.text[4:]) for example in shown]
                if me % 5:
                    answers[me] = me % CLASSES
        assert loop.rectification.n_queries == len(asked) <= budget
        # Answers are kept for good, whatever set a sample is in later.
        assert (loop.rectification.answer == answers).all()
    assert loop.rectification.annotations()["index"].tolist() == asked


def test_abstentions_are_hard_and_not_queried_again() -> None:
    loop = make(90, 1, Spy(), query_budget=60)
    for _ in range(8):
        loop.step()
    abstained = loop.rectification.queried & (loop.rectification.answer == -1)
    assert abstained.any()
    assert (loop.loss.kind[abstained & (loop.partition.set != "R")] == HARD).all()
    check_targets(loop)


def test_without_an_annotator_purified_is_hard() -> None:
    loop = make(60, 0, None)
    for _ in range(4):
        loop.step()
    assert loop.rectification.n_queries == len(loop.rectification.annotations()) == 0
    assert (loop.partition.set == "P").any()
    assert (loop.loss.kind[loop.partition.set == "P"] == HARD).all()


def test_the_state_travels_through_a_checkpoint(tmp_path: Any) -> None:
    from nlkit.models.saving import load_tensors, save_tensors

    loop, other = make(60, 0, Spy()), make(60, 0, Spy())
    for _ in range(5):
        loop.step()
    for part in ("rectification", "threshold", "loss"):
        save_tensors(tmp_path / part, *getattr(loop, part).state())
        getattr(other, part).restore(*load_tensors(tmp_path / part))
    assert other.rectification.n_queries == loop.rectification.n_queries > 0
    pd.testing.assert_frame_equal(other.rectification.annotations(), loop.rectification.annotations())
    # A finished run that is started again still knows its partition.
    pd.testing.assert_frame_equal(other.partition.table(), loop.partition.table())
    other.rng = np.random.default_rng(1)
    loop.rng, other.epoch = np.random.default_rng(1), loop.epoch
    for one in (loop, other):
        one.step()
    pd.testing.assert_frame_equal(other.partition.table(), loop.partition.table())
    assert (other.loss.target == loop.loss.target).all()


def test_acquisition() -> None:
    p = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.4, 0.3, 0.3], [0.8, 0.1, 0.1]])
    noisy, every = np.array([1, 1, 2, -1]), np.arange(4)

    def order(rule: str, seed: int = 0) -> list[int]:
        return acquisition_order(p, noisy, every, rule, np.random.default_rng(seed)).tolist()

    # max p − p[observed]: 0.8, 0.2, 0.1, and 0.8 − 0 for the missing label; ties keep the data's order.
    assert order("confident_disagreement") == [0, 3, 1, 2]
    assert order("uncertain") == [2, 1, 3, 0]
    assert sorted(order("random")) == [0, 1, 2, 3]
    assert order("random", 1) == order("random", 1)
    some = acquisition_order(p, noisy, np.array([2, 1]), "confident_disagreement", np.random.default_rng(0))
    assert some.tolist() == [1, 2]

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from nlkit.annotate.base import answer_table
from nlkit.data.observed import Observed
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.loss import CLEAN, HARD, IGNORED, PURIFIED, NoiseALLoss
from nlkit.methods.noiseal.rectification import Rectifier, acquisition_order
from nlkit.training import DynamicsRecorder, Prediction
from tests.reference import objective as reference

CLASSES = 4
KINDS = {"clean": CLEAN, "purified": PURIFIED, "hard": HARD}


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


def make(n: int, seed: int, annotator: Any, **overrides: Any) -> tuple[Rectifier, Any]:
    """Return a rectifier without a trainer, and a function that shows it the predictions of an epoch."""
    config = NoiseALConfig(
        **{"warmup_epochs": 2, "epochs": 8, "query_budget": 12, "query_rounds": 3, "demonstrations": 3,
           "margin": 0.1, "demonstration_space": "strong", **overrides}
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    noisy = rng.integers(-1, CLASSES, n)
    data = Observed([f"text{i}" for i in range(n)], noisy)
    recorder = DynamicsRecorder()
    objective = NoiseALLoss(n, CLASSES, config)
    names = [f"class{c}" for c in range(CLASSES)]
    rectifier = Rectifier(data, names, config, recorder, objective, annotator, None)
    trainer = SimpleNamespace(
        epoch=0, epochs=config.epochs, accelerator=SimpleNamespace(is_main_process=True, num_processes=1)
    )

    def epoch() -> dict[str, float]:
        # A third of the samples is trusted by both, a third sure of something else, a third undecided.
        for model in ("strong", "weak"):
            p = rng.dirichlet(np.full(CLASSES, 0.3), n)
            third = np.arange(n) % 3
            sure = np.where(third == 0, noisy % CLASSES, (noisy + 1) % CLASSES)
            p = np.where((third < 2)[:, None], 0.1 * p + 0.9 * np.eye(CLASSES)[sure], p)
            embedding = rng.normal(size=(n, 5)).astype(np.float32)
            recorder.latest[model] = Prediction(p.astype(np.float32), embedding)
        trainer.epoch += 1
        row: dict[str, float] = {}
        rectifier.on_epoch_end(trainer, row)  # type: ignore[arg-type]
        return row

    return rectifier, epoch


def check_targets(rectifier: Rectifier) -> None:
    config, objective = rectifier.config, rectifier.objective
    latest = rectifier.recorder.latest
    mean = (latest["strong"].probability.astype(float) + latest["weak"].probability) / 2
    assert rectifier.split is not None
    for i, name in enumerate(rectifier.split.set):
        kind, target = reference.teach(
            name, int(rectifier.data.noisy_label[i]), int(rectifier.answer[i]), mean[i].tolist(),
            config.temperature,
        )  # fmt: skip
        assert objective.kind[i] == KINDS[kind]
        np.testing.assert_allclose(objective.target[i], target, atol=1e-5)


@given(st.integers(3, 80), st.integers(0, 10_000), st.sampled_from([0.3, 1.0]))
@settings(max_examples=20)
def test_targets_follow_sets_and_answers(n: int, seed: int, temperature: float) -> None:
    rectifier, epoch = make(n, seed, Spy(), temperature=temperature)
    known = rectifier.data.noisy_label >= 0
    for number in range(1, 9):
        row = epoch()
        assert rectifier.split is not None
        assert row["n_R"] + row["n_H"] + row["n_P"] == n
        if number < 2:  # warming up: CE on every observed label, and nothing for missing ones
            assert (rectifier.objective.kind == np.where(known, CLEAN, IGNORED)).all()
            assert (rectifier.objective.target.argmax(1)[known] == rectifier.data.noisy_label[known]).all()
        else:
            check_targets(rectifier)
    if n > 30:
        assert {CLEAN, PURIFIED, HARD} <= set(rectifier.objective.kind.tolist())


@given(st.integers(30, 90), st.integers(0, 10_000), st.integers(0, 30), st.integers(1, 4))
@settings(max_examples=20)
def test_questions(n: int, seed: int, budget: int, rounds: int) -> None:
    spy = Spy()
    rectifier, epoch = make(n, seed, spy, query_budget=budget, query_rounds=rounds)
    label, asked = rectifier.data.noisy_label, []
    answers = np.full(n, -1)
    for number in range(1, 9):
        calls = len(spy.calls)
        row = epoch()
        assert rectifier.split is not None
        sets = rectifier.split.set
        new = spy.calls[calls:]
        if number < 2 or number == 8:
            assert not new  # nobody is asked in the warm-up, nor when nothing will be learned any more
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
                table = rectifier.answers[-1]
                assert table["demonstrations"][i] == [int(example.text[4:]) for example in shown]
                if me % 5:
                    answers[me] = me % CLASSES
        assert row["queries"] == len(asked) <= budget
        # Answers are kept for good, whatever set a sample is in later.
        assert (rectifier.answer == answers).all()
    table = rectifier.annotations()
    assert table["index"].tolist() == asked
    assert len(rectifier.partition()) == n
    assert (rectifier.partition()["llm_label"] == answers).all()


def test_abstentions_are_hard_and_not_asked_again() -> None:
    rectifier, epoch = make(90, 1, Spy(), query_budget=60)
    for _ in range(8):
        epoch()
    assert rectifier.split is not None
    abstained = rectifier.asked & (rectifier.answer == -1)
    assert abstained.any()
    assert (rectifier.objective.kind[abstained & (rectifier.split.set != "R")] == HARD).all()
    check_targets(rectifier)


def test_without_an_annotator_purified_is_hard() -> None:
    rectifier, epoch = make(60, 0, None)
    for _ in range(4):
        row = epoch()
    assert rectifier.split is not None
    assert row["queries"] == 0
    assert (rectifier.split.set == "P").any()
    assert (rectifier.objective.kind[rectifier.split.set == "P"] == HARD).all()
    assert len(rectifier.annotations()) == 0


def test_the_state_travels_through_a_checkpoint(tmp_path: Any) -> None:
    from nlkit.models.saving import load_tensors, save_tensors

    rectifier, epoch = make(60, 0, Spy())
    for _ in range(5):
        epoch()
    save_tensors(tmp_path / "state.safetensors", *rectifier.state())
    other, _ = make(60, 0, Spy())
    other.recorder.latest = rectifier.recorder.latest  # restored before the rectifier
    other.restore(*load_tensors(tmp_path / "state.safetensors"))
    assert other.budget.to_dict() == rectifier.budget.to_dict()
    assert (other.asked == rectifier.asked).all()
    pd.testing.assert_frame_equal(other.annotations(), rectifier.annotations())
    assert (other.objective.kind == rectifier.objective.kind).all()
    assert (other.objective.target == rectifier.objective.target).all()
    # A finished run that is started again still knows its partition.
    pd.testing.assert_frame_equal(other.partition(), rectifier.partition())


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

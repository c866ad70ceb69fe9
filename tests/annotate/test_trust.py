"""Whether an annotator is to be believed: the estimate, its posterior, and who is asked a second time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit.annotate import Escalate, Simulated, Trust
from nlkit.annotate.base import answer_table


def answers_of(rng: np.random.Generator, truth: Any, right: float, classes: int) -> Any:
    """Answers that are right with a probability, and otherwise any other class."""
    other = (truth + rng.integers(1, classes, len(truth))) % classes
    return np.where(rng.random(len(truth)) < right, truth, other)


@given(st.integers(2, 12), st.floats(0.0, 1.0), st.integers(0, 60), st.integers(0, 10_000))
def test_posterior_and_gain_by_bayes(classes: int, right: float, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.integers(classes, size=n)
    trust = Trust.measure(answers_of(rng, label, right, classes), label, classes, 0.9)
    np.testing.assert_allclose(trust.confusion.sum(1), 1)
    assert trust.low <= trust.accuracy + 0.01
    assert trust.accuracy <= trust.high + 0.01
    assert trust.accuracy == pytest.approx(np.diag(trust.confusion).mean())
    prior, answer = rng.dirichlet(np.ones(classes), 5), rng.integers(classes, size=5)
    found, gain = trust.posterior(prior, answer), trust.gain(prior)
    for i, p in enumerate(prior):
        joint = [[p[y] * trust.confusion[y, k] for k in range(classes)] for y in range(classes)]
        column = [joint[y][answer[i]] for y in range(classes)]
        np.testing.assert_allclose(found[i], np.array(column) / sum(column))
        said = np.sum(joint, axis=0)
        told = sum(
            joint[y][k] * np.log(joint[y][k] / (p[y] * said[k]))
            for y in range(classes) for k in range(classes)
        )  # fmt: skip
        assert gain[i] == pytest.approx(told, abs=1e-8)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held, widths = [], {}
    for n in (12, 100):
        for seed in range(150):
            rng = np.random.default_rng([seed, n])
            label, right = rng.integers(5, size=n), rng.uniform(0.2, 1.0)
            trust = Trust.measure(answers_of(rng, label, right, 5), label, 5)
            held.append(trust.low - 0.005 <= right <= trust.high + 0.005)
            widths.setdefault(n, []).append(trust.high - trust.low)
    assert 0.82 < np.mean(held) < 0.97
    assert np.mean(widths[100]) < 0.6 * np.mean(widths[12])


def test_a_habit_is_no_knowledge() -> None:
    label = np.arange(40) % 4
    habit = Trust.measure(np.zeros(40, int), label, 4)
    knowing = Trust.measure(np.where(np.arange(40) % 8 == 0, 3, label), label, 4)
    assert habit.knows < 0.1
    assert habit.habit.argmax() == 0
    assert knowing.knows > 0.7
    assert habit.evidence[0] < 1.1 < 3 < knowing.evidence.min()
    prior = np.full((1, 4), 0.25)
    assert habit.posterior(prior, np.array([0]))[0, 0] < 0.4 < knowing.posterior(prior, np.array([0]))[0, 0]
    assert habit.gain(prior) < 0.1 * knowing.gain(prior)


def test_wrong_labels_among_the_trusted_ones_are_allowed_for() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(6, size=200)
    label = answers_of(rng, truth, 0.8, 6)
    strict, lenient = (Trust.measure(truth, label, 6, right) for right in (1.0, 0.8))
    assert strict.high < 0.9
    assert lenient.accuracy > 0.93


def test_without_a_trusted_text_nothing_is_known() -> None:
    nothing = Trust.measure(np.array([], int), np.array([], int), 3)
    assert (nothing.low, nothing.high) == (
        pytest.approx(1 / 3 + 2 / 3 * 0.05, abs=0.01),
        pytest.approx(0.97, abs=0.01),
    )
    assert nothing.accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize(("power", "sharper"), [(0.3, True), (3.0, False)])
def test_the_annotator_tells_how_sure_the_models_may_be(power: float, sharper: bool) -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.full(5, 0.4), 300)
    truth = np.array([rng.choice(5, p=row) for row in p])
    said = p**power / (p**power).sum(1, keepdims=True)  # flatter or sharper than they should be
    trust = Trust.measure(truth[:50], truth[:50], 5).beside(said, truth)
    assert (trust.sharpness > 1.5) if sharper else (trust.sharpness < 0.7)
    # One who knows nothing changes it little.
    clueless = Trust.measure(np.zeros(50, int), truth[:50], 5).beside(said, np.zeros(300, int))
    assert abs(np.log2(clueless.sharpness)) <= 0.5


def test_a_doubted_answer_goes_to_the_dear_annotator() -> None:
    texts, names = [f"text {i}" for i in range(60)], ["a", "b", "c"]
    truth = {text: i % 3 for i, text in enumerate(texts)}

    class Dear:
        name, simulated = "dear", False

        def __init__(self) -> None:
            self.asked: list[Any] = []

        def annotate(self, texts: Any, label_names: Any, demonstrations: Any = None) -> Any:
            self.asked.append((list(texts), demonstrations))
            p = np.eye(3)[[truth[text] for text in texts]]
            n = len(texts)
            return answer_table(
                p, names, abstain=np.array([text == "text 7" for text in texts]), source=["model"] * n,
                prompt_tokens=[0] * n, prompts=texts,
            )  # fmt: skip

    cheap, dear = Simulated(0.5, truth, abstain_rate=0.2), Dear()
    both, alone = Escalate(cheap, dear), cheap.annotate(texts, names)
    shown = [[(f"example {i}", 0)] for i in range(60)]
    table = both.annotate(texts, names, shown)
    abstained = np.flatnonzero(alone["label"] == -1)
    assert table["label"].drop(abstained).equals(alone["label"].drop(abstained))
    assert (table["by"] == "dear").to_numpy().nonzero()[0].tolist() == [i for i in abstained if i != 7]
    assert dear.asked == [([texts[i] for i in abstained], [shown[i] for i in abstained])]
    # With guesses that are right, every wrong answer is asked for again.
    table = both.annotate(texts, names, guesses=[i % 3 for i in range(60)])
    assert (table["label"].drop(7) == np.arange(60)[np.arange(60) != 7] % 3).all()
    assert len(dear.asked[-1][0]) == (alone["label"] != np.arange(60) % 3).sum()
    assert Escalate(cheap, dear, below=1.0).annotate(texts, names)["by"].eq("dear").sum() == 59
    with pytest.raises(ValueError, match="LocalLLM"):
        Escalate("smollm2", dear)

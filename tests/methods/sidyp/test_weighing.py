"""Who judges, how much each stage counts where there is little to go by, and when a label gives way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import nlkit as nk
from nlkit.data.observed import Observed
from nlkit.methods.sidyp.weighing import ALIKE, ALONE, CHANGE, Judge, Seen, Weighing
from tests.methods.sidyp.test_detection import C

CONFIG = nk.SiDyP(profile="quick", neighbours=3).config
N = 60


def texts() -> tuple[Observed, np.ndarray, np.ndarray]:
    """Observed labels, a seventh of them wrong, and both spaces of texts whose class is plain to see."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % C
    label = np.where(np.arange(N) % 7 == 0, (y + 1) % C, y)
    text = np.eye(C)[y] + 0.1 * rng.normal(size=(N, C))
    return Observed([f"text {i}" for i in range(N)], label), text, np.stack([text, text])


def weighed(label: np.ndarray) -> tuple[Weighing, Seen]:
    """Return what a method knows after its prior, with each sixth text's label held out."""
    _, text, early = texts()
    weighing = Weighing(CONFIG, C, 2)
    judge = Judge("train", np.where(np.arange(N) % 6 == 1, label, -1))
    weighing.prior({"train": text}, {"train": early}, label, np.zeros(N, bool), 0.2, judge)
    p = torch.full((2, N, C), 1 / C)
    return weighing, Seen(torch.zeros(2, N, 1), p, text, early, text)


class TestJudge:
    def split(self, label: np.ndarray) -> Dataset:
        columns = {"text": [f"v {i}" for i in range(len(label))], "noisy_label": label.tolist()}
        feature = ClassLabel(num_classes=C)
        return Dataset.from_dict(columns, Features({"text": Value("string"), "noisy_label": feature}))

    def test_validation_labels_judge_where_there_are_any(self) -> None:
        data, _, _ = texts()
        label = np.array([0, -1, 2])
        judge = Judge.of(DatasetDict({"validation": self.split(label)}), data, CONFIG)
        assert (judge.split, judge.label.tolist()) == ("validation", label.tolist())
        assert np.array_equal(judge.learnt(data.noisy_label), data.noisy_label)

    @pytest.mark.parametrize("validation", [None, np.array([-1, -1])])
    def test_else_a_sixth_of_the_training_labels_that_is_not_learnt(
        self, validation: np.ndarray | None
    ) -> None:
        data, _, _ = texts()
        ds = DatasetDict({} if validation is None else {"validation": self.split(validation)})
        judge = Judge.of(ds, data, CONFIG)
        held = judge.label >= 0
        assert (judge.split, held.sum()) == ("train", N // 6)
        assert np.array_equal(judge.label[held], data.noisy_label[held])
        assert ((judge.learnt(data.noisy_label) == -1) == held).all()

    def test_nothing_is_held_out_where_nothing_is_weighed(self) -> None:
        data, _, _ = texts()
        judge = Judge.of({}, data, dataclasses.replace(CONFIG, evidence=False))
        assert (judge.label == -1).all()
        assert np.array_equal(judge.learnt(data.noisy_label), data.noisy_label)


class TestWeighing:
    @pytest.mark.parametrize(("n", "wanted"), [(60, ALONE), (250, ALONE), (1000, ALIKE), (5000, ALIKE)])
    def test_without_labels_the_size_decides(self, n: int, wanted: tuple[float, ...]) -> None:
        weighing = Weighing(CONFIG, C, 2)
        weighing.weigh_stages(np.empty((3, 0, C)), np.empty(0, np.int64), n)
        np.testing.assert_allclose(weighing.exponents, wanted)

    def test_the_epoch_that_memorised_loses_weight(self) -> None:
        label = np.arange(40) % C
        fresh, stale = (np.repeat((e * np.eye(C)[y] + (1 - e) / C)[:, None], 2, 1) for e, y in
                        ((0.6, label), (0.95, np.roll(label, 1))))  # fmt: skip
        weighing = Weighing(CONFIG, C, 2)
        weighing.weigh_epochs([fresh, stale], Judge("validation", label))
        assert weighing.epochs[0] > 0.8
        wanted = (weighing.epochs[0].item() * fresh + weighing.epochs[1].item() * stale).transpose(1, 0, 2)
        np.testing.assert_allclose(weighing.p_observed([fresh, stale]), wanted, atol=1e-6)

    def test_a_class_that_nobody_named_is_not_lifted(self) -> None:
        data, _, _ = texts()
        weighing, _ = weighed(np.where(data.noisy_label == 2, 1, data.noisy_label))
        assert weighing.share[2] == 1.0
        flat = np.full((3, N, C), 1 / C)
        assert weighing.blended(flat)[:, 2].max() < 1 / C

    def test_a_label_gives_way_to_a_clearly_likelier_one_alone(self) -> None:
        (data, _, _), y = texts(), np.arange(N) % C
        weighing, seen = weighed(data.noisy_label)
        wrong, row = data.noisy_label != y, np.arange(N)
        sure = (0.97 * np.eye(C)[y] + 0.03 / C).astype(np.float32)
        p, why = weighing.refined(seen, sure, data.noisy_label)
        changed = p.argmax(1) != data.noisy_label
        assert not (changed & ~wrong).any()
        assert changed.sum() >= wrong.sum() / 2
        assert {one.split(", ")[-1] for one in why[changed]} == {"diffusion"}
        assert ((why == "kept") == ~changed).all()
        assert (p.max(1) >= CHANGE * p[row, data.noisy_label])[changed].all()
        np.testing.assert_allclose(p.sum(1), 1.0, atol=1e-5)
        # Neighbours alone do not suffice against a diffusion that believes the observed label.
        loyal = (0.6 * np.eye(C)[data.noisy_label] + 0.4 / C).astype(np.float32)
        p, why = weighing.refined(seen, loyal, data.noisy_label)
        assert (p.argmax(1) == data.noisy_label).all()
        assert (why == "kept").all()

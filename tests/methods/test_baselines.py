from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import DatasetDict

from nlkit.methods.baselines import LOSSES, Baseline, BaselineConfig, BaselineLoss
from nlkit.models.classifiers import Output
from nlkit.training import losses
from tests.methods.helpers import interrupt, replaced


def texts(ds: DatasetDict) -> list[str]:
    return list(ds["test"]["text"])


def majority(ds: DatasetDict) -> float:
    return np.bincount(ds["test"]["label"]).max() / len(ds["test"])


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(loss: str, noisy: DatasetDict) -> None:
    clf = Baseline(loss=loss, profile="quick", epochs=8).fit(noisy)
    assert clf.evaluate(noisy["test"])["accuracy"] > majority(noisy) + 0.1
    assert len(clf.history_) == 8
    assert np.isfinite(clf.history_.to_numpy()).all()


def test_missing_labels_are_left_out(noisy: DatasetDict) -> None:
    keep = np.arange(400) % 3 != 0
    with_holes = replaced(noisy["train"], "noisy_label", np.where(keep, noisy["train"]["noisy_label"], -1))
    a, b = (
        Baseline(profile="quick", epochs=2).fit(DatasetDict({"train": part}))
        for part in (with_holes, noisy["train"].select(np.flatnonzero(keep)))
    )
    assert np.array_equal(a.predict_proba(texts(noisy)), b.predict_proba(texts(noisy)))


def test_the_best_epoch_by_noisy_validation_and_dynamics_on_request(noisy: DatasetDict) -> None:
    plain, recorded = (Baseline(profile="quick", epochs=8, record=r).fit(noisy) for r in (False, True))
    accuracy = recorded.history_["accuracy_noisy_validation"].to_numpy()
    assert recorded.best_epoch_ == accuracy.argmax() + 1  # the first of equals
    assert recorded.dynamics_["strong"].shape == (8, len(noisy["train"]), 8)
    assert not plain.dynamics_
    assert np.array_equal(plain.predict_proba(texts(noisy)), recorded.predict_proba(texts(noisy)))


def test_the_objectives_are_the_losses() -> None:
    rng, index = np.random.default_rng(0), np.array([4, 1, 7])
    label, logits = rng.integers(0, 3, 10), torch.from_numpy(rng.normal(size=(3, 3)))
    target = torch.from_numpy(label[index])
    wanted = {
        "ce": losses.cross_entropy(logits, target),
        "gce": losses.generalised_cross_entropy(logits, target, q=0.5),
        "sce": losses.symmetric_cross_entropy(logits, target, alpha=0.2, beta=0.9),
        "label_smoothing": losses.cross_entropy(logits, target, label_smoothing=0.25),
    }
    for name, loss in wanted.items():
        config = BaselineConfig(loss=name, gce_q=0.5, sce_alpha=0.2, sce_beta=0.9, smoothing=0.25)
        got, parts = BaselineLoss(label, 3, config)("strong", None, Output(logits, logits), index, rng)
        assert float(got) == pytest.approx(float(loss.mean()))
        assert parts == {"loss": pytest.approx(float(got))}


def test_elr_remembers_predictions() -> None:
    objective = BaselineLoss(np.zeros(4, np.int64), 2, BaselineConfig(loss="elr", elr_memory=0.7))
    logits = torch.tensor([[2.0, 0.0]])
    p = logits.softmax(1)
    for times in (1, 2):
        objective("strong", None, Output(logits, logits), np.array([2]), np.random.default_rng(0))
        torch.testing.assert_close(objective.memory[2], (1 - 0.7**times) * p[0])
    assert (objective.memory[[0, 1, 3]] == 0).all()


@pytest.mark.parametrize("loss", ["elr", "mixup"])
def test_interrupted_and_resumed(
    loss: str, noisy: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(folder: Path | None) -> Baseline:
        return Baseline(loss=loss, profile="quick", epochs=4).fit(noisy, checkpoint=folder)

    whole = fit(None)
    batches = -(-len(noisy["train"]) // whole.config.batch_size)
    with monkeypatch.context() as patch:
        interrupt(patch, BaselineLoss, "_per_sample", 2 * batches + 3)
        clf = Baseline(loss=loss, profile="quick", epochs=4)
        with pytest.raises(KeyboardInterrupt, match="2 whole epochs are kept"):
            clf.fit(noisy, checkpoint=tmp_path)
    assert len(clf.history_) == 2
    assert clf.predict(["oil prices"]).shape == (1,)
    resumed = fit(tmp_path)
    assert np.array_equal(resumed.predict_proba(texts(noisy)), whole.predict_proba(texts(noisy)))
    assert resumed.history_.drop(columns="seconds").equals(whole.history_.drop(columns="seconds"))
    assert resumed.best_epoch_ == whole.best_epoch_
    with pytest.raises(ValueError, match="another run"):
        Baseline(loss="ce", profile="quick", epochs=4).fit(noisy, checkpoint=tmp_path)


def test_interrupted_in_the_first_epoch(noisy: DatasetDict, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, BaselineLoss, "_per_sample", 3)
    clf = Baseline(profile="quick", selection="noisy_validation")
    with pytest.raises(KeyboardInterrupt, match="0 whole epochs"):
        clf.fit(noisy)
    with pytest.raises(RuntimeError, match="not fitted"):
        clf.predict(["oil"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "mse"}, r"loss='mse'.*ce, gce, sce, elr, label_smoothing, mixup"),
        ({"gce_q": 0}, r"gce_q=0.*above 0"),
        ({"smoothing": 2}, r"smoothing=2.*at most 1"),
        ({"mixup_alpha": 0}, r"mixup_alpha=0.*above 0"),
        ({"elr_weight": -1}, r"elr_weight=-1.*at least 0"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Baseline(**settings)

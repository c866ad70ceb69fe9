"""Both models under cross-entropy: shapes, seeds, what is recorded, and that they learn real news."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import DatasetDict

import nlkit as nk
from nlkit.methods.noiseal import dynamics
from tests.methods.helpers import replaced


@pytest.fixture(scope="module")
def found(noisy):
    return dynamics.train_both(noisy, epochs=8, profile="quick", eval_splits=("test",))


def test_shapes_and_history(noisy, found):
    N = len(noisy["train"])
    for p in (found.strong, found.weak):
        assert p.shape == (8, N, 8)
        np.testing.assert_allclose(p.astype(float).sum(-1), 1, atol=5e-3)
    assert found.history.columns.tolist() == ["epoch", "model", "noisy_validation", "test"]
    assert found.history["epoch"].tolist() == [e for e in range(1, 9) for _ in range(2)]
    assert set(found.history["model"]) == {"strong", "weak"}


def test_the_weak_model_memorises_more(noisy, found):
    observed, label = (np.array(noisy["train"][c]) for c in ("noisy_label", "label"))
    strong, weak = (nk.plots.fitted_shares(p, observed, label) for p in (found.strong, found.weak))
    assert strong["clean"].max() > 0.85
    assert weak["mislabelled"].iloc[-1] > strong["mislabelled"].iloc[-1] + 0.1
    by_model = found.history.set_index(["model", "epoch"])["test"]
    assert by_model["strong"].max() > by_model["weak"].max()


def test_it_is_the_warmup_of_noiseal(noisy, found):
    warm = nk.NoiseAL(annotator=None, query_budget=0, profile="quick", epochs=9, warmup_epochs=8).fit(noisy)
    # The learning rates of a run of nine epochs rise a little longer; what is learnt is nearly the same.
    agree = (warm.dynamics_["strong"][7].argmax(-1) == found.strong[7].argmax(-1)).mean()
    assert agree > 0.85


def test_the_seed_decides(noisy, found):
    again = dynamics.train_both(noisy, epochs=8, profile="quick")
    np.testing.assert_array_equal(again.strong, found.strong)
    np.testing.assert_array_equal(again.weak, found.weak)
    assert again.history.columns.tolist() == ["epoch", "model", "noisy_validation"]
    other = dynamics.train_both(noisy, epochs=1, profile="quick", seed=1)
    assert other.strong.shape[0] == 1
    assert not np.array_equal(other.strong[0], found.strong[0])


def test_a_missing_label_is_predicted_and_not_learnt(noisy):
    train = noisy["train"]
    holes = replaced(train, "noisy_label", np.where(np.arange(400) < 30, -1, train["label"]))
    run = dynamics.train_both(DatasetDict({"train": holes}), epochs=4, profile="quick")
    assert np.isfinite(run.strong.astype(float)).all()
    assert run.history.columns.tolist() == ["epoch", "model"]  # nothing to score: no validation, no watch


@pytest.mark.parametrize(
    "bad", [*({"epochs": epochs} for epochs in (0, 1.5, True)), {"eval_splits": ("holiday",)}]
)
def test_bad_settings_are_named(noisy, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        dynamics.train_both(noisy, **{"epochs": 1, "profile": "quick", **bad})

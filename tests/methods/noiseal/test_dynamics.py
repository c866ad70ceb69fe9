"""Both models under cross-entropy: shapes, seeds, what is recorded, and that they learn real news."""

from __future__ import annotations

import numpy as np
import pytest

import nlkit as nk
from nlkit.methods.noiseal import dynamics


@pytest.fixture(scope="module")
def ds(r8_small):
    return nk.add_noise(r8_small, "symmetric", 0.4)


@pytest.fixture(scope="module")
def found(ds):
    return dynamics.train_both(ds, epochs=8, profile="quick", eval_splits=("test",))


def test_shapes_and_history(ds, found):
    N = len(ds["train"])
    for p in (found.strong, found.weak):
        assert p.shape == (8, N, 8)
        np.testing.assert_allclose(p.astype(float).sum(-1), 1, atol=5e-3)
    assert found.history.columns.tolist() == ["epoch", "model", "noisy_validation", "test"]
    assert found.history["epoch"].tolist() == [e for e in range(1, 9) for _ in range(2)]
    assert set(found.history["model"]) == {"strong", "weak"}


def test_the_weak_model_memorises_more(ds, found):
    noisy, label = (np.array(ds["train"][c]) for c in ("noisy_label", "label"))
    strong, weak = (nk.plots.fitted_shares(p, noisy, label) for p in (found.strong, found.weak))
    assert strong["clean"].max() > 0.85
    assert weak["mislabelled"].iloc[-1] > strong["mislabelled"].iloc[-1] + 0.1
    by_model = found.history.set_index(["model", "epoch"])["test"]
    assert by_model["strong"].max() > by_model["weak"].max()


def test_it_is_the_warmup_of_noiseal(ds, found):
    warm = nk.NoiseAL(annotator=None, query_budget=0, profile="quick", epochs=9, warmup_epochs=8).fit(ds)
    # The learning rates of a run of nine epochs rise a little longer; what is learnt is nearly the same.
    agree = (warm.dynamics_["strong"][7].argmax(-1) == found.strong[7].argmax(-1)).mean()
    assert agree > 0.85


def test_the_seed_decides(ds, found):
    again = dynamics.train_both(ds, epochs=8, profile="quick")
    np.testing.assert_array_equal(again.strong, found.strong)
    np.testing.assert_array_equal(again.weak, found.weak)
    assert again.history.columns.tolist() == ["epoch", "model", "noisy_validation"]
    other = dynamics.train_both(ds, epochs=1, profile="quick", seed=1)
    assert other.strong.shape[0] == 1
    assert not np.array_equal(other.strong[0], found.strong[0])


def test_a_missing_label_is_predicted_and_not_learnt(r8_small):
    noisy = np.array(r8_small["train"]["label"])
    noisy[:30] = -1
    small = type(r8_small)(train=r8_small["train"].add_column("noisy_label", noisy.tolist()))
    small = small.cast_column("noisy_label", r8_small["train"].features["label"])
    run = dynamics.train_both(small, epochs=4, profile="quick")
    assert np.isfinite(run.strong.astype(float)).all()
    assert run.history.columns.tolist() == ["epoch", "model"]  # nothing to score: no validation, no watch


@pytest.mark.parametrize("epochs", [0, -1, 1.5, True])
def test_bad_epochs(ds, epochs):
    with pytest.raises(ValueError, match="epochs"):
        dynamics.train_both(ds, epochs=epochs)


def test_bad_split(ds):
    with pytest.raises(ValueError, match="eval_splits"):
        dynamics.train_both(ds, epochs=1, profile="quick", eval_splits=("holiday",))

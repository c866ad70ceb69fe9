"""Labels that a person has decided on are trusted by every method that can tell labels apart."""

from __future__ import annotations

import numpy as np
import pytest

import nlkit as nk
from nlkit.data.observed import observe, with_column
from nlkit.study.cleaned import _find

N_CHECKED = 40


@pytest.fixture(scope="module")
def reviewed(r8_small):
    """R8 with 40 % wrong labels, of which some wrong ones are said to be checked: nobody would keep them."""
    ds = nk.add_noise(r8_small, kind="symmetric", rate=0.4, seed=0)
    wrong = np.array(ds["train"]["label"]) != np.array(ds["train"]["noisy_label"])
    checked = np.zeros(len(wrong), bool)
    checked[np.flatnonzero(wrong)[:N_CHECKED]] = True
    ds["train"] = with_column(ds["train"], "label_checked", checked.tolist())
    return ds, checked


SHARED = {"profile": "quick", "max_length": 32}


def test_noiseal_keeps_them_in_r(reviewed):
    ds, checked = reviewed
    method = nk.NoiseAL(annotator=None, query_budget=0, epochs=4, **SHARED).fit(ds)
    of = method.partition_["set"].to_numpy()
    assert (of[checked] == "R").all()
    assert set(method.partition_["reason"][checked]) == {"checked"}
    assert "checked" not in set(method.partition_["reason"][~checked])
    unchecked = nk.NoiseAL(annotator=None, query_budget=0, epochs=4, **SHARED)
    unchecked.fit(type(ds)(train=ds["train"].remove_columns("label_checked"), validation=ds["validation"]))
    assert (unchecked.partition_["set"].to_numpy()[checked] == "R").mean() < 0.5
    assert unchecked._trained_on != method._trained_on


def test_sidyp_changes_none_and_clean_suspects_none(reviewed):
    ds, checked = reviewed
    method = nk.SiDyP(diffusion_epochs=1, **SHARED).fit(ds)
    found = method.refine(ds)["train"]
    noisy, refined = np.array(found["noisy_label"]), np.array(found["refined_label"])
    assert (refined[checked] == noisy[checked]).all()
    assert set(np.array(found["refined_reason"])[checked]) == {"checked"}
    assert (refined != noisy).sum() > N_CHECKED
    bare = ds["train"].remove_columns("label_checked")
    assert (
        np.array(method.refine(type(ds)(train=bare))["train"]["refined_label"])[checked] != noisy[checked]
    ).any()

    noiseal = nk.NoiseAL(annotator=None, query_budget=0, epochs=4, **SHARED).fit(ds)
    proposal = _find(method, noiseal, type(ds)(train=ds["train"])).proposal
    assert (proposal[:, checked] == noisy[checked]).all()
    assert (proposal[:, ~checked] != noisy[~checked]).any(1).all()


def test_what_cleans_first_leaves_them(reviewed):
    ds, checked = reviewed
    knn = nk.KNNRelabel(epochs=1, **SHARED).fit(ds)
    assert not knn.relabelled_["changed"][checked].any()
    assert knn.relabelled_["changed"].sum() > N_CHECKED
    pruned = nk.ConfidentLearning(epochs=1, **SHARED).fit(ds).pruned_
    assert not pruned["issue"][checked].any()
    assert pruned["issue"].sum() > N_CHECKED


def test_only_truth_values_count(reviewed):
    ds, checked = reviewed
    assert np.array_equal(observe(ds, "train").checked, checked)
    said = with_column(ds["train"], "label_checked", [str(one) for one in checked])
    assert not observe(type(ds)(train=said), "train").checked.any()
    assert observe(ds, "train").labelled().checked.sum() == N_CHECKED

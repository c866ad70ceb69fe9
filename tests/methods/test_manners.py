"""What every method does alike: scikit-learn's manners, one run a seed, the best epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from sklearn.base import clone

import nlkit as nk
from tests.methods.conftest import LEARNING
from tests.models.test_encoder import family

METHODS = sorted(nk.METHODS)
IN_EPOCHS = [name for name in LEARNING if name != "LinearModel"]  # which has no epochs and no use for a seed


class Annotator:
    """Cannot be copied, as a loaded language model should not be."""

    name, simulated = "mine", True

    def annotate(self, texts: Any, label_names: Any, demonstrations: Any = None) -> Any:
        raise NotImplementedError

    def __deepcopy__(self, memo: Any) -> Any:
        raise AssertionError("copied")


@pytest.mark.parametrize("name", METHODS)
def test_parameters_are_read_and_cloned(name: str) -> None:
    method = nk.METHODS[name](profile="quick", seed=3, lr_head=0.5)
    params = method.get_params()
    assert (params["profile"], params["seed"], params["lr_head"]) == ("quick", 3, 0.5)
    assert params["trainable_layers"] == 0  # what the profile chose is told too
    assert params["encoder"] == "minilm"
    again = clone(method)
    assert type(again) is type(method)
    assert again is not method
    assert again.get_params() == params
    assert repr(again) == repr(method) == f"{name}(profile='quick', seed=3, lr_head=0.5)"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_made_of_its_parameters_is_the_same(name: str) -> None:
    method = nk.METHODS[name](profile="quick")
    again = nk.METHODS[name](**method.get_params())
    assert again.config == method.config
    assert repr(again) == repr(method)


def test_what_was_not_given_follows_a_new_profile() -> None:
    method = nk.Baseline(profile="quick", epochs=7)
    assert method.set_params(profile="class") is method
    assert method.config == nk.Baseline(profile="class", epochs=7).config
    assert method.config.trainable_layers != 0


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("epoch", 3)])
def test_a_bad_change_changes_nothing(name: str, value: int) -> None:
    method = nk.Baseline(profile="quick", epochs=7)
    before = method.get_params()
    with pytest.raises(ValueError, match=name):
        method.set_params(seed=1, **{name: value})
    assert method.get_params() == before


def test_an_annotator_is_shared_and_exchanged() -> None:
    first, second = Annotator(), Annotator()
    method = nk.NoiseAL(annotator=first, profile="quick")
    assert clone(method).annotator is method.get_params()["annotator"] is first
    method.annotator = second
    assert clone(method).annotator is second
    assert method.set_params(annotator=first).annotator is first
    assert clone(method.set_params(seed=4)).annotator is first


def test_a_clone_is_not_fitted_and_score_is_the_accuracy(every: dict[str, Any], few: DatasetDict) -> None:
    method = every["Baseline"]
    assert method.score(few["test"]) == method.evaluate(few["test"])["accuracy"]
    with pytest.raises(RuntimeError, match="not fitted"):
        clone(method).score(few["test"])


@pytest.mark.parametrize("name", LEARNING)
def test_same_seed_same_run_and_true_labels_are_never_read(
    every: dict[str, Any], make: Any, name: str, few: DatasetDict
) -> None:
    texts, fitted = list(few["test"]["text"]), every[name]
    blind = DatasetDict({split: few[split].remove_columns("label") for split in ("train", "validation")})
    again, other = make(name).fit(blind), make(name, seed=1).fit(blind)
    assert np.array_equal(again.predict_proba(texts), fitted.predict_proba(texts))
    assert again.best_epoch_ == fitted.best_epoch_
    for table in fitted.tables:
        tables = [getattr(method, table) for method in (again, fitted)]
        other_by_right = {"seconds", "accuracy_test"}  # no true labels, no accuracy
        pd.testing.assert_frame_equal(*(t.drop(columns=other_by_right & set(t)) for t in tables))
    changed = not np.array_equal(other.predict_proba(texts), fitted.predict_proba(texts))
    assert changed == (name in IN_EPOCHS)


@pytest.fixture(scope="module")
def whole_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One whose layers cannot be cut."""
    return family("mpnet", tmp_path_factory.mktemp("mpnet"))


@pytest.mark.parametrize("name", LEARNING)
def test_an_encoder_that_trains_whole(name: str, make: Any, few: DatasetDict, whole_encoder: str) -> None:
    part = DatasetDict({split: few[split].select(range(24)) for split in ("train", "validation")})
    fitted = make(name, encoder=whole_encoder, trainable_layers="all").fit(part)
    assert np.isfinite(fitted.predict_proba(few["test"]["text"])).all()


@pytest.mark.parametrize("name", IN_EPOCHS)
def test_the_best_epoch(every: dict[str, Any], make: Any, name: str, few: DatasetDict) -> None:
    fitted, texts = every[name], list(few["test"]["text"])
    of_two_stages = isinstance(fitted, nk.SiDyP)
    rows = fitted.history_.query("stage == 'diffusion'") if of_two_stages else fitted.history_
    best, before = fitted.at_best_epoch(), fitted.predict_proba(texts)
    accuracy = rows.set_index("epoch")["accuracy_test"][fitted.best_epoch_]
    # SiDyP's history is that of the diffusion alone, and its best epoch here is the last one.
    if not of_two_stages:
        assert best.evaluate(few["test"])["accuracy"] == pytest.approx(accuracy)
        assert not np.array_equal(best.predict_proba(texts), before)
    selected = make(name, selection="noisy_validation").fit(few)
    assert selected.best_epoch_ == fitted.best_epoch_
    assert np.array_equal(selected.predict_proba(texts), best.predict_proba(texts))
    # The copy is a network of its own, and the original stays where it was.
    with torch.no_grad():
        for network in best._networks().values():
            for parameter in network.parameters():
                parameter.zero_()
    assert np.array_equal(fitted.predict_proba(texts), before)
    assert np.array_equal(fitted.at_best_epoch().predict_proba(texts), selected.predict_proba(texts))

"""scikit-learn's manners: parameters can be read, changed and cloned, and a method says what it is."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import DatasetDict
from sklearn.base import clone

import nlkit as nk

METHODS = sorted(nk.METHODS)


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


def test_a_clone_is_not_fitted_and_score_is_the_accuracy(r8_small: DatasetDict) -> None:
    few = DatasetDict({split: r8_small[split].select(range(40)) for split in ("train", "test")})
    noisy = nk.add_noise(few, kind="symmetric", rate=0.2, seed=0)
    method = nk.Baseline(profile="quick", epochs=2).fit(noisy)
    assert method.score(noisy["test"]) == method.evaluate(noisy["test"])["accuracy"]
    with pytest.raises(RuntimeError, match="not fitted"):
        clone(method).score(noisy["test"])

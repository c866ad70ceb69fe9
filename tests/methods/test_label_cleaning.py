"""Relabelling by neighbours and pruning by confident learning, on real Reuters R8."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

import nlkit as nk
from nlkit.methods import label_cleaning as relabelling
from nlkit.methods.baselines import BaselineLoss
from nlkit.methods.label_cleaning import ConfidentLearning, KNNRelabel
from nlkit.metrics import correction_report
from nlkit.models.encoder import TextEncoder
from tests.made import labelled_split
from tests.methods.helpers import interrupt, replaced

QUICK: dict[str, Any] = {"profile": "quick", "epochs": 3}
RIVALS = (KNNRelabel, ConfidentLearning)


@pytest.fixture(scope="module")
def knn(noisy: DatasetDict) -> KNNRelabel:
    return KNNRelabel(**QUICK).fit(noisy, eval_splits=["test"])


@pytest.fixture(scope="module")
def pruned(noisy: DatasetDict) -> ConfidentLearning:
    return ConfidentLearning(**QUICK).fit(noisy, eval_splits=["test"])


@pytest.fixture(params=RIVALS, ids=lambda c: c.__name__)
def rival(request: pytest.FixtureRequest) -> type[KNNRelabel] | type[ConfidentLearning]:
    return request.param


def embedded(part: Dataset) -> np.ndarray:
    return TextEncoder("minilm", trainable_layers=0, max_length=64).embed(list(part["text"]))


def tiny(noisy_label: list[int]) -> DatasetDict:
    """Texts about one subject a class, in the order of the labels."""
    subjects = ("wheat and corn harvest", "oil barrels and crude prices", "bank interest rate cut")
    texts = [f"{subjects[max(z, 0)]} number {i}" for i, z in enumerate(noisy_label)]
    return DatasetDict({"train": labelled_split("abc", text=texts, noisy_label=noisy_label)})


# -- what they do to the labels ---------------------------------------------------------------------------


def test_neighbours_correct_more_than_they_harm(knn: KNNRelabel, noisy: DatasetDict) -> None:
    table, truth = knn.relabelled_, np.asarray(noisy["train"]["label"])
    assert list(table) == ["index", "noisy_label", "label", "changed", "share"]
    assert table["index"].tolist() == list(range(len(truth)))
    assert table["noisy_label"].tolist() == noisy["train"]["noisy_label"][:]
    assert (table["changed"] == (table["label"] != table["noisy_label"])).all()
    assert table["share"].between(1 / 8, 1).all()
    report = correction_report(table["noisy_label"], table["label"], truth)
    assert report["accuracy_before"] == pytest.approx(0.6, abs=0.03)
    assert report["accuracy_after"] > 0.8
    assert report["correction_rate"] > 0.7
    assert report["harm_rate"] < 0.2


def test_pruning_leaves_labels_that_are_more_often_right(
    pruned: ConfidentLearning, noisy: DatasetDict
) -> None:
    table, truth = pruned.pruned_, np.asarray(noisy["train"]["label"])
    assert list(table) == ["index", "noisy_label", "issue", "confidence", "suggestion"]
    right = table["noisy_label"].to_numpy() == truth
    assert right[~table["issue"]].mean() > right.mean() + 0.15
    assert (~right)[table["issue"]].mean() > 0.7  # precision as a finder of wrong labels
    assert table.loc[~right, "issue"].mean() > 0.6  # and recall
    assert table.loc[table["issue"], "confidence"].mean() < table.loc[~table["issue"], "confidence"].mean()


def test_both_beat_training_on_the_noisy_labels(
    knn: KNNRelabel, pruned: ConfidentLearning, noisy: DatasetDict
) -> None:
    # Enough epochs for plain CE to memorise, the last one reported for all.
    settings = {"profile": "quick", "epochs": 20}
    plain = nk.Baseline(loss="ce", **settings).fit(noisy).evaluate(noisy["test"])["accuracy"]
    for method in RIVALS:
        assert method(**settings).fit(noisy).evaluate(noisy["test"])["accuracy"] > plain + 0.03


# -- the same as plain scikit-learn -----------------------------------------------------------------------


def test_neighbours_as_scikit_learn_finds_them(knn: KNNRelabel, noisy: DatasetDict) -> None:
    x, z = embedded(noisy["train"]).astype(np.float64), np.asarray(noisy["train"]["noisy_label"])
    for i in range(0, len(x), 7):
        others = np.arange(len(x)) != i
        model = KNeighborsClassifier(10, weights="distance").fit(x[others], z[others])
        p = model.predict_proba(x[i : i + 1])[0]
        assert knn.relabelled_["label"][i] == model.classes_[p.argmax()]
        assert knn.relabelled_["share"][i] == pytest.approx(p.max(), abs=1e-4)


def test_pruning_as_cleanlab_does_it(pruned: ConfidentLearning, noisy: DatasetDict) -> None:
    from cleanlab.filter import find_label_issues

    x, z = embedded(noisy["train"]).astype(np.float64), np.asarray(noisy["train"]["noisy_label"])
    p = np.zeros((len(x), 8))
    for others, part in StratifiedKFold(5, shuffle=True, random_state=0).split(x, z):
        p[part] = LogisticRegression(max_iter=2000).fit(x[others], z[others]).predict_proba(x[part])
    assert pruned.pruned_["issue"].tolist() == find_label_issues(z, p, n_jobs=1).tolist()
    np.testing.assert_allclose(pruned.pruned_["confidence"], p[np.arange(len(z)), z])
    assert pruned.pruned_["suggestion"].tolist() == p.argmax(1).tolist()


def test_then_it_is_the_baseline_on_what_is_left(
    knn: KNNRelabel, pruned: ConfidentLearning, noisy: DatasetDict
) -> None:
    texts = list(noisy["test"]["text"])
    kept = np.flatnonzero(~pruned.pruned_["issue"])
    for rival, train in (
        (knn, replaced(noisy["train"], "noisy_label", knn.relabelled_["label"])),
        (pruned, noisy["train"].select(kept)),
    ):
        ds = DatasetDict({**noisy, "train": train})
        plain = nk.Baseline(loss="ce", **QUICK).fit(ds, eval_splits=["test"])
        assert np.array_equal(plain.predict_proba(texts), rival.predict_proba(texts))
        # Validation labels are not touched, so the best epoch is the same too.
        assert rival.history_.drop(columns="seconds").equals(plain.history_.drop(columns="seconds"))
        assert rival.best_epoch_ == plain.best_epoch_


# -- the manners of every method --------------------------------------------------------------------------


def table_of(clf: KNNRelabel | ConfidentLearning) -> Any:
    return clf.relabelled_ if isinstance(clf, KNNRelabel) else clf.pruned_


def test_checkpoints_know_the_cleaned_data(rival: Any, noisy: DatasetDict, tmp_path: Path) -> None:
    ds = DatasetDict({"train": noisy["train"].select(range(200))})
    first = rival(**QUICK).fit(ds, checkpoint=tmp_path)
    again = rival(**QUICK).fit(ds, checkpoint=tmp_path)
    assert np.array_equal(first.predict_proba(["oil"]), again.predict_proba(["oil"]))
    assert first.history_.equals(again.history_)  # seconds too: nothing was trained again
    with pytest.raises(ValueError, match="another run"):
        rival(**QUICK, **({"k": 3} if rival is KNNRelabel else {"folds": 3})).fit(ds, checkpoint=tmp_path)


def test_interrupted_before_an_epoch_nothing_has_changed(
    rival: Any, noisy: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = DatasetDict({"train": noisy["train"].select(range(100))})
    clf = rival(**QUICK).fit(ds)
    before, answer = table_of(clf), clf.predict_proba(["oil"])

    interrupt(monkeypatch, BaselineLoss, "_per_sample")
    with pytest.raises(KeyboardInterrupt):
        clf.fit(DatasetDict({"train": noisy["train"].select(range(100, 200))}))
    assert table_of(clf) is before
    assert np.array_equal(clf.predict_proba(["oil"]), answer)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (KNNRelabel, {"k": 0}, r"k=0.*at least 1"),
        (KNNRelabel, {"folds": 5}, r"'folds' is not a setting of KNNRelabelConfig"),
        (ConfidentLearning, {"folds": 1}, r"folds=1.*at least 2"),
        (ConfidentLearning, {"folds": 2.5}, r"folds=2.5.*whole number"),
        (ConfidentLearning, {"loss": "mse"}, r"loss='mse'"),
    ],
)
def test_bad_settings_are_named(method: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_without_cleanlab_the_remedy_is_named(noisy: DatasetDict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    monkeypatch.setattr(ConfidentLearning, "_text_embedding", lambda *_: pytest.fail("it embedded first"))
    with pytest.raises(ImportError, match=r"pip install 'nlkit\[baselines\]'"):
        ConfidentLearning(**QUICK).fit(noisy)


# -- edge cases -------------------------------------------------------------------------------------------


def test_texts_without_a_label(noisy: DatasetDict) -> None:
    part = noisy["train"].select(range(200))
    truth = np.asarray(part["label"])
    missing = np.arange(200) % 4 == 0
    ds = DatasetDict({"train": replaced(part, "noisy_label", np.where(missing, -1, part["noisy_label"]))})

    table = KNNRelabel(**QUICK).fit(ds).relabelled_
    assert len(table) == 200
    assert (table["label"] >= 0).all()
    assert table.loc[missing, "changed"].all()
    assert (table["label"] == truth)[missing].mean() > 0.7
    # They vote for nobody: the others get the labels they get without them.
    alone = KNNRelabel(**QUICK).fit(DatasetDict({"train": part.select(np.flatnonzero(~missing))})).relabelled_
    assert table.loc[~missing, "label"].tolist() == alone["label"].tolist()

    pruned = ConfidentLearning(**QUICK).fit(ds).pruned_
    assert pruned["index"].tolist() == np.flatnonzero(~missing).tolist()
    assert (pruned["noisy_label"] >= 0).all()


def test_few_texts_and_small_classes(rival: Any) -> None:
    for labels in (
        [0] * 8 + [1] * 8 + [2],  # a class of one: its fold knows nothing of it
        [0] * 6 + [2] * 2,  # a class that does not occur, and one smaller than the folds
        [0, 1, 2],  # every class smaller than the folds, fewer texts than folds
        [0, 1],  # one text a fold: the other fold has one class only
        [1] * 5,  # one class only
        [1],
        [0] * 5 + [1] * 5 + [-1] * 5,
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            clf = rival(profile="quick", epochs=1).fit(tiny(labels))
        probability = clf.predict_proba(["wheat", "oil"])
        assert probability.shape == (2, 3)
        np.testing.assert_allclose(probability.sum(1), 1, atol=1e-5)


def test_nothing_left_to_learn_from_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = lambda label, *_, **__: np.ones(len(label), bool)  # noqa: E731
    monkeypatch.setattr(relabelling, "confident_learning", lambda: everything)
    with pytest.raises(ValueError, match="issue with each of the 6 training labels"):
        ConfidentLearning(**QUICK).fit(tiny([0, 1] * 3))


def test_right_labels_stay(rival: Any, noisy: DatasetDict) -> None:
    train = noisy["train"]
    clf = rival(**QUICK).fit(DatasetDict({"train": replaced(train, "noisy_label", train["label"])}))
    assert table_of(clf)["changed" if rival is KNNRelabel else "issue"].mean() < 0.1

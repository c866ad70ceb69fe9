from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import DatasetDict

import nlkit as nk
from nlkit.annotate import LocalLLM, Simulated
from tests.methods.helpers import relabelled

QUICK: dict[str, Any] = {
    "profile": "quick", "epochs": 6, "batch_size": 32, "warmup_epochs": 2, "query_budget": 30,
    "max_length": 32, "trust": "full",
}  # fmt: skip


class Counting:
    """A simulated annotator that counts how often each text is asked about."""

    simulated = True

    def __init__(self, reference: Any) -> None:
        self.inner = Simulated(0.9, reference=reference)
        self.name = self.inner.name
        self.asked: Counter[str] = Counter()

    def annotate(self, texts: Sequence[str], *arguments: Any) -> pd.DataFrame:
        self.asked.update(texts)
        return self.inner.annotate(texts, *arguments)


@pytest.fixture(scope="module")
def counting(noisy: DatasetDict) -> Counting:
    return Counting(noisy["train"])


@pytest.fixture(scope="module")
def fitted(noisy: DatasetDict, counting: Counting) -> nk.NoiseAL:
    return nk.NoiseAL(annotator=counting, **QUICK).fit(noisy, eval_splits=["test"])


def probability(clf: nk.NoiseAL, ds: DatasetDict) -> np.ndarray:
    return clf.predict_proba(list(ds["test"]["text"])[:60])


def assert_same_run(a: nk.NoiseAL, b: nk.NoiseAL, ds: DatasetDict) -> None:
    assert np.array_equal(probability(a, ds), probability(b, ds))
    shared = [c for c in a.history_.columns if c in b.history_.columns and c != "seconds"]
    pd.testing.assert_frame_equal(a.history_[shared], b.history_[shared])
    pd.testing.assert_frame_equal(a.partition_, b.partition_)
    pd.testing.assert_frame_equal(a.annotations_, b.annotations_)
    for name in ("strong", "weak"):
        assert np.array_equal(a.dynamics_[name], b.dynamics_[name])


def test_the_partition_covers_every_sample_once(fitted: nk.NoiseAL, noisy: DatasetDict) -> None:
    table = fitted.partition_
    assert list(table.columns) == [
        "index", "set", "p_s", "p_w", "tau_s", "tau_w", "llm_label", "llm_confidence", "reason",
    ]  # fmt: skip
    assert table["index"].tolist() == list(range(len(noisy["train"])))
    assert set(table["set"]) <= {"R", "H", "P"}
    last = fitted.history_.iloc[-1]
    assert [last[f"n_{s}"] for s in "RHP"] == [(table["set"] == s).sum() for s in "RHP"]


def test_queries_stay_within_the_budget_and_answers_are_kept(
    fitted: nk.NoiseAL, counting: Counting, noisy: DatasetDict
) -> None:
    asked, texts = fitted.annotations_, list(noisy["train"]["text"])
    assert 0 < len(asked) <= 30
    assert fitted.history_["queries"].iloc[-1] == len(asked) == counting.asked.total()
    assert asked["index"].is_unique
    for row in asked.itertuples():
        assert texts[row.index] in row.prompt
        assert row.index not in row.demonstrations
        assert fitted.partition_["llm_label"][row.index] == row.label
    assert (fitted.partition_["llm_label"] >= 0).sum() == (asked["label"] >= 0).sum()
    assert asked.groupby("epoch").size().max() <= -(-30 // fitted.config.query_rounds)
    assert asked["epoch"].between(2, 5).all()


@pytest.mark.parametrize("space", ["encoder", "strong"])
def test_demonstrations_for_queries_of_your_own(
    fitted: nk.NoiseAL, noisy: DatasetDict, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        fitted, "config", dataclasses.replace(fitted.config, demonstration_space=space, pool_per_class=3)
    )
    train, table, texts = noisy["train"], fitted.partition_, list(noisy["train"]["text"])
    contradicted = (table["llm_label"] != -1) & (table["llm_label"] != train["noisy_label"][:])
    clean = table[(table["set"] == "R") & ~contradicted].index
    allowed = {(texts[i], train["noisy_label"][i]) for i in clean}
    own = texts[clean[0]]
    queries = [own, "oil prices rose in rotterdam", "the wheat crop was hit by drought"]
    found = fitted.demonstrations(queries, train, k=5)
    assert [len(row) for row in found] == [5, 5, 5]
    assert own not in {d.text for d in found[0]}
    assert all(d in allowed for row in found for d in row)
    counts = Counter(d.label for d in {d for row in fitted.demonstrations(queries, train, k=99) for d in row})
    assert max(counts.values()) <= 3
    # Fewer examples are the nearest ones, and the nearest stands last.
    assert fitted.demonstrations(queries, train, k=2) == [row[-2:] for row in found]
    assert len(fitted.demonstrations(queries, train)[0]) == fitted.config.demonstrations


def test_the_report_and_demonstrations_want_the_training_split(
    fitted: nk.NoiseAL, noisy: DatasetDict
) -> None:
    report = fitted.report(noisy["train"])
    assert report["sets"]["size"].sum() == len(noisy["train"])
    assert report["annotations"]["n"] == len(fitted.annotations_)
    for call in (fitted.report, lambda part: fitted.demonstrations(["x"], part)):
        with pytest.raises(ValueError, match=r"give ds\['train'\]"):
            call(noisy["test"])
    with pytest.raises(ValueError, match=r"texts\[1\]=None"):
        fitted.demonstrations(["oil", None], noisy["train"])  # type: ignore[list-item]


def test_dynamics_hold_every_epoch(fitted: nk.NoiseAL, noisy: DatasetDict) -> None:
    for name in ("strong", "weak"):
        assert fitted.dynamics_[name].shape == (6, len(noisy["train"]), 8)
    replayed = nk.split.replay(
        list(fitted.dynamics_["strong"]), list(fitted.dynamics_["weak"]), noisy["train"]["noisy_label"][:],
        momentum=fitted.config.momentum, margin=fitted.config.margin, cap=fitted.config.cap,
    )  # fmt: skip
    # Half precision may move a sample that lies on a threshold, no more.
    assert (replayed[-1].set == fitted.partition_["set"].to_numpy()).mean() > 0.98


@pytest.mark.parametrize("settings", [{"annotator": None}, {"query_budget": 0}])
def test_without_an_annotator(noisy: DatasetDict, settings: dict[str, Any]) -> None:
    clf = nk.NoiseAL(**{"annotator": Counting(noisy["train"]), **QUICK, **settings}).fit(noisy)
    assert len(clf.annotations_) == 0
    assert (clf.partition_["llm_label"] == -1).all()
    assert clf.history_["queries"].eq(0).all()
    assert clf.evaluate(noisy["test"])["n"] == 200


class Nameless:
    """An annotator of a user's own making: only `annotate`, and sometimes wrong about the classes."""

    def __init__(self, label: int = 0) -> None:
        self.label = label

    def annotate(self, texts: Any, label_names: Any, demonstrations: Any = None) -> pd.DataFrame:
        return pd.DataFrame({"label": [self.label] * len(texts), "confidence": 1.0})


def test_an_annotator_of_ones_own_making(noisy: DatasetDict, tmp_path: Path) -> None:
    clf = nk.NoiseAL(annotator=Nameless(), **QUICK)  # type: ignore[arg-type]
    clf.fit(noisy, checkpoint=tmp_path)
    assert set(clf.annotations_["label"]) == {0}
    with pytest.raises(ValueError, match=r"'Nameless' answered \[99\]; allowed are the class numbers 0 to 7"):
        nk.NoiseAL(annotator=Nameless(99), **QUICK).fit(noisy)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("annotator", "message"),
    [("smolm2", "smolm2"), (LocalLLM(label_words={"earn": "acq"}), "label_words")],
)
def test_an_annotator_that_cannot_work_is_found_before_training(
    noisy: DatasetDict, annotator: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nk.training.Trainer, "running", lambda *a, **k: pytest.fail("it trained first"))
    with pytest.raises(ValueError, match=message):
        nk.NoiseAL(annotator=annotator, **QUICK).fit(noisy)


def test_a_lost_annotator_is_missed(fitted: nk.NoiseAL, noisy: DatasetDict, tmp_path: Path) -> None:
    assert fitted.at_best_epoch().annotator is fitted.annotator
    loaded = nk.load(fitted.save(tmp_path))
    assert loaded.annotator is None
    again = nk.load(loaded.save(tmp_path / "again"))
    with pytest.warns(UserWarning, match=r"simulated.*was not saved.*set \.annotator"):
        again.set_params(epochs=3).fit(noisy)


@pytest.mark.parametrize("budget", [10, 400])
def test_queries_are_made_in_every_epoch_after_the_warm_up_but_the_last(
    noisy: DatasetDict, budget: int
) -> None:
    settings = {**QUICK, "epochs": 4, "warmup_epochs": 2, "query_rounds": 9, "query_budget": budget}
    clf = nk.NoiseAL(annotator=Counting(noisy["train"]), **settings).fit(noisy)
    n_p, made, table = clf.history_["n_P"].tolist(), clf.history_["queries"].tolist(), clf.partition_
    if budget == 10:
        assert min(n_p[1:3]) >= 5  # so the budget is what limits, though nine rounds are more than two epochs
        assert made == [0, 5, 10, 10]
    else:
        assert made[:2] == [0, n_p[1]]
        assert made[2] == made[3] < budget
        assert ((table["set"] == "P") & ~table["index"].isin(clf.annotations_["index"])).any()


def test_an_annotator_that_knows_nothing_is_found_out(noisy: DatasetDict, tmp_path: Path) -> None:
    poor = Simulated(0.05, reference=noisy["train"])
    settings = {**QUICK, "query_budget": 60, "trust": "measured"}
    clf = nk.NoiseAL(annotator=poor, **settings).fit(noisy)
    asked, trust = clf.annotations_, clf.annotator_trust_
    assert trust["epoch"].tolist() == sorted(set(asked["epoch"]))
    last, told = trust.iloc[-1], clf.report(noisy["train"])["trust"].iloc[0]
    assert last["probes"] == (asked["set"] == "R").sum() == 8
    assert last["learnt"] == asked["learnt"].sum() < 0.35 * last["answers"]
    assert last["low"] < last["accuracy"] < last["high"] < 0.5
    truth = np.array(noisy["train"]["label"])[asked["index"]]
    assert told["right"] == (asked["label"] == truth).mean()
    assert told["low"] == last["low"]
    pd.testing.assert_frame_equal(nk.load(clf.save(tmp_path)).annotator_trust_, trust)


def test_missing_labels_are_never_trusted_or_shown(noisy: DatasetDict) -> None:
    missing = np.arange(400) % 4 == 0
    ds = relabelled(noisy, np.where(missing, -1, noisy["train"]["noisy_label"]))
    clf = nk.NoiseAL(annotator=Counting(ds["train"]), **QUICK).fit(DatasetDict({"train": ds["train"]}))
    assert "R" not in clf.partition_["set"].to_numpy()[missing]
    assert not any(missing[i] for row in clf.annotations_["demonstrations"] for i in row)


def test_the_best_epoch_and_who_predicts(fitted: nk.NoiseAL, noisy: DatasetDict) -> None:
    best, parts = fitted.at_best_epoch(), {}
    accuracy = fitted.history_["accuracy_test"][fitted.best_epoch_ - 1]
    assert best.evaluate(noisy["test"])["accuracy"] == pytest.approx(accuracy)
    for who in ("strong", "weak", "mean"):
        best.config = dataclasses.replace(fitted.config, prediction=who)
        parts[who] = probability(best, noisy)
    np.testing.assert_allclose(parts["mean"], (parts["strong"] + parts["weak"]) / 2, atol=1e-6)
    assert not np.allclose(parts["strong"], parts["weak"], atol=1e-2)


class Stops:
    """Answers as usual, and is interrupted at its second round: where a user would lose patience."""

    simulated = True

    def __init__(self, inner: Counting) -> None:
        # The same name: it is the same annotator for a checkpoint, met on a bad day.
        self.inner, self.calls, self.name = inner, 0, inner.name

    def annotate(self, *arguments: Any) -> pd.DataFrame:
        self.calls += 1
        if self.calls == 2:
            raise KeyboardInterrupt
        return self.inner.annotate(*arguments)


def test_interrupted_and_resumed_it_is_the_same_run(
    fitted: nk.NoiseAL, noisy: DatasetDict, tmp_path: Path
) -> None:
    annotator = Counting(noisy["train"])
    clf = nk.NoiseAL(annotator=Stops(annotator), **QUICK)
    with pytest.raises(KeyboardInterrupt, match="whole epochs are kept"):
        clf.fit(noisy, checkpoint=tmp_path)
    assert len(probability(clf, noisy)) == 60
    first = len(annotator.asked)
    # Resumed it goes on; started again when it is finished, it asks nothing and knows everything.
    for _ in range(2):
        resumed = nk.NoiseAL(annotator=annotator, **QUICK).fit(noisy, checkpoint=tmp_path)
        assert_same_run(resumed, fitted, noisy)
        assert max(annotator.asked.values()) == 1
        assert len(annotator.asked) > first > 0


KILLED = """
import os, signal, sys
import nlkit as nk
from nlkit.methods.noiseal.loss import NoiseALLoss
from tests.methods.noiseal.test_method import QUICK, Counting
ds = nk.load_dataset("r8", train_size=400, test_size=200, seed=0)
ds = nk.add_noise(ds, kind="symmetric", rate=0.4, seed=0)
annotator, calls, plain = Counting(ds["train"]), 0, NoiseALLoss.__call__
def watched(self, *arguments):
    global calls
    calls += 1
    if calls == 2 * 13 * 4 + 9:  # two models, 13 batches: in the middle of the fifth epoch
        print("\\x00".join(annotator.asked), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, *arguments)
NoiseALLoss.__call__ = watched
nk.NoiseAL(annotator=annotator, **QUICK).fit(ds, checkpoint=sys.argv[1])
"""


def test_killed_and_resumed_it_is_the_same_run(
    fitted: nk.NoiseAL, noisy: DatasetDict, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    before = set(done.stdout.removesuffix("\n").split("\x00"))
    annotator = Counting(noisy["train"])
    resumed = nk.NoiseAL(annotator=annotator, **QUICK).fit(noisy, checkpoint=tmp_path)
    assert not before & set(annotator.asked)
    assert len(before) + len(annotator.asked) == len(resumed.annotations_)
    assert_same_run(resumed, fitted, noisy)


def test_it_beats_cross_entropy(noisy: DatasetDict) -> None:
    # 400 texts are few steps an epoch: with enough of them CE gets to memorising.
    shared = {"profile": "quick", "epochs": 16, "batch_size": 32, "max_length": 32, "lr_head": 3e-3}
    ce = nk.Baseline(loss="ce", **shared).fit(noisy)
    clf = nk.NoiseAL(
        annotator=Simulated(0.9, reference=noisy["train"]), query_budget=80, warmup_epochs=4, lr_weak=1e-2,
        momentum=0.8, margin=0.2, **shared,
    ).fit(noisy)  # fmt: skip
    last = ce.evaluate(noisy["test"])["accuracy"]
    assert clf.evaluate(noisy["test"])["accuracy"] > last + 0.05
    sets = clf.report(noisy["train"])["sets"].set_index("set")
    assert sets.loc["R", "precision"] > 0.85
    assert sets.loc["P", "precision"] > 0.7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"annotator": 3}, r"annotator=3.*annotate"),
        ({"query_budget": -1}, r"query_budget=-1.*at least 0"),
        ({"warmup_epochs": 0}, r"warmup_epochs=0.*at least 1"),
        ({"momentum": 1.5}, r"momentum=1.5.*at most 1"),
        ({"temperature": 0}, r"temperature=0.*above 0"),
        ({"acquisition": "first"}, r"acquisition='first'.*uncertain"),
        ({"prediction": "both"}, r"prediction='both'.*mean"),
        ({"demonstration_space": "words"}, r"demonstration_space='words'.*encoder"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nk.NoiseAL(**settings)


@pytest.mark.slow
def test_real_news_real_encoder_real_language_model(noisy: DatasetDict, tmp_path: Path) -> None:
    small = DatasetDict(
        {"train": noisy["train"].select(range(200)), "test": noisy["test"].select(range(100))}
    )
    settings: dict[str, Any] = {
        "profile": "quick", "trainable_layers": 1, "epochs": 6, "warmup_epochs": 3, "max_length": 48,
        "trust": "full",
    }  # fmt: skip
    clf = nk.NoiseAL(annotator=LocalLLM("smollm2"), query_budget=6, **settings).fit(small)
    asked = clf.annotations_
    assert 0 < len(asked) <= 6
    assert (asked["demonstrations"].map(len) > 0).all()
    assert asked["prompt_tokens"].gt(20).all()
    assert clf.report(small["train"])["annotations"]["accuracy"] >= 0.5
    assert clf.evaluate(small["test"])["accuracy"] > 0.6
    texts = list(small["test"]["text"])[:20]
    loaded = nk.load(clf.save(tmp_path))
    np.testing.assert_allclose(loaded.predict_proba(texts), clf.predict_proba(texts), atol=1e-5)


def test_no_class_disappears_from_few_texts(noisy: DatasetDict) -> None:
    label = np.asarray(noisy["train"]["label"][:])
    rows = np.concatenate([np.flatnonzero(label == c)[:n] for c, n in ((0, 36), (2, 24))])
    given = np.where(np.arange(60) < 8, 5, label[rows])  # a class that looks like another one
    few = relabelled(DatasetDict({"train": noisy["train"].select(rows)}), given)
    clf = nk.NoiseAL(annotator=None, class_floor=5, min_steps=1, **QUICK).fit(few)
    clean = given[(clf.partition_["set"] == "R").to_numpy()]
    assert np.bincount(clean)[[0, 2, 5]].min() >= 5

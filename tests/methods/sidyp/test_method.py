"""SiDyP whole, on real news: what it is for, the honest protocol, and the edges of data and use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, DatasetDict

import nlkit as nk
from nlkit.methods.sidyp.branches import CoRegularisedLoss
from nlkit.methods.sidyp.refinement import Refinement
from nlkit.training import Interrupted
from nlkit.training.trainer import copied_weights
from tests.methods.helpers import interrupt, relabelled

# Every setting that decides something here is given, so that the defaults can be tuned.
QUICK: dict[str, Any] = {
    "profile": "quick", "mixed_precision": "no", "trainable_layers": 0, "max_length": 32, "epochs": 4,
    "batch_size": 32, "lr_head": 3e-3, "dropout": 0.1, "lr_decay_share": 0.0, "branches": 2,
    "branch_ema_epochs": 1.0,
    "coregularisation": 5.0, "coregularisation_warmup": 0.1, "trajectory_points": 3, "score": "margin",
    "normalise": True, "margin_epochs": 0.5, "neighbours": 5, "gamma": 0.9, "delta": 0.8,
    "diffusion_epochs": 4, "diffusion_batch_size": 32, "lr_diffusion": 1e-2, "hidden_size": 32,
    "denoiser_blocks": 1, "diffusion_dropout": 0.1, "diffusion_steps": 50, "sampling_steps": 5,
    "diffusion_warmup": 0.2, "diffusion_coregularisation": 1.0, "dynamic_prior": True, "prior_memory": False,
    "update_rounds": 2, "ema_epochs": 2.0, "chains": 1,
}  # fmt: skip
"""The smallest run that still learns."""

GOOD: dict[str, Any] = {
    **QUICK, "epochs": 10, "branches": 3, "diffusion_epochs": 12, "diffusion_batch_size": 128,
    "lr_diffusion": 3e-3, "hidden_size": 128, "denoiser_blocks": 2, "diffusion_steps": 500,
    "sampling_steps": 10, "update_rounds": 4, "chains": 4,
}  # fmt: skip
"""One that learns well."""


def truth(ds: DatasetDict, split: str = "train") -> np.ndarray:
    return np.array(ds[split]["label"])


def observed(ds: DatasetDict) -> np.ndarray:
    return np.array(ds["train"]["noisy_label"])


def texts_of(ds: DatasetDict) -> list[str]:
    return list(ds["test"]["text"])[:60]


def sane(clf: nk.SiDyP, ds: DatasetDict) -> np.ndarray:
    """Probabilities of some texts, checked."""
    p = clf.predict_proba(texts_of(ds))
    assert p.shape == (60, len(clf.label_names_))
    assert p.dtype == np.float32
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    return p


def assert_same_run(a: nk.SiDyP, b: nk.SiDyP, ds: DatasetDict) -> None:
    assert np.array_equal(a.trajectory_, b.trajectory_)
    assert np.array_equal(a.predict_observed(texts_of(ds)), b.predict_observed(texts_of(ds)))
    assert np.array_equal(sane(a, ds), sane(b, ds))
    assert np.array_equal(a.prior_weight_, b.prior_weight_)
    assert (a.noise_rate_, a.best_epoch_) == (b.noise_rate_, b.best_epoch_)
    pd.testing.assert_frame_equal(a.prior_, b.prior_)
    shared = [c for c in a.history_.columns if c in b.history_.columns and c != "seconds"]
    pd.testing.assert_frame_equal(a.history_[shared], b.history_[shared])


@pytest.fixture(scope="module")
def fitted(noisy: DatasetDict) -> nk.SiDyP:
    return nk.SiDyP(**QUICK).fit(noisy, eval_splits=["test"])


@pytest.fixture(scope="module")
def good(noisy: DatasetDict) -> nk.SiDyP:
    return nk.SiDyP(**GOOD).fit(noisy)


class TestWhatItIsFor:
    def test_it_beats_cross_entropy_in_accuracy_and_calibration(
        self, good: nk.SiDyP, noisy: DatasetDict
    ) -> None:
        shared = {name: QUICK[name] for name in ("profile", "max_length", "batch_size", "lr_head")}
        ce = nk.Baseline(loss="ce", epochs=30, lr_decay_share=0.0, **shared).fit(noisy)
        last, ours = ce.evaluate(noisy["test"]), good.evaluate(noisy["test"])
        assert ours["accuracy"] > last["accuracy"] + 0.05
        assert ours["ece"] < last["ece"]
        assert ours["brier"] < last["brier"]

    def test_refined_labels_are_right_more_often_and_the_report_says_so(
        self, good: nk.SiDyP, noisy: DatasetDict
    ) -> None:
        found, y, z = np.array(good.refine(noisy)["train"]["refined_label"]), truth(noisy), observed(noisy)
        assert (found == y).mean() > (z == y).mean() + 0.15
        report = good.report(noisy["train"])
        assert report["correction"]["accuracy_after"] == pytest.approx((found == y).mean())
        # Half of the wrong labels, and hardly a right one: with 400 texts the first stage has a say.
        assert report["correction"]["correction_rate"] > 0.4
        assert report["correction"]["harm_rate"] < 0.1
        assert report["detection"]["noise_rate"] == pytest.approx((z != y).mean())
        assert report["detection"]["noise_rate_used"] == good.noise_rate_
        assert report["detection"]["auc"] > 0.9
        prior = report["prior"].set_index("case")
        assert prior["n"].sum() == 400
        assert prior.loc["certain", "right"] > 0.8
        with pytest.raises(ValueError, match=r"of 200 samples, is not the training split"):
            good.report(noisy["test"])

    def test_the_noise_rate_is_given_or_estimated(self, good: nk.SiDyP, noisy: DatasetDict) -> None:
        assert 0.2 < good.noise_rate_ < 0.55
        assert good.prior_["suspect"].mean() == pytest.approx(good.noise_rate_, abs=2e-3)
        given = nk.SiDyP(**QUICK, noise_rate=0.25).fit(noisy)
        assert given.noise_rate_ == 0.25
        assert given.prior_["suspect"].sum() == 100


class TestTables:
    def test_history_and_trajectories_have_every_epoch(self, fitted: nk.SiDyP) -> None:
        table = fitted.history_
        assert table.columns[0] == "stage"
        assert table["stage"].tolist() == ["classifier"] * 4 + ["diffusion"] * 4
        assert table["epoch"].tolist() == [1, 2, 3, 4] * 2
        assert table["loss"].gt(0).all()
        assert table["accuracy_test"].between(0, 1).all()
        assert table["coregularisation"][:4].tolist() == [0, *[fitted.config.coregularisation] * 3]
        assert table["agreement_validation_prior"][4:].between(0, 1).all()
        assert table["prior_certainty"][4:].between(1 / 8, 1).all()
        assert fitted.trajectory_.shape == (2, 4, 400, 384)
        assert fitted.dynamics_.shape == (2, 4, 400, 8)

    def test_the_prior_is_a_table_to_be_read(self, fitted: nk.SiDyP, noisy: DatasetDict) -> None:
        table, names, weight = fitted.prior_, fitted.label_names_, fitted.prior_weight_
        assert list(table.columns) == [
            "index", "id", "text", "noisy_label", "suspect", "case", "candidates", "proposed", "likeliest",
            "weight", "suspicion", "refined_weight",
        ]  # fmt: skip
        assert table["id"].tolist() == noisy["train"]["id"][:]
        assert table["text"].tolist() == noisy["train"]["text"][:]
        assert table["proposed"].tolist() == [names[c] for c in weight.argmax(1)]
        assert table["index"].tolist() == list(range(400))
        assert table["noisy_label"].tolist() == [names[c] for c in observed(noisy)]
        assert weight.shape == (400, 8)
        np.testing.assert_allclose(weight.sum(1), 1)
        assert np.array_equal(table["likeliest"], weight.argmax(1))
        # The suspects are the most suspicious; what is certain stays so.
        assert table["suspicion"][table["suspect"]].min() >= table["suspicion"][~table["suspect"]].max()
        assert (table["refined_weight"][table["case"] == "certain"] == 1).all()
        assert (table["refined_weight"] - table["weight"]).abs().max() > 0.01


class TestPredictions:
    def test_the_first_stage_alone(self, fitted: nk.SiDyP, noisy: DatasetDict) -> None:
        p = fitted.predict_observed(texts_of(noisy))
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
        assert not np.allclose(p, sane(fitted, noisy), atol=0.05)
        assert fitted.predict_observed([]).shape == (0, 8)

    def test_a_text_gets_the_same_answer_alone_and_among_others(
        self, fitted: nk.SiDyP, noisy: DatasetDict
    ) -> None:
        texts, every = texts_of(noisy), sane(fitted, noisy)
        for index in (slice(None, None, -1), slice(0, 1), slice(17, 18), slice(0, 0)):
            np.testing.assert_allclose(fitted.predict_proba(texts[index]), every[index], atol=1e-4)
        assert fitted.predict(texts).tolist() == every.argmax(1).tolist()
        assert np.array_equal(fitted.predict_proba(texts), every)

    def test_what_does_not_fit_is_refused(self, fitted: nk.SiDyP, noisy: DatasetDict) -> None:
        with pytest.raises(ValueError, match="give a list of texts"):
            fitted.predict_observed("oil prices rose")  # type: ignore[arg-type]
        for method in ("predict_observed", "refine", "report"):
            with pytest.raises(RuntimeError, match=r"SiDyP is not fitted yet: call fit\(ds\) first"):
                getattr(nk.SiDyP(**QUICK), method)(noisy)


class TestRefine:
    def test_the_new_columns(self, fitted: nk.SiDyP, noisy: DatasetDict) -> None:
        found, new = fitted.refine(noisy), ["refined_label", "refined_probability", "refined_reason"]
        assert isinstance(found, DatasetDict)
        for split in ("train", "validation"):
            part = found[split]
            assert part.features["refined_label"] == noisy["train"].features["noisy_label"]
            share = np.array(part["refined_probability"])
            assert ((share > 1 / 8 - 1e-6) & (share <= 1 + 1e-6)).all()
            assert part.remove_columns(new).column_names == noisy[split].column_names
        # No observed labels, nothing to refine; the data that came in is as it was.
        assert found["test"].column_names == noisy["test"].column_names
        assert "refined_label" not in noisy["train"].column_names
        # Again it replaces them, and a split alone gets the same.
        again = fitted.refine(DatasetDict({"validation": found["validation"]}))["validation"]
        assert again.column_names == found["validation"].column_names
        assert again["refined_label"][:] == found["validation"]["refined_label"][:]

    def test_it_can_be_trained_on(self, fitted: nk.SiDyP, noisy: DatasetDict) -> None:
        train = fitted.refine(noisy)["train"]
        train = train.remove_columns("noisy_label").rename_column("refined_label", "noisy_label")
        again = nk.Baseline(profile="quick", max_length=32, epochs=2).fit(DatasetDict({"train": train}))
        assert again.label_names_ == fitted.label_names_


class TestTheBestEpoch:
    def test_it_is_the_one_that_agrees_best_with_the_validation_prior(self, noisy: DatasetDict) -> None:
        # The history is that of the diffusion alone, which predicts without the others here.
        fitted = nk.SiDyP(**QUICK, evidence=False).fit(noisy, eval_splits=("test",))
        rows = fitted.history_[fitted.history_["stage"] == "diffusion"].set_index("epoch")
        agreement, accuracy = rows["agreement_validation_prior"], rows["accuracy_test"]
        best, before = fitted.at_best_epoch(), sane(fitted, noisy)
        assert fitted.best_epoch_ == agreement[agreement == agreement.max()].index[-1]
        # The history was written with one chain a label, and so it is predicted here.
        assert best.evaluate(noisy["test"])["accuracy"] == pytest.approx(accuracy[fitted.best_epoch_])
        assert fitted.evaluate(noisy["test"])["accuracy"] == pytest.approx(accuracy[4])
        assert np.array_equal(sane(fitted, noisy), before)

    def test_selection_keeps_it(
        self, noisy: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def agree(self: Refinement, row: dict[str, float]) -> None:
            if not self.rows:  # the first epoch agrees best
                self.best_epoch, self.best_weights = 1, copied_weights(self.denoiser)

        monkeypatch.setattr(Refinement, "_agree", agree)
        last = nk.SiDyP(**QUICK).fit(noisy)
        chosen = nk.SiDyP(**QUICK, selection="noisy_validation").fit(noisy)
        assert last.best_epoch_ == chosen.best_epoch_ == 1
        best = last.at_best_epoch()
        assert np.array_equal(sane(chosen, noisy), sane(best, noisy))
        assert not np.array_equal(sane(chosen, noisy), sane(last, noisy))
        assert np.array_equal(sane(nk.load(best.save(tmp_path)), noisy), sane(best, noisy))

    @pytest.mark.parametrize("empty", [False, True])
    def test_without_validation_texts(self, noisy: DatasetDict, empty: bool) -> None:
        alone = DatasetDict({"train": noisy["train"]})
        if empty:
            alone["validation"] = noisy["validation"].select([])
        clf = nk.SiDyP(**QUICK).fit(alone)
        sane(clf, noisy)
        assert clf.best_epoch_ is None
        assert "agreement_validation_prior" not in clf.history_
        with pytest.raises(RuntimeError, match="best epoch is not known"):
            clf.at_best_epoch()
        with pytest.raises(ValueError, match=r"selection='noisy_validation' needs ds\['validation'\]"):
            nk.SiDyP(**QUICK, selection="noisy_validation").fit(alone)
        assert ("validation" in clf.refine(alone)) == empty


class TestInterrupted:
    @pytest.mark.parametrize("epoch", [2, 3])
    def test_in_the_first_stage_it_goes_on_where_it_stopped(
        self, epoch: int, fitted: nk.SiDyP, noisy: DatasetDict, tmp_path: Path, monkeypatch: Any
    ) -> None:
        with monkeypatch.context() as patch:
            interrupt(patch, CoRegularisedLoss, "__call__", 13 * (epoch - 1) + 5)  # 13 batches an epoch
            with pytest.raises(
                Interrupted, match=f"epoch {epoch} of 4 of its first stage; the checkpoint keeps {epoch - 1}"
            ):
                nk.SiDyP(**QUICK).fit(noisy, checkpoint=tmp_path)
        assert_same_run(nk.SiDyP(**QUICK).fit(noisy, checkpoint=tmp_path), fitted, noisy)
        # A finished first stage is not done again, and it is of this run alone.
        interrupt(monkeypatch, CoRegularisedLoss, "__call__")
        assert_same_run(nk.SiDyP(**QUICK).fit(noisy, checkpoint=tmp_path), fitted, noisy)
        for other in ({"seed": 1}, {"noise_rate": 0.3}):
            with pytest.raises(ValueError, match="belongs to another run"):
                nk.SiDyP(**{**QUICK, **other}).fit(noisy, checkpoint=tmp_path)

    @pytest.mark.parametrize(("call", "epochs"), [(1, 0), (30, 2)])
    def test_in_the_second_stage_it_is_usable(
        self, noisy: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, epochs: int
    ) -> None:
        interrupt(monkeypatch, Refinement, "_step", call)
        clf = nk.SiDyP(**QUICK)
        with pytest.raises(Interrupted):
            clf.fit(noisy)
        assert clf.history_["stage"].tolist() == ["classifier"] * 4 + ["diffusion"] * epochs
        assert len(clf.prior_) == 400
        assert np.array_equal(sane(nk.load(clf.save(tmp_path)), noisy), sane(clf, noisy))


class TestEdges:
    def test_missing_labels_are_filled(self, noisy: DatasetDict) -> None:
        z, y, missing = observed(noisy), truth(noisy), np.arange(400) % 4 == 0
        holes = relabelled(noisy, np.where(missing, -1, z))
        clf = nk.SiDyP(**QUICK).fit(holes)
        found = np.array(clf.refine(holes)["train"]["refined_label"])
        assert (found >= 0).all()
        most = np.bincount(y[missing]).max() / missing.sum()
        assert (found == y)[missing].mean() > max(most, (z == y)[missing].mean()) + 0.1
        table = clf.prior_
        assert (table["noisy_label"][missing] == "").all()
        assert not table["suspect"][missing].any()
        assert (np.isnan(table["suspicion"]) == missing).all()
        why = np.array(clf.refine(holes)["train"]["refined_reason"])
        assert ((why == "filled") == missing).all()
        assert ((why == "kept") == (found == np.where(missing, -1, z))).all()
        # Without a label the text alone counts: P(y | x).
        p = clf.predict_proba(list(noisy["train"]["text"]))
        assert np.array_equal(found[missing], p.argmax(1)[missing])
        assert set(clf.report(holes["train"])) == {"detection", "spaces", "stages", "prior", "correction"}

    @pytest.mark.parametrize(("settings", "harm"), [({**QUICK, "noise_rate": 0.0}, 0.12), (GOOD, 0.15)])
    def test_labels_all_right_are_mostly_left_alone(
        self, noisy: DatasetDict, settings: dict[str, Any], harm: float
    ) -> None:
        clean = relabelled(noisy, truth(noisy))
        clf = nk.SiDyP(**settings).fit(clean)
        report = clf.report(clean["train"])
        assert report["correction"]["harm_rate"] < harm
        assert np.isnan(report["correction"]["correction_rate"])
        assert np.isnan(report["detection"]["auc"])
        assert clf.prior_["suspect"].mean() == pytest.approx(clf.noise_rate_, abs=2e-3)

    def test_labels_all_wrong_give_sane_numbers(self, noisy: DatasetDict) -> None:
        wrong = relabelled(noisy, (truth(noisy) + 1) % 8)
        clf = nk.SiDyP(**QUICK).fit(wrong)
        sane(clf, noisy)
        assert 0 <= clf.noise_rate_ <= 1
        report = clf.report(wrong["train"])
        assert report["correction"]["accuracy_before"] == 0
        assert np.isnan(report["correction"]["harm_rate"])

    def test_a_known_transition_matrix_is_used_and_kept(self, noisy: DatasetDict, tmp_path: Path) -> None:
        known = 0.2 * np.eye(8) + 0.1
        clf = nk.SiDyP(**QUICK, transition=known.tolist()).fit(noisy)
        for one in (clf, nk.load(clf.save(tmp_path))):
            np.testing.assert_allclose(one.weighing_.T, known)
            np.testing.assert_allclose(one.config.transition, known)
        with pytest.raises(ValueError, match="transition='2 classes' is not allowed: the data's 8"):
            nk.SiDyP(**QUICK, transition=np.eye(2).tolist()).fit(noisy)

    def test_all_suspect_is_an_error_with_a_remedy(self, noisy: DatasetDict) -> None:
        with pytest.raises(ValueError, match="lower noise_rate"):
            nk.SiDyP(**QUICK, noise_rate=1.0).fit(noisy)

    def test_two_classes(self, r8_small: DatasetDict) -> None:
        kept = r8_small.filter(lambda row: row["label"] in (0, 2))
        two = kept.map(lambda row: {"label": row["label"] // 2}).cast_column(
            "label", ClassLabel(names=["acq", "earn"])
        )
        two = nk.add_noise(two, kind="symmetric", rate=0.3, seed=0)
        clf = nk.SiDyP(**QUICK).fit(two)
        assert sane(clf, two).shape == (60, 2)
        assert clf.evaluate(two["test"])["accuracy"] > 0.85
        assert clf.report(two["train"])["correction"]["accuracy_after"] > 0.85

    @pytest.mark.parametrize("how", ["mislabelled", "absent"])
    def test_a_class_with_no_clean_sample(self, noisy: DatasetDict, how: str) -> None:
        acq = noisy["train"].features["noisy_label"].names.index("acq")
        z, y = observed(noisy), truth(noisy)
        gone = (z == acq) & ((y == acq) | (how == "absent"))
        clf = nk.SiDyP(**QUICK).fit(relabelled(noisy, np.where(gone, (z + 1) % 8, z)))
        p, right = sane(clf, noisy), truth(noisy, "test")[:60]
        assert clf.prior_weight_.shape == (400, 8)
        if how == "absent":
            assert (clf.prior_weight_[:, acq] == 0).all()
            assert p[:, acq].max() < 0.5
        # The other classes keep their columns.
        assert (p.argmax(1) == right)[right != acq].mean() > 0.6

    @pytest.mark.parametrize("n", [1, 2, 33])
    def test_few_texts_and_a_batch_of_one(self, noisy: DatasetDict, n: int) -> None:
        few = DatasetDict({"train": noisy["train"].select(range(n)), "test": noisy["test"]})
        clf = nk.SiDyP(**QUICK, noise_rate=0.0).fit(few)
        sane(clf, noisy)
        assert len(clf.prior_) == n
        assert len(clf.refine(few)["train"]["refined_label"]) == n

    @pytest.mark.parametrize(
        "more",
        [
            {"branches": 1}, {"dynamic_prior": False}, {"prior_memory": True}, {"branch_ema_epochs": 0.0},
            {"coregularisation": 0.0, "diffusion_coregularisation": 0.0}, {"variant": "published"},
            {"score": "distance"}, {"score": "relative", "normalise": False}, {"epochs": 1},
            {"trajectory_points": 1}, {"diffusion_epochs": 1, "diffusion_warmup": 1.0},
            {"sampling_steps": 1, "diffusion_steps": 1}, {"chains": 3},
            {"transition": (0.2 * np.eye(8) + 0.1).tolist()},
        ],
    )  # fmt: skip
    def test_every_option_decides_something(
        self, fitted: nk.SiDyP, noisy: DatasetDict, more: dict[str, Any]
    ) -> None:
        clf = nk.SiDyP(**{**QUICK, **more}).fit(noisy)
        assert not np.array_equal(sane(clf, noisy), sane(fitted, noisy))
        # The denoiser's width does not depend on the epochs.
        assert clf.denoiser_.condition.weight.shape[1:] == fitted.denoiser_.condition.weight.shape[1:]

    def test_with_layers_that_learn(self, noisy: DatasetDict, tmp_path: Path) -> None:
        few = DatasetDict({**noisy, "train": noisy["train"].select(range(60))})
        clf = nk.SiDyP(**{**QUICK, "max_length": 16, "epochs": 2, "trainable_layers": 1}).fit(few)
        assert np.array_equal(sane(nk.load(clf.save(tmp_path)), noisy), sane(clf, noisy))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"branches": 0}, r"branches=0 is not allowed: a whole number at least 1"),
        ({"diffusion_epochs": 0}, r"diffusion_epochs=0.*at least 1"),
        ({"update_rounds": 1.5}, r"update_rounds=1.5.*whole number"),
        ({"coregularisation": -1}, r"coregularisation=-1.*at least 0"),
        ({"coregularisation_warmup": 2}, r"coregularisation_warmup=2.*at most 1"),
        ({"noise_rate": "half"}, r"noise_rate='half'.*0 to 1, or 'auto'"),
        ({"noise_rate": 1.5}, r"noise_rate=1.5.*at most 1"),
        ({"noise_rate": True}, r"noise_rate=True"),
        ({"agreement": -2}, r"agreement=-2.*at least -1"),
        ({"score": "loss"}, r"score='loss'.*margin, relative, distance"),
        ({"margin_epochs": 0}, r"margin_epochs=0.*above 0"),
        ({"delta": 1.1}, r"delta=1.1.*at most 1"),
        ({"simplex_scale": -5}, r"simplex_scale=-5.*above 0"),
        ({"transition": [[0.9, 0.1], [0.3, 0.3]]}, r"transition=.*rows sum to 1"),
        ({"transition": [0.5, 0.5]}, r"transition=.*\(C, C\)"),
        ({"transition": np.eye(8).tolist(), "evidence": False}, r"transition=.*None where evidence=False"),
        ({"variant": "new"}, r"variant='new'.*ours, text_space, published"),
        ({"dynamic_prior": 1}, r"dynamic_prior=1.*one of True, False"),
        ({"sampling_steps": 20, "diffusion_steps": 10}, r"sampling_steps=20.*at most diffusion_steps=10"),
    ],
)
def test_bad_settings_are_named(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nk.SiDyP(**{**QUICK, **bad})


def test_the_published_variant_is_a_set_of_defaults() -> None:
    ours, published = nk.SiDyP(profile="quick").config, nk.SiDyP(profile="quick", variant="published").config
    assert (ours.noise_rate, published.noise_rate) == ("auto", 0.5)
    assert (ours.prior_memory, published.prior_memory) == (False, True)
    assert (published.score, published.prediction_steps, published.weighted_loss) == ("distance", 10, True)
    given = nk.SiDyP(variant="published", noise_rate="auto", score="both").config
    assert (given.noise_rate, given.score, given.prior_memory) == ("auto", "both", True)


class TestChain:
    def test_it_goes_from_noise_to_an_answer_of_which_predictions_are_the_mean(
        self, fitted: nk.SiDyP, noisy: DatasetDict
    ) -> None:
        texts, label, c = noisy["train"]["text"][:4], noisy["train"]["noisy_label"][:4], fitted.config
        chain = fitted.chain(texts, label)
        assert chain.shape == (c.sampling_steps + 1, c.branches, 4, len(fitted.label_names_))
        np.testing.assert_allclose(chain.sum(-1), 1, atol=1e-5)
        # All start from the same noise, and end apart.
        assert (chain[0] == chain[0][:, :1]).all()
        assert not np.allclose(chain[-1][:, 0], chain[-1][:, 1])
        alone = fitted.chain(texts[2:3], label[2:3])
        np.testing.assert_allclose(alone[:, :, 0], chain[:, :, 2], atol=1e-5)

    def test_one_answer_at_each_level_of_noise(self, good: nk.SiDyP, noisy: DatasetDict) -> None:
        texts, label = noisy["train"]["text"][:], noisy["train"]["noisy_label"][:]
        y, T = truth(noisy), good.config.diffusion_steps

        def right(shown: np.ndarray, t: int) -> float:
            return float((good.denoised(texts, label, shown, t).argmax(1) == y).mean())

        # Of nothing but noise nothing can be learnt; a label without noise says something.
        other = (y + 3) % 8
        assert right(y, T) == pytest.approx(right(other, T), abs=0.02)
        assert right(y, 0) > right(other, 0)
        p = good.denoised(texts[:5], label[:5], [-1] * 5, 7)
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
        assert np.array_equal(p, good.denoised(texts[:5], label[:5], [-1] * 5, 7))

    @pytest.mark.parametrize(
        ("method", "arguments", "message"),
        [
            ("chain", ([0, 1],), "2 labels for 1 texts"),
            ("chain", ([99],), "noisy_label holds 99 to 99"),
            ("denoised", ([0], [0, 1], 0), "shown holds 2 labels for 1 texts"),
            ("denoised", ([0], [99], 0), r"shown=\[99\]"),
            ("denoised", ([0], [0], 51), "step=51"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, fitted: nk.SiDyP, method: str, arguments: tuple[Any, ...], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            getattr(fitted, method)(["a"], *arguments)

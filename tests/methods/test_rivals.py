"""Co-teaching, JoCoR, SelfMix, DivideMix, forward correction, the linear model; and methods of one's own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn

import nlkit as nk
from nlkit.methods.forward import ForwardLoss
from nlkit.methods.learner import LearnerConfig
from nlkit.methods.mixing import (
    DivideMixConfig,
    DivideMixLoss,
    MixLoss,
    SelfMixConfig,
    SelfMixLoss,
    clean_probability,
)
from nlkit.methods.registry import METHODS
from nlkit.methods.small_loss import CoTeachingConfig, JoCoRConfig, SmallLoss
from nlkit.models.classifiers import Output
from nlkit.study.comparing import contestants
from tests.methods.helpers import interrupt, relabelled, replaced

C = 3
RIVALS = ("CoTeaching", "JoCoR", "SelfMix", "DivideMix", "ForwardCorrection")
EPS = 1e-12


def softmax(z: Any) -> list[float]:
    total = sum(math.exp(v) for v in z)
    return [math.exp(v) / total for v in z]


def kl(p: Any, q: Any) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def ce(z: Any, target: Any) -> float:
    return -sum(t * math.log(p) for t, p in zip(target, softmax(z), strict=True))


def sharpened(p: Any, temperature: float) -> list[float]:
    powers = [v ** (1 / temperature) for v in p]
    return [v / sum(powers) for v in powers]


def one_hot(label: int) -> list[float]:
    return [float(c == label) for c in range(C)]


# -- small losses ------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 99), n=st.integers(1, 9), rate=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_each_network_learns_what_the_other_one_finds_easy(seed: int, n: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    z, label, index = rng.normal(size=(n, 2, C)), rng.integers(0, C, 12), rng.permutation(12)[:n]
    loss = SmallLoss(label, rate, CoTeachingConfig(ramp_epochs=4))
    for loss.epoch in (0, 2, 9):
        keep = max(1, round(n * (1 - rate * min(loss.epoch / 4, 1))))
        losses = [[ce(z[i, k], one_hot(label[index[i]])) for i in range(n)] for k in (0, 1)]
        wanted = 0.0
        for k in (0, 1):
            by_the_other = sorted(range(n), key=lambda i: losses[1 - k][i])[:keep]
            wanted += sum(losses[k][i] for i in by_the_other) / keep
        got, _ = loss("strong", None, Output(torch.zeros(n, 2, 1), torch.from_numpy(z)), index, rng)
        assert float(got) == pytest.approx(wanted)


@given(seed=st.integers(0, 99), weight=st.sampled_from([0.0, 0.4, 1.0]))
def test_both_networks_learn_what_they_agree_on(seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    n, label, index = 7, rng.integers(0, C, 12), rng.permutation(12)[:7]
    z = rng.normal(size=(n, 2, C))
    loss = SmallLoss(label, 0.4, JoCoRConfig(ramp_epochs=1, agreement=weight))
    loss.epoch = 1
    joint = []
    for i in range(n):
        p, q, target = softmax(z[i, 0]), softmax(z[i, 1]), one_hot(label[index[i]])
        fit = ce(z[i, 0], target) + ce(z[i, 1], target)
        joint.append((1 - weight) * fit + weight * (kl(p, q) + kl(q, p)))
    keep = round(0.6 * n)
    got, _ = loss("strong", None, Output(torch.zeros(n, 2, 1), torch.from_numpy(z)), index, rng)
    assert float(got) == pytest.approx(sum(sorted(joint)[:keep]) / keep)


def test_the_noise_rate_is_estimated_or_given(noisy: DatasetDict) -> None:
    fitted = nk.CoTeaching(profile="quick", epochs=5).fit(noisy)
    assert fitted.noise_rate_ == pytest.approx(0.4, abs=0.1)
    wanted = 1 - fitted.noise_rate_ * np.minimum(np.arange(5) / fitted.config.ramp_epochs, 1)
    np.testing.assert_allclose(fitted.history_["kept"], wanted)
    assert nk.JoCoR(profile="quick", noise_rate=0.25, epochs=1).fit(noisy).noise_rate_ == 0.25


# -- mixtures ----------------------------------------------------------------------------------------------


def two_gaussians(x: Any, steps: int = 200) -> Any:
    """Return the posterior of the lower one, by expectation-maximisation in plain loops."""
    means, variances, shares = [min(x), max(x)], [0.05, 0.05], [0.5, 0.5]
    for _ in range(steps):
        rows = []
        for value in x:
            density = [
                s * math.exp(-((value - m) ** 2) / (2 * v)) / math.sqrt(v)
                for m, v, s in zip(means, variances, shares, strict=True)
            ]
            rows.append([d / sum(density) for d in density])
        for k in (0, 1):
            weight = sum(row[k] for row in rows)
            means[k] = sum(row[k] * value for row, value in zip(rows, x, strict=True)) / weight
            spread = sum(row[k] * (value - means[k]) ** 2 for row, value in zip(rows, x, strict=True))
            variances[k], shares[k] = spread / weight + 5e-4, weight / len(x)
    return np.array([row[int(means[1] < means[0])] for row in rows])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_losses_are_split_by_a_mixture_of_two_gaussians(seed: int) -> None:
    rng = np.random.default_rng(seed)
    loss = np.concatenate([rng.normal(0.3, 0.1, 60), rng.normal(2.0, 0.4, 40)])
    found = clean_probability(loss)
    scaled = (loss - loss.min()) / np.ptp(loss)
    np.testing.assert_allclose(found, two_gaussians(scaled), atol=0.02)
    np.testing.assert_allclose(clean_probability(7 * loss + 3), found, atol=1e-6)
    order = rng.permutation(100)
    np.testing.assert_allclose(clean_probability(loss[order]), found[order], atol=0.02)
    assert (clean_probability([0.7] * 5) == 1).all()


class Head(nn.Module):
    """A linear head without dropout; of two networks the same for both."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.matrix = torch.from_numpy(np.random.default_rng(seed).normal(size=(4, C)))

    def classify(self, embedding: torch.Tensor) -> torch.Tensor:
        return embedding @ self.matrix


def mixture(seed: int, config: Any, kind: type[MixLoss], networks: int) -> Any:
    """Return a loss of 9 samples after its warm-up, a batch of 6, and what was drawn for its mixtures."""
    rng = np.random.default_rng(seed)
    label = np.append(rng.integers(0, C, 8), -1)
    loss, index, head = kind(label, C, config), np.append(rng.permutation(8)[:5], 8), Head(seed)
    loss.epoch, loss.clean = 3, rng.random((9, networks)).astype(np.float32)
    loss.clean[8] = 0
    shape = (6, 4) if networks == 1 else (6, networks, 4)
    embedding = torch.from_numpy(rng.normal(size=shape))
    output = Output(embedding, head.classify(embedding))
    got, _ = loss("strong", head, output, index, np.random.default_rng(seed))
    draws = np.random.default_rng(seed)
    partner, weight = draws.permutation(6), draws.beta(config.mix_alpha, config.mix_alpha, 6)
    return loss, index, head, output, float(got), partner, np.maximum(weight, 1 - weight)


@pytest.mark.parametrize("seed", range(6))
def test_selfmix_by_hand(seed: int) -> None:
    c = SelfMixConfig(pseudo_weight=0.7, consistency_weight=0.9)
    loss, index, head, output, got, partner, weight = mixture(seed, c, SelfMixLoss, 1)
    z, e = output.logits.numpy(), output.embedding.numpy()
    kept = [loss.clean[i, 0] > 0.5 for i in index]
    target = np.array(
        [
            one_hot(loss.label[i]) if k else sharpened(softmax(v), 0.5)
            for i, k, v in zip(index, kept, z, strict=True)
        ]
    )
    l_mix = l_p = 0.0
    for i, j in enumerate(partner):
        mixed = weight[i] * e[i] + (1 - weight[i]) * e[j]
        l_mix += ce(mixed @ head.matrix.numpy(), weight[i] * target[i] + (1 - weight[i]) * target[j]) / 6
        # Without dropout both predictions are the same, and so L_r is 0.
        l_p += 0.0 if kept[i] else ce(z[i], one_hot(int(z[i].argmax()))) / kept.count(False)
    assert got == pytest.approx(l_mix + 0.7 * l_p, rel=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_dividemix_by_hand(seed: int) -> None:
    c = DivideMixConfig(epochs=7, warmup_epochs=2, unlabelled_weight=10)
    loss, index, head, output, got, partner, weight = mixture(seed, c, DivideMixLoss, 2)
    z, e = output.logits.numpy(), output.embedding.numpy()
    wanted, count = 0.0, np.bincount(loss.label[:8], minlength=C) + 1
    for k in (0, 1):
        target, kept = [], []
        for row, i in enumerate(index):
            w, p = loss.clean[i, 1 - k], np.array(softmax(z[row, k]))
            both = (np.array(softmax(z[row, 0])) + softmax(z[row, 1])) / 2
            kept.append(w > 0.5)
            refined = w * np.array(one_hot(loss.label[i])) + (1 - w) * p
            target.append(sharpened(refined if w > 0.5 else both, 0.5))
        said, l_x, l_u = [], [], []
        for i, j in enumerate(partner):
            mixed = (weight[i] * e[i, k] + (1 - weight[i]) * e[j, k]) @ head.matrix.numpy()
            soft = weight[i] * np.array(target[i]) + (1 - weight[i]) * np.array(target[j])
            said.append(softmax(mixed))
            if kept[i]:
                l_x.append(ce(mixed, soft))
            else:
                l_u.append(sum((a - b) ** 2 for a, b in zip(soft, said[-1], strict=True)) / C)
        wanted += sum(l_x) / max(1, len(l_x)) + 10 * (3 - 2) / 5 * sum(l_u) / max(1, len(l_u))
        wanted += kl(count / count.sum(), np.mean(said, 0))
    assert got == pytest.approx(wanted, rel=1e-5)


def test_what_has_no_label_is_learnt_from_but_never_kept(noisy: DatasetDict) -> None:
    missing = np.arange(400) % 4 == 0
    seen, truth = (np.asarray(noisy["train"][name]) for name in ("noisy_label", "label"))
    fitted = nk.SelfMix(profile="quick").fit(relabelled(noisy, np.where(missing, -1, seen)))
    assert (fitted.clean_[missing] == 0).all()
    right, wrong = (fitted.clean_[~missing & ((seen == truth) == same)].mean() for same in (True, False))
    assert right > 0.7 > 0.3 > wrong


# -- forward correction ------------------------------------------------------------------------------------


@given(seed=st.integers(0, 99))
def test_the_observed_label_is_predicted_through_the_matrix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, label, T = rng.normal(size=(4, C)), rng.integers(0, C, 9), rng.dirichlet([1.0] * C, C)
    index = rng.permutation(9)[:4]
    wanted = 0.0
    for row, i in zip(z, index, strict=True):
        p = softmax(row)
        wanted -= math.log(sum(p[y] * T[y, label[i]] for y in range(C))) / 4
    output = Output(torch.zeros(4, 1), torch.from_numpy(z).float())
    assert float(ForwardLoss(label, T)("strong", None, output, index, rng)[0]) == pytest.approx(
        wanted, rel=1e-4
    )
    plain = float(ForwardLoss(label, np.eye(C))("strong", None, output, index, rng)[0])
    assert plain == pytest.approx(
        np.mean([ce(r, one_hot(label[i])) for r, i in zip(z, index, strict=True)]), rel=1e-4
    )


def test_the_estimated_matrix_is_near_the_true_one(noisy: DatasetDict) -> None:
    T = nk.ForwardCorrection(profile="quick", epochs=1).fit(noisy).transition_
    np.testing.assert_allclose(T.sum(1), 1)
    label, seen = (np.asarray(noisy["train"][name]) for name in ("label", "noisy_label"))
    for c in (0, int(np.bincount(label).argmax())):  # classes of many texts
        assert T[c, c] == pytest.approx((seen[label == c] == c).mean(), abs=0.15)


# -- the linear model --------------------------------------------------------------------------------------


def test_the_linear_model_is_logistic_regression(make: Any, few: DatasetDict) -> None:
    # In bf16 embeddings differ by which texts were encoded together.
    fitted = nk.LinearModel(profile="quick", max_length=16, mixed_precision="no").fit(
        few, eval_splits=["test"]
    )
    texts = list(few["test"]["text"])
    embed = nk.TextEncoder(trainable_layers=0, max_length=16, precision="no").embed
    label = np.asarray(few["train"]["noisy_label"])
    wanted = LogisticRegression(max_iter=2000).fit(embed(few["train"]["text"]), label)
    p = np.zeros((len(texts), 8))
    p[:, wanted.classes_] = wanted.predict_proba(embed(texts))
    np.testing.assert_allclose(fitted.predict_proba(texts), p, atol=2e-3)
    assert list(fitted.history_.columns) == ["epoch", "accuracy_test", "accuracy_noisy_validation", "seconds"]


@pytest.mark.parametrize("classes", [(5,), (2, 6)])
def test_the_linear_model_of_few_classes(classes: tuple[int, ...], few: DatasetDict) -> None:
    label = np.resize(classes, 160)
    model = nk.LinearModel(profile="quick", mixed_precision="no")
    p = model.fit(relabelled(few, label)).predict_proba(list(few["test"]["text"]))
    np.testing.assert_allclose(p[:, classes].sum(1), 1, atol=1e-6)
    if len(classes) > 1:
        embed = nk.TextEncoder(trainable_layers=0, precision="no").embed
        wanted = LogisticRegression(max_iter=2000).fit(embed(few["train"]["text"]), label)
        np.testing.assert_allclose(p[:, classes], wanted.predict_proba(embed(few["test"]["text"])), atol=2e-3)


# -- all of them -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def last_of_ce(noisy: DatasetDict) -> float:
    return nk.Baseline(profile="quick").fit(noisy).score(noisy["test"])


@pytest.mark.parametrize("name", [*RIVALS, "LinearModel"])
def test_it_beats_the_last_epoch_of_ce(name: str, noisy: DatasetDict, last_of_ce: float) -> None:
    """R8, of whose labels 40 % are wrong."""
    fitted = METHODS[name](profile="quick").fit(noisy, eval_splits=["test"])
    assert fitted.score(noisy["test"]) > last_of_ce + 0.03
    assert fitted.history_["accuracy_test"].iloc[-1] == pytest.approx(fitted.score(noisy["test"]))


@pytest.mark.parametrize(("name", "owner"), [("CoTeaching", SmallLoss), ("DivideMix", MixLoss)])
def test_interrupted_and_resumed(
    name: str, owner: Any, few: DatasetDict, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(name, record=True, epochs=5).fit(few)
    with monkeypatch.context() as patch:
        interrupt(patch, owner, "__call__", 4 * 10 + 3)
        with pytest.raises(KeyboardInterrupt, match="4 whole epochs are kept"):
            make(name, record=True, epochs=5).fit(few, checkpoint=tmp_path)
    resumed = make(name, record=True, epochs=5).fit(few, checkpoint=tmp_path)
    texts = list(few["test"]["text"])
    assert np.array_equal(resumed.predict_proba(texts), whole.predict_proba(texts))
    assert resumed.history_.drop(columns="seconds").equals(whole.history_.drop(columns="seconds"))
    assert resumed.dynamics_["strong"].shape == (5, 160, 2, 8)


@pytest.mark.parametrize("name", RIVALS)
def test_layers_of_the_encoder_learn(name: str, few: DatasetDict, tmp_path: Path) -> None:
    part = DatasetDict({split: few[split].select(range(24)) for split in ("train", "validation")})
    fitted = METHODS[name](max_length=8, epochs=3, trainable_layers=1).fit(part)
    loaded, texts = nk.load(fitted.save(tmp_path / "model")), list(few["test"]["text"])
    assert np.array_equal(loaded.predict_proba(texts), fitted.predict_proba(texts))
    tops = [network.top for network in fitted._networks()["strong"].modules() if hasattr(network, "top")]
    assert len(tops) == (1 if name in ("SelfMix", "ForwardCorrection") else 2)
    if len(tops) == 2:  # networks of their own, or they would have nothing to tell each other
        first, second = (torch.cat([p.flatten() for p in top.parameters()]) for top in tops)
        assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("CoTeaching", {"noise_rate": "guess"}, r"noise_rate='guess'.*'auto'"),
        ("JoCoR", {"noise_rate": 1.2}, r"noise_rate=1\.2.*at most 1"),
        ("JoCoR", {"agreement": -1}, r"agreement=-1.*at least 0"),
        ("CoTeaching", {"ramp_epochs": 0}, r"ramp_epochs=0.*at least 1"),
        ("SelfMix", {"warmup_epochs": 6}, r"warmup_epochs=6.*below epochs=6"),
        ("DivideMix", {"mix_alpha": 0}, r"mix_alpha=0.*above 0"),
        ("LinearModel", {"inverse_penalty": 0}, r"inverse_penalty=0.*above 0"),
    ],
)  # fmt: skip
def test_bad_settings_are_named(method: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        METHODS[method](**settings)


# -- methods of one's own ----------------------------------------------------------------------------------


def test_a_method_of_ones_own_takes_part(
    few: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlkit.methods.registry.METHODS", known := dict(METHODS))

    @nk.register_method
    class Smoothed(nk.Baseline):
        """Label smoothing, of one's own."""

        def __init__(self, seed: int = 0, **settings: Any) -> None:
            super().__init__(**{"loss": "label_smoothing"} | settings, seed=seed)

    assert known["Smoothed"] is Smoothed
    fitted = contestants(profile="quick", epochs=1)["Smoothed"](4).fit(few)
    assert (fitted.config.seed, fitted.config.loss) == (4, "label_smoothing")
    assert type(nk.load(fitted.save(tmp_path / "model"))) is Smoothed
    again = nk.register_method(type("Smoothed", (nk.Baseline,), {"__module__": Smoothed.__module__}))
    assert known["Smoothed"] is again
    for wrong, said in ((LearnerConfig, "a subclass"), (type("SiDyP", (nk.Baseline,), {}), "another name")):
        with pytest.raises(ValueError, match=said):
            nk.register_method(wrong)


def test_missing_labels_are_left_out(few: DatasetDict, make: Any) -> None:
    keep = np.arange(160) % 3 != 0
    with_holes = replaced(few["train"], "noisy_label", np.where(keep, few["train"]["noisy_label"], -1))
    a, b = (
        make("CoTeaching", epochs=2).fit(DatasetDict({"train": part}))
        for part in (with_holes, few["train"].select(np.flatnonzero(keep)))
    )
    texts = list(few["test"]["text"])
    assert np.array_equal(a.predict_proba(texts), b.predict_proba(texts))

"""On a GPU: steps that wait for nothing, the same answers as on a CPU, and runs that go on.

They run where PyTorch sees a CUDA device, and need no package of offline data; elsewhere `conftest.py` leaves
them out of the collection.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import DatasetDict

import nlkit as nk
from benchmarks.gpu import TINY, drawn_texts, new_encoder
from nlkit.methods.sidyp.branches import Snapshots, new_branches
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.prior import update_prior
from nlkit.methods.sidyp.refinement import Refinement, move_prior
from nlkit.models.encoder import TextEncoder
from nlkit.models.prediction import predict
from nlkit.training import Interrupted, Trainer, copied_weights
from nlkit.training.graphs import ModelPass

pytestmark = pytest.mark.gpu
METHODS = ("Baseline", "NoiseAL", "SiDyP")


@pytest.fixture(scope="module")
def ds() -> DatasetDict:
    return nk.add_noise(drawn_texts(300, mean_words=20), kind="symmetric", rate=0.3, seed=0)


@pytest.fixture(scope="module")
def encoder(ds: DatasetDict, tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_encoder(tmp_path_factory.mktemp("bert"), ds["train"]["text"][:], **TINY)


@pytest.fixture(scope="module")
def calm(ds: DatasetDict, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder without dropout."""
    off = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
    return new_encoder(tmp_path_factory.mktemp("calm"), ds["train"]["text"][:], **TINY, **off)


def method(name: str, encoder: str, **more: Any) -> Any:
    settings: dict[str, Any] = {
        "encoder": encoder, "profile": "paper", "epochs": 6, "max_length": 64, "batch_size": 32,
        "lr_encoder": 2e-3, "lr_head": 3e-3, **more,
    }  # fmt: skip
    if name == "NoiseAL":
        settings |= {"annotator": None, "warmup_epochs": 2}
    if name == "SiDyP":
        settings |= {"diffusion_epochs": 4}
    return getattr(nk, name)(**settings)


@pytest.mark.parametrize("layers", ["all", 1])
@pytest.mark.parametrize("name", METHODS)
def test_no_step_waits_and_something_is_learnt(
    ds: DatasetDict, encoder: str, name: str, layers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watched(owner: Any, step: str) -> None:
        plain = getattr(owner, step)

        def run(*arguments: Any, **named: Any) -> Any:
            # What stays for an epoch is brought there in its first step.
            seen[step] = seen.get(step, 0) + 1
            torch.cuda.set_sync_debug_mode("error" if seen[step] > 2 else "default")
            try:
                return plain(*arguments, **named)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        monkeypatch.setattr(owner, step, run)

    seen: dict[str, int] = {}
    watched(Trainer, "_step")
    watched(Refinement, "_step")
    # The targets of NoiseAL are brought over in each epoch's first step.
    monkeypatch.setattr("nlkit.methods.noiseal.loss.NoiseALLoss.__call__", _without_first(seen))
    fitted = method(name, encoder, trainable_layers=layers).fit(ds)
    assert min(seen.values()) > 10
    losses = fitted.history_.filter(like="loss").iloc[:, 0].dropna()
    assert losses.iloc[:6].iloc[-1] < losses.iloc[0]
    model = next(iter(fitted._networks().values()))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def _without_first(seen: dict[str, int]) -> Any:
    from nlkit.methods.noiseal.loss import NoiseALLoss

    plain = NoiseALLoss.__call__

    def call(self: NoiseALLoss, *arguments: Any) -> Any:
        if self._there is None:
            torch.cuda.set_sync_debug_mode("default")
        return plain(self, *arguments)

    return call


@pytest.mark.parametrize("name", METHODS)
def test_a_gpu_predicts_what_a_cpu_does(ds: DatasetDict, encoder: str, name: str, tmp_path: Path) -> None:
    fitted = method(name, encoder, mixed_precision="no", trainable_layers=1).fit(ds)
    texts = ds["validation"]["text"][:]
    fitted.save(tmp_path)
    other = nk.load(tmp_path)
    other.config = type(other.config)(**{**other.config.to_dict(), "device": "cpu"})
    other._rebuild(fitted._extra_values())
    for key, model in other._networks().items():
        model.load_state_dict({k: v.cpu() for k, v in fitted._networks()[key].state_dict().items()})
        model.eval()
    found, wanted = fitted.predict_proba(texts), other.predict_proba(texts)
    # The frozen layers run in bf16 there; SiDyP draws other noise.
    if name == "SiDyP":
        assert np.abs(found - wanted).mean() < 0.05
    else:
        np.testing.assert_allclose(found, wanted, atol=0.05)


def test_the_frozen_layers_give_nearly_the_same(ds: DatasetDict, encoder: str) -> None:
    texts = ds["train"]["text"][:]
    rows = [
        TextEncoder(encoder, trainable_layers=1, max_length=64, cache=False, device=device).prepare(texts)
        for device in ("cuda", "cpu")
    ]
    for there, here in zip(*rows, strict=True):
        assert there.shape == here.shape
        np.testing.assert_allclose(there.astype(float), here.astype(float), atol=0.06)


def test_half_precision_is_near_full_precision(ds: DatasetDict, encoder: str) -> None:
    model = TextEncoder(encoder, trainable_layers="all", max_length=64).cuda().eval()
    inputs = model.prepare(ds["train"]["text"][:])
    batch = inputs.batch(np.arange(32)).to(torch.device("cuda"))

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        model.zero_grad()
        found = model(batch)
        assert found.dtype == torch.float32
        found.square().mean().backward()
        return found.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    whole, gradient = run()
    with torch.autocast("cuda", torch.bfloat16):
        half, of_half = run()
    torch.testing.assert_close(half, whole, atol=0.05, rtol=0.02)
    assert torch.nn.functional.cosine_similarity(gradient, of_half, dim=0) > 0.99


def test_an_interrupted_run_goes_on(
    ds: DatasetDict, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = Trainer._train_epoch, []

    def stopping(self: Trainer, bar: Any) -> Any:
        calls.append(self.epoch)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(self, bar)

    monkeypatch.setattr(Trainer, "_train_epoch", stopping)
    with pytest.raises(Interrupted):
        method("Baseline", encoder).fit(ds, checkpoint=tmp_path)
    resumed = method("Baseline", encoder).fit(ds, checkpoint=tmp_path)
    assert calls == [0, 1, 2, 3, 3, 4, 5]
    whole = method("Baseline", encoder).fit(ds)
    np.testing.assert_allclose(resumed.history_["loss"], whole.history_["loss"], rtol=0.05)


@pytest.mark.parametrize("layers", ["all", 1, 0])
@pytest.mark.parametrize("name", [*METHODS, "mixup"])
def test_recorded_steps_are_those_that_are_not(
    ds: DatasetDict, calm: str, name: str, layers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, found, recorded = ModelPass.__init__, [], []

    def history(records: bool) -> Any:
        def init(self: ModelPass, *arguments: Any) -> None:
            plain(self, *arguments)
            self.records = records
            recorded.append(self.recorded)

        monkeypatch.setattr(ModelPass, "__init__", init)
        monkeypatch.setattr("torch.nn.functional.dropout", lambda x, *_, **__: x)
        settings = {"loss": "mixup"} if name == "mixup" else {}
        kind = "Baseline" if name == "mixup" else name
        fitted = method(kind, calm, trainable_layers=layers, mixed_precision="no", **settings).fit(ds)
        return fitted.history_.filter(like="loss").iloc[:3].dropna(axis=1)

    found = [history(True), history(False)]
    assert sum(r is not None for each in recorded for r in each.values()) > 0
    np.testing.assert_allclose(*found, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("rounds", [1, 6])
def test_the_prior_moves_as_in_numpy(rounds: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.dirichlet(np.ones(20), (3, 500))
    answer = rng.integers(0, 20, (3, 500))
    found = move_prior(torch.from_numpy(weight).cuda(), torch.from_numpy(answer).cuda(), rounds)
    np.testing.assert_allclose(found.cpu(), update_prior(weight, answer, rounds), atol=1e-12)


def test_snapshots_stay_on_the_device(ds: DatasetDict, encoder: str) -> None:
    config = SiDyPConfig.make("paper", encoder=encoder, max_length=64)
    models = [new_branches(SiDyPConfig.make("paper", encoder=encoder, seed=s), 4).cuda() for s in range(3)]
    inputs = models[0].prepare(ds["train"]["text"][:50])
    snapshots, place = Snapshots([copied_weights(m) for m in models[1:]]), torch.device("cuda")
    found = snapshots.predictions(models[0], inputs, place, "no")
    assert {b.device.type for b in snapshots.buffers()} == {"cuda"}
    for prediction, model in zip(found, [*models[1:], models[0]], strict=True):
        wanted = predict(model, inputs, place)
        np.testing.assert_allclose(prediction.probability, wanted.probability, atol=1e-5)
    assert config.batch_size >= 32

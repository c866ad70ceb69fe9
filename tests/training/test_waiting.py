"""A training step asks nothing of the device and copies nothing back: either would wait for it.

The models are on PyTorch's meta device, whose tensors have a shape and no values, so that reading one is an
error; every copy to it is looked at: on a GPU one that blocks waits for all that was begun before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu import TINY, new_encoder
from nlkit.methods.base import new_strong
from nlkit.methods.baselines import LOSSES, BaselineConfig, BaselineLoss
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.loss import NoiseALLoss
from nlkit.methods.noiseal.method import new_weak
from nlkit.methods.sidyp import refinement as second_stage
from nlkit.methods.sidyp.branches import CoRegularisedLoss, new_branches
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.prior import Prior
from nlkit.models import encoder as encoding
from nlkit.models.batching import bucketed_batches
from nlkit.models.classifiers import Vocabulary
from nlkit.training import Trainer

N, C, META = 12, 3, torch.device("meta")
TEXTS = [" ".join(f"w{(3 * i + k) % 20}" for k in range(1 + i % 7)) for i in range(N)]
LABEL = np.arange(N) % C


class Watch(TorchDispatchMode):
    """Counts copies to the meta device; a blocking one, and whatever reads a tensor there, is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = 0

    def __torch_dispatch__(self, call: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        tensors = [x for x in tree_leaves((arguments, named)) if isinstance(x, Tensor)]
        there = [x.device == META for x in tensors]
        name = call.overloadpacket.__name__
        if name == "_to_copy" and "device" in named:
            to = torch.device(named["device"])
            assert not (there[0] and to != META), "a copy back from the device"
            if not there[0] and to == META:
                assert named.get("non_blocking"), "a copy to the device that waits"
                self.copies += 1
        elif name == "copy_" and len(set(there)) == 2:
            pytest.fail("a copy in place between the devices")
        if any(there):
            assert name not in ("_local_scalar_dense", "nonzero", "equal", "masked_select"), name
        return call(*arguments, **named)


@pytest.fixture(autouse=True)
def half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast knows no meta device: let it be remembered which type is on."""
    stack: list[torch.dtype | None] = [None]
    plain = torch.autocast

    @contextmanager
    def stand_in(dtype: torch.dtype | None, enabled: bool) -> Iterator[None]:
        stack.append(dtype if enabled else None)
        yield
        stack.pop()

    def autocast(kind: str, dtype: Any = None, enabled: bool = True) -> Any:
        return stand_in(dtype, enabled) if kind == "meta" else plain(kind, dtype=dtype, enabled=enabled)

    monkeypatch.setattr(torch, "autocast", autocast)
    monkeypatch.setattr(encoding, "half_type", lambda device: stack[-1])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_encoder(tmp_path_factory.mktemp("bert"), TEXTS, **TINY)


def settings(encoder: str, layers: Any, **more: Any) -> dict[str, Any]:
    return {"encoder": encoder, "trainable_layers": layers, "max_length": 16, "batch_size": 5, **more}


def copies_in_steps(config: Any, models: dict[str, Any], loss: Any, **more: Any) -> int:
    """Run an epoch's steps; return how many copies to the device there were in each, at most."""
    inputs = {name: model.prepare(TEXTS) for name, model in models.items()}
    models = {name: model.to(META) for name, model in models.items()}
    trainer = Trainer.from_config(
        config, models, inputs, loss, device="meta", mixed_precision="bf16", ema_epochs=1.0, **more
    )
    rng, found = np.random.default_rng(0), []
    for model in models.values():
        model.train()
    batches = bucketed_batches(trainer._lengths, config.batch_size, rng)
    for count, (index, parts) in enumerate(trainer._prepared(batches)):
        for name, batch in parts.items():
            # What stays for an epoch is brought there in its first step.
            with Watch() if count else nullcontext(Watch()) as watch:
                seen = trainer._step(name, batch, index, rng)
            assert all(value.device == META for value in seen.values())
            found.append(watch.copies)
    assert len(found) == 3 * len(models)
    return max(found)


@pytest.mark.parametrize("layers", ["all", 1, 0])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_baselines_step(encoder: str, layers: Any, loss: str) -> None:
    config = BaselineConfig(loss=loss, **settings(encoder, layers))
    models = {"strong": new_strong(config, C)}
    copies = copies_in_steps(config, models, BaselineLoss(LABEL, C, config))
    assert copies == (3 if loss == "mixup" else 1)  # positions; partners and weights of the mixture


@pytest.mark.parametrize("layers", ["all", 1])
def test_a_step_of_noiseal(encoder: str, layers: Any) -> None:
    config = NoiseALConfig(**settings(encoder, layers))
    models = {"strong": new_strong(config, C), "weak": new_weak(config, Vocabulary.fit(TEXTS), C)}
    loss = NoiseALLoss(N, C, config)
    sets, answer = np.tile(["R", "H", "P"], N // 3), np.where(np.arange(N) % 3 == 2, 0, -1)
    loss.set_targets(sets, LABEL, answer, np.full((N, C), 1 / C))
    # Positions, those of the three sets, partners and weights of the mixture.
    assert copies_in_steps(config, models, loss, lr={"weak": 0.01}) == 6


@pytest.mark.parametrize("layers", ["all", 1])
def test_a_step_of_sidyps_first_stage(encoder: str, layers: Any) -> None:
    config = SiDyPConfig(**settings(encoder, layers))
    loss = CoRegularisedLoss(np.where(np.arange(N) == 4, -1, LABEL))
    loss.weight = 5.0
    assert copies_in_steps(config, {"branches": new_branches(config, C)}, loss) == 1


def test_a_step_of_sidyps_second_stage_and_the_rounds_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(denoiser: Any, encoded: Tensor, observed: Tensor, *_: Any) -> Tensor:
        return torch.rand(*encoded.shape[:2], C, device=META)

    monkeypatch.setattr(second_stage, "answer_probabilities", answers)
    M, P = 2, 5
    config = SiDyPConfig(branches=M, hidden_size=8, diffusion_batch_size=4, weighted_loss=True)
    weight = np.random.default_rng(0).dirichlet(np.ones(C), N)
    prior = Prior(weight, np.where(LABEL == 0, "certain", "uncertain"), np.zeros((N, 1), int), LABEL > 9)
    run = second_stage.Refinement(torch.zeros(M, N, P), LABEL, prior, config, META)
    index = torch.arange(4, device=META)
    with Watch() as watch:
        run._move_prior(None)  # type: ignore[arg-type]
        run._step(index, run._weight.float()[:, index], None, False)  # type: ignore[arg-type]
    assert watch.copies == 0


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(), lambda x: x.cpu(), lambda x: x.nonzero(), lambda x: x[x > 0],
        lambda x: x + torch.ones(3).to(META), lambda x: x.copy_(torch.ones(3)), lambda x: bool((x > 0).all()),
    ],
)  # fmt: skip
def test_the_watch_sees_what_waits(wait: Any) -> None:
    with pytest.raises((AssertionError, RuntimeError, NotImplementedError, pytest.fail.Exception)), Watch():
        wait(torch.zeros(3, device=META))

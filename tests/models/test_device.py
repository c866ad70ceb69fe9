"""How many threads compute what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from nlkit._util import count_cores
from nlkit.models import device
from nlkit.models.classifiers import StrongClassifier
from nlkit.models.encoder import TextEncoder
from nlkit.models.prediction import predict
from nlkit.training.trainer import Trainer


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("given", "quota", "threads"), [(None, 2, 2), (None, 1, 1), (None, 64, 3), ("5", 1, 5), ("1", 64, 1)]
)
def test_large_products_get_what_the_container_allows(
    monkeypatch: pytest.MonkeyPatch, given: str | None, quota: int, threads: int
) -> None:
    monkeypatch.delenv("NLKIT_THREADS", raising=False)
    monkeypatch.setattr(device, "count_cores", lambda: quota)
    if given:
        monkeypatch.setenv("NLKIT_THREADS", given)
    assert device._thread_count() == threads


@pytest.mark.parametrize("given", ["0", "-1", "two", "", "1.5"])
def test_bad_number_of_threads(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("NLKIT_THREADS", given)
    with pytest.raises(ValueError, match=f"NLKIT_THREADS='{given}' is not allowed: a whole number from 1"):
        device._thread_count()


def test_cores_are_those_of_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_cores() >= 1
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert count_cores() == 1


def test_threads_come_back_after_an_error() -> None:
    @device.one_thread()
    def failing() -> None:
        raise KeyError(torch.get_num_threads())

    with pytest.raises(KeyError, match="1"):
        failing()
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("layers", "threads"), [(0, 1), (1, 3)])
def test_small_models_learn_and_predict_in_one_thread(layers: int, threads: int) -> None:
    model = StrongClassifier(TextEncoder("minilm", trainable_layers=layers, cache=False), 2)
    seen, inputs = [], model.prepare(["a text", "another one", "the last"])
    model.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))

    def loss(name, model, output, index, rng):
        return output.logits.square().mean(), {}

    groups = {"m": [{"params": list(model.parameters())}]}
    with Trainer({"m": model}, {"m": inputs}, groups, loss, epochs=1).running() as epochs:
        list(epochs)
    predict(model, inputs, torch.device("cpu"))
    assert seen == [threads] * 2
    assert torch.get_num_threads() == 3

"""How many threads compute what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nlkit._util import count_cores
from nlkit.models import device
from nlkit.models.classifiers import StrongClassifier
from nlkit.models.device import MEASURED
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


@pytest.mark.parametrize(("gain", "wanted"), [(2.6, "bf16"), (1.31, "bf16"), (1.29, "no"), (0.3, "no")])
def test_half_precision_is_chosen_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, gain: float, wanted: str
) -> None:
    monkeypatch.setattr(device, "bf16_gain", lambda: gain)
    cpu = torch.device("cpu")
    assert device.choose_precision("auto", cpu) == wanted
    assert [device.choose_precision(name, cpu) for name in ("no", "bf16", "fp16")] == ["no", "bf16", "fp16"]


def test_a_machine_is_measured_once_and_anew_with_another_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path))
    answers = iter([2.5, 0.5, 1.5])
    monkeypatch.setattr(device, "_measured_gain", lambda: next(answers))

    def asked() -> float:
        device.bf16_gain.cache_clear()  # as in another process
        return device.bf16_gain()

    assert [asked(), asked()] == [2.5, 2.5]
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert [asked(), asked()] == [0.5, 0.5]
    for content in (
        "{not json",
        "[]",
        json.dumps(dict.fromkeys(json.loads((tmp_path / MEASURED).read_text()))),
    ):
        (tmp_path / MEASURED).write_text(content)
        answers = iter([1.5])
        assert [asked(), asked()] == [1.5, 1.5]
    device.bf16_gain.cache_clear()


def test_measuring_leaves_random_numbers_and_threads_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert 0.01 < device._measured_gain(rows=8, width=16) < 100
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 3


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

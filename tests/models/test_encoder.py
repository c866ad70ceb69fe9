from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nlkit.data import packaged as assets
from nlkit.models.batching import Batch, Inputs
from nlkit.models.classifiers import StrongClassifier
from nlkit.models.device import choose_device, choose_precision
from nlkit.models.encoder import TextEncoder, _layers, _pretrained
from nlkit.models.gpu import halved, one_behind, rounded
from tests.reference import encoder as reference

TEXTS = [
    "oil prices rose", "", "the company said net profit rose to 3.2 mln dlrs from 2.1 mln a year earlier",
    "wheat", "the bank of england lent 250 mln stg to the money market", "wheat",
]  # fmt: skip
TOLERANCE = 4e-3  # of unit vectors: the trunk's activations are kept in half precision


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    return unit(reference.embed(assets.resolve_model("minilm"), TEXTS, 16))


@contextmanager
def counted_layers(encoder: TextEncoder) -> Iterator[list[int]]:
    """Count how often a layer of the frozen trunk runs, and for how many texts."""
    calls: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda _m, args, _o: calls.append(len(args[0])))
        for layer in _layers(encoder._trunk[0])
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("layers", [0, 1, 2, 6, "all"])
def test_same_as_the_plain_model(plain: np.ndarray, layers: Any, cache: bool) -> None:
    encoder = TextEncoder(trainable_layers=layers, max_length=16, cache=cache)
    for order in (list(range(6)), [3, 0, 5, 1, 4, 2]):  # the second time from the cache
        for size in (2, 64):
            rows = encoder.embed([TEXTS[i] for i in order], batch_size=size)
            np.testing.assert_allclose(rows, plain[order], atol=TOLERANCE)


@pytest.mark.parametrize("layers", [0, 2])
def test_cached_texts_run_no_layer(layers: int) -> None:
    texts = [f"grain shipment number {layers} of {i}" for i in range(9)]
    with counted_layers(TextEncoder(trainable_layers=layers)) as calls:
        first = TextEncoder(trainable_layers=layers).prepare([*texts, *texts])
        assert calls.count(9) == 6 - layers  # once per text, duplicates too, and only below the cut
        assert len(calls) == 6 - layers
        calls.clear()
        again = TextEncoder(trainable_layers=layers).prepare(texts[::-1])
        assert calls == []
        TextEncoder(trainable_layers=layers).prepare([*texts, "one more"])
        assert calls == [1] * (6 - layers)
        calls.clear()
        # Another cut length, or no cache, is computed anew.
        TextEncoder(trainable_layers=layers, max_length=20).prepare(texts)
        TextEncoder(trainable_layers=layers, cache=False).prepare(texts)
        assert len(calls) == 2 * (6 - layers)
    for a, b in zip(first[:9], again[::-1], strict=True):
        assert np.array_equal(a, b)


def test_shapes_of_prepared_inputs() -> None:
    tokens = TextEncoder(trainable_layers="all", max_length=np.int64(16)).prepare(TEXTS)
    assert [a.ndim for a in tokens.arrays] == [1] * len(TEXTS)
    assert tokens.lengths.max() == 16
    activations = TextEncoder(trainable_layers=1, max_length=16).prepare(TEXTS)
    assert activations.lengths.tolist() == tokens.lengths.tolist()
    assert activations[0].shape == (tokens.lengths[0], 384)
    pooled = TextEncoder(trainable_layers=0, max_length=16).prepare(TEXTS)
    assert {a.shape for a in pooled.arrays} == {(1, 384)}
    assert len(TextEncoder(trainable_layers=0).prepare([])) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *(
            ({"trainable_layers": n}, "trainable_layers=.*0 to 6, or 'all'")
            for n in (-1, 7, 2.0, "two", True)
        ),
        *(({"max_length": n}, rf"max_length={n}.*3 to 512") for n in (2, 513)),
    ],
)
def test_layers_and_lengths_that_are_not_there(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextEncoder(**settings)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"(?s)could not be loaded.*encoder='minilm'"):
        TextEncoder(str(tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="only a machine without CUDA lacks it")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="device='cuda'"):
        choose_device("cuda")


@pytest.mark.parametrize("precision", ["no", "bf16", "auto"])
def test_precision_is_what_was_asked_for(precision: str) -> None:
    assert choose_precision(precision, torch.device("cpu")) in (
        ("no", "bf16") if precision == "auto" else (precision,)
    )


@pytest.mark.parametrize(("layers", "count"), [(0, 0), (1, 1), (2, 2), ("all", 6)])
def test_only_the_top_layers_learn(layers: Any, count: int) -> None:
    encoder = TextEncoder(trainable_layers=layers, max_length=16)
    pretrained = _pretrained(assets.resolve_model("minilm"))[1]
    before = {key: value.clone() for key, value in pretrained.state_dict().items()}
    model = StrongClassifier(encoder, 3)
    groups: Any = model.parameter_groups(1e-1, 1e-1)
    learning = [p for g in groups for p in g["params"]]
    assert len(learning) == len({id(p) for p in learning})
    output = model(model.prepare(TEXTS).batch(np.arange(len(TEXTS))).to(torch.device("cpu")))
    output.logits.logsumexp(1).sum().backward()
    assert all(p.grad is not None for p in learning)
    assert all(p.grad is None for p in encoder.parameters() if not p.requires_grad)
    state = encoder.state_dict()
    place = "layer." if layers == "all" else "top."
    assert len({key.split(place)[-1].split(".")[0] for key in state if place in key}) == count
    torch.optim.SGD(learning, lr=1.0).step()
    # What the next encoder starts from is the pre-trained model still.
    assert all(torch.equal(before[key], value) for key, value in pretrained.state_dict().items())
    fresh = TextEncoder(trainable_layers=layers, max_length=16).state_dict()
    assert any(not torch.equal(fresh[key], value) for key, value in state.items()) == bool(count)


def test_dropout_only_while_learning() -> None:
    encoder = TextEncoder(trainable_layers=1, max_length=16)
    batch = encoder.prepare(TEXTS).batch(np.arange(3)).to(torch.device("cpu"))
    assert encoder.eval()(batch).equal(encoder(batch))
    assert not encoder.train()(batch).equal(encoder(batch))
    encoder.embed(TEXTS)
    assert encoder.training


# -- other families, tiny and random ----------------------------------------------------------------------

SIZE: dict[str, Any] = {
    "vocab_size": 30522, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 40,
}  # fmt: skip
LIKE_BERT: dict[str, dict[str, Any]] = {
    "bert": SIZE,
    "roberta": SIZE | {"pad_token_id": 1, "type_vocab_size": 1},
    "electra": SIZE | {"embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 40},
}
# Most have layers like BERT's, but hand them relative positions: cut, they would give wrong numbers.
UNCUTTABLE: dict[str, dict[str, Any]] = {
    "mpnet": SIZE,
    "deberta-v2": SIZE | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    "modernbert": SIZE | {"local_attention": 8, "pad_token_id": 0, "cls_token_id": 101, "sep_token_id": 102},
    "gpt2": {"vocab_size": 30522, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40},
}


def save(model: Any, folder: Path) -> str:
    from transformers import AutoTokenizer

    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(assets.resolve_model("minilm")).save_pretrained(folder)
    return str(folder)


def test_code_beside_an_encoder_is_not_run_and_pickles_are_not_read(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    for kind, settings in (
        ("code", {"model_type": "own", "auto_map": {"AutoModel": "own.Own"}}),
        ("pickle", {}),
    ):
        folder = Path(save(model := BertModel(BertConfig(**SIZE)), tmp_path / kind))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | settings))
        (folder / "own.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
        if kind == "pickle":
            (folder / "model.safetensors").unlink()
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
        with pytest.raises(OSError, match="could not be loaded"):
            TextEncoder(str(folder))
    assert not (tmp_path / "run").exists()


def family(name: str, folder: Path) -> str:
    """Save a tiny random encoder, its weights so large that a wrong position or mask shows."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(name, **(LIKE_BERT | UNCUTTABLE)[name]))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "norm" not in key.lower():
                parameter.mul_(10 if name in LIKE_BERT else 3)
    return save(model, folder)


@pytest.mark.parametrize("name", [*LIKE_BERT, *UNCUTTABLE])
def test_other_families(name: str, tmp_path: Path) -> None:
    folder = family(name, tmp_path)
    wanted = unit(reference.embed(folder, TEXTS, 38))
    assert np.ptp(wanted, axis=0).max() > 0.1  # the texts differ
    for layers in (0, 1, 3, "all", 0):  # at last from the cache
        if name in UNCUTTABLE and layers in (1, 3):
            with pytest.raises(ValueError, match=r"cannot be cut.*trainable_layers='all' or 0"):
                TextEncoder(folder, trainable_layers=layers, max_length=38)  # type: ignore[arg-type]
            continue
        encoder = TextEncoder(folder, trainable_layers=layers, max_length=38, precision="no")  # type: ignore[arg-type]
        assert encoder.width == 32
        np.testing.assert_allclose(encoder.embed(TEXTS, batch_size=3), wanted, atol=TOLERANCE)


def test_roberta_takes_only_the_positions_after_its_padding(tmp_path: Path) -> None:
    folder = family("roberta", tmp_path)
    long = " ".join(["profit"] * 60)
    assert TextEncoder(folder, trainable_layers=1, max_length=38).embed([long]).shape == (1, 32)
    with pytest.raises(ValueError, match="3 to 38 tokens"):
        TextEncoder(folder, max_length=39)


def test_the_cache_knows_weights_settings_and_tokenizer_apart(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**SIZE))  # without a pooler, as many checkpoints on the hub are

    def key(eps: float = 1e-12) -> str:
        model.config.layer_norm_eps = eps
        save(model, tmp_path)
        return again()

    def again() -> str:
        _pretrained.cache_clear()
        return _pretrained(str(tmp_path))[3]

    first = key()
    assert again() == first  # though the missing pooler is drawn anew
    assert key(eps=0.5) != first
    assert key() == first
    AutoTokenizer.from_pretrained(tmp_path, do_lower_case=False).save_pretrained(tmp_path)
    assert again() != first
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.bias.add_(1)
    assert key() != first


@pytest.mark.parametrize("layers", [0, 2])
def test_precisions_are_cached_apart_and_near(layers: int) -> None:
    texts = [f"{i} tonnes of {t}" for i, t in enumerate(TEXTS)]
    rows = {}
    for precision in ("no", "bf16"):
        encoder = TextEncoder(trainable_layers=layers, precision=precision)
        assert encoder.precision == precision
        with counted_layers(encoder) as calls:
            rows[precision] = np.concatenate(encoder.prepare(texts).arrays).astype(float)
        assert len(calls) == 6 - layers  # what the other precision gave is not taken
        again = TextEncoder(trainable_layers=layers, precision=precision).prepare(texts)
        assert np.array_equal(np.concatenate(again.arrays), rows[precision])
    assert not np.array_equal(rows["no"], rows["bf16"])
    error = np.linalg.norm(rows["bf16"] - rows["no"]) / np.linalg.norm(rows["no"])
    assert error < 0.02
    assert 0 < encoder.rounding < 0.02  # of other texts
    assert TextEncoder(trainable_layers=layers, precision="no").rounding == 0


@pytest.mark.parametrize(("bound", "wanted"), [(0.02, "bf16"), (1e-9, "no")])
def test_auto_stays_with_float32_where_activations_would_be_off(
    monkeypatch: pytest.MonkeyPatch, bound: float, wanted: str
) -> None:
    monkeypatch.setattr("nlkit.models.device.bf16_gain", lambda: 3.0)
    monkeypatch.setattr("nlkit.models.encoder.LEAST_PRECISE", bound)
    assert TextEncoder(trainable_layers=0).precision == wanted
    assert TextEncoder(trainable_layers=0, precision="bf16").precision == "bf16"
    assert TextEncoder(trainable_layers="all").rounding == 0  # nothing is frozen


@pytest.fixture(scope="module")
def uncached() -> Inputs:
    return TextEncoder(trainable_layers=1, max_length=16, cache=False).prepare(TEXTS)


def assert_alike(a: Inputs, b: Inputs) -> None:
    """The same activations, but for the batches in which they were computed."""
    for one, other in zip(a.arrays, b.arrays, strict=True):
        np.testing.assert_allclose(one.astype(float), other.astype(float), atol=0.02)


def test_a_cache_that_is_too_small_is_a_warning_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uncached: Inputs
) -> None:
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("NLKIT_CACHE_LIMIT_GB", "25e-6")  # two of the five different texts
    monkeypatch.setattr("nlkit.models.encoder.SHARD_TEXTS", 1)
    encoder = TextEncoder(trainable_layers=1, max_length=16)
    with quiet():
        encoder.prepare(TEXTS[:2])
    with pytest.warns(UserWarning, match=r"5 texts takes .* GB, .*NLKIT_CACHE_LIMIT_GB allows \(2\.5e-05\)"):
        prepared = encoder.prepare(TEXTS)
    with quiet():
        again = encoder.prepare(TEXTS)
    for found in (prepared, again):
        assert_alike(found, uncached)


def occupy(path: Path) -> None:
    path.write_text("a file where a folder should be, which stops root as well")


def test_a_cache_folder_that_cannot_be_made_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uncached: Inputs
) -> None:
    occupy(tmp_path / "occupied")
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "occupied"))
    with pytest.warns(UserWarning, match=r"without the activation cache.*NLKIT_CACHE='.*occupied'"):
        encoder = TextEncoder(trainable_layers=1, max_length=16)
    with quiet():
        prepared = encoder.prepare(TEXTS)
    assert all(map(np.array_equal, prepared.arrays, uncached.arrays))


def test_a_cache_that_fails_while_writing_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uncached: Inputs
) -> None:
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path))
    monkeypatch.setattr("nlkit.models.encoder.SHARD_TEXTS", 2)  # several shards: several chances to warn
    TextEncoder(trainable_layers=1, max_length=16).prepare(TEXTS[:1])
    encoder = TextEncoder(trainable_layers=1, max_length=16)
    assert encoder._cache is not None
    folder = encoder._cache.folder
    get = encoder._cache.get

    def get_and_fill_the_disk(keys: Any) -> Any:
        found = get(keys)
        shutil.rmtree(folder)
        occupy(folder)
        return found

    monkeypatch.setattr(encoder._cache, "get", get_and_fill_the_disk)
    with counted_layers(encoder) as calls:
        with pytest.warns(UserWarning, match=r"cannot be written \(.*set NLKIT_CACHE") as seen:
            prepared = encoder.prepare(TEXTS)
        with quiet():
            again = encoder.prepare(TEXTS)
    assert len(seen) == 1
    # What the cache gave is used: of the five different texts four run, and the second time all.
    assert sum(calls) == (4 + 5) * 5
    for found in (prepared, again):
        assert_alike(found, uncached)


def test_a_limit_that_is_no_size_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLKIT_CACHE_LIMIT_GB", "four")
    with pytest.raises(ValueError, match="NLKIT_CACHE_LIMIT_GB='four'"):
        TextEncoder(trainable_layers=1, max_length=16)


class TestOnAGpu:
    """Parts of what runs on a GPU alone, each on the CPU; `tests.test_gpu` tests the whole."""

    def test_weights_are_in_half_precision_inside_the_block_and_learn_in_float32(self) -> None:
        torch.manual_seed(0)
        model, other, x = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3), torch.randn(5, 4)
        model.bias.requires_grad_(False)
        other.load_state_dict(model.state_dict())
        own = list(model.parameters())
        with halved(model, torch.bfloat16):
            assert {p.dtype for p in (model.weight, model.bias)} == {torch.bfloat16}
            found = model(x.bfloat16()).float()
        assert all(a is b for a, b in zip(model.parameters(), own, strict=True))
        found.square().mean().backward()
        wanted = other(x)
        wanted.square().mean().backward()
        torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.02)
        assert model.weight.grad is not None
        assert model.weight.grad.dtype == torch.float32
        torch.testing.assert_close(model.weight.grad, other.weight.grad, atol=0.01, rtol=0.03)
        assert model.bias.grad is None

    def test_weights_come_back_after_an_error(self) -> None:
        model = torch.nn.Sequential(torch.nn.Linear(2, 2))
        own = list(model.parameters())
        with pytest.raises(KeyboardInterrupt), halved(model, torch.bfloat16):
            raise KeyboardInterrupt
        assert all(a is b for a, b in zip(model.parameters(), own, strict=True))

    @pytest.mark.parametrize(
        ("width", "limit", "wanted"), [(5, 64, 8), (8, 64, 8), (9, 12, 12), (12, 12, 12)]
    )
    def test_widths_are_rounded_up_to_what_the_model_takes(self, width: int, limit: int, wanted: int) -> None:
        mask = torch.ones(2, width, dtype=torch.bool)
        for values in (torch.ones(2, width, dtype=torch.int32), torch.ones(2, width, 3)):
            found = rounded(Batch(values, mask), limit)
            assert found.values.shape == (2, wanted, *values.shape[2:])
            assert found.values.sum() == values.sum()
            assert found.mask.sum() == mask.sum()

    @pytest.mark.parametrize("count", [0, 1, 4])
    def test_every_tensor_is_brought_once_in_order(self, count: int) -> None:
        found = list(one_behind((i, torch.full((2,), float(i))) for i in range(count)))
        assert [(i, t.tolist()) for i, t in found] == [(i, [i, i]) for i in range(count)]


def test_texts_that_cutting_makes_the_same_name_max_length() -> None:
    mails = [f"{'every week we send you the news of our house and garden ' * 6} {topic}" for topic in "abcd"]
    with pytest.warns(UserWarning, match=r"3 of 6 texts are as another up to max_length=64 tokens"):
        TextEncoder("minilm", trainable_layers=0).tokenize([*mails, "short", mails[0]])
    with quiet():
        TextEncoder("minilm", trainable_layers=0, max_length=128).tokenize(mails)
        TextEncoder("minilm", trainable_layers=0).tokenize([mails[0]] * 6)

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers.convert_slow_tokenizer import bytes_to_unicode

from nlkit.annotate import LocalLLM, models

CPU = torch.device("cpu")
D, HIDDEN, HEADS = 32, 64, 4
LAYER = {"attn_norm": (D,), "ffn_norm": (D,), "ffn_down": (D, HIDDEN)}
LAYER |= {f"attn_{name}": (D, D) for name in ("q", "k", "v", "output")}
LAYER |= {f"ffn_{name}": (HIDDEN, D) for name in ("gate", "up")}

Gguf = tuple[Path, dict[str, np.ndarray[Any, Any]]]


def write_gguf(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Write a LLaMA of one layer with random weights and an alphabet of bytes; return the weights."""
    writer = gguf.GGUFWriter(path, "llama")
    vocabulary = ["<|endoftext|>", *bytes_to_unicode().values(), "Ġt", "Ġth"]
    for name, value in {
        "context_length": 256, "embedding_length": D, "block_count": 1, "feed_forward_length": HIDDEN,
        "head_count": HEADS, "head_count_kv": HEADS, "layer_norm_rms_eps": 1e-5, "rope_freq_base": 10000.0,
        "vocab_size": len(vocabulary), "tokenizer_model": "gpt2", "token_list": vocabulary,
        "token_types": [3] + [1] * (len(vocabulary) - 1), "token_merges": ["Ġ t", "Ġt h"],
        "bos_token_id": 0, "eos_token_id": 0,
    }.items():  # fmt: skip
        getattr(writer, f"add_{name}")(value)
    rng = np.random.default_rng(0)
    shapes = {"token_embd": (len(vocabulary), D), "output_norm": (D,)}
    shapes |= {f"blk.0.{name}": shape for name, shape in LAYER.items()}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, weight in weights.items():
        writer.add_tensor(f"{name}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gguf:
    """A small GGUF file with its weights, and a cache of its own."""
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "small.gguf"
    return path, write_gguf(path)


def test_conversion_keeps_the_weights(small: Gguf) -> None:
    path, weights = small
    source = models.locate(path)
    loaded = models.load_model(source, precision="fp32", device=CPU).state_dict()
    for ours, theirs in (
        ("token_embd", "model.embed_tokens"),
        ("output_norm", "model.norm"),
        ("blk.0.attn_v", "model.layers.0.self_attn.v_proj"),
        ("blk.0.ffn_down", "model.layers.0.mlp.down_proj"),
    ):
        np.testing.assert_array_equal(loaded[f"{theirs}.weight"].numpy(), weights[ours])
    tokenizer = models.load_tokenizer(source)
    assert tokenizer.decode(tokenizer("a thing", add_special_tokens=False).input_ids) == "a thing"
    table = LocalLLM(path, store=None).annotate(["a thing"], ["one", "two"])
    assert table["p_0"][0] + table["p_1"][0] == pytest.approx(1)


def test_an_annotator_is_made_ready_without_or_with_the_conversion(small: Gguf) -> None:
    annotator, folders = LocalLLM(small[0], store=None), models.cache_folder("models")
    annotator.ready(["one", "two"], convert=False)
    assert not list(folders.iterdir())
    annotator.ready(["one", "two"])
    source = models.locate(small[0])
    folder = Path(models.ready_folder(source))
    assert list(folders.iterdir()) == [folder]
    # A process that loses a race leaves the winner's folder.
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    models._convert(source, folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    assert list(folders.iterdir()) == [folder]


def test_an_interrupted_conversion_leaves_nothing(small: Gguf, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    source = models.locate(small[0])
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_model", interrupted)
        with pytest.raises(KeyboardInterrupt):
            models.ready_folder(source)
    assert not list(models.cache_folder("models").iterdir())
    assert (Path(models.ready_folder(source)) / "model.safetensors").exists()


def test_a_damaged_conversion_names_the_folder_to_delete(small: Gguf) -> None:
    source = models.locate(small[0])
    folder = Path(models.ready_folder(source))
    (folder / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(OSError, match="delete that folder") as caught:
        models.load_model(source, precision="fp32", device=CPU)
    assert str(folder) in str(caught.value)
    shutil.rmtree(folder)
    models.load_model(source, precision="fp32", device=CPU)


def test_a_model_is_known_by_its_weights(tiny_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed"
    shutil.copytree(tiny_folder, copy)
    assert models.locate(copy).identity == models.locate(tiny_folder).identity
    with (copy / "model.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x01")
    assert models.locate(copy).identity != models.locate(tiny_folder).identity


def test_a_model_is_loaded_once_for_all_who_hold_it(small: Gguf) -> None:
    source = models.locate(small[0])
    one = models.load_model(source, precision="fp32", device=CPU)
    assert models.load_model(source, precision="fp32", device=CPU) is one
    assert models.load_model(source, precision="bf16", device=CPU) is not one
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None  # nobody holds it: its memory is free
    assert models.load_model(source, precision="fp32", device=CPU) is not None


def test_models_with_code_or_pickled_weights_are_refused(tmp_path: Path, tiny_folder: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text("open('run', 'w')")
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoConfig": "evil.Config"}}))
    with pytest.raises(ValueError, match=r"code of its own, which is never run: .*OpenAIChat"):
        models.locate(folder)
    (folder / "config.json").write_text(json.dumps(config))
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no \.safetensors file.*save_pretrained"):
        models.locate(folder)
    with pytest.raises(ValueError, match="no GGUF file"):
        models.locate(folder / "pytorch_model.bin")


def test_a_gguf_file_of_an_unknown_kind_names_another_way(small: Gguf) -> None:
    path = small[0].with_name("odd.gguf")
    path.write_bytes(small[0].read_bytes().replace(b"llama", b"odd__"))
    with pytest.raises(ValueError, match=r"cannot read .*odd\.gguf.*serve it"):
        models.ready_folder(models.locate(path))

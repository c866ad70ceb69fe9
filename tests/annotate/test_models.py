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
from nlkit.data import packaged as assets

CPU = torch.device("cpu")
D, HIDDEN, HEADS = 32, 64, 4
LAYER = {
    "attn_norm": (D,),
    "attn_q": (D, D),
    "attn_k": (D, D),
    "attn_v": (D, D),
    "attn_output": (D, D),
    "ffn_norm": (D,),
    "ffn_gate": (HIDDEN, D),
    "ffn_up": (HIDDEN, D),
    "ffn_down": (D, HIDDEN),
}


def write_gguf(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Write a LLaMA of one layer with random weights and an alphabet of bytes; return the weights."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(D)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    vocabulary = ["<|endoftext|>", *bytes_to_unicode().values(), "Ġt", "Ġth"]
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3] + [1] * (len(vocabulary) - 1))
    writer.add_token_merges(["Ġ t", "Ġt h"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
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
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, np.ndarray[Any, Any]]]:
    """A small GGUF file with its weights, and a cache of its own."""
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "small.gguf"
    return path, write_gguf(path)


def test_smollm2s_converted_weights_are_kept_whole(converted: Path) -> None:
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in converted.iterdir()}
    # Nothing half done lies beside it.
    assert [p.name for p in converted.parent.iterdir()] == [converted.name]
    source = json.loads((converted / "source.json").read_text())
    assert source["identity"] == assets.find("smollm2").sha256


def test_conversion_keeps_the_weights(small: tuple[Path, dict[str, np.ndarray[Any, Any]]]) -> None:
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


def test_an_annotator_is_made_ready_without_or_with_the_conversion(
    small: tuple[Path, dict[str, np.ndarray[Any, Any]]],
) -> None:
    annotator = LocalLLM(small[0], store=None)
    annotator.ready(["one", "two"])
    assert not list(models.cache_folder("models").iterdir())
    annotator.ready(["one", "two"], convert=True)
    (folder,) = models.cache_folder("models").iterdir()
    assert str(folder) == str(models.ready_folder(models.locate(small[0])))


def test_a_process_that_lost_the_race_leaves_the_winners_folder(
    small: tuple[Path, dict[str, np.ndarray[Any, Any]]],
) -> None:
    source = models.locate(small[0])
    folder = Path(models.ready_folder(source))
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    models._convert(source, folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_an_interrupted_conversion_leaves_nothing(
    small: tuple[Path, dict[str, np.ndarray[Any, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    source = models.locate(small[0])
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_model", interrupted)
        with pytest.raises(KeyboardInterrupt):
            models.ready_folder(source)
    folder = Path(models.ready_folder(source))
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert (folder / "model.safetensors").exists()


def test_a_damaged_conversion_names_the_folder_to_delete(
    small: tuple[Path, dict[str, np.ndarray[Any, Any]]],
) -> None:
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


def test_smollm2_is_the_installed_file(private_cache: str) -> None:
    assert models.locate("smollm2").gguf == assets.find("smollm2").path


def test_a_model_is_loaded_once_for_all_who_hold_it(
    small: tuple[Path, dict[str, np.ndarray[Any, Any]]],
) -> None:
    source = models.locate(small[0])
    one = models.load_model(source, precision="fp32", device=CPU)
    assert models.load_model(source, precision="fp32", device=CPU) is one
    assert models.load_model(source, precision="bf16", device=CPU) is not one
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None  # nobody holds it: its memory is free
    assert models.load_model(source, precision="fp32", device=CPU) is not None

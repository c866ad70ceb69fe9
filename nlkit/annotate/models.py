"""Loading causal language models, with GGUF weights de-quantised once and kept."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import torch

from nlkit._util import cache_folder, expanded

__all__ = ["ModelSource", "load_model", "load_tokenizer", "locate", "ready_folder"]

_FORMAT = "v1"  # part of the folder's name: a change of what is kept makes new folders

_SERVE = "choose another model, or serve it with llama.cpp, Ollama or vLLM and ask that with OpenAIChat"


class ModelSource(NamedTuple):
    """Where a model is: a folder or hub name to load, or a GGUF file; `identity` changes with its weights."""

    place: str
    gguf: Path | None
    identity: str


def locate(model: str | os.PathLike[str]) -> ModelSource:
    """Find a model by nlkit's name (``smollm2``), a GGUF file, a folder of transformers, or a hub name.

    `identity` is the SHA-256 of the weights for files; for a hub name it is the commit of the copy in the
    hub's cache or online.

    Raises
    ------
    ValueError
        If it is none of these. A model is data: code beside it is never run, and weights are read from
        safetensors and GGUF files alone.
    """
    path = expanded(model)
    if path.is_file():
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ValueError(
                    f"model={str(model)!r} is no GGUF file: give one, or a folder of transformers"
                )
        return ModelSource(str(path.parent), path, _digest([path]))
    if path.is_dir():
        weights = sorted(p for p in path.iterdir() if p.suffix in {".safetensors", ".json"})
        config = path / "config.json"
        if not config.is_file():
            raise ValueError(
                f"model={str(model)!r}: the folder has no config.json, so it is no transformers model"
            )
        if "auto_map" in json.loads(config.read_text("utf-8")):
            raise ValueError(f"model={str(model)!r} needs code of its own, which is never run: {_SERVE}")
        if not any(p.suffix == ".safetensors" for p in weights):
            raise ValueError(
                f"model={str(model)!r}: the folder has no .safetensors file, and others are not read: save "
                "it with transformers' save_pretrained"
            )
        return ModelSource(str(path), None, _digest(weights))
    if str(model) == "smollm2":
        from nlkit.data import packaged

        asset = packaged.find("smollm2")
        return ModelSource(str(asset.path.parent), asset.path, asset.sha256)
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(model), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"model={str(model)!r} is no file or folder here, no name of nlkit ('smollm2'), and the hub "
            f"did not give it, or it needs code of its own, which is never run: {error}"
        ) from error
    commit = getattr(config, "_commit_hash", None) or "unknown-revision"
    return ModelSource(str(model), None, commit)


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def ready_folder(source: ModelSource) -> Path | str:
    """Return a folder (or hub name) that transformers loads fast, converting a GGUF file when needed."""
    if source.gguf is None:
        return source.place
    folder = cache_folder("models") / f"{source.gguf.stem}-{source.identity[:24]}-{_FORMAT}"
    if not folder.is_dir():
        _convert(source, folder)
    return folder


def _convert(source: ModelSource, folder: Path) -> None:
    """De-quantise a GGUF file (15 s for SmolLM2) into safetensors, which load in a fraction of a second."""
    from safetensors.torch import save_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert source.gguf is not None
    settings: dict[str, Any] = {
        "gguf_file": source.gguf.name,
        "local_files_only": True,
        "trust_remote_code": False,
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.place, **settings)
        model = AutoModelForCausalLM.from_pretrained(source.place, dtype=torch.float32, **settings)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise ValueError(f"transformers cannot read {source.gguf} ({error}): {_SERVE}") from error
    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        tokenizer.save_pretrained(temporary)
        config = copy.deepcopy(model.config)
        # transformers refuses to save a model from GGUF, although its weights are plain floats by now.
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        config.architectures = [type(model).__name__]
        config.save_pretrained(temporary)
        save_model(model, str(temporary / "model.safetensors"), metadata={"format": "pt"})
        (temporary / "source.json").write_text(
            json.dumps({"file": source.gguf.name, "identity": source.identity}), encoding="utf-8"
        )
        try:
            temporary.rename(folder)
        except OSError:
            # Another process was faster; its folder has the same content.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_tokenizer(source: ModelSource) -> Any:
    """Load the tokenizer of a located model (a fast one: texts are cut by its character offsets)."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(ready_folder(source)), use_fast=True, trust_remote_code=False)


_loaded: WeakValueDictionary[tuple[str, str, str, str], torch.nn.Module] = WeakValueDictionary()
"""What is in use: annotators that ask the same model in other ways share it in memory."""


def load_model(source: ModelSource, *, precision: str, device: torch.device) -> Any:
    """Return a located model for inference as ``fp32`` or ``bf16``; once, as long as anyone holds it."""
    from transformers import AutoModelForCausalLM

    key = (source.place, source.identity, precision, str(device))
    model: Any = _loaded.get(key)
    if model is not None:
        return model
    folder = ready_folder(source)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    except Exception as error:
        if source.gguf is None:
            raise
        raise OSError(
            f"the converted model in {folder} does not load ({error}): delete that folder, it is rebuilt"
        ) from error
    model = _loaded[key] = model.train(False).to(device)
    return model

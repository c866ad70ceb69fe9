from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from nlkit import assets
from nlkit.annotate import models
from nlkit.annotators import LocalLLM


def test_converted_weights_are_kept_once_and_whole(smollm2: LocalLLM) -> None:
    source = models.locate("smollm2")
    folder = Path(models._ready_folder(source))
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in folder.iterdir()}
    # A process that lost the race leaves the winner's folder and none of its own.
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    names = {p.name for p in folder.parent.iterdir()}
    models._convert(source, folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    assert {p.name for p in folder.parent.iterdir()} == names


def test_a_model_is_known_by_its_weights(smollm2: LocalLLM, tmp_path: Path) -> None:
    by_name = models.locate("smollm2")
    assert models.locate(assets.find("smollm2").path).gguf == by_name.gguf
    folder = Path(models._ready_folder(by_name))
    copy = tmp_path / "renamed"
    copy.mkdir()
    for file in folder.iterdir():
        shutil.copy(file, copy)
    assert models.locate(copy).identity == models.locate(folder).identity
    with (copy / "model.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x01")
    assert models.locate(copy).identity != models.locate(folder).identity


def test_a_damaged_conversion_names_the_folder_to_delete(
    smollm2: LocalLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = models.locate("smollm2")
    name = Path(models._ready_folder(source)).name
    broken = tmp_path / "models" / name
    broken.mkdir(parents=True)
    (broken / "config.json").write_text((Path(models._ready_folder(source)) / "config.json").read_text())
    (broken / "model.safetensors").write_bytes(b"half a file")
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="delete that folder"):
        models.load_model(source, precision="fp32", device=torch.device("cpu"))

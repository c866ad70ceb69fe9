from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import DatasetDict

import nlkit as nk
from nlkit.models.saving import load_tensors, save_tensors

FRESH = """
import sys
from pathlib import Path
import numpy as np
import nlkit as nk
folders, texts = Path(sys.argv[1]), Path(sys.argv[2]).read_text("utf-8").split("\\x00")
np.savez(sys.argv[3], **{f.name: nk.load(f).predict_proba(texts) for f in folders.iterdir()})
"""


def test_loaded_in_a_fresh_process_they_predict_the_same(
    every: dict[str, Any], few: DatasetDict, tmp_path: Path
) -> None:
    folders, texts, found = paths = [tmp_path / name for name in ("models", "texts", "found.npz")]
    for name, method in every.items():
        method.save(folders / name)
    texts.write_text("\x00".join(few["test"]["text"]), "utf-8")
    subprocess.run([sys.executable, "-c", FRESH, *map(str, paths)], check=True, timeout=200)
    with np.load(found) as probability:
        for name, method in every.items():
            wanted = method.predict_proba(few["test"]["text"])
            np.testing.assert_allclose(probability[name], wanted, atol=1e-5)
    # Tensors, JSON and Parquet: nothing that runs code when it is read, nothing half written.
    assert {p.suffix for p in folders.glob("*/*")} == {".safetensors", ".parquet"}
    assert not list(folders.rglob(".*"))


@pytest.mark.parametrize("name", nk.METHODS)
def test_what_is_loaded_is_what_was_saved(
    every: dict[str, Any], name: str, few: DatasetDict, tmp_path: Path
) -> None:
    fitted, texts = every[name], list(few["test"]["text"])
    loaded = nk.load(fitted.save(tmp_path / "model"))
    assert type(loaded) is type(fitted)
    for what in ("config", "label_names_", "best_epoch_"):
        assert getattr(loaded, what) == getattr(fitted, what)
    for table in fitted.tables:
        pd.testing.assert_frame_equal(getattr(loaded, table), getattr(fitted, table))
    assert np.array_equal(loaded.predict_proba(texts), fitted.predict_proba(texts))
    if name == "SiDyP":
        assert loaded.noise_rate_ == fitted.noise_rate_
        assert np.array_equal(loaded.predict_observed(texts), fitted.predict_observed(texts))
        assert loaded.report(few["train"])["correction"] == fitted.report(few["train"])["correction"]
    with pytest.raises(RuntimeError, match="fitted again"):
        loaded.at_best_epoch()
    again = nk.load(loaded.save(tmp_path / "again"))
    assert np.array_equal(again.predict_proba(texts), loaded.predict_proba(texts))


def test_other_frozen_layers_than_it_was_saved_with_are_refused(
    every: dict[str, Any], tmp_path: Path
) -> None:
    path = every["NoiseAL"].save(tmp_path) / "model.safetensors"
    tensors, values = load_tensors(path)
    assert list(values["pretrained"]) == ["strong"]
    values["pretrained"]["strong"] = "the weights of another encoder"
    save_tensors(path, tensors, values)
    with pytest.raises(ValueError, match="saved with other weights of encoder='minilm'"):
        nk.load(tmp_path)


def test_an_encoder_of_the_hub_is_fetched_only_if_it_is_named(every: dict[str, Any], tmp_path: Path) -> None:
    path = every["Baseline"].save(tmp_path) / "model.safetensors"
    tensors, values = load_tensors(path)
    values["config"]["encoder"] = "some/encoder"
    save_tensors(path, tensors, values)
    for consent in (None, "another/encoder"):
        with pytest.raises(ValueError, match=r"load\(folder, encoder='some/encoder'\)"):
            nk.load(tmp_path, encoder=consent)
    with pytest.raises(OSError, match="encoder='some/encoder' could not be loaded"):  # tried: offline here
        nk.load(tmp_path, encoder="some/encoder")


def test_the_file_holds_what_was_learnt_and_settings_as_json(
    make: Any, few: DatasetDict, tmp_path: Path
) -> None:
    fitted, texts = make("Baseline", epochs=1, trainable_layers=1).fit(few), list(few["test"]["text"])
    path = fitted.save(tmp_path) / "model.safetensors"
    assert np.array_equal(nk.load(tmp_path).predict_proba(texts), fitted.predict_proba(texts))
    tensors, _ = load_tensors(path)
    assert {key.split(".")[1] for key in tensors} == {"encoder", "head"}
    assert {key.split(".")[3] for key in tensors if ".encoder." in key} == {"0"}  # the frozen layers are not
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    values = json.loads(header["__metadata__"]["nlkit"])
    assert (values["class"], values["config"]["max_length"]) == ("Baseline", 16)


def test_tensors_and_values_round_trip(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    tensors = {"a": shared, "b": shared.T, "c": shared[0], "d": torch.tensor(3), "e": torch.zeros(0, 2)}
    values = {"name": "Öl", "numbers": [1, 2.5, None], "nested": {"x": True}}
    save_tensors(tmp_path / "deep" / "file.safetensors", tensors, values)
    back, described = load_tensors(tmp_path / "deep" / "file.safetensors")
    assert described == values
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[k], v) for k, v in tensors.items())


def test_a_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {"version": 1})
    with pytest.raises(TypeError):
        save_tensors(path, {"a": torch.zeros(2)}, {"version": object()})
    assert load_tensors(path)[1] == {"version": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(FileNotFoundError, match="nothing was saved there"):
        nk.load(tmp_path)
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="not written by nlkit"):
        nk.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="damaged"):
        nk.load(tmp_path)
    save_tensors(tmp_path / "model.safetensors", {}, {"class": "Oracle"})
    with pytest.raises(ValueError, match=r"'Oracle'.*NoiseAL"):
        nk.load(tmp_path)

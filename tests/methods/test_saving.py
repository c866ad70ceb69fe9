from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import DatasetDict

import nlkit as nk
from nlkit.models.saving import load_tensors, save_tensors

FRESH = """
import sys
import numpy as np
import nlkit as nk
clf = nk.load(sys.argv[1])
np.save(sys.argv[2], clf.predict_proba(open(sys.argv[3], encoding="utf-8").read().split("\\x00")))
"""


@pytest.fixture(scope="module")
def methods(noisy: DatasetDict) -> dict[str, Any]:
    ds = DatasetDict({"train": noisy["train"].select(range(160)), "validation": noisy["validation"]})
    annotator = nk.annotators.Simulated(0.9, reference=ds["train"])
    settings = {"trainable_layers": 1, "max_length": 16, "profile": "quick"}
    return {
        "Baseline": nk.Baseline(**settings, epochs=1).fit(ds),
        "NoiseAL": nk.NoiseAL(
            annotator=annotator, query_budget=10, prediction="mean", **settings, epochs=4, warmup_epochs=2
        ).fit(ds),
    }


@pytest.mark.parametrize("name", ["Baseline", "NoiseAL"])
def test_loaded_in_a_fresh_process_it_predicts_the_same(
    methods: dict[str, Any], name: str, noisy: DatasetDict, tmp_path: Path
) -> None:
    clf, texts = methods[name], list(noisy["test"]["text"])[:50]
    clf.save(tmp_path / "model")
    (tmp_path / "texts").write_text("\x00".join(texts), encoding="utf-8")
    paths = [str(tmp_path / name) for name in ("model", "p.npy", "texts")]
    subprocess.run([sys.executable, "-c", FRESH, *paths], check=True, timeout=200)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), clf.predict_proba(texts), atol=1e-5)

    loaded = nk.load(tmp_path / "model")
    assert type(loaded) is type(clf)
    assert loaded.config == clf.config
    assert loaded.label_names_ == clf.label_names_
    assert loaded.best_epoch_ == clf.best_epoch_
    for table in clf.tables:
        assert getattr(loaded, table).shape == getattr(clf, table).shape
    with pytest.raises(RuntimeError, match="fitted again"):
        loaded.at_best_epoch()
    loaded.save(tmp_path / "again")
    assert np.array_equal(nk.load(tmp_path / "again").predict_proba(texts), loaded.predict_proba(texts))
    # Tensors, JSON and Parquet: nothing that runs code when it is read, nothing half written.
    assert {p.suffix for p in tmp_path.rglob("model/*")} == {".safetensors", ".parquet"}
    assert not list(tmp_path.rglob(".*"))


def test_other_frozen_layers_than_it_was_saved_with_are_refused(
    methods: dict[str, Any], tmp_path: Path
) -> None:
    path = methods["NoiseAL"].save(tmp_path) / "model.safetensors"
    tensors, values = load_tensors(path)
    assert list(values["pretrained"]) == ["strong"]
    values["pretrained"]["strong"] = "the weights of another encoder"
    save_tensors(path, tensors, values)
    with pytest.raises(ValueError, match="saved with other weights of encoder='minilm'"):
        nk.load(tmp_path)


def test_the_file_holds_what_was_learnt_and_settings_as_json(methods: dict[str, Any], tmp_path: Path) -> None:
    path = methods["Baseline"].save(tmp_path) / "model.safetensors"
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

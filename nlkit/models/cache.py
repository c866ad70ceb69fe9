"""The activation cache: what the frozen layers of an encoder compute for a text is kept on disk.

Frozen layers give the same activations in every epoch, branch, seed, method and notebook. They are stored as
float16, memory-mapped, under a hash of the text, in a folder named by a hash of the layers' weights.

A folder holds shards, each a pair of files with one name: ``<name>.npy`` with the activations of some texts
laid end to end, and ``<name>.json`` with the texts' hashes and lengths and a checksum of all that, which is
looked at before anything is read. A shard is written under a temporary name and appears by a rename, the
index last; eviction removes the block first. So any number of processes may read and write at once without a
lock: at worst two of them store the same text twice, or one computes anew what the other has just evicted.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from nlkit._util import atomic_write, cache_folder, invalid

__all__ = ["ActivationCache", "cache_limit", "cache_size"]

Activations = NDArray[np.float16]

MAPPED_BYTES = 1 << 20
"""Smaller shards are read whole: a mapping holds a file open, and thousands of single texts may be kept."""

ABANDONED_SECONDS = 24 * 3600.0
"""A temporary file or half a shard that is older than this was left by a killed process."""


def cache_limit() -> int:
    """Return the most bytes that activations may take on disk: ``$NLKIT_CACHE_LIMIT_GB``, 4 GB if unset.

    Raises
    ------
    ValueError
        If the variable is no number, negative or not finite.
    """
    value = os.environ.get("NLKIT_CACHE_LIMIT_GB", "4")
    try:
        limit = float(value) * 1e9
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:  # NaN compares as false
        invalid("NLKIT_CACHE_LIMIT_GB", value, "set it to a number of GB from 0 up, such as 4, or unset it")
    return int(limit)


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
        Most bytes below `root`; the shards unused for longest go first, also those that someone has open, and
        only the shard written last may exceed it alone. See `cache_limit`.

    Raises
    ------
    OSError
        If the folder cannot be made; `put` raises one too, for example where the disk is full.
    """

    def __init__(self, key: str, width: int, root: Path | None = None, limit: int | None = None) -> None:
        self.root = root or cache_folder("activations")
        self.folder = self.root / key
        if root is None:
            cache_folder("activations", key)  # its error names NLKIT_CACHE
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.width = width
        self.limit = cache_limit() if limit is None else limit
        self._where: dict[str, tuple[str, int, int]] = {}  # text hash -> (shard, start, length)
        self._rows: dict[str, int] = {}  # of every shard whose index was read
        self._sums: dict[str, tuple[int, int]] = {}  # checksum, and that of the index, which it starts from
        self._open: dict[str, Activations] = {}  # the blocks of those that `get` had to read
        self._used: dict[str, int] = {}  # text hash -> length, of all that this object read or wrote
        self._warned = False

    def _refresh(self) -> None:
        """Read the indices that appeared since the last look."""
        for index in sorted(self.folder.glob("[!.]*.json")):
            name = index.stem
            if name in self._rows:
                continue
            try:
                entry = json.loads(index.read_text())
                texts, lengths, checksum = entry["texts"], entry["lengths"], int(entry["checksum"])
                where = {
                    str(text): (name, int(stop) - length, length)
                    for text, stop, length in zip(texts, np.cumsum(lengths), lengths, strict=True)
                }
            except OSError:
                continue  # evicted by another process
            except (ValueError, KeyError, TypeError):
                self._drop(index)  # damaged: its texts are computed anew
                continue
            self._rows[name] = sum(lengths)
            self._sums[name] = checksum, zlib.crc32(_told(texts, lengths))
            self._where.update(where)

    def _load(self, name: str) -> bool:
        """Open a shard's block; False where it is gone or damaged."""
        if name in self._open:
            return True
        index = self.folder / f"{name}.json"
        try:
            self._open[name] = self._read(index.with_suffix(".npy"), self._rows[name], *self._sums[name])
        except (FileNotFoundError, ValueError):
            # Evicted or damaged: its texts are computed anew. A killed evictor may have left the index.
            self._drop(index)
        except OSError:
            pass  # unreadable now; it may be readable later
        return name in self._open

    def _read(self, block: Path, rows: int, checksum: int, start: int) -> Activations:
        mode: Literal["r"] | None = "r" if block.stat().st_size > MAPPED_BYTES else None
        try:
            data: Activations = np.load(block, mmap_mode=mode, allow_pickle=False)
        except EOFError as error:
            raise ValueError("the file is empty") from error
        if data.shape != (rows, self.width) or data.dtype != np.float16:
            raise ValueError("shape does not fit the index")
        if zlib.crc32(data.data, start) != checksum:
            raise ValueError("what it holds is not what was written")
        return data

    def _forget(self, names: set[str]) -> None:
        """Take shards for unknown; what `get` returned from them stays valid."""
        if not names:
            return
        for name in names:
            self._rows.pop(name, None)
            self._sums.pop(name, None)
            self._open.pop(name, None)
        self._where = {text: where for text, where in self._where.items() if where[0] not in names}

    def get(self, texts: Sequence[str]) -> list[Activations | None]:
        """Return the activations, shape (T_i, D), of each text hash; None where there are none yet."""
        if any(text not in self._where for text in texts):
            self._refresh()
        wanted = {self._where[text][0] for text in texts if text in self._where}
        self._forget({name for name in wanted if not self._load(name)})
        found: list[Activations | None] = []
        used = set()
        for text in texts:
            where = self._where.get(text)
            if where is None:
                found.append(None)
                continue
            name, start, length = where
            used.add(name)
            self._used[text] = length
            found.append(self._open[name][start : start + length])
        for name in used:
            with contextlib.suppress(OSError):  # evicted by another process: the mapping still holds
                os.utime(self.folder / f"{name}.json")
        return found

    def put(self, texts: Sequence[str], activations: Sequence[NDArray[np.floating]]) -> None:
        """Store one shard: the activations, shape (T_i, D) each, of text hashes that are not stored yet.

        Raises
        ------
        OSError
            If the shard cannot be written, for example because the disk is full. Nothing of it is left then.
        """
        if not texts:
            return
        name = uuid4().hex
        lengths = [len(a) for a in activations]
        block = self.folder / f"{name}.npy"
        with atomic_write(block) as path:
            checksum = self._write(path, activations, sum(lengths), zlib.crc32(_told(texts, lengths)))
        try:
            with atomic_write(block.with_suffix(".json")) as path:
                path.write_text(json.dumps({"texts": list(texts), "lengths": lengths, "checksum": checksum}))
        except BaseException:
            block.unlink(missing_ok=True)
            raise
        self._used.update(zip(texts, lengths, strict=True))
        self._evict(keep=name)

    def _write(
        self, path: Path, activations: Sequence[NDArray[np.floating]], rows: int, checksum: int
    ) -> int:
        """Write a block; return the checksum that goes on from that of its index."""
        # Ordinary writes, not a mapping: on a full disk these are an OSError, a mapping would be a SIGBUS.
        header = {"descr": "<f2", "fortran_order": False, "shape": (rows, self.width)}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for array in activations:
                if array.ndim != 2 or array.shape[1] != self.width:
                    raise ValueError(f"activations of shape {array.shape} do not fit width={self.width}")
                half = array.astype("<f2", order="C", casting="same_kind", copy=False).data
                checksum = zlib.crc32(half, checksum)
                file.write(half)
        return checksum

    def _evict(self, keep: str) -> None:
        self._clean()
        shards = _shards(self.root)
        total = sum(size for _, size, _ in shards)
        gone = set()
        for _, size, index in shards:
            if total <= self.limit:
                break
            if index.stem != keep and self._drop(index):
                gone.add(index.stem)
                total -= size
        # Where a mapping outlives its file, the disk gets the space when the last array of the shard goes. So
        # nothing may be held open here that nobody uses.
        self._forget(gone)

    def warn_if_too_small(self) -> None:
        """Warn, once, if the texts read and written so far do not fit together: one evicts another."""
        needed = sum(self._used.values()) * self.width * np.dtype(np.float16).itemsize
        if self._warned or needed <= self.limit:
            return
        self._warned = True
        warnings.warn(
            f"What the frozen layers give for {len(self._used)} texts takes {needed / 1e9:.3g} GB, more than "
            f"NLKIT_CACHE_LIMIT_GB allows ({self.limit / 1e9:.3g}): only the last part is kept, and the rest "
            "is computed anew every time. Set NLKIT_CACHE_LIMIT_GB higher, take fewer or shorter texts "
            "(train_size, max_length), or trainable_layers=0, which keeps one vector a text.",
            stacklevel=3,
        )

    def _clean(self) -> None:
        """Remove what killed writers left behind: it counts for nobody, and would stay for ever."""
        old = time.time() - ABANDONED_SECONDS
        for path in self.root.glob("*/*"):
            with contextlib.suppress(OSError):
                whole = all(path.with_suffix(suffix).exists() for suffix in (".npy", ".json"))
                if (path.name.startswith(".") or not whole) and path.stat().st_mtime < old:
                    path.unlink(missing_ok=True)

    @staticmethod
    def _drop(index: Path) -> bool:
        """Remove a shard; False where the system refuses, as Windows does while someone has it mapped."""
        try:
            index.with_suffix(".npy").unlink(missing_ok=True)  # first: a shard that stays must stay whole
            index.unlink(missing_ok=True)
        except OSError:
            return False
        return True


def _told(texts: Sequence[str], lengths: Sequence[int]) -> bytes:
    return json.dumps([list(texts), lengths]).encode()

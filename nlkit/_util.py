"""Small helpers that every module shares: paths, atomic writes, hashes, errors, bars, the machine's speed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "atomic_write",
    "cache_folder",
    "content_hash",
    "count_cores",
    "expanded",
    "invalid",
    "keep",
    "matrix_speed",
    "named",
    "progress",
    "recalled",
    "unit_rows",
]


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` as the home folder; a file named ``~x`` where there is no user x stays one."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's own raises there


def cache_folder(*parts: str) -> Path:
    """Return (and create) a folder of nlkit's cache: ``$NLKIT_CACHE``, or ``nlkit`` in the user's cache.

    Raises
    ------
    OSError
        If the folder is not there and cannot be made. A folder that can only be read is no error here.
    """
    root = os.environ.get("NLKIT_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    base = expanded(root) if root else Path(home) / "nlkit"
    folder = base.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        setting = f"NLKIT_CACHE={root!r}" if root else "NLKIT_CACHE is not set"
        raise OSError(
            f"{setting}: the cache folder {folder} cannot be made ({error.strerror}). Set NLKIT_CACHE to a "
            "folder that you may write"
        ) from error
    return folder


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error.

    A reader therefore sees the old file or the whole new one, never half of it.
    """
    target = expanded(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept because some writers choose the format by it.
    temporary = target.with_name(f".{target.stem}-{uuid.uuid4().hex}{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def recalled(name: str) -> dict[str, Any]:
    """Return what `keep` kept in a file of the cache folder; nothing if it is not there or damaged."""
    try:
        known = json.loads((cache_folder() / name).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def keep(name: str, found: dict[str, Any]) -> None:
    """Keep JSON values, measured at some cost, in a file of the cache folder, if it can be written.

    Two processes may write at once: the later one wins whole, and what it lost is only measured once more.
    """
    with suppress(OSError), atomic_write(cache_folder() / name) as temporary:
        temporary.write_text(json.dumps(found, indent=1, sort_keys=True), "utf-8")


def content_hash(*parts: str) -> str:
    """Return a 32-character hexadecimal hash of the parts, in order (BLAKE2b, unambiguous at the joints)."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()


def unit_rows(vectors: NDArray[Any]) -> NDArray[Any]:
    """Return vectors, shape (…, D), at length 1 (L2); zeros stay zeros."""
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: NDArray[Any] = vectors / np.where(norm > 0, norm, 1.0).astype(norm.dtype)
    return result


def count_cores() -> int:
    """Return how many cores this process may keep busy, by its affinity and its container's quota."""
    import joblib

    cores: int = joblib.cpu_count()
    return cores


def matrix_speed(size: int = 1024) -> float:
    """Return this machine's floating-point operations a second in products of float32 matrices, best of five.

    Learning spends most of its time on those.
    """
    a = np.ones((size, size), np.float32)
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        a @ a
        taken.append(time.perf_counter() - began)
    return 2 * size**3 / min(taken)


def invalid(field: str, value: object, allowed: str) -> NoReturn:
    """Raise the ValueError that every bad setting gets: the field, its value, and what is allowed."""
    raise ValueError(f"{field}={value!r} is not allowed: {allowed}")


def named(allowed: Iterable[str], wrong: str = "") -> str:
    """Return "one of a, b, …", and which of them is nearest to a name that was misspelt."""
    every = list(allowed)
    near = get_close_matches(wrong, every, n=1) if wrong else []
    return f"one of {', '.join(every)}" + "".join(f" (did you mean {name!r}?)" for name in near)


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    if shell is None:
        return False
    instance = shell.get_ipython()
    return instance is not None and instance.__class__.__name__ == "ZMQInteractiveShell"


def progress(iterable: Any = None, **settings: Any) -> Any:
    """Return a tqdm bar that is drawn in a terminal or a notebook and silent when output goes to a file."""
    from tqdm.auto import tqdm

    # tqdm's own disable=None asks the stream, and a notebook's stream says it is not a terminal.
    settings.setdefault("disable", False if _in_notebook() else None)
    settings.setdefault("leave", False)
    settings.setdefault("dynamic_ncols", True)
    return tqdm(iterable, **settings)

"""Small helpers that every module shares: paths, atomic writes, hashes, errors, bars, the machine's speed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
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
    "watched",
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

    if (stages := _stages.get()) is not None and not settings.get("disable"):
        return Stage(stages, iterable, **settings)
    # tqdm's own disable=None asks the stream, and a notebook's stream says it is not a terminal.
    settings.setdefault("disable", False if _in_notebook() else None)
    settings.setdefault("leave", False)
    settings.setdefault("dynamic_ncols", True)
    return tqdm(iterable, **settings)


class Stage:
    """A bar of `progress` that draws nothing: it tells how far it is, and stops when it is told to."""

    def __init__(
        self, stages: Stages, iterable: Any = None, *, total: int | None = None, initial: int = 0,
        desc: str = "", unit: str = "it", **_: Any,
    ) -> None:  # fmt: skip
        known = iterable is not None and hasattr(iterable, "__len__")
        self._stages, self._iterable, self.desc, self.unit = stages, iterable, desc, unit
        self.total = len(iterable) if total is None and known else total
        self.n = self._initial = initial
        self._began = time.monotonic()
        stages.under_way.append(self)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        for item in self._iterable:
            yield item
            self.update()
        self.close()

    def update(self, n: float = 1) -> None:
        """Count, or stop."""
        self.n += n  # type: ignore[assignment]
        if self._stages.stop.is_set():
            raise KeyboardInterrupt

    def close(self) -> None:
        """End this stage."""
        if self in self._stages.under_way:
            self._stages.under_way.remove(self)

    def set_postfix(self, *_: object, **values: object) -> None:
        """Show no values."""

    def set_postfix_str(self, _: str) -> None:
        """Show no words."""

    def share(self, inner: float = 0.0) -> float:
        """Return the share that is done, where `inner` of the present item is."""
        return min(1.0, (self.n + inner) / self.total) if self.total else 0.0

    def seconds_left(self, inner: float = 0.0) -> float | None:
        """Return the seconds that the rest takes at the speed until now; None before there is one."""
        done = self.n + inner - self._initial
        if not self.total or done <= 0:
            return None
        return max(0.0, self.total - self.n - inner) * (time.monotonic() - self._began) / done


class Stages:
    """What a watched computation is at, the outermost stage first, and the request to stop it.

    Attributes
    ----------
    under_way : list of Stage
    stop : threading.Event
        Once it is set, the next step of a bar raises KeyboardInterrupt, as the notebook's stop button does.
    """

    def __init__(self) -> None:
        self.under_way: list[Stage] = []
        self.stop = threading.Event()

    def told(self) -> tuple[str, float | None]:
        """Return the stages with how far they are and the seconds left of the first, and its share done."""
        stages, inner = list(self.under_way), 0.0
        if not stages:
            return "", None
        for stage in reversed(stages[1:]):
            inner = stage.share(inner)
        words = " › ".join(f"{s.desc} ({s.n:g} of {s.total or '?'} {s.unit})" for s in stages)
        left = stages[0].seconds_left(inner)
        words += "" if left is None else f"; about {left:.0f} s left of {stages[0].desc}"
        return words, stages[0].share(inner)


_stages: ContextVar[Stages | None] = ContextVar("nlkit_stages", default=None)


@contextmanager
def watched(stages: Stages) -> Iterator[None]:
    """Let the bars of `progress` made inside the block, in this thread, tell `stages` how far they are."""
    token = _stages.set(stages)
    try:
        yield
    finally:
        _stages.reset(token)

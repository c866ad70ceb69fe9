"""Long experiments in parts: what is finished is kept, so an interrupted experiment goes on where it stopped.

`each` computes the parts of an experiment, one after another, and keeps every finished one in a folder: one
that is named, or else that of the experiment under way, which `unfinished` opens in nlkit's cache and removes
when everything is done. So a second run that nobody interrupted computes everything anew.
"""

from __future__ import annotations

import inspect
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nlkit import __version__
from nlkit._util import atomic_write, cache_folder, content_hash, expanded, progress

__all__ = ["KEPT_SECONDS", "Unfinished", "each", "remembered", "source_of", "unfinished"]

KEPT_SECONDS = 24 * 3600.0
"""What an interrupted experiment left is forgotten after a day: nobody would know any more what it is."""

Item = tuple[Any, ...]


@dataclass
class Unfinished:
    """An experiment under way: the folder of its finished parts, and the seconds of those of earlier runs."""

    folder: Path | None
    seconds: float = 0.0


_under_way: ContextVar[Unfinished | None] = ContextVar("nlkit_unfinished", default=None)


@contextmanager
def unfinished(*identity: str) -> Iterator[Unfinished]:
    """Let `each` keep the parts that are finished inside the block; a block without an error forgets them.

    Parameters
    ----------
    *identity : str
        What the experiment is: the parts of another one are not taken. The version of nlkit is added.
    """
    experiment = Unfinished(_folder(content_hash(__version__, *identity)))
    token = _under_way.set(experiment)
    try:
        yield experiment
    finally:
        _under_way.reset(token)
    if experiment.folder is not None:
        shutil.rmtree(experiment.folder, ignore_errors=True)


def _folder(name: str) -> Path | None:
    """Return where an experiment's parts are kept, None without a cache; remove what old ones left."""
    try:
        root = cache_folder("unfinished")
    except OSError:  # the encoder says so, and its remedy
        return None
    for other in root.iterdir():
        with suppress(OSError):  # another process may have removed it meanwhile
            if other.stat().st_mtime < time.time() - KEPT_SECONDS:
                shutil.rmtree(other)
    return root / name


def each(
    items: Sequence[Item], compute: Callable[..., Any], *, identity: Callable[..., str] | None = None,
    checkpoint: str | Path | None = None, desc: str = "parts", unit: str = "part",
) -> list[Any]:  # fmt: skip
    """Return ``compute(*item)`` for each item, with a progress bar; finished parts are not computed again.

    Parameters
    ----------
    items : sequence of tuple
        Plain literals; with what `unfinished` was told, they are all that a part depends on.
    compute : callable
        Returns what JSON can hold: numbers, strings, lists, dictionaries. NumPy's numbers and arrays become
        plain ones, tuples become lists, whether a part was kept or not.
    identity : callable, optional
        Called with an item, it returns a text that names the part. Without it the source code of `compute`
        and the item do; where Python cannot find the source, nothing is kept.
    checkpoint : path, optional
        Folder for the finished parts, which stay there; by default that of the experiment under way, if
        there is one.
    desc, unit : str
        Of the progress bar.

    Raises
    ------
    TypeError
        If JSON cannot hold a part.
    OSError
        If a part cannot be written to `checkpoint`.
    """
    under_way = _under_way.get() if checkpoint is None else None
    folder = expanded(checkpoint) if checkpoint is not None else under_way.folder if under_way else None
    name = identity or _named_by_source(compute)
    results = []
    with progress(items, desc=desc, unit=unit) as bar:
        for item in bar:
            bar.set_postfix_str(", ".join(str(value) for value in item))
            file = folder / f"{content_hash(name(*item))}.json" if folder and name else None
            known = file is not None and file.is_file()
            part = remembered(file, partial(_timed, compute, item), must=checkpoint is not None)
            if known and under_way:
                under_way.seconds += part["seconds"]
            results.append(part["result"])
    return results


def remembered(
    file: Path | None, compute: Callable[[], Any], *, fresh: bool = False, must: bool = True
) -> Any:
    """Return what a JSON file holds; where there is none, and if `fresh`, compute it and write it there.

    Without a `file` it is computed, and comes back as JSON would give it. Unless it `must` be kept, a disk
    that is full does not matter. A damaged file is named in a warning, and made again.
    """
    if file is not None and file.is_file() and not fresh:
        try:
            return json.loads(file.read_text("utf-8"))
        except ValueError as error:
            warnings.warn(f"{file} is damaged ({error}): this part is computed again", stacklevel=2)
    text = json.dumps(compute(), default=_plain)
    if file is not None:
        with nullcontext() if must else suppress(OSError), atomic_write(file) as path:
            path.write_text(text + "\n", "utf-8")
    return json.loads(text)


def _timed(compute: Callable[..., Any], item: Item) -> dict[str, Any]:
    began = time.perf_counter()
    result = compute(*item)
    return {"seconds": time.perf_counter() - began, "result": result}


def source_of(function: Callable[..., Any]) -> str:
    """Return the source code of a function, one of a notebook too; "" where Python cannot find it."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def _named_by_source(compute: Callable[..., Any]) -> Callable[..., str] | None:
    source = source_of(compute)
    return (lambda *item: content_hash(source, json.dumps(item, default=_plain))) if source else None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(
        f"a part of an experiment holds a {type(value).__name__}, which cannot be kept: return numbers, "
        "strings, lists or dictionaries"
    )

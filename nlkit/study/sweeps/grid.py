"""A grid of settings as cells: one method on one set of labels with one seed, all defaults spelled out."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from nlkit import __version__
from nlkit._util import content_hash, expanded, invalid
from nlkit.data.checks import check_choice
from nlkit.noise.making import KINDS
from nlkit.study.comparing import entries

__all__ = ["FIELDS", "cells_of", "key_of", "read_grid", "resolve"]

FIELDS: dict[str, Any] = {
    "seed": 0, "dataset": "r8", "size": None, "test_size": None, "noise": "symmetric", "rate": 0.4,
    "labeller": "smollm2", "shots": 1, "encoder": "minilm", "profile": "quick", "annotator": None,
    "query_budget": 0, "method": "all",
}  # fmt: skip
"""What a grid may set, and what it is otherwise."""

DATA = ("dataset", "size", "test_size", "noise", "rate", "seed", "labeller", "shots")
NOISES = (*KINDS, "clean", "given", "llm")
NAMED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

Cell = dict[str, Any]
"""JSON values: method (as tables call it), made (its class), settings (of its constructor), config (all its
settings), annotator, and what `DATA` names."""


def resolve(name: str) -> Any:
    """Return what ``module:name`` stands for, importing the module."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def read_grid(path: str | Path) -> Any:
    """Return the grid, or the list of grids, that a YAML or JSON file holds.

    Raises
    ------
    ValueError
        If it cannot be read as such.
    """
    import yaml

    try:
        return yaml.safe_load(expanded(path).read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"grid={str(path)!r} is no YAML: {error}") from error


def key_of(cell: Mapping[str, Any]) -> str:
    """Return the hash that names a cell: of its settings, and of the version of nlkit."""
    decides = {name: value for name, value in cell.items() if name not in ("method", "settings")}
    return content_hash(__version__, json.dumps(decides, sort_keys=True))


def cells_of(grid: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Cell]:
    """Return the cells of a grid: all of the first seed first, and those of the same data side by side.

    Parameters
    ----------
    grid : mapping, or a sequence of such
        `FIELDS` says the names; a value may be one or a list of them. Several grids are joined, and cells
        that come to the same are one. ``method`` is a name of `nlkit.study.comparing.contestants`, of
        `nlkit.METHODS` or ``"module:Class"``; "all", without those that need an annotator where there is
        none; or a mapping of ``method`` and settings, with a ``name`` for tables. ``dataset`` is a packaged
        set, a file, a folder as `nlkit.comparing.own_data` reads it, or ``"module:function"``, called with
        (seed, size). ``noise`` is a kind of `nlkit.add_noise`, "clean",
        "given" (the data's own ``noisy_label``) or "llm" (`labeller` shows `shots` demonstrations).
        ``annotator`` and ``labeller`` are "smollm2", or a mapping of ``kind``, a class of
        `nlkit.annotators`, and its arguments.

    Raises
    ------
    ValueError
        If a name or a value is not known, by field and remedy.
    """
    found: dict[str, Cell] = {}
    for part in [grid] if isinstance(grid, Mapping) else grid:
        if not isinstance(part, Mapping):
            invalid("grid", part, f"a mapping of {', '.join(FIELDS)}")
        if unknown := set(part) - set(FIELDS):
            invalid("grid", sorted(unknown), f"fields of a grid are {', '.join(FIELDS)}")
        axes = {name: _values(name, part.get(name, default)) for name, default in FIELDS.items()}
        for values in product(*axes.values()):
            for cell in _cells(dict(zip(axes, values, strict=True))):
                found.setdefault(key_of(cell), cell)
    if not found:
        invalid("grid", grid, "at least one cell")
    seeds = list(dict.fromkeys(cell["seed"] for cell in found.values()))
    data = list(dict.fromkeys(json.dumps(data_of(cell)) for cell in found.values()))
    place = {one: number for number, one in enumerate(data)}
    return sorted(
        found.values(), key=lambda cell: (seeds.index(cell["seed"]), place[json.dumps(data_of(cell))])
    )


def data_of(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what decides a cell's data."""
    return tuple(cell[name] for name in DATA)


def _values(name: str, given: Any) -> list[Any]:
    values = list(given) if isinstance(given, list | tuple | range) else [given]
    if not values:
        invalid(name, given, "at least one value")
    return values


def _cells(point: dict[str, Any]) -> Iterable[Cell]:
    """Return the cells of one combination: more than one if its method is "all"."""
    check_choice("noise", point["noise"], NOISES)
    if point["noise"] not in KINDS:
        point["rate"] = 0.0 if point["noise"] == "clean" else None
    if point["noise"] != "llm":
        point["labeller"] = point["shots"] = None
    for field in ("annotator", "labeller"):
        _asked(field, point[field])
    known, method = entries(), point["method"]
    for given in known if method == "all" else [method]:
        settings = dict(given) if isinstance(given, Mapping) else {"method": given}
        wanted, shown = settings.pop("method", None), settings.pop("name", None)
        made, own = _class(wanted, known)
        if method == "all" and made.needs_annotator and point["annotator"] is None:
            continue
        yield _cell(point, made, own | settings, str(shown or wanted))


def _asked(field: str, given: Any) -> Any:
    """Return an annotator as it is told; ValueError if a record of it would hold a key."""
    if isinstance(given, Mapping) and ("kind" not in given or "api_key" in given):
        invalid(field, sorted(given), "kind and arguments, without api_key: set OPENAI_API_KEY")
    return given


def _class(name: Any, known: Mapping[str, tuple[type[Any], dict[str, Any]]]) -> tuple[type[Any], Any]:
    from nlkit.methods.registry import METHODS

    if isinstance(name, str) and NAMED.fullmatch(name):
        return resolve(name), {}
    check_choice("method", name, (*known, *METHODS, "module:Class"))
    return known[name] if name in known else (METHODS[name], {})


def _cell(point: Mapping[str, Any], made: type[Any], settings: dict[str, Any], shown: str) -> Cell:
    takes = inspect.signature(made).parameters
    fields = set(takes) | set(made.config_class.__dataclass_fields__)
    asks = "annotator" in takes
    shared = {name: point[name] for name in ("encoder", "profile") if name in fields}
    who = _asked("annotator", settings.pop("annotator", point["annotator"])) if asks else None
    if "query_budget" in fields:
        shared["query_budget"] = point["query_budget"] if who is not None else 0
    settings = shared | settings
    if settings.get("query_budget") == 0:
        who = None
    if who is None and getattr(made, "needs_annotator", False):
        invalid("annotator", None, f"one to ask: {shown} can do nothing without")
    seed = {"seed": point["seed"]} if "seed" in fields else {}
    method = made(**settings, **seed, **({"annotator": None} if asks else {}))
    place = made.__name__ if made.__module__.startswith("nlkit.") else f"{made.__module__}:{made.__name__}"
    if made.__module__ == "__main__":
        invalid(
            "method", made.__name__, "a class of a module that other processes can import, not of a script"
        )
    return {
        "method": shown, "made": place, "settings": settings | seed, "config": method.config.to_dict(),
        "annotator": who, **{name: point[name] for name in DATA},
    }  # fmt: skip

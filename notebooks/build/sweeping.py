"""One notebook, many settings: a sweep by papermill, and the table and the figure of what it found.

Each combination has a folder of its own with the executed notebook and its results, so a sweep that was
stopped goes on where it was, and every number can be looked up in the notebook that it came from.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from html import unescape
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat as untyped_nbformat
import pandas as pd

from nlkit._util import atomic_write, invalid, named, progress
from nlkit.course import Setup, plots
from notebooks.build.running import committed, parameters_of, run

__all__ = ["draw_found", "result_columns", "sweep"]

nbformat: Any = untyped_nbformat


def sweep(
    name: str,
    grid: Mapping[str, Sequence[Any]],
    out: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    show_progress: bool = False,
) -> pd.DataFrame:
    """Execute a notebook for every combination of some parameters' values, and collect what it found.

    A combination that was finished before, with the same parameters and the same notebook, is not run again;
    delete its folder to do so.

    Parameters
    ----------
    name : str
        Of the notebook, such as "05_noiseal".
    grid : mapping of str to sequence
        The parameters to vary, each with its values.
    out : path
        Folder of the sweep. A combination's folder is called after it, ``noise_rate=0.2,seed=1``, and holds
        the executed notebook and the JSON file with its results.
    parameters : mapping, optional
        Parameters that are the same in all runs.
    show_progress : bool
        Show a bar over the combinations.

    Returns
    -------
    DataFrame, one row a combination and row of the table
        The varied parameters, then the table's columns. It lies in `out` as ``<name>.csv`` too.

    Raises
    ------
    ValueError
        Before anything runs, if the notebook has no such parameter, a list of values is empty, or a value is
        not allowed.
    RuntimeError
        If notebooks failed: which, and where. The others are run first, and keep what they found.
    """
    target, fixed = Path(out), dict(parameters or {})
    _check(name, grid, fixed)
    combinations = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    parts, failures = [], []
    with progress(combinations, desc=f"sweep of {name}", unit="run", disable=not show_progress) as bar:
        for combination in bar:
            bar.set_postfix_str(_called(combination))
            place = target / _called(combination)
            if not _finished(place, name, fixed | combination):
                row = run([name], fixed | combination, place).iloc[0]
                if row["error"]:
                    failures.append(f"{_called(combination)}: {row['error']}")
                    continue
            parts.append(_read(place / f"{name}.json", combination))
    if failures:
        raise RuntimeError(
            f"{len(failures)} of {len(combinations)} runs failed; the same call runs them again, and no "
            "other:\n\n" + "\n\n".join(failures)
        )
    found = pd.concat(parts, ignore_index=True)
    with atomic_write(target / f"{name}.csv") as path:
        found.to_csv(path, index=False)
    return found


def result_columns(name: str) -> list[str]:
    """Return the columns of a notebook's ``result``: what is compared, then numbers.

    They are read off the committed copy.

    Raises
    ------
    ValueError
        If no cell tagged ``result`` shows a table.
    """
    for cell in committed(name).cells:
        if "result" in cell.metadata.get("tags", []):
            for output in cell.outputs:
                head = output.get("data", {}).get("text/html", "").partition("</thead>")[0]
                if columns := re.findall("<th[^>]*>(.+?)</th>", head):
                    return [unescape(column) for column in columns]
    raise ValueError(f"{name} shows no table in a cell tagged 'result': build it")


def draw_found(
    found: pd.DataFrame, path: str | Path, *, x: str, y: str = "test accuracy", by: str = "method"
) -> Path:
    """Draw the table of a sweep as a PNG file, a line a method; its words go to a text file beside it.

    Parameters
    ----------
    found : DataFrame
        From `sweep`.
    path : path
        Of the picture; ``.txt`` takes the place of its suffix for the words.
    x : str
        The varied parameter across.
    y : str
        The column up, of shares.
    by : str
        The column that names the lines.
    """
    for field, column in (("x", x), ("y", y), ("by", by)):
        if column not in found:
            invalid(field, column, f"one of {', '.join(found.columns)}")
    fig, ax = plots.figure(width=8, height=4.2)
    words = plots.draw_sweep(found, ax, x=x, y=y, by=by)
    picture = Path(path)
    with atomic_write(picture) as temporary:
        temporary.write_bytes(plots.png(fig, dpi=120))
    with atomic_write(picture.with_suffix(".txt")) as temporary:
        temporary.write_text(words + "\n", "utf-8")
    return picture


def _check(name: str, grid: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> None:
    own = parameters_of(committed(name))
    allowed = [p for p in own if p != "results"]
    if not grid:
        invalid("grid", dict(grid), "at least one parameter with its values")
    for parameter in (*grid, *fixed):
        if parameter not in allowed:
            raise ValueError(f"{parameter!r} cannot be set in a sweep of {name}: {named(allowed, parameter)}")
    for parameter, values in grid.items():
        if parameter in fixed:
            invalid(parameter, fixed[parameter], "either in grid or in parameters")
        if isinstance(values, str) or not len(values) or len({*map(repr, values)}) < len(values):
            invalid(parameter, values, "a list of different values, at least one")
    for parameter, values in (*grid.items(), *((p, [value]) for p, value in fixed.items())):
        for value in values:
            _check_kind(parameter, value, own[parameter])
    data = ("dataset", "train_size", "test_size", "seed")
    read: set[tuple[Any, ...]] = set()
    for values in product(*grid.values()):
        given = own | dict(fixed) | dict(zip(grid, values, strict=True))
        setup = Setup(**{field: given[field] for field in Setup.__dataclass_fields__ if field in given})
        texts = tuple(given[field] for field in data)
        setup.check(data=texts not in read)  # the same texts are read once
        read.add(texts)


def _check_kind(parameter: str, value: Any, usual: Any) -> None:
    """Refuse a value of another kind than the notebook's own; what is a size may be None, for all."""
    sizes = parameter in ("train_size", "test_size")
    kind = int if sizes else type(usual)
    fits = isinstance(value, (int, float) if kind is float else kind)
    if (isinstance(value, bool) and kind is not bool) or not (fits or (sizes and value is None)):
        invalid(parameter, value, f"{'None or ' * sizes}{kind.__name__}, such as {usual!r}")


def _called(combination: Mapping[str, Any]) -> str:
    """Return the name of a combination, which is its folder's."""
    return ",".join(f"{name}={quote(str(value), safe='')}" for name, value in combination.items())


def _finished(place: Path, name: str, given: Mapping[str, Any]) -> bool:
    """Tell whether a folder holds a whole run of the notebook as it is now, with these parameters.

    A file that is damaged is named in a warning.
    """
    done, written = place / f"{name}.ipynb", place / f"{name}.json"
    if not (done.exists() and written.exists()):
        return False
    try:
        json.loads(written.read_text("utf-8"))
        json.loads(done.read_text("utf-8"))
    except ValueError as error:
        warnings.warn(f"{place} holds a damaged file ({error}): it is run again", stacklevel=3)
        return False
    nb = nbformat.read(done, as_version=4)
    told = nb.metadata.get("papermill", {})
    then = {key: value for key, value in told.get("parameters", {}).items() if key != "results"}
    cells = [c.source for c in nb.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    same = cells == [cell.source for cell in committed(name).cells]
    whole = bool(told.get("end_time")) and not told.get("exception")
    return whole and same and then == dict(given)


def _read(path: Path, combination: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table ``result`` that one run wrote, with the combination in front."""
    rows = json.loads(path.read_text("utf-8"))["result"]
    return pd.DataFrame([{**combination, **row} for row in rows])

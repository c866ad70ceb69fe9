"""Time and peak memory of the notebooks, kept in ``notebooks/measured.json``.

They are shown in a fold at the end of each notebook, and together in ``notebooks/README.md``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat as untyped_nbformat

from nlkit._util import atomic_write, count_cores, invalid, matrix_speed
from notebooks.build.running import (
    Measure,
    execute,
    folder,
    longest_cell,
    names,
)

__all__ = ["keep_measurement", "measure", "measured_overview", "measured_table", "write_overview"]

nbformat: Any = untyped_nbformat

OVERVIEW = ("<!-- measured -->", "<!-- /measured -->")


def _measured_path() -> Path:
    return folder() / "measured.json"


def _measured() -> dict[str, Any]:
    path = _measured_path()
    known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return known


def measured_table(name: str) -> str:
    """Return time and memory of each profile as a Markdown table."""
    known = _measured().get(name, {})
    rows = ["| profile | time | longest cell | peak memory | measured on |", "|---|---|---|---|---|"]
    for profile in ("quick", "class", "paper"):
        m = known.get(profile)
        time_and_memory = (
            f"{_minutes(m['seconds'])} | {m['longest_cell']} s | {m['peak_gb']:.1f} GB | {m['on']}"
            if m
            else "not measured yet | | |"
        )
        rows.append(f"| {profile} | {time_and_memory} |")
    return "\n".join(rows)


def measured_overview() -> str:
    """Return time and memory of all notebooks in the profiles quick and class, as a Markdown table."""
    known = _measured()
    rows = [
        "| notebook | quick: time | longest cell | memory | class: time | longest cell | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    total = {"quick": 0.0, "class": 0.0}
    missing = {"quick": 0, "class": 0}
    for name in names():
        cells = [f"[{name}]({name}.ipynb)"]
        for profile in total:
            m = known.get(name, {}).get(profile)
            if m:
                total[profile] += m["seconds"]
                cells += [_minutes(m["seconds"]), f"{m['longest_cell']} s", f"{m['peak_gb']:.1f} GB"]
            else:
                missing[profile] += 1
                cells += ["not measured yet", "", ""]
        rows.append(f"| {' | '.join(cells)} |")
    whole = []
    for profile, count in missing.items():
        some = f"{_minutes(total[profile])}{f' ({count} not measured yet)' if count else ''}"
        whole.append(f"{some if count < len(names()) else 'not measured yet'} | |")
    rows.append(f"| all | {' | '.join(whole)} |")
    return "\n".join(rows)


def write_overview() -> None:
    """Put `measured_overview` between its two markers in ``notebooks/README.md``.

    Raises
    ------
    ValueError
        If the markers are not there, once each and in order.
    """
    path, (start, end) = folder() / "README.md", OVERVIEW
    text = path.read_text("utf-8")
    before, found, rest = text.partition(start)
    _, ended, after = rest.partition(end)
    if not (found and ended) or text.count(start) + text.count(end) != 2:
        invalid("notebooks/README.md", f"{text.count(start)} + {text.count(end)} markers", f"{start} … {end}")
    with atomic_write(path) as temporary:
        temporary.write_text(f"{before}{start}\n\n{measured_overview()}\n\n{end}{after}", "utf-8")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def keep_measurement(name: str, profile: str, measured: Measure, slowest: float) -> dict[str, Any]:
    """Write what was measured where `measured_table` reads it."""
    found = {
        "seconds": round(measured.seconds, -1 if measured.seconds >= 100 else 0),
        "longest_cell": round(slowest),
        "peak_gb": round(measured.peak / 1e9, 1),
        "on": f"{count_cores()} CPU cores, {matrix_speed() / 1e9:.0f} GFLOP/s",
    }
    known = _measured()
    known.setdefault(name, {})[profile] = found
    with atomic_write(_measured_path()) as path:
        path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")
    return found


def measure(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run a notebook live for its profile's time and peak memory, and write them where `build` reads them.

    The run starts with an empty cache: nothing is embedded, and no question answered, before it. Nothing
    recorded is used. Other work on the machine makes its time useless.
    """
    from notebooks.build.source import read_solutions

    given = {**parameters, "recorded": False}
    with tempfile.TemporaryDirectory() as place:
        with patch.dict(os.environ, NLKIT_CACHE=f"{place}/cache"), Measure() as measured:
            done = execute(
                name, given, Path(place) / f"{name}.ipynb", read=read_solutions, show_progress=True
            )
        slowest = longest_cell(nbformat.read(done, as_version=4))
    return keep_measurement(name, str(parameters.get("profile", "quick")), measured, slowest)

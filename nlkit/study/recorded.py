"""Recorded runs: small results of the notebooks' experiments that the package ships.

A class can start at once on a recording, and everyone can see whether a figure shows a recorded run or a live
one, with which settings, and how old it is. `experiment` is what the notebooks call: it reads the recording
where its settings are those asked for, and computes everything here where they are not.

A recording is one Parquet file a table, with the settings in its metadata. Real numbers come back in single
precision, recorded or live. Arrays of float16 are taken for probabilities: an experiment that gives one says
that steps of 1/255 are enough for a recording of it (rows that sum to 1 still do). A live run is not rounded.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nlkit import __version__
from nlkit._util import atomic_write, invalid
from nlkit.study.resuming import source_of, unfinished

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RECORD", "Run", "experiment", "folder", "is_recorded", "names", "settings_of"]

RECORD = "NLKIT_RECORD"
"""Environment variable: when it is set, `experiment` computes everything and writes recordings.

``make notebooks`` sets it.
"""

METADATA = b"nlkit"
STEPS = 255
Data = dict[str, Any]
Compute = Callable[[], Mapping[str, Any]]


@dataclass
class Run:
    """What an experiment found, recorded or live; ``run["name"]`` is one table or array of it.

    Attributes
    ----------
    name
        Of the experiment.
    settings
        What it was run with.
    data
        Tables (DataFrame) and arrays by name.
    live
        Whether it was computed here.
    computing
        Held while it is computed in a thread, so that no second one begins.
    as_given
        Whether `settings` are those of the recording: those that the notebook's prose speaks of.
    when, seconds, version
        When it was computed, how long that took, and by which nlkit.
    """

    name: str
    settings: dict[str, Any]
    compute: Compute | None = field(default=None, repr=False)
    as_given: bool = False
    live: bool = True
    data: Data = field(default_factory=dict)
    when: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    version: str = __version__
    computing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __getitem__(self, key: str) -> Any:
        if key not in self.data:
            invalid("key", key, f"one of {', '.join(self.data)}")
        return self.data[key]

    def recompute(self) -> Run:
        """Compute everything here and now, in place; an error leaves the run as it was.

        Parts that `nlkit.study.resuming.each` computes are kept while the rest is missing: after an
        interruption the experiment goes on there. `seconds` are those of all parts.
        """
        self._computed()
        return self

    def _computed(self) -> Mapping[str, Any]:
        """Compute everything, in place, and return it as the experiment gave it."""
        if self.compute is None:
            raise RuntimeError(f"run {self.name!r} was read without its experiment: it cannot be recomputed")
        began = time.perf_counter()
        # With the source: a student who changes the experiment gets no part of what it was before.
        identity = (self.name, json.dumps(self.settings, sort_keys=True), source_of(self.compute))
        with unfinished(*identity) as experiment:
            found = self.compute()
            data = {name: _single(name, value) for name, value in found.items()}
        self.data, self.live, self.when, self.version = data, True, datetime.now(UTC), __version__
        self.seconds = time.perf_counter() - began + experiment.seconds
        return found

    @property
    def label(self) -> str:
        """One sentence: recorded or live, when, how long it took, and the settings."""
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        if self.live:
            return f"Live: computed here in {self.seconds:.0f} s with {settings}."
        day, age = self.when.date(), (datetime.now(UTC).date() - self.when.date()).days
        old = "" if age < 1 else f", {age} day{'s' * (age > 1)} ago"
        return f"Recorded on {day}{old} by nlkit {self.version}, in {self.seconds:.0f} s, with {settings}."

    def __repr__(self) -> str:
        return self.label

    def _repr_html_(self) -> str:
        kind, rest = self.label.split(" ", 1)
        return f'<p class="nlkit-run"><strong>{escape(kind)}</strong> {escape(rest)}</p>'


def folder() -> Path:
    """Return the folder of the recordings that the package ships."""
    return Path(__file__).parent / "recordings"


def names() -> list[str]:
    """Return the names of all recorded runs."""
    return sorted(path.name for path in folder().iterdir() if path.is_dir())


def is_recorded(name: str, settings: Mapping[str, Any]) -> bool:
    """Tell whether `experiment` would read a recording and compute nothing."""
    return not os.environ.get(RECORD) and _matching(name, _plain(settings)) is not None


def settings_of(name: str) -> dict[str, Any]:
    """Return the settings of the recorded run of a name; {} if there is none."""
    place = folder() / name
    return _read(place).settings if place.is_dir() else {}


def experiment(name: str, compute: Compute, settings: Mapping[str, Any], *, recorded: bool = True) -> Run:
    """Return the recorded run of an experiment, or run it.

    Parameters
    ----------
    name : str
        Of the experiment, such as "splitting".
    compute : callable
        Runs it; returns tables (DataFrame) and arrays by name. Called only if there is no recording with
        these settings, or by `Run.recompute`.
    settings : mapping
        All that the result depends on, as plain literals.
    recorded : bool
        False computes everything here, whatever is recorded.

    Returns
    -------
    Run
        Its `as_given` tells whether the settings are the recording's, whichever way it came about.

    Raises
    ------
    ValueError
        If a result is neither a table nor an array.
    """
    wanted = _plain(settings)
    if place := os.environ.get(RECORD):
        run = Run(name, wanted, compute)
        _write(run, run._computed(), Path(place) / name)
        return _read(Path(place) / name, compute)
    kept = _matching(name, wanted, compute)
    if recorded and kept is not None:
        return kept
    return Run(name, wanted, compute, as_given=kept is not None).recompute()


def _matching(name: str, settings: dict[str, Any], compute: Compute | None = None) -> Run | None:
    """Return the recording of an experiment if there is one and its settings are these."""
    place = folder() / name
    kept = _read(place, compute) if place.is_dir() else None
    return kept if kept is not None and kept.settings == settings else None


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they come back from JSON: a tuple is a list there."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    return plain


def _single(name: str, value: Any) -> Any:
    """Return a result with its real numbers in single precision; a table gets a plain index."""
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        wide = value.select_dtypes("float64").columns
        return value.astype(dict.fromkeys(wide, np.float32)).reset_index(drop=True)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        invalid(f"result {name!r}", type(value).__name__, "a DataFrame, or an array of numbers")
    return value.astype(np.float32) if value.dtype.kind == "f" else value


def _packed(name: str, value: Any) -> pa.Table:
    """Return a table or an array as an Arrow table; its metadata tells the array's shape and steps."""
    import pyarrow as pa

    single = _single(name, value)
    if not isinstance(single, np.ndarray):
        return pa.Table.from_pandas(single, preserve_index=False).replace_schema_metadata({METADATA: b"{}"})
    told: dict[str, Any] = {"shape": single.shape}
    if value.dtype == np.float16:
        if not ((value >= 0) & (value <= 1)).all():
            invalid(f"result {name!r}", "float16 outside 0 to 1", "probabilities, or an array of float32")
        single, told["steps"] = _in_steps(single), STEPS
    return pa.table({"value": single.ravel()}).replace_schema_metadata({METADATA: json.dumps(told).encode()})


def _in_steps(p: NDArray[Any]) -> NDArray[np.uint8]:
    """Round probabilities to whole numbers of steps; distributions keep their sum.

    What is left over after rounding down goes to the entries that lost most (the largest-remainder method).
    """
    steps = p.astype(np.float64) * STEPS
    if p.ndim < 2 or not np.allclose(steps.sum(-1), STEPS, atol=1e-3 * STEPS):
        return np.round(steps).astype(np.uint8)
    whole = np.floor(steps + 1e-4)  # what is a whole number of steps already stays what it is
    left = (STEPS - whole.sum(-1, keepdims=True)).clip(0)
    rank = np.argsort(np.argsort(whole - steps, axis=-1, kind="stable"), axis=-1, kind="stable")
    rounded: NDArray[np.uint8] = (whole + (rank < left)).astype(np.uint8)
    return rounded


def _unpacked(packed: pa.Table) -> Any:
    told = json.loads(packed.schema.metadata[METADATA])
    if "shape" not in told:
        return packed.replace_schema_metadata(None).to_pandas()
    flat = packed["value"].to_numpy()
    if "steps" in told:
        flat = flat.astype(np.float32) / told["steps"]
    return flat.reshape(told["shape"])


def _write(run: Run, found: Mapping[str, Any], place: Path) -> None:
    """Write a recording: a folder with one Parquet file a table, and no file of an older one."""
    import pyarrow.parquet as pq

    place.mkdir(parents=True, exist_ok=True)
    about = {
        "settings": run.settings, "when": run.when.isoformat(timespec="seconds"),
        "seconds": round(run.seconds, 1), "version": run.version,
    }  # fmt: skip
    for name, value in found.items():
        packed = _packed(name, value)
        told = json.loads(packed.schema.metadata[METADATA]) | about
        packed = packed.replace_schema_metadata({METADATA: json.dumps(told).encode()})
        with atomic_write(place / f"{name}.parquet") as path:
            pq.write_table(packed, path, compression="zstd", compression_level=19, store_schema=True)
    for path in place.glob("*.parquet"):
        if path.stem not in found:
            path.unlink()


def _read(place: Path, compute: Compute | None = None) -> Run:
    import pyarrow.parquet as pq

    tables = {path.stem: pq.read_table(path) for path in sorted(place.glob("*.parquet"))}
    if not tables:
        raise FileNotFoundError(f"the recording {place} holds no Parquet file; reinstall nlkit")
    about = json.loads(next(iter(tables.values())).schema.metadata[METADATA])
    data = {name: _unpacked(table) for name, table in tables.items()}
    when = datetime.fromisoformat(about["when"])
    return Run(
        place.name, about["settings"], compute, as_given=True, live=False, data=data, when=when,
        seconds=about["seconds"], version=about["version"],
    )  # fmt: skip

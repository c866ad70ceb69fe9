"""`sweep`: every cell of a grid, run once, kept, and returned as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nlkit._util import expanded, progress
from nlkit.annotate.plan import Budget
from nlkit.study.sweeps.cells import failed, run_cell
from nlkit.study.sweeps.engines import Died
from nlkit.study.sweeps.engines import engine as engine_named
from nlkit.study.sweeps.grid import cells_of, key_of
from nlkit.study.sweeps.records import Records, table_of

__all__ = ["sweep"]


def sweep(
    grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    engine: str = "local",
    results: str | Path = "outputs/sweep",
    *,
    workers: int | None = None,
    cores: int = 1,
    gpus: float = 0.0,
    budget: Budget | None = None,
    retry: bool = False,
    trackers: Iterable[Callable[[Mapping[str, Any]], None]] = (),
) -> pd.DataFrame:
    """Run a method on each cell of a grid, on this machine or on a Ray cluster.

    What is finished is kept in `results`, so a sweep that was stopped, by whatever, goes on where it was; a
    cell that is in several grids, or twice in one, is run once. A cell that fails is recorded with its error.

    Parameters
    ----------
    grid : mapping, or a sequence of such
        See `nlkit.study.sweeps.grid.cells_of`, for example ``{"method": ["CE", "NoiseAL"], "dataset": ["r8",
        "20ng"], "size": 1000, "noise": "symmetric", "rate": [0.2, 0.4], "seed": range(5)}``.
    engine : str
        "local": processes of this machine; "ray": a cluster (`nlkit.study.sweeps.engines.on_ray`).
    results : path
        Folder of the records, ``cells/<key>.parquet``.
    workers : int, optional
        Processes at once ("local"); as many as have cores of their own by default.
    cores, gpus
        Threads a cell, and its share of a GPU ("ray").
    budget : Budget, optional
        What all `OpenAIChat` annotators and labellers of the sweep may spend together; what earlier calls
        with the same folder spent counts.
    retry : bool
        Run cells anew that failed before.
    trackers : iterable of callable
        Each is called with every new record, such as those of `nlkit.study.sweeps.tracking`.

    Returns
    -------
    DataFrame, one row a cell
        Columns as in `nlkit.study.sweeps.records.SCHEMA`.

    Raises
    ------
    ValueError
        Before anything runs, if the grid or a setting is not allowed.

    Notes
    -----
    All cells share the activation cache and the answer store of nlkit's cache folder: on several machines
    ``NLKIT_CACHE`` may name a folder that they share. A budget's account lies in `results`, and is shared so.
    """
    run = engine_named(engine, workers=workers, cores=cores, gpus=gpus)
    cells, records, told = cells_of(grid), Records(results), list(trackers)
    known = {key_of(cell): records.get(key_of(cell)) for cell in cells}
    todo = [
        cell for cell in cells
        if (record := known[key_of(cell)]) is None or (retry and record["status"] == "failed")
    ]  # fmt: skip
    purse = None
    if budget is not None:
        limits = {name: most for name, most in budget.limit._asdict().items() if most < float("inf")}
        purse = {"path": str(expanded(results).resolve() / "purse.sqlite"), **limits}
    jobs = [{"cell": cell, "purse": purse} for cell in todo]
    with progress(total=len(cells), initial=len(cells) - len(todo), desc="sweep", unit="cell") as bar:
        for place, record in run(run_cell, jobs):
            found = failed(jobs[place], record.reason) if isinstance(record, Died) else record
            records.put(found)
            known[found["key"]] = found
            for tracker in told:
                tracker(found)
            bad = sum(record["status"] == "failed" for record in known.values() if record)
            bar.set_postfix_str(f"{_words(found)}, {bad} failed")
            bar.update()
    return table_of(record for record in known.values() if record)


def _words(record: Mapping[str, Any]) -> str:
    share = record["accuracy"]
    return f"{record['method']} on {record['dataset']} " + (
        "failed" if share is None else f"{100 * share:.1f} %"
    )

"""`search`: settings of a method, drawn at random, of which noisy validation labels choose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nlkit._util import invalid
from nlkit.data.checks import check_count
from nlkit.study.sweeps.running import sweep

__all__ = ["search"]


def search(
    grid: Mapping[str, Any], space: Mapping[str, Any], draws: int = 20, *, seed: int = 0, **named: Any
) -> pd.DataFrame:
    """Run a method with settings drawn from a space, and order them by noisy validation labels alone.

    Parameters
    ----------
    grid : mapping
        As in `nlkit.sweep`, with one ``method``: a name, or a mapping with settings that all have.
    space : mapping of str to list or distribution
        Setting → its values, or what SciPy draws it from (``scipy.stats.loguniform(1e-4, 1e-2)``).
    draws : int
        How many settings are tried: fewer where lists alone allow fewer.
    seed : int
        Of the draws; those of the runs stand in the grid.
    **named
        Arguments of `nlkit.sweep`, such as engine and results. Cells that are there are not run again.

    Returns
    -------
    DataFrame, one row a setting, the best first
        Those of `space`; noisy_validation, which alone decides: the accuracy by noisy validation labels, at
        the best epoch by these where there is one, mean over the grid's cells; failed, how many cells did, of
        which that counts as 0; and by truth, to be looked at afterwards, best_accuracy of the test texts at
        that epoch, and accuracy at the last one.

    Raises
    ------
    ValueError
        If a setting is not allowed, or a cell has no noisy validation labels.
    """
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    check_count("draws", draws, 1)
    given = grid.get("method")
    if not isinstance(given, str | Mapping) or given == "all":
        invalid("method", given, "one method whose settings are searched")
    shared = dict(given) if isinstance(given, Mapping) else {"method": given}
    if not space or {"method", "name"} & set(space):
        invalid("space", sorted(space), "at least one setting of the method")
    if all(isinstance(values, list | tuple) for values in space.values()):
        draws = min(draws, len(ParameterGrid({name: list(values) for name, values in space.items()})))
    drawn = {json.dumps(one): one for one in map(_plain, ParameterSampler(space, draws, random_state=seed))}
    methods = [{**shared, **settings, "name": name} for name, settings in drawn.items()]
    records = sweep({**grid, "method": methods}, **named)
    records = records[records["method"].isin(list(drawn))]
    failed = records["status"] == "failed"
    decides = records["best_noisy_validation"].fillna(records["noisy_validation"]).mask(failed, 0.0)
    if decides.isna().any():
        unlabelled = records.loc[decides.isna(), "dataset"].iloc[0]
        invalid("dataset", unlabelled, "one with noisy validation labels, which choose")
    table = records.assign(noisy_validation=decides, failed=failed.astype(int)).groupby("method", sort=False)
    means = {name: table[name].mean() for name in ("noisy_validation", "best_accuracy", "accuracy")}
    found = pd.DataFrame(means | {"failed": table["failed"].sum()}).sort_values(
        "noisy_validation", ascending=False, kind="stable"
    )
    settings = pd.DataFrame([drawn[str(name)] for name in found.index])
    return pd.concat([settings, found.reset_index(drop=True)], axis=1)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as values of JSON, as a cell's are."""
    return {
        name: value.item() if hasattr(value, "item") else value for name, value in sorted(settings.items())
    }

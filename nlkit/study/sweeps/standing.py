"""What follows from a sweep's records: means, spread, who is best, and who may be behind by chance alone.

Methods are compared over **cells of data**: the same texts, the same noisy labels, the same seed. Each is
ranked within every cell that all methods have finished (Friedman's test asks whether they differ at all), and
the best is compared with each other one by Wilcoxon's signed-rank test on the paired differences, with Holm's
correction for so many tests (Demšar, JMLR 7, 2006; Benavoli and others, JMLR 17, 2016, on why not by ranks).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from nlkit._util import invalid
from nlkit.study.sweeps.grid import DATA

__all__ = ["SETTING", "Standing", "by_setting", "cliques", "holm", "standing"]

SETTING = tuple(name for name in DATA if name != "seed")
"""What makes a setting; seeds repeat it."""


@dataclass(frozen=True)
class Standing:
    """How methods stand to each other over cells.

    Attributes
    ----------
    table : DataFrame, one row a method, the best first
        method; cells, in how many it was compared; mean of the value; rank, its mean place (1 is best);
        difference to the best and p, Holm's, of it being chance; with_best: p is at least `level`.
    cells : int
        Cells that all methods have finished.
    friedman : float
        p of Friedman's test that all methods are alike; NaN for fewer than three methods or two cells.
    pairs : DataFrame
        one, other, difference (mean of one − other), p (Holm's over all pairs).
    level : float
        Below it, a difference is called significant.
    """

    table: pd.DataFrame
    cells: int
    friedman: float
    pairs: pd.DataFrame
    level: float


def standing(records: pd.DataFrame, value: str = "accuracy", *, level: float = 0.05) -> Standing:
    """Return how methods stand by `value`, of which more is better; failed cells do not count.

    Raises
    ------
    ValueError
        If no cell was finished by all methods.
    """
    wide = _paired(records, value)
    names, x = list(wide.columns), wide.to_numpy(np.float64)
    place = stats.rankdata(-x, axis=1).mean(axis=0)
    order = np.lexsort((-x.mean(axis=0), place))
    best = order[0]
    raw = {pair: _wilcoxon(x[:, pair[0]] - x[:, pair[1]]) for pair in combinations(range(len(names)), 2)}
    to_best = holm([raw[min(best, j), max(best, j)] for j in order[1:]])
    pairs = pd.DataFrame(
        [(names[i], names[j], (x[:, i] - x[:, j]).mean()) for i, j in raw],
        columns=["one", "other", "difference"],
    ).assign(p=holm(list(raw.values())))
    p = np.concatenate([[1.0], to_best])
    table = pd.DataFrame({
        "method": [names[j] for j in order], "cells": len(x), "mean": x.mean(axis=0)[order],
        "rank": place[order], "difference": (x - x[:, [best]]).mean(axis=0)[order], "p": p,
        "with_best": p >= level,
    })  # fmt: skip
    enough = len(names) > 2 and len(x) > 1 and bool(np.ptp(x, axis=1).any())
    alike = float(stats.friedmanchisquare(*x.T).pvalue) if enough else float("nan")
    return Standing(table, len(x), alike, pairs, level)


def _paired(records: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return a row a cell that all methods have finished, and a column a method."""
    done = records[(records["status"] == "done") & records[value].notna()]
    cell = done.groupby(list(DATA), dropna=False, sort=False).ngroup()
    table = pd.DataFrame({"cell": cell, "method": done["method"], "value": done[value]})
    again = table.duplicated(["cell", "method"])
    if again.any():
        twice = table.loc[again, "method"].iloc[0]
        invalid("method", twice, "one record a cell of data: give variants of a method different names")
    wide = table.pivot_table(index="cell", columns="method", values="value", sort=False).dropna()
    if wide.empty:
        invalid(
            "records", f"{len(done)} cells done", "at least one cell of data that all methods have finished"
        )
    return wide[list(dict.fromkeys(table["method"]))]


def _wilcoxon(difference: NDArray[np.float64]) -> float:
    """Return p of the signed-rank test, 1 where nothing differs."""
    return float(stats.wilcoxon(difference, zero_method="zsplit").pvalue) if difference.any() else 1.0


def holm(p: list[float]) -> NDArray[np.float64]:
    """Return Holm's p of several tests: that of each, times how many are left, never less than one before."""
    values = np.asarray(p, np.float64)
    order = values.argsort()
    scaled = np.minimum(1.0, np.maximum.accumulate(values[order] * (len(p) - np.arange(len(p)))))
    result = np.empty_like(values)
    result[order] = scaled
    return result


def cliques(s: Standing) -> list[list[str]]:
    """Return the longest runs of methods, by rank, of which no two differ significantly."""
    names = list(s.table["method"])
    clear = s.pairs[s.pairs["p"] < s.level]
    apart = set(map(frozenset, zip(clear["one"], clear["other"], strict=True)))
    runs: list[list[str]] = []
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and not any(
            frozenset((names[last + 1], name)) in apart for name in names[first : last + 1]
        ):
            last += 1
        if last > first and not (runs and set(names[first : last + 1]) <= set(runs[-1])):
            runs.append(names[first : last + 1])
    return runs


def by_setting(records: pd.DataFrame, value: str = "accuracy") -> pd.DataFrame:
    """Return mean, standard deviation (of a sample; NaN for one) and n of each method in each setting.

    One row a setting and method, with the columns of `SETTING`, method, mean, sd, n and best: whether the
    method's mean is the highest of the setting.
    """
    done = records[(records["status"] == "done") & records[value].notna()]
    group = done.groupby([*SETTING, "method"], sort=False, dropna=False)[value]
    table = group.agg(mean="mean", sd="std", n="size").reset_index()
    top = table.groupby(list(SETTING), dropna=False, sort=False)["mean"].transform("max")
    return table.assign(best=table["mean"] == top)

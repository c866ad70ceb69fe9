"""Means and standard deviations over seeds, and Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd


def spread(values: pd.Series) -> str:
    """Return mean and standard deviation of shares, in percent."""
    mean = f"{100 * values.mean():.1f}"
    # One seed has no spread; saying 0 would claim one.
    return f"{mean} ± {100 * values.std(ddof=1):.1f}" if len(values) > 1 else mean


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def means(title: str, groups: Mapping[str, pd.DataFrame], rows: Mapping[str, tuple[str, str]]) -> str:
    """Return a Markdown table of means and standard deviations.

    `groups`: heading → the runs of a column; `rows`: title → method and metric of a row.
    """
    cells = (
        [
            name,
            *(spread(runs.loc[runs["method"] == method, metric].astype(float)) for runs in groups.values()),
        ]
        for name, (method, metric) in rows.items()
    )
    return markdown([title, *groups], cells)

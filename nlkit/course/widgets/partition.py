"""Explorer of the dynamic-enhanced threshold over recorded training dynamics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nlkit.course import plots
from nlkit.course.widgets.explorer import Drawn, Explorer, Span, Still, check, name_of, share, shorten, table
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.partition import SETS, Partition, replay
from nlkit.metrics import partition_report


class PartitionView(NamedTuple):
    """The sets after one epoch.

    Attributes
    ----------
    partition : DataFrame
        One row a sample, as `nlkit.methods.noiseal.partition.Partition.table`.
    sizes : dict
        Samples in R, H and P.
    report : DataFrame or None
        `nlkit.metrics.partition_report`, where true labels are known.
    """

    partition: pd.DataFrame
    sizes: dict[str, int]
    report: pd.DataFrame | None


def compute_partitions(
    dynamics_strong: ArrayLike, dynamics_weak: ArrayLike, noisy_label: ArrayLike, momentum: float,
    margin: float, cap: float = NoiseALConfig.cap,
) -> list[Partition]:  # fmt: skip
    """Partition recorded dynamics of all E epochs with other settings; nothing is trained.

    By the threshold alone: that NoiseAL keeps the most trusted of each label (`class_floor`) is left out.
    """
    return replay(
        list(np.asarray(dynamics_strong)), list(np.asarray(dynamics_weak)), noisy_label,
        momentum=momentum, margin=margin, cap=cap,
    )  # fmt: skip


def compute_partition(
    partitions: Sequence[Partition], epoch: int, noisy_label: ArrayLike, label: ArrayLike | None = None
) -> PartitionView:
    """Look at the sets after one epoch (from 1), and at their quality if true labels are given."""
    check("epoch", epoch, range(1, len(partitions) + 1))
    sets = partitions[epoch - 1].set
    report = None if label is None else partition_report(sets, noisy_label, label)
    return PartitionView(partitions[epoch - 1].table(), {k: int((sets == k).sum()) for k in SETS}, report)


def compute_quality(parts: Sequence[Partition], noisy_label: ArrayLike, label: ArrayLike) -> pd.DataFrame:
    """Return the report of every epoch: epoch, set, size, clean, precision, recall."""
    reports = (partition_report(part.set, noisy_label, label) for part in parts)
    numbered = [report.assign(epoch=epoch) for epoch, report in enumerate(reports, start=1)]
    return pd.concat(numbered, ignore_index=True)


def threshold_explorer(
    dynamics_strong: ArrayLike, dynamics_weak: ArrayLike, noisy_label: ArrayLike,
    label: ArrayLike | None = None, texts: Sequence[str] | None = None, *,
    label_names: Sequence[str] | None = None, momentum: float = NoiseALConfig.momentum,
    margin: float = NoiseALConfig.margin, cap: float = NoiseALConfig.cap, epoch: int | None = None,
    warmup: bool = False, examples: int = 1,
) -> Explorer:  # fmt: skip
    """Move momentum, margin and epoch of the dynamic-enhanced threshold over recorded training dynamics.

    Parameters
    ----------
    dynamics_strong, dynamics_weak : array, shape (E, N, C)
        What each model predicted for the N training samples after each of E epochs (``NoiseAL.dynamics_``).
    noisy_label : array of int, shape (N,)
        Observed labels.
    label : array of int, shape (N,), optional
        True labels; with them precision and recall of the sets are shown.
    texts : sequence of N strings, optional
        With them samples of each set are shown.
    label_names : sequence of C strings, optional
        For the samples shown.
    momentum, margin, cap, epoch
        Where the controls stand first (those of NoiseAL; epoch: the last); `cap` has no control.
    warmup : bool
        Whether the dynamics are those of a warm-up that never ends
        (`nlkit.methods.noiseal.dynamics.train_both`). NoiseAL first uses the partition that it makes after
        its warm-up, so the epoch is then the warm-up's length W, and the control says so.
    examples : int
        Samples of each set that are shown.
    """
    # Once in double precision: replay would convert them at each move of a slider.
    strong, weak = np.asarray(dynamics_strong, np.float64), np.asarray(dynamics_weak, np.float64)
    if strong.ndim != 3 or not len(strong):
        raise ValueError(f"dynamics_strong has shape {strong.shape}; it must be (E, N, C), E at least 1")
    labels = {"noisy label": np.asarray(noisy_label, np.int64)}
    labels |= {} if label is None else {"true label": np.asarray(label, np.int64)}

    @lru_cache(1)
    def partitions(momentum: float, margin: float) -> list[Partition]:
        return compute_partitions(strong, weak, noisy_label, momentum, margin, cap)

    def compute(momentum: float, margin: float, epoch: int) -> PartitionView:
        return compute_partition(partitions(momentum, margin), epoch, noisy_label, label)

    wrong = None if label is None else (labels["true label"] >= 0) & (labels["true label"] != noisy_label)

    def draw(momentum: float, margin: float, epoch: int) -> Drawn:
        view = compute(momentum, margin, epoch)
        fig, ax = plots.figure(width=8.6, height=4.0, margins=(0.08, 0.79, 0.13, 0.92))
        alt = plots.draw_partition(view.partition, ax, wrong=wrong, title=f"after epoch {epoch}")
        below = _sets(view, epoch)
        if texts is not None:
            below += _samples(view.partition, texts, labels, label_names, examples)
        return fig, alt, below

    def static(momentum: float, margin: float, epoch: int) -> Still:
        """Draw the first position, and below it a strip over momentum and one over margin."""
        at: dict[str, Any] = {"momentum": momentum, "margin": margin, "epoch": epoch}
        fig, ((top,), *rows) = plots.panels((1, 4, 4), (2.2, 1, 1), 7.5, 8.5)
        title, view = f"m = {momentum:g}, σ = {margin:g}, epoch {epoch}", compute(**at)
        alt, words = plots.draw_partition(view.partition, top, wrong=wrong, title=title), []
        if view.report is not None:
            quality = [f"{k} precision {p}, recall {r}" for k, _, p, r in _quality(view.report)]
            alt += f" Quality: {'; '.join(quality)}."
        strips = (("momentum", "m", (0.0, 0.5, 0.9, 0.99)), ("margin", "σ", (0.0, 0.1, 0.3, 0.6)))
        for (field, symbol, values), axes in zip(strips, rows, strict=True):
            for value, ax in zip(values, axes, strict=True):
                view = compute(**at | {field: value})
                sizes = [f"{name} {size}" for name, size in view.sizes.items()]
                plots.draw_partition(view.partition, ax, legend=False, size=5)
                ax.set_title(f"{symbol} = {value:g}\n{'  '.join(sizes)}", fontsize=9)
                words.append(f"{field} {value:g}: {', '.join(sizes)}")
        return fig, f"{alt} Below it the same scatter at other settings. {'; '.join(words)}."

    last, what = len(strong), "warm-up epochs W" if warmup else "epoch"
    controls = {
        "momentum": ("momentum m", momentum, Span(0.0, 0.99, 0.01)),
        "margin": ("margin σ", margin, Span(0.0, 1.0, 0.05)),
        "epoch": (what, last if epoch is None else epoch, range(1, last + 1), f"of {last}"),
    }
    return Explorer(controls, draw, static, lines=5.5 + (texts is not None) * (2 + 3 * examples))


def _quality(report: pd.DataFrame) -> list[tuple[str, int, str, str]]:
    """Return set, size, precision and recall as they are shown."""
    rows = report[["set", "size", "precision", "recall"]].itertuples(index=False)
    return [(name, size, share(precision, 1), share(recall, 1)) for name, size, precision, recall in rows]


def _sets(view: PartitionView, epoch: int) -> str:
    """Return sizes, and precision and recall where known, as an HTML table."""
    caption = f"The sets after epoch {epoch}"
    if view.report is None:
        return table(list(view.sizes.items()), ("set", "samples"), caption)
    caption += ": R as a finder of right labels, H and P as finders of wrong ones"
    return table(_quality(view.report), ("set", "samples", "precision", "recall"), caption)


def _samples(
    partition: pd.DataFrame, texts: Sequence[str], labels: Mapping[str, NDArray[np.int64]],
    names: Sequence[str] | None, examples: int,
) -> str:  # fmt: skip
    """Return samples of each set as an HTML table, escaped."""
    rows = []
    for name in SETS:
        for i in np.flatnonzero(partition["set"] == name)[:examples]:
            named = (str(y[i]) if names is None else name_of(y[i], names, str(y[i])) for y in labels.values())
            rows.append((name, shorten(texts[i]), *named, partition["reason"][i]))
    how_many = "One sample" if examples == 1 else f"Up to {examples} samples"
    return table(rows, ("set", "text", *labels, "reason"), f"{how_many} of each set")

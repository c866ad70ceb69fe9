"""Explorer of the dynamic-enhanced threshold over recorded training dynamics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer, shorten, slider, steps, table
from nlkit.methods.noiseal.partition import Partition, replay
from nlkit.metrics import partition_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "PartitionView",
    "compute_partition",
    "compute_partitions",
    "compute_quality",
    "samples_table",
    "sets_table",
    "threshold_explorer",
]


@dataclass(frozen=True)
class PartitionView:
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

    epoch: int
    partition: pd.DataFrame
    sizes: dict[str, int]
    report: pd.DataFrame | None


def compute_partitions(
    dynamics_strong: ArrayLike, dynamics_weak: ArrayLike, noisy_label: ArrayLike, momentum: float,
    margin: float, cap: float = 0.99,
) -> list[Partition]:  # fmt: skip
    """Replay the splits of all E epochs with other settings; nothing is trained."""
    return replay(
        list(np.asarray(dynamics_strong)), list(np.asarray(dynamics_weak)), noisy_label,
        momentum=momentum, margin=margin, cap=cap,
    )  # fmt: skip


def compute_partition(
    splits: Sequence[Partition], epoch: int, noisy_label: ArrayLike, label: ArrayLike | None = None
) -> PartitionView:
    """Look at the sets after one epoch (from 1), and at their quality if true labels are given."""
    if not 1 <= epoch <= len(splits):
        invalid("epoch", epoch, f"a whole number from 1 to {len(splits)}")
    split = splits[epoch - 1]
    sizes = {name: int((split.set == name).sum()) for name in ("R", "H", "P")}
    report = None if label is None else partition_report(split.set, noisy_label, label)
    return PartitionView(epoch, split.table(), sizes, report)


def compute_quality(splits: Sequence[Partition], noisy_label: ArrayLike, label: ArrayLike) -> pd.DataFrame:
    """Return the report of every epoch: epoch, set, size, clean, precision, recall."""
    reports = [
        partition_report(s.set, noisy_label, label).assign(epoch=e) for e, s in enumerate(splits, start=1)
    ]
    return pd.concat(reports, ignore_index=True)


def threshold_explorer(
    dynamics_strong: ArrayLike,
    dynamics_weak: ArrayLike,
    noisy_label: ArrayLike,
    label: ArrayLike | None = None,
    texts: Sequence[str] | None = None,
    *,
    label_names: Sequence[str] | None = None,
    momentum: float = 0.9,
    margin: float = 0.3,
    cap: float = 0.99,
    epoch: int | None = None,
    warmup: bool = False,
    examples: int = 1,
) -> Explorer:
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
        Where the controls stand first (epoch: the last); `cap` has no control.
    warmup : bool
        Whether the dynamics are those of a warm-up that never ends
        (`nlkit.methods.noiseal.dynamics.train_both`). NoiseAL first uses the split that it makes after its
        warm-up, so the epoch is then the warm-up's length W, and the control says so.
    examples : int
        Samples of each set that are shown.
    """
    # Once in double precision: replay would convert them at each move of a slider.
    strong, weak = np.asarray(dynamics_strong, np.float64), np.asarray(dynamics_weak, np.float64)
    if strong.ndim != 3 or not len(strong):
        raise ValueError(
            f"dynamics_strong has shape {strong.shape}; it must be (E, N, C) with E of at least 1"
        )
    noisy = np.asarray(noisy_label, np.int64)
    last = len(strong)
    epoch = last if epoch is None else epoch
    # A slider would move a value outside its range without a word.
    for field, value, high in (("momentum", momentum, 0.99), ("margin", margin, 1.0)):
        if not 0 <= value <= high:
            invalid(field, value, f"a number from 0 to {high}, the slider's range")
    default = compute_partitions(strong, weak, noisy, momentum, margin, cap)
    start = compute_partition(default, epoch, noisy, label)
    controls = {
        "momentum": slider("momentum m", momentum, 0.0, 0.99, 0.01),
        "margin": slider("margin σ", margin, 0.0, 1.0, 0.05),
        "epoch": steps("warm-up epochs W" if warmup else "epoch", epoch, 1, last),
    }
    kept: dict[tuple[float, float], list[Partition]] = {(momentum, margin): default}

    def splits() -> list[Partition]:
        setting = (controls["momentum"].value, controls["margin"].value)
        if setting not in kept:
            kept.clear()
            kept[setting] = compute_partitions(strong, weak, noisy, *setting, cap)
        return kept[setting]

    def redraw() -> tuple[Figure, str, str]:
        view = compute_partition(splits(), controls["epoch"].value, noisy, label)
        fig, ax = plots.figure(width=6.4, height=4.0, margins=(0.1, 0.72, 0.13, 0.92))
        alt = plots.draw_partition(view.partition, ax, title=f"after epoch {view.epoch}")
        return fig, alt, sets_table(view) + samples_table(view, noisy, texts, label_names, label, examples)

    def other(**setting: float) -> PartitionView:
        wanted = {"momentum": momentum, "margin": margin, **setting}
        return compute_partition(
            compute_partitions(strong, weak, noisy, **wanted, cap=cap), start.epoch, noisy, label
        )

    static = _static_threshold(start, other, f"m = {momentum:g}, σ = {margin:g}, epoch {start.epoch}")
    return Explorer(controls, redraw, static)


def sets_table(view: PartitionView) -> str:
    """Return sizes, and precision and recall where known, as an HTML table."""
    if view.report is None:
        rows = [(name, str(size)) for name, size in view.sizes.items()]
        return table(rows, ("set", "samples"), f"The sets after epoch {view.epoch}")
    rows_known = [
        (str(r.set), str(r.size), _share(r.precision), _share(r.recall))
        for r in view.report.itertuples(index=False)
    ]
    caption = (
        f"The sets after epoch {view.epoch}: R as a finder of right labels, H and P as finders of wrong ones"
    )
    return table(rows_known, ("set", "samples", "precision", "recall"), caption)


def samples_table(
    view: PartitionView,
    noisy_label: ArrayLike,
    texts: Sequence[str] | None,
    label_names: Sequence[str] | None,
    label: ArrayLike | None = None,
    examples: int = 1,
) -> str:
    """Return samples of each set as an HTML table, escaped, with true labels if known; '' without texts."""
    if texts is None:
        return ""
    noisy, rows = np.asarray(noisy_label, np.int64), []
    truth = None if label is None else np.asarray(label, np.int64)

    def named(number: int) -> str:
        return label_names[number] if label_names is not None and number >= 0 else str(number)

    for name in ("R", "H", "P"):
        for i in view.partition.index[view.partition["set"] == name][:examples].tolist():
            known = [] if truth is None else [named(truth[i])]
            rows.append((name, shorten(texts[i]), named(noisy[i]), *known, view.partition["reason"].iloc[i]))
    head = ("set", "text", "noisy label", *(() if truth is None else ("true label",)), "reason")
    how_many = "One sample" if examples == 1 else f"Up to {examples} samples"
    return table(rows, head, f"{how_many} of each set")


def _share(value: Any) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f} %"


def _static_threshold(
    start: PartitionView, other: Callable[..., PartitionView], title: str
) -> tuple[Figure, str]:
    """Draw the default position, and below it a strip over momentum and one over margin."""
    fig, _ = plots.figure(width=7.5, height=8.5)
    fig.clear()
    grid = fig.add_gridspec(3, 1, height_ratios=[2.2, 1, 1])
    alt = plots.draw_partition(start.partition, fig.add_subplot(grid[0]), title=title)
    words = []
    strips = (("momentum", "m", (0.0, 0.5, 0.9, 0.99)), ("margin", "σ", (0.0, 0.1, 0.3, 0.6)))
    for row, (field, symbol, values) in enumerate(strips, start=1):
        strip = grid[row].subgridspec(1, len(values))
        for column, value in enumerate(values):
            view = other(**{field: value})
            sizes = "  ".join(f"{name} {size}" for name, size in view.sizes.items())
            ax = fig.add_subplot(strip[column])
            plots.draw_partition(view.partition, ax, legend=False, size=3)
            ax.set_title(f"{symbol} = {value:g}\n{sizes}", fontsize=9)
            words.append(f"{field} {value:g}: {', '.join(sizes.split('  '))}")
    if start.report is not None:
        quality = [
            f"{r.set} precision {_share(r.precision)}, recall {_share(r.recall)}"
            for r in start.report.itertuples(index=False)
        ]
        alt += f" Quality: {'; '.join(quality)}."
    return fig, f"{alt} Below it the same scatter at other settings. {'; '.join(words)}."

"""Explorers for notebooks: sliders bound to pure functions.

Each explorer has a ``compute_*`` function (settings → data) and draws with `nlkit.plots`; the widget only
binds them. An explorer also leaves a static picture, the default position and a strip over the sliders'
range, for readers without a running kernel: on GitHub, in HTML, under papermill, with a screen reader.

Nothing fails in silence: an explorer that cannot be drawn raises where it is made, and an error at a later
slider position is shown in the explorer and raised.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit import plots
from nlkit._util import reject
from nlkit.metrics import split_report
from nlkit.noise import KINDS, Kind, add_noise, noise_report
from nlkit.split import Split, replay

if TYPE_CHECKING:
    from datasets import DatasetDict
    from matplotlib.figure import Figure

__all__ = [
    "Explorer",
    "NoiseView",
    "PartitionView",
    "compute_noise",
    "compute_partition",
    "compute_quality",
    "compute_splits",
    "noise_explorer",
    "threshold_explorer",
]


class Explorer:
    """Controls above a picture and a table, with a static copy for those who cannot move the controls.

    Parameters
    ----------
    controls : mapping of str to widget
        Drawn in this order; each has a description. Setting a ``.value`` redraws.
    redraw : callable
        Returns a figure, its words, and HTML to stand below it, for the controls' present values.
    static : tuple of Figure and str
        The static copy and its words.
    """

    def __init__(
        self,
        controls: Mapping[str, Any],
        redraw: Callable[[], tuple[Figure, str, str]],
        static: tuple[Figure, str],
    ) -> None:
        self.controls, self._redraw, self.static = dict(controls), redraw, static
        self.picture, self.table, self.error = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.box = ipywidgets.VBox([*self.controls.values(), self.error, self.picture, self.table])
        self.update()
        for control in self.controls.values():
            control.observe(self._changed, names="value")

    def update(self) -> None:
        """Draw for the controls' present values."""
        fig, alt, below = self._redraw()
        source = base64.b64encode(plots.png(fig, dpi=80)).decode("ascii")
        self.picture.value = f'<img alt="{escape(alt)}" src="data:image/png;base64,{source}">'
        self.table.value, self.error.value = below, ""

    def _changed(self, change: Any) -> None:
        try:
            self.update()
        except Exception as error:
            # The old picture belongs to other settings: it goes.
            self.picture.value = self.table.value = ""
            said = escape(f"{type(error).__name__}: {error}")
            self.error.value = f'<p role="alert"><strong>This setting failed.</strong> {said}</p>'
            raise

    def _ipython_display_(self) -> None:
        import IPython.display

        display: Any = IPython.display.display
        display(self.box)
        plots.show(*self.static)


def _slider(description: str, value: float, low: float, high: float, step: float) -> Any:
    return ipywidgets.FloatSlider(
        description=description, value=value, min=low, max=high, step=step, readout_format=".2f",
        continuous_update=False, style={"description_width": "11em"}, layout={"width": "30em"},
    )  # fmt: skip


def _table(rows: Sequence[Sequence[str]], head: Sequence[str], caption: str) -> str:
    """Return an HTML table with every cell escaped."""
    top = "".join(f'<th scope="col" style="text-align:left">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    head_row = f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>"
    return f"<table>{head_row}<tbody>{body}</tbody></table>"


def _shorten(text: str, length: int = 110) -> str:
    words = " ".join(text.split())
    return words if len(words) <= length else words[: length - 1].rstrip() + "…"


# -- noise ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoiseView:
    """Noise of one kind and rate on a training split.

    Attributes
    ----------
    matrix : ndarray, shape (C, C)
        Measured: [i, j] is the share of class i labelled j; rows sum to 1.
    achieved
        Share of wrong labels.
    examples : DataFrame
        A few samples that got a wrong label: text, label, noisy_label (names).
    """

    kind: str
    rate: float
    label_names: tuple[str, ...]
    matrix: np.ndarray
    achieved: float
    examples: pd.DataFrame


def compute_noise(ds: DatasetDict, kind: Kind, rate: float, seed: int = 0, examples: int = 4) -> NoiseView:
    """Add noise to the training split and measure it."""
    noisy = add_noise(type(ds)(train=ds["train"]), kind=kind, rate=rate, seed=seed)["train"]
    measured = noise_report(noisy)
    true, seen = (np.asarray(noisy[name][:], np.int64) for name in ("label", "noisy_label"))
    wrong = np.flatnonzero((true != seen) & (true >= 0))
    shown = np.sort(np.random.default_rng(seed).permutation(wrong)[:examples])
    names = measured.class_names
    table = pd.DataFrame({
        "text": [noisy[int(i)]["text"] for i in shown],
        "label": [names[true[i]] for i in shown],
        "noisy_label": [names[seen[i]] for i in shown],
    })  # fmt: skip
    return NoiseView(kind, rate, names, measured.matrix, measured.rate, table)


def noise_explorer(
    ds: DatasetDict, *, kind: str = "symmetric", rate: float = 0.4, seed: int = 0, examples: int = 4
) -> Explorer:
    """Choose kind and rate of the noise; see the transition matrix and a few texts that got a wrong label.

    Parameters
    ----------
    ds : DatasetDict
        With ``label`` in its split "train"; it is not changed.
    kind, rate
        Where the controls stand first.
    seed, examples
        Of the noise, and how many texts are shown.
    """
    if kind not in KINDS:
        reject("kind", kind, f"one of {', '.join(KINDS)}")
    if not 0 <= rate <= 1:
        reject("rate", rate, "a number from 0 to 1")
    controls = {
        "kind": ipywidgets.Dropdown(
            description="kind of noise", options=KINDS, value=kind, style={"description_width": "11em"}
        ),
        "rate": _slider("noise rate", rate, 0.0, 1.0, 0.05),
    }

    def redraw() -> tuple[Figure, str, str]:
        view = compute_noise(ds, controls["kind"].value, controls["rate"].value, seed, examples)
        fig, ax = plots.figure(width=5.6, height=5.0, margins=(0.16, 0.97, 0.2, 0.93))
        alt = plots.draw_transition_matrix(view.matrix, view.label_names, ax, title=_noise_title(view))
        return fig, alt, examples_table(view)

    return Explorer(controls, redraw, _static_noise(ds, kind, rate, seed))


def _noise_title(view: NoiseView) -> str:
    return f"{view.kind} {view.rate:g}: {100 * view.achieved:.1f} % wrong"


def examples_table(view: NoiseView) -> str:
    """Return the examples as an HTML table, escaped."""
    rows = [(_shorten(t), y, z) for t, y, z in view.examples.itertuples(index=False)]
    return _table(rows, ("text", "true label", "noisy label"), "Some texts with a wrong label")


def _static_noise(ds: DatasetDict, kind: str, rate: float, seed: int) -> tuple[Figure, str]:
    """Draw the default position, and below it every kind at three rates."""
    fig, _ = plots.figure(width=7.5, height=9.5)
    fig.clear()
    grid = fig.add_gridspec(1 + len(KINDS), 3, height_ratios=[2.4] + [1] * len(KINDS))
    default: Any = compute_noise(ds, kind, rate, seed)  # type: ignore[arg-type]
    alt = plots.draw_transition_matrix(
        default.matrix, default.label_names, fig.add_subplot(grid[0, :]), title=_noise_title(default)
    )
    for row, other in enumerate(KINDS, start=1):
        for column, value in enumerate((0.1, 0.4, 0.7)):
            view = compute_noise(ds, other, value, seed)  # type: ignore[arg-type]
            ax = fig.add_subplot(grid[row, column])
            plots.draw_transition_matrix(
                view.matrix, view.label_names, ax, title=f"{other} {value:g}", numbers=False
            )
    return fig, (
        f"{alt} Below it small matrices for the kinds {', '.join(KINDS)} at rates 0.1, 0.4 and 0.7: "
        "symmetric noise spreads evenly over all other classes, asymmetric noise goes to one other class, "
        "and instance-dependent noise goes to the classes that the texts resemble."
    )


# -- the partition ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PartitionView:
    """The sets after one epoch.

    Attributes
    ----------
    partition : DataFrame
        One row a sample, as `nlkit.split.Split.table`.
    sizes : dict
        Samples in R, H and P.
    report : DataFrame or None
        `nlkit.metrics.split_report`, where true labels are known.
    """

    epoch: int
    partition: pd.DataFrame
    sizes: dict[str, int]
    report: pd.DataFrame | None


def compute_splits(
    dynamics_strong: ArrayLike, dynamics_weak: ArrayLike, noisy_label: ArrayLike, momentum: float,
    margin: float, cap: float = 0.99,
) -> list[Split]:  # fmt: skip
    """Replay the splits of all E epochs with other settings (`nlkit.split.replay`); nothing is trained."""
    return replay(
        list(np.asarray(dynamics_strong)), list(np.asarray(dynamics_weak)), noisy_label,
        momentum=momentum, margin=margin, cap=cap,
    )  # fmt: skip


def compute_partition(
    splits: Sequence[Split], epoch: int, noisy_label: ArrayLike, label: ArrayLike | None = None
) -> PartitionView:
    """Look at the sets after one epoch (from 1), and at their quality if true labels are given."""
    if not 1 <= epoch <= len(splits):
        reject("epoch", epoch, f"a whole number from 1 to {len(splits)}")
    split = splits[epoch - 1]
    sizes = {name: int((split.set == name).sum()) for name in ("R", "H", "P")}
    report = None if label is None else split_report(split.set, noisy_label, label)
    return PartitionView(epoch, split.table(), sizes, report)


def compute_quality(splits: Sequence[Split], noisy_label: ArrayLike, label: ArrayLike) -> pd.DataFrame:
    """Return the report of every epoch: epoch, set, size, clean, precision, recall."""
    reports = [split_report(s.set, noisy_label, label).assign(epoch=e) for e, s in enumerate(splits, start=1)]
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
        With them one sample of each set is shown.
    label_names : sequence of C strings, optional
        For the samples shown.
    momentum, margin, cap, epoch
        Where the controls stand first (epoch: the last); `cap` has no control.
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
            reject(field, value, f"a number from 0 to {high}, the slider's range")
    default = compute_splits(strong, weak, noisy, momentum, margin, cap)
    start = compute_partition(default, epoch, noisy, label)
    controls = {
        "momentum": _slider("momentum m", momentum, 0.0, 0.99, 0.01),
        "margin": _slider("margin σ", margin, 0.0, 1.0, 0.05),
        "epoch": ipywidgets.IntSlider(
            description="epoch", value=epoch, min=1, max=last,
            continuous_update=False, style={"description_width": "11em"}, layout={"width": "30em"},
        ),
    }  # fmt: skip
    kept: dict[tuple[float, float], list[Split]] = {(momentum, margin): default}

    def splits() -> list[Split]:
        setting = (controls["momentum"].value, controls["margin"].value)
        if setting not in kept:
            kept.clear()
            kept[setting] = compute_splits(strong, weak, noisy, *setting, cap)
        return kept[setting]

    def redraw() -> tuple[Figure, str, str]:
        view = compute_partition(splits(), controls["epoch"].value, noisy, label)
        fig, ax = plots.figure(width=6.4, height=4.0, margins=(0.1, 0.72, 0.13, 0.92))
        alt = plots.draw_partition(view.partition, ax, title=f"after epoch {view.epoch}")
        return fig, alt, sets_table(view) + samples_table(view, noisy, texts, label_names)

    def other(**setting: float) -> PartitionView:
        wanted = {"momentum": momentum, "margin": margin, **setting}
        return compute_partition(
            compute_splits(strong, weak, noisy, **wanted, cap=cap), start.epoch, noisy, label
        )

    static = _static_threshold(start, other, f"m = {momentum:g}, σ = {margin:g}, epoch {start.epoch}")
    return Explorer(controls, redraw, static)


def sets_table(view: PartitionView) -> str:
    """Return sizes, and precision and recall where known, as an HTML table."""
    if view.report is None:
        rows = [(name, str(size)) for name, size in view.sizes.items()]
        return _table(rows, ("set", "samples"), f"The sets after epoch {view.epoch}")
    rows_known = [
        (str(r.set), str(r.size), _share(r.precision), _share(r.recall))
        for r in view.report.itertuples(index=False)
    ]
    caption = (
        f"The sets after epoch {view.epoch}: R as a finder of right labels, H and P as finders of wrong ones"
    )
    return _table(rows_known, ("set", "samples", "precision", "recall"), caption)


def samples_table(
    view: PartitionView,
    noisy_label: ArrayLike,
    texts: Sequence[str] | None,
    label_names: Sequence[str] | None,
) -> str:
    """Return one sample of each set as an HTML table, escaped; empty without texts."""
    if texts is None:
        return ""
    label, rows = np.asarray(noisy_label, np.int64), []
    for name in ("R", "H", "P"):
        members = view.partition.index[view.partition["set"] == name]
        if len(members):
            i = int(members[0])
            seen = label_names[label[i]] if label_names is not None and label[i] >= 0 else str(label[i])
            rows.append((name, _shorten(texts[i]), seen, str(view.partition["reason"].iloc[i])))
    return _table(rows, ("set", "text", "noisy label", "reason"), "One sample of each set")


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

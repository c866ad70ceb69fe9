"""Explorers of recorded training dynamics: a player over the epochs, and single samples' paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ipywidgets
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer, choice, shorten, steps, table
from nlkit.study.cleaning import SMALLEST, label_losses, loss_separation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "MEASURES",
    "MomentView",
    "compute_moment",
    "dynamics_explorer",
    "moment_table",
    "sample_explorer",
]

MEASURES = {"trust": "probability of the label", "loss": "loss of the label (nats)"}
"""What can be looked at: p(ỹ | x), or −log of it."""

MODELS = ("strong", "weak")
BINS = 12


@dataclass(frozen=True)
class MomentView:
    """Both models after one epoch.

    Attributes
    ----------
    epoch
        From 1.
    measure
        A key of `MEASURES`.
    edges : ndarray, shape (B + 1,)
        Bounds of the bins.
    shares : dict of str to tuple of two ndarrays, shape (B,)
        For each model: share of the rightly, and of the wrongly labelled samples in each bin; all 0 where
        there are none.
    table : DataFrame
        One row a model: model; clean, mislabelled and corrected, as in `nlkit.course.plots.fitted_shares`;
        auc, the area under the ROC curve of the loss as a finder of wrong labels.
    """

    epoch: int
    measure: str
    edges: NDArray[np.float64]
    shares: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    table: pd.DataFrame


def compute_moment(
    strong: ArrayLike, weak: ArrayLike, noisy_label: ArrayLike, label: ArrayLike, epoch: int,
    measure: str = "trust",
) -> MomentView:  # fmt: skip
    """Look at what both models give the observed labels after one epoch.

    Parameters
    ----------
    strong, weak : array, shape (E, N, C)
        Recorded training dynamics.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels; samples without one of them (−1) are left out.
    epoch : int
        From 1 to E.
    measure : str
        "trust" or "loss".
    """
    last = len(np.asarray(strong))
    if not 1 <= epoch <= last:
        invalid("epoch", epoch, f"a whole number from 1 to {last}")
    if measure not in MEASURES:
        invalid("measure", measure, f"one of {', '.join(MEASURES)}")
    z, y = np.asarray(noisy_label, np.int64), np.asarray(label, np.int64)
    both = (z >= 0) & (y >= 0)
    edges = np.linspace(0, 1 if measure == "trust" else -np.log(SMALLEST), BINS + 1)
    shares, rows = {}, []
    for name, dynamics in zip(MODELS, (strong, weak), strict=True):
        now = np.asarray(dynamics)[epoch - 1 : epoch]
        loss = label_losses(now, z)[0]
        value = np.exp(-loss) if measure == "trust" else loss
        groups = [np.histogram(value[both & of], edges)[0] for of in (z == y, z != y)]
        right, wrong = (counts / max(1, counts.sum()) for counts in groups)
        shares[name] = (right, wrong)
        fitted = plots.fitted_shares(now, z, y).iloc[0].drop("epoch")
        rows.append({"model": name, **fitted, "auc": loss_separation(now, z, y)[0]})
    return MomentView(epoch, measure, edges, shares, pd.DataFrame(rows))


def dynamics_explorer(
    strong: ArrayLike, weak: ArrayLike, noisy_label: ArrayLike, label: ArrayLike, *,
    epoch: int | None = None, measure: str = "trust",
) -> Explorer:  # fmt: skip
    """Play the epochs: how both models treat rightly and wrongly labelled samples, side by side.

    Parameters
    ----------
    strong, weak, noisy_label, label
        As in `compute_moment`.
    epoch, measure
        Where the controls stand first (epoch: in the middle).
    """
    s, w = np.asarray(strong), np.asarray(weak)
    if s.ndim != 3 or not len(s) or s.shape != w.shape:
        raise ValueError(f"strong {s.shape} and weak {w.shape} must have one shape (E, N, C), E at least 1")
    last = len(s)
    epoch = (last + 1) // 2 if epoch is None else epoch
    start = compute_moment(s, w, noisy_label, label, epoch, measure)
    controls = {
        "epoch": steps("epoch", epoch, 1, last),
        "measure": choice("what is shown", measure, [(name, key) for key, name in MEASURES.items()]),
    }

    def redraw() -> tuple[Figure, str, str]:
        view = compute_moment(s, w, noisy_label, label, controls["epoch"].value, controls["measure"].value)
        fig, axes = plots.figure(1, 2, width=9.0, height=3.6, margins=(0.07, 0.98, 0.15, 0.9))
        return fig, _draw_moment(view, axes), moment_table(view)

    def other(at: int) -> MomentView:
        return compute_moment(s, w, noisy_label, label, at, measure)

    explorer = Explorer(controls, redraw, _static_moments(start, [other(at) for at in _strip(last)]))
    # The browser moves the slider: no step waits for the kernel, and each redraws once.
    play = ipywidgets.Play(value=epoch, min=1, max=last, interval=900, description="play the epochs")
    ipywidgets.jslink((play, "value"), (controls["epoch"], "value"))
    explorer.box.children = (play, *explorer.box.children)
    return explorer


def moment_table(view: MomentView) -> str:
    """Return the numbers of a moment as an HTML table."""
    rows = [
        (name, *(_share(row[c]) for c in ("clean", "mislabelled", "corrected")), _number(row["auc"]))
        for name, row in view.table.set_index("model").iterrows()
    ]
    head = (
        "model", "right labels fitted", "wrong labels fitted", "wrong labels: true class predicted",
        "AUC of the loss",
    )  # fmt: skip
    return table([[str(cell) for cell in row] for row in rows], head, f"After epoch {view.epoch}")


def sample_explorer(
    strong: ArrayLike, weak: ArrayLike, noisy_label: ArrayLike, label: ArrayLike, texts: Sequence[str],
    label_names: Sequence[str], *, samples: Sequence[int],
) -> Explorer:  # fmt: skip
    """Choose one of some samples; see its probabilities over the epochs, and its text.

    Parameters
    ----------
    strong, weak, noisy_label, label
        As in `compute_moment`.
    texts : sequence of N strings
    label_names : sequence of C strings
    samples : sequence of int
        Positions of the samples to choose from, each with both labels; the first is shown first.
    """
    s, w = np.asarray(strong), np.asarray(weak)
    z, y = np.asarray(noisy_label, np.int64), np.asarray(label, np.int64)
    if not len(samples) or not all(0 <= i < len(z) and z[i] >= 0 and y[i] >= 0 for i in samples):
        invalid("samples", list(samples), f"positions from 0 to {len(z) - 1}, of samples with both labels")

    def title(i: int) -> str:
        if z[i] == y[i]:
            return f"{label_names[y[i]]}, rightly labelled"
        return f"{label_names[y[i]]}, labelled {label_names[z[i]]}"

    options = [(f"{i}: {title(i)}", int(i)) for i in samples]
    controls = {"sample": choice("sample", options[0][1], options)}

    def draw(i: int, ax: object, legend: bool = True) -> str:
        return plots.draw_sample_path(
            s[:, i], w[:, i], int(z[i]), int(y[i]), label_names, ax,  # type: ignore[arg-type]
            title=title(i), legend=legend,
        )  # fmt: skip

    def redraw() -> tuple[Figure, str, str]:
        i = controls["sample"].value
        fig, ax = plots.figure(width=8.0, height=3.6, margins=(0.08, 0.7, 0.14, 0.9))
        rows = [(shorten(texts[i], 400), label_names[y[i]], label_names[z[i]])]
        below = table(rows, ("text", "true label", "noisy label"), f"Sample {i}")
        return fig, draw(i, ax), below

    shown = list(samples)[:6]
    rows = -(-len(shown) // 3)
    fig, axes = plots.figure(rows, 3, width=10, height=0.6 + 2.5 * rows)
    for ax in axes.ravel()[len(shown) :]:
        ax.remove()
    words = [draw(i, ax, legend=False) for i, ax in zip(shown, axes.ravel(), strict=False)]
    handles, names = max((ax.get_legend_handles_labels() for ax in axes.ravel()), key=lambda h: len(h[0]))
    fig.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    return Explorer(controls, redraw, (fig, " ".join(words)))


def _draw_moment(view: MomentView, axes: NDArray[np.object_], *, small: bool = False) -> str:
    words = []
    for name, ax in zip(MODELS, axes, strict=True):
        title = f"{name}, epoch {view.epoch}" if small else f"{name} model after epoch {view.epoch}"
        right, wrong = view.shares[name]
        first = name == MODELS[0]
        words.append(
            plots.draw_label_histogram(view.edges, right, wrong, ax, title=title, legend=first and not small)
        )
        if not small:
            ax.set(xlabel=MEASURES[view.measure], ylabel="samples of each kind (%)" if first else "")
    told = [f"{name}: {_number(auc)}" for name, auc in view.table[["model", "auc"]].to_numpy()]
    return f"{' '.join(words)} AUC of the loss as a finder of wrong labels: {', '.join(told)}."


def _strip(last: int) -> list[int]:
    return sorted({1, (last + 3) // 4, (last + 1) // 2, last})


def _static_moments(start: MomentView, strip: Sequence[MomentView]) -> tuple[Figure, str]:
    """Draw the default position, and below it some epochs."""
    fig, _ = plots.figure(width=9.0, height=8.0)
    fig.clear()
    grid = fig.add_gridspec(3, 1, height_ratios=[2, 1, 1])
    top = grid[0].subgridspec(1, 2)
    alt = _draw_moment(start, np.array([fig.add_subplot(top[i]) for i in range(2)]))
    below = [grid[row].subgridspec(1, len(strip)) for row in (1, 2)]
    words = []
    for column, view in enumerate(strip):
        axes = np.array([fig.add_subplot(row[column]) for row in below])
        words.append(f"Epoch {view.epoch}: {_draw_moment(view, axes, small=True)}")
    return fig, f"{alt} Below it the same at other epochs. {' '.join(words)}"


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.0f} %"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"

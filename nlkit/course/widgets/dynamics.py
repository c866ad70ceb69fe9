"""Explorers of recorded training dynamics: a player over the epochs, and single samples' paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Drawn, Explorer, Still, check, share, shorten, table
from nlkit.study.cleaning import SMALLEST, label_losses, loss_separation

# What can be looked at: p(ỹ | x), or −log of it.
MEASURES = {"trust": "probability of the label", "loss": "loss of the label (nats)"}

BINS = 12


class MomentView(NamedTuple):
    """Both models after one epoch.

    Attributes
    ----------
    edges : ndarray, shape (B + 1,)
        Bounds of the bins.
    shares : dict of str to tuple of two ndarrays, shape (B,)
        For each model: share of the rightly, and of the wrongly labelled samples in each bin; all 0 where
        there are none.
    table : DataFrame
        One row a model: model; clean, mislabelled and corrected, as in `nlkit.course.plots.fitted_shares`;
        auc, the area under the ROC curve of the loss as a finder of wrong labels.
    """

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
    check("epoch", epoch, range(1, len(np.asarray(strong)) + 1))
    check("measure", measure, list(MEASURES))
    z, y = np.asarray(noisy_label, np.int64), np.asarray(label, np.int64)
    both = (z >= 0) & (y >= 0)
    edges = np.linspace(0, 1 if measure == "trust" else -np.log(SMALLEST), BINS + 1)
    shares, rows = {}, []
    for name, dynamics in (("strong", strong), ("weak", weak)):
        now = np.asarray(dynamics)[epoch - 1 : epoch]
        loss = label_losses(now, z)[0]
        value = np.exp(-loss) if measure == "trust" else loss
        right, wrong = (np.histogram(value[both & of], edges)[0] for of in (z == y, z != y))
        shares[name] = (right / max(1, right.sum()), wrong / max(1, wrong.sum()))
        fitted = plots.fitted_shares(now, z, y).iloc[0].drop("epoch")
        rows.append({"model": name, **fitted, "auc": loss_separation(now, z, y)[0]})
    return MomentView(edges, shares, pd.DataFrame(rows))


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

    def picture(axes: Sequence[Axes], epoch: int, measure: str, small: bool) -> tuple[str, pd.DataFrame]:
        view, words = compute_moment(s, w, noisy_label, label, epoch, measure), []
        for (name, shares), ax in zip(view.shares.items(), axes, strict=True):
            title = f"{name}, epoch {epoch}" if small else f"{name} model after epoch {epoch}"
            legend = name == "strong" and not small
            words.append(plots.draw_label_histogram(view.edges, *shares, ax, title=title, legend=legend))
            if not small:
                ax.set(xlabel=MEASURES[measure], ylabel="samples of each kind (%)" if legend else "")
        auc = ", ".join(f"{name}: {_number(auc)}" for name, auc in view.table[["model", "auc"]].to_numpy())
        return f"{' '.join(words)} AUC of the loss as a finder of wrong labels: {auc}.", view.table

    def draw(epoch: int, measure: str) -> Drawn:
        fig, axes = plots.figure(1, 2, 9.0, 3.6, margins=(0.07, 0.98, 0.15, 0.9))
        alt, found = picture(axes, epoch, measure, False)
        rows = [(name, *map(share, shares), _number(auc)) for name, *shares, auc in found.to_numpy()]
        head = (
            "model", "right labels fitted", "wrong labels fitted", "wrong labels: true class predicted",
            "AUC of the loss",
        )  # fmt: skip
        return fig, alt, table(rows, head, f"After epoch {epoch}")

    def static(epoch: int, measure: str) -> Still:
        strip = sorted({1, (last + 3) // 4, (last + 1) // 2, last})
        fig, (top, *rows) = plots.panels((2, len(strip), len(strip)), (2, 1, 1), 9.0, 8.0)
        alt, _ = picture(top, epoch, measure, False)
        columns = zip(strip, zip(*rows, strict=True), strict=True)
        words = [f"Epoch {at}: {picture(axes, at, measure, True)[0]}" for at, axes in columns]
        return fig, f"{alt} Below it the same at other epochs. {' '.join(words)}"

    controls = {
        "epoch": ("epoch", epoch, range(1, last + 1), f"of {last}"),
        "measure": ("what is shown", measure, [(name, key) for key, name in MEASURES.items()]),
    }
    explorer = Explorer(controls, draw, static, lines=5)
    # The browser moves the slider: no step waits for the kernel, and each redraws once.
    play = ipywidgets.Play(value=epoch, min=1, max=last, interval=900, description="play the epochs")
    ipywidgets.jslink((play, "value"), (explorer.controls["epoch"], "value"))
    explorer.box.children = (play, *explorer.box.children)
    return explorer


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
        labelled = "rightly labelled" if z[i] == y[i] else f"labelled {label_names[z[i]]}"
        return f"{label_names[y[i]]}, {labelled}"

    def picture(i: int, ax: Axes, legend: bool = True) -> str:
        labels = int(z[i]), int(y[i]), label_names
        return plots.draw_sample_path(s[:, i], w[:, i], *labels, ax, title=title(i), legend=legend)

    def draw(sample: int) -> Drawn:
        fig, ax = plots.figure(width=8.0, height=3.6, margins=(0.08, 0.7, 0.14, 0.9))
        row = (shorten(texts[sample], 400), label_names[y[sample]], label_names[z[sample]])
        below = table([row], ("text", "true label", "noisy label"), f"Sample {sample}")
        return fig, picture(sample, ax), below

    def static(sample: int) -> Still:
        shown = samples[:6]
        rows = -(-len(shown) // 3)
        fig, axes = plots.figure(rows, 3, width=10, height=0.6 + 2.5 * rows)
        for ax in axes.flat[len(shown) :]:
            ax.remove()
        words = [picture(i, ax, legend=False) for i, ax in zip(shown, axes.flat, strict=False)]
        handles, names = max((ax.get_legend_handles_labels() for ax in axes.flat), key=lambda h: len(h[0]))
        fig.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
        return fig, " ".join(words)

    options = [(f"{i}: {title(i)}", int(i)) for i in samples]
    return Explorer({"sample": ("sample", options[0][1], options)}, draw, static)


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"

"""What a model has learnt, and what it has memorised, over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nlkit.course.plots.figures import (
    HATCHES,
    LINE_MARKERS,
    PALETTE,
    STYLES,
    legend_beside,
    line_style,
    spread,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "draw_accuracy",
    "draw_fitted",
    "draw_label_histogram",
    "draw_sample_path",
    "draw_separation",
    "fitted_shares",
]


def draw_accuracy(curves: Mapping[str, ArrayLike], ax: Axes, *, chosen: int | None = None) -> str:
    """Draw accuracies over epochs, one line a name; each of E values.

    Parameters
    ----------
    curves : mapping of str to array, shape (E,)
        Shares between 0 and 1.
    chosen : int, optional
        Epoch (from 1) marked as the one that selection would take.
    """
    words = []
    for number, (name, values) in enumerate(curves.items()):
        y = 100 * np.asarray(values, np.float64)
        epoch = np.arange(1, len(y) + 1)
        ax.plot(epoch, y, **line_style(number), label=name, markersize=5)
        best = int(y.argmax())
        words.append(f"{name}: highest {y[best]:.0f} percent at epoch {best + 1}, at the end {y[-1]:.0f}")
    if chosen is not None:
        ax.axvline(
            chosen, color="0.3", linestyle="-.", linewidth=1, label=f"best by noisy validation: {chosen}"
        )
        words.append(f"the epoch best by noisy validation is {chosen}")
    ax.set(xlabel="epoch", ylabel="accuracy (%)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    spread(ax)
    return "Accuracy over the epochs. " + "; ".join(words) + "."


def fitted_shares(
    dynamics: Sequence[NDArray[Any]] | NDArray[Any], noisy_label: ArrayLike, label: ArrayLike
) -> pd.DataFrame:
    """Return how much of the training labels a model has fitted after each epoch.

    Parameters
    ----------
    dynamics : array, shape (E, N, C)
        Recorded training dynamics.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels; samples without one of them are left out.

    Returns
    -------
    DataFrame, one row an epoch
        clean: share of the rightly labelled samples predicted as labelled; mislabelled: share of the wrongly
        labelled ones predicted as (wrongly) labelled; corrected: share of those predicted as they truly are.
    """
    z, y = np.asarray(noisy_label, np.int64), np.asarray(label, np.int64)
    right, wrong = (z == y) & (y >= 0), (z != y) & (y >= 0) & (z >= 0)

    def share(hit: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
        return float(hit[of].mean()) if of.any() else float("nan")

    guesses = [np.asarray(p).argmax(1) for p in dynamics]
    return pd.DataFrame({
        "epoch": np.arange(1, len(guesses) + 1),
        "clean": [share(g == z, right) for g in guesses],
        "mislabelled": [share(g == z, wrong) for g in guesses],
        "corrected": [share(g == y, wrong) for g in guesses],
    })  # fmt: skip


def draw_fitted(shares: pd.DataFrame, ax: Axes, *, legend: bool = True) -> str:
    """Draw the table of `fitted_shares` over the epochs, with a legend inside unless told otherwise."""
    lines = {
        "clean": "right labels: fitted",
        "mislabelled": "wrong labels: fitted (memorised)",
        "corrected": "wrong labels: true class predicted",
    }
    for number, (column, name) in enumerate(lines.items()):
        ax.plot(
            shares["epoch"], 100 * shares[column], STYLES[number], color=PALETTE[(0, 3, 2)[number]],
            marker=LINE_MARKERS[number], markersize=5, label=name,
        )  # fmt: skip
    ax.set(xlabel="epoch", ylabel="training samples (%)", ylim=(-3, 103))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if legend:
        ax.legend(frameon=False)
    spread(ax)
    first, last = 100 * shares.iloc[0], 100 * shares.iloc[-1]
    return (
        f"Shares of the training samples over {len(shares)} epochs. Right labels fitted: "
        f"{first['clean']:.0f} percent after the first epoch, {last['clean']:.0f} after the last. Wrong "
        f"labels fitted, that is memorised: {first['mislabelled']:.0f}, then {last['mislabelled']:.0f} "
        f"percent. Wrong labels whose true class is predicted all the same: {first['corrected']:.0f}, then "
        f"{last['corrected']:.0f} percent."
    )


def draw_label_histogram(
    edges: ArrayLike, right: ArrayLike, wrong: ArrayLike, ax: Axes, *, title: str = "", legend: bool = True
) -> str:
    """Draw how some value is spread over the rightly and over the wrongly labelled samples, side by side.

    Parameters
    ----------
    edges : array, shape (B + 1,)
        Bounds of the B bins.
    right, wrong : array, shape (B,)
        Share of the rightly and of the wrongly labelled samples in each bin; all 0 where there are none.
    """
    bounds = np.asarray(edges, np.float64)
    width = np.diff(bounds)
    words = []
    for number, (name, share) in enumerate((("right labels", right), ("wrong labels", wrong))):
        height = 100 * np.asarray(share, np.float64)
        low = bounds[:-1] + width * (0.1 + 0.4 * number)
        high, ground = low + 0.4 * width, np.zeros(len(height))
        corners = np.stack(
            [np.stack(xy, -1) for xy in ((low, ground), (low, height), (high, height), (high, ground))], 1
        )  # (B, 4, 2)
        # One artist for all bars: a player redraws them often.
        bars = PolyCollection(
            list(corners), facecolor=PALETTE[(0, 3)[number]], hatch=HATCHES[number], edgecolor="black",
            linewidth=0.5, label=name,
        )  # fmt: skip
        ax.add_collection(bars, autolim=False)
        top = int(height.argmax())
        words.append(
            f"{name} mostly between {bounds[top]:.1f} and {bounds[top + 1]:.1f} ({height[top]:.0f} percent)"
            if height.any()
            else f"no {name}"
        )
    ax.set(xlim=(bounds[0], bounds[-1]), ylim=(0, 100), yticks=[0, 50, 100], title=title)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    if legend:
        ax.legend(frameon=False, loc="upper center")
    ax.spines[["top", "right"]].set_visible(False)
    return f"{title or 'Histogram'}: {'; '.join(words)}."


def draw_separation(curves: Mapping[str, ArrayLike], ax: Axes) -> str:
    """Draw the area under the ROC curve of the loss over the epochs, one line a name; each of E values."""
    words = []
    for number, (name, values) in enumerate(curves.items()):
        y = np.asarray(values, np.float64)
        ax.plot(np.arange(1, len(y) + 1), y, **line_style(number), label=name, markersize=5)
        words.append(
            f"{name}: highest {np.nanmax(y):.2f} at epoch {int(np.nanargmax(y)) + 1}, {y[-1]:.2f} at the end"
            if np.isfinite(y).any()
            else f"{name}: unknown"
        )
    ax.axhline(0.5, color="0.4", linestyle=(0, (1, 2)), linewidth=1, label="chance")
    ax.set(xlabel="epoch", ylabel="area under the ROC curve", ylim=(0, 1.03))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False, loc="lower left")
    spread(ax)
    return f"How well the loss tells wrong labels from right ones. {'; '.join(words)}."


def draw_sample_path(
    strong: ArrayLike, weak: ArrayLike, noisy_label: int, label: int, label_names: Sequence[str], ax: Axes,
    *, title: str = "", legend: bool = True,
) -> str:  # fmt: skip
    """Draw what both models give one sample's observed and its true label over the epochs.

    Parameters
    ----------
    strong, weak : array, shape (E, C)
        Class probabilities of this sample.
    noisy_label, label : int
        Observed and true class; with one and the same there is one line a model.
    """
    words = []
    for p, colour, marker, who in ((strong, PALETTE[0], "o", "strong"), (weak, PALETTE[1], "s", "weak")):
        values = np.asarray(p, np.float64)
        epoch = np.arange(1, len(values) + 1)
        ax.plot(
            epoch, values[:, noisy_label], "-", color=colour, marker=marker, markersize=5,
            label=f"{who}: observed label",
        )  # fmt: skip
        told = f"{who} model: observed label {label_names[noisy_label]} from {values[0, noisy_label]:.2f} to "
        told += f"{values[-1, noisy_label]:.2f}"
        if label != noisy_label:
            ax.plot(
                epoch, values[:, label], ":", color=colour, marker=marker, markersize=5, fillstyle="none",
                label=f"{who}: true label",
            )  # fmt: skip
            told += (
                f", true label {label_names[label]} from {values[0, label]:.2f} to {values[-1, label]:.2f}"
            )
        words.append(told)
    ax.set(xlabel="epoch", ylabel="probability", ylim=(-0.03, 1.03), title=title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if legend:
        legend_beside(ax)
    spread(ax)
    return f"One sample's probabilities over the epochs. {'; '.join(words)}."

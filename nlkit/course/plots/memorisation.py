"""What a model has learnt, and what it has memorised, over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nlkit.course.plots import look


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
        ax.plot(range(1, len(y) + 1), y, **look.line(number), label=name)
        best = int(y.argmax())
        words.append(f"{name}: highest {y[best]:.0f} percent at epoch {best + 1}, at the end {y[-1]:.0f}")
    if chosen is not None:
        label = f"best by noisy validation: {chosen}"
        ax.axvline(chosen, color="0.3", linestyle="-.", linewidth=1, label=label)
        words.append(f"the epoch best by noisy validation is {chosen}")
    look.finish(ax, xlabel="epoch", ylabel="accuracy (%)", legend=look.INSIDE)
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
    guess = np.stack([np.asarray(p).argmax(1) for p in dynamics])
    right, wrong = (z == y) & (y >= 0), (z != y) & (y >= 0) & (z >= 0)

    def share(target: NDArray[Any], of: NDArray[np.bool_]) -> Any:
        return (guess == target)[:, of].mean(1) if of.any() else np.nan

    return pd.DataFrame({
        "epoch": np.arange(1, len(guess) + 1), "clean": share(z, right), "mislabelled": share(z, wrong),
        "corrected": share(y, wrong),
    })  # fmt: skip


def draw_fitted(shares: pd.DataFrame, ax: Axes, *, legend: bool = True) -> str:
    """Draw the table of `fitted_shares` over the epochs, with a legend inside unless told otherwise."""
    lines = (
        ("clean", "right labels: fitted", 0), ("mislabelled", "wrong labels: fitted (memorised)", 3),
        ("corrected", "wrong labels: true class predicted", 2),
    )  # fmt: skip
    for number, (column, name, colour) in enumerate(lines):
        style = look.line(number, color=look.PALETTE[colour])
        ax.plot(shares["epoch"], 100 * shares[column], **style, label=name)
    ylabel, place = "training samples (%)", legend and look.INSIDE
    look.finish(ax, xlabel="epoch", ylabel=ylabel, ylim=(-3, 103), legend=place)
    first, last = 100 * shares.iloc[0], 100 * shares.iloc[-1]
    return (
        f"Shares of the training samples over {len(shares)} epochs. Right labels fitted: "
        f"{first['clean']:.0f} percent after the first epoch, {last['clean']:.0f} after the last. Wrong "
        f"labels fitted, that is memorised: {first['mislabelled']:.0f}, then {last['mislabelled']:.0f} "
        f"percent. Wrong labels whose true class is predicted all the same: {first['corrected']:.0f}, then "
        f"{last['corrected']:.0f} percent."
    )


def draw_fitted_pace(curves: pd.DataFrame, ax: Axes) -> str:
    """Draw the wrong labels that are fitted over the right ones that are, a mark an epoch, a line a noise.

    Parameters
    ----------
    curves : DataFrame
        noise, epoch, and from `fitted_shares` clean and mislabelled: shares of the right and of the wrong
        labels that the model predicts. On the diagonal wrong labels are learnt as fast as right ones.

    Returns
    -------
    str
        The figure in words.
    """
    ax.plot([0, 100], [0, 100], **look.DIAGONAL, label="as fast as right ones")
    words = []
    for number, (name, own) in enumerate(curves.sort_values("epoch").groupby("noise", sort=False)):
        right, wrong = 100 * own[["clean", "mislabelled"]].to_numpy().T
        ax.plot(right, wrong, **look.line(number), label=name)
        middle = len(own) // 2
        words.append(
            f"{name}: after half of the epochs {wrong[middle]:.0f} percent of the wrong and "
            f"{right[middle]:.0f} of the right labels, at the end {wrong[-1]:.0f} and {right[-1]:.0f}"
        )
    ax.set(xlabel="right labels fitted (%)", ylabel="wrong labels fitted (%)")
    look.finish(ax, xlim=(0, 103), ylim=(-3, 103), legend={"loc": "upper left"})
    return "Wrong labels fitted over right labels fitted, epoch by epoch. " + "; ".join(words) + "."


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
    words = []
    for name, share, style, left in (("right", right, look.RIGHT, 0.1), ("wrong", wrong, look.WRONG, 0.5)):
        height = 100 * np.asarray(share, np.float64)
        # One artist for all bars, because a player redraws them often: a staircase with steps down to 0.
        inner = bounds[:-1, None] + np.outer(np.diff(bounds), [0, left, left + 0.4])
        steps = np.outer(height, [0, 1, 0]).ravel()
        outer = [*inner.ravel(), bounds[-1]]
        ax.stairs(steps, outer, fill=True, label=f"{name} labels", **look.EDGE, **style)
        top = int(height.argmax())
        mostly = f"between {bounds[top]:.1f} and {bounds[top + 1]:.1f} ({height[top]:.0f} percent)"
        words.append(f"{name} labels mostly {mostly}" if height.any() else f"no {name} labels")
    place = legend and {"loc": "upper center"}
    look.finish(ax, grid=False, xlim=bounds[[0, -1]], ylim=(0, 100), title=title, legend=place)
    ax.set_yticks([0, 50, 100])
    ax.xaxis.set_major_locator(MaxNLocator(3))
    return f"{title or 'Histogram'}: {'; '.join(words)}."


def draw_separation(curves: Mapping[str, ArrayLike], ax: Axes) -> str:
    """Draw the area under the ROC curve of the loss over the epochs, one line a name; each of E values."""
    words = []
    for number, (name, values) in enumerate(curves.items()):
        y = np.asarray(values, np.float64)
        ax.plot(range(1, len(y) + 1), y, **look.line(number), label=name)
        if np.isfinite(y).any():
            at = np.nanargmax(y)
            words.append(f"{name}: highest {y[at]:.2f} at epoch {at + 1}, {y[-1]:.2f} at the end")
        else:
            words.append(f"{name}: unknown")
    ax.axhline(0.5, **look.DIAGONAL, label="chance")
    ylabel, place = "area under the ROC curve", {"loc": "lower left"}
    look.finish(ax, xlabel="epoch", ylabel=ylabel, ylim=(0, 1.03), legend=place)
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
    for (name, style), values in zip(look.MODELS.items(), (strong, weak), strict=True):
        p = np.asarray(values, np.float64).T
        observed, true = p[noisy_label], None if label == noisy_label else p[label]
        labels = (f"{name}: observed label", f"{name}: true label")
        look.pair(ax, range(1, len(observed) + 1), observed, true, labels, ":", **style)
        told = f"observed label {label_names[noisy_label]} from {observed[0]:.2f} to {observed[-1]:.2f}"
        if true is not None:
            told += f", true label {label_names[label]} from {true[0]:.2f} to {true[-1]:.2f}"
        words.append(f"{name} model: {told}")
    place = legend and look.BESIDE
    look.finish(ax, xlabel="epoch", ylabel="probability", ylim=(-0.03, 1.03), title=title, legend=place)
    return f"One sample's probabilities over the epochs. {'; '.join(words)}."

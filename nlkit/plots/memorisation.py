"""What a model has learnt, and what it has memorised, over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nlkit.plots.figures import LINE_MARKERS, PALETTE, STYLES, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_accuracy", "draw_fitted", "fitted_shares"]


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
        ax.plot(
            epoch, y, STYLES[number % len(STYLES)], color=PALETTE[number], label=name,
            marker=LINE_MARKERS[number % len(LINE_MARKERS)], markersize=5,
        )  # fmt: skip
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


def draw_fitted(shares: pd.DataFrame, ax: Axes) -> str:
    """Draw the table of `fitted_shares` over the epochs."""
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

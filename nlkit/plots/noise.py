"""The transition matrix, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_transition_matrix"]


def draw_transition_matrix(
    matrix: ArrayLike, label_names: Sequence[str], ax: Axes, *, title: str = "", numbers: bool = True
) -> str:
    """Draw T, shape (C, C): T[i, j] = P(noisy label = j | true label = i), rows sum to 1 (or are NaN).

    Returns
    -------
    str
        The figure in words.
    """
    T = np.asarray(matrix, np.float64)
    if T.shape != (len(label_names), len(label_names)):
        raise ValueError(f"matrix has shape {T.shape}; with {len(label_names)} names it must be square")
    C = len(T)
    ax.imshow(np.nan_to_num(T), cmap="cividis", vmin=0, vmax=1)
    if numbers:
        for i, j in np.ndindex(C, C):
            if T[i, j] >= 0.005:
                ax.text(
                    j, i, f"{100 * T[i, j]:.0f}", ha="center", va="center", fontsize=8,
                    color="black" if T[i, j] > 0.55 else "white",
                )  # fmt: skip
        ax.set_xticks(range(C), label_names, rotation=45, ha="right")
        ax.set_yticks(range(C), label_names)
        ax.set_xlabel("noisy label (percent of each row)")
        ax.set_ylabel("true label")
    else:
        ax.set_xticks([])
        ax.set_yticks([])
    ax.set_title(title)
    off = T.copy()
    np.fill_diagonal(off, -1.0)
    off = np.nan_to_num(off, nan=-1.0)
    i, j = divmod(int(off.argmax()), C)
    kept = np.diag(T)[~np.isnan(np.diag(T))]
    return (
        f"Transition matrix{f' ({title})' if title else ''} of {C} classes. Rows are true labels, columns "
        f"noisy labels. Between {100 * kept.min():.0f} and {100 * kept.max():.0f} percent of a class keep "
        f"their label; the most frequent mistake is {label_names[i]} labelled {label_names[j]}, "
        f"{100 * max(off[i, j], 0):.0f} percent of its row."
    )

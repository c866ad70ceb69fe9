"""Explorer of label noise: its kind and rate, the transition matrix, and texts with a wrong label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nlkit import plots
from nlkit._util import reject
from nlkit.noise import KINDS, Kind, add_noise, noise_report
from nlkit.widgets.explorer import Explorer, choice, shorten, slider, table

if TYPE_CHECKING:
    from datasets import DatasetDict
    from matplotlib.figure import Figure

__all__ = ["NoiseView", "compute_noise", "examples_table", "noise_explorer"]


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
    shown_texts = pd.DataFrame({
        "text": [noisy[int(i)]["text"] for i in shown],
        "label": [names[true[i]] for i in shown],
        "noisy_label": [names[seen[i]] for i in shown],
    })  # fmt: skip
    return NoiseView(kind, rate, names, measured.matrix, measured.rate, shown_texts)


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
        "kind": choice("kind of noise", kind, KINDS),
        "rate": slider("noise rate", rate, 0.0, 1.0, 0.05),
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
    rows = [(shorten(t), y, z) for t, y, z in view.examples.itertuples(index=False)]
    return table(rows, ("text", "true label", "noisy label"), "Some texts with a wrong label")


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

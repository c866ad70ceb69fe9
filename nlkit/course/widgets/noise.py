"""Explorer of label noise: kind, rate and a pair of classes; the transition matrix, texts of the pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.plots.noise import name_size
from nlkit.course.widgets.explorer import Explorer, choice, shorten, slider, table
from nlkit.noise import KINDS, add_noise, instance_probabilities, noise_report
from nlkit.noise.making import Kind

if TYPE_CHECKING:
    from datasets import DatasetDict
    from matplotlib.figure import Figure

__all__ = ["NoiseView", "compute_noise", "examples_table", "noise_explorer"]

WIDTH, HEIGHT = 5.6, 5.0  # inches

ANY = -1
"""Stands for every class where one could be chosen."""


@dataclass(frozen=True)
class NoiseView:
    """Noise of one kind and rate on a training split, and the texts of one pair of classes.

    Attributes
    ----------
    matrix : ndarray, shape (C, C)
        Measured: [i, j] is the share of class i labelled j; rows sum to 1.
    achieved
        Share of wrong labels.
    pair : tuple of two ints
        True and noisy class whose texts are shown; −1 is any class. (−1, −1): all wrong labels.
    found
        How many texts the pair has.
    examples : DataFrame
        A few of them: text, label, noisy_label (names).
    """

    kind: str
    rate: float
    label_names: tuple[str, ...]
    matrix: np.ndarray
    achieved: float
    pair: tuple[int, int]
    found: int
    examples: pd.DataFrame


def compute_noise(
    ds: DatasetDict, kind: Kind, rate: float, seed: int = 0, examples: int = 4,
    pair: tuple[int, int] = (ANY, ANY), probabilities: Mapping[str, ArrayLike] | None = None,
) -> NoiseView:  # fmt: skip
    """Add noise to the training split, measure it, and look at a pair of classes.

    `probabilities` is what `nlkit.noise.instance_probabilities` returned for the training split: with it the
    instance-dependent kind trains nothing.
    """
    noisy = add_noise(
        type(ds)(train=ds["train"]), kind=kind, rate=rate, seed=seed,
        probabilities=probabilities if kind == "instance" else None,
    )["train"]  # fmt: skip
    measured = noise_report(noisy)
    names, (i, j) = measured.class_names, pair
    if not all(ANY <= c < len(names) for c in pair):
        invalid("pair", pair, f"two classes from 0 to {len(names) - 1}, or {ANY} for any")
    true, seen = (np.asarray(noisy[name][:], np.int64) for name in ("label", "noisy_label"))
    # The same class twice means the texts that kept its label; "any" means wrong labels only.
    chosen = (true >= 0) & (seen >= 0) & ((true == seen) if i == j != ANY else (true != seen))
    chosen &= (i == ANY) | (true == i)
    chosen &= (j == ANY) | (seen == j)
    of_pair = np.flatnonzero(chosen)
    shown = np.sort(np.random.default_rng(seed).permutation(of_pair)[:examples])
    shown_texts = pd.DataFrame({
        "text": [noisy[int(row)]["text"] for row in shown],
        "label": [names[true[row]] for row in shown],
        "noisy_label": [names[seen[row]] for row in shown],
    })  # fmt: skip
    return NoiseView(kind, rate, names, measured.matrix, measured.rate, pair, len(of_pair), shown_texts)


def noise_explorer(
    ds: DatasetDict, *, kind: str = "symmetric", rate: float = 0.4, pair: tuple[int, int] = (ANY, ANY),
    seed: int = 0, examples: int = 4,
) -> Explorer:  # fmt: skip
    """Choose kind and rate of the noise and a pair of classes; see the matrix, and texts of that pair.

    Parameters
    ----------
    ds : DatasetDict
        With ``label`` in its split "train"; it is not changed.
    kind, rate
        Where the controls stand first.
    pair : tuple of two ints
        True and noisy class, where the controls stand first; −1 is any.
    seed, examples
        Of the noise, and how many texts are shown.
    """
    if kind not in KINDS:
        invalid("kind", kind, f"one of {', '.join(KINDS)}")
    if not 0 <= rate <= 1:
        invalid("rate", rate, "a number from 0 to 1")
    # Once: it is the same classifier at every rate.
    given = instance_probabilities(type(ds)(train=ds["train"]), seed=seed)
    default: Any = compute_noise(ds, kind, rate, seed, examples, pair, given)  # type: ignore[arg-type]
    classes = [("any", ANY), *((name, number) for number, name in enumerate(default.label_names))]
    controls = {
        "kind": choice("kind of noise", kind, KINDS),
        "rate": slider("noise rate", rate, 0.0, 1.0, 0.05),
        "true": choice("true class i", pair[0], classes),
        "noisy": choice("noisy label j", pair[1], classes),
    }

    def redraw() -> tuple[Figure, str, str]:
        at = {name: control.value for name, control in controls.items()}
        view = compute_noise(ds, at["kind"], at["rate"], seed, examples, (at["true"], at["noisy"]), given)
        fig, ax = plots.figure(width=WIDTH, height=HEIGHT, margins=matrix_margins(view.label_names))
        mark = view.pair if ANY not in view.pair else None
        alt = plots.draw_transition_matrix(
            view.matrix, view.label_names, ax, title=_noise_title(view), mark=mark
        )
        return fig, alt, examples_table(view)

    return Explorer(controls, redraw, _static_noise(ds, default, seed, given))


def matrix_margins(names: Sequence[str]) -> tuple[float, float, float, float]:
    """Return margins that leave room for the class names: left, right, bottom, top."""
    longest = 0.6 * name_size(len(names)) * max(len(name) for name in names) / 72  # inches
    return 0.08 + longest / WIDTH, 0.97, 0.11 + longest / HEIGHT, 0.93


def _noise_title(view: NoiseView) -> str:
    return f"{view.kind} {view.rate:g}: {100 * view.achieved:.1f} % wrong"


def examples_table(view: NoiseView) -> str:
    """Return the examples as an HTML table, escaped; its caption says what share of a class they are."""
    rows = [(shorten(t), y, z) for t, y, z in view.examples.itertuples(index=False)]
    i, j = ("any class" if c == ANY else view.label_names[c] for c in view.pair)
    what = "Some texts with a wrong label"
    if ANY not in view.pair:
        share = view.matrix[view.pair]
        known = "unknown, there is no such text" if np.isnan(share) else f"{share:.3f} here"
        what = f"P({j} | {i}) is {known}. Texts of class {i} labelled {j}"
    elif view.pair != (ANY, ANY):
        what = f"Texts of {i} wrongly labelled {j}"
    return table(rows, ("text", "true label", "noisy label"), f"{what}: {len(rows)} of {view.found}")


def _static_noise(
    ds: DatasetDict, default: NoiseView, seed: int, given: Mapping[str, ArrayLike]
) -> tuple[Figure, str]:
    """Draw the default position, and below it every kind at three rates."""
    fig, _ = plots.figure(width=7.5, height=9.5)
    fig.clear()
    grid = fig.add_gridspec(1 + len(KINDS), 3, height_ratios=[2.4] + [1] * len(KINDS))
    alt = plots.draw_transition_matrix(
        default.matrix, default.label_names, fig.add_subplot(grid[0, :]), title=_noise_title(default),
        mark=default.pair if ANY not in default.pair else None,
    )  # fmt: skip
    for row, other in enumerate(KINDS, start=1):
        for column, value in enumerate((0.1, 0.4, 0.7)):
            view = compute_noise(ds, other, value, seed, probabilities=given)  # type: ignore[arg-type]
            ax = fig.add_subplot(grid[row, column])
            plots.draw_transition_matrix(
                view.matrix, view.label_names, ax, title=f"{other} {value:g}", numbers=False
            )
    return fig, (
        f"{alt} Below it small matrices for the kinds {', '.join(KINDS)} at rates 0.1, 0.4 and 0.7: "
        "symmetric noise spreads evenly over all other classes, asymmetric noise goes to one other class, "
        "and instance-dependent noise goes to the classes that the texts resemble."
    )

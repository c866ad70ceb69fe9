"""Explorer of label noise: kind, rate and a pair of classes; the transition matrix, texts of the pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from datasets import DatasetDict
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nlkit.course import plots
from nlkit.course.plots.noise import name_size
from nlkit.course.widgets.explorer import Drawn, Explorer, Span, Still, check, name_of, shorten, table
from nlkit.noise import KINDS, add_noise, instance_probabilities, noise_report
from nlkit.noise.making import Kind

BELOW = (
    "at rates 0.1, 0.4 and 0.7: symmetric noise spreads evenly over all other classes, asymmetric noise goes "
    "to one other class, and instance-dependent noise goes to the classes that the texts resemble."
)

# Stands for every class where one could be chosen.
ANY = -1


class NoiseView(NamedTuple):
    """Noise of one kind and rate on a training split, and the texts of one pair of classes.

    Attributes
    ----------
    label_names : tuple of C strings
    matrix : ndarray, shape (C, C)
        Measured: [i, j] is the share of class i labelled j; rows sum to 1.
    achieved
        Share of wrong labels.
    found
        How many texts the pair has.
    examples : DataFrame
        A few of them: text, label, noisy_label (names).
    """

    label_names: tuple[str, ...]
    matrix: np.ndarray
    achieved: float
    found: int
    examples: pd.DataFrame


def compute_noise(
    ds: DatasetDict, kind: Kind, rate: float, seed: int = 0, examples: int = 4,
    pair: tuple[int, int] = (ANY, ANY), probabilities: Mapping[str, ArrayLike] | None = None,
) -> NoiseView:  # fmt: skip
    """Add noise to the training split, measure it, and look at a pair of classes.

    `pair` is the true and the noisy class whose texts are examples; −1 is any class, (−1, −1) all wrong
    labels. `probabilities` is what `nlkit.noise.instance_probabilities` returned for the training split: with
    it the instance-dependent kind trains nothing.
    """
    noisy = add_noise(
        DatasetDict(train=ds["train"]), kind=kind, rate=rate, seed=seed,
        probabilities=probabilities if kind == "instance" else None,
    )["train"]  # fmt: skip
    measured = noise_report(noisy)
    names, (i, j) = measured.class_names, pair
    for c in pair:
        check("pair", c, range(ANY, len(names)))
    true, seen = (np.asarray(noisy[name][:], np.int64) for name in ("label", "noisy_label"))
    # The same class twice means the texts that kept its label; "any" means wrong labels only.
    chosen = (true >= 0) & (seen >= 0) & ((true == seen) if i == j != ANY else (true != seen))
    of_pair = np.flatnonzero(chosen & ((i == ANY) | (true == i)) & ((j == ANY) | (seen == j)))
    shown = np.sort(np.random.default_rng(seed).permutation(of_pair)[:examples]).tolist()
    texts = [(noisy[row]["text"], names[true[row]], names[seen[row]]) for row in shown]
    table = pd.DataFrame(texts, columns=["text", "label", "noisy_label"])
    return NoiseView(names, measured.matrix, measured.rate, len(of_pair), table)


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
    # Once: it is the same classifier at every rate.
    given = instance_probabilities(DatasetDict(train=ds["train"]), seed=seed)
    names: list[str] = ds["train"].features["label"].names

    def compute(kind: Any, rate: float, true: int, noisy: int) -> NoiseView:
        return compute_noise(ds, kind, rate, seed, examples, (true, noisy), given)

    def picture(view: NoiseView, ax: Axes, kind: str, rate: float, true: int, noisy: int) -> str:
        return plots.draw_transition_matrix(
            view.matrix, names, ax, title=f"{kind} {rate:g}: {100 * view.achieved:.1f} % wrong",
            mark=None if ANY in (true, noisy) else (true, noisy), aspect="auto",
        )  # fmt: skip

    def draw(**at: Any) -> Drawn:
        view = compute(**at)
        fig, ax = matrix_figure(names)
        return fig, picture(view, ax, **at), _examples(view, at["true"], at["noisy"])

    def static(**at: Any) -> Still:
        fig, ((top,), *rows) = plots.panels([1] + [3] * len(KINDS), [2.4] + [1] * len(KINDS), 7.5, 9.5)
        alt = picture(compute(**at), top, **at)
        for other, axes in zip(KINDS, rows, strict=True):
            for ax, value in zip(axes, (0.1, 0.4, 0.7), strict=True):
                small = compute(other, value, ANY, ANY).matrix
                plots.draw_transition_matrix(small, names, ax, title=f"{other} {value:g}", numbers=False)
        return fig, f"{alt} Below it small matrices for the kinds {', '.join(KINDS)} {BELOW}"

    classes = [("any", ANY), *((name, number) for number, name in enumerate(names))]
    controls = {
        "kind": ("kind of noise", kind, KINDS),
        "rate": ("noise rate", rate, Span(0.0, 1.0, 0.05), "of the labels"),
        "true": ("true class i", pair[0], classes),
        "noisy": ("noisy label j", pair[1], classes),
    }
    return Explorer(controls, draw, static)


def matrix_figure(names: Sequence[str]) -> tuple[Figure, Axes]:
    """Return a figure for a matrix, with margins that leave room for the class names."""
    width, height = 9.4, 4.4  # inches
    longest = 0.6 * name_size(len(names)) * min(24, max(len(name) for name in names)) / 72
    margins = (0.05 + longest / width, 0.94, 0.13 + 0.75 * longest / height, 0.93)
    return plots.figure(width=width, height=height, margins=margins)


def _examples(view: NoiseView, true: int, noisy: int) -> str:
    """Return the examples as an HTML table, escaped; its caption says what share of a class they are."""
    i, j = (name_of(c, view.label_names, "any class") for c in (true, noisy))
    what = "Some texts with a wrong label"
    if ANY not in (true, noisy):
        found = view.matrix[true, noisy]
        known = "unknown, there is no such text" if np.isnan(found) else f"{found:.3f} here"
        what = f"P({j} | {i}) is {known}. Texts of class {i} labelled {j}"
    elif (true, noisy) != (ANY, ANY):
        what = f"Texts of {i} wrongly labelled {j}"
    rows = [(shorten(text), *labels) for text, *labels in view.examples.itertuples(index=False)]
    return table(rows, ("text", "true label", "noisy label"), f"{what}: {len(rows)} of {view.found}")

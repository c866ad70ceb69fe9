"""Exercises that ask for a function: checked by laws on drawn cases, and against nlkit's own.

A `Task` calls the student's function with cases drawn from fixed seeds. First come the laws, which say in
words what every right solution keeps; then its results are compared with a twin, which hands the case to the
package's function or to the method's one-page version. The twins' names and parameters are those that the
notebooks ask for.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from nlkit.course.check.exercise import Exercise, Feedback

__all__ = ["TASKS", "Law", "Task", "Wanted"]

CASES = 40
Function = Callable[..., NDArray[Any]]
Law = tuple[str, Callable[[Function, NDArray[Any], Any], bool]]
"""What holds, in words; whether it does, by the function, its result, and the case."""


class Wanted(NamedTuple):
    """What a function has to do."""

    twin: Callable[..., Any]
    """The same by nlkit, with the parameters that the notebook gives the function."""
    draw: Callable[[Generator], tuple[Any, ...]]
    """Draws a case: the arguments in order."""
    laws: Sequence[Law]


@dataclass(eq=False)
class Task(Exercise):
    """Called with a function; says in which case it does what it should not.

    Attributes
    ----------
    _task
        A key of `TASKS`.
    """

    _task: str = field(repr=False)

    def _look(self, answer: Any) -> Feedback:
        """Call the function with drawn cases; what it raises is feedback, and what nlkit raises is not."""
        twin, draw, laws = TASKS[self._task]
        if not callable(answer):
            return Feedback(
                False, f"give your function {self._task} itself, without calling it.", counts=False
            )
        for seed in range(CASES):
            case = draw(np.random.default_rng(seed))
            wanted = np.asarray(twin(*case))
            try:
                found = _quietly(answer)(*case)
                if found.dtype == object and (found == None).any():  # noqa: E711
                    message = f"give your function something to return; {self.name}.hint() helps to begin."
                    return Feedback(False, message, counts=False)
                problem = _problem(_quietly(answer), found, wanted, case, laws)
            except Exception as error:  # the student's own
                problem = f"it raises {type(error).__name__}: {str(error)[:200] or 'without a message'}"
            if problem:
                return Feedback(False, f"{problem}.\nSeen with {_told(twin, case)}")
        return Feedback(True, f"{self._why} ({CASES} drawn cases agree.)")


def _quietly(function: Callable[..., Any]) -> Function:
    """Return the function as one that changes no argument, prints nothing, and returns an array."""

    def call(*case: Any) -> NDArray[Any]:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return np.asarray(function(*copy.deepcopy(case)))

    return call


def _problem(f: Function, found: NDArray[Any], wanted: NDArray[Any], case: Any, laws: Sequence[Law]) -> str:
    """Return what is wrong with a result, or ""."""
    if found.shape != wanted.shape:
        return f"the result has shape {found.shape}; it should be {wanted.shape}"
    if wanted.dtype.kind != "U":
        found = found.astype(np.float64)
    for law, holds in laws:
        if not holds(f, found, case):
            return f"{law}; yours is {_short(found)}"
    same = (
        np.array_equal(found, wanted) if wanted.dtype.kind == "U" else np.allclose(found, wanted, atol=1e-5)
    )
    return "" if same else f"yours is {_short(found)}, nlkit's is {_short(wanted)}"


def _told(twin: Callable[..., Any], case: tuple[Any, ...]) -> str:
    names = inspect.signature(twin).parameters
    return ", ".join(f"{name} = {_short(value)}" for name, value in zip(names, case, strict=True))


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    shown = np.array2string(np.asarray(value), precision=3, separator=", ", threshold=60, suppress_small=True)
    return " ".join(shown.split())


def _shares(rng: Generator, *shape: int) -> NDArray[np.float64]:
    """Draw probability vectors: the last axis sums to 1."""
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def _sums_to_one(_: Function, found: NDArray[Any], __: Any) -> bool:
    return bool(np.allclose(found.sum(-1), 1))


def _between(_: Function, found: NDArray[Any], __: Any) -> bool:
    return bool((found >= 0).all() and (found <= 1).all())


LENGTHS = np.array([[1], [9], [1], [5], [1]])
SUM = ("shares should sum to 1", _sums_to_one)
SHARE = ("it should lie between 0 and 1", _between)


def corrected(before: Any, after: Any, true: Any) -> Any:
    """Return (correction rate, harm rate): 00."""
    from nlkit.metrics import correction_report

    report = correction_report(before, after, true)
    return report["correction_rate"], report["harm_rate"]


def _labels(rng: Generator) -> tuple[Any, ...]:
    true = np.concatenate([[0, 1], rng.integers(3, size=4)])
    before = np.concatenate([[0, 2], rng.integers(3, size=4)])  # one right, one wrong at least
    return before, rng.integers(3, size=6), true


def symmetric(classes: Any, rate: Any) -> Any:
    """Return the transition matrix of symmetric noise, (C, C), rows sum to 1: 01."""
    from nlkit.noise import transition_matrix

    return transition_matrix("symmetric", classes, rate)


def auc(losses: Any, wrong: Any) -> Any:
    """Return how often a wrong label has a larger loss than a right one, ties counting one half: 02."""
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(wrong, losses)


def _losses(rng: Generator) -> tuple[Any, ...]:
    wrong = np.concatenate([[True, False], rng.random(4) < 0.5])
    return rng.integers(1, 6, size=6) / 2, wrong  # with ties


def which_set(p_s: Any, p_w: Any, label: Any, tau_s: Any, tau_w: Any, margin: Any) -> Any:
    """Return "R", "H" or "P" of one text: 03."""
    from nlkit.methods.noiseal.plain import partition

    return partition([p_s], [p_w], [label], [tau_s], [tau_w], margin, 1.0)[0][0]


def _one_text(rng: Generator) -> tuple[Any, ...]:
    p_s, p_w = _shares(rng, 2, 3) ** 2
    tau = rng.uniform(0.05, 0.7, 2)
    return p_s / p_s.sum(), p_w / p_w.sum(), int(rng.integers(3)), *tau.tolist(), float(rng.uniform(0, 0.3))


def nearest(vector: Any, pool: Any, k: Any) -> Any:
    """Return the numbers of the k rows of a pool (P, D) most similar to a vector (D,), nearest last: 04."""
    from nlkit.annotate.demonstrations import nearest as of_many

    return of_many(vector[None], pool, k)[0]


def reverse_cross_entropy(p: Any, q: Any, log_zero: Any) -> Any:
    """Return −Σ_c p_c log q_c with log 0 := A, of prediction and target (C,): 05."""
    import torch

    from nlkit.methods.noiseal.plain import reverse_cross_entropy as of_logits

    return of_logits(torch.tensor(p).log(), torch.tensor(q), log_zero).item()


def _prediction(rng: Generator) -> tuple[Any, ...]:
    target = np.eye(3)[rng.integers(3)] if rng.random() < 0.5 else _shares(rng, 3)
    return _shares(rng, 3), target, float(-rng.uniform(2, 6))


def calibrate(p: Any, empty: Any) -> Any:
    """Return the probabilities (C,) with what is said about an empty text divided out: 06."""
    from nlkit.annotate.local import calibrate as of_logarithms

    return of_logarithms(np.log(p)[None], np.log(empty))[0]


def vote(labels: Any, distances: Any, classes: Any) -> Any:
    """Return each class's share (C,) of the votes of K neighbours, by 1 / distance: 07."""
    from nlkit.methods.sidyp.prior import vote_shares

    return vote_shares(np.arange(len(labels))[None], distances[None], labels, classes)[0]


def step_back(p: Any, level: Any, noise: Any, scale: Any) -> Any:
    """Return s_{t−1} (C,) from the denoiser's probabilities, ᾱ_{t−1}, ε and k: 08."""
    import torch

    from nlkit.methods.sidyp.plain import q_sample, to_simplex

    corner = to_simplex(torch.tensor(p.argmax()), len(p), scale)
    return q_sample(corner, torch.tensor(level), torch.tensor(noise), scale).numpy()


def ece(p: Any, label: Any, bins: Any) -> Any:
    """Return the expected calibration error of predictions (N, C): 09."""
    from nlkit.metrics import ece as of_package

    return of_package(p, label, bins=bins)


def interval(values: Any, drawn: Any, level: Any) -> Any:
    """Return both ends of the percentile bootstrap; drawn (D, N) has the numbers of each draw: 10."""
    return np.quantile(values[drawn].mean(1), [(1 - level) / 2, (1 + level) / 2])


def _order(f: Function, found: NDArray[Any], case: Any) -> bool:
    p, label, bins = case
    return np.allclose(f(p[::-1], label[::-1], bins), found)


TASKS = {
    "corrected": Wanted(corrected, _labels, [
        SHARE,
        ("labels that nobody changed have no correction and no harm",
         lambda f, found, case: np.allclose(f(case[0], case[0], case[2]), 0)),
        ("where all are right afterwards, the correction rate is 1 and the harm rate 0",
         lambda f, found, case: np.allclose(f(case[0], case[2], case[2]), [1, 0])),
    ]),
    "symmetric": Wanted(symmetric, lambda rng: (int(rng.integers(2, 7)), float(rng.random())), [
        ("each row should sum to 1", _sums_to_one),
        ("no entry may be negative", lambda f, found, case: bool((found >= 0).all())),
        ("a label should stay what it is with probability 1 − rate",
         lambda f, found, case: np.allclose(np.diag(found), 1 - case[1])),
    ]),
    "auc": Wanted(auc, _losses, [
        SHARE,
        ("only the order of the losses may count: ten times each should give the same",
         lambda f, found, case: np.allclose(f(10 * case[0], case[1]), found)),
        ("with wrong and right exchanged it should be 1 minus this",
         lambda f, found, case: np.allclose(f(case[0], ~case[1]), 1 - found)),
    ]),
    "which_set": Wanted(which_set, _one_text, [
        ('it should be "R", "H" or "P"', lambda f, found, case: found in ("R", "H", "P")),
        ("with the two models exchanged it should be the same",
         lambda f, found, case: f(case[1], case[0], case[2], case[4], case[3], case[5]) == found),
        ("with thresholds of 0 any text should be in R",
         lambda f, found, case: f(*case[:3], 0.0, 0.0, case[5]) == "R"),
        ("with thresholds of 1 no text can be in R",
         lambda f, found, case: f(*case[:3], 1.0, 1.0, case[5]) == "H"),
    ]),
    "nearest": Wanted(
        nearest, lambda rng: (rng.normal(size=2), rng.normal(size=(5, 2)), int(rng.integers(1, 5))), [
        ("the k numbers should be different rows of the pool",
         lambda f, found, case: set(found) <= set(range(5)) and len(set(found)) == case[2]),
        ("the length of the vector should make no difference",
         lambda f, found, case: np.array_equal(f(3 * case[0], *case[1:]), found)),
        ("the lengths of the pool's vectors should make no difference",
         lambda f, found, case: np.array_equal(f(case[0], case[1] * LENGTHS, case[2]), found)),
    ]),
    "reverse_cross_entropy": Wanted(reverse_cross_entropy, _prediction, [
        ("it should be a finite number", lambda f, found, case: bool(np.isfinite(found))),
        ("it should be 0 where the model is sure of a sure answer",
         lambda f, found, case: np.allclose(f(np.eye(3)[1], np.eye(3)[1], case[2]), 0)),
        ("it should lie between 0 and −A",
         lambda f, found, case: -1e-9 <= found <= -case[2] + 1e-9),
    ]),
    "calibrate": Wanted(calibrate, lambda rng: tuple(_shares(rng, 2, 3)), [
        SUM,
        ("where the answer about an empty text is even, nothing should change",
         lambda f, found, case: np.allclose(f(case[0], np.full(3, 1 / 3)), case[0])),
        ("an answer that is nothing but habit should come out even",
         lambda f, found, case: np.allclose(f(case[1], case[1]), 1 / 3)),
    ]),
    "vote": Wanted(vote, lambda rng: (rng.integers(3, size=4), rng.uniform(0.2, 2, 4), 4), [
        SUM,
        ("a class that no neighbour has should get 0", lambda f, found, case: found[3] == 0),
        ("with all distances doubled the shares should be the same",
         lambda f, found, case: np.allclose(f(case[0], 2 * case[1], case[2]), found)),
    ]),
    "step_back": Wanted(
        step_back,
        lambda rng: (_shares(rng, 3), float(rng.random()), rng.normal(size=3), float(rng.integers(1, 8))), [
        ("at ᾱ = 1 noise should make no difference",
         lambda f, found, case: np.allclose(f(case[0], 1.0, -case[2], case[3]), f(case[0], 1.0, *case[2:]))),
        ("at ᾱ = 0 the prediction should make no difference",
         lambda f, found, case: np.allclose(f(case[0][::-1], 0.0, *case[2:]), f(case[0], 0.0, *case[2:]))),
        ("only which class is likeliest may count, not how likely it is",
         lambda f, found, case: np.allclose(f(case[0] ** 3 / (case[0] ** 3).sum(), *case[1:]), found)),
    ]),
    "ece": Wanted(ece, lambda rng: (_shares(rng, 8, 3), rng.integers(3, size=8), int(rng.integers(1, 7))), [
        SHARE,
        ("the order of the texts should make no difference", _order),
        ("with every text twice it should be the same",
         lambda f, found, case: np.allclose(f(*(np.repeat(x, 2, 0) for x in case[:2]), case[2]), found)),
    ]),
    "interval": Wanted(
        interval, lambda rng: (rng.random(6), rng.integers(6, size=(40, 6)), float(rng.uniform(0.5, 0.95))), [
        ("the lower end comes first", lambda f, found, case: found[0] <= found[1]),
        ("with 1 added to all values both ends should rise by 1",
         lambda f, found, case: np.allclose(f(case[0] + 1, *case[1:]), found + 1)),
        ("a higher level should not give a narrower interval",
         lambda f, found, case: np.ptp(f(*case[:2], 0.5 + case[2] / 2)) >= np.ptp(found)),
    ]),
}  # fmt: skip
"""What the notebooks ask to be written, by the function's name."""

"""Small data for every explorer, with texts and names that would be script if they were not escaped."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from datasets import DatasetDict

from nlkit.course import widgets
from nlkit.course.widgets.comparison import MEASURES
from nlkit.methods.sidyp.prior import nearest_trusted
from nlkit.study.comparing import BEST, LAST
from tests.made import labelled_split

E, N, C, Q = 5, 60, 3, 4
EVIL = "<script>alert('x')</script>"
NAMES = ["earn", EVIL, "$ship$"]
TEXTS = [f"{EVIL} text {i} costs $5" for i in range(N)]
WAYS = ("clean", "all")
METHODS = ("CE", "NoiseAL", EVIL)


def softmax(z):
    return np.exp(z) / np.exp(z).sum(-1, keepdims=True)


def labels(seed=0, rate=0.3):
    """Return observed and true labels, shape (N,)."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, C, N)
    return np.where(rng.random(N) < rate, (label + 1) % C, label), label


def dynamics():
    """Return two models' predictions, (E, N, C): true classes early, observed ones later; and the labels."""
    rng = np.random.default_rng(0)
    noisy, label = labels()
    later = np.arange(1, E + 1)[:, None, None] * np.eye(C)[noisy]
    noise, early = rng.normal(size=(2, E, N, C)), np.eye(C)[label]
    strong, weak = softmax(noise[0] + 2 * early + 0.2 * later), softmax(noise[1] + early + 0.8 * later)
    return strong, weak, noisy, label


def dataset():
    return DatasetDict(train=labelled_split(NAMES, text=TEXTS, label=[i % C for i in range(N)]))


def answers():
    """Return answers to Q queries: zero-shot, and with 1 or 3 examples of two pools with their own labels."""
    rng = np.random.default_rng(0)
    noisy, label = labels()
    asked = [("zero-shot", 0), *product(WAYS, (1, 3))]
    rows = [(query, *way) for way, query in product(asked, range(Q))]
    table = pd.DataFrame(rows, columns=["query", "way", "k"])
    shown = [[-1] * (3 - k) + rng.choice(N, k, replace=False).tolist() for k in table["k"]]
    probability = rng.dirichlet(np.ones(C), len(table))
    table["label"] = probability.argmax(1)
    return table, probability, np.array(shown), {"clean": label, "all": noisy}, rng.integers(0, C, Q)


def questions():
    """Return queries of two acquisition rules, and true labels."""
    rng = np.random.default_rng(3)
    rows = [
        (rule, i, *rng.integers(0, C, 2), rng.integers(-1, C))
        for rule, n in (("sure", 12), ("unsure", 9))
        for i in rng.choice(N, n, replace=False).tolist()
    ]
    return pd.DataFrame(rows, columns=["rule", "index", "observed", "guess", "answer"]), labels()[1]


def labelled():
    """Return labels given by two ways of prompting, and true labels: none of class 2, one unknown."""
    rng = np.random.default_rng(2)
    asked = product(("zero-shot", "fixed"), range(0, N, 2))
    rows = [(way, i, rng.integers(-1, C), rng.random()) for way, i in asked]
    label = np.append(rng.integers(0, C - 1, N - 1), -1)
    return pd.DataFrame(rows, columns=["way", "index", "label", "confidence"]), label


def grid():
    rng = np.random.default_rng(0)
    where = product(["r8", "20ng"], ["symmetric", "asymmetric"], [0.2, 0.4], METHODS, [0, 1], [LAST, BEST])
    columns = ["dataset", "noise", "noise_rate", "method", "seed", "selected"]
    table = pd.DataFrame(list(where), columns=columns)
    scores = {measure: rng.random(len(table)) for measure in MEASURES}
    return table.assign(noise_rate=table["noise_rate"].astype(np.float32), **scores)


def loop():
    """Return sets and guesses after each epoch, queries, observed and true labels."""
    rng = np.random.default_rng(0)
    noisy, label = labels(rate=0.4)
    asked = rng.permutation(N)[:6]
    said, epoch = [*label[asked[:4]], -1, 0], [2, 2, 3, 3, 3, 4]
    table = {"index": asked, "epoch": epoch, "label": said, "confidence": 0.5}
    return rng.integers(0, 3, (E, N)), rng.integers(0, C, (E, N)), pd.DataFrame(table), noisy, label


def neighbours():
    """Return neighbours and their distances (N, 12), observed labels, suspects, true labels and vectors."""
    noisy, label = labels()
    x = (np.random.default_rng(3).normal(size=(N, 4)) + 3 * np.eye(C, 4)[label]).astype(np.float32)
    suspect = (noisy != label) & (np.arange(N) % 3 > 0)
    return *nearest_trusted(x, noisy, suspect, k=12), noisy, suspect, label, x


def chain():
    """Return reverse chains, shape (S, M, n, C)."""
    return np.random.default_rng(0).dirichlet(np.full(C, 0.4), (5, 2, 4))


def predictions():
    """Return predictions of two methods, one of them too sure, and true labels."""
    rng = np.random.default_rng(0)
    label = labels()[1]
    logits = rng.normal(size=(N, C)) + 1.5 * np.eye(C)[label]
    return {"modest": softmax(logits), EVIL: softmax(5 * logits)}, label


def maker(make, *data, **first):
    """Return a function that makes an explorer; settings take the place of first values."""
    return lambda **settings: make(*data, **first | settings)


QUERIES = [f"{EVIL} question {q}" for q in range(Q)]
SCORES = {"NoiseAL": np.linspace(0.5, 0.9, E), "CE": np.linspace(0.6, 0.4, E)}
ASKED, PROBABILITY, SHOWN, OWN, TRUTH = answers()
FOUR = (chain(), [0, 1, 2, -1], TEXTS[:4], NAMES)
MAKERS = {
    "noise": maker(widgets.noise_explorer, dataset()),
    "dynamics": maker(widgets.dynamics_explorer, *dynamics()),
    "sample": maker(widgets.sample_explorer, *dynamics(), TEXTS, NAMES, samples=[3, 0, 7]),
    "threshold": maker(widgets.threshold_explorer, *dynamics(), TEXTS, label_names=NAMES),
    "demonstrations": maker(
        widgets.demonstration_explorer, ASKED, PROBABILITY, SHOWN, QUERIES, TEXTS, OWN, TRUTH, NAMES, k=3
    ),
    "budget": maker(widgets.budget_explorer, *questions(), TEXTS, NAMES),
    "answers": maker(widgets.answer_noise_explorer, *labelled(), TEXTS, NAMES),
    "loop": maker(widgets.loop_explorer, *loop(), SCORES, warmup=2, texts=TEXTS, label_names=NAMES),
    "prior": maker(widgets.prior_explorer, *neighbours()[:5], TEXTS, NAMES, shown=[3, 7], k=5),
    "diffusion": maker(widgets.diffusion_explorer, NAMES, n_classes=8, T=40),
    "chain": maker(widgets.chain_explorer, *FOUR),
    "reliability": maker(widgets.reliability_explorer, *predictions(), beside=EVIL),
    "comparison": maker(widgets.compare_explorer, grid(), noise_rate=0.4, marked=["NoiseAL"]),
}

"""What NoiseAL's samples learn: the loss of a batch against a naive twin."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.loss import CLEAN, HARD, IGNORED, PURIFIED, NoiseALLoss, kinds
from nlkit.models.classifiers import Output
from tests.reference import objective as reference

CLASSES = 4
KINDS = {"clean": CLEAN, "purified": PURIFIED, "hard": HARD}


@given(st.lists(st.tuples(st.sampled_from("RHP"), st.integers(-1, CLASSES - 1)), min_size=1))
def test_kinds_follow_set_and_answer(samples: list[tuple[str, int]]) -> None:
    sets, answers = zip(*samples, strict=True)
    taught = [reference.teach(name, 0, answer, [0.25] * CLASSES, 0.5)[0] for name, answer in samples]
    assert kinds(np.array(sets), answers).tolist() == [KINDS[name] for name in taught]


def test_before_a_split_labels_are_learnt_and_missing_ones_are_not() -> None:
    objective = NoiseALLoss(3, CLASSES, NoiseALConfig())
    objective.set_observed(np.array([2, -1, 0]))
    assert objective.kind.tolist() == [CLEAN, IGNORED, CLEAN]
    assert objective.target.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


@given(st.integers(1, 12), st.integers(0, 10_000))
def test_the_objective_is_the_sum_over_samples(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    config = NoiseALConfig(
        weight_clean=0.7, weight_purified=1.3, weight_hard=0.5, mix_alpha=2.0, log_zero=-5.0
    )
    objective = NoiseALLoss(20, CLASSES, config)
    names = rng.choice(["clean", "purified", "hard", "ignored"], 20)
    for i, name in enumerate(names):
        objective.kind[i] = KINDS.get(name, IGNORED)
        objective.target[i] = (
            rng.dirichlet(np.ones(CLASSES)) if name == "hard" else np.eye(CLASSES)[rng.integers(CLASSES)]
        )
    index = rng.permutation(20)[:n]
    torch.manual_seed(seed)
    head = torch.nn.Linear(6, CLASSES).double()
    embedding = torch.from_numpy(rng.normal(size=(n, 6)))
    model = SimpleNamespace(classify=head)
    with torch.no_grad():
        output = Output(embedding, head(embedding))
        loss, parts = objective("strong", model, output, index, np.random.default_rng(seed))

    draws = np.random.default_rng(seed)
    kind = [str(names[i]) for i in index]
    partner, weight = [0] * n, [1.0] * n
    if "hard" in kind:
        usable = [i for i in range(n) if kind[i] != "ignored"]
        partner = draws.choice(usable, n).tolist()
        weight = draws.beta(2.0, 2.0, size=(n, 1))[:, 0].tolist()
    wanted = reference.loss(
        kind, objective.target[index].astype(float).tolist(), output.logits.tolist(), embedding.tolist(),
        lambda z: head(torch.tensor(z, dtype=torch.float64)).tolist(), partner, weight, -5.0, (0.7, 1.3, 0.5),
    )  # fmt: skip
    assert float(loss) == pytest.approx(wanted[0], rel=1e-4, abs=1e-6)
    got = tuple(float(parts[name]) for name in ("loss_R", "loss_P", "loss_H"))
    assert got == pytest.approx(wanted[1:], rel=1e-4, abs=1e-6)

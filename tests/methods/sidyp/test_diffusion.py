"""Simplex diffusion: invariants, and that a denoiser learns to undo the noise (`test_plain` has more)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nlkit.methods.sidyp.diffusion import (
    BranchLinear,
    Denoiser,
    alpha_bar,
    p_sample_loop,
    q_sample,
    survival,
    to_simplex,
)

M, B, C, P = 2, 5, 4, 3


def denoiser(classes: int = C, branches: int = M) -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(branches, classes, P, hidden_size=16).eval()


@pytest.mark.parametrize("steps", [1, 10, 500])
def test_the_schedule_falls_from_one(steps: int) -> None:
    levels = alpha_bar(steps)
    assert levels[0] == 1.0
    assert (levels.diff() < 0).all()
    assert levels[-1] < 0.01


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="steps=0"):
        alpha_bar(0)


@given(st.lists(st.integers(0, C - 1), min_size=1, max_size=6), st.floats(0.5, 10))
def test_simplex_round_trip(labels: list[int], scale: float) -> None:
    points = to_simplex(torch.tensor(labels), C, scale)
    assert points.argmax(-1).tolist() == labels


def test_a_missing_label_is_no_corner() -> None:
    assert to_simplex(torch.tensor([-1, 2]), 3).tolist() == [[0, 0, 0], [-5, -5, 5]]


def test_no_noise_and_nothing_but_noise() -> None:
    start, noise = torch.randn(3, C), torch.randn(3, C)
    assert torch.equal(q_sample(start, torch.ones(3), noise), start)
    assert torch.equal(q_sample(start, torch.zeros(3), noise), 5.0 * noise)


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_survival_is_what_noised_labels_show(classes: int) -> None:
    torch.manual_seed(0)
    levels, n = torch.tensor([0.0, 0.1, 0.3, 0.6, 0.9, 1.0]), 20_000
    for level, expected in zip(levels, survival(levels, classes).tolist(), strict=True):
        for scale in (1.0, 5.0):
            start = to_simplex(torch.zeros(n, dtype=torch.long), classes, scale)
            noised = q_sample(start, level.expand(n), torch.randn(n, classes), scale)
            assert float((noised.argmax(-1) == 0).float().mean()) == pytest.approx(expected, abs=0.015)
    assert survival(levels, classes)[[0, -1]].tolist() == pytest.approx([1 / classes, 1])


@pytest.mark.parametrize("bias", [True, False])
def test_branches_are_linear_maps_of_their_own(bias: bool) -> None:
    layer, x = BranchLinear(M, P, C, bias=bias), torch.randn(M, B, P)
    for m in range(M):
        own = nn.functional.linear(
            x[m], layer.weight[m].T, layer.bias[m, 0] if layer.bias is not None else None
        )
        torch.testing.assert_close(layer(x)[m], own)


def test_a_branch_does_not_see_another_one() -> None:
    model = denoiser()
    inputs = torch.randn(M, B, C), torch.rand(M, B), torch.randn(M, B, C), torch.randn(M, B, P)
    before = model(*inputs)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[1] += 1.0
    after = model(*inputs)
    assert torch.equal(after[0], before[0])
    assert not torch.allclose(after[1], before[1])


def test_the_same_seed_gives_the_same_chain_and_a_batch_of_one_works() -> None:
    model, levels = denoiser(), alpha_bar(5)
    one = [
        p_sample_loop(
            model, torch.zeros(M, 1, dtype=torch.long), torch.zeros(M, 1, 16), levels,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (0, 0, 1)
    ]  # fmt: skip
    assert one[0].shape == (M, 1, C)
    assert torch.equal(one[0], one[1])
    assert not torch.equal(one[0], one[2])


def test_a_denoiser_learns_what_the_condition_says() -> None:
    """Labels that are 40 % wrong, and a condition that tells the truth: the chain finds it."""
    torch.manual_seed(0)
    y = torch.randint(0, C, (256,))
    observed = torch.where(torch.rand(256) < 0.4, (y + 1) % C, y).expand(M, -1)
    condition = nn.functional.one_hot(y, C).float().expand(M, -1, -1)
    model, levels = Denoiser(M, C, C, hidden_size=32, dropout=0.0), alpha_bar(100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        level = levels[torch.randint(1, 101, (M, 256))]
        noised = q_sample(to_simplex(y, C).expand(M, -1, -1), level, torch.randn(M, 256, C))
        logits = model(noised, level, to_simplex(observed, C), condition)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.repeat(M))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = p_sample_loop(model.eval(), observed, model.encode_condition(condition), alpha_bar(10)).argmax(-1)
    assert ((found == y).float().mean(1) > 0.95).all()
    assert (observed == y).float().mean() < 0.7

"""Simplex diffusion: what `test_plain` leaves out, and that a denoiser learns to undo the noise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nlkit.methods.sidyp.diffusion import (
    BranchLinear,
    Denoiser,
    alpha_bar,
    p_sample_loop,
    q_sample,
    survival,
    to_simplex,
)  # fmt: skip

M, B, C, P = 2, 5, 4, 3


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="steps=0"):
        alpha_bar(0)


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
        own_bias = None if layer.bias is None else layer.bias[m, 0]
        torch.testing.assert_close(layer(x)[m], nn.functional.linear(x[m], layer.weight[m].T, own_bias))


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
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits.flatten(0, 1), y.repeat(M)).backward()
        optimizer.step()
    found = p_sample_loop(model.eval(), observed, model.encode_condition(condition), alpha_bar(10)).argmax(-1)
    assert ((found == y).float().mean(1) > 0.95).all()
    assert (observed == y).float().mean() < 0.7

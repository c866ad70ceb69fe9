from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlkit.methods.noiseal import plain
from nlkit.training import losses


@st.composite
def batches(draw: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (B, C) in double precision, class numbers (B,), distributions (B, C)."""
    b, c = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(0, draw(st.sampled_from([0.1, 1.0, 5.0])), (b, c))
    soft = rng.dirichlet(np.ones(c), b)
    return torch.from_numpy(logits), torch.from_numpy(rng.integers(0, c, b)), torch.from_numpy(soft)


def both(label: torch.Tensor, soft: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return targets in both forms, class numbers and distributions, each with its distribution."""
    return [(label, torch.eye(soft.shape[1], dtype=soft.dtype)[label]), (soft, soft)]


def probability_of(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return logits.softmax(1)[torch.arange(len(label)), label]


@given(batches(), st.floats(0, 0.9))
def test_cross_entropy(batch: Any, smoothing: float) -> None:
    logits, label, soft = batch
    for target, q in both(label, soft):
        wanted = plain.cross_entropy(logits, (1 - smoothing) * q + smoothing / q.shape[1])
        np.testing.assert_allclose(losses.cross_entropy(logits, target, label_smoothing=smoothing), wanted)


@given(batches(), st.floats(-10, -0.5))
def test_reverse_cross_entropy(batch: Any, log_zero: float) -> None:
    logits, label, soft = batch
    for target, q in both(label, soft):
        got = losses.reverse_cross_entropy(logits, target, log_zero=log_zero)
        np.testing.assert_allclose(got, plain.reverse_cross_entropy(logits, q, log_zero), atol=1e-10)
    got = losses.reverse_cross_entropy(logits, label, log_zero=log_zero)
    np.testing.assert_allclose(got, -log_zero * (1 - probability_of(logits, label)), atol=1e-10)


@given(batches())
def test_symmetric_is_the_weighted_sum(batch: Any) -> None:
    logits, label, soft = batch
    (_, q), _ = both(label, soft)
    got = losses.symmetric_cross_entropy(logits, label, alpha=0.3, beta=0.7, log_zero=-5)
    wanted = 0.3 * plain.cross_entropy(logits, q) + 0.7 * plain.reverse_cross_entropy(logits, q, -5)
    np.testing.assert_allclose(got, wanted)


@given(batches(), st.floats(0.05, 1))
def test_generalised_cross_entropy_and_its_limit(batch: Any, q: float) -> None:
    logits, label, _ = batch
    p = probability_of(logits, label).clamp(min=1e-7)  # bounded, so that its gradient is
    wanted = (1 - p**q) / q
    np.testing.assert_allclose(losses.generalised_cross_entropy(logits, label, q=q), wanted, atol=1e-4)
    ce = losses.cross_entropy(logits, label).clamp(max=16.118)
    near = losses.generalised_cross_entropy(logits, label, q=1e-6)
    np.testing.assert_allclose(near, ce, rtol=1e-3, atol=1e-3)


@given(batches())
def test_elr_penalty(batch: Any) -> None:
    logits, _, memory = batch
    agreement = (logits.softmax(1) * memory).sum(1).numpy()
    wanted = np.log(1 - np.minimum(agreement, 1 - 1e-4))
    np.testing.assert_allclose(losses.elr_penalty(logits, memory), wanted, rtol=1e-6)


@given(batches(), st.floats(0.1, 5))
def test_sharpen(batch: Any, temperature: float) -> None:
    soft = batch[2]
    np.testing.assert_allclose(losses.sharpen(soft, temperature), plain.sharpen(soft, temperature), atol=1e-6)
    np.testing.assert_allclose(losses.sharpen(soft, 1.0), soft, atol=1e-9)


@given(batches(), st.floats(0.1, 8), st.integers(0, 2**32 - 1))
def test_embmix(batch: Any, alpha: float, seed: int) -> None:
    logits, _, soft = batch
    b = len(logits)
    partner = torch.from_numpy(np.random.default_rng(seed).integers(0, b, b))
    found = losses.embmix(logits, soft, partner, alpha, np.random.default_rng(seed))
    weights = np.random.default_rng(seed).beta(alpha, alpha, (b, 1))  # the same draws again
    for got, wanted in zip(found, plain.embmix(logits, soft, partner, weights), strict=True):
        assert torch.equal(got, wanted)


def test_embmix_lets_gradients_through_to_both() -> None:
    embedding, soft = torch.randn(4, 3, requires_grad=True), torch.full((4, 2), 0.5)
    mixed, _ = losses.embmix(embedding, soft, torch.tensor([1, 2, 3, 0]), 4.0, np.random.default_rng(0))
    (gradient,) = torch.autograd.grad(mixed[0].sum(), embedding)
    assert (gradient[:2] != 0).all()
    assert (gradient[2:] == 0).all()


LABEL, ONE_HOT = torch.tensor([0, 1, 2]), torch.eye(3)
CALLS: dict[str, Any] = {
    "ce": lambda z: losses.cross_entropy(z, LABEL),
    "soft ce": lambda z: losses.cross_entropy(z, ONE_HOT),
    "rce": lambda z: losses.reverse_cross_entropy(z, LABEL),
    "soft rce": lambda z: losses.reverse_cross_entropy(z, ONE_HOT),
    "sce": lambda z: losses.symmetric_cross_entropy(z, LABEL),
    "gce": lambda z: losses.generalised_cross_entropy(z, LABEL),
    "elr": lambda z: losses.elr_penalty(z, ONE_HOT),
    "sharpen": lambda z: losses.sharpen(z.softmax(1), 0.1).sum(1),
    "co-regularisation": lambda z: losses.co_regularisation(z[:, None]),
}


@pytest.mark.parametrize("scale", [1e4, 1e30])
@pytest.mark.parametrize("name", CALLS)
def test_gradients_are_finite_at_extreme_logits(name: str, scale: float) -> None:
    # Right and sure, wrong and sure, undecided.
    logits = torch.tensor([[scale, 0, 0], [scale, -scale, 0], [0, 0, 0]], requires_grad=True)
    value = CALLS[name](logits).sum()
    assert torch.isfinite(value)
    assert torch.isfinite(torch.autograd.grad(value, logits)[0]).all()


def test_reverse_cross_entropy_forgives_a_sure_wrong_label() -> None:
    # What it is used for: against a confident prediction a wrong label pulls less than with CE.
    def pull(loss: Any) -> float:
        logits = torch.tensor([[6.0, 0.0, 0.0]], requires_grad=True)
        return float(torch.autograd.grad(loss(logits, torch.tensor([1])).sum(), logits)[0].norm())

    assert pull(losses.reverse_cross_entropy) < 0.1 * pull(losses.cross_entropy)

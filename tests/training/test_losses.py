from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlkit.methods.noiseal import plain
from nlkit.training import losses
from tests.reference import losses as reference


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
    p_q = logits.softmax(1)[torch.arange(len(label)), label]
    got = losses.reverse_cross_entropy(logits, label, log_zero=log_zero)
    np.testing.assert_allclose(got, -log_zero * (1 - p_q), atol=1e-10)


@given(batches())
def test_symmetric_is_the_weighted_sum(batch: Any) -> None:
    logits, label, soft = batch
    (_, q), _ = both(label, soft)
    got = losses.symmetric_cross_entropy(logits, label, alpha=0.3, beta=0.7, log_zero=-5)
    wanted = 0.3 * plain.cross_entropy(logits, q) + 0.7 * plain.reverse_cross_entropy(logits, q, -5)
    np.testing.assert_allclose(got, wanted)


class TestCoRegularisation:
    @given(batches(), st.integers(1, 4), st.integers(0, 2**32 - 1))
    def test_equals_its_twin(self, batch: Any, branches: int, seed: int) -> None:
        logits = batch[0] + torch.from_numpy(
            np.random.default_rng(seed).normal(size=(branches, *batch[0].shape))
        )
        got = losses.co_regularisation(logits)
        wanted = [reference.co_regularisation(z) for z in logits.transpose(0, 1).tolist()]
        np.testing.assert_allclose(got, wanted, atol=1e-10)
        assert (got >= -1e-12).all()
        # The order of the branches does not matter.
        np.testing.assert_allclose(losses.co_regularisation(logits.flip(0)), got, atol=1e-10)

    @given(batches(), st.integers(1, 4))
    def test_equal_branches_are_not_apart(self, batch: Any, branches: int) -> None:
        logits = batch[0].expand(branches, *batch[0].shape)
        np.testing.assert_allclose(losses.co_regularisation(logits), 0, atol=1e-12)

    @given(batches())
    def test_one_branch_feels_nothing(self, batch: Any) -> None:
        logits = batch[0][None].clone().requires_grad_()
        loss = losses.co_regularisation(logits)
        np.testing.assert_allclose(loss.detach(), 0, atol=1e-12)
        loss.sum().backward()
        assert logits.grad is not None
        np.testing.assert_allclose(logits.grad, 0, atol=1e-12)

    def test_its_gradient_pulls_branches_together(self) -> None:
        torch.manual_seed(0)
        logits = torch.randn(3, 5, 4, requires_grad=True)
        before, spread = losses.co_regularisation(logits).detach(), logits.detach().softmax(-1).var(0).sum()
        assert (before > 0.05).all()
        for _ in range(50):
            (gradient,) = torch.autograd.grad(losses.co_regularisation(logits).sum(), logits)
            logits = (logits - gradient).detach().requires_grad_()
        assert (losses.co_regularisation(logits) < 0.05 * before).all()
        assert logits.softmax(-1).var(0).sum() < 0.05 * spread

    @pytest.mark.parametrize("scale", [1e4, 1e30])
    def test_it_is_finite_at_extreme_logits(self, scale: float) -> None:
        logits = torch.tensor([[[scale, 0, 0]], [[0, scale, 0]]], requires_grad=True)
        loss = losses.co_regularisation(logits).sum()
        loss.backward()
        assert torch.isfinite(loss)
        assert loss > 1e3
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()


@given(batches(), st.floats(0.05, 1))
def test_generalised_cross_entropy(batch: Any, q: float) -> None:
    logits, label, _ = batch
    got = losses.generalised_cross_entropy(logits, label, q=q)
    for loss, z, y in zip(got, logits.tolist(), label.tolist(), strict=True):
        assert float(loss) == pytest.approx(reference.generalised_cross_entropy(z, y, q), abs=1e-4)


@given(batches())
def test_generalised_cross_entropy_at_its_limits(batch: Any) -> None:
    logits, label, _ = batch
    p = logits.softmax(1)[torch.arange(len(label)), label]
    np.testing.assert_allclose(losses.generalised_cross_entropy(logits, label, q=1.0), 1 - p, atol=1e-6)
    near = losses.generalised_cross_entropy(logits, label, q=1e-6)
    np.testing.assert_allclose(
        near, losses.cross_entropy(logits, label).clamp(max=16.118), rtol=1e-3, atol=1e-3
    )


@given(batches())
def test_elr_penalty(batch: Any) -> None:
    logits, _, memory = batch
    wanted = [reference.elr_penalty(z, t) for z, t in zip(logits.tolist(), memory.tolist(), strict=True)]
    np.testing.assert_allclose(losses.elr_penalty(logits, memory), wanted, rtol=1e-6)


@given(batches(), st.floats(0.1, 5))
def test_sharpen(batch: Any, temperature: float) -> None:
    soft = batch[2]
    got = losses.sharpen(soft, temperature)
    np.testing.assert_allclose(got.sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(got, plain.sharpen(soft, temperature), atol=1e-6)
    np.testing.assert_allclose(losses.sharpen(soft, 1.0), soft, atol=1e-9)
    if temperature < 1:
        assert (got.max(1).values >= soft.max(1).values - 1e-9).all()


@given(batches(), st.floats(0.1, 8), st.integers(0, 2**32 - 1))
def test_embmix(batch: Any, alpha: float, seed: int) -> None:
    logits, _, soft = batch
    b = len(logits)
    partner = torch.from_numpy(np.random.default_rng(seed).integers(0, b, b))
    rng = np.random.default_rng(seed)
    mixed, target = losses.embmix(logits, soft, partner, alpha, rng)
    np.testing.assert_allclose(target.sum(1), 1, atol=1e-9)
    weights = np.random.default_rng(seed).beta(alpha, alpha, (b, 1))  # the same draws again
    page = plain.embmix(logits, soft, partner, weights)
    assert torch.equal(mixed, page[0])
    assert torch.equal(target, page[1])
    for i in range(b):
        weight = max(float(weights[i, 0]), 1 - float(weights[i, 0]))
        assert 0.5 <= weight <= 1
        j = int(partner[i])
        np.testing.assert_allclose(mixed[i], weight * logits[i] + (1 - weight) * logits[j])
        np.testing.assert_allclose(target[i], weight * soft[i] + (1 - weight) * soft[j])


def test_embmix_lets_gradients_through_to_both() -> None:
    embedding = torch.randn(4, 3, requires_grad=True)
    soft = torch.full((4, 2), 0.5)
    mixed, _ = losses.embmix(embedding, soft, torch.tensor([1, 2, 3, 0]), 4.0, np.random.default_rng(0))
    mixed[0].sum().backward()
    assert embedding.grad is not None
    assert (embedding.grad[:2] != 0).all()
    assert (embedding.grad[2:] == 0).all()


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_gradients_are_finite_at_extreme_logits(scale: float) -> None:
    label = torch.tensor([0, 1, 2])
    one_hot = torch.eye(3)
    calls = {
        "ce": lambda z: losses.cross_entropy(z, label),
        "soft ce": lambda z: losses.cross_entropy(z, one_hot),
        "rce": lambda z: losses.reverse_cross_entropy(z, label),
        "soft rce": lambda z: losses.reverse_cross_entropy(z, one_hot),
        "sce": lambda z: losses.symmetric_cross_entropy(z, label),
        "gce": lambda z: losses.generalised_cross_entropy(z, label),
        "elr": lambda z: losses.elr_penalty(z, one_hot),
        "sharpen": lambda z: losses.sharpen(z.softmax(1), 0.1).sum(1),
    }
    for name, call in calls.items():
        # Right and sure, wrong and sure, undecided.
        logits = torch.tensor([[scale, 0, 0], [scale, -scale, 0], [0, 0, 0]], requires_grad=True)
        value = call(logits).sum()
        value.backward()
        assert torch.isfinite(value), name
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all(), name


def test_reverse_cross_entropy_forgives_a_sure_wrong_label() -> None:
    # What it is used for: against a confident prediction a wrong label pulls less than with CE.
    def pull(loss: Any) -> float:
        logits = torch.tensor([[6.0, 0.0, 0.0]], requires_grad=True)
        loss(logits, torch.tensor([1])).sum().backward()
        assert logits.grad is not None
        return float(logits.grad.norm())

    assert pull(losses.reverse_cross_entropy) < 0.1 * pull(losses.cross_entropy)

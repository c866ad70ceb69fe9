"""The dynamic-enhanced threshold, one sample at a time: read this to understand
`nlkit.methods.noiseal.partition`."""

from __future__ import annotations

from collections.abc import Sequence


def split_one(
    p_strong: Sequence[float],
    p_weak: Sequence[float],
    noisy_label: int,
    tau_strong: float,
    tau_weak: float,
    margin: float,
    cap: float,
) -> tuple[str, str]:
    """Return set and reason of one sample; the label -1 is missing, and nobody trusts it."""
    if noisy_label == -1:
        strong_trusts = weak_trusts = False
    else:
        strong_trusts = p_strong[noisy_label] > tau_strong
        weak_trusts = p_weak[noisy_label] > tau_weak

    if strong_trusts and weak_trusts:
        return "R", "both_trust"
    if strong_trusts:
        return "H", "strong_only"
    if weak_trusts:
        return "H", "weak_only"

    mean = [(s + w) / 2 for s, w in zip(p_strong, p_weak, strict=True)]
    wanted = (tau_strong + tau_weak) / 2 + margin
    if wanted > cap:
        wanted = cap
    if max(mean) > wanted:
        return "P", "confident_other"
    return "H", "nobody_sure"


def run(
    dynamics_strong: Sequence[Sequence[Sequence[float]]],
    dynamics_weak: Sequence[Sequence[Sequence[float]]],
    noisy_label: Sequence[int],
    momentum: float,
    margin: float,
    cap: float,
) -> list[list[tuple[str, str, float, float]]]:
    """Return, for each epoch and sample, set, reason, and the two thresholds that were used."""
    n = len(noisy_label)
    classes = len(dynamics_strong[0][0])
    tau_strong, tau_weak = [1 / classes] * n, [1 / classes] * n
    epochs = []
    for strong, weak in zip(dynamics_strong, dynamics_weak, strict=True):
        rows = []
        for i in range(n):
            name, reason = split_one(
                strong[i], weak[i], noisy_label[i], tau_strong[i], tau_weak[i], margin, cap
            )
            rows.append((name, reason, tau_strong[i], tau_weak[i]))
            # Only now do the thresholds follow what the models believe most.
            tau_strong[i] = momentum * tau_strong[i] + (1 - momentum) * max(strong[i])
            tau_weak[i] = momentum * tau_weak[i] + (1 - momentum) * max(weak[i])
        epochs.append(rows)
    return epochs

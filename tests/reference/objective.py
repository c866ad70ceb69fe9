"""What each sample learns in NoiseAL, one sample at a time: read this to understand
`nlkit.methods.noiseal.loss`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.reference import losses

Row = Sequence[float]


def teach(name: str, noisy_label: int, answer: int, mean: Row, temperature: float) -> tuple[str, list[float]]:
    """Return kind and target of a sample in set `name`; the answer −1 is none, or an abstention."""
    classes = len(mean)
    if answer != -1:  # an answer is kept for good, whatever set the sample falls in later
        return "purified", losses.one_hot(answer, classes)
    if name == "R":
        return "clean", losses.one_hot(noisy_label, classes)
    # H, and P without an answer: the models' own mean opinion, made more decided.
    return "hard", losses.sharpen(mean, temperature)


def loss(
    kind: Sequence[str],
    target: Sequence[Row],
    logits: Sequence[Row],
    embedding: Sequence[Row],
    classify: Callable[[Row], Row],
    partner: Sequence[int],
    weight: Sequence[float],
    log_zero: float,
    weights: tuple[float, float, float],
) -> tuple[float, float, float, float]:
    """Return L, L_R, L_P and L_H of a batch; `partner` and `weight` are what EmbMix drew."""
    clean = purified = hard = 0.0
    for i in range(len(kind)):
        if kind[i] == "clean":
            clean += losses.cross_entropy(logits[i], target[i])
        elif kind[i] == "purified":
            purified += losses.reverse_cross_entropy(logits[i], target[i], log_zero)
        elif kind[i] == "hard":
            own = max(weight[i], 1 - weight[i])
            j = partner[i]
            mixed = [own * a + (1 - own) * b for a, b in zip(embedding[i], embedding[j], strict=True)]
            soft = [own * a + (1 - own) * b for a, b in zip(target[i], target[j], strict=True)]
            hard += losses.cross_entropy(classify(mixed), soft)
    n = len(kind)
    total = (weights[0] * clean + weights[1] * purified + weights[2] * hard) / n
    return total, clean / n, purified / n, hard / n

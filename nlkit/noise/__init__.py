"""Label noise: made on purpose, as arithmetic, and counted."""

from nlkit.noise.making import (
    KINDS,
    NoiseReport,
    add_noise,
    confusable_pairs,
    flip_rates,
    instance_probabilities,
    noise_report,
    rate_spread,
    transition_matrix,
    true_given_noisy,
)

__all__ = [
    "KINDS",
    "NoiseReport",
    "add_noise",
    "confusable_pairs",
    "flip_rates",
    "instance_probabilities",
    "noise_report",
    "rate_spread",
    "transition_matrix",
    "true_given_noisy",
]

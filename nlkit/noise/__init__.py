"""Label noise: made on purpose, as arithmetic, and counted."""

from nlkit.noise.arithmetic import rate_spread, true_given_noisy
from nlkit.noise.instance import flip_rates
from nlkit.noise.making import KINDS, add_noise, confusable_pairs, instance_probabilities, transition_matrix
from nlkit.noise.report import NoiseReport, noise_report

__all__ = [
    "KINDS", "NoiseReport", "add_noise", "confusable_pairs", "flip_rates", "instance_probabilities",
    "noise_report", "rate_spread", "transition_matrix", "true_given_noisy",
]  # fmt: skip

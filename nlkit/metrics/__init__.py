"""Metrics: of predictions, and of labels (partition, detection, correction).

What a method learns from never comes from here: these functions read true labels.
"""

from nlkit.metrics.agreement import alt_test, class_shares, krippendorff_alpha, pairwise_agreement
from nlkit.metrics.labels import (
    annotation_report,
    correction_report,
    detection_report,
    partition_report,
    prior_report,
)
from nlkit.metrics.predictions import (
    accuracy,
    bootstrap_interval,
    brier,
    calibration_error,
    coverage_report,
    ece,
    evaluate_probabilities,
    nll,
    recall_by_class,
    reliability,
)

__all__ = [
    "accuracy", "alt_test", "annotation_report", "bootstrap_interval", "brier", "calibration_error",
    "class_shares", "correction_report", "coverage_report", "detection_report", "ece",
    "evaluate_probabilities", "krippendorff_alpha", "nll", "pairwise_agreement", "partition_report",
    "prior_report", "recall_by_class", "reliability",
]  # fmt: skip

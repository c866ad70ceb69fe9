"""Metrics: of predictions, and of labels (partition, detection, correction)."""

from nlkit.metrics.predictions import (
    accuracy,
    annotation_report,
    bootstrap_interval,
    brier,
    calibration_error,
    correction_report,
    coverage_report,
    detection_report,
    ece,
    evaluate_probabilities,
    nll,
    partition_report,
    prior_report,
    recall_by_class,
    reliability,
)

__all__ = [
    "accuracy",
    "annotation_report",
    "bootstrap_interval",
    "brier",
    "calibration_error",
    "correction_report",
    "coverage_report",
    "detection_report",
    "ece",
    "evaluate_probabilities",
    "nll",
    "partition_report",
    "prior_report",
    "recall_by_class",
    "reliability",
]

"""The training loop, what it records, losses and settings."""

from nlkit.training.trainer import (
    Callback,
    Checkpoint,
    DynamicsRecorder,
    Interrupted,
    Objective,
    Prediction,
    Tensors,
    Trainer,
    copied_weights,
    predict,
)

__all__ = [
    "Callback",
    "Checkpoint",
    "DynamicsRecorder",
    "Interrupted",
    "Objective",
    "Prediction",
    "Tensors",
    "Trainer",
    "copied_weights",
    "predict",
]

"""The training loop, what it records, losses and settings."""

from nlkit.training.recording import Checkpoint, DynamicsRecorder, Stateful
from nlkit.training.trainer import Interrupted, Loss, Trainer, copied_weights

__all__ = [
    "Checkpoint",
    "DynamicsRecorder",
    "Interrupted",
    "Loss",
    "Stateful",
    "Trainer",
    "copied_weights",
]

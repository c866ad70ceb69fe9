"""Data sets: from packages, files and the hub; what a method may see of them; checks."""

from nlkit.data.loading import HUB, OFFLINE, SPLITS, DataError, DataWarning, load_dataset
from nlkit.data.spelling import LabelError

__all__ = ["HUB", "OFFLINE", "SPLITS", "DataError", "DataWarning", "LabelError", "load_dataset"]

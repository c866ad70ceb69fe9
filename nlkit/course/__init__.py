"""What the notebooks of the course import."""

from nlkit.course.parameters import DEMONSTRATION_SEED, LABEL_WORDS, Setup, labeller, reference, setup

__all__ = ["DEMONSTRATION_SEED", "LABEL_WORDS", "Setup", "labeller", "reference", "setup"]

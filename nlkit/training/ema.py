"""A moving average of a model's weights over the steps of its training.

After each step the weights jump about; with labels that are almost as often wrong as right, where they happen
to stand after the last batch of an epoch can decide whole classes. Their average over some steps does not
jump (Polyak and Juditsky, 1992; here with weights that fall off exponentially).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nlkit._util import invalid

__all__ = ["WeightAverage"]


class WeightAverage:
    """The average of a model's trainable weights over about `horizon` steps.

    Parameters
    ----------
    model : module
        Its parameters are looked at after each step (`update`); those that do not learn are left out.
    horizon : float
        Steps, at least 1. The average keeps 1 − 1 / horizon of itself at a step. In the first steps it is
        the plain mean of them, so that the weights before training have no part in it.
    """

    def __init__(self, model: nn.Module, horizon: float) -> None:
        if not horizon >= 1:
            invalid("horizon", horizon, "at least 1 step")
        self.horizon, self.steps = horizon, 0
        self._live = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.weights: dict[str, Tensor] = {name: p.detach().clone() for name, p in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's present weights."""
        self.steps += 1
        # The plain mean of the first steps, until there are more of them than the horizon.
        share = max(1 / self.steps, 1 / self.horizon)
        for name, average in self.weights.items():
            average.lerp_(self._live[name], share)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the model have the averaged weights inside the block, and its own again after it."""
        own = {name: p.data for name, p in self._live.items()}
        try:
            for name, p in self._live.items():
                p.data = self.weights[name]
            yield
        finally:
            for name, p in self._live.items():
                p.data = own[name]

    def restore(self, weights: dict[str, Tensor], steps: int) -> None:
        """Go on from an earlier average."""
        self.steps = steps
        for name, average in self.weights.items():
            average.copy_(weights[name])

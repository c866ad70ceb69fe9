"""A moving average of a model's weights over the steps of its training.

After each step the weights jump about; with labels that are almost as often wrong as right, where they happen
to stand after the last batch of an epoch can decide whole classes. Their average over some steps does not
jump (Polyak and Juditsky, 1992; here with weights that fall off exponentially).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nlkit._util import invalid

__all__ = ["WeightAverage"]


class WeightAverage(nn.Module):
    """The average of a model's trainable weights over about `horizon` steps.

    Only the parameters are averaged, not a copy of the model: that would copy the encoder's frozen layers and
    its cached activations too.

    Parameters
    ----------
    model : module
        Its parameters are looked at after each step (`update`); those that do not learn are left out.
    horizon : float
        Steps, at least 1. The average keeps 1 − 1 / horizon of itself at a step. In the first steps it is
        the plain mean of them, so that the weights before training have no part in it.
    """

    n_averaged: Tensor

    def __init__(self, model: nn.Module, horizon: float) -> None:
        if not horizon >= 1:
            invalid("horizon", horizon, "at least 1 step")
        super().__init__()
        learning = [p for p in model.parameters() if p.requires_grad]
        self.horizon = horizon
        self.module = nn.ParameterList(nn.Parameter(p.detach().clone()) for p in learning)
        # Counted on the CPU, wherever the weights are: reading it must not wait for the device.
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.long))
        # In a tuple, so that the live weights are no part of the average's own state.
        self._live = (nn.ParameterList(learning),)

    @property
    def weights(self) -> list[Tensor]:
        """The averaged parameters, in the model's order of those that learn."""
        return [p.data for p in self.module.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's present weights."""
        self.n_averaged += 1
        share = max(1 / int(self.n_averaged), 1 / self.horizon)
        torch._foreach_lerp_(self.weights, [p.data for p in self._live[0]], share)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the model have the averaged weights inside the block, and its own again after it."""
        own = [p.data for p in self._live[0]]
        with warnings.catch_warnings():
            # cuDNN wants an LSTM's weights in one piece, and copies these, which takes it no time.
            warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous")
            try:
                self._give(self.weights)
                yield
            finally:
                self._give(own)

    def keep(self) -> None:
        """Let the model have the averaged weights for good."""
        self._give([value.clone() for value in self.weights])

    def _give(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self._live[0], values, strict=True):
            parameter.data = value

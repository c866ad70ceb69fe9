"""Settings of the methods: one frozen, validated dataclass a method, with a profile for each kind of machine.

A profile is a set of defaults: ``quick`` (two cores, frozen encoder), ``class`` (a laptop, minutes) and
``paper`` (a GPU). Whatever is given by name wins over the profile.
"""

from __future__ import annotations

import dataclasses
import numbers
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from nlkit._util import invalid
from nlkit.data.checks import SEEDS, check_choice
from nlkit.data.packaged import installed

__all__ = ["PAPER", "PROFILES", "SELECTIONS", "TrainingConfig"]

PROFILES = ("quick", "class", "paper")

MOST = 10**9
"""What no setting is above: more is a slip, infinity among it."""

SELECTIONS = ("last", "noisy_validation", "guarded")

PAPER: dict[str, Any] = {"batch_size": 128, "lr_encoder": 4e-5, "lr_head": 2e-3}
"""What `paper` has in common for all methods: batches that keep a GPU busy.

Starting its kernels takes as long for 32 texts as for 128 (BERT-base's size, H200). AdamW's learning rates
grow with the root of the batch, so they are twice those that are usual for 32.
"""


def _plain(value: object, whole: bool) -> float | None:
    """Return an int (`whole`) or a float, also of NumPy's numbers; None for what is no such number."""
    if isinstance(value, bool):
        return None
    if whole:
        return int(value) if isinstance(value, numbers.Integral) else None
    try:
        return float(value) if isinstance(value, numbers.Real) else None
    except OverflowError:  # an integer beyond every float
        return None


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings that every method shares.

    Attributes
    ----------
    encoder
        "minilm" or "mpnet" (offline; the latter by requirements/mpnet.txt, of BERT-base's size), a model
        folder, or a hub name of a BERT-like encoder. The methods take "auto" too: "mpnet" in profile `paper`
        where it is installed and `trainable_layers` is 0 or "all", else "minilm".
    trainable_layers
        Top encoder layers that learn: 0 (pooled features, the fastest), k, or "all".
    max_length
        Tokens (strong model) and words (weak model) a text is cut to.
    epochs, batch_size
        Passes over the training set, and samples a step.
    lr_encoder, lr_head
        AdamW's learning rates: pre-trained layers, and what is new on top of them.
    weight_decay, dropout
        Of AdamW, and before each layer of the head.
    lr_warmup_ratio
        Share of all steps in which the learning rates rise.
    lr_decay_share
        Share of all steps, at the end, over which learning rates fall linearly to a tenth. Short, so that
        models have the time to memorise (which is to be seen), and end calm.
    max_grad_norm
        L2 norm that gradients are clipped to.
    mixed_precision
        "no", "bf16", "fp16", or "auto": bf16 where the hardware is faster with it. Of the frozen layers too.
    selection
        "last" epoch; the epoch best by "noisy_validation" accuracy; or "guarded": the last one, unless it is
        worse than the best by more than two standard errors. Never by true labels.
    device
        "auto", "cpu" or "cuda". The same seed gives the same numbers on a CPU alone: a GPU adds up in an
        order that changes from run to run.
    profile
        Where the defaults came from.
    seed
        All random numbers follow from it.
    """

    encoder: str = "minilm"
    trainable_layers: int | Literal["all"] = 2
    max_length: int = 64
    epochs: int = 6
    batch_size: int = 32
    lr_encoder: float = 1e-4
    lr_head: float = 1e-3
    weight_decay: float = 0.01
    dropout: float = 0.1
    lr_warmup_ratio: float = 0.05
    lr_decay_share: float = 0.3
    max_grad_norm: float = 1.0
    mixed_precision: str = "auto"
    selection: str = "last"
    device: str = "auto"
    profile: str = "class"
    seed: int = 0

    profiles: ClassVar[dict[str, dict[str, Any]]] = {}

    @classmethod
    def make(cls, profile: str = "class", **overrides: Any) -> Self:
        """Build the config of a profile, with some settings given by name.

        Raises
        ------
        ValueError
            If the profile, a name or a value is not known; the message says what is.
        """
        check_choice("profile", profile, PROFILES)
        known = {f.name for f in dataclasses.fields(cls)}
        for name in overrides:
            if name not in known:
                raise ValueError(
                    f"{name!r} is not a setting of {cls.__name__}: one of {', '.join(sorted(known))}"
                )
        encoder, layers = overrides.get("encoder", "auto"), overrides.get("trainable_layers", "all")
        if isinstance(encoder, str) and encoder == "auto":
            larger = profile == "paper" and layers in (0, "all")  # mpnet's layers cannot be cut
            overrides["encoder"] = "mpnet" if larger and installed("mpnet") else "minilm"
        return cls(**{**cls.profiles.get(profile, {}), **overrides, "profile": profile})

    def __post_init__(self) -> None:
        layers: object = self.trainable_layers
        if not isinstance(layers, str) or layers != "all":
            plain = _plain(layers, whole=True)
            if plain is None or not 0 <= plain <= MOST:
                invalid("trainable_layers", layers, "0, a number of layers, or 'all'")
            object.__setattr__(self, "trainable_layers", plain)
        for name in ("max_length", "epochs", "batch_size"):
            self._number(name, low=1, whole=True)
        for name in ("lr_encoder", "lr_head", "max_grad_norm"):
            self._number(name, low=0.0, open_low=True)
        for name in ("weight_decay",):
            self._number(name, low=0.0)
        for name in ("dropout", "lr_warmup_ratio", "lr_decay_share"):
            self._number(name, low=0.0, high=1.0)
        self._number("seed", low=0, high=SEEDS, whole=True)
        if not isinstance(self.encoder, str) or not self.encoder:
            invalid("encoder", self.encoder, "'minilm', a model folder, or a hub name")
        self._choice("device", ("auto", "cpu", "cuda"))
        self._choice("mixed_precision", ("auto", "no", "bf16", "fp16"))
        self._choice("selection", SELECTIONS)
        self._choice("profile", PROFILES)

    def _number(
        self,
        name: str,
        *,
        low: float,
        high: float = MOST,
        whole: bool = False,
        open_low: bool = False,
    ) -> None:
        value = getattr(self, name)
        plain = _plain(value, whole)
        if plain is None or not (low < plain if open_low else low <= plain) or plain > high:
            kind = "a whole number" if whole else "a number"
            bound = f"above {low}" if open_low else f"at least {low}"
            invalid(name, value, f"{kind} {bound} and at most {high}")
        # NumPy's numbers are welcome (seeds from np.arange), but JSON and comparisons want Python's.
        object.__setattr__(self, name, plain)

    def _share_or(self, name: str, *words: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, str):
            self._number(name, low=0.0, high=1.0)
        elif value not in words:
            invalid(name, value, f"a number from 0 to 1, or {' or '.join(map(repr, words))}")

    def _choice(self, name: str, allowed: tuple[str | bool, ...]) -> None:
        check_choice(name, getattr(self, name), allowed)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return dataclasses.asdict(self)

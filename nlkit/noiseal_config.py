"""Settings of NoiseAL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nlkit.config import TrainingConfig

__all__ = ["NoiseALConfig"]


@dataclass(frozen=True, kw_only=True)
class NoiseALConfig(TrainingConfig):
    """Settings of NoiseAL; those of `TrainingConfig` come with it.

    Attributes
    ----------
    warmup_epochs
        W: epochs of CE on the observed labels before the first split is used.
    momentum, margin, cap
        m, σ and the ceiling of the dynamic-enhanced threshold (`nlkit.split`).
    query_budget, query_rounds
        Questions to the annotator in all, spread over this many epochs after the warm-up. 0: nobody is asked.
    demonstrations
        k, clean samples shown with each question.
    pool_per_class
        Most confident clean samples of each class that demonstrations are taken from.
    demonstration_space
        Nearness by the pre-trained "encoder" or by the "strong" model's embeddings.
    acquisition
        Who is asked first: "confident_disagreement", "uncertain" or "random".
    answers_everywhere
        An answer stays a sample's label whatever set it falls in later. False: only while it is in P.
    temperature
        T < 1 sharpens the mean prediction into the target of a hard sample.
    mix_alpha
        α of the Beta distribution of EmbMix.
    log_zero
        A, the value of log 0 in the reversed CE.
    weight_clean, weight_purified, weight_hard
        Weights of the three losses.
    prediction
        "strong", "weak" or "mean": who answers in the end.
    """

    warmup_epochs: int = 5
    momentum: float = 0.9
    margin: float = 0.3
    cap: float = 0.99
    query_budget: int = 150
    query_rounds: int = 3
    demonstrations: int = 4
    pool_per_class: int = 50
    demonstration_space: str = "encoder"
    acquisition: str = "confident_disagreement"
    answers_everywhere: bool = True
    temperature: float = 0.5
    mix_alpha: float = 4.0
    log_zero: float = -4.0
    weight_clean: float = 1.0
    weight_purified: float = 1.0
    weight_hard: float = 1.0
    prediction: str = "strong"

    profiles: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {"trainable_layers": 0, "epochs": 12, "lr_head": 1e-3},
        "class": {"trainable_layers": 2, "epochs": 10},
        "paper": {
            "trainable_layers": "all", "max_length": 256, "epochs": 30, "lr_encoder": 2e-5, "momentum": 0.99,
            "mixed_precision": "bf16",
        },
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("warmup_epochs", "query_rounds", "pool_per_class"):
            self._number(name, low=1, whole=True)
        for name in ("query_budget", "demonstrations"):
            self._number(name, low=0, whole=True)
        for name in ("momentum", "margin", "cap"):
            self._number(name, low=0.0, high=1.0)
        for name in ("temperature", "mix_alpha"):
            self._number(name, low=0.0, open_low=True)
        for name in ("weight_clean", "weight_purified", "weight_hard"):
            self._number(name, low=0.0)
        self._number("log_zero", low=float("-inf"), high=0.0)
        self._choice("demonstration_space", ("encoder", "strong"))
        self._choice("acquisition", ("confident_disagreement", "uncertain", "random"))
        self._choice("prediction", ("strong", "weak", "mean"))

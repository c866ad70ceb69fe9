"""SetFit: the encoder learns from pairs of texts which are alike, then a linear model on its embeddings."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from datasets import Dataset

from nlkit.data.observed import Observed
from nlkit.data.packaged import resolve_model
from nlkit.methods.base import new_encoder
from nlkit.methods.linear import LinearClassifier, LinearModel, LinearModelConfig
from nlkit.models.device import choose_device
from nlkit.models.encoder import TextEncoder

__all__ = ["SetFit", "SetFitConfig"]


@dataclass(frozen=True, kw_only=True)
class SetFitConfig(LinearModelConfig):
    """Settings of `SetFit`; of `TrainingConfig`'s, batch_size counts pairs, and epochs change nothing.

    Attributes
    ----------
    pairs
        Pairs of the same (noisy) label and of two labels that are made of each text.
    steps
        Batches at most, or "all".
    """

    trainable_layers: Any = "all"
    lr_encoder: float = 2e-5
    batch_size: int = 16
    pairs: int = 1
    steps: Any = "all"

    profiles: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {"steps": 20}, "class": {"steps": 100}, "paper": {"max_length": 256, "pairs": 20},
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choice("trainable_layers", ("all",))
        self._number("pairs", low=1, whole=True)
        if self.steps != "all":
            self._number("steps", low=1, whole=True)


class SetFit(LinearModel):
    """Contrastive fine-tuning of the encoder by the setfit library, then logistic regression.

    After Tunstall and others (arXiv 2209.11055). Needs setfit (``pip install 'nlkit[setfit]'``), and is in no
    comparison unless ``nk.register_method(nk.SetFit)`` says so: its whole encoder learns, which takes minutes
    where others take seconds.

    Parameters and attributes are those of `LinearModel`; the settings are in `SetFitConfig`.
    """

    config_class = SetFitConfig
    config: SetFitConfig

    def _new_model(self, n_classes: int) -> LinearClassifier:
        return LinearClassifier(new_encoder(self.config), n_classes)

    def _tune(self, encoder: TextEncoder, known: Observed) -> None:
        try:
            from sentence_transformers import SentenceTransformer
            from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
            from setfit import SetFitModel, Trainer, TrainingArguments
        except ImportError as error:
            raise ImportError("SetFit needs setfit: pip install 'nlkit[setfit]'") from error
        from sklearn.linear_model import LogisticRegression

        c = self.config
        transformer = Transformer(resolve_model(c.encoder), max_seq_length=c.max_length)
        body = SentenceTransformer(
            modules=[transformer, Pooling(encoder.width), Normalize()], device=str(choose_device(c.device))
        )
        # The library sets torch's seed for everyone.
        with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
            arguments = TrainingArguments(
                output_dir=folder, batch_size=c.batch_size, num_epochs=1, num_iterations=c.pairs, seed=c.seed,
                max_steps=-1 if c.steps == "all" else c.steps, body_learning_rate=c.lr_encoder,
                warmup_proportion=c.lr_warmup_ratio, report_to="none", save_strategy="no",
                logging_strategy="no", logging_first_step=False,
            )  # fmt: skip
            pairs = Dataset.from_dict({"text": known.texts, "label": known.noisy_label})
            model = SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=1))
            trainer = Trainer(model=model, args=arguments, train_dataset=pairs)
            trainer.train_embeddings(known.texts, known.noisy_label.tolist(), args=arguments)
        weights = {f"_whole.{name}": value for name, value in transformer.auto_model.state_dict().items()}
        encoder.load_state_dict(weights, strict=False)

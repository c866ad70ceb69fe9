"""Which epoch is kept, and when a guarded method goes back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import DatasetDict

from nlkit.methods.baselines import Baseline
from nlkit.methods.selection import Selection
from nlkit.models.prediction import Prediction
from tests.made import labelled_split

TRUTH = np.arange(100) % 3


class Told:
    """Stands for a trainer; of 100 texts it predicts as many rightly as it is told."""

    def __init__(self) -> None:
        self.models = {"strong": torch.nn.Linear(1, 1)}
        self.epoch = self.right = 0

    def predict(self, *arguments: Any, **settings: Any) -> Prediction:
        said = np.where(np.arange(100) < self.right, TRUTH, TRUTH - 1)
        return Prediction(np.eye(3, dtype=np.float32)[said], np.empty((100, 0), np.float32))


# The best so far has 88 of 100 right: two standard errors are 6.5 points.
@pytest.mark.parametrize(("last", "lost"), [(90, False), (82, False), (81, True), (30, True)])
def test_an_epoch_is_lost_beyond_two_standard_errors(last: int, lost: bool) -> None:
    split = labelled_split(["a", "b", "c"], text=["x"] * 100, noisy_label=TRUTH.tolist())
    made = ("strong", SimpleNamespace(prepare=list), DatasetDict({"validation": split}))
    selection, trainer = Selection(*made), Told()
    for trainer.epoch, trainer.right in enumerate([50, 88, last], start=1):
        selection.after_epoch(trainer)  # type: ignore[arg-type]
    again = Selection(*made)
    again.restore(*selection.state())
    for one in (selection, again):
        assert (one.lost, one.best_epoch) == (lost, 3 if last > 88 else 2)


def test_a_guarded_method_goes_back_only_from_what_is_lost_and_says_so(few: DatasetDict) -> None:
    texts = few["test"]["text"]
    last, guarded = (Baseline(profile="quick", epochs=3, selection=s).fit(few) for s in ("last", "guarded"))
    assert np.array_equal(guarded.predict_proba(texts), last.predict_proba(texts))
    weights = {name: torch.zeros_like(value) for name, value in guarded.strong_.state_dict().items()}
    with pytest.warns(UserWarning, match="Baseline went back to epoch 2"):
        guarded._finish("strong", 2, weights, lost=True)
    p = guarded.predict_proba(texts)
    np.testing.assert_allclose(p, 1 / p.shape[1], atol=1e-6)

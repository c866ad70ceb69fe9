"""Which method for a file of one's own: held-out evidence, and a recommendation that says how sure it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nlkit as nk
from nlkit.__main__ import main
from nlkit.study.choosing import _judged, choose
from nlkit.study.comparing import LAST


@pytest.fixture(scope="module")
def ds():
    whole = nk.add_noise(nk.load_dataset("r8", train_size=150, test_size=10), rate=0.3)
    return type(whole)(train=whole["train"])


def test_every_text_is_held_out_once_and_both_labels_are_compared_with(ds, tmp_path, capsys):
    path = tmp_path / "own.csv"
    names = ds["train"].features["label"].names
    table = ds["train"].to_pandas()
    frame = pd.DataFrame({"text": table["text"], "given": table["noisy_label"].map(names.__getitem__)})
    frame.assign(truth=table["label"].map(names.__getitem__)).to_csv(path, index=False)
    found = choose(ds, ["CE", "KNNRelabel"], folds=2, checkpoint=tmp_path / "kept")
    told = ["compare", str(path), "--label", "given", "--gold", "truth", "--folds", "2", "--methods", "CE"]
    assert main(told) == 0
    said = capsys.readouterr().out
    assert "True labels that are predicted" in said
    assert "Recommended: CE" in said
    for judged in (found.noisy, found.gold):
        assert len(judged) == 4
        assert judged["won"].sum() == pytest.approx(1)
        assert (judged["low"] <= judged["accuracy"]).all()
        assert judged["difference"].iloc[0] == 0
    assert found.gold["accuracy"].max() > found.noisy["accuracy"].max() + 0.05, "noise cannot be predicted"
    assert f"Recommended: {found.gold['method'].iloc[0]}" in found.recommended
    kept = sorted((tmp_path / "kept").iterdir())
    again = choose(ds, ["CE", "KNNRelabel"], folds=2, checkpoint=tmp_path / "kept")
    assert repr(again) == repr(found)
    assert sorted((tmp_path / "kept").iterdir()) == kept
    blind = choose(ds.remove_columns("label"), ["CE", "KNNRelabel"], folds=2, checkpoint=tmp_path / "kept")
    assert blind.gold is None
    pd.testing.assert_frame_equal(blind.noisy, found.noisy)
    assert "No true label was seen" in blind.recommended
    assert sorted((tmp_path / "kept").iterdir()) == kept, "true labels have no part in the fits"


def test_uncertainty_follows_from_the_texts():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 400)

    def guess(right):
        return np.where(rng.random(400) < right, label, (label + 1) % 4)

    scores = pd.DataFrame({"method": ["a", "b", "c"], "selected": LAST, "seconds": [9.0, 1.0, 1.0]})
    table = _judged(scores, np.stack([guess(0.9), guess(0.89), guess(0.6)]), label).set_index("method")
    assert table.loc[["a", "b"], "won"].sum() == pytest.approx(1)
    assert table.loc["c", "difference_high"] < 0
    assert table.loc[["a", "b"], "difference_high"].ge(0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"methods": ["CEE"]}, "methods='CEE' is not allowed: one of NoiseAL"),
     ({"folds": 1}, "folds=1"), ({"folds": 16}, "folds=16 is not allowed: at most a tenth of the 150")],
)  # fmt: skip
def test_bad_settings(ds, settings, message):
    with pytest.raises(ValueError, match=message):
        choose(ds, **settings)

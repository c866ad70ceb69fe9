"""Try settings on seeds that no reported figure uses, judged on clean validation labels.

python benchmarks/tuning.py --kind asymmetric --seeds 10 11 --try '{}' '{"lr_decay_share": 1}'
python benchmarks/tuning.py --method ce --profile quick --try '{"lr_head": 0.003}'
python benchmarks/tuning.py --method sidyp --profile quick --train-size 1000 --try '{"score": "distance"}'

The annotator is simulated (93 % right) unless ``--annotator smollm2`` is given: what is compared is what the
two models make of the same answers. The test split is never looked at. Prints one line for each setting,
with one figure a seed: accuracy on the validation split's true labels after the last epoch and at its best,
and, after the last epoch, precision and recall of R, or how well SiDyP detects and corrects wrong labels.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from datasets import DatasetDict

import nlkit as nk
from benchmarks.accuracy import KINDS, noisy_data

SIMULATED_ACCURACY = 0.93


def try_settings(
    ds: DatasetDict, method: str, settings: dict[str, Any], *, profile: str, seed: int, annotator: str,
    query_budget: int,
) -> dict[str, float]:  # fmt: skip
    """Train once; return what the line shows."""
    if method == "ce":
        clf: Any = nk.Baseline(loss="ce", profile=profile, seed=seed, **settings)
    elif method == "sidyp":
        clf = nk.SiDyP(profile=profile, seed=seed, **settings)
    else:
        who: Any = annotator
        if annotator == "simulated":
            who = nk.annotators.Simulated(SIMULATED_ACCURACY, reference=ds["train"], seed=seed)
        clf = nk.NoiseAL(annotator=who, query_budget=query_budget, profile=profile, seed=seed, **settings)
    clf.fit(ds, eval_splits=("validation",))
    accuracy = clf.history_["accuracy_validation"]
    found = {"validation": accuracy.iloc[-1], "best": accuracy.max()}
    if method == "noiseal":
        report = clf.report(ds["train"])
        sets = report["sets"].set_index("set")
        found |= {"R precision": sets.loc["R", "precision"], "R recall": sets.loc["R", "recall"]}
        found |= {"answers right": report["annotations"]["accuracy"]}
    if method == "sidyp":
        report = clf.report(ds["train"])
        found |= {name: report["detection"][name] for name in ("auc", "noise_rate", "noise_rate_used")}
        found |= {"refined right": report["correction"]["accuracy_after"]}
    return {name: float(value) for name, value in found.items()}


def main() -> None:
    """Parse arguments, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, default="asymmetric")
    parser.add_argument("--seeds", nargs="+", type=int, default=[10, 11])
    parser.add_argument("--method", choices=("noiseal", "sidyp", "ce"), default="noiseal")
    parser.add_argument("--profile", default="class")
    parser.add_argument("--annotator", default="simulated")
    parser.add_argument("--query-budget", type=int, default=300)
    parser.add_argument("--train-size", type=int, default=2000)
    parser.add_argument("--try", dest="settings", nargs="+", type=json.loads, default=[{}])
    given = parser.parse_args()
    for settings in given.settings:
        rows = [
            try_settings(
                noisy_data(given.kind, seed, given.train_size, None), given.method, settings,
                profile=given.profile, seed=seed, annotator=given.annotator, query_budget=given.query_budget,
            )
            for seed in given.seeds
        ]  # fmt: skip
        figures = []
        for name in rows[0]:
            values = [row[name] for row in rows]
            figures.append(f"{name} {' '.join(f'{v:.3f}' for v in values)} (mean {np.mean(values):.3f})")
        print(f"{given.kind} {given.method} {json.dumps(settings)}  {'  '.join(figures)}", flush=True)


if __name__ == "__main__":
    main()

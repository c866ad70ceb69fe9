"""The benchmark's LLM labels: real answers of SmolLM2 to Reuters R8 and to the ten largest classes of R52.

Two ways to ask: "fixed" (one solved example a class, the same for all texts) and "pool" (the nearest solved
example out of 64). The settings below are chosen so that 25 to 60 % of the labels are wrong, judged on
100 validation texts of another draw; ``--try`` prints that, for the candidates too. Much hangs on which fixed
demonstrations SmolLM2 sees: six draws gave 25 to 72 % wrong labels. Taken was the draw that is in that range
on both data sets and keeps the most classes recognisable (their most frequent answer is the right one).

Labels depend on the data seed alone, so that all seeds of a method are trained on the same ones and the
model is asked once: its answers stay in the answer store.

python benchmarks/labels.py --try          # the chosen settings and the candidates, on the gold sample
python benchmarks/labels.py --label        # label all four sets, and print their noise
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nlkit.annotate import LocalLLM
from nlkit.annotate.examples import gold_pool
from nlkit.annotate.labelling import label_with_llm
from nlkit.course import DEMONSTRATION_SEED, LABEL_WORDS
from nlkit.data import load_dataset
from nlkit.data.observed import with_column
from nlkit.data.sampling import draw
from nlkit.noise import NoiseReport, noise_report

DATASETS = ("r8", "r52-10")
TRAIN_SIZE = 1000
N_CLASSES = 10  # of R52
N_GOLD, GOLD_SEED = 100, 10  # texts to judge prompts on; drawn apart from the data of any benchmark seed
WANTED = (0.25, 0.60)  # wrong labels


@dataclass(frozen=True)
class Way:
    """How SmolLM2 is asked: demonstrations and the settings of `LocalLLM`.

    The precision is named, bf16, and not left to the machine: another one would answer a little otherwise.
    """

    shots: int
    pool_size: int | None = None
    demonstration_seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def changed(self, shots: int | None = None, seed: int | None = None, **settings: Any) -> Way:
        """Return a copy with other settings."""
        return replace(
            self,
            shots=self.shots if shots is None else shots,
            demonstration_seed=self.demonstration_seed if seed is None else seed,
            settings=self.settings | settings,
        )


_COMMON = {"precision": "bf16", "normalise": "sum", "max_text_tokens": 48}
WAYS = {
    "fixed": Way(
        shots=1,
        demonstration_seed=DEMONSTRATION_SEED,
        settings=_COMMON | {"calibration": "contextual", "list_labels": False},
    ),
    "pool": Way(shots=1, pool_size=64, settings=_COMMON | {"calibration": "batch", "list_labels": True}),
}

CANDIDATES: dict[str, list[Way]] = {
    "fixed": [
        WAYS["fixed"],
        *(WAYS["fixed"].changed(seed=seed) for seed in (0, 1, 2, 4, 5)),
        WAYS["fixed"].changed(calibration="batch"),
        WAYS["fixed"].changed(calibration="none"),
        WAYS["fixed"].changed(list_labels=True),
        WAYS["fixed"].changed(shots=2),
        WAYS["fixed"].changed(max_text_tokens=32),
    ],
    "pool": [
        WAYS["pool"],
        WAYS["pool"].changed(seed=1),
        WAYS["pool"].changed(calibration="none"),
        WAYS["pool"].changed(list_labels=False),
        WAYS["pool"].changed(shots=2),
        WAYS["pool"].changed(shots=4),
        WAYS["pool"].changed(max_text_tokens=32),
    ],
}


def reuters(dataset: str, seed: int, train_size: int) -> DatasetDict:
    """Return train (`train_size` texts, stratified), validation (a tenth of that) and test.

    "r52-10" is R52's ten largest classes in training, numbered anew in alphabetical order.
    """
    if dataset == "r8":
        return load_dataset("r8", train_size=train_size, seed=seed)
    if dataset != "r52-10":
        raise ValueError(f"dataset={dataset!r} is not allowed: one of {', '.join(DATASETS)}")
    sizes = {"train": train_size, "validation": round(0.1 * train_size), "test": None}
    return largest_classes(load_dataset("r52", seed=seed), N_CLASSES, sizes, seed)


def largest_classes(
    ds: DatasetDict, n_classes: int, sizes: Mapping[str, int | None], seed: int = 0
) -> DatasetDict:
    """Return the texts of the largest classes in training, which are numbered anew in their old order.

    `sizes` says how many texts of a split are drawn, stratified; None, or more than there are: all.
    """
    names, counts = ds["train"].features["label"].names, Counter(ds["train"]["label"])
    kept = sorted(sorted(counts, key=lambda c: (-counts[c], c))[:n_classes])
    number, feature = {old: new for new, old in enumerate(kept)}, ClassLabel(names=[names[c] for c in kept])
    rng = np.random.default_rng([seed, 1])
    result = DatasetDict()
    for split, part in ds.items():
        label = np.array([number.get(y, -1) for y in part["label"]])
        chosen, size = np.flatnonzero(label >= 0), sizes[split]
        if size is not None and size < len(chosen):
            chosen = chosen[draw(label[chosen], size, rng)]
        result[split] = with_column(part.select(chosen), "label", label[chosen].tolist(), feature)
    return result


def _annotator(way: Way, ds: DatasetDict, store: str) -> LocalLLM:
    names = ds["train"].features["label"].names
    words = {name: word for name, word in LABEL_WORDS.items() if name in names}
    return LocalLLM("smollm2", label_words=words, store=store, **way.settings)


def _label(
    ds: DatasetDict, way: Way, annotator: LocalLLM, **settings: Any
) -> tuple[DatasetDict, pd.DataFrame]:
    seed = way.demonstration_seed
    pool = None if way.pool_size is None else gold_pool(ds, way.pool_size, seed)
    return label_with_llm(ds, annotator, way.shots, pool, seed=seed, return_report=True, **settings)


def llm_labelled(dataset: str, way: str, seed: int = 0, train_size: int = TRAIN_SIZE) -> DatasetDict:
    """Return a data set whose `noisy_label` is SmolLM2's; asked once, then read from the answer store.

    Parameters
    ----------
    dataset : {"r8", "r52-10"}
    way : {"fixed", "pool"}
    seed : int
        Seed of the data, not of a method: leave it at 0 for all seeds of a method.
    train_size : int
        Training texts; validation has a tenth of that, test is whole and keeps its true labels.
    """
    ds = reuters(dataset, seed, train_size)
    return _label(ds, WAYS[way], _annotator(WAYS[way], ds, "default"))[0]


def gold_sample(dataset: str) -> Dataset:
    """Return the texts that prompts are judged on: validation texts of another draw of the data."""
    validation = reuters(dataset, GOLD_SEED, 2000)["validation"]
    return validation.select(np.random.default_rng(GOLD_SEED).permutation(len(validation))[:N_GOLD])


def try_ways(datasets: Sequence[str], ways: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Ask the gold sample in the chosen and all candidate ways, with the benchmark's own demonstrations."""
    for dataset in datasets:
        ds = DatasetDict(reuters(dataset, 0, TRAIN_SIZE) | {"validation": gold_sample(dataset)})
        for name in ways:
            for way in CANDIDATES[name]:
                annotator = _annotator(way, ds, ":memory:")
                annotator.annotate(["one text"], ds["train"].features["label"].names)  # loads the model
                began = time.perf_counter()
                labelled, _ = _label(ds, way, annotator, splits=["validation"])
                seconds = time.perf_counter() - began
                report = noise_report(labelled, "validation")
                right = np.diag(report.counts)
                present = report.counts.sum(axis=1) > 0
                yield {
                    "dataset": dataset,
                    "way": name,
                    "chosen": way == WAYS[name],
                    "shots": way.shots,
                    "seed": way.demonstration_seed,
                    **{k: way.settings[k] for k in ("calibration", "list_labels", "max_text_tokens")},
                    "wrong": report.rate,
                    "classes_mostly_right": f"{((right == report.counts.max(axis=1)) & present).sum()}"
                    f"/{present.sum()}",
                    "texts_per_s": len(labelled["validation"]) / seconds,
                    "report": report,
                }


def confusion(report: NoiseReport) -> str:
    """Return the counts as text: a row a true class, a column an answer."""
    names = list(report.class_names)
    return pd.DataFrame(report.counts, index=names, columns=names).to_string()


def _print_tries(datasets: Sequence[str], ways: Sequence[str]) -> None:
    for row in try_ways(datasets, ways):
        report = row.pop("report")
        print("  ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))
        if row["chosen"]:
            print(confusion(report))
        sys.stdout.flush()


def _print_labels(datasets: Sequence[str], ways: Sequence[str], train_size: int) -> None:
    for dataset in datasets:
        for way in ways:
            ds = reuters(dataset, 0, train_size)
            annotator = _annotator(WAYS[way], ds, "default")
            began = time.perf_counter()
            ds, report = _label(ds, WAYS[way], annotator)
            seconds = time.perf_counter() - began
            print(f"{dataset}, {way}: {report['n'].sum() / seconds:.1f} texts/s ({seconds:.0f} s)")
            print(report.to_string(index=False))
            noise = noise_report(ds)
            for table in (noise.table, noise.by_length):
                print(table.to_string(index=False))
            print(confusion(noise), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=DATASETS, action="append", help="both by default")
    parser.add_argument("--way", choices=list(WAYS), action="append", help="both by default")
    parser.add_argument("--train-size", type=int, default=TRAIN_SIZE)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--try", dest="tries", action="store_true", help="judge the settings on gold labels")
    action.add_argument("--label", action="store_true", help="label the sets and print their noise")
    arguments = parser.parse_args()
    chosen = arguments.dataset or DATASETS, arguments.way or tuple(WAYS)
    if arguments.tries:
        _print_tries(*chosen)
    else:
        _print_labels(*chosen, arguments.train_size)

"""The sets of labels that defaults are chosen on: language models', keyword rules', and made on purpose.

Beside the packaged data (R52's ten largest classes and 20 Newsgroups, labelled by SmolLM2, with noise made on
purpose, and as they are) any folder of Parquet files can be read (`folder_sets`). Such a file has the columns
split (train, validation, test), text, label (the truth; metrics alone read it) and one or more whose names
begin with "noisy"; −1 is missing. The class names stand beside it, in a JSON file with label_names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import nlkit as nk
from benchmarks.labels import largest_classes, llm_labelled
from benchmarks.running import RATE
from nlkit.data.sampling import draw
from nlkit.study.sweeps.cells import clean_labels

__all__ = ["development_sets", "folder_sets"]

TEST_SIZE = 2000
"""Most test texts of a set."""

VALIDATION_SHARE = 0.2
"""Validation texts at most, as a share of the training texts."""

Load = Callable[[int, int | None], DatasetDict]
"""Seed and training size (None: all) to a data set with noisy labels."""


def development_sets(folder: Path | None = None) -> dict[str, tuple[str, Load]]:
    """Return name → (where its labels come from: "llm", "rules", "made" or "clean"; how it is loaded)."""
    sets: dict[str, tuple[str, Load]] = {
        "r52-10 fixed": ("llm", lambda seed, size: _labelled("r52-10", "fixed", size)),
        "r52-10 pool": ("llm", lambda seed, size: _labelled("r52-10", "pool", size)),
        "20ng pool": ("llm", lambda seed, size: _labelled("20ng", "pool", size)),
    }
    for kind in ("symmetric", "asymmetric", "instance", "clean"):
        where = "clean" if kind == "clean" else "made"
        sets[f"20ng {kind}"] = (where, lambda seed, size, kind=kind: _made("20ng", kind, seed, size))
        sets[f"r52-10 {kind}"] = (where, lambda seed, size, kind=kind: _made("r52-10", kind, seed, size))
    return sets if folder is None else folder_sets(folder) | sets


def folder_sets(folder: Path) -> dict[str, tuple[str, Load]]:
    """Return the sets of a folder's Parquet files: one for each noisy column, one with the true labels."""
    sets: dict[str, tuple[str, Load]] = {}
    for path in sorted(folder.glob("*.parquet")):
        stem, where = path.stem.rsplit("-", 1) if "-" in path.stem else (path.stem, "given")
        columns = [c for c in pd.read_parquet(path).columns if c.startswith("noisy")]
        for column in columns:
            name = f"{stem} {where}" if len(columns) == 1 else f"{stem} {column.removeprefix('noisy_')}"
            kind = {"llm": "llm", "weak": "rules"}.get(where, where)
            sets[name] = (kind, lambda seed, size, p=path, c=column: _from_file(p, c, seed, size))
        sets[f"{stem} clean"] = (
            "clean", lambda seed, size, p=path, c=columns[0]: clean_labels(_from_file(p, c, seed, size)),
        )  # fmt: skip
    return sets


def _from_file(path: Path, column: str, seed: int, size: int | None) -> DatasetDict:
    """Return a file's splits; with a size, texts drawn by the observed labels."""
    table = pd.read_parquet(path)
    feature = ClassLabel(names=json.loads(path.with_suffix(".json").read_text())["label_names"])
    features = Features({"text": Value("string"), "label": feature, "noisy_label": feature})
    result = DatasetDict()
    for split, part in table.groupby("split", sort=False):
        part = part.rename(columns={column: "noisy_label"})[["text", "label", "noisy_label"]]
        part = part.reset_index(drop=True)
        wanted = {"train": size, "validation": _validation_size(size), "test": TEST_SIZE}[str(split)]
        if wanted is not None and wanted < len(part):
            rng = np.random.default_rng([seed, len(part)])
            part = part.iloc[draw(part["noisy_label"].to_numpy() + 1, wanted, rng)]
        result[str(split)] = Dataset.from_pandas(part, features=features, preserve_index=False)
    result["test"] = result["test"].remove_columns("noisy_label")
    return result


def _labelled(dataset: str, way: str, size: int | None) -> DatasetDict:
    """Return SmolLM2's labels: the first `size` of a random order of 1,000 texts, or all of these."""
    ds = llm_labelled(dataset, way)
    return ds if size is None else _first(ds, size)


def _made(source: str, kind: str, seed: int, size: int | None) -> DatasetDict:
    """Return packaged texts with noise made on purpose, or with the true labels."""
    size = 3000 if size is None else size
    if source == "r52-10":
        sizes = {"train": size, "validation": _validation_size(size), "test": TEST_SIZE}
        ds = largest_classes(nk.load_dataset("r52", seed=seed), 10, sizes, seed)
    else:
        ds = nk.load_dataset(source, train_size=size, test_size=TEST_SIZE, seed=seed)
        ds["validation"] = ds["validation"].select(range(min(len(ds["validation"]), _validation_size(size))))
    return clean_labels(ds) if kind == "clean" else nk.add_noise(ds, kind=kind, rate=RATE, seed=seed)


def _first(ds: DatasetDict, size: int) -> DatasetDict:
    """Return the first training texts of a random order, with as many validation texts as go with them."""
    rng = np.random.default_rng(size)
    result = DatasetDict(ds)
    for split, wanted in (("train", size), ("validation", _validation_size(size))):
        part = ds[split]
        result[split] = part.select(rng.permutation(len(part))[:wanted])
    return result


def _validation_size(size: int | None) -> int | None:
    return None if size is None else round(VALIDATION_SHARE * size)

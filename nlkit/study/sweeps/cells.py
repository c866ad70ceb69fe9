"""One cell: load its data, fit its method, evaluate it, and say in one record what came of it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import threading
import time
import traceback
import warnings
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from datasets import DatasetDict, concatenate_datasets

from nlkit import __version__
from nlkit._util import expanded
from nlkit.annotate.plan import Budget
from nlkit.annotate.purse import Purse
from nlkit.data.observed import observed_validation, with_column
from nlkit.noise.making import KINDS
from nlkit.study.sweeps.grid import NAMED, data_of, key_of, resolve
from nlkit.study.sweeps.records import METRICS, SCHEMA

__all__ = ["clean_labels", "failed", "run_cell"]

Job = dict[str, Any]
"""cell, and purse: the arguments of the `Purse` that annotators pay from, None for none."""

PACKAGES = ("datasets", "numpy", "scikit-learn", "torch", "transformers")


def run_cell(job: Job) -> dict[str, Any]:
    """Run a cell and return its record (`nlkit.study.sweeps.records.SCHEMA`), also of one that failed."""
    cell = job["cell"]
    took: dict[str, float] = {}
    with warnings.catch_warnings(record=True) as said, _PeakMemory() as memory:
        warnings.simplefilter("always")
        try:
            found = _found(job, took)
        except Exception as error:
            lines = traceback.format_exception(error)
            found = {"status": "failed", "error": f"{type(error).__name__}: {error}\n\n{''.join(lines[-4:])}"}
    told = list(dict.fromkeys(str(warning.message) for warning in said))
    return blank(cell) | found | took | {"warnings": json.dumps(told), "peak_mb": memory.peak / 1e6}


def failed(job: Job, error: str) -> dict[str, Any]:
    """Return the record of a cell whose process died."""
    return blank(job["cell"]) | {"status": "failed", "error": error, "warnings": "[]"}


def blank(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record that says what the cell is, and nothing yet of what came of it."""
    config = cell["config"]
    record = dict.fromkeys(SCHEMA.names) | {name: cell[name] for name in cell if name in SCHEMA.names}
    record |= {name: config.get(name) for name in ("encoder", "profile", "query_budget")}
    return record | {
        "key": key_of(cell), "status": "done", "error": "", "config": json.dumps(config, sort_keys=True),
        **{who: _told(cell[who]) for who in ("annotator", "labeller")}, "versions": json.dumps(_versions()),
        "revision": _revision(), "questions": 0, "tokens": 0, "money": 0.0,
    }  # fmt: skip


def _told(given: Any) -> str | None:
    return given if isinstance(given, str | None) else json.dumps(given, sort_keys=True)


def _found(job: Job, took: dict[str, float]) -> dict[str, Any]:
    cell, purse = job["cell"], _purse(job["purse"])
    clock = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal clock
        clock, began = time.perf_counter(), clock
        took[f"seconds_{stage}"] = clock - began

    ds = _loaded(json.dumps(data_of(cell)), json.dumps(job["purse"]))
    lap("data")
    method = _method(cell, ds, purse)
    method.fit(ds)
    lap("fit")
    scores = method.evaluate(ds["test"])
    found = {name: scores[name] for name in METRICS} | {"n": int(scores["n"])}
    found["noisy_validation"] = _noisy_validation(ds, method)
    if best := getattr(method, "best_epoch_", None):
        then = method.at_best_epoch()
        again = then.evaluate(ds["test"])
        found |= {f"best_{name}": again[name] for name in METRICS} | {"best_epoch": int(best)}
        found["best_noisy_validation"] = _noisy_validation(ds, then)
    lap("evaluate")
    label, noisy = (np.array(ds["train"][name][:], float) for name in ("label", "noisy_label"))
    both = (label >= 0) & (noisy >= 0)
    spent = getattr(purse, "mine", purse.spent)
    history = getattr(method, "history_", None)
    return found | {
        "n_train": len(label), "wrong": float((label != noisy)[both].mean()) if both.any() else None,
        "history": "[]" if history is None else history.to_json(orient="records", double_precision=8),
        "questions": len(getattr(method, "annotations_", ())), "tokens": spent.tokens, "money": spent.money,
    }  # fmt: skip


def _noisy_validation(ds: DatasetDict, method: Any) -> float | None:
    """Return the accuracy by noisy validation labels; None without any, or where each is a question."""
    if observed_validation(ds) is None or getattr(method, "needs_annotator", False):
        return None
    part = ds["validation"]
    noisy = part["noisy_label"][:]
    return float(method.evaluate(with_column(part, "label", noisy, part.features["noisy_label"]))["accuracy"])


@lru_cache(maxsize=2)  # the cells of the same data follow one another
def _loaded(given: str, purse: str) -> DatasetDict:
    return load_data(*[*json.loads(given), _purse(json.loads(purse))])


def load_data(
    dataset: str, size: int | None, test_size: int | None, noise: Any, rate: float, seed: int,
    labeller: Any = None, shots: int = 0, purse: Budget | None = None,
) -> DatasetDict:  # fmt: skip
    """Return the data of a cell, with its noisy labels; see `nlkit.study.sweeps.grid.cells_of`."""
    from nlkit.annotate.labelling import label_with_llm
    from nlkit.data.loading import load_dataset
    from nlkit.noise.making import add_noise
    from nlkit.study.comparing import own_data

    if NAMED.fullmatch(dataset) and not expanded(dataset).exists():
        ds = resolve(dataset)(seed, size)
    elif expanded(dataset).exists():
        ds = own_data(dataset, train_size=size, test_size=test_size, seed=seed)
    else:
        ds = load_dataset(dataset, train_size=size, test_size=test_size, seed=seed)
    if noise in KINDS:
        return add_noise(ds, kind=noise, rate=rate, seed=seed)
    if noise == "llm":
        return label_with_llm(ds, _annotator(labeller, ds, seed, purse), shots=shots)
    return clean_labels(ds) if noise == "clean" else ds


def clean_labels(ds: DatasetDict) -> DatasetDict:
    """Return data whose observed labels are the true ones."""
    return DatasetDict({
        name: with_column(part, "noisy_label", part["label"][:], part.features["label"])
        if name != "test" else part
        for name, part in ds.items()
    })  # fmt: skip


def _method(cell: Mapping[str, Any], ds: DatasetDict, purse: Budget) -> Any:
    from nlkit.methods.registry import METHODS

    made, settings = cell["made"], dict(cell["settings"])
    # SetFit is public, but in no list.
    kind = METHODS[made] if made in METHODS else resolve(made if ":" in made else f"nlkit:{made}")
    if cell["annotator"] is not None:
        settings["annotator"] = _annotator(cell["annotator"], ds, cell["seed"], purse)
    elif "query_budget" in settings:
        settings["annotator"] = None
    return kind(**settings)


def _annotator(given: Any, ds: DatasetDict, seed: int, purse: Budget | None) -> Any:
    from nlkit import annotate

    if not isinstance(given, Mapping):
        return given
    arguments = dict(given)
    kind = getattr(annotate, arguments.pop("kind"))
    if kind is annotate.Simulated:
        # A labeller is asked about validation texts too, and who predicts alone about those to test on.
        known = [ds[name].select_columns(["text", "label"]) for name in sorted(ds)]
        arguments = {"reference": concatenate_datasets(known), "seed": seed} | arguments
    elif issubclass(kind, annotate.OpenAIChat):
        arguments["budget"] = purse
    return kind(**arguments)


def _purse(given: Mapping[str, Any] | None) -> Budget:
    return Purse(**given) if given else Budget(questions=10**9)  # that one only counts


class _PeakMemory:
    """The most memory of this process inside the block, in bytes, sampled twenty times a second."""

    def __enter__(self) -> _PeakMemory:
        self._process, self._stop = psutil.Process(), threading.Event()
        self.peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()


@cache
def _versions() -> dict[str, str]:
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"nlkit": __version__, "python": platform.python_version()} | found


@cache
def _revision() -> str:
    """Return the commit of nlkit's own clone, with "+" if files differ from it; "" where it is no clone."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return ""
    try:
        named = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
        return subprocess.run(named, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""

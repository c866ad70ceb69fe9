"""Whole fits alone and beside two busy processes, and what a user would run instead.

python benchmarks/busy.py         # on a machine that does nothing else

Each row is a process of its own, with an empty cache, that imports nlkit before torch, as notebooks do;
loading is not counted. The busy processes never rest: on two cores a fit has half of them left at best.
"Default threads" is what PyTorch does by itself: as many as there are cores for every step, spinning while
they wait. The Trainer row is transformers' own, all layers of the same encoder, with its defaults but for
epochs and batch size.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nlkit as nk  # before torch
from benchmarks.cost import peak_mb
from benchmarks.tables import markdown

WORK = (256, 178, 256)  # training, validation and test texts of R8
MOST_S = 60.0
"""Seconds after which a fit is given up."""

LONGER = {"epochs": 3, "diffusion_epochs": 3}
ROWS: dict[str, dict[str, Any]] = {
    "SiDyP, quick": {"method": "SiDyP", "profile": "quick"},
    "NoiseAL, quick, nobody asked": {
        "method": "NoiseAL", "profile": "quick", "annotator": None, "query_budget": 0,
    },
    "CE, quick": {"method": "Baseline", "profile": "quick"},
    "CE, class": {"method": "Baseline", "profile": "class"},
    "transformers' Trainer, six epochs": {"method": "Trainer", "epochs": 6, "batch_size": 32},
    "SiDyP, class, 3 + 3 epochs": {"method": "SiDyP", "profile": "class", **LONGER},
    "the same, default threads": {"method": "SiDyP", "profile": "class", **LONGER, "default_threads": True},
}  # fmt: skip


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes computing inside the block, or as long as this one lives."""
    forever = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"
    others = [subprocess.Popen([sys.executable, "-c", forever]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def child(job: dict[str, Any]) -> None:
    """Fit and evaluate alone, then beside others; print a line of JSON after each."""
    import warnings

    import torch

    from nlkit.models.encoder import TextEncoder

    def give_up(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, give_up)
    warnings.simplefilter("ignore")
    method, default = job.pop("method"), job.pop("default_threads", False)
    ds = nk.load_dataset("r8", *WORK[:2], test_size=WORK[2], seed=0)
    ds = nk.add_noise(ds, kind="symmetric", rate=0.4, seed=0)
    TextEncoder("minilm", trainable_layers=0, device="cpu")  # the process keeps what it loads
    if default:
        torch.set_num_threads = lambda n: None  # no step gets fewer
    for others in (0, 2):
        with tempfile.TemporaryDirectory() as place, busy(others):
            os.environ["NLKIT_CACHE"] = place
            began = time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, MOST_S)
            try:
                if method == "Trainer":
                    right = by_trainer(ds, Path(place), **job)
                else:
                    clf = getattr(nk, method)(device="cpu", **job).fit(ds)
                    right = clf.evaluate(ds["test"])["accuracy"]
            except TimeoutError:
                continue
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            taken = time.perf_counter() - began
        print(json.dumps({"seconds": taken, "accuracy": right, "mb": peak_mb()}), flush=True)


def by_trainer(ds: Any, place: Path, epochs: int, batch_size: int) -> float:
    """Fine-tune MiniLM on the noisy labels with transformers' Trainer; return the test accuracy."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    from nlkit.data.packaged import resolve_model

    source, names = resolve_model("minilm"), ds["train"].features["label"].names
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=len(names))

    def tokens(part: Any, label: str) -> Any:
        cut = {"truncation": True, "max_length": 64}
        made = part.map(lambda row: {**tokenizer(row["text"], **cut), "y": row[label]})
        return made.select_columns(["input_ids", "attention_mask", "y"]).rename_column("y", "labels")

    arguments = TrainingArguments(
        str(place / "trainer"), num_train_epochs=epochs, per_device_train_batch_size=batch_size, report_to=[],
        save_strategy="no", use_cpu=True, disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    trainer = Trainer(
        model, arguments, train_dataset=tokens(ds["train"], "noisy_label"),
        data_collator=DataCollatorWithPadding(tokenizer),
    )  # fmt: skip
    trainer.train()
    said = trainer.predict(tokens(ds["test"], "label"))
    return float((said.predictions.argmax(1) == said.label_ids).mean())


def measure_row(name: str) -> dict[str, Any]:
    """Run one row's process; None stands for what took longer than `MOST_S`, the second before the first."""
    job, environment = dict(ROWS[name]), dict(os.environ)
    if job.get("default_threads"):
        environment |= {"OMP_WAIT_POLICY": "active"}
        environment.pop("NLKIT_THREADS", None)
    command = [sys.executable, __file__, json.dumps(job)]
    said = subprocess.check_output(command, env=environment, text=True)
    found = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    alone, beside = [*found, None, None][:2]
    print(name, alone, beside, sep="  ", flush=True)
    return {"name": name, "alone": alone, "beside": beside}


def measure() -> dict[str, Any]:
    """Measure all rows, one after the other."""
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "rows": [measure_row(name) for name in ROWS]}


def summarise(result: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    rows = []
    for row in result["rows"]:
        alone, beside = row["alone"], row["beside"]
        rows.append([
            row["name"],
            *(f"{part['seconds']:.1f} s" if part else f"over {MOST_S:.0f} s" for part in (alone, beside)),
            f"{beside['seconds'] / alone['seconds']:.1f}" if alone and beside else "",
            f"{max(part['mb'] for part in (alone, beside) if part):.0f} MB" if alone else "",
            f"{alone['accuracy']:.3f}" if alone else "",
        ])  # fmt: skip
    what = f"{WORK[0]} + {WORK[1]} + {WORK[2]} texts of R8"
    return markdown([what, "alone", "beside two busy processes", "ratio", "peak", "accuracy"], rows)


def main() -> None:
    """Be the child of `measure_row`, or measure, print and write."""
    if len(sys.argv) > 1:
        child(json.loads(sys.argv[1]))
        return
    from benchmarks.run import keep, machine

    found = measure()
    keep(Path(__file__).parent / "results", "busy", summarise(found), {"machine": machine(), **found})


if __name__ == "__main__":
    main()

"""Time and peak memory of SiDyP, stage by stage, and how both grow with texts, classes and epochs.

Each job runs on the CPU in a process of its own with an empty cache, so that nothing is reused. Time is that
of loading the encoder, `fit` and `evaluate`; memory also that of the libraries and the data.

OMP_NUM_THREADS=2 python benchmarks/cost.py [--smoke]
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nlkit as nk
from benchmarks.labels import largest_classes
from benchmarks.tables import markdown

Job = dict[str, Any]
Measured = dict[str, Any]

STAGES = {
    "before": "libraries and data (not timed)", "loading": "load the encoder",
    "encode": "encode (frozen layers, text embeddings)", "first": "first stage",
    "prior": "detection and prior", "diffusion": "diffusion", "prediction": "prediction of the test texts",
}  # fmt: skip
WANTED_S, WANTED_MB = {"quick": 10, "class": 40, "all": 130}, 1500
WORDS = 18  # R8's texts cut to so many words have about 25 tokens
PARTS = {
    "reference": "The reference work: {train} + {validation} + {test} texts of R8, each cut to its first "
    "{words} words (mean {tokens:.1f} tokens), 3 branches, {settings[epochs]} + {settings[diffusion_epochs]} "
    "epochs. The authors' released code took 413 s and 6.5 GB, padded to 128 tokens, on two cores of another "
    "machine: orientation only.",
    "texts": "{dataset}, {classes} classes, validation a tenth and test half of the training texts",
    "classes": "the largest classes of {dataset}, {train} training texts",
    "epochs": "the first stage's epochs, {dataset}, {train} training texts",
}


class Stopwatch:
    """Seconds, CPU seconds (of all threads) and peak memory of stages, by wrapping functions.

    A stage inside another one stops the outer one's clock, but what the prediction calls belongs to it.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self.peak_mb = {"before": peak_mb()}
        self._stack, self._since = ["other"], (time.perf_counter(), time.process_time())

    def timed(self, plain: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return a function every call of which counts to a stage."""

        @functools.wraps(plain)
        def measured(*arguments: Any, **named: Any) -> Any:
            self.lap()
            self._stack.append("prediction" if self._stack[-1] == "prediction" else stage)
            try:
                return plain(*arguments, **named)
            finally:
                self.lap()
                self._stack.pop()

        return measured

    def lap(self) -> None:
        """Credit time and memory since the last lap to the present stage."""
        stage, (wall, cpu) = self._stack[-1], self._since
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - wall
        self.cpu[stage] = self.cpu.get(stage, 0.0) + time.process_time() - cpu
        self.peak_mb[stage] = max(self.peak_mb.get(stage, 0.0), peak_mb())
        self._since = time.perf_counter(), time.process_time()


def peak_mb() -> float:
    """Return the highest resident set since the last call, in MB; where Linux is not, since the start."""
    try:
        # Not getrusage where it can be helped: a child inherits its parent's peak there.
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    return peak * 1024 / 1e6


def data(job: Job) -> DatasetDict:
    """Return a job's texts with 40 % symmetric noise."""
    if job.get("classes"):
        ds = largest_classes(nk.load_dataset(job["dataset"], seed=0), job["classes"], job)
    else:
        ds = nk.load_dataset(job["dataset"], job["train"], job["validation"], test_size=job["test"])
    if job.get("words"):
        ds = ds.map(lambda row: {"text": " ".join(row["text"].split()[: job["words"]])})
    return nk.add_noise(ds, kind="symmetric", rate=0.4, seed=0)


def child(job: Job) -> Measured:
    """Fit and evaluate once in this process; return time and peak memory by stage."""
    from nlkit.methods.sidyp import method as sidyp
    from nlkit.methods.sidyp import refinement
    from nlkit.models import encoder

    ds = data(job)
    clf = nk.SiDyP(profile=job["profile"], device="cpu", **job["settings"])
    watch = Stopwatch()
    watch.timed(encoder.TextEncoder, "loading")("minilm", device="cpu")  # the process keeps what it loads
    for owner, name, stage in (
        (encoder.TextEncoder, "prepare", "encode"), (sidyp.SiDyP, "_first_stage", "first"),
        (sidyp, "suspects", "prior"), (sidyp.SiDyP, "_prior", "prior"),
        (sidyp.SiDyP, "_refinement", "diffusion"),
        (refinement.Refinement, "fit", "diffusion"), (sidyp.SiDyP, "evaluate", "prediction"),
    ):  # fmt: skip
        setattr(owner, name, watch.timed(getattr(owner, name), stage))
    metrics = clf.fit(ds).evaluate(ds["test"])
    watch.lap()
    tokens = clf.branches_.encoder.tokenize(ds["train"]["text"]).lengths
    return {
        **job, **{split: len(part) for split, part in ds.items()}, "classes": len(clf.label_names_),
        "tokens": float(tokens.mean()), "total_s": sum(watch.seconds.values()), "seconds": watch.seconds,
        "cpu": watch.cpu, "cpu_s": sum(watch.cpu.values()), "total_mb": max(watch.peak_mb.values()),
        "peak_mb": watch.peak_mb, "open": float((clf.prior_["case"] != "certain").mean()),
        "condition_size": clf.denoiser_.condition.weight.shape[1],
        "parameters": sum(p.numel() for p in clf.denoiser_.parameters()), "accuracy": metrics["accuracy"],
    }  # fmt: skip


def run_job(job: Job) -> Measured:
    """Run one job in a fresh process with an empty cache."""
    command = [sys.executable, __file__, "--child", json.dumps(job)]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NLKIT_CACHE": cache}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the job {job} failed:\n{done.stderr[-3000:]}")
    r: Measured = json.loads(done.stdout.splitlines()[-1])
    stages = "  ".join(f"{stage} {s:.2f}" for stage, s in r["seconds"].items())
    summary = f"{r['total_s']:.1f} s (CPU {r['cpu_s']:.1f}), {r['total_mb']:.0f} MB"
    print(job["part"], job["name"], summary, stages, sep="  ", flush=True)
    return r


def jobs(*, smoke: bool = False) -> list[Job]:
    """Return the reference work in three settings, then growth with texts, classes and epochs."""
    short = {"epochs": 1, "diffusion_epochs": 1} if smoke else {}

    def job(part: str, name: str | int, dataset: str, n: int, **more: Any) -> Job:
        sizes = {"train": n, "validation": n // 10, "test": n // 2, "profile": "quick", "settings": short}
        return {"part": part, "name": name, "dataset": dataset} | sizes | more

    sizes = {"validation": 24, "test": 32} if smoke else {"validation": 178, "test": 256}
    found = []
    for name, profile, extra in (
        ("quick", "quick", {}), ("class", "class", {}), ("all", "class", {"trainable_layers": "all"})
    ):  # fmt: skip
        work = {"words": WORDS, "profile": profile, **sizes}
        settings = {"epochs": 3, "diffusion_epochs": 3, **extra, **short}
        found.append(job("reference", name, "r8", 32 if smoke else 256, **work, settings=settings))
    for n in (60, 120) if smoke else (500, 1000, 2000, 4000, 8000):
        found.append(job("texts", n, "20ng", n))
    for c in (4, 8) if smoke else (4, 10, 20, 50):
        found.append(job("classes", c, "r52", 120 if smoke else 1000, classes=c))
    for e in (1, 2) if smoke else (3, 6, 12, 24):
        found.append(job("epochs", e, "r8", 60 if smoke else 500, settings={**short, "epochs": e}))
    return found


def measure(*, smoke: bool = False, parts: Sequence[str] = tuple(PARTS)) -> dict[str, Any]:
    """Run all jobs, or those of some parts, one after the other; `smoke` uses little data."""
    return {"runs": [run_job(job) for job in jobs(smoke=smoke) if job["part"] in parts]}


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Return b of the fit y = a · x^b, by least squares of the logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _reference(runs: list[Measured]) -> list[str]:
    rows = [
        [title, *(f"{r['seconds'].get(s, 0):.2f} s, {r['peak_mb'][s]:.0f} MB" for r in runs)]
        for s, title in STAGES.items()
    ]
    rows += [
        ["all", *(f"{r['total_s']:.1f} s, {r['total_mb']:.0f} MB" for r in runs)],
        ["all, CPU time", *(f"{r['cpu_s']:.1f} s" for r in runs)],
        ["wanted, at most", *(f"{WANTED_S[r['name']]} s, {WANTED_MB} MB" for r in runs)],
    ]
    head = ["stage: time, peak memory", *(r["name"] for r in runs)]
    return [PARTS["reference"].format(**runs[0]), markdown(head, rows)]


def _growth(part: str, runs: list[Measured]) -> list[str]:
    """Return one table: seconds by stage and size, with the exponent of the growth."""
    x, a_text = [float(r["name"]) for r in runs], part == "texts"
    rows = []
    for stage, title in {**STAGES, "all": "all"}.items():
        y = [{"all": r["total_s"], **r["seconds"]}.get(stage, 0.0) for r in runs]
        if all(y):
            cells = [f"{v:.2f}" + f" ({1000 * v / n:.1f})" * a_text for v, n in zip(y, x, strict=True)]
            rows.append([title, *cells, f"{exponent(x, y):.2f}"])
    slope = np.polyfit(x, [r["total_mb"] for r in runs], 1)[0]
    rows += [
        ["all, CPU time", *(f"{r['cpu_s']:.2f}" for r in runs), ""],
        ["peak memory, MB", *(f"{r['total_mb']:.0f}" for r in runs), f"{slope:+.2f} MB each"],
        ["the denoiser's parameters", *(f"{r['parameters']:,}" for r in runs), ""],
        ["width of its condition", *(f"{r['condition_size']}" for r in runs), ""],
        ["texts whose prior is not certain", *(f"{r['open']:.0%}" for r in runs), ""],
    ]
    title = f"Growth with {part}: {PARTS[part]}, profile {{profile}}. Exponent 1 is linear.".format(**runs[0])
    head = [f"{part}: seconds" + " (ms a training text)" * a_text, *(f"{v:.0f}" for v in x), "exponent"]
    return [title, markdown(head, rows)]


def summarise(result: dict[str, Any]) -> str:
    """Return all tables as Markdown."""
    parts: list[str] = []
    for part in PARTS:
        if runs := [r for r in result["runs"] if r["part"] == part]:
            parts += _reference(runs) if part == "reference" else _growth(part, runs)
    return "\n\n".join(parts)


def main() -> None:
    """Be the child of `run_job`, or print the tables of some parts; run.py writes those of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="little data: does it run?")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(json.loads(given.child))))
    else:
        print(summarise(measure(smoke=given.smoke, parts=given.only)))


if __name__ == "__main__":
    main()

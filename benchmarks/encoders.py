"""How fast the frozen layers run in each precision and by other runtimes, and what a larger encoder gains.

python benchmarks/encoders.py                        # mpnet too where requirements/mpnet.txt is installed
python benchmarks/encoders.py --sets FOLDER          # and what is gained on a folder's sets (sets.py)
python benchmarks/encoders.py --only speed           # or quality

Every way runs over the same batches in turns, so that what else the machine does harms all alike; the best of
the rounds counts. The error is that of the pooled vectors, relative to float32 (L2). A way of `nlkit` is the
one that `TextEncoder` takes; the others are here for comparison: torch's dynamic int8 (deprecated), int8 with
a scale for each token, and, where they are installed, ONNX Runtime and OpenVINO.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import nlkit as nk
from benchmarks.gpu import matrix_peak
from benchmarks.running import Job, Results, remembered
from benchmarks.sets import development_sets
from benchmarks.tables import markdown
from nlkit.data.packaged import installed
from nlkit.models.batching import Batch, sorted_batches
from nlkit.models.device import autocast
from nlkit.models.encoder import TextEncoder, _last_states, mean_pool

CPU = torch.device("cpu")
OURS = {"no": "nlkit, float32", "bf16": "nlkit, bf16"}
SETS = ("bias gpt_4", "yelp weak", "chemprot weak", "20ng symmetric", "20ng clean")
METHODS = {"frozen": "logistic regression on frozen vectors", "ce": "CE", "sidyp": "SiDyP"}
Way = Callable[[Batch], NDArray[np.float32]]


class Int8(nn.Module):
    """A linear layer in int8: weights with a scale for each output, inputs with one for each token."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.scale, self.bias = weight.abs().amax(1) / 127, linear.bias.detach()
        self.weight = (weight / self.scale[:, None]).round().to(torch.int8).T.contiguous()

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        scale = rows.abs().amax(1, keepdim=True).clamp(min=1e-9) / 127
        product = torch._int_mm((rows / scale).round().to(torch.int8), self.weight)
        return torch.addcmul(self.bias, product.float() * scale, self.scale).view(*x.shape[:-1], -1)


def with_layers(model: nn.Module, kind: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """Return a copy of a model whose linear layers are of another kind."""
    model = copy.deepcopy(model)
    for part in list(model.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.Linear):
                setattr(part, name, kind(child))
    return model


def by_torch(model: nn.Module, precision: str = "no") -> Way:
    @torch.inference_mode()
    def run(batch: Batch) -> NDArray[np.float32]:
        with autocast(precision, CPU):
            return mean_pool(_last_states(model, batch), batch.mask).float().numpy()

    return run


def other_runtimes(model: nn.Module, folder: Path) -> dict[str, Way]:
    """Return ONNX Runtime and OpenVINO, in float32's place and in int8, as far as they are installed."""
    ways: dict[str, Way] = {}
    if not find_spec("onnx"):
        return ways
    wrapped = _Plain(copy.deepcopy(model))
    wrapped.model.set_attn_implementation("eager")
    names, shape = ["input_ids", "attention_mask"], torch.ones(2, 16, dtype=torch.long)
    free = {name: {0: "texts", 1: "tokens"} for name in [*names, "states"]}
    whole = str(folder / "whole.onnx")
    torch.onnx.export(
        wrapped, (shape, shape), whole, input_names=names, output_names=["states"], dynamic_axes=free,
        dynamo=False, opset_version=17,
    )  # fmt: skip

    def pooled(run: Callable[[dict[str, Any]], Any]) -> Way:
        def way(batch: Batch) -> NDArray[np.float32]:
            tokens, mask = (part.long().numpy() for part in vars(batch).values())
            states = run({"input_ids": tokens, "attention_mask": mask})
            return mean_pool(torch.from_numpy(np.array(states)), batch.mask).numpy()

        return way

    if find_spec("onnxruntime"):
        import onnxruntime as ort
        from onnxruntime.quantization import QuantType, quantize_dynamic

        small = str(folder / "small.onnx")
        quantize_dynamic(whole, small, weight_type=QuantType.QInt8, per_channel=True)
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        for name, path in (("float32", whole), ("int8", small)):
            session = ort.InferenceSession(path, options)
            ways[f"ONNX Runtime, {name}"] = pooled(lambda given, s=session: s.run(None, given)[0])
    if find_spec("openvino"):
        import openvino

        core = openvino.Core()
        for name, hint in (("float32", "f32"), ("bf16", "bf16")):
            settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
            compiled = core.compile_model(core.read_model(whole), "CPU", settings)
            ways[f"OpenVINO, {name}"] = pooled(lambda given, c=compiled: c(given)[0])
    return ways


class _Plain(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states


def speeds(name: str, n: int, rounds: int, *, others: bool) -> list[dict[str, Any]]:
    """Time an encoder's frozen layers over texts of 20 Newsgroups; one row a way."""
    texts = nk.load_dataset("20ng", train_size=max(n, 100), test_size=100, seed=0)["train"]["text"][:n]
    encoder = TextEncoder(name, trainable_layers=0, cache=False, device="cpu")
    tokens, model = encoder.tokenize(texts), encoder._trunk[0]
    ways = {title: by_torch(model, precision) for precision, title in OURS.items()}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if others:
            ways["torch, int8, a scale a token"] = by_torch(with_layers(model, Int8))
            dynamic = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear})
            ways["torch, dynamic int8 (deprecated)"] = by_torch(dynamic)
            ways |= other_runtimes(model, Path(folder))
        batches = list(sorted_batches(tokens.lengths, 64))
        taken: dict[str, list[float]] = {title: [] for title in ways}
        found: dict[str, NDArray[np.float32]] = {}
        for _ in range(rounds):
            for title, way in ways.items():
                rows, began = np.empty((n, encoder.width), np.float32), time.perf_counter()
                for index in batches:
                    rows[index] = way(tokens.batch(index))
                taken[title].append(time.perf_counter() - began)
                found[title] = rows
    linear = [m for name, m in model.named_modules() if isinstance(m, nn.Linear) and "pooler" not in name]
    whole, work = found[OURS["no"]], 2 * sum(m.weight.numel() for m in linear) * int(tokens.lengths.sum())
    peak = {"float32": matrix_peak(CPU, 1024, torch.float32), "bf16": matrix_peak(CPU, 1024, torch.bfloat16)}
    rows_ = []
    for title, seconds in taken.items():
        kind = title.partition(", ")[2]
        rate = work / min(seconds) / 1e12
        rows_.append({
            "encoder": name, "way": title, "texts_per_s": n / min(seconds),
            "tokens_per_s": int(tokens.lengths.sum()) / min(seconds), "tflops": rate,
            "of_peak": rate / peak[kind] if kind in peak else None,
            "ratio": min(taken[OURS["no"]]) / min(seconds),
            "error": float(np.linalg.norm(found[title] - whole) / np.linalg.norm(whole)),
        })  # fmt: skip
    return rows_


def quality(job: Job) -> Results:
    """Fit logistic regression on frozen vectors, CE and SiDyP in profile quick."""
    n, encoder, folder = job["n"], job["encoder"], job["folder"]
    ds = development_sets(folder and Path(folder))[job["set"]][1](job["seed"], n)
    test = ds["test"].select(range(min(len(ds["test"]), n)))
    shared = {"encoder": encoder, "profile": "quick", "seed": job["seed"], "device": "cpu"}
    methods = {
        "frozen": nk.LinearModel(**shared), "ce": nk.Baseline(**shared), "sidyp": nk.SiDyP(**shared),
    }  # fmt: skip
    return {name: method.fit(ds).evaluate(test) for name, method in methods.items()}


def qualities(
    encoders: Sequence[str], sets: Sequence[str], folder: Path | None, n: int, seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Return a row for each encoder, set and seed; what was measured before is taken from the cache."""
    rows = []
    there = [name for name in sets if name in development_sets(folder)]
    for seed, name, encoder in itertools.product(seeds, there, encoders):
        job = {"set": name, "seed": seed, "encoder": encoder, "n": n, "folder": folder and str(folder)}
        found = remembered(quality, False, job)
        rows.append({**job, **{method: found[method]["accuracy"] for method in METHODS}})
        rows[-1].pop("folder")
        print(*rows[-1].values(), sep="  ", flush=True)
    return rows


def measure(
    *,
    smoke: bool = False,
    only: Sequence[str] = ("speed", "quality"),
    folder: Path | None = None,
    seeds: Sequence[int] = (0, 1, 2),
) -> dict[str, Any]:
    """Measure both; `smoke` uses little data. mpnet only where it is installed."""
    encoders = ("minilm", "mpnet") if installed("mpnet") and not smoke else ("minilm",)
    result: dict[str, Any] = {}
    if "speed" in only:
        result["speed"] = []
    for encoder in encoders if "speed" in only else ():
        n, rounds = (16, 1) if smoke else (256 if encoder == "minilm" else 64, 3)
        result["speed"] += speeds(encoder, n, rounds, others=encoder == "minilm")
    if "quality" in only:
        sets, n = (("20ng symmetric",), 60) if smoke else (SETS, 250)
        result["quality"] = qualities(encoders, sets, folder, n, seeds)
    return result


def summarise(result: dict[str, Any]) -> str:
    """Return both tables as Markdown."""
    parts = []
    if result.get("speed"):
        head = [
            "frozen layers",
            "texts/s",
            "tokens/s",
            "TFLOP/s",
            "of the product's peak",
            "of float32's speed",
            "error",
        ]
        rows = [
            [
                f"{r['encoder']}: {r['way']}", f"{r['texts_per_s']:.0f}", f"{r['tokens_per_s']:,.0f}",
                f"{r['tflops']:.2f}", f"{r['of_peak']:.0%}" if r["of_peak"] else "", f"{r['ratio']:.2f}",
                f"{r['error']:.1%}",
            ]
            for r in result["speed"]
        ]  # fmt: skip
        parts.append(markdown(head, rows))
    if result.get("quality"):
        runs = pd.DataFrame(result["quality"])
        encoders = list(dict.fromkeys(runs["encoder"]))
        rows = []
        for name, part in runs.groupby("set", sort=False):
            cells = []
            for method in METHODS:
                for encoder in encoders:
                    values = 100 * part.loc[part["encoder"] == encoder, method]
                    cells.append(
                        f"{values.mean():.1f}" + (f" ± {values.std():.1f}" if len(values) > 1 else "")
                    )
            rows.append([str(name), str(part["n"].iloc[0]), *cells])
        head = [
            "accuracy, %",
            "texts",
            *(f"{title}, {encoder}" for title in METHODS.values() for encoder in encoders),
        ]
        parts.append(markdown(head, rows))
    return "\n\n".join(parts)


def main() -> None:
    """Measure, print and write."""
    from benchmarks.run import keep, machine

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--smoke", action="store_true", help="little data: does it run?")
    parser.add_argument("--only", nargs="+", choices=("speed", "quality"), default=("speed", "quality"))
    parser.add_argument("--sets", type=Path, help="folder of labelled Parquet files")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    stored, found = given.out / "encoders.json", {"speed": [], "quality": []}
    if stored.is_file():  # the part that is not measured stays
        found = json.loads(stored.read_text())
    found |= {"machine": machine()} | measure(
        smoke=given.smoke, only=given.only, folder=given.sets, seeds=given.seeds
    )
    keep(given.out, "encoders", summarise(found), found)


if __name__ == "__main__":
    main()

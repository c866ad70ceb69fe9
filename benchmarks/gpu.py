"""How much of a GPU training uses: plain cross-entropy, NoiseAL and SiDyP in profile paper.

    python benchmarks/gpu.py             # a BERT-base-size encoder on a GPU, a tiny one on a CPU

The encoder has random weights and a vocabulary made from the texts, so nothing is downloaded: only time is
measured. Texts are R8's where they are installed, else drawn, about 103 tokens long. Work is counted as 6
floating-point operations a token and weight of the encoder's layers and the heads (2 forwards, 4 backwards);
embedding tables, attention scores, padding and the optimizer count nothing. Start-up (loading, the kernels'
first run) is a fit before the first one, of one epoch, which is printed apart. In a fit's first two epochs
the shapes of its batches are new or are being recorded (`nlkit.training.graphs`); the last epoch shows what
it settles at.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import nlkit as nk
from benchmarks.tables import markdown
from nlkit.methods.sidyp.refinement import Refinement
from nlkit.models.device import choose_device
from nlkit.training.config import PAPER
from nlkit.training.trainer import Trainer

CLASSES = 8
BASE: dict[str, Any] = {}  # transformers' defaults are BERT-base's sizes
TINY: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
}  # fmt: skip


def drawn_texts(n: int, seed: int = 0, mean_words: int = 105) -> DatasetDict:
    """Return texts of random words, some of which tell the class; splits train, validation (a tenth)."""
    rng = np.random.default_rng(seed)

    def split(size: int) -> Dataset:
        label = rng.integers(0, CLASSES, size)
        length = np.clip(rng.lognormal(np.log(mean_words) - 0.18, 0.6, size), 8, 400).astype(int)
        common = rng.zipf(1.3, (size, 400)) % 5000
        telling = 5000 + 20 * label[:, None] + rng.integers(0, 20, (size, 400))
        number = np.where(rng.random((size, 400)) < 0.3, telling, common)
        texts = [" ".join(f"w{w}" for w in row[:k]) for row, k in zip(number, length, strict=True)]
        names = ClassLabel(names=[f"class {c}" for c in range(CLASSES)])
        return Dataset.from_dict(
            {"text": texts, "label": label.tolist()}, Features({"text": Value("string"), "label": names})
        )

    return DatasetDict(train=split(n), validation=split(max(CLASSES, n // 10)))


def texts_to_learn(n: int) -> tuple[DatasetDict, str]:
    """Return training and validation texts with 40 % wrong labels, and what they are."""
    try:
        ds, name = nk.load_dataset("r8", train_size=n, seed=0), "R8"
    except (RuntimeError, OSError, ValueError):
        ds, name = drawn_texts(n), "drawn"
    return nk.add_noise(ds, kind="symmetric", rate=0.4, seed=0), name


def new_encoder(folder: Path, texts: Sequence[str], **sizes: Any) -> str:
    """Save a BERT with random weights, and a tokenizer that knows the texts' words; return the folder."""
    from transformers import BertConfig, BertModel, BertTokenizer

    words = Counter(word for text in texts for word in text.lower().split())
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    config = BertConfig(**sizes)
    kept = [word for word, _ in words.most_common(config.vocab_size - len(special)) if word not in special]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(special + kept) + "\n", "utf-8")
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return str(folder)


def matrix_peak(device: torch.device, size: int, kind: torch.dtype = torch.bfloat16) -> float:
    """Return TFLOP/s of products of square matrices, by default in bf16, the mean of ten."""
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    for _ in range(3):
        a @ b
    with _clock(device) as seconds:
        for _ in range(10):
            a @ b
    return 10 * 2 * size**3 / seconds[0] / 1e12


@contextmanager
def _clock(device: torch.device) -> Iterator[list[float]]:
    """Add the seconds inside the block to a list, when the device has finished too."""
    found: list[float] = []
    _finish(device)
    started = time.perf_counter()
    yield found
    _finish(device)
    found.append(time.perf_counter() - started)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def _stages(device: torch.device) -> Iterator[dict[str, list[float]]]:
    """List the seconds of each epoch's training steps, of predictions and of the second stage's epochs."""
    seconds: dict[str, list[float]] = {"steps": [], "predictions": [], "diffusion": []}
    wrapped = [
        (Trainer, "_train_epoch", "steps"), (Trainer, "predict", "predictions"),
        (Refinement, "_epoch", "diffusion"),
    ]  # fmt: skip
    plain = [getattr(owner, name) for owner, name, _ in wrapped]

    def timed(call: Any, stage: str) -> Any:
        def run(*arguments: Any, **named: Any) -> Any:
            with _clock(device) as found:
                result = call(*arguments, **named)
            seconds[stage] += found
            return result

        return run

    try:
        for (owner, name, stage), call in zip(wrapped, plain, strict=True):
            setattr(owner, name, timed(call, stage))
        yield seconds
    finally:
        for (owner, name, _), call in zip(wrapped, plain, strict=True):
            setattr(owner, name, call)


def weights_that_multiply(model: torch.nn.Module) -> int:
    """Return the number of a model's weights in matrix products: all but embedding tables."""
    tables = {id(p) for m in model.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
    learning = [p for p in model.parameters() if p.requires_grad]
    return sum(p.numel() for p in learning if id(p) not in tables and p.ndim > 1)


def measured(method: Any, ds: DatasetDict, device: torch.device) -> dict[str, Any]:
    """Fit once; return seconds by stage, tokens, and the operations a second of the large model's steps."""
    with _stages(device) as stages, _clock(device) as whole:
        method.fit(ds)
    main = next(iter(method._networks().values()))  # the one with the encoder
    lengths = main.encoder.tokenize(ds["train"]["text"][:]).lengths
    epochs = method.config.epochs
    tokens = int(lengths.sum())
    flop = 6 * weights_that_multiply(main) * tokens  # of an epoch
    steps = stages["steps"]
    return {
        "epochs": epochs, "texts": len(lengths), "tokens_a_text": float(lengths.mean()),
        "fit_s": whole[0], "epochs_s": float(method.history_["seconds"].sum()),
        **{f"{stage}_s": sum(found) for stage, found in stages.items()}, "steps_of_epochs_s": steps,
        "tokens_per_s": tokens / steps[-1], "tflops": flop / steps[-1] / 1e12,
        "tflops_all": flop * epochs / sum(steps) / 1e12,
        "models": {"Baseline": 1}.get(type(method).__name__, 2),
    }  # fmt: skip


def measure(*, smoke: bool = False, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Measure everything; on a CPU, or with `smoke`, with few texts and a tiny encoder."""
    device = choose_device()
    small = smoke or device.type == "cpu"
    ds, source = texts_to_learn(40 if small else 2000)
    card = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    result: dict[str, Any] = {
        "device": card, "torch": torch.__version__, "texts": source,
        "peak_tflops": matrix_peak(device, 512 if small else 8192),
    }  # fmt: skip
    print(f"{card}, PyTorch {torch.__version__}: {result['peak_tflops']:.0f} TFLOP/s in bf16", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        encoder = new_encoder(Path(folder) / "encoder", ds["train"]["text"][:], **(TINY if small else BASE))
        shared = {"encoder": encoder, "profile": "paper", **PAPER, **(settings or {})}
        if small:
            shared |= {"max_length": 32, "batch_size": 16}
        with _clock(device) as start_up:
            nk.Baseline(loss="ce", epochs=1, **shared).fit(ds)
        result["start_up_s"] = start_up[0]
        print(f"start-up, with one epoch: {start_up[0]:.1f} s", flush=True)
        methods = {
            "CE": lambda: nk.Baseline(loss="ce", epochs=4, **shared),
            "NoiseAL": lambda: nk.NoiseAL(annotator=None, epochs=7, warmup_epochs=2, **shared),
            "SiDyP": lambda: nk.SiDyP(epochs=4, diffusion_epochs=2 if small else 10, **shared),
        }
        for name, make in methods.items():
            result[name] = measured(make(), ds, device)
            print(name, json.dumps(result[name], default=float), flush=True)
    if device.type == "cuda":
        result["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return result


HEADER = [
    "method", "epochs", "fit, s", "steps, s", "predictions, s", "diffusion, s", "tokens/s, last epoch",
    "TFLOP/s, last epoch", "of peak", "TFLOP/s, all epochs", "a model and epoch, of CE's",
]  # fmt: skip


def summarise(result: dict[str, Any]) -> str:
    """Return a row a method as Markdown."""
    rows = []
    for name in ("CE", "NoiseAL", "SiDyP"):
        r, ce = result[name], result["CE"]
        each = r["fit_s"] / r["epochs"] / r["models"] / (ce["fit_s"] / ce["epochs"])
        rows.append([
            name, str(r["epochs"]), f"{r['fit_s']:.1f}", f"{r['steps_s']:.2f}", f"{r['predictions_s']:.2f}",
            f"{r['diffusion_s']:.2f}", f"{r['tokens_per_s']:,.0f}", f"{r['tflops']:.1f}",
            f"{r['tflops'] / result['peak_tflops']:.1%}", f"{r['tflops_all']:.1f}", f"{each:.2f}",
        ])  # fmt: skip
    return markdown(HEADER, rows)


if __name__ == "__main__":
    print(summarise(measure()))

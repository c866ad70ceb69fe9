"""What other tools are told of each record of a sweep: `trackers` of `nlkit.sweep`. Any callable does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nlkit.study.sweeps.records import METRICS

__all__ = ["Tracker", "mlflow", "tensorboard", "wandb"]

Tracker = Callable[[Mapping[str, Any]], None]

SETTINGS = (
    "method",
    "dataset",
    "noise",
    "rate",
    "size",
    "seed",
    "encoder",
    "profile",
    "annotator",
    "revision",
)


def tensorboard(folder: str | Path) -> Tracker:
    """Write a run a cell, which TensorBoard shows (``tensorboard --logdir folder``)."""
    from torch.utils.tensorboard import SummaryWriter

    def tell(record: Mapping[str, Any]) -> None:
        settings, metrics, epochs = _told(record)
        with SummaryWriter(str(Path(folder) / record["key"])) as writer:
            writer.add_text("settings", json.dumps(settings))
            for epoch, row in epochs:
                for name, value in row.items():
                    writer.add_scalar(f"epoch/{name}", value, epoch)
            for name, value in metrics.items():
                writer.add_scalar(f"test/{name}", value)

    return tell


def mlflow(experiment: str = "nlkit") -> Tracker:
    """Log a run a cell with MLflow, to where ``MLFLOW_TRACKING_URI`` says."""
    import mlflow as client

    client.set_experiment(experiment)

    def tell(record: Mapping[str, Any]) -> None:
        settings, metrics, epochs = _told(record)
        with client.start_run(run_name=record["key"]):
            client.log_params(settings)
            for epoch, row in epochs:
                client.log_metrics(row, step=epoch)
            client.log_metrics({f"test_{name}": value for name, value in metrics.items()})

    return tell


def wandb(project: str = "nlkit", **settings: Any) -> Tracker:
    """Log a run a cell with Weights & Biases; `settings` are those of its ``init``, such as ``mode``."""
    import wandb as client

    def tell(record: Mapping[str, Any]) -> None:
        config, metrics, epochs = _told(record)
        run = client.init(project=project, name=record["key"], config=config, **settings)
        for epoch, row in epochs:
            run.log(row, step=epoch)
        run.summary.update({f"test_{name}": value for name, value in metrics.items()})
        run.finish(exit_code=int(record["status"] == "failed"))

    return tell


def _told(record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float], list[tuple[int, Any]]]:
    """Return a record's settings, its figures, and the numbers of each epoch."""
    metrics = {name: record[name] for name in (*METRICS, "seconds_fit") if record[name] is not None}
    epochs = [
        (step, {k: v for k, v in row.items() if isinstance(v, int | float) and k != "epoch"})
        for step, row in enumerate(json.loads(record["history"] or "[]"), 1)
    ]
    return {name: record[name] for name in SETTINGS}, metrics, epochs

"""Sweeps: cells of a grid, their records, and what becomes of them when processes, drivers and nodes die."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from unittest.mock import MagicMock

import pandas as pd
import pytest

import nlkit as nk
from nlkit.annotate.plan import Cost
from nlkit.annotate.purse import STALE_SECONDS, Purse
from nlkit.study.sweeps import tracking
from nlkit.study.sweeps.cells import run_cell
from nlkit.study.sweeps.grid import cells_of, key_of, read_grid
from nlkit.study.sweeps.records import SCHEMA, read_records, table_of

CHEAP = {"method": "tests.study.cheap:Cheap", "name": "cheap"}
GRID = {
    "dataset": "tests.study.cheap:data", "size": [40, 60], "noise": ["symmetric", "asymmetric"],
    "rate": [0.2, 0.4], "seed": [0, 1, 2], "method": {**CHEAP, "seconds": 0.05},
}  # fmt: skip
MEASURED = [name for name in SCHEMA.names if name.startswith("seconds")] + ["peak_mb"]


def by_key(found: pd.DataFrame) -> pd.DataFrame:
    """Records without what differs from run to run."""
    return found.drop(columns=MEASURED).sort_values("key").reset_index(drop=True)


def unbroken(grid) -> pd.DataFrame:
    """What the cells give one after another in this process."""
    return by_key(table_of(run_cell({"cell": cell, "purse": None}) for cell in cells_of(grid)))


class TestGrid:
    def test_a_product_with_every_default_spelled_out(self):
        cells = cells_of(GRID)
        assert len(cells) == len({key_of(cell) for cell in cells}) == 24
        assert {(c["size"], c["noise"], c["rate"], c["seed"]) for c in cells} == {
            (n, kind, rate, seed) for n in (40, 60) for kind in ("symmetric", "asymmetric")
            for rate in (0.2, 0.4) for seed in (0, 1, 2)
        }  # fmt: skip
        assert all(c["config"]["epochs"] == 6 and c["config"]["seconds"] == 0.05 for c in cells)

    def test_what_comes_to_the_same_is_one_cell(self):
        clean = cells_of({"method": "CE", "noise": "clean", "rate": [0.2, 0.4]})
        assert [cell["rate"] for cell in clean] == [0.0]
        asked = cells_of({"method": "CE", "annotator": [None, "smollm2"], "query_budget": [0, 10]})
        assert len(asked) == 1
        nobody = cells_of({"method": "NoiseAL", "annotator": [None, "smollm2"], "query_budget": [0, 10]})
        assert [(c["annotator"], c["config"]["query_budget"]) for c in nobody] == [(None, 0), ("smollm2", 10)]
        joined = cells_of(
            [{"method": ["CE", "GCE"]}, {"method": ["GCE", {"method": "Baseline", "loss": "gce"}]}]
        )
        assert [cell["method"] for cell in joined] == ["CE", "GCE"]

    def test_all_methods_and_the_same_data_side_by_side(self):
        cells = cells_of({"method": "all", "seed": [0, 1]})
        names = [name for name in nk.comparing.entries() if name != "PromptedLLM"]  # nobody to ask
        assert [c["method"] for c in cells] == names * 2
        assert [c["seed"] for c in cells] == [0] * len(names) + [1] * len(names)

    def test_a_changed_default_is_another_cell(self, monkeypatch):
        before = key_of(cells_of({"method": "CE"})[0])
        monkeypatch.setitem(nk.Baseline.config_class.profiles, "quick", {"epochs": 9})
        assert key_of(cells_of({"method": "CE"})[0]) != before

    @pytest.mark.parametrize(
        ("grid", "message"),
        [({"methods": "CE"}, r"grid=\['methods'\] is not allowed: fields of a grid are seed, dataset"),
         ({"method": "CEE"}, "method='CEE' is not allowed: one of .*CE.*module:Class"),
         ({"noise": "loud"}, "noise='loud' is not allowed: one of symmetric"),
         ({"seed": []}, r"seed=\[\] is not allowed: at least one value"),
         ({"method": {"method": "CE", "epochs": 0}}, "epochs=0"),
         ({"annotator": {"kind": "OpenAIChat", "api_key": "x"}}, "without api_key: set OPENAI_API_KEY"),
         ({"noise": "llm", "labeller": {"kind": "OpenAIChat", "api_key": "x"}}, "labeller=.*without api_key"),
         ({"method": {"method": "NoiseAL", "query_budget": 9, "annotator": {"kind": "BatchChat",
           "api_key": "x"}}}, "annotator=.*without api_key"),
         ([], "at least one cell")],
    )  # fmt: skip
    def test_bad_grids(self, grid, message):
        with pytest.raises(ValueError, match=message):
            cells_of(grid)

    def test_from_a_file(self, tmp_path):
        path = tmp_path / "grid.yaml"
        path.write_text("- {method: [CE, {method: CE, name: long, epochs: 30}], size: 300}\n- {method: GCE}")
        assert [c["method"] for c in cells_of(read_grid(path))] == ["CE", "long", "GCE"]
        path.write_text("method: [CE")
        with pytest.raises(ValueError, match=r"grid.yaml' is no YAML"):
            read_grid(path)


def test_a_file_of_ones_own_and_labels_of_an_annotator(tmp_path):
    ds = nk.add_noise(nk.load_dataset("r8", train_size=120, test_size=20), rate=0.2)["train"]
    names = ds.features["label"].names
    table = pd.DataFrame({"text": ds["text"][:], "noisy_label": [names[c] for c in ds["noisy_label"][:]]})
    table["label"] = [names[c] if i % 2 else "" for i, c in enumerate(ds["label"][:])]  # half is checked
    table.to_csv(tmp_path / "own.csv", index=False)
    [own] = cells_of({"method": "LinearModel", "dataset": str(tmp_path / "own.csv"), "noise": "given"})
    record = run_cell({"cell": own, "purse": None})
    assert (record["status"], record["n"], record["n_train"]) == ("done", 60, 54)
    labeller = {"kind": "Simulated", "accuracy": 0.8}
    [asked] = cells_of({"method": "LinearModel", "size": 60, "test_size": 50, "noise": "llm", "shots": 0,
                        "labeller": labeller})  # fmt: skip
    record = run_cell({"cell": asked, "purse": None})
    assert record["status"] == "done", record["error"]
    assert 0.05 < record["wrong"] < 0.4
    assert json.loads(record["labeller"]) == labeller


@pytest.fixture(scope="module")
def whole():
    return unbroken(GRID)


def test_a_driver_that_is_killed_twice_leaves_what_an_unbroken_run_gives(tmp_path, whole):
    cells = tmp_path / "cells"
    for enough in (4, 12):
        driver = os.fork()
        if not driver:
            nk.sweep(GRID, results=tmp_path, workers=1)
            os._exit(0)
        deadline = time.monotonic() + 120
        while len(list(cells.glob("[!.]*"))) < enough and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(driver, signal.SIGKILL)
        assert os.waitpid(driver, 0)[1] == signal.SIGKILL
    kept = {path.name: path.stat().st_mtime_ns for path in cells.glob("[!.]*")}
    assert 12 <= len(kept) < 24
    found = nk.sweep(GRID, results=tmp_path, workers=1)
    assert {name: (cells / name).stat().st_mtime_ns for name in kept} == kept, (
        "what was finished is not run again"
    )
    pd.testing.assert_frame_equal(by_key(found), whole)
    pd.testing.assert_frame_equal(by_key(read_records(tmp_path)), whole)
    assert not list(cells.glob(".*")), "no half of a record is left"


def test_a_cell_that_fails_or_kills_its_process_does_not_stop_the_rest(tmp_path):
    does = [{"does": "raise"}, {"does": "die"}, {"does": "die", "once": str(tmp_path / "once")}, {}]
    grid = {**GRID, "size": 40, "noise": "clean", "seed": 0}
    grid["method"] = [{**CHEAP, **how, "name": str(number)} for number, how in enumerate(does)]
    told = []
    found = nk.sweep(grid, results=tmp_path, workers=1, trackers=[told.append])
    assert found.groupby("method")["status"].unique().map(list).to_dict() == {
        "0": ["failed"], "1": ["failed"], "2": ["done"], "3": ["done"]
    }  # fmt: skip
    assert found.query("method == '0'")["error"].str.contains("ArithmeticError: as it was told to").all()
    assert found.query("method == '1'")["error"].str.contains("its process died 2 times").all()
    assert len(told) == 4
    assert nk.sweep(grid, results=tmp_path, trackers=[told.append]).shape == found.shape
    assert len(told) == 4, "nothing is run again, and no process started"
    done = found[found["status"] == "done"].set_index("seed")
    assert (done["n_train"] == 40).all()
    assert (
        done["history"]
        .map(lambda text: [row["epoch"] for row in json.loads(text)])
        .map(str)
        .eq("[1, 2]")
        .all()
    )
    assert done["peak_mb"].between(50, 5000).all()


def test_a_damaged_record_is_named_and_run_again(tmp_path, whole, monkeypatch):
    monkeypatch.setattr("nlkit.study.sweeps.engines.local", lambda f, jobs, **_: enumerate(map(f, jobs)))
    one = {**GRID, "size": 40, "noise": "symmetric", "rate": 0.2, "seed": 0}
    found = nk.sweep(one, results=tmp_path)
    path = tmp_path / "cells" / f"{found['key'][0]}.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match="is damaged .* this cell is run again"):
        again = nk.sweep(one, results=tmp_path)
    pd.testing.assert_frame_equal(by_key(again), by_key(found))
    assert by_key(found)["accuracy"][0] == whole.set_index("key")["accuracy"][found["key"][0]]


def test_a_cluster_that_loses_a_node_gives_what_one_machine_gives(tmp_path, whole):
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        # Before there is a second node, so that the driver is on the first one.
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        lost = cluster.add_node(num_cpus=1)
        seen = []

        def kill_a_node(record):
            seen.append(record["key"])
            if len(seen) == 3:
                cluster.remove_node(lost, allow_graceful=False)

        found = nk.sweep(GRID, engine="ray", results=tmp_path, trackers=[kill_a_node])
        assert len(cluster.list_all_nodes()) == 1
        assert not lost.any_processes_alive()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert len(seen) == len(set(seen)) == 24
    pd.testing.assert_frame_equal(by_key(found), whole, rtol=1e-6)


class TestPurse:
    def test_several_pay_from_one(self, tmp_path):
        one, two = (Purse(tmp_path / "purse", questions=3) for _ in range(2))
        assert one.reserve(Cost(2))
        assert two.reserve(Cost(2)) is None, "reserved, not spent: later perhaps"
        one.settle(Cost(2), Cost(1, 50, 0.25))
        assert two.reserve(Cost(2))
        two.settle(Cost(2), Cost(2, 10, 0.5))
        assert one.reserve(Cost(1)) is False
        assert one.spent == two.spent == Cost(3, 60, 0.75)
        assert (one.mine, two.mine) == (Cost(1, 50, 0.25), Cost(2, 10, 0.5))
        assert Purse(tmp_path / "purse", questions=4).reserve(Cost(1)), "it outlives its processes"

    def test_what_the_dead_reserved_counts_as_spent(self, tmp_path, monkeypatch):
        Purse(tmp_path / "purse", questions=3).reserve(Cost(2, 5, 0.0))
        later = time.time() + STALE_SECONDS + 1
        monkeypatch.setattr(time, "time", lambda: later)
        left = Purse(tmp_path / "purse", questions=3)
        assert left.reserve(Cost(2)) is False
        assert left.reserve(Cost(1))
        assert left.spent == Cost(2, 5, 0.0)


class TestTracking:
    @pytest.fixture
    def record(self):
        return run_cell(
            {"cell": cells_of({**GRID, "size": 40, "noise": "clean", "seed": 0})[0], "purse": None}
        )

    def test_tensorboard_reads_what_is_written(self, record, tmp_path):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        tracking.tensorboard(tmp_path)(record)
        read = EventAccumulator(str(tmp_path / record["key"])).Reload()
        loss = [row["loss"] for row in json.loads(record["history"])]
        assert [(e.step, e.value) for e in read.Scalars("epoch/loss")] == [
            (1, pytest.approx(loss[0])), (2, pytest.approx(loss[1]))
        ]  # fmt: skip
        assert read.Scalars("test/accuracy")[0].value == pytest.approx(record["accuracy"])

    @pytest.mark.parametrize("name", ["mlflow", "wandb"])
    def test_a_client_is_told_settings_epochs_and_figures(self, record, monkeypatch, name):
        client = MagicMock()
        monkeypatch.setitem(sys.modules, name, client)
        getattr(tracking, name)()({**record, "accuracy": None})
        if name == "mlflow":
            settings, logged = client.log_params.call_args.args[0], client.log_metrics.call_args_list
        else:
            run = client.init.return_value
            settings, logged = client.init.call_args.kwargs["config"], run.log.call_args_list
            logged = [*logged, *run.summary.update.call_args_list]
        assert (settings["method"], settings["rate"], settings["seed"]) == ("cheap", 0.0, 0)
        assert [call.kwargs.get("step") for call in logged] == [1, 2, None]
        assert set(logged[0].args[0]) == {"loss"}
        assert "test_ece" in logged[2].args[0]
        assert "test_accuracy" not in logged[2].args[0], "a figure that is missing is not told"

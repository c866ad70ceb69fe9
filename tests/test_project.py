"""The project's own files agree with each other, and `make setup` installs once."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import nlkit
from requirements.resolve import EXTRAS

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]


def pinned(name):
    """Return version by package of a file of pins."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found.items()}


def test_one_version():
    assert PROJECT["version"] == nlkit.__version__
    assert f"version: {nlkit.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_every_requirement_is_pinned_to_a_version_it_allows():
    assert {*EXTRAS} == PROJECT["optional-dependencies"].keys()
    extras = [line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra]]
    pins = pinned("constraints.txt")
    for requirement in map(Requirement, PROJECT["dependencies"] + extras):
        pin = pins[requirement.name.lower()]
        assert requirement.specifier.contains(pin, prereleases=True), requirement.name
    assert not pinned("requirements/offline.txt").keys() & pins.keys()


@pytest.mark.parametrize(
    ("reply", "status", "said"), [("exit 0", 0, "resolves"), ("echo no >&2; exit 1", 1, "no")]
)
def test_every_system_and_python_is_asked_for(tmp_path, reply, status, said):
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\nif [ $# -lt 18 ]; then exit 2; fi\n{reply}\n")
    uv.chmod(0o755)
    command = [sys.executable, ROOT / "requirements" / "resolve.py"]
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == status
    lines = done.stdout.splitlines()
    assert len(set(lines)) == 16
    assert all(line.endswith(said) for line in lines)


def test_the_wheel_holds_what_the_package_reads():
    package = ROOT / "nlkit"
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["nlkit"]
    kept = {path for pattern in patterns for path in package.glob(pattern)}
    read = {path for kind in ("toml", "parquet") for path in package.rglob(f"*.{kind}")}
    assert read <= kept
    assert len(read) > 50


@pytest.mark.parametrize("host", ["example.org", b"example.org", "192.0.2.1", "2001:db8::1"])
def test_tests_cannot_reach_the_network(host):
    refused = pytest.raises(RuntimeError, match="a test tried to reach the network")
    with refused:
        socket.getaddrinfo(host, 80)
    with socket.socket(socket.AF_INET6 if ":" in str(host) else socket.AF_INET) as probe, refused:
        probe.connect((host, 80))


def test_tests_may_talk_to_this_machine():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()


@pytest.fixture
def make(tmp_path):
    """Run make beside the files that `make setup` looks at, with a finished environment: the newest file."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "requirements/offline.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (1_000_000, 1_000_000))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()

    def run(*arguments, **settings):
        command = ["make", "-C", str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, **settings)

    run.folder = tmp_path
    return run


class TestMake:
    def test_a_second_setup_does_nothing(self, make):
        done = make("setup", "PYTHON=false")
        assert done.returncode == 0
        assert "pip" not in done.stdout

    @pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "requirements/offline.txt"])
    def test_a_changed_requirement_installs_again(self, make, name):
        os.utime(make.folder / name, (4_000_000_000, 4_000_000_000))
        planned = make("--dry-run", "lint").stdout
        assert "--no-deps -r requirements/offline.txt" in planned
        # torch first: what comes later finds it there.
        parts = (
            "-c constraints.txt torch",
            '-e ".[notebooks,api,baselines]"',
            '-e ".[site,grading,serving,ray,tracking,setfit,dev]"',
        )
        places = [planned.index(part) for part in parts]
        assert places == sorted(places)

    def test_the_course_goes_without_the_tools_of_its_makers(self, make):
        (make.folder / ".venv" / ".ready").unlink()
        assert (
            "[site,grading,serving,ray,tracking,setfit,dev]"
            not in make("--dry-run", "setup", "demo", "lab").stdout
        )

    @pytest.mark.parametrize(
        ("fails_on", "message"),
        [
            ("version_info", "needs Python 3.11 or newer"),
            ("ensurepip", "python3-venv"),
            ("mac_ver", "macOS 14"),
        ],
    )
    def test_an_unfit_python_is_named(self, make, fails_on, message):
        (make.folder / ".venv" / ".ready").unlink()
        python = make.folder / "python"
        python.write_text(f'#!/bin/sh\ncase "$*" in *{fails_on}*) exit 1;; esac\n')
        python.chmod(0o755)
        done = make("setup", f"PYTHON={python}")
        assert done.returncode != 0
        assert message in done.stderr
        assert not (make.folder / ".venv" / ".ready").exists()

    @pytest.mark.parametrize("target", ["demo", "lab", "test", "lint", "notebooks", "site", "bench"])
    def test_every_target_does_its_own_setup(self, make, target):
        (make.folder / ".venv" / ".ready").unlink()
        assert "-m venv .venv" in make("--dry-run", target).stdout

    @pytest.mark.parametrize(("given", "found"), [({}, "offline=1"), ({"HF_HUB_OFFLINE": "0"}, "offline=0")])
    def test_the_hub_is_off_unless_asked_for(self, make, given, found):
        (make.folder / "probe.mk").write_text("include Makefile\nprobe:\n\t@echo offline=$$HF_HUB_OFFLINE\n")
        there = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"} | given
        assert found in make("-f", "probe.mk", "probe", env=there).stdout

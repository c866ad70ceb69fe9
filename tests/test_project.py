"""The project's own files agree with each other, and `make setup` installs once."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import nlkit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
INSTALLED_EXTRAS = ("notebooks", "site", "api", "baselines", "dev")


def lines(name):
    return [
        line for line in (ROOT / name).read_text("utf-8").splitlines() if line and not line.startswith("#")
    ]


def pins():
    return {
        re.sub(r"[-_.]+", "-", n).lower(): v
        for n, v in (line.split("==") for line in lines("constraints.txt"))
    }


def test_one_version():
    assert PROJECT["version"] == nlkit.__version__
    assert f"version: {nlkit.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_every_requirement_is_pinned_to_a_version_it_allows():
    wanted = PROJECT["dependencies"] + [
        line for extra in INSTALLED_EXTRAS for line in PROJECT["optional-dependencies"][extra]
    ]
    for requirement in map(Requirement, wanted):
        pin = pins()[requirement.name.lower()]
        assert SpecifierSet(str(requirement.specifier)).contains(pin, prereleases=True), requirement.name


def test_offline_packages_are_not_constrained():
    offline = {line.split("==")[0] for line in lines("requirements/offline.txt")}
    assert not offline & set(pins())


def test_ci_runs_the_readmes_test_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").rstrip().endswith("\nmake test")


@pytest.mark.parametrize("host", ["example.org", b"example.org", "192.0.2.1", "2001:db8::1"])
def test_tests_cannot_reach_the_network(host):
    with pytest.raises(RuntimeError, match="a test tried to reach the network"):
        socket.getaddrinfo(host, 80)
    family = socket.AF_INET6 if ":" in str(host) else socket.AF_INET
    with (
        socket.socket(family) as probe,
        pytest.raises(RuntimeError, match="a test tried to reach the network"),
    ):
        probe.connect((host, 80))


def test_tests_may_talk_to_this_machine():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()


@pytest.fixture
def checkout(tmp_path):
    """The files that `make setup` looks at, with a finished environment: its stamp is the newest."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "requirements/offline.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (1_000_000, 1_000_000))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()
    return tmp_path


def make(folder, *arguments):
    return subprocess.run(["make", "-C", str(folder), *arguments], capture_output=True, text=True)


class TestMake:
    def test_a_second_setup_does_nothing(self, checkout):
        done = make(checkout, "setup", "PYTHON=false")
        assert done.returncode == 0
        assert "pip" not in done.stdout

    @pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "requirements/offline.txt"])
    def test_a_changed_requirement_installs_again(self, checkout, name):
        os.utime(checkout / name, (4_000_000_000, 4_000_000_000))
        planned = make(checkout, "--dry-run", "setup").stdout
        assert "pip install --quiet -c constraints.txt torch" in planned
        assert "--no-deps -r requirements/offline.txt" in planned
        # torch first: what comes later finds it there.
        assert planned.index("constraints.txt torch") < planned.index('-e ".[')
        assert f'-e ".[{",".join(INSTALLED_EXTRAS)}]"' in planned

    @pytest.mark.parametrize(
        ("fails_on", "message"),
        [("version_info", "needs Python 3.11 or newer"), ("ensurepip", "python3-venv")],
    )
    def test_an_unfit_python_is_named(self, checkout, fails_on, message):
        (checkout / ".venv" / ".ready").unlink()
        python = checkout / "python"
        python.write_text(f'#!/bin/sh\ncase "$*" in *{fails_on}*) exit 1;; esac\n')
        python.chmod(0o755)
        done = make(checkout, "setup", f"PYTHON={python}")
        assert done.returncode != 0
        assert message in done.stderr
        assert not (checkout / ".venv" / ".ready").exists()

    @pytest.mark.parametrize("target", ["demo", "lab", "test", "lint", "notebooks", "bench"])
    def test_every_target_does_its_own_setup(self, checkout, target):
        (checkout / ".venv" / ".ready").unlink()
        planned = make(checkout, "--dry-run", target).stdout
        assert "-m venv .venv" in planned

    def test_the_hub_is_off_unless_asked_for(self, checkout):
        probe = checkout / "probe.mk"
        probe.write_text("include Makefile\nprobe:\n\t@echo offline=$$HF_HUB_OFFLINE\n")
        environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
        for extra, expected in (({}, "offline=1"), ({"HF_HUB_OFFLINE": "0"}, "offline=0")):
            done = subprocess.run(
                ["make", "-C", str(checkout), "-f", "probe.mk", "probe"],
                capture_output=True,
                text=True,
                env={**environment, **extra},
            )
            assert expected in done.stdout

"""The Binder image: its files agree with the project's, and it installs what a session needs."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_environment_is_pinned_and_allowed():
    text = (ROOT / "binder" / "environment.yml").read_text("utf-8")
    pins = dict(re.findall(r"^  - ([\w-]+)=([\d.]+)$", text, re.MULTILINE))
    torch = next(r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "torch")
    assert torch.specifier.contains(pins["pytorch-cpu"])
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(pins["python"])


def test_the_build_installs_everything_and_keeps_condas_torch(tmp_path):
    log, folder = tmp_path / "log", tmp_path / "bin"
    folder.mkdir()
    for name in ("python", "nlkit"):
        (folder / name).write_text(
            f'#!/bin/bash\necho "{name} $*" >> {log}\n'
            f'for a; do [ "$last" = -c ] && cp "$a" {tmp_path}/pins; last=$a; done\n'
        )
        (folder / name).chmod(0o755)
    there = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([str(ROOT / "binder" / "postBuild")], cwd=ROOT, env=there, check=True)
    code, files, last = log.read_text().splitlines()
    assert code.endswith("-e .[notebooks,baselines]")
    assert files.endswith("--no-deps -r requirements/offline.txt")
    assert last == "nlkit doctor"
    pins = (tmp_path / "pins").read_text()
    assert "\nnumpy==" in pins
    assert "\ntorch==" not in pins


def test_a_session_never_asks_the_hub():
    there = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    command = [str(ROOT / "binder" / "start"), "sh", "-c", "echo offline=$HF_HUB_OFFLINE"]
    assert subprocess.run(command, capture_output=True, text=True, env=there).stdout == "offline=1\n"

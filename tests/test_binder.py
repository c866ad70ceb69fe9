"""The Binder image: its files agree with the project's, and its size is estimated."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def load():
    spec = importlib.util.spec_from_file_location("estimate", ROOT / "binder" / "estimate.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


estimate = load()


class Package(Distribution):
    """An installed package: files with sizes, and requirements."""

    def __init__(self, folder, name, files=(), needs=()):
        self.folder = folder
        for file, count in files:
            (folder / file).write_bytes(b"x" * count)
        record = "".join(f"{file},,\n" for file, _ in (*files, ("gone.py", 0)))
        header = f"Name: {name}\nVersion: 1\n" + "".join(f"Requires-Dist: {need}\n" for need in needs)
        self.texts = {"RECORD": record, "METADATA": header}

    def read_text(self, filename):
        return self.texts.get(filename)

    def locate_file(self, path):
        return self.folder / path


def test_the_closure_follows_extras_and_markers(tmp_path):
    packages = {
        "kit": Package(
            tmp_path, "kit", needs=["base", 'lab[ui]; extra == "notebooks"', 'tool; extra == "dev"']
        ),
        "base": Package(tmp_path, "base", needs=["Kit", 'winonly; sys_platform == "nowhere"']),
        "lab": Package(tmp_path, "lab", needs=['front_end; extra == "ui"', "absent"]),
        "front_end": Package(tmp_path, "front_end"),
    }

    def find(name):
        try:
            return packages[name.lower()]
        except KeyError:
            raise PackageNotFoundError(name) from None

    found, missing = estimate.closure("kit[notebooks]", find)
    assert set(found) == {"kit", "base", "lab", "front-end"}
    assert missing == {"absent"}


def test_the_size_is_that_of_the_files_there_are(tmp_path):
    assert estimate.size(Package(tmp_path, "kit", files=[("a.py", 300), ("b.so", 4000)])) == 4300


def test_the_estimate_counts_everything_binder_installs(capsys):
    sizes, missing = estimate.estimate()
    assert not missing
    offline = (ROOT / "requirements" / "offline.txt").read_text("utf-8")
    for name in re.findall(r"^([\w-]+)==", offline, re.MULTILINE):
        assert sizes[name] > 1e6
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["notebooks"]
    assert {Requirement(line).name for line in wanted} <= set(sizes)
    assert not {"pytest", "ruff", "openai"} & set(sizes)
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    estimate.main()
    said = capsys.readouterr().out
    assert f"{sum(sizes.values()) / 1e6:.0f} MB  in all" in said
    listed = [int(line.split(" MB ")[0]) for line in said.splitlines() if " MB " in line]
    assert sum(listed[:-1]) == pytest.approx(listed[-1], abs=len(listed))


def test_the_environment_is_pinned_and_allowed():
    text = (ROOT / "binder" / "environment.yml").read_text("utf-8")
    pins = dict(re.findall(r"^  - ([\w-]+)=([\d.]+)$", text, re.MULTILINE))
    torch = next(r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "torch")
    assert torch.specifier.contains(pins["pytorch-cpu"])
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(pins["python"])
    assert re.findall(r"^  - ([\w-]+)$", text, re.MULTILINE) == ["conda-forge", "pip"]


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_the_scripts_are_ones(name):
    script = ROOT / "binder" / name
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_build_installs_everything_and_keeps_condas_torch(tmp_path):
    log = tmp_path / "log"
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/bash\necho "$*" >> {log}\n'
        f'for a; do [ "$last" = -c ] && cp "$a" {tmp_path}/pins; last=$a; done\n'
    )
    python.chmod(0o755)
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        [str(ROOT / "binder" / "postBuild")], cwd=ROOT, env={**os.environ, "PATH": path}, check=True
    )
    code, files, last = log.read_text().splitlines()
    assert code.endswith("-e .[notebooks,baselines]")
    assert files.endswith("--no-deps -r requirements/offline.txt")
    assert last == "-m nlkit doctor"
    pins = (tmp_path / "pins").read_text()
    assert "\nnumpy==" in pins
    assert "\ntorch==" not in pins


def test_a_session_never_asks_the_hub():
    done = subprocess.run(
        [str(ROOT / "binder" / "start"), "sh", "-c", "echo offline=$HF_HUB_OFFLINE"],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"},
    )
    assert done.stdout == "offline=1\n"

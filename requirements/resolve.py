"""Ask the resolver whether constraints.txt can be installed where README says so; needs a network and uv.

python requirements/resolve.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11.2", "3.12", "3.13", "3.14")  # the first is Debian 12's own
SYSTEMS = {
    "Linux x64": "x86_64-manylinux_2_28", "Linux arm64": "aarch64-manylinux_2_28",
    "Windows x64": "x86_64-pc-windows-msvc", "macOS 14, Apple silicon": "aarch64-apple-darwin",
}  # fmt: skip
EXTRAS = ("notebooks", "site", "grading", "api", "baselines", "serving", "ray", "tracking", "setfit", "dev")


def problem(python: str, system: str) -> str:
    """Return why all extras cannot be installed there from wheels; "" if they can."""
    command = [
        "uv", "pip", "compile", "--quiet", "--only-binary", ":all:", "--output-file", os.devnull,
        "--python-version", python, "--python-platform", system, "--constraint", "constraints.txt",
        *(f"--extra={extra}" for extra in EXTRAS), "pyproject.toml",
    ]  # fmt: skip
    # uv takes a Mac to have macOS 13; PyTorch's wheels are for 14.
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.stderr.strip() or "uv failed" if done.returncode else ""


def main() -> int:
    """Print a line for each system and Python; return 1 if one cannot be resolved."""
    failed = 0
    for name, system in SYSTEMS.items():
        for python in PYTHONS:
            why = problem(python, system)
            print(f"{name:24} Python {python:8} {why or 'resolves'}", flush=True)
            failed |= bool(why)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

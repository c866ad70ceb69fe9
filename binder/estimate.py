"""Estimate the size of the Binder image from the packages that are installed here.

Run in the environment of ``make setup``: ``.venv/bin/python binder/estimate.py``. It follows the requirements
of ``nlkit[notebooks,baselines]`` through the installed packages' metadata, adds the offline packages and the
repository's own files, and prints a table, largest first.

Not counted: the base image of repo2docker with its notebook server, conda and its packages' caches. torch is
counted as installed here; conda-forge's build of it differs, and brings its numerical libraries as packages
of their own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
WANTED = "nlkit[notebooks,baselines]"


def closure(
    wanted: str, find: Callable[[str], Distribution] = distribution
) -> tuple[dict[str, Distribution], set[str]]:
    """Return what a requirement brings: installed distributions by name, and the names of missing ones."""
    found: dict[str, Distribution] = {}
    missing: set[str] = set()
    seen: set[tuple[str, str]] = set()
    to_do = [Requirement(wanted)]
    while to_do:
        requirement = to_do.pop()
        name = requirement.name.lower().replace("_", "-")
        try:
            found[name] = find(requirement.name)
        except PackageNotFoundError:
            missing.add(name)
            continue
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for line in found[name].requires or ():
                inner = Requirement(line)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    to_do.append(inner)
    return found, missing


def size(package: Distribution) -> int:
    """Return the bytes of a distribution's files, compiled bytecode included."""
    paths = (Path(str(package.locate_file(file))) for file in package.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file())


def repository(root: Path) -> int:
    """Return the bytes of the files that git tracks."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
    paths = (root / name.decode() for name in names.split(b"\0") if name)
    return sum(path.stat().st_size for path in paths if path.is_file())


def estimate() -> tuple[dict[str, int], set[str]]:
    """Return bytes by package, largest first, and the names of packages that are not installed here."""
    found, missing = closure(WANTED)
    for line in (ROOT / "requirements" / "offline.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            try:
                found[requirement.name] = distribution(requirement.name)
            except PackageNotFoundError:
                missing.add(requirement.name)
    sizes = {name: size(package) for name, package in found.items() if name != "nlkit"}
    sizes["the repository's files"] = repository(ROOT)
    return dict(sorted(sizes.items(), key=lambda item: -item[1])), missing


def main() -> None:
    """Print the table."""
    sizes, missing = estimate()
    large = {name: count for name, count in sizes.items() if count >= 5e6}
    for name, count in large.items():
        print(f"{count / 1e6:8.0f} MB  {name}")
    rest = sum(sizes.values()) - sum(large.values())
    print(f"{rest / 1e6:8.0f} MB  {len(sizes) - len(large)} smaller ones")
    print(f"{sum(sizes.values()) / 1e6:8.0f} MB  in all, on top of the base image (which is not counted)")
    if missing:
        print(f"Not installed here, so not counted: {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()

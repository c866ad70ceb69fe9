"""What works here, what does not, and the remedy: ``nlkit.doctor()``, or ``python -m nlkit.doctor``.

Nothing here uses the network, and nothing that is broken stops the rest: a check that raises becomes a failed
row of the report.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from types import ModuleType

from nlkit import _places
from nlkit._findings import Finding, Report, Status
from nlkit._util import atomic_write, cache_folder, count_cores, matrix_speed
from nlkit.data import packaged as assets

__all__ = ["Finding", "Report", "doctor"]

NOTEBOOK_PACKAGES = (
    "jupyterlab",
    "ipykernel",
    "ipywidgets",
    "matplotlib",
    "seaborn",
    "papermill",
    "jupytext",
)
COLAB_PACKAGES = ("ipykernel", "ipywidgets", "matplotlib", "seaborn")
INSTALL_NOTEBOOKS = 'pip install -c constraints.txt -e ".[notebooks]"   (or: make setup)'
GB = 1e9


def doctor() -> Report:
    """Look at this machine, the installed packages, the offline assets and the cache.

    Returns
    -------
    Report
        Prints as a table; ``.ok``, ``.table`` (a DataFrame) and ``.findings`` for programs. Never raises.
    """
    return Report(tuple(finding for name, check in CHECKS for finding in _guarded(name, check)))


def _guarded(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:
        return [Finding(name, "fail", f"{type(error).__name__}: {error}", "make setup")]


def _python() -> Iterable[Finding]:
    kind = "virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    found = f"{'.'.join(map(str, sys.version_info[:3]))}, {kind}"
    good = sys.version_info >= (3, 11)
    yield Finding("Python", "ok" if good else "fail", found, "Install Python 3.11 or newer.")


def _wanted() -> dict[str, str]:
    """Return package -> version specifier of nlkit's own requirements, extras left out."""
    from packaging.requirements import Requirement

    parsed = [Requirement(line) for line in requires("nlkit") or ()]
    return {r.name: str(r.specifier) for r in parsed if r.marker is None}


def _packages() -> Iterable[Finding]:
    from packaging.specifiers import SpecifierSet

    try:
        wanted = _wanted()
    except PackageNotFoundError:
        yield Finding(
            "nlkit", "fail", "not installed, only on the path", "make setup   (or: pip install -e .)"
        )
        return
    for name, specifier in wanted.items():
        remedy = f'pip install -c constraints.txt "{name}{specifier}"'
        found = _version(name)
        if found is None:
            yield Finding(name, "fail", f"missing (wanted {specifier})", remedy)
        else:
            good = SpecifierSet(specifier).contains(found, prereleases=True)
            yield Finding(name, "ok" if good else "fail", f"{found} (wanted {specifier})", remedy)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _torch() -> Iterable[Finding]:
    import torch

    if torch.cuda.is_available():
        where = f"CUDA {torch.version.cuda}: {torch.cuda.get_device_name()}"
    else:
        build = (
            "CPU build" if torch.version.cuda is None else f"CUDA {torch.version.cuda} build, no GPU found"
        )
        where = f"{build}; profiles quick and class are made for this"
    yield Finding("torch build", "ok", f"{where}; {torch.get_num_threads()} threads")


def _machine() -> Iterable[Finding]:
    import psutil

    cores = count_cores()
    yield Finding(
        "cores", "ok" if cores >= 2 else "warn", f"{cores}, {matrix_speed() / 1e9:.0f} GFLOP/s",
        "With one core, profile quick takes minutes.",
    )  # fmt: skip
    free = psutil.virtual_memory().available / GB
    status: Status = "ok" if free >= 3 else "warn" if free >= 1 else "fail"
    yield Finding(
        "free memory", status, f"{free:.1f} GB", "Close programs or other notebooks; 3 GB are enough."
    )


def _cache() -> Iterable[Finding]:
    from nlkit.models.cache import cache_limit, cache_size

    limit = None
    try:
        limit = cache_limit() / GB
    except ValueError as error:
        yield Finding("cache limit", "fail", str(error), "Set it to a number, such as 4.")
    remedy = "Point NLKIT_CACHE to a folder that you may write."
    try:
        folder = cache_folder()
        with atomic_write(folder / "doctor.txt") as temporary:
            temporary.write_text("written by nlkit.doctor")
        (folder / "doctor.txt").unlink()
    except OSError as error:
        yield Finding("cache folder", "fail", f"cannot be written: {error}", remedy)
        return
    # The limit bounds activations alone; what else is here, such as paid answers, must not go for it.
    activations = folder / "activations"
    size = cache_size(activations) / GB
    full = limit is not None and size > limit
    allowed = "" if limit is None else f" of {limit:g} GB"
    found = f"{_short(folder)}: {size:.2f} GB{allowed} activations"
    remedy = (
        f"Delete {_short(activations)}, which is computed anew, or raise NLKIT_CACHE_LIMIT_GB. "
        "Keep the rest: answers may have been paid for."
    )
    yield Finding("cache folder", "warn" if full else "ok", found, remedy)
    free = shutil.disk_usage(folder).free / GB
    status: Status = "ok" if free >= 2 else "warn" if free >= 0.5 else "fail"
    yield Finding(
        "free disk", status, f"{free:.1f} GB where the cache is", "Free some space, or move NLKIT_CACHE."
    )


def _short(path: Path) -> str:
    """Write a path without the home folder: reports get published with notebooks."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _assets() -> Iterable[Finding]:
    for name, asset in assets.verify_all(remember=True).items():
        spec = assets.ASSETS[name]
        label = f"{spec.kind} {name}"
        if isinstance(asset, assets.AssetError):
            problem = str(asset).split(" Install it ", maxsplit=1)[0]
            yield Finding(label, "fail", problem, spec.remedy)
        else:
            size = sum(path.stat().st_size for path in asset.files.values()) / 1e6
            yield Finding(label, "ok", f"{spec.package} {spec.version}, {size:.0f} MB, SHA-256 right")


def _notebooks() -> Iterable[Finding]:
    on_colab = _places.place() == "Colab"  # it has a front end and a kernel of its own
    found = {name: _version(name) for name in (COLAB_PACKAGES if on_colab else NOTEBOOK_PACKAGES)}
    missing = [name for name, number in found.items() if number is None]
    have = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    if missing:
        remedy = f"%pip install {' '.join(missing)}" if on_colab else INSTALL_NOTEBOOKS
        yield Finding("notebook packages", "warn", f"missing: {', '.join(missing)}", remedy)
    else:
        yield Finding("notebook packages", "ok", have)


def _kernel() -> Iterable[Finding]:
    if _places.place() == "Colab":
        return
    remedy = "python -m ipykernel install --sys-prefix --name nlkit   (or: make setup)"
    try:
        from jupyter_client.kernelspec import KernelSpecManager
    except ImportError:
        yield Finding("notebook kernel", "warn", "Jupyter is not installed", INSTALL_NOTEBOOKS)
        return
    manager = KernelSpecManager()
    installed = manager.find_kernel_specs()
    name = next((name for name in ("nlkit", "python3") if name in installed), None)
    if name is None:
        yield Finding("notebook kernel", "warn", "neither nlkit nor python3", remedy)
        return
    program = manager.get_kernel_spec(name).argv[0]
    # A bare name is looked up on the path when the kernel starts; Jupyter uses its own interpreter for
    # "python".
    same = not Path(program).is_absolute() or Path(program).resolve() == Path(sys.executable).resolve()
    found = name if same else f"{name} runs {_short(Path(program))}, not this Python"
    yield Finding("notebook kernel", "ok" if same else "warn", found, remedy)


def _hub() -> Iterable[Finding]:
    value = os.environ.get("HF_HUB_OFFLINE")
    offline = (value or "").upper() in {"1", "ON", "YES", "TRUE"}
    says = "the hub is not asked" if offline else "names that are not packaged are fetched from the hub"
    yield Finding("HF_HUB_OFFLINE", "ok", f"{'not set' if value is None else value}: {says}")


CHECKS: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
    ("Python", _python),
    ("packages", _packages),
    ("torch build", _torch),
    ("machine", _machine),
    ("place", _places.here),
    ("offline assets", _assets),
    ("cache folder", _cache),
    ("notebook packages", _notebooks),
    ("widgets", _places.widgets),
    ("notebook kernel", _kernel),
    ("browser tests", _places.browser_tests),
    ("HF_HUB_OFFLINE", _hub),
)


class _CallableModule(ModuleType):
    """``nlkit.doctor()`` works even after ``import nlkit.doctor`` has put this module under that name."""

    def __call__(self) -> Report:
        return doctor()


if __name__ == "__main__":
    report = doctor()
    print(report)
    sys.exit(0 if report.ok else 1)

sys.modules[__name__].__class__ = _CallableModule

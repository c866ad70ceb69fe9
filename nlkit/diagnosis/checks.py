"""The checks of the machine, the installed packages, the offline assets and the cache.

Nothing here uses the network, and nothing that is broken stops the rest: a check that raises becomes a failed
row of the report.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from nlkit._util import atomic_write, cache_folder, count_cores, matrix_speed
from nlkit.data import packaged as assets
from nlkit.diagnosis import places
from nlkit.diagnosis.report import Finding, Report, Status

__all__ = ["doctor"]

COLAB_PACKAGES = ("ipykernel", "ipywidgets", "matplotlib", "seaborn")
NOTEBOOK_PACKAGES = ("jupyterlab", *COLAB_PACKAGES, "papermill", "jupytext")
INSTALL_NOTEBOOKS = 'pip install -c constraints.txt -e ".[notebooks]"   (or: make setup)'
GB = 1e9


def doctor() -> Report:
    """Check this machine, the installed packages, the offline assets and the cache.

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


def _level(value: float, enough: float, least: float = 0.0) -> Status:
    return "ok" if value >= enough else "warn" if value >= least else "fail"


def _python() -> Iterable[Finding]:
    kind = "virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    found = f"{'.'.join(map(str, sys.version_info[:3]))}, {kind}"
    good = sys.version_info >= (3, 11)
    yield Finding("Python", "ok" if good else "fail", found, "Install Python 3.11 or newer.")


def _packages() -> Iterable[Finding]:
    from packaging.requirements import Requirement

    try:
        lines = requires("nlkit") or ()
    except PackageNotFoundError:
        remedy = "make setup   (or: pip install -e .)"
        yield Finding("nlkit", "fail", "not installed, only on the path", remedy)
        return
    for wanted in map(Requirement, lines):
        if wanted.marker is None:  # an extra's requirement has one
            found = places.installed(wanted.name)
            good = found is not None and wanted.specifier.contains(found, prereleases=True)
            said = f"{found or 'missing'} (wanted {wanted.specifier})"
            remedy = f'pip install -c constraints.txt "{wanted}"'
            yield Finding(wanted.name, "ok" if good else "fail", said, remedy)


def _torch() -> Iterable[Finding]:
    import torch

    cuda = torch.version.cuda
    if torch.cuda.is_available():
        where = f"CUDA {cuda}: {torch.cuda.get_device_name()}"
    else:
        build = "CPU build" if cuda is None else f"CUDA {cuda} build, no GPU found"
        where = f"{build}; profiles quick and class are made for this"
    yield Finding("torch build", "ok", where)


def _threads() -> Iterable[Finding]:
    import torch

    from nlkit.models import device  # noqa: F401 - sets the number

    given, policy = os.environ.get("NLKIT_THREADS"), os.environ.get("OMP_WAIT_POLICY", "")
    passive = policy.upper() == "PASSIVE"
    found = f"{torch.get_num_threads()} (NLKIT_THREADS {given or 'not set'}), one for small steps"
    found += "" if passive else "; they spin while they wait"
    remedy = "Import nlkit before torch, or set OMP_WAIT_POLICY=PASSIVE: spinning slows busy machines."
    yield Finding("threads", "ok" if passive else "warn", found, remedy)


def _precision() -> Iterable[Finding]:
    import torch

    from nlkit.models.device import bf16_gain, choose_precision

    chosen = choose_precision("auto", torch.device("cpu")).replace("no", "float32")
    yield Finding("precision", "ok", f"{chosen}: bf16 is {bf16_gain():.1f} times as fast as float32 here")


def _machine() -> Iterable[Finding]:
    import psutil

    cores = count_cores()
    found = f"{cores}, {matrix_speed() / 1e9:.0f} GFLOP/s"
    yield Finding("cores", _level(cores, 2), found, "With one core, profile quick takes minutes.")
    load = psutil.getloadavg()[0]
    remedy = "Other programs or notebooks are computing: stop them, or expect several times the time."
    yield Finding("load", "ok" if load <= 1.5 * cores else "warn", f"{load:.1f} of {cores} cores", remedy)
    free = psutil.virtual_memory().available / GB
    remedy = "Close programs or other notebooks; 3 GB are enough."
    yield Finding("free memory", _level(free, 3, 1), f"{free:.1f} GB", remedy)


def _cache() -> Iterable[Finding]:
    from nlkit.models.cache import cache_limit, cache_size

    limit = float("inf")
    try:
        limit = cache_limit() / GB
    except ValueError as error:
        yield Finding("cache limit", "fail", str(error), "Set it to a number, such as 4.")
    try:
        folder = cache_folder()
        with atomic_write(folder / "doctor.txt") as temporary:
            temporary.write_text("written by nlkit doctor")
        (folder / "doctor.txt").unlink()
    except OSError as error:
        remedy = "Point NLKIT_CACHE to a folder that you may write."
        yield Finding("cache folder", "fail", f"cannot be written: {error}", remedy)
        return
    # The limit bounds activations alone; what else is here, such as paid answers, must not go for it.
    activations = folder / "activations"
    size = cache_size(activations) / GB
    found = f"{_short(folder)}: {size:.2f} GB{f' of {limit:g} GB' * (limit < float('inf'))} activations"
    remedy = (
        f"Delete {_short(activations)}, which is computed anew, or raise NLKIT_CACHE_LIMIT_GB. "
        "Keep the rest: answers may have been paid for."
    )
    yield Finding("cache folder", "warn" if size > limit else "ok", found, remedy)
    free, remedy = shutil.disk_usage(folder).free / GB, "Free some space, or move NLKIT_CACHE."
    yield Finding("free disk", _level(free, 2, 0.5), f"{free:.1f} GB where the cache is", remedy)


def _short(path: Path) -> str:
    """Write a path without the home folder: reports get published with notebooks."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _assets() -> Iterable[Finding]:
    for name, asset in assets.verify_all(remember=True).items():
        spec = assets.ASSETS[name]
        label = f"{spec.kind} {name}"
        if isinstance(asset, assets.AssetError):
            yield Finding(label, "fail", asset.problem, spec.remedy)
        else:
            size = sum(path.stat().st_size for path in asset.files.values()) / 1e6
            found = f"{spec.packages[0]} {spec.version}, {size:.0f} MB, SHA-256 right"
            yield Finding(label, "ok", found)


def _notebooks() -> Iterable[Finding]:
    on_colab = places.place() == "Colab"  # it has a front end and a kernel of its own
    found = {name: places.installed(name) for name in (COLAB_PACKAGES if on_colab else NOTEBOOK_PACKAGES)}
    missing = [name for name, number in found.items() if number is None]
    said = f"missing: {', '.join(missing)}" if missing else ", ".join(f"{n} {v}" for n, v in found.items())
    remedy = f"%pip install {' '.join(missing)}" if on_colab else INSTALL_NOTEBOOKS
    yield Finding("notebook packages", "warn" if missing else "ok", said, remedy)


def _kernel() -> Iterable[Finding]:
    if places.place() == "Colab":
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
    program = Path(manager.get_kernel_spec(name).argv[0])
    # A bare name is looked up on the path when the kernel starts; Jupyter uses its own interpreter for
    # "python".
    same = not program.is_absolute() or program.resolve() == Path(sys.executable).resolve()
    found = name if same else f"{name} runs {_short(program)}, not this Python"
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
    ("threads", _threads),
    ("precision", _precision),
    ("machine", _machine),
    ("place", places.here),
    ("offline assets", _assets),
    ("cache folder", _cache),
    ("notebook packages", _notebooks),
    ("widgets", places.widgets),
    ("notebook kernel", _kernel),
    ("browser tests", places.browser_tests),
    ("HF_HUB_OFFLINE", _hub),
)

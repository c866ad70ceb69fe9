"""What every test shares: a private cache, no network, quiet threads and a small real data set."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

# Before any test imports the Hugging Face libraries: they read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Small models gain nothing from a second core, on which notebooks run meanwhile.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from datasets import DatasetDict

    from tests.notebooks.executed import Runs

# "repeatable" draws the same examples in every run; HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("explore", settings.get_profile("repeatable"), derandomize=False, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """NLKIT_CACHE points to a folder of this session, so that nobody's real cache is read or written."""
    folder = str(tmp_path_factory.mktemp("nlkit-cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NLKIT_CACHE", folder)
        yield folder


def looked_at(item: pytest.Item) -> list[tuple[str, str]]:
    """Return which runs of notebooks a test looks at: ("live" or "student", name)."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    return [(kind, given[kind]) for kind in ("live", "student") if kind in given]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of a GPU where there is none; put those last that look at runs of notebooks.

    The notebooks run meanwhile.
    """
    import torch

    without = [] if torch.cuda.is_available() else [i for i in items if i.get_closest_marker("gpu")]
    if without:
        config.hook.pytest_deselected(items=without)
    items[:] = sorted((i for i in items if i not in without), key=lambda item: bool(looked_at(item)))


@pytest.fixture(scope="session", autouse=True)
def notebook_runs(
    request: pytest.FixtureRequest, private_cache: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs | None]:
    """The runs of notebooks that the selected tests look at, started before the first test."""
    if not (wanted := dict.fromkeys(run for item in request.session.items for run in looked_at(item))):
        yield None
        return
    from tests.notebooks.executed import Runs

    started = Runs(wanted, tmp_path_factory.mktemp("executed"))
    yield started
    started.stop()


def _is_local(host: Any) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Any connection or name look-up that would leave this machine raises."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(address: Any) -> None:
        if isinstance(address, tuple) and not _is_local(address[0]):
            raise RuntimeError(f"a test tried to reach the network: {address!r}")

    def guarded_connect(self: socket.socket, address: Any) -> Any:
        check(address)
        return connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> Any:
        check(address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        check((host,))
        return getaddrinfo(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@pytest.fixture(scope="session")
def r8_small() -> DatasetDict:
    """400 training, 40 validation and 200 test texts of the real Reuters R8, stratified."""
    from nlkit.data import load_dataset

    return load_dataset("r8", train_size=400, test_size=200, seed=0)

"""One JupyterLab and one Chromium for all notebooks, and a picture of what failed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from notebooks import build as notebooks
from tests.browser.lab import ARTEFACTS, Notebook, Server, chromium, missing, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser


# Of the module, not of the session: while Playwright runs, no other test of this process can start an event
# loop, and running notebooks needs one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, which finds no machine but this one; where it is missing, tests skip, and under CI fail."""
    if reason := missing():
        (pytest.fail if os.environ.get("NLKIT_BROWSER") == "1" else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright

    shutil.rmtree(ARTEFACTS, ignore_errors=True)
    local = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=[local])
        yield started
        started.close()


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab over a copy of the committed notebooks."""
    folder = tmp_path_factory.mktemp("notebooks")
    for path in notebooks.folder().glob("*.ipynb"):
        shutil.copy(path, folder)
    with serve(folder, tmp_path_factory.mktemp("home")) as started:
        yield started


@pytest.fixture(scope="module")
def notebook(browser: Browser, server: Server, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """A notebook, opened in the light theme."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    opened = Notebook(context.new_page(), server, request.param)
    with picture_of_failure(opened, "open"):
        opened.open()
        opened.theme("JupyterLab Light")
    yield opened
    context.close()


@pytest.fixture(scope="module")
def ran(notebook: Notebook) -> Notebook:
    """The same notebook after all its cells ran."""
    with picture_of_failure(notebook, "run"):
        notebook.run_all()
    return notebook


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Keep a picture of the page that a test failed on."""
    opened = next((found for found in item.funcargs.values() if isinstance(found, Notebook)), None)
    if opened is None:
        return (yield)
    with picture_of_failure(opened, item.originalname):
        return (yield)


@contextmanager
def picture_of_failure(opened: Notebook, what: str) -> Iterator[None]:
    """Keep a picture of the page if the block fails."""
    try:
        yield
    except Exception:
        # The page may be what failed: its error counts, not that of its picture.
        with suppress(Exception):
            opened.keep(f"failed-{what}")
        raise

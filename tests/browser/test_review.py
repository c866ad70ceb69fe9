"""The review of 500 suspects in a real JupyterLab: keys, what is kept, and going on after the kernel died."""

from __future__ import annotations

import json
from itertools import product

import nbformat
import pytest

from tests.browser.lab import CUT, PALE, ROOT, Notebook, wait_for

pytestmark = pytest.mark.browser

CELL = """
import sys
sys.path.insert(0, {root!r})
import nlkit as nk
from tests.course.reviewed import cleaned
nk.review(cleaned(500), "decisions.json")
"""


@pytest.fixture(scope="module")
def reviewing(browser, server):
    """Return a function that opens and runs the notebook in a page of its own, with a kernel of its own."""
    nb = nbformat.read(server.folder / "01_label_noise.ipynb", as_version=4)  # for its kernel
    nb.cells = [nbformat.v4.new_code_cell(CELL.format(root=str(ROOT)).strip())]
    nbformat.write(nb, server.folder / "review.ipynb")
    contexts = []

    def opened():
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 1000}))
        review = Notebook(contexts[-1].new_page(), server, "review")
        review.open()
        # With one cell the page is there sooner than its kernel.
        review.page.get_by_text("| Idle").wait_for()
        review.run_all()
        return review

    yield opened
    for context in contexts:
        context.close()


def test_keys_decide_and_a_dead_kernel_loses_nothing(reviewing):
    review = reviewing()
    box, file = review.page.locator(".nlkit-review"), review.server.folder / "decisions.json"

    def press(key, count):
        review.page.keyboard.press(key)
        made = lambda: json.loads(file.read_text())["made"] if file.exists() else []  # noqa: E731
        return wait_for(lambda: len(made()) == count and made(), f"{count} decisions after {key}")

    box.locator("article").click()
    wait_for(lambda: box.get_attribute("tabindex") == "0", "keys are listened to")
    box.focus()
    for count, key in enumerate("akas", 1):
        made = press(key, count)
    assert [label is None for _, label in made] == [False, False, False, True]
    assert len({place for place, _ in made}) == 4
    assert press("u", 3) == made[:3]
    review.page.keyboard.press("o")
    review.page.keyboard.press("ArrowDown")
    listed = box.locator("select")
    wanted = listed.evaluate("list => list.selectedOptions[0].textContent")
    assert press("Enter", 4)[-1][1] == wanted
    box.locator(".nlkit-key-k").focus()
    press("Enter", 5)
    assert review.code.count() == 1, "a key reached JupyterLab"

    review.save()
    review.shut_down_kernel()
    review.page.context.close()
    again = reviewing()
    again.page.locator(".nlkit-review").get_by_text("5 of 500 suspects decided").wait_for()


def test_nothing_is_cut_or_pale(reviewing):
    review = reviewing()
    for theme, (width, sidebar) in product(("Light", "Dark"), ((1280, True), (390, False))):
        review.layout(1280, True)  # where the menus are
        review.theme(f"JupyterLab {theme}")
        review.layout(width, sidebar)
        area = review.code.first.locator(".jp-OutputArea").first
        review.keep(f"{width}-{theme.lower()}", review.code.first)
        assert area.evaluate(CUT) == []
        assert area.evaluate(PALE) == []

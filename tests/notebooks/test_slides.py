"""Slides: one file that opens without a network."""

from __future__ import annotations

from urllib.parse import urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nlkit.__main__ import main
from notebooks.build import slides as making
from notebooks.build.slides import slides, slides_of
from tests.browser.conftest import browser  # noqa: F401

NAME = "03_splitting"


def types(nb):
    return [cell.metadata.slideshow.slide_type for cell in nb.cells]


def test_headings_make_slides_and_what_only_a_reader_needs_is_left_out(monkeypatch):
    picture = new_output(
        "display_data", {"image/png": "iVBORw0KGgo="}, metadata={"image/png": {"alt": 'A "line"'}}
    )
    cells = [
        new_markdown_cell("# Top\n\nOne sentence.\n\n## First\n\nWith $p_c$, `$HOME` and $$\\frac{a}{b}$$"),
        new_code_cell("draw()", outputs=[picture]),
        new_code_cell("x = 1"),
        new_code_cell("assert x", metadata={"tags": ["check"]}, outputs=[picture]),
        new_markdown_cell("What we saw."),
    ]
    monkeypatch.setattr(making, "committed", lambda name: new_notebook(cells=cells))
    nb = slides_of(NAME)
    nbformat.validate(nb)
    assert types(nb) == ["slide", "notes", "slide", "subslide", "subslide"]
    assert nb.cells[1].source.startswith("## Instructor's note")
    assert "<msub>" in nb.cells[2].source
    assert "<mfrac>" in nb.cells[2].source
    assert "`$HOME`" in nb.cells[2].source
    assert 'alt="A &quot;line&quot;"' in nb.cells[3].outputs[0].data["text/html"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("slides")
    assert main(["notebooks", "slides", NAME, "--out", str(out)]) == 0
    return out / f"{NAME}.slides.html"


def test_nothing_is_loaded_from_elsewhere(made):
    page = BeautifulSoup(made.read_text("utf-8"), "html.parser")
    assert not page.select("script[src], link[href]")
    assert all(image["src"].startswith("data:") for image in page.select("img"))
    assert all(len(image["alt"]) > 40 for image in page.select("img"))
    assert "@import" not in "".join(style.get_text() for style in page.select("style"))


def test_without_reveal_the_remedy_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(making, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'-e "\.\[site\]"'):
        slides(NAME, tmp_path)


@pytest.mark.browser
def test_they_open_and_turn(made, browser):  # noqa: F811
    page, loaded, failed = browser.new_page(), [], []
    page.on("request", lambda request: loaded.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(made.as_uri())
    page.wait_for_function("Reveal.isReady()")
    shown = "Reveal.getCurrentSlide().innerText"
    assert "Splitting" in page.evaluate(shown)
    assert "Instructor" in page.evaluate("Reveal.getSlideNotes()")
    wanted = types(slides_of(NAME))
    assert page.evaluate("Reveal.getTotalSlides()") == len(wanted) - wanted.count("notes")
    assert page.evaluate("Reveal.getHorizontalSlides().length") == wanted.count("slide")
    first = page.evaluate(shown)
    page.keyboard.press("ArrowRight")
    page.wait_for_function("Reveal.getIndices().h === 1")
    assert page.evaluate(shown) != first
    assert "assert " not in page.evaluate("document.body.innerText")
    assert not failed
    assert {urlsplit(url).scheme for url in loaded} <= {"file", "data"}

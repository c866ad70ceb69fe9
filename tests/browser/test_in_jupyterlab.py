"""Three notebooks in a real JupyterLab and a real browser: run, moved, looked at and reloaded."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image

from tests.browser.lab import CUT, PALE

BROWSED = ("01_label_noise", "03_splitting", "08_simplex_diffusion")
LAYOUTS = {"1280": (1280, True), "800": (800, True), "800-without-files": (800, False)}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("notebook", BROWSED, indirect=True, scope="module"),
]


def test_the_committed_copy_shows_its_figures(notebook):
    assert notebook.figures.count() >= 1
    assert notebook.words.count() >= notebook.figures.count()
    assert notebook.explorers.count() == 0


def test_every_cell_runs(ran):
    for cell in ran.save().cells:
        if cell.cell_type == "code" and cell.source.strip():
            assert cell.execution_count, cell.source
            assert not [output for output in cell.outputs if output.output_type == "error"], cell.source


def test_explorers_show_their_pictures(ran):
    assert ran.explorers.count() >= 1
    for explorer in ran.explorers.all():
        pictures = explorer.locator("img").evaluate_all("images => images.map(i => [i.naturalWidth, i.alt])")
        assert pictures
        for width, words in pictures:
            assert width > 0
            assert words.strip()


def test_a_screen_reader_can_name_every_control(ran):
    from playwright.sync_api import expect

    assert ran.explorers.count() >= 1
    for explorer in ran.explorers.all():
        explorer.scroll_into_view_if_needed()  # JupyterLab draws what is in view
        controls = explorer.locator("[role=slider], select, input")
        assert controls.count() >= 1
        for control in controls.all():
            beside = control.locator("xpath=ancestor::*[contains(@class, 'widget-inline-hbox')][1]//label")
            words = beside.text_content()
            assert words.strip()
            expect(control).to_have_accessible_name(words)


def test_the_mouse_moves_the_slider(ran):
    before = ran.position()[2]
    with ran.redrawn():
        ran.drag()
    assert ran.position()[2] != before


def test_the_keyboard_moves_the_slider(ran):
    ran.slider.focus()
    ran.page.keyboard.press("Shift+Tab")
    assert not ran.slider.evaluate("handle => handle === document.activeElement")
    ran.page.keyboard.press("Tab")
    assert ran.slider.evaluate("handle => handle === document.activeElement")
    _, high, before = ran.position()
    assert before < high
    with ran.redrawn():
        ran.page.keyboard.press("ArrowRight")
    assert ran.position()[2] > before


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_nothing_is_cut_or_pale(ran, theme):
    ran.theme(f"JupyterLab {theme}")
    cells = ran.explorer_cells()
    for layout, (width, sidebar) in LAYOUTS.items():
        ran.layout(width, sidebar)
        cells[0].evaluate("cell => cell.scrollIntoView()")
        ran.keep(f"{layout}-{theme.lower()}-page")
        for number, cell in enumerate(cells, 1):
            ran.keep(f"{layout}-{theme.lower()}-explorer-{number}", cell)
            assert cell.locator(".jp-OutputArea").first.evaluate(CUT) == []
            assert cell.locator(".jp-OutputArea").first.evaluate(PALE) == []


def test_figures_bring_their_own_white_ground(ran):
    read = "images => images.map(i => i.src)"
    static, live = (shown.evaluate_all(read) for shown in (ran.figures, ran.explorers.locator("img")))
    assert static
    assert live
    for source in static + live:
        found = re.fullmatch("data:image/png;base64,(.*)", source, re.DOTALL)
        assert found, source[:100]
        picture = Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA")
        assert picture.getpixel((0, 0)) == (255, 255, 255, 255)


def test_the_static_picture_outlives_page_and_kernel(ran):
    cell = ran.explorer_cells()[0]
    ran.save()
    ran.shut_down_kernel()
    ran.reload()
    figure = cell.locator(".jp-RenderedImage img[src^='data:image/png']").first
    figure.scroll_into_view_if_needed()
    assert figure.evaluate("image => image.naturalWidth") > 0
    words = cell.locator("details").last
    assert not words.locator("p").is_visible()
    words.locator("summary").click()
    assert words.locator("p").inner_text().strip()
    assert ran.explorers.count() == 0
    ran.keep("reloaded", cell)


def test_no_other_machine_was_asked(notebook):
    assert notebook.asked
    assert not notebook.outsiders

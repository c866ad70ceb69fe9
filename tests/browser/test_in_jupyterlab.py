"""Three notebooks in a real JupyterLab and a real browser: run, moved, looked at and reloaded."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image

from nlkit.course.widgets.explorer import PICTURE
from tests.browser.lab import CUT, PALE, STILL, WATCH, wait_for

BROWSED = ("01_label_noise", "03_splitting", "08_simplex_diffusion")
LAYOUTS = {
    "1920": (1920, False), "1280": (1280, True), "800": (800, True), "800-without-files": (800, False),
}  # fmt: skip
OURS = (".jp-OutputArea", ".jp-RenderedMarkdown")  # what JupyterLab itself shows is not ours

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


def test_one_picture_an_explorer(ran):
    cells = ran.explorer_cells()
    assert cells
    for cell in cells:
        shown = cell.locator("img").evaluate_all("all => all.filter(i => i.getClientRects().length)")
        assert len(shown) == cell.locator(".nlkit-explorer").count()
        assert cell.locator(".jp-RenderedImage img").count() == 1, "the static copy is kept in the file"
        assert not cell.locator("details summary").filter(has_text="in words").is_visible()


def test_a_screen_reader_has_units_and_no_binary_numbers(ran):
    said = ran.page.get_by_role("slider").evaluate_all("all => all.map(s => s.ariaValueText)")
    assert said
    for value in said:
        assert re.fullmatch(r"-?\d+(\.\d{1,4})?( [a-z]+.*)?", value), value


def test_nothing_serious_for_axe(ran):
    assert ran.serious(*OURS) == []


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
            picture, room = (
                cell.locator(place).first.bounding_box()["width"]
                for place in (".nlkit-explorer img", ".jp-OutputArea-output")
            )
            assert min(PICTURE, room) - 30 < picture <= PICTURE
            assert cell.locator(".jp-OutputArea").first.evaluate(CUT) == []
            assert cell.locator(".jp-OutputArea").first.evaluate(PALE) == []


def test_pictures_follow_the_slider_at_one_height(ran, capsys):
    """Keys first, one picture after another; then the mouse, which does not wait for them."""
    page = ran.page
    ran.explorer.scroll_into_view_if_needed()
    ran.slider.evaluate(STILL)
    ran.explorer.evaluate(WATCH)
    ran.slider.focus()
    low, high, now = ran.position()
    there, back = ("ArrowRight", "ArrowLeft")[:: 1 if now < (low + high) / 2 else -1]
    for number in range(1, 13):
        page.keyboard.press(there if number % 2 else back)
        wait_for(lambda n=number: page.evaluate("nlkitSeen.redraws.length") >= n, f"picture {number}")
    took = page.evaluate("nlkitSeen.redraws.sort((a, b) => a - b)")
    track = ran.explorer.locator(".noUi-base").first.bounding_box()
    ran.slider.hover()
    page.mouse.down()
    before = page.evaluate("nlkitSeen.pictures")
    for step in range(100):
        share = abs(step % 50 - 25) / 25
        page.mouse.move(track["x"] + share * track["width"], track["y"] + track["height"] / 2)
        page.wait_for_timeout(15)
    came = page.evaluate("nlkitSeen.pictures") - before
    page.mouse.up()
    ran.idle()
    assert came > 1, "no picture while the slider moved"
    assert len(page.evaluate("[...nlkitSeen.heights]")) == 1
    with capsys.disabled():
        half, most = took[len(took) // 2], took[int(0.95 * len(took))]
        print(f"\n{ran.name}: redraw {half:.0f} ms, 95th percentile {most:.0f}; {came / 1.5:.0f} a second")


def test_a_live_run_tells_how_far_it_is_and_is_cancelled(ran):
    buttons = ran.page.get_by_role("button", name="Recompute live")
    assert buttons.count() == sum("nk.widgets.explore(" in cell.source for cell in ran.save().cells)
    if ran.name == BROWSED[0]:  # which trains nothing
        return
    live = ran.page.locator(".widget-vbox", has=buttons).last
    button, told = live.get_by_role("button", name="Recompute live"), live.locator("progress")
    button.scroll_into_view_if_needed()
    button.click()
    told.wait_for()
    assert button.is_disabled()
    with ran.redrawn():
        ran.drag()
    live.get_by_text(re.compile(r"\d+ of \d+")).wait_for(timeout=120_000)
    ran.keep("live")
    live.get_by_role("button", name="Cancel").click()
    live.get_by_text("Cancelled.").wait_for(timeout=120_000)
    assert button.is_enabled()
    assert told.count() == 0


def test_figures_bring_their_own_white_ground(ran):
    read = "images => images.map(i => i.src)"
    static, live = (shown.evaluate_all(read) for shown in (ran.figures, ran.explorers.locator("img")))
    assert static
    for source in live:
        drawn = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()
        assert re.search(r'id="patch_1">\s*<path[^>]*fill: #ffffff', drawn), drawn[:500]
    for source in static:
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

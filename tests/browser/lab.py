"""A real JupyterLab with a home of its own, and what a reader does in it: menus, sliders, themes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import nbformat

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "outputs" / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOME = {"localhost", "127.0.0.1"}

# Of one cell's output: what reaches beyond the part of the page that shows it. A table may, inside something
# that scrolls.
CUT = """area => {
  const {left, right} = area.getBoundingClientRect()
  const shown = 'label, select, button, img, table, summary, p, .noUi-base, .widget-readout'
  return [...area.querySelectorAll(shown)]
    .filter(e => e.getClientRects().length)
    .filter(e => {
      const place = (e.tagName === 'TABLE' ? e.parentElement : e).getBoundingClientRect()
      return place.right > right + 1 || place.left < left - 1
    })
    .map(e => `${e.tagName} ${e.className} ${e.textContent.slice(0, 30)}`)
}"""

# Of one cell's output: text whose contrast (WCAG 2) with the ground it stands on is below 4.5.
PALE = """area => {
  const rgb = colour => colour.match(/[\\d.]+/g).map(Number)
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
  const ground = e => {
    const own = rgb(getComputedStyle(e).backgroundColor)
    return own.length < 4 || own[3] === 1 || !e.parentElement ? own : ground(e.parentElement)
  }
  return [...area.querySelectorAll('label, select, button, th, td, caption, summary, p, .widget-readout')]
    .filter(e => e.getClientRects().length && e.textContent.trim())
    .filter(e => {
      const [a, b] = [rgb(getComputedStyle(e).color), ground(e)].map(light)
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5
    })
    .map(e => `${e.tagName} ${e.className} ${e.textContent.slice(0, 30)}`)
}"""

# The time from a key to the picture that it leads to, in milliseconds: when it is decoded and painted. All
# pictures that come while the mouse drags are counted too.
WATCH = """box => {
  const seen = window.nlkitSeen = {redraws: [], pictures: 0, heights: new Set()}
  let began = 0
  box.addEventListener('keydown', () => { began = performance.now() }, true)
  new MutationObserver(async () => {
    const since = began, picture = box.querySelector('img')
    await picture?.decode()
    requestAnimationFrame(() => setTimeout(() => {
      seen.pictures += 1
      seen.heights.add(box.offsetHeight)
      if (since) seen.redraws.push(performance.now() - since)
      if (since === began) began = 0
    }))
  }).observe(box.querySelector('img').parentElement, {childList: true})
}"""

# Waits until an element has stood still for ten frames: cells above it move it when JupyterLab draws them.
STILL = """element => new Promise(done => {
  let before = '', frames = 0
  const look = () => {
    const {x, y} = element.getBoundingClientRect()
    frames = before === `${x} ${y}` ? frames + 1 : 0
    before = `${x} ${y}`
    frames > 10 ? done() : requestAnimationFrame(look)
  }
  look()
})"""


def chromium() -> str:
    """Return the path of a Chromium, or "" where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), "")


def missing() -> str:
    """Return what is missing for these tests and the command that installs it, or ""."""
    if importlib.util.find_spec("playwright") is None:
        return "Playwright is not installed: .venv/bin/python -m pip install -c constraints.txt playwright"
    if not chromium():
        return f"there is no Chromium (none of {', '.join(BROWSERS)}): sudo apt-get install chromium"
    return ""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """Return the condition's first true value, or fail and say what did not happen."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)
    return found


@dataclass(frozen=True)
class Server:
    """A JupyterLab that runs over a folder of notebooks."""

    url: str
    token: str
    folder: Path


@contextmanager
def serve(folder: Path, home: Path) -> Iterator[Server]:
    """Run a JupyterLab over a folder; its settings, kernels' history and log stay in the given home."""
    settings = home / ".jupyter" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet), "utf-8")
    mine = ("JUPYTER", "IPYTHON", "XDG_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    environment |= {"HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0", "--LabApp.extension_manager=readonly", "--ServerApp.open_browser=False",
    ]  # fmt: skip
    log = home / "lab.log"

    def started() -> dict[str, Any] | None:
        if process.poll() is not None:
            raise AssertionError(f"JupyterLab ended at once:\n{log.read_text('utf-8')[-3000:]}")
        for path in (home / "runtime").glob("jpserver-*.json"):
            try:
                return json.loads(path.read_text("utf-8"))
            except json.JSONDecodeError:  # half written
                return None
        return None

    with log.open("w") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        info = wait_for(started, f"JupyterLab's start (its log: {log})", 60)
        yield Server(info["url"], info["token"], folder)
    finally:
        process.terminate()  # it ends its kernels
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Notebook:
    """A notebook in JupyterLab, driven as a reader would."""

    def __init__(self, page: Page, server: Server, name: str) -> None:
        self.page, self.server, self.name = page, server, name
        self.path = server.folder / f"{name}.ipynb"
        self.asked: set[str] = set()
        page.context.on("request", lambda request: self.asked.add(request.url))
        page.on("websocket", lambda socket: self.asked.add(socket.url))

    @property
    def outsiders(self) -> set[str]:
        """What the page asked other machines for."""
        return {url for url in self.asked if (urlsplit(url).hostname or "localhost") not in HOME}

    @property
    def code(self) -> Locator:
        """All code cells."""
        return self.page.locator(".jp-Notebook .jp-CodeCell")

    @property
    def explorers(self) -> Locator:
        """All live explorers."""
        return self.page.locator(".nlkit-explorer")

    @property
    def explorer(self) -> Locator:
        """The first explorer that has a slider."""
        return self.explorers.filter(has=self.page.get_by_role("slider")).first

    @property
    def slider(self) -> Locator:
        """The first slider of that explorer."""
        return self.explorer.get_by_role("slider").first

    @property
    def figures(self) -> Locator:
        """All static pictures; a live explorer's picture is none."""
        return self.page.locator(".jp-RenderedImage img")

    @property
    def words(self) -> Locator:
        """What unfolds a figure's words."""
        return self.page.locator("summary").filter(has_text="This figure in words")

    def explorer_cells(self) -> list[Locator]:
        """Return the code cells that show explorers; they stay the same after the explorers are gone."""
        find = """cells => [...cells.keys()].filter(i => cells[i].querySelector('.nlkit-explorer'))"""
        return [self.code.nth(i) for i in self.code.evaluate_all(find)]

    def open(self) -> None:
        """Open it in a workspace of its own, which has no tabs of other notebooks."""
        place = f"lab/workspaces/{self.name}/tree/{self.name}.ipynb"
        self.page.goto(f"{self.server.url}{place}?token={self.server.token}")
        self.ready()
        self.idle()

    def reload(self) -> None:
        """Load the page again; after `shut_down_kernel` no kernel has to come back."""
        self.page.reload()
        self.ready()

    def ready(self) -> None:
        """Wait until all cells are on the page."""
        cells = nbformat.read(self.path, as_version=4).cells
        wanted = sum(cell.cell_type == "code" for cell in cells)
        wait_for(lambda: self.code.count() == wanted, f"{self.name}: {wanted} code cells on the page", 60)

    def idle(self) -> None:
        """Wait until the kernel is idle. At 800 pixels its sign is folded away, but there."""
        idle = self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")
        idle.wait_for(state="attached", timeout=60_000)

    def menu(self, top: str, *path: str) -> None:
        """Choose from JupyterLab's menus by their words."""
        self.page.get_by_role("menubar").get_by_role("menuitem", name=top, exact=True).click()
        for label in path:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(label, exact=True).click()

    def run_all(self, seconds: float = 180) -> None:
        """Clear what the committed copy shows, run all cells and wait for the last."""
        self.menu("Edit", "Clear Outputs of All Cells")
        prompts = self.code.locator(".jp-InputPrompt")
        wait_for(lambda: not any(map(_number, prompts.all_text_contents())), f"{self.name}: outputs cleared")
        self.menu("Run", "Run All Cells")

        def done() -> bool:
            shown = prompts.all_text_contents()
            return any(map(_number, shown)) and not any("*" in prompt for prompt in shown)

        wait_for(done, f"{self.name}: all cells run", seconds)
        self.idle()

    def save(self) -> nbformat.NotebookNode:
        """Save it, and return what the file holds then."""
        before = self.path.stat().st_mtime_ns
        self.menu("File", "Save Notebook")

        def saved() -> nbformat.NotebookNode | None:
            if self.path.stat().st_mtime_ns == before:
                return None
            try:
                return nbformat.read(self.path, as_version=4)
            except nbformat.reader.NotJSONError:  # half written
                return None

        return wait_for(saved, f"{self.name}: saved")

    def shut_down_kernel(self) -> None:
        """End the kernel, as a night does."""
        self.menu("Kernel", "Shut Down Kernel")
        self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(state="detached")

    def layout(self, width: int, sidebar: bool) -> None:
        """Set the window's width, and open or close JupyterLab's file browser."""
        self.page.set_viewport_size({"width": width, "height": 1000})
        browser = self.page.locator("#jp-left-stack")
        if browser.is_visible() != sidebar:
            self.page.keyboard.press("Control+b")
        browser.wait_for(state="visible" if sidebar else "hidden")

    def theme(self, name: str) -> None:
        """Choose "JupyterLab Light" or "JupyterLab Dark"."""
        self.menu("Settings", "Theme", name)
        self.page.locator(f"body[data-jp-theme-name='{name}']").wait_for(state="attached")

    @contextmanager
    def redrawn(self) -> Iterator[None]:
        """Wait, at the end of the block, until the explorer shows another picture with other words."""
        before = self.picture()
        yield
        changed = lambda: all(a != b for a, b in zip(before, self.picture(), strict=True))  # noqa: E731
        wait_for(changed, f"{self.name}: another picture and other words than {before[1]!r}")
        self.idle()

    def picture(self) -> tuple[str, str]:
        """Return source and alternative text of the explorer's picture."""
        read = "images => images.map(i => [i.src, i.alt])"
        found = wait_for(lambda: self.explorer.locator("img").evaluate_all(read), f"{self.name}: a picture")
        return tuple(found[0])

    def position(self) -> tuple[float, float, float]:
        """Return the slider's lowest, highest and present value, as a screen reader has them."""
        # In ipywidgets 8.1 aria-valuenow is rounded to tenths; the text is exact.
        low, high, now = (self.slider.get_attribute(f"aria-value{end}") for end in ("min", "max", "text"))
        return float(low), float(high), float(now.split()[0])

    def serious(self, *parts: str) -> list[str]:
        """Return what axe-core finds serious or critical in parts of the page, by their selectors."""
        return serious(self.page, *parts)

    def drag(self) -> None:
        """Drag the slider by mouse to the farther quarter of its track."""
        low, high, now = self.position()
        self.slider.scroll_into_view_if_needed()
        self.slider.evaluate(STILL)
        track = self.explorer.locator(".noUi-base").first.bounding_box()
        self.slider.hover()
        self.page.mouse.down()
        assert "noUi-active" in self.slider.get_attribute("class"), "the mouse did not get hold of the slider"
        share = 0.25 if now > (low + high) / 2 else 0.75
        self.page.mouse.move(track["x"] + share * track["width"], track["y"] + track["height"] / 2, steps=4)
        self.page.mouse.up()

    def keep(self, name: str, cell: Locator | None = None) -> None:
        """Keep a screenshot of the page, or of one cell's whole output."""
        path = ARTEFACTS / f"{self.name}-{name}.png"
        if cell is None:
            self.page.screenshot(path=path)
            return
        size = self.page.viewport_size
        area = cell.locator(".jp-OutputArea").first
        # The notebook scrolls inside the page: the page must have room for all of the output.
        self.page.set_viewport_size(size | {"height": int(area.bounding_box()["height"]) + 300})
        cell.evaluate("cell => cell.scrollIntoView()")
        area.screenshot(path=path)
        self.page.set_viewport_size(size)


def serious(page: Page, *parts: str) -> list[str]:
    """Return what axe-core finds serious or critical on a page, or in parts of it."""
    from axe_playwright_python.sync_playwright import Axe

    there = [[part] for part in parts if page.locator(part).count()]
    found = Axe().run(page, {"include": there} if parts else None).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in found if rule["impact"] in ("serious", "critical") for node in rule["nodes"]
    ]  # fmt: skip


def _number(prompt: str) -> bool:
    return any(character.isdigit() for character in prompt)

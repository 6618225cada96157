"""The catalogue in headless Chromium: search, filter, open a plugin, with the keyboard, on a phone, without scripts, in the dark."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from unlabeled_registry.index.build import build

from .conftest import Serve

ROOT = Path(__file__).parents[3]
PLUGINS = ("audio", "standard", "text", "vision")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of four first-party plugins, built as a release of them would be."""
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w"]
    subprocess.run([*line, str(folder / "wheels"), *(f"{ROOT}/plugins/{name}" for name in PLUGINS)], check=True)
    build(folder / "index", [folder / "wheels"])
    return folder / "index"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)  # headless, in a new empty profile
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any, site: Path, serve: Serve) -> Iterator[Open]:
    """Open a page of the index; whatever it asks for elsewhere, or complains about, fails the test."""
    address = serve(site)
    contexts: list[Any] = []
    wrong: list[str] = []

    def open(path: str = "index.html", **settings: Any) -> Any:
        contexts.append(context := browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings))
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("request", lambda request: request.url.startswith(address) or wrong.append(request.url))
        page.on("console", lambda message: "favicon" in message.location["url"] or wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{address}/{path}")
        return page

    yield open
    for context in contexts:
        context.close()
    assert wrong == []


def shown(page: Any) -> list[str]:
    return [name.removeprefix("unlabeled-") for name in page.locator(".card:visible h2 a").all_inner_texts()]


def test_search(open_page: Open) -> None:
    page = open_page()
    assert shown(page) == list(PLUGINS)
    page.get_by_role("searchbox", name="Search").fill("WAV2VEC quantised")
    assert shown(page) == ["audio"]
    assert page.get_by_role("status").inner_text() == "1 of 4 plugins"
    page.get_by_role("searchbox", name="Search").fill("nothing like it")
    assert shown(page) == []
    assert page.get_by_role("status").inner_text() == "No plugin fits."
    page.get_by_role("button", name="Show all").click()
    assert shown(page) == list(PLUGINS)
    assert page.get_by_role("searchbox", name="Search").input_value() == ""


def test_filters(open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Modality").select_option("text/text")
    assert shown(page) == ["text"]
    page.get_by_label("Modality").select_option("any")
    page.get_by_label("Objective").select_option("audio/wav2vec2")
    assert shown(page) == ["audio"]
    page.get_by_label("Objective").select_option("any")
    page.get_by_label("Capability").select_option("vocabulary")
    assert shown(page) == ["text"]
    page.get_by_label("Capability").select_option("any")
    page.get_by_label("Kind").select_option("evaluator")
    assert shown(page) == ["standard", "text"]
    page.get_by_role("searchbox", name="Search").fill("probe")
    assert shown(page) == ["standard"]


def test_a_choice_is_in_the_address_and_survives_going_back(open_page: Open) -> None:
    page = open_page("index.html#q=bert&kind=encoder")
    assert shown(page) == ["text"]
    page.get_by_role("searchbox", name="Search").fill("images: vit")
    assert page.evaluate("location.hash") == "#q=images%3A+vit&kind=encoder"
    page.get_by_role("link", name="unlabeled-vision").click()
    page.wait_for_url("**/plugins/unlabeled-vision.html")
    page.go_back()
    page.wait_for_url("**/index.html#q=images**")
    assert page.get_by_role("searchbox", name="Search").input_value() == "images: vit"
    assert shown(page) == ["vision"]


def test_a_plugins_page(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("link", name="unlabeled-audio").click()
    page.wait_for_url("**/plugins/unlabeled-audio.html")
    assert page.get_by_role("heading", level=1).inner_text().startswith("unlabeled-audio")
    encoder = page.locator("#encoder-wav2vec2")
    assert "Baevski" in encoder.inner_text() and "mask-token" in encoder.inner_text()
    assert page.locator(".readme table").count() == 1
    root = page.url.removesuffix("/plugins/unlabeled-audio.html")
    assert f"--index-url {root}/simple/ unlabeled-audio" in page.locator("#install + .command ~ .command").inner_text()
    with page.expect_download() as download:
        page.locator(".versions a").click()
    assert download.value.suggested_filename == "unlabeled_audio-0.1.0-py3-none-any.whl"
    page.get_by_role("link", name="All plugins").click()
    page.wait_for_url("**/index.html")


def test_the_keyboard_alone(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("/")
    page.keyboard.type("wav2vec quantised")
    assert shown(page) == ["audio"]
    for _ in range(6):  # four filters, the button, the card
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "unlabeled-audio"
    page.keyboard.press("Enter")
    page.wait_for_url("**/plugins/unlabeled-audio.html")


@pytest.mark.parametrize("path", ["index.html", "plugins/unlabeled-audio.html", "plugins/unlabeled-vision.html"])
@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_scrolls_in_one_direction_only(open_page: Open, path: str, width: int) -> None:
    page = open_page(path, viewport={"width": width, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for box in [part.bounding_box() for part in page.locator("input:visible, select:visible, .card:visible").all()]:
        assert box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= width


def test_without_scripts_it_is_a_plain_list(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    assert shown(page) == list(PLUGINS)
    assert not page.get_by_role("searchbox", name="Search").is_visible()
    page.get_by_role("link", name="unlabeled-text").click()
    page.wait_for_url("**/plugins/unlabeled-text.html")
    assert "ADDRESS is where this index lies" in page.locator("main").inner_text()


def test_from_a_folder(browser: Any, site: Path) -> None:
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.get_by_role("searchbox", name="Search").fill("bert")
    assert shown(page) == ["text"]
    page.get_by_role("link", name="unlabeled-text").click()
    page.wait_for_url("**/plugins/unlabeled-text.html")
    assert f"--index {site}" in page.locator(".command").first.inner_text()
    page.close()


FAINT = """() => {
  const light = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const contrast = (element) => {
    let behind = element;
    while (/rgba\\(.*, 0\\)/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
    const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const texts = [...document.querySelectorAll("body *")].filter((it) => it.checkVisibility() && it.innerText);
  return [texts.length, texts.filter((it) => contrast(it) < 4.5).map((it) => it.innerText)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_the_light_and_in_the_dark(open_page: Open, scheme: str) -> None:
    """WCAG 2: text has a contrast of at least 4.5 with what is behind it."""
    for path in ("index.html", "plugins/unlabeled-audio.html"):
        page = open_page(path, color_scheme=scheme)
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 25)"
        assert dark == (scheme == "dark")
        count, faint = page.evaluate(FAINT)
        assert count > 50
        assert faint == []

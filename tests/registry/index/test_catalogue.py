"""The pages load nothing, run nothing but their own script, and show what a wheel's author wrote as text."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from unlabeled_registry.index.build import build
from unlabeled_registry.index.readme import render
from unlabeled_registry.testing import write_wheel

from .conftest import FILES, manifest

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """An index with a plugin that tries to put markup of its own wherever it can."""
    text = manifest("unlabeled-radar").replace("A network", EVIL.replace('"', "'"))
    readme = f"# Title\n\n{EVIL}\n\n[a](javascript:alert(1)) [b](https://example.org) [c](file.md) ![d](https://example.org/x.png)\n"
    metadata = (
        f"License: {EVIL}\nProject-URL: Evil, javascript:alert(1)\nProject-URL: {EVIL}, https://example.org\n"
        f"Description-Content-Type: text/markdown\n\n{readme}"
    )
    write_wheel(tmp_path / "wheels", "unlabeled-radar", text, FILES, metadata=metadata)
    build(tmp_path / "index", [tmp_path / "wheels"])
    return tmp_path / "index"


def pages(index: Path) -> list[Path]:
    return [index / "index.html", *(index / "plugins").iterdir()]


def test_nothing_is_loaded_and_no_markup_gets_in(evil: Path) -> None:
    for file in pages(evil):
        page = Page(file.read_text())
        assert {"link", "img", "iframe", "object", "embed", "video", "audio", "base"}.isdisjoint(
            tag for tag, _ in page.elements
        )
        assert page.all("script") == [{}]  # ours, without a source
        assert not [
            1 for _, attributes in page.elements for name in attributes if name.startswith("on") or name == "style"
        ]
        addresses = [str(link["href"]) for link in page.all("a")]
        assert all(
            re.match(r"https://example\.org|#|\.\./|[a-z]+/|index\.html|plugins\.json", it) for it in addresses
        ), addresses
        assert "url(" not in file.read_text() and "@import" not in file.read_text()


def test_only_the_pages_own_script_and_style_may_run(evil: Path) -> None:
    for file in pages(evil):
        text = file.read_text()
        (policy,) = (item["content"] for item in Page(text).all("meta") if "http-equiv" in item)
        for element in ("script", "style"):
            (content,) = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{element}-src 'sha256-{digest}'" in str(policy)
        assert str(policy).startswith("default-src 'none'; ")
        assert "unsafe" not in str(policy)


def test_every_component_version_and_hash_is_on_a_plugins_page(index: Path) -> None:
    text = (index / "plugins" / "unlabeled-radar.html").read_text()
    for id in ("radar/radar", "radar/net", "radar/radar-match", "radar/radar-start"):
        assert f'<code class="id">{id}</code>' in text
    for wheel in (index / "files").glob("unlabeled_radar*.whl"):
        assert hashlib.sha256(wheel.read_bytes()).hexdigest() in text
        assert f'href="../files/{wheel.name}"' in text


def test_state_is_shown(index: Path) -> None:
    import json

    sha256 = hashlib.sha256((index / "files" / "unlabeled_touch-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    check = {"component": "touch/net", "kind": "encoder", "text": "padding is ignored", "message": "row 3 <differs>"}
    report = {
        "green": False,
        "required": 3,
        "ran": 3,
        "passed": 2,
        "sha256": sha256,
        "checks": [check | {"result": "failed"}],
    }
    advisory = {"id": "A-7", "summary": "Forgets", "affects": ">=0", "fixed_in": None}
    state = {
        "schema": 1,
        "yanked": {"unlabeled-touch": {"1.0": "numb"}},
        "advisories": {"unlabeled-touch": [advisory]},
        "conformance": {sha256: report},
    }
    (index / "state.json").write_text(json.dumps(state))
    build(index)
    for page in ("index.html", "plugins/unlabeled-touch.html"):
        text = (index / page).read_text()
        for words in ("2 of 3 checks passed", ">yanked<", ">1 advisory<"):
            assert words in text
    for words in ("numb", "A-7", "Forgets", "No version mends it yet", "padding is ignored: row 3 &lt;differs&gt;"):
        assert words in text


def test_a_plugin_for_other_interfaces_is_shown(tmp_path: Path) -> None:
    text = manifest("unlabeled-radar").replace(">=1.0,<2", ">=9").replace("schema = 1", 'schema = 1\nfuture = "x"')
    write_wheel(tmp_path / "wheels", "unlabeled-radar", text, FILES)
    build(tmp_path / "index", [tmp_path / "wheels"])
    assert "A demonstration" in (tmp_path / "index" / "index.html").read_text()


class TestReadme:
    def test_markdown(self) -> None:
        html = render(
            "# unlabeled-x\n\nSome *words*.\n\n## Use\n\n```bash\na < b\n```\n\n| a |\n|---|\n| b |\n",
            "text/markdown",
            "unlabeled-x",
        )
        assert "unlabeled-x" not in html  # the page has that title
        for part in ("<em>words</em>", "<h4>Use</h4>", "<code>a &lt; b\n</code>", "<td>b</td>"):
            assert part in html

    def test_plain_text(self) -> None:
        assert render("*a* <b>\n", "text/x-rst", "x") == '<pre class="plain" tabindex="0">*a* &lt;b&gt;</pre>\n'
        assert render(" \n", "text/plain", "x") == ""

    def test_one_that_would_take_minutes_to_read(self) -> None:
        assert render("![" * 60_000, "text/markdown", "x").startswith('<pre class="plain" tabindex="0">![![')

    @pytest.mark.parametrize(
        "address", ["javascript:alert(1)", "file:///etc/passwd", "docs/x.md", "//example.org", "data:text/html,x"]
    )
    def test_links_that_lead_nowhere_good(self, address: str) -> None:
        html = render(f"[words]({address})", "text/markdown", "x")
        assert "words" in html
        assert "<a" not in html and "href" not in html

    def test_links_to_other_sites(self) -> None:
        html = render("[words](https://example.org) and ![a picture](https://example.org/x.png)", "text/markdown", "x")
        assert '<a href="https://example.org" rel="nofollow noopener noreferrer">words</a> and a picture' in html

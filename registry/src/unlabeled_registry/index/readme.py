"""A plugin author's description as HTML that can do nothing but be read: no markup of its own, no images, no scripts."""

from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

_SHIFT = 2
"""The page has headings of its own above the description's."""
_LONGEST = 100_000
"""Of characters: longer ones are not read as Markdown, as that can take minutes, whenever anybody builds the index."""


class _Renderer(RendererHTML):
    """Links lead to other sites only where they are whole addresses; an image is its text."""

    def image(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return escape(tokens[place].content)

    def link_open(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        address = str(tokens[place].attrGet("href") or "")
        if not address.startswith(("https://", "http://")):
            return "<span>"
        tokens[place].attrs = {"href": address, "rel": "nofollow noopener noreferrer"}
        return self.renderToken(tokens, place, options, env)

    def link_close(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        opening = next(token for token in reversed(tokens[:place]) if token.type == "link_open")
        return "</a>" if "rel" in opening.attrs else "</span>"

    def heading_open(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return f"<{_lower(tokens[place].tag)}>"

    def heading_close(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return f"</{_lower(tokens[place].tag)}>\n"

    def table_open(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return '<div class="wide" tabindex="0"><table>\n'

    def table_close(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return "</table></div>\n"

    def fence(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return f'<pre tabindex="0"><code>{escape(tokens[place].content)}</code></pre>\n'

    def code_block(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return self.fence(tokens, place, options, env)


def render(description: str, content_type: str, name: str) -> str:
    """The HTML of a description: Markdown where it says so, without the title that `name` repeats, else
    preformatted text.
    """
    if not description.strip():
        return ""
    if content_type != "text/markdown" or len(description) > _LONGEST:
        return f'<pre class="plain" tabindex="0">{escape(description.strip())}</pre>\n'
    markdown = _markdown()
    tokens = markdown.parse(description)
    if len(tokens) > 1 and tokens[0].type == "heading_open" and tokens[1].content == name:
        del tokens[:3]
    return str(markdown.renderer.render(tokens, markdown.options, {}))


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")


def _lower(tag: str) -> str:
    return f"h{min(int(tag[1:]) + _SHIFT, 6)}"

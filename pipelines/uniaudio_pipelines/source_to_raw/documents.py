"""Text files to plain text: UTF-8 as it is, markup without its tags."""

import re
from html.parser import HTMLParser

_MARKUP = frozenset({".html", ".htm", ".xhtml", ".xml"})
_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        "address article aside blockquote caption dd div dl dt figcaption footer form h1 h2 h3 h4 h5 h6 header hr li "
        "main nav ol p para pre section simpara table title tr ul",
    )
)
"""Elements that end a paragraph, of HTML and DocBook."""
_CELLS = frozenset({"td", "th", "entry", "br"})
"""Elements that end a word and no more."""
_HIDDEN = frozenset({"script", "style", "head", "template", "noscript"})


def read_document(data: bytes, suffix: str) -> str:
    """The text of a file's bytes; `UnicodeDecodeError` where they are not UTF-8. Paragraphs are separated by an empty
    line."""
    text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    return _without_tags(text) if suffix.lower() in _MARKUP else text.strip()


def _without_tags(markup: str) -> str:
    parser = _TextOf()
    parser.feed(markup)
    parser.close()
    paragraphs = (re.sub(r"\s+", " ", paragraph).strip() for paragraph in "".join(parser.parts).split("\n\n"))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


class _TextOf(HTMLParser):
    """Collects text. The parser of HTML also reads XML, and neither fetches nor expands entities."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag in _BLOCKS or tag in _CELLS:
            self.parts.append("\n\n" if tag in _BLOCKS else " ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        elif tag in _BLOCKS or tag in _CELLS:
            self.parts.append("\n\n" if tag in _BLOCKS else " ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            # Line breaks of the source are spaces of the text; only blocks make paragraphs.
            self.parts.append(data.replace("\n", " "))

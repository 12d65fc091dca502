import json
import re
from html.parser import HTMLParser
from typing import Any

# elements that have no end tag, in HTML or as SVG writes them
VOID = {"meta", "img", "br", "input", "image", "use", "rect", "path", "ellipse"}


def prose(text: str) -> str:
    """A page without its scripts, styles and drawings."""
    return re.sub(r"(?s)<(script|style|svg)\b.*?</\1>", "", text)


def documents(text: str) -> dict[str, Any]:
    """What the explorer is given, by data set."""
    found = re.findall(
        r'(?s)<script type="application/json" class="explorer-data" data-dataset="([^"]+)"[^>]*>'
        r"(.*?)</script>",
        text,
    )
    return {name: json.loads(document) for name, document in found}


def section(text: str, name: str) -> str:
    """One of the page's sections."""
    start = text.index(f'<section aria-labelledby="{name}">')
    return text[start : text.index("</section>", start)]


class Page(HTMLParser):
    """What a page asks for and how its elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

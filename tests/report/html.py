"""Reading pages without a browser."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Reader(HTMLParser):
    """Collects links, identifiers, text, and the data of the page's script; holds that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.identifiers: list[str] = []
        self.text = ""
        self.data = ""
        self._in_data = False

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]
        self.identifiers += [value for name, value in attributes if name == "id"]
        self._in_data = ("type", "application/json") in attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self._in_data = False

    def handle_data(self, data):
        if self._in_data:
            self.data += data
        if not {"script", "style"} & set(self.open):
            self.text += data


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader

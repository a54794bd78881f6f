"""What a browser reads of a page: its form."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["Form"]


class Form(HTMLParser):
    """The first form of a page.

    :ivar action: where it goes
    :ivar fields: what it holds already
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = dict(attributes)
        if tag == "form" and self.action is None:
            self.action, self._inside = said["action"], True
        if tag == "input" and self._inside and said.get("type") != "checkbox":
            self.fields[said["name"] or ""] = said.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False

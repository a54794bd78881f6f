"""An answer that is not a record as JSON with status 200: pages, redirects, texts, and what has headers of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["HTML", "JSON", "TEXT", "Reply", "redirect"]

JSON = "application/json"
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler returns when a record would not do.

    :param headers: further ones, names in lower case; ``content-type`` and ``content-length`` are added
    """

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def redirect(url: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Send a browser to another address, by GET (RFC 9110, section 15.4.4)."""
    return Reply(b"", 303, TEXT, {"location": url, **(headers or {})})

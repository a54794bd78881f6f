"""Makes pages. What people and programs typed is always escaped; nothing but our own style is ever loaded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from afield.service.api.reply import HTML, Reply

__all__ = ["Pages"]

_HERE: Final = Path(__file__).parent

_HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # An address may hold a code; it is nobody else's business.
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


class Pages:
    """All pages, by the names of their templates."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(
        self,
        name: str,
        values: Mapping[str, Any],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        leads_to: str | None = None,
    ) -> Reply:
        """One page.

        :param name: of its template, without the ending
        :param values: what it shows
        :param headers: further ones
        :param leads_to: an origin or a scheme to which its form may send the browser on, beside our own
        """
        text = self._environment.get_template(f"{name}.html").render(values)
        said = {**_HEADERS, "content-security-policy": _policy(leads_to), **(headers or {})}
        return Reply(text.encode(), status, HTML, said)

    @cached_property
    def style(self) -> Reply:
        """Our style."""
        css = (_HERE / "style.css").read_bytes()
        return Reply(css, 200, "text/css; charset=utf-8", {"cache-control": "public, max-age=3600"})


def _policy(leads_to: str | None) -> str:
    # Browsers hold the redirect after a form to this, too.
    form_action = "'self'" if leads_to is None else f"'self' {leads_to}"
    return (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {form_action}"
    )

"""Writes what is said of a service's settings and routes from their source: ``python docs/reference/make_service.py``.

A test compares what this makes with the pages that are there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from afield.service import settings
from afield.service.api.openapi import EXTENSION_PREFIX
from afield.service.api.routes import ROUTES

__all__ = ["ROUTES_PAGE", "SETTINGS_PAGE", "routes_text", "settings_text"]

HERE: Final = Path(__file__).parent
SETTINGS_PAGE: Final = HERE / "service.md"
ROUTES_PAGE: Final = HERE / "api-routes.md"

_BEGIN, _END = "<!-- made from settings.py -->", "<!-- end of it -->"

_ROUTES_HEAD: Final = """\
# Routes

Made from the table of routes by `python docs/reference/make_service.py`. The same, with each body's shape and an
example of it, is what a running service answers at `/openapi.json` (OpenAPI 3.1).

Below `/v2` and `/v3` is the published contract, which the published clients speak. Below `/afield/v1` is ours: an
extension that a client of the published contract never needs, and that changes nothing of what the others do. Its
version is in its path; it changes only by additions. In the description ours is marked `x-afield-extension`.

Bodies are JSON in UTF-8 (`Content-Type: application/json`, or none said), never compressed. Every answer from 400 up is
an error body (see [refusals](service.md#refusals)), and every answer has the header `X-Request-ID`, under which the
service's log says more; a request that brings one (letters, digits, `.`, `_`, `-`, at most 64) keeps it.

*open*: no token is needed.
"""


def settings_text(page: str) -> str:
    """The page of settings, with its tables made anew.

    :param page: as it is
    """
    head, _, rest = page.partition(_BEGIN)
    tail = rest.partition(_END)[2]
    tables = "\n".join(_tables())
    return f"{head}{_BEGIN}\n\n{tables}\n{_END}{tail}"


def _tables() -> Iterator[str]:
    for kind, title, intro in (
        (settings.Settings, "Settings", "At the top of the file."),
        (settings.Limits, "[limits]", "How much, how long. What is beyond is refused as [below](#refusals)."),
        (settings.SignIn, "[sign_in]", inspect.getdoc(settings.SignIn) or ""),
        (settings.ProviderSettings, "[providers.NAME]", inspect.getdoc(settings.ProviderSettings) or ""),
    ):
        yield f"### {title}\n\n{intro}\n"
        yield "| setting | default | what |\n|---|---|---|"
        said = _comments(kind)
        for each in fields(kind):
            if not is_dataclass(_default(each)) and each.name != "providers":
                shown = "`service/` below `~/.afield`" if each.name == "data_dir" else _shown(_default(each))
                yield f"| `{each.name}` | {shown} | {said[each.name]} |"
        yield ""


def _comments(kind: type) -> dict[str, str]:
    """What is said of each field, in the lines before it."""
    found, said = {}, []
    for line in inspect.getsource(kind).splitlines():
        text = line.strip()
        if text.startswith("#:"):
            said.append(text.removeprefix("#:").strip())
        elif match := re.match(r"(\w+): ", text):
            found[match[1]] = _plain(" ".join(said))
            said = []
        else:
            said = []
    return found


def _plain(said: str) -> str:
    """Without the marks of reStructuredText, and what is only for those who read the source."""
    said = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", said).replace("``", "`").replace("|", "\\|")
    return re.sub(r" \(reference: [^)]*\)", "", said)


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _shown(value: Any) -> str:
    if value is MISSING:
        return "*must be said*"
    if value is None or value in ((), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"{value:,.10g}"
    return f"`{value}`"


def routes_text() -> str:
    """The page of routes."""
    listed = [route for route in ROUTES if route.is_listed]
    ours = [route for route in listed if route.path.startswith(EXTENSION_PREFIX)]
    published = [route for route in listed if re.match(r"/v[23]/(?!oauth2|api)", route.path)]
    others = [route for route in listed if route not in ours and route not in published]
    parts = [_ROUTES_HEAD]
    for title, routes in (("Published", published), ("Ours", ours), ("About the service, and who is asking", others)):
        parts.append(f"## {title}\n\n| route | what |\n|---|---|")
        parts += [_route(route) for route in routes]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _route(route: Any) -> str:
    query = f"?{'&'.join(f'{name}=' for name in route.query)}" if route.query else ""
    said = " ".join((route.handler.__doc__ or "").split())
    opened = " *open*" if route.is_open else ""
    return f"| `{route.method} {route.path}{query}` | {said}{opened} |"


if __name__ == "__main__":
    SETTINGS_PAGE.write_text(settings_text(SETTINGS_PAGE.read_text()))
    ROUTES_PAGE.write_text(routes_text())

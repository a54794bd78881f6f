"""Where a browser may be sent with a code. PURE.

Theory. A code that goes to a wrong address is a stolen one. So an address must be, character by character, one that was
registered (RFC 9700 section 2.1); with two exceptions for native programs, which are registered for no machine in
particular: a loopback address with any port (RFC 8252 section 7.3), and this service's own page that shows the code to
be pasted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlencode, urlsplit

from afield.service.domain.people import ClientRecord

__all__ = ["PASTE_PATH", "is_allowed", "is_pasted", "origin_of", "with_query"]

#: Path of our page that shows a code (reference: wire contract section 1.2).
PASTE_PATH: Final = "/v2/web/auth-code"

# ``localhost`` is what published clients name; that it is this machine is up to who runs the browser.
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_MOST: Final = 2000


def is_allowed(uri: str, client: ClientRecord, here: str) -> bool:
    """Whether a code for this client may go there.

    :param here: the service's own address as the browser reaches it, without a slash at the end
    """
    parts = _parts(uri)
    if parts is None:
        return False
    if uri in client.redirect_uris:
        return True
    if client.secret_digest is not None:
        return False
    if is_pasted(uri, here):
        return True
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK or parts.username is not None:
        return False
    # A native program that registered addresses is held to their paths; one that did not, to none.
    registered = [found for each in client.redirect_uris if (found := _parts(each)) is not None]
    return not registered or any(_same_but_port(parts, each) for each in registered)


def is_pasted(uri: str, here: str) -> bool:
    """Whether it is our page that shows the code: on this host, or on one that is forwarded to it."""
    parts = _parts(uri)
    if parts is None or parts.path != PASTE_PATH or parts.query or parts.username is not None:
        return False
    return uri == here + PASTE_PATH or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def origin_of(uri: str) -> str:
    """What a policy for forms calls the place of an address: its origin, or its scheme when it has no host."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def with_query(uri: str, said: Mapping[str, str | None]) -> str:
    """The address with parameters added; those that are None are left out."""
    query = urlencode({name: value for name, value in said.items() if value is not None})
    return f"{uri}{'&' if '?' in uri else '?'}{query}"


def _parts(uri: str) -> SplitResult | None:
    if len(uri) > _MOST or not uri.isascii() or not uri.isprintable() or " " in uri or "\\" in uri or "#" in uri:
        return None
    try:
        parts = urlsplit(uri)
        _ = parts.port  # raises where there is a wrong one
    except ValueError:
        return None
    return parts if parts.scheme and parts.scheme not in {"javascript", "data", "file", "vbscript", "about"} else None


def _same_but_port(one: SplitResult, other: SplitResult) -> bool:
    return (one.scheme, one.hostname, one.path, one.query) == (other.scheme, other.hostname, other.path, other.query)

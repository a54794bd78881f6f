"""One request and its answer, for logging in and for the command line: seldom, short, and without an event loop.

Nobody is followed to another address: a secret goes where it was meant to go, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from afield.errors import ServiceError, ServiceUnreachable
from afield.sdk.proxies import proxy_for
from afield.sdk.retry import TryAgain

__all__ = ["LATER", "Answer", "exchange", "post_form"]

#: Answers that mean "not now".
LATER: Final = frozenset({429, 500, 502, 503, 504})

_MOST_BYTES: Final = 16 << 20
#: Seconds for one request.
_TIMEOUT_S: Final = 30.0


class Answer(NamedTuple):
    """What came back.

    :param date: when it was sent, as the header has it
    """

    status: int
    body: bytes
    date: str | None = None


def exchange(method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, why: str = "") -> Answer:
    """Send it, once.

    :param why: what for, as in "cannot be reached for a token"
    :raises TryAgain: nobody answered
    :raises ServiceError: that is no address, or whoever answers is not who the address says
    """
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    from afield.broker.tls import CA_FILE, own_context

    service = _service_of(url)
    try:
        request = urllib.request.Request(url, body, dict(headers), method=method)  # noqa: S310 - the scheme is checked
    except ValueError:
        raise _no_address(service) from None
    if request.type not in {"http", "https"}:
        raise _no_address(service)
    opener = urllib.request.OpenerDirector()
    proxy = proxy_for(url)
    proxies = urllib.request.ProxyHandler({request.type: proxy} if proxy else {})
    for handler in (proxies, urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(context=own_context())):
        opener.add_handler(handler)
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            return Answer(response.status, response.read(_MOST_BYTES), response.headers.get("Date"))
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLError):
            raise ServiceUnreachable(
                f"{service} is not who it says, or speaks no TLS ({reason}). Is the address right? If your institution "
                f"signs its own certificates, name the file that holds its root: {CA_FILE}=/path/to/ca.pem"
            ) from error
        said = f"the service at {service} cannot be reached{f' {why}' if why else ''} ({reason}). Is it running?"
        raise TryAgain(ServiceUnreachable(said)) from error


def post_form(url: str, form: Mapping[str, str], authorization: str | None = None, why: str = "") -> Answer:
    """Send a form; see :func:`exchange`."""
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    if authorization is not None:
        headers["Authorization"] = authorization
    return exchange("POST", url, headers, urlencode(form).encode(), why)


def _service_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else url


def _no_address(service: str) -> ServiceError:
    return ServiceError(f"{service!r} is not the address of a service; write one like http://127.0.0.1:5000")

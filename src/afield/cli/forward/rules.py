"""What may pass, and how it is changed on its way. PURE.

Theory. Whoever listens on this machine's loopback is reached by every program here, and by every page in a browser.
A page of another site gets at it in two ways: under its own site's name, when that name suddenly means 127.0.0.1 (then
the Host header has that name), or by sending a request across sites (then the browser names the site in Origin). Both
are refused. What passes is changed in what names a place, and in what concerns one connection only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Way", "kept"]

Headers = Iterable[tuple[str, str]]

#: Of one connection (RFC 9110 section 7.6.1), and what a proxy is asked for by whoever uses one knowingly.
_OF_ONE_CONNECTION: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("proxy-authenticate", "proxy-authorization", "expect"),
    }
)
_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


class Way:
    """From a port of this machine to a service.

    :param port: where it is listened
    :param service: the service's URL, without a path
    """

    def __init__(self, port: int, service: str) -> None:
        parts = urlsplit(service)
        self.service = f"{parts.scheme}://{parts.netloc}"
        hosts = [f"{name}:{port}" for name in _NAMES]
        self._hosts = frozenset(hosts if port != 80 else [*hosts, *_NAMES])
        self._origins = frozenset(f"http://{host}" for host in self._hosts)

    def refusal(self, host: str, origin: str | None) -> str | None:
        """Why a request may not pass, in a sentence; None: it may.

        :param host: the header of that name
        :param origin: likewise; None: a program sends none, nor does a browser that only looks
        """
        if host.lower() not in self._hosts:
            return (
                f"Only what asks for {' or '.join(sorted(self._hosts))} is passed on, and this asks for another host. "
                "Ask for one of these."
            )
        if origin is not None and origin.lower() not in self._origins:
            return "This is passed on for programs of this machine, and not for pages of other sites."
        return None

    def onwards(self, headers: Headers) -> list[tuple[str, str]]:
        """A request's headers as the service gets them, without Host."""
        said = [(name, value) for name, value in kept(headers) if name.lower() != "host"]
        return [(name, self._there(value) if name.lower() in {"origin", "referer"} else value) for name, value in said]

    def back(self, headers: Headers, host: str) -> list[tuple[str, str]]:
        """An answer's headers as whoever asked gets them.

        :param host: for which they asked
        """
        there, here = self.service, f"http://{host}"
        return [
            (name, _moved(value, there, here) if name.lower() in {"location", "content-location"} else value)
            for name, value in kept(headers)
        ]

    def _there(self, value: str) -> str:
        for origin in self._origins:
            value = _moved(value, origin, self.service)
        return value


def kept(headers: Headers) -> list[tuple[str, str]]:
    """Headers without those that concern one connection only, by their names or because Connection names them."""
    listed = list(headers)
    said = ",".join(value for name, value in listed if name.lower() == "connection")
    gone = _OF_ONE_CONNECTION | {name.strip().lower() for name in said.split(",")}
    return [(name, value) for name, value in listed if name.lower() not in gone]


def _moved(url: str, origin: str, other: str) -> str:
    """A URL with another origin in place of this one, if it has this one."""
    rest = url[len(origin) :]
    return other + rest if url.lower().startswith(origin.lower()) and (not rest or rest[0] in "/?#") else url

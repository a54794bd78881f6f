"""The variables by which the published packages find a service, and how they are written down. PURE.

What each of them means is in the reference: wire contract, section 1.4.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Final

from afield.errors import ConfigurationError
from afield.sdk.login.client_credentials import PUBLISHED_PAIR, PUBLISHED_URL, is_token_id
from afield.sdk.login.known import same_service

__all__ = [
    "CLIENT",
    "MARK",
    "NAMES",
    "as_exports",
    "as_file",
    "as_unsets",
    "is_direct",
    "stale_client",
    "variables",
]

CLIENT: Final = PUBLISHED_PAIR
#: All that may be set and taken back. What others read, too, is left alone when it is taken back.
NAMES: Final = ("GLOBUS_SDK_ENVIRONMENT", "GLOBUS_SDK_SERVICE_URL_AUTH", "GLOBUS_SDK_VERIFY_SSL", *CLIENT)

#: How a file of ours begins.
MARK: Final = "# Made by `afield env --write`"

_PLAIN: Final = re.compile(r"[\w@%+=:,./-]*", re.ASCII)
#: What sh and systemd both take for themselves between double quotes.
_ESCAPED: Final = re.compile(r'["\\$`]')


def is_direct(url: str) -> bool:
    """Whether the published packages reach the service without help."""
    return same_service(url, PUBLISHED_URL)


def variables(
    url: str, client: tuple[str, str] | None, certificates: str | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """All that is to be set.

    :param url: of the service
    :param client: id and secret; None: people log in by themselves
    :param certificates: a file of roots to believe; None: what every program believes
    :param environ: the environment's variables, where proxies are named
    """
    found = {
        "GLOBUS_SDK_ENVIRONMENT": "local",
        # They append paths to it, so it must end so (wire contract section 1.2).
        "GLOBUS_SDK_SERVICE_URL_AUTH": url.rstrip("/") + "/",
    }
    if client is not None:
        found |= dict(zip(CLIENT, client, strict=True))
    if certificates is not None and url.startswith("https:"):
        # The one is for HTTP, the other for the queues (wire contract section 1.4).
        found |= {"GLOBUS_SDK_VERIFY_SSL": certificates, "SSL_CERT_FILE": certificates}
    unproxied = _no_proxy(environ)
    if unproxied is not None:
        found["no_proxy"] = unproxied
    return found


def _no_proxy(environ: Mapping[str, str]) -> str | None:
    """What must not go by a proxy, if there is one: their HTTP library would send what is for this machine there."""
    if not any(environ.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")):
        return None
    said = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    listed = [each.strip() for each in said.split(",") if each.strip()]
    lacking = [host for host in ("localhost", "127.0.0.1") if host not in listed]
    return None if "*" in listed or not lacking else ",".join([*listed, *lacking])


def as_exports(found: Mapping[str, str]) -> str:
    """For ``eval`` in a shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in found.items())


def as_unsets(names: Iterable[str]) -> str:
    """The same, to take it back."""
    listed = " ".join(names)
    return f"unset {listed}\n" if listed else ""


def stale_client(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Of the variables that are set, those with a personal token of ours, which would keep people from logging in."""
    return CLIENT if is_token_id(environ.get(CLIENT[0], "")) else ()


def as_file(found: Mapping[str, str], head: str) -> str:
    """For ``set -a; . FILE`` in a shell and for EnvironmentFile= of systemd, which read quotes alike only where they
    are double.

    :param head: what it is for, as a comment
    :raises ConfigurationError: a value has more lines than one
    """
    lines = [f"{MARK}: {head}"]
    for name, value in found.items():
        if not value.isprintable():
            raise ConfigurationError(f"{name} holds a character that no environment file can: {value!r}")
        lines.append(f"{name}={value if _PLAIN.fullmatch(value) else _quoted(value)}")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return '"' + _ESCAPED.sub(r"\\\g<0>", value) + '"'

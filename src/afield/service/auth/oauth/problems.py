"""How the token endpoint and its neighbours say no (RFC 6749 section 5.2): a status, a code, a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["OAuthError", "invalid_client", "invalid_grant", "invalid_request", "invalid_scope"]

#: RFC 6749 section 5.2 allows these characters in a description.
_ALLOWED: Final = frozenset(map(chr, range(0x20, 0x7F))) - {'"', "\\"}


class OAuthError(Exception):
    """The answer is no, in OAuth's words.

    :param code: one of the RFCs' codes, such as ``invalid_grant``
    :param message: for people: what, whose fault, what to do next
    :param status: of HTTP
    :param headers: of the answer, names in lower case
    """

    def __init__(self, code: str, message: str, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code, message, status)
        self.code, self.status, self.headers = code, status, headers or {}
        self.message = "".join(each if each in _ALLOWED else "'" if each in '"`' else "?" for each in message)

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"

    @property
    def body(self) -> dict[str, str]:
        """As JSON."""
        return {"error": self.code, "error_description": self.message}


def invalid_request(message: str) -> OAuthError:
    """Something is absent, twice, or not what it must be."""
    return OAuthError("invalid_request", message)


def invalid_client() -> OAuthError:
    """The client is not known, or did not prove that it is the one."""
    return OAuthError(
        "invalid_client",
        "This service does not know the client, or its secret is another. Check client_id and secret; `afield env` or "
        "`afield client create` makes new ones.",
        401,
        {"www-authenticate": 'Basic realm="afield"'},
    )


def invalid_grant(message: str) -> OAuthError:
    """What should have brought tokens does not, or does not any more."""
    return OAuthError("invalid_grant", message)


def invalid_scope(message: str) -> OAuthError:
    """A scope that is not known here, or was not granted."""
    return OAuthError("invalid_scope", message)

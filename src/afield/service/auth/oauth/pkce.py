"""Proof that who brings the code is who asked for it (RFC 7636). PURE."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

from afield.service.auth.oauth.problems import invalid_grant, invalid_request

__all__ = ["METHODS", "challenge_of", "check_challenge", "check_verifier"]

#: ``plain`` protects from nobody who can read the request, so there is one method (RFC 9700 section 2.1.1).
METHODS: Final = ("S256",)

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def challenge_of(verifier: str) -> str:
    """The challenge that belongs to a verifier."""
    return urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()


def check_challenge(challenge: str | None, method: str | None, *, is_public: bool) -> None:
    """Whether a request for a code may go on.

    :param is_public: the client has no secret, so that this is all the proof there is
    :raises OAuthError: no
    """
    if challenge is None:
        if is_public or method is not None:
            raise invalid_request(
                "The parameter code_challenge is not there: a client without a secret must use PKCE (RFC 7636). Send "
                "code_challenge and code_challenge_method=S256."
            )
        return
    if method not in METHODS:
        raise invalid_request("code_challenge_method must be S256: no other is taken. Send code_challenge_method=S256.")
    if not _CHALLENGE.fullmatch(challenge):
        raise invalid_request(
            "code_challenge is not a SHA-256 in URL-safe base64: 43 characters without padding. Derive it from the "
            "verifier."
        )


def check_verifier(challenge: str | None, verifier: str | None) -> None:
    """Whether the verifier belongs to the challenge with which the code was asked for.

    :raises OAuthError: no
    """
    if challenge is None and verifier is None:
        return
    if challenge is None or verifier is None or not _VERIFIER.fullmatch(verifier):
        raise invalid_grant("The code_verifier is not the one that this code was asked for with. Log in again.")
    if not hmac.compare_digest(challenge_of(verifier), challenge):
        raise invalid_grant("The code_verifier is not the one that this code was asked for with. Log in again.")

"""Proof that who brings a code is who asked for it (RFC 7636, method S256)."""

from __future__ import annotations

import base64
import secrets
from hashlib import sha256

__all__ = ["challenge_of", "new_verifier"]


def new_verifier() -> str:
    """A secret for one login; 64 characters of those that section 4.1 allows."""
    return secrets.token_urlsafe(48)


def challenge_of(verifier: str) -> str:
    """What may be seen of it."""
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()

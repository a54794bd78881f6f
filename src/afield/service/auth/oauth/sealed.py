"""What goes through a browser and comes back as it was: signed, so that nobody can forge it, and only for a while.

Before somebody has logged in nothing is written for them, so that strangers fill no database. What has to be remembered
until then, the browser carries.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec

__all__ = ["Seal"]

T = TypeVar("T")

_MOST: Final = 16_384
#: As it was closed, character by character: the decoder skips what is no base64, and the text stands in addresses.
_SEALED: Final = re.compile(r"[A-Za-z0-9_-]+")


class _Envelope(msgspec.Struct, frozen=True, array_like=True):
    purpose: str
    until: float
    content: Any


class Seal:
    """Seals and opens with one key.

    :param secret: the service's
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"afield sealed", sha256)

    def close(self, purpose: str, content: object, until: float) -> str:
        """Text for an address or a form.

        :param purpose: it opens for no other
        :param until: unix time
        """
        body = msgspec.json.encode(_Envelope(purpose, until, content))
        return _text(body + hmac.digest(self._key, body, sha256))

    def open(self, purpose: str, text: str, kind: type[T], now: float) -> T | None:
        """What was sealed; None: it was not sealed here, not for this, or too long ago."""
        if len(text) > _MOST or not _SEALED.fullmatch(text):
            return None
        try:
            whole = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        body, signature = whole[:-32], whole[-32:]
        if not hmac.compare_digest(hmac.digest(self._key, body, sha256), signature):
            return None
        envelope = msgspec.json.decode(body, type=_Envelope)
        if envelope.purpose != purpose or now >= envelope.until:
            return None
        try:
            return msgspec.convert(envelope.content, kind)
        except msgspec.ValidationError:  # an older version of the service closed it
            return None

    def mark(self, purpose: str, text: str) -> str:
        """A mark that only this service can make of a text, such as the proof that a form came from here."""
        return _text(hmac.digest(self._key, f"{purpose}:{text}".encode(), sha256))

    def is_mark(self, purpose: str, text: str, mark: str) -> bool:
        """Whether it is that mark."""
        return mark.isascii() and hmac.compare_digest(self.mark(purpose, text), mark)


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()

"""What somebody came to a page for, as it goes through their browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from afield.service.auth.oauth.authorize import AuthorizationRequest
from afield.service.auth.oauth.device import DeviceRequest
from afield.service.auth.oauth.needs import NOTHING, Needs
from afield.service.auth.oauth.sealed import Seal
from afield.service.clock import Clock

__all__ = ["Errand", "Errands", "JoinRequest", "ProgramErrand", "Visit"]


class JoinRequest(msgspec.Struct, frozen=True, tag="join"):
    """Somebody follows the link of an invitation into a group."""

    code: str

    @property
    def needs(self) -> Needs:
        """Of the login: that there is one."""
        return NOTHING


#: A program waits for what comes of it.
ProgramErrand = AuthorizationRequest | DeviceRequest
#: What somebody came to a page for; None: just to log in.
Errand = ProgramErrand | JoinRequest | None

_PURPOSE: Final = "errand"


class _Kept(msgspec.Struct, frozen=True):
    errand: Errand


@dataclass(frozen=True, slots=True)
class Visit:
    """An errand, and its text."""

    errand: Errand
    text: str


class Errands:
    """Seals them, and opens them.

    :param lifetime_s: seconds for which a page stays good
    """

    def __init__(self, seal: Seal, clock: Clock, lifetime_s: float) -> None:
        self._seal, self._clock, self._lifetime_s = seal, clock, lifetime_s

    def close(self, errand: Errand) -> str:
        """Text of an errand, for an address."""
        return self._seal.close(_PURPOSE, _Kept(errand), self._clock.now() + self._lifetime_s)

    def open(self, fields: Mapping[str, str]) -> Visit | None:
        """The errand in a request, none where none is said; None: it is forged, or too old."""
        text = fields.get("errand")
        if text is None:
            return Visit(None, self.close(None))
        kept = self._seal.open(_PURPOSE, text, _Kept, self._clock.now())
        return None if kept is None else Visit(kept.errand, text)

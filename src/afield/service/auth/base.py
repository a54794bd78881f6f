"""SEAM: who is asking?

What every implementation promises:

- It decides by what came with the request alone, and by what it keeps; never by where the request came from. Being on
  the same machine is no proof of anything.
- Nobody is let in by a token that has expired or was revoked more than a few seconds ago.
- It tells nobody why a token was refused, and spends no time that depends on how much of one was right.
"""

from __future__ import annotations

from typing import Protocol

from afield.service.domain.caller import Caller

__all__ = ["Authenticator"]


class Authenticator(Protocol):
    """Turns what came with a request into a person."""

    async def authenticate(self, authorization: str | None) -> Caller | None:
        """Who that is; None: nobody who is known here.

        :param authorization: the value of the Authorization header; None: there was none
        """

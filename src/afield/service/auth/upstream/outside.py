"""All providers, put together for a service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from afield.service.auth.oauth.attempts import Attempts
from afield.service.auth.upstream.fetch import Fetch
from afield.service.auth.upstream.login import UpstreamLogin
from afield.service.auth.upstream.providers import completed
from afield.service.clock import Clock
from afield.service.settings import ProviderSettings, SignIn
from afield.service.store.people import People

__all__ = ["Outside"]

#: A login that begins tries nothing, so there may be many; they are counted because something is kept of each.
_STARTS: Final = 10


class Outside:
    """Logins with providers elsewhere.

    :raises ConfigurationError: one of them cannot work
    """

    def __init__(self, providers: Iterable[ProviderSettings], people: People, clock: Clock, times: SignIn) -> None:
        self._fetch = Fetch()
        starts = Attempts(times.tries_per_address * _STARTS, times.tries_s)
        #: by their names
        self.logins = {
            name: UpstreamLogin(each, people, clock, fetch=self._fetch, starts=starts)
            for name, each in completed(providers).items()
        }

    async def close(self) -> None:
        """Hang up."""
        await self._fetch.close()

"""The service about itself, to anybody."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Final

from afield.service.api.ask import Ask
from afield.service.domain.versions import OLDEST_PUBLISHED
from afield.wire.rest import VersionInfo

__all__ = ["API_VERSION", "healthz", "version"]

#: Of the REST API; a client compares nothing with it.
API_VERSION: Final = "1.0.0"


@cache
def _installed() -> str:
    # Reading it costs half a millisecond.
    return metadata.version("afield")


async def version(ask: Ask) -> VersionInfo | str:
    """The version; with service=all also which clients may come."""
    if ask.query("service") != "all":
        return API_VERSION
    return VersionInfo(
        api=API_VERSION,
        min_sdk_version=OLDEST_PUBLISHED,
        min_ep_version=OLDEST_PUBLISHED,
        min_endpoint_version=OLDEST_PUBLISHED,
        afield=_installed(),
    )


async def healthz(_ask: Ask) -> dict[str, str]:
    """Whether the service answers."""
    return {"status": "ok"}

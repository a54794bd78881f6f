"""The service about itself, to anybody."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

import msgspec
from litestar import Response

from afield.wire.rest import VersionInfo

__all__ = ["API_VERSION", "healthz", "service_version"]

#: Of the REST API; a client compares nothing with it.
API_VERSION: Final = "1.0.0"

#: The oldest published packages whose endpoints start user endpoints by command, as this service needs it.
_OLDEST: Final = "4.0.0"


async def service_version(service: str | None = None) -> Response[bytes]:
    """The version; with service=all also which clients may come."""
    if service != "all":
        return _json(API_VERSION)
    info = VersionInfo(
        api=API_VERSION,
        min_sdk_version=_OLDEST,
        min_ep_version=_OLDEST,
        min_endpoint_version=_OLDEST,
        afield=version("afield"),
    )
    return _json(info)


def _json(value: object) -> Response[bytes]:
    return Response(msgspec.json.encode(value), media_type="application/json")


async def healthz() -> dict[str, str]:
    """Whether the service answers."""
    return {"status": "ok"}

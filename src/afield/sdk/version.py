"""Who we are, towards services and endpoints."""

from __future__ import annotations

from functools import cache
from typing import Final

from afield.errors import VersionMismatch
from afield.wire.rest import VersionInfo

__all__ = ["PUBLISHED_AUTH_VERSION", "PUBLISHED_SDK_VERSION", "check", "sdk_version"]

#: The published SDK whose requests ours are like. Services compare it with what they take, and published endpoints
#: with what they start (reference: wire contract section 5.6).
PUBLISHED_SDK_VERSION: Final = "4.19.0"
#: The globus-sdk that goes with it.
PUBLISHED_AUTH_VERSION: Final = "4.9.1"


@cache
def sdk_version() -> str:
    """The version of this package."""
    from importlib.metadata import version  # takes longer to import than all else here

    return version("afield")


def check(service: VersionInfo, endpoint_version: str | None = None) -> None:
    """Make sure that a service takes requests like ours.

    :param endpoint_version: published version of an endpoint to check, too
    :raises VersionMismatch: it wants newer ones
    """
    if _numbers(PUBLISHED_SDK_VERSION) < _numbers(service.min_sdk_version):
        raise VersionMismatch(
            f"the service takes clients from {service.min_sdk_version} on, and this one speaks as "
            f"{PUBLISHED_SDK_VERSION}: install a newer afield (this is {sdk_version()})"
        )
    if endpoint_version is not None and _numbers(endpoint_version) < _numbers(service.min_ep_version):
        raise VersionMismatch(
            f"the service takes endpoints from {service.min_ep_version} on, and this one is {endpoint_version}: "
            "install a newer one"
        )


def _numbers(text: str) -> tuple[int, ...]:
    # "4.19.0rc1" counts as 4.19.0: what is not a number, and what follows it, is not compared.
    numbers = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)

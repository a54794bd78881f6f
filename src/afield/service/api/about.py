"""The service about itself: its version, to anybody, and its health, to those who watch it."""

from __future__ import annotations

import ipaddress
from email.utils import formatdate
from functools import cache
from importlib import metadata
from typing import Final

import msgspec

from afield.service.api.answers import no_such_route
from afield.service.api.ask import Ask
from afield.service.api.reply import Reply
from afield.service.domain import people_refusals
from afield.service.domain.versions import OLDEST_PUBLISHED_ENDPOINT, OLDEST_PUBLISHED_SDK
from afield.wire.rest import ErrorBody, Ready, VersionInfo, VersionLimits

__all__ = ["API_VERSION", "health", "metrics", "metrics_are_open", "ready", "version"]

#: Of the REST API; a client compares nothing with it.
API_VERSION: Final = "1.0.0"

#: Seconds after which a load balancer may look again.
_LOOK_AGAIN_S: Final = 5

_PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


@cache
def _installed() -> str:
    # Reading it costs half a millisecond.
    return metadata.version("afield")


async def version(ask: Ask) -> VersionInfo | Reply:
    """The version, and the time by this clock; with service=all which clients may come, and what is too large to send.

    The time is in the header ``Date`` (RFC 9110, section 6.6.1): endpoints compare their clocks with it.
    """
    if ask.query("service") != "all":
        return Reply(msgspec.json.encode(API_VERSION), headers={"date": formatdate(usegmt=True)})
    limits = ask.uses.limits
    return VersionInfo(
        api=API_VERSION,
        min_sdk_version=OLDEST_PUBLISHED_SDK,
        min_ep_version=OLDEST_PUBLISHED_ENDPOINT,
        min_endpoint_version=OLDEST_PUBLISHED_ENDPOINT,
        afield=_installed(),
        limits=VersionLimits(
            payload_bytes=limits.payload_bytes,
            function_bytes=limits.function_bytes,
            request_bytes=limits.request_bytes,
            submit_tasks=limits.submit_tasks,
        ),
    )


async def health(_ask: Ask) -> dict[str, str]:
    """Whether the process answers. For whoever starts it anew if not: it depends on nothing else."""
    return {"status": "ok"}


async def ready(ask: Ask) -> Ready | Reply:
    """Whether work may be sent here: store, broker and loops are tried. 503 and Retry-After name those that fail."""
    parts = await ask.operate.readiness.look()
    wrong = {name: said for name, said in parts.items() if said is not None}
    if not wrong:
        return Ready("ready", dict.fromkeys(parts, "ok"))
    said = f"Not ready: {'; '.join(f'{name}: {why}' for name, why in wrong.items())}. The service's log says more."
    body = ErrorBody("SERVICE_NOT_READY", 503, said, said, error_args=list(wrong))
    return Reply(msgspec.json.encode(body), 503, headers={"retry-after": str(_LOOK_AGAIN_S)})


async def metrics(ask: Ask) -> Reply:
    """The service in numbers, in Prometheus' text format, for those who administrate it."""
    if ask.operate.metrics_for == "nobody":
        raise no_such_route(ask.path)
    if not metrics_are_open(ask) and not ask.caller.is_admin:
        raise people_refusals.operators_only()
    return Reply(await ask.operate.metrics(), content_type=_PROMETHEUS)


def metrics_are_open(ask: Ask) -> bool:
    """Whether a request for the numbers needs no token: it began on this machine, and that is enough by the settings.

    What a front on this machine passes on did not begin here.
    """
    if ask.operate.metrics_for != "loopback":
        return False
    if ask.header(b"x-forwarded-for") is not None or ask.header(b"forwarded") is not None:
        return False
    try:
        return ipaddress.ip_address(ask.address()).is_loopback
    except ValueError:
        return False

"""Which endpoint an Executor uses when nobody says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afield.errors import NoEndpoint

if TYPE_CHECKING:
    from afield.sdk.session import Session

__all__ = ["only_endpoint_here"]


def only_endpoint_here(session: Session) -> str:
    """The caller's one endpoint on this machine.

    :raises NoEndpoint: there is none, or there are several
    """
    import platform

    endpoints = session.call(lambda service: service.endpoints(None))
    here = [endpoint for endpoint in endpoints if endpoint.hostname == platform.node()]
    if len(here) == 1:
        return here[0].uuid
    found = here or endpoints
    listed = "; you have " + ", ".join(f"{e.name} ({e.uuid})" for e in found) if found else ""
    if here:
        raise NoEndpoint(f"several endpoints of yours run on this machine: say which one with endpoint_id={listed}")
    raise NoEndpoint(
        "no endpoint of yours is on this machine: start service and endpoint together with `afield up`, set one up "
        f"with `afield endpoint configure`, or say where to run with endpoint_id={listed}"
    )

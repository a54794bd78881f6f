"""``afield endpoint unlock``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from afield.endpoint.cli.names import Name

if TYPE_CHECKING:
    from afield.endpoint.settings import ManagerSettings

__all__ = ["unlock"]


def unlock(name: Name = "default") -> None:
    """Let an endpoint back in that was stopped remotely (`Client.stop_endpoint`), before its time.

    The service keeps it out for a while, so that what was stopped does not come back by itself.

    \b
    Examples:
      afield endpoint unlock mine
      afield endpoint unlock 4b116d3c-1703-4f8f-9f6f-39921e5864df   it was configured elsewhere
    """
    import asyncio

    from afield.endpoint.settings import ManagerSettings

    endpoint_id, url = _known(name)
    asyncio.run(_unlock(ManagerSettings(service_url=url), endpoint_id))
    typer.echo(f"The service lets endpoint {name} in again. Start it: afield endpoint start {name}")


def _known(name: str) -> tuple[str, str | None]:
    """The id of an endpoint, and the address of its service if it is configured here."""
    from afield.endpoint.host.directory import all_endpoints, endpoint_directory
    from afield.errors import ConfigurationError, InvalidId
    from afield.ids import parse_id

    try:
        endpoint_id = parse_id(name, "endpoint")
    except InvalidId:
        identity = endpoint_directory(name).identity()
        if identity is None:
            raise ConfigurationError(
                f"no endpoint {name} was ever started here, so the service does not know it: there is nothing to unlock"
            ) from None
        return identity.endpoint_id, identity.service_url
    here = (directory.identity() for directory in all_endpoints())
    found = next((each for each in here if each is not None and each.endpoint_id == endpoint_id), None)
    return endpoint_id, None if found is None else found.service_url


async def _unlock(settings: ManagerSettings, endpoint_id: str) -> None:
    from afield.endpoint.host import registration
    from afield.errors import ComputeAPIError, ConfigurationError
    from afield.wire.rest import LockResponse

    async with registration.open_transport(registration.find_service(settings)) as transport:
        try:
            await transport.ask("DELETE", f"/afield/v1/endpoints/{endpoint_id}/lock", LockResponse)
        except ComputeAPIError as error:
            if error.http_status != 404:
                raise
            raise ConfigurationError(
                f"the service {transport.url} knows no endpoint {endpoint_id} of yours: is it the right service?"
            ) from error

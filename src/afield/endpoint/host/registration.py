"""An endpoint's words with the service, before its queues: register, ask who owns it, leave."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from afield import __version__
from afield.endpoint.host.directory import EndpointDirectory, Identity
from afield.endpoint.host.report import facts
from afield.endpoint.settings import ManagerSettings
from afield.errors import ComputeAPIError, ConfigurationError
from afield.sdk.login.source import Authorizer, authorization, find_authorizer, find_url, renewal
from afield.sdk.retry import Pace, persist
from afield.sdk.transport.base import Transport
from afield.wire.rest import EndpointRegistered, EndpointRegistration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = [
    "EndpointLocked",
    "Registered",
    "ServiceAccess",
    "TokenRefused",
    "delete",
    "find_service",
    "open_transport",
    "register",
    "registration",
    "stop_everywhere",
]

T = TypeVar("T")

#: How long a service that does not answer is asked again, in seconds. A person waits.
_PATIENCE_S: Final = 3.0
#: The highest version of the envelope that our user endpoints read.
_WIRE: Final = 2


class TokenRefused(ConfigurationError):  # noqa: N818 - says what it is
    """The service does not take what should open it."""


class EndpointLocked(ConfigurationError):  # noqa: N818 - says what it is
    """The service keeps an endpoint out for a while, because somebody stopped it from elsewhere."""


@dataclass(frozen=True, slots=True)
class ServiceAccess:
    """A service, and what opens it."""

    url: str
    authorizer: Authorizer


@dataclass(frozen=True, slots=True)
class Registered:
    """What an endpoint knows when it is registered.

    :param endpoint_id: its id
    :param queues: how to reach its queues
    :param owners: identities of which one must be behind a start command
    """

    endpoint_id: str
    queues: EndpointRegistered
    owners: frozenset[str]


def find_service(settings: ManagerSettings) -> ServiceAccess:
    """The service that a file names, else the one that the environment names, else the one that runs here.

    It is opened with what the SDK would use here: the endpoint's owner is who would submit.

    :raises ConfigurationError: there is none, or nothing that opens it
    """
    url = settings.service_url or find_url()
    try:
        authorizer = find_authorizer(url)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if authorizer is None:
        raise ConfigurationError(
            f"there is no token for the service {url}: run `afield login --service {url}`, or set AFIELD_CLIENT_ID and "
            "AFIELD_CLIENT_SECRET, or AFIELD_TOKEN, or start a service on this machine with `afield up`"
        )
    return ServiceAccess(url, authorizer)


@asynccontextmanager
async def open_transport(access: ServiceAccess) -> AsyncIterator[Transport]:
    """A way to the service, closed afterwards."""
    from afield.sdk.transport.http import HttpTransport  # brings aiohttp, which takes its time

    agent = f"afield-endpoint/{__version__}"
    who = access.authorizer
    transport = HttpTransport(access.url, authorization(None, who), agent, renewal(who))
    try:
        yield transport
    finally:
        await transport.close()


def registration(
    directory: EndpointDirectory, settings: ManagerSettings, template: str, schema: Any, *, multi_user: bool = False
) -> EndpointRegistration:
    """What an endpoint says of itself (reference: published wire contract section 8.1).

    :param template: text of the user template
    :param schema: the JSON schema of its options, or None
    :param multi_user: it maps identities to accounts of its machine
    """
    asked = {"afield_groups": list(settings.lending.groups)} if settings.lending.groups else {}
    return EndpointRegistration(
        endpoint_name=directory.name,
        display_name=settings.display_name or directory.name,
        metadata={
            **facts(),
            "endpoint_config": json.dumps(msgspec.to_builtins(settings)),
            "user_config_template": template,
            "user_config_schema": schema,
            "afield_wire": _WIRE,
            **asked,
        },
        multi_user=multi_user,
        public=settings.public,
        allowed_functions=list(settings.allowed_functions) if settings.allowed_functions is not None else None,
        admins=list(settings.admins) or None,
        authentication_policy=settings.authentication_policy,
        high_assurance=settings.high_assurance,
    )


async def register(
    transport: Transport, directory: EndpointDirectory, request: EndpointRegistration, endpoint_id: str | None = None
) -> Registered:
    """Register the endpoint under the id it has, else under a new one, and remember it.

    :param endpoint_id: the id that it shall have; None: the one it had before, if any
    :raises ServiceError: the service cannot be reached, or refused
    :raises ConfigurationError: the token is wrong, or the service gave another id than was asked for
    """
    known = directory.identity()
    wanted = endpoint_id or (known.endpoint_id if known else None)
    try:
        queues = await _patiently(lambda: transport.register_endpoint(request, wanted))
        document = await _patiently(lambda: transport.endpoint(queues.endpoint_id))
    except ComputeAPIError as error:
        raise _explained(error, transport.url, directory, wanted) from error
    if endpoint_id is not None and queues.endpoint_id != endpoint_id:
        raise ConfigurationError(
            f"the service {transport.url} registered this endpoint as {queues.endpoint_id} and not as {endpoint_id}: "
            "leave --endpoint-uuid away to take that"
        )
    directory.keep_identity(Identity(queues.endpoint_id, transport.url))
    return Registered(queues.endpoint_id, queues, frozenset({document.owner}))


async def delete(transport: Transport, endpoint_id: str) -> bool:
    """Remove an endpoint from the service; False: it was not there.

    :raises ServiceError: the service cannot be reached, or refused
    """
    try:
        await _patiently(lambda: transport.delete_endpoint(endpoint_id))
    except ComputeAPIError as error:
        if error.http_status == 404:
            return False
        if error.http_status == 401:
            raise _bad_token(error, transport.url) from error
        raise
    return True


async def stop_everywhere(transport: Transport, endpoint_id: str) -> float:
    """Have the service drop every instance of an endpoint, wherever it runs; until when (unix time in seconds) it
    lets none of it in.

    :raises ServiceError: the service cannot be reached, or refused
    :raises ConfigurationError: the service knows no such endpoint, or the token is wrong
    """
    try:
        answer = await _patiently(lambda: transport.lock_endpoint(endpoint_id))
    except ComputeAPIError as error:
        if error.http_status == 401:
            raise _bad_token(error, transport.url) from error
        if error.http_status == 404:
            raise ConfigurationError(
                f"the service {transport.url} knows no endpoint {endpoint_id} of yours: is it the right service?"
            ) from error
        raise
    return answer.lock_expiration_timestamp


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    return await persist(attempt, Pace(budget_s=_PATIENCE_S))


def _explained(
    error: ComputeAPIError, url: str, directory: EndpointDirectory, wanted: str | None
) -> ComputeAPIError | ConfigurationError:
    """What an owner should do about a refusal."""
    match error.http_status:
        case 401:
            return _bad_token(error, url)
        case 404 if wanted is not None:
            return ConfigurationError(
                f"the service {url} knows no endpoint {wanted}: is it the right service? If its data are gone for "
                f"good, remove {directory.path / 'endpoint.json'} to register as a new endpoint"
            )
        case 423:
            return EndpointLocked(f"the service {url} keeps this endpoint out for a while: {error.reason}")
    return error


def _bad_token(error: ComputeAPIError, url: str) -> TokenRefused:
    return TokenRefused(
        f"the service {url} does not take the token ({error.reason}): if AFIELD_TOKEN or a client's id and secret are "
        f"set in the environment, correct or unset them; else run `afield login --service {url}`"
    )

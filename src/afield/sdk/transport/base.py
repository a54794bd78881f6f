"""SEAM: how the SDK reaches a service.

What every implementation promises, and :mod:`afield.testing.transport` checks:

- A method either returns the record, or raises one of three things. :class:`~afield.sdk.retry.TryAgain`: nobody
  answered, or "not now"; the request may or may not have had its effect. :class:`~afield.errors.ComputeAPIError`: the
  service understood and refused. :class:`~afield.errors.ServiceError`: what answers is no such service.
- It never repeats a request by itself. Who repeats a submit gives the same key, and the service does it once.
- All methods may be under way at once, in one event loop. After ``close`` none is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from afield.wire.rest import (
    AllowedFunctions,
    BatchStatus,
    EndpointDocument,
    EndpointRegistered,
    EndpointRegistration,
    EndpointStatus,
    EndpointSummary,
    FunctionDocument,
    FunctionRegistered,
    FunctionRegistration,
    LockResponse,
    ResultQueue,
    SubmitRequest,
    SubmitResponse,
    TaskDocument,
    TaskGroupDocument,
    VersionInfo,
)

__all__ = ["Transport"]


class Transport(Protocol):
    """One service, and one identity towards it. Ids are canonical text."""

    @property
    def url(self) -> str:
        """Where it is, for messages."""

    async def version(self) -> VersionInfo:
        """What the service is and which clients it takes."""

    # -- tasks -------------------------------------------------------------------------------------------------------

    async def submit(self, endpoint_id: str, request: SubmitRequest, key: str) -> SubmitResponse:
        """Accept tasks.

        :param key: names this submit; the same key has the same effect, once
        """

    async def task(self, task_id: str) -> TaskDocument:
        """One task."""

    async def tasks(self, task_ids: Sequence[str]) -> BatchStatus:
        """Several tasks."""

    async def task_group(self, group_id: str) -> TaskGroupDocument:
        """The tasks of a group."""

    async def result_queue(self) -> ResultQueue:
        """Fresh credentials for the result stream."""

    # -- functions ---------------------------------------------------------------------------------------------------

    async def register_function(self, registration: FunctionRegistration) -> FunctionRegistered:
        """Make a function."""

    async def function(self, function_id: str) -> FunctionDocument:
        """One function."""

    async def delete_function(self, function_id: str) -> dict[str, Any]:
        """Remove it."""

    # -- endpoints ---------------------------------------------------------------------------------------------------

    async def register_endpoint(
        self, registration: EndpointRegistration, endpoint_id: str | None
    ) -> EndpointRegistered:
        """Make an endpoint, or change the one with this id."""

    async def endpoints(self, role: str | None) -> list[EndpointSummary]:
        """Those that the caller owns, or may use.

        :param role: ``"owner"``, ``"any"``; None: owner
        """

    async def endpoint(self, endpoint_id: str) -> EndpointDocument:
        """One endpoint."""

    async def endpoint_status(self, endpoint_id: str) -> EndpointStatus:
        """Whether it is online, and what it is doing."""

    async def allowed_functions(self, endpoint_id: str) -> AllowedFunctions:
        """Which functions may run there."""

    async def lock_endpoint(self, endpoint_id: str) -> LockResponse:
        """Drop its connections, and keep it out for a while."""

    async def delete_endpoint(self, endpoint_id: str) -> dict[str, Any]:
        """Remove it."""

    async def close(self) -> None:
        """Let go of connections. Closing twice is fine."""

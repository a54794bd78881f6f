"""SEAM: how the SDK reaches a service.

What every implementation promises, and :mod:`afield.testing.transport` checks:

- A method either returns the record, or raises one of three things. :class:`~afield.sdk.retry.TryAgain`: nobody
  answered, or "not now"; the request may or may not have had its effect. :class:`~afield.errors.ComputeAPIError`: the
  service understood and refused. :class:`~afield.errors.ServiceError`: what answers is no such service.
  A refusal whose answer says what it is about is a :class:`Refusal`.
- It never repeats a request by itself. Who repeats a submit gives the same key, and the service does it once.
- All methods may be under way at once, in one event loop. After ``close`` none is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from afield.errors import ComputeAPIError
from afield.wire.rest import (
    AllowedFunctions,
    BatchStatus,
    CancelAnswer,
    CancelRequest,
    EndpointDocument,
    EndpointRegistered,
    EndpointRegistration,
    EndpointStatus,
    EndpointSummary,
    FunctionDocument,
    FunctionList,
    FunctionRegistered,
    FunctionRegistration,
    LockResponse,
    ResultQueue,
    SubmitRequest,
    SubmitResponse,
    TaskDocument,
    TaskGroupDocument,
    TaskList,
    VersionInfo,
)

__all__ = ["Refusal", "Transport"]

T = TypeVar("T")


class Refusal(ComputeAPIError):  # noqa: N818 - one error, with more to say
    """A refusal that says, for programs, what it is about.

    :param about: what the service named: ids, versions, keys of the request
    """

    def __init__(self, http_status: int, code: str, reason: str, about: tuple[Any, ...] = ()) -> None:
        super().__init__(http_status, code, reason)
        self.args = (http_status, code, reason, about)  # what pickling goes by
        self.about = about


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

    async def cancel(self, request: CancelRequest) -> CancelAnswer:
        """Ask that tasks are ended. It may be repeated; an end, or a notice that says why not, comes by the stream."""

    async def list_tasks(
        self,
        *,
        status: str | None = None,
        endpoint_id: str | None = None,
        function_id: str | None = None,
        task_group_id: str | None = None,
        search: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> TaskList:
        """The caller's tasks, the newest first; see :class:`~afield.wire.rest.TaskList`."""

    async def result_queue(self, group_id: str | None = None) -> ResultQueue:
        """Fresh credentials for the result stream.

        :param group_id: whose queue shall be there, so that it can be waited at; None: any
        """

    # -- functions ---------------------------------------------------------------------------------------------------

    async def register_function(self, registration: FunctionRegistration) -> FunctionRegistered:
        """Make a function."""

    async def function(self, function_id: str) -> FunctionDocument:
        """One function."""

    async def list_functions(
        self, *, search: str | None = None, before: str | None = None, limit: int | None = None
    ) -> FunctionList:
        """The caller's functions, the newest first.

        :param search: part of the name or of the description
        :param before: what the last answer gave as ``next``
        """

    async def delete_function(self, function_id: str) -> dict[str, Any]:
        """Remove it."""

    # -- endpoints ---------------------------------------------------------------------------------------------------

    async def register_endpoint(
        self, registration: EndpointRegistration, endpoint_id: str | None
    ) -> EndpointRegistered:
        """Make an endpoint, or change the one with this id."""

    async def endpoints(self, role: str | None, search: str | None = None) -> list[EndpointSummary]:
        """Those that the caller owns, or may use.

        :param role: ``"owner"``, ``"any"``; None: owner
        :param search: part of a name or of the machine's
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

    # -- people ------------------------------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        """What is asked rarely, and is all ours (:mod:`afield.wire.rest_people`): by its method and path.

        :param path: begins with ``/afield/v1/``
        :param kind: of the answer
        """

    async def close(self) -> None:
        """Let go of connections. Closing twice is fine."""

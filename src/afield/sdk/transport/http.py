"""A service over HTTP, by aiohttp, which is imported with this file: only when a program first sends something."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec

from afield.broker.tls import CA_FILE, own_context
from afield.errors import ComputeAPIError, ConfigurationError, ServiceError, ServiceUnreachable
from afield.sdk.login.needed import LoginNeeded
from afield.sdk.proxies import proxy_for
from afield.sdk.retry import TryAgain
from afield.sdk.transport.base import Refusal
from afield.wire.malformed import MALFORMED
from afield.wire.rest import (
    AllowedFunctions,
    BatchStatus,
    BatchStatusRequest,
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
from afield.wire.v2 import WIRE_HEADER

__all__ = ["HttpTransport"]

T = TypeVar("T")

#: Answers that mean "not now".
_LATER: Final = frozenset({429, 500, 502, 503, 504})

#: Seconds. A submit may be held for just under 60 while a user endpoint starts (reference: wire contract section 8.5).
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=90)

#: Bytes; from here on aiohttp itself warns of bodies in one piece.
_LARGE: Final = 1 << 20

#: An answer with which a service names itself is short; the beginning of a foreign page is enough to say what it is.
_EXCERPT: Final = 200


class _Refusal(msgspec.Struct):
    """What there is of an error's body; other servers on the way write other bodies."""

    code: str = ""
    detail: Any = None
    reason: Any = None
    error_args: Any = None
    authorization_parameters: Any = None


class HttpTransport:
    """See :class:`~afield.sdk.transport.base.Transport`.

    :param url: of the service, without a path: ``http://127.0.0.1:5000``
    :param authorization: gives the value of the Authorization header, for each request
    :param agent: this program, for the service's log
    :param renew: awaited when a request was answered with 401; whether it is worth repeating, once, with what
        ``authorization`` gives then. None: never
    :param relogin: likewise, when the service asks for another login; given what it asks for
    """

    def __init__(
        self,
        url: str,
        authorization: Callable[[], Awaitable[str | None]],
        agent: str,
        renew: Callable[[], Awaitable[bool]] | None = None,
        relogin: Callable[[Mapping[str, Any]], Awaitable[bool]] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._authorization, self._renew, self._relogin = authorization, renew, relogin
        self._headers = {"User-Agent": agent, WIRE_HEADER: "2", "Accept": "application/json"}
        self._proxy = proxy_for(self.url)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of connections. Closing twice is fine."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def version(self) -> VersionInfo:
        """What the service is and which clients it takes."""
        return await self._get("/v2/version?service=all", VersionInfo)

    async def submit(self, endpoint_id: str, request: SubmitRequest, key: str) -> SubmitResponse:
        """Accept tasks; ``key`` names this submit."""
        path = f"/v3/endpoints/{endpoint_id}/submit"
        return await self._send("POST", path, SubmitResponse, request, {"Idempotency-Key": key})

    async def task(self, task_id: str) -> TaskDocument:
        """One task."""
        return await self._get(f"/v2/tasks/{task_id}", TaskDocument)

    async def tasks(self, task_ids: Sequence[str]) -> BatchStatus:
        """Several tasks."""
        return await self._send("POST", "/v2/batch_status", BatchStatus, BatchStatusRequest(list(task_ids)))

    async def task_group(self, group_id: str) -> TaskGroupDocument:
        """The tasks of a group."""
        return await self._get(f"/v2/taskgroup/{group_id}", TaskGroupDocument)

    async def cancel(self, request: CancelRequest) -> CancelAnswer:
        """Ask that tasks are ended."""
        return await self._send("POST", "/afield/v1/tasks/cancel", CancelAnswer, request)

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
        """The caller's tasks, the newest first."""
        query = _query(
            status=status,
            endpoint_id=endpoint_id,
            function_id=function_id,
            task_group_id=task_group_id,
            search=search,
            before=before,
            limit=limit,
        )
        return await self._get(f"/afield/v1/tasks{query}", TaskList)

    async def result_queue(self, group_id: str | None = None) -> ResultQueue:
        """Fresh credentials for the result stream."""
        query = _query(task_group_id=group_id)
        return await self._get(f"/v2/get_amqp_result_connection_url{query}", ResultQueue)

    async def register_function(self, registration: FunctionRegistration) -> FunctionRegistered:
        """Make a function."""
        return await self._send("POST", "/v3/functions", FunctionRegistered, registration)

    async def function(self, function_id: str) -> FunctionDocument:
        """One function."""
        return await self._get(f"/v2/functions/{function_id}", FunctionDocument)

    async def list_functions(
        self, *, search: str | None = None, before: str | None = None, limit: int | None = None
    ) -> FunctionList:
        """The caller's functions, the newest first."""
        return await self._get(f"/afield/v1/functions{_query(search=search, before=before, limit=limit)}", FunctionList)

    async def delete_function(self, function_id: str) -> dict[str, Any]:
        """Remove it."""
        return await self._send("DELETE", f"/v2/functions/{function_id}", dict[str, Any])

    async def register_endpoint(
        self, registration: EndpointRegistration, endpoint_id: str | None
    ) -> EndpointRegistered:
        """Make an endpoint, or change the one with this id."""
        if endpoint_id is None:
            return await self._send("POST", "/v3/endpoints", EndpointRegistered, registration)
        return await self._send("PUT", f"/v3/endpoints/{endpoint_id}", EndpointRegistered, registration)

    async def endpoints(self, role: str | None, search: str | None = None) -> list[EndpointSummary]:
        """Those that the caller owns, or may use."""
        return await self._get(f"/v2/endpoints{_query(role=role, search=search)}", list[EndpointSummary])

    async def endpoint(self, endpoint_id: str) -> EndpointDocument:
        """One endpoint."""
        return await self._get(f"/v2/endpoints/{endpoint_id}", EndpointDocument)

    async def endpoint_status(self, endpoint_id: str) -> EndpointStatus:
        """Whether it is online, and what it is doing."""
        return await self._get(f"/v2/endpoints/{endpoint_id}/status", EndpointStatus)

    async def allowed_functions(self, endpoint_id: str) -> AllowedFunctions:
        """Which functions may run there."""
        return await self._get(f"/v3/endpoints/{endpoint_id}/allowed_functions", AllowedFunctions)

    async def lock_endpoint(self, endpoint_id: str) -> LockResponse:
        """Drop its connections, and keep it out for a while."""
        return await self._send("POST", f"/v3/endpoints/{endpoint_id}/lock", LockResponse)

    async def delete_endpoint(self, endpoint_id: str) -> dict[str, Any]:
        """Remove it."""
        return await self._send("DELETE", f"/v2/endpoints/{endpoint_id}", dict[str, Any])

    async def ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        """What is asked rarely, and is all ours."""
        return await self._send(method, path, kind, body)

    # -- one request -------------------------------------------------------------------------------------------------

    async def _get(self, path: str, kind: type[T]) -> T:
        return await self._send("GET", path, kind)

    async def _send(
        self, method: str, path: str, kind: type[T], body: object = None, extra: dict[str, str] | None = None
    ) -> T:
        headers = dict(extra or {})
        if body is not None:
            headers["Content-Type"] = "application/json"
        written = msgspec.json.encode(body) if body is not None else None
        status, after_s, answer = await self._authorized(method, path, headers, written)
        if status == 401 and self._renew is not None and await self._renew():
            # A request that was refused for want of a login had no effect, so any may be repeated.
            status, after_s, answer = await self._authorized(method, path, headers, written)
        if status == 403 and self._relogin is not None:
            needed = self._refused(method, path, status, after_s, answer)
            if isinstance(needed, LoginNeeded) and await self._relogin(needed.parameters):
                status, after_s, answer = await self._authorized(method, path, headers, written)
        if status >= 300:
            raise self._refused(method, path, status, after_s, answer, anonymous="Authorization" not in headers)
        try:
            return msgspec.json.decode(answer, type=kind)
        except MALFORMED as error:
            raise ServiceError(
                f"{self.url} answered {method} {path} with something that is not a {getattr(kind, '__name__', kind)}: "
                f"{answer[:_EXCERPT]!r} ({error}). Is that the address of an Afield service?"
            ) from error

    async def _authorized(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, float | None, bytes]:
        """Ask with the login as it is now; ``headers`` says afterwards which that was."""
        authorization = await self._authorization()
        if authorization is not None:
            headers["Authorization"] = authorization
        return await self._exchange(method, path, headers, body)

    async def _exchange(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, float | None, bytes]:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=own_context() or True)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=self._headers, timeout=_TIMEOUT, trust_env=False
            )
        # In pieces where it is large, so that the loop can do other things in between.
        data = io.BytesIO(body) if body is not None and len(body) > _LARGE else body
        try:
            async with self._session.request(
                method, self.url + path, data=data, headers=headers, proxy=self._proxy, allow_redirects=False
            ) as response:
                return response.status, _seconds(response.headers.get("Retry-After")), await response.read()
        except aiohttp.InvalidURL as error:
            raise ConfigurationError(
                f"{self.url!r} is not the address of a service; write one like http://127.0.0.1:5000"
            ) from error
        except aiohttp.ClientSSLError as error:
            raise ServiceUnreachable(
                f"{self.url} is not who it says, or speaks no TLS ({error}). Is the address right? If your institution "
                f"signs its own certificates, name the file that holds its root: {CA_FILE}=/path/to/ca.pem"
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TryAgain(ServiceUnreachable(unreachable(self.url, str(error) or type(error).__name__))) from error

    def _refused(
        self, method: str, path: str, status: int, after_s: float | None, answer: bytes, *, anonymous: bool = False
    ) -> TryAgain | ServiceError:
        try:
            body = msgspec.json.decode(answer, type=_Refusal)
        except MALFORMED:
            body = _Refusal()
        said = body.detail or body.reason
        reason = said if isinstance(said, str) else (str(said) if said else answer[:_EXCERPT].decode(errors="replace"))
        if status in _LATER:
            return TryAgain(ServiceUnreachable(unreachable(self.url, f"it answers {status}: {reason}")), after_s)
        if status < 400:
            return ServiceError(
                f"{self.url} redirects {method} {path}, which no Afield service does: is the address complete?"
            )
        if status == 401:
            reason += _what_to_do(self.url, anonymous=anonymous)
        code, reason = body.code or f"HTTP_{status}", reason or f"{method} {path} was refused"
        if status == 403 and isinstance(body.authorization_parameters, dict):
            return LoginNeeded(status, code, reason, body.authorization_parameters, self.url)
        if isinstance(body.error_args, list) and body.error_args:
            return Refusal(status, code, reason, tuple(body.error_args))
        return ComputeAPIError(status, code, reason)


def unreachable(url: str, why: str) -> str:
    """What to say when the service did not answer and all retries are used up."""
    return (
        f"the service at {url} cannot be reached ({why}). Is it running (afield up, afield serve), and is that its "
        "address (AFIELD_SERVICE_URL)?"
    )


def _what_to_do(url: str, *, anonymous: bool) -> str:
    if anonymous:
        return (
            f" (no login is known for {url}: run `afield login --service {url}`, set AFIELD_TOKEN, or pass "
            "Client(token=...))"
        )
    return f" (the token that was sent is not taken: run `afield login --service {url}`, or give another one)"


def _query(**values: str | int | None) -> str:
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    return f"?{urlencode(given)}" if given else ""


def _seconds(retry_after: str | None) -> float | None:
    # The header may also hold a date; then our own pause does.
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None

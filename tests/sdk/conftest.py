"""A service in memory, clients of it that do not wait by the clock, and an HTTP server before it."""

from __future__ import annotations

import asyncio
import operator
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from afield.errors import ComputeAPIError
from afield.sdk import portal
from afield.sdk.client import Client
from afield.sdk.executor import Executor
from afield.sdk.retry import Pace
from afield.sdk.transport.base import Refusal
from afield.sdk.transport.memory import MemoryService, call_here
from afield.wire.rest import (
    BatchStatusRequest,
    CancelRequest,
    EndpointRegistration,
    ErrorBody,
    FunctionRegistration,
    SubmitRequest,
)

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"


class Clock:
    """Time that passes when somebody sleeps, and only then."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)  # others have their turn, as they would

    def pace(self, budget_s: float = 60.0) -> Pace:
        return Pace(budget_s=budget_s, now=lambda: self.now, sleep=self.sleep, chance=lambda: 0.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service() -> MemoryService:
    return MemoryService()


@pytest.fixture
def client(service: MemoryService, clock: Clock) -> Iterator[Client]:
    with Client(transport=service, connector=service.broker, pace=clock.pace()) as made:
        yield made


@pytest.fixture
def executor(client: Client) -> Iterator[Executor]:
    made = Executor(ENDPOINT, client=client)
    yield made
    made.shutdown(wait=False, cancel_futures=True)


Handler = Callable[[web.Request], Awaitable[Any]]


def _read(kind: type, request: web.Request) -> Awaitable[Any]:
    async def body() -> Any:
        return msgspec.json.decode(await request.read(), type=kind)

    return body()


def routes(s: MemoryService) -> list[web.RouteDef]:
    async def submit(r: web.Request) -> Any:
        return await s.submit(r.match_info["id"], await _read(SubmitRequest, r), r.headers["Idempotency-Key"])

    async def register_endpoint(r: web.Request) -> Any:
        return await s.register_endpoint(await _read(EndpointRegistration, r), r.match_info.get("id"))

    async def tasks(r: web.Request) -> Any:
        return await s.tasks((await _read(BatchStatusRequest, r)).task_ids)

    async def register_function(r: web.Request) -> Any:
        return await s.register_function(await _read(FunctionRegistration, r))

    async def cancel(r: web.Request) -> Any:
        return await s.cancel(await _read(CancelRequest, r))

    def queried(method: Callable[..., Awaitable[Any]]) -> Handler:
        def ask(r: web.Request) -> Awaitable[Any]:
            return method(**{name: int(value) if name == "limit" else value for name, value in r.query.items()})

        return ask

    table: list[tuple[str, str, Handler]] = [
        ("GET", "/v2/version", lambda r: s.version()),
        ("POST", "/v3/endpoints/{id}/submit", submit),
        ("GET", "/afield/v1/tasks", queried(s.list_tasks)),
        ("POST", "/afield/v1/tasks/cancel", cancel),
        ("GET", "/afield/v1/functions", queried(s.list_functions)),
        ("GET", "/v2/tasks/{id}", lambda r: s.task(r.match_info["id"])),
        ("POST", "/v2/batch_status", tasks),
        ("GET", "/v2/taskgroup/{id}", lambda r: s.task_group(r.match_info["id"])),
        ("GET", "/v2/get_amqp_result_connection_url", lambda r: s.result_queue()),
        ("POST", "/v3/functions", register_function),
        ("GET", "/v2/functions/{id}", lambda r: s.function(r.match_info["id"])),
        ("DELETE", "/v2/functions/{id}", lambda r: s.delete_function(r.match_info["id"])),
        ("POST", "/v3/endpoints", register_endpoint),
        ("PUT", "/v3/endpoints/{id}", register_endpoint),
        ("GET", "/v2/endpoints", lambda r: s.endpoints(r.query.get("role"), r.query.get("search"))),
        ("GET", "/v2/endpoints/{id}", lambda r: s.endpoint(r.match_info["id"])),
        ("GET", "/v2/endpoints/{id}/status", lambda r: s.endpoint_status(r.match_info["id"])),
        ("GET", "/v3/endpoints/{id}/allowed_functions", lambda r: s.allowed_functions(r.match_info["id"])),
        ("POST", "/v3/endpoints/{id}/lock", lambda r: s.lock_endpoint(r.match_info["id"])),
        ("DELETE", "/v2/endpoints/{id}", lambda r: s.delete_endpoint(r.match_info["id"])),
    ]

    def wrapped(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                answer = await handler(request)
            except ComputeAPIError as error:
                about = list(error.about) if isinstance(error, Refusal) else []
                body = ErrorBody(error.code, error.http_status, error.reason, error.reason, error_args=about)
                return web.Response(body=msgspec.json.encode(body), status=error.http_status)
            return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

        return handle

    return [web.route(method, path, wrapped(handler)) for method, path, handler in table]


@asynccontextmanager
async def serving(app_routes: list[web.RouteDef], seen: list[web.Request] | None = None) -> AsyncIterator[str]:
    """Serve routes on a free port of loopback; the URL."""

    @web.middleware
    async def remember(request: web.Request, handler: Any) -> Any:
        if seen is not None:
            seen.append(request)
        return await handler(request)

    app = web.Application(middlewares=[remember], client_max_size=64 << 20)
    app.add_routes(app_routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def served() -> Callable[[MemoryService], Any]:
    """Serves a service over HTTP: an async context manager that gives the URL."""
    return lambda service: serving(routes(service))


@pytest.fixture
def serve_routes() -> Callable[..., Any]:
    """Serves routes over HTTP: an async context manager that gives the URL."""
    return serving


# -- the portal's thread, where the service in memory lives -----------------------------------------------------------


def run_in_loop(function: Callable[[], Any]) -> Any:
    """Call a function there; what it returns, or what that gives when it is awaited."""

    async def run() -> Any:
        outcome = function()
        return await outcome if asyncio.iscoroutine(outcome) else outcome

    return portal.current().call(run)


class Gate:
    """Holds requests of one kind, or answers, until it is opened."""

    def __init__(self, name: str | None = None) -> None:
        self.name, self.event = name, asyncio.Event()
        self.reached = threading.Event()

    async def __call__(self, name: str | None = None) -> None:
        if name in {self.name, None}:
            self.reached.set()
            await self.event.wait()

    def open(self) -> None:
        portal.current().post(self.event.set)


@pytest.fixture
def in_loop() -> Callable[[Callable[[], Any]], Any]:
    return run_in_loop


@pytest.fixture
def in_turns() -> Callable[[Callable[[], bool]], bool]:
    """Whether something comes true within some turns of the loop."""
    return lambda holds: any(holds() or run_in_loop(lambda: asyncio.sleep(0)) for _ in range(200))


@pytest.fixture
def new_gate() -> type[Gate]:
    return Gate


@pytest.fixture
def pending(service: MemoryService) -> Callable[[Executor, int], list[Any]]:
    """Submits calls whose endpoint does nothing; they are accepted when it returns."""

    def submit(executor: Executor, count: int) -> list[Any]:
        service.work = lambda function, task: None
        futures = [executor.submit(operator.mul, 2, x) for x in range(count)]
        run_in_loop(executor.client.session().pump.flush)
        return futures

    return submit


@pytest.fixture
def finish_all(service: MemoryService) -> Callable[[list[Any]], None]:
    """Has their tasks end."""

    def finish(futures: list[Any]) -> None:
        tasks = [service.tasks_by_id[future.task_id] for future in futures]
        ends = [call_here(service.functions[task.function_id], task) for task in tasks]
        run_in_loop(lambda: service.finish(*ends))

    return finish

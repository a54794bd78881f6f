"""Every route on one screen (reference: wire contract section 3.2).

The hot ones are answered by :mod:`afield.service.api.edge`; the framework holds them for the OpenAPI document only.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final, cast

from litestar import Litestar, Request, Response, delete, get, post, put
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig

from afield.ids import new_id
from afield.service.api import about, endpoints, functions, tasks
from afield.service.api.answers import as_refusal, body_of, internal_error
from afield.service.api.edge import Edge, Hot
from afield.service.api.plain import ASGI
from afield.service.auth.base import Authenticator
from afield.service.domain.caller import Caller
from afield.service.use.assemble import Uses
from afield.wire.rest import BatchStatus, BatchStatusRequest, SubmitRequest, SubmitResponse, TaskDocument

__all__ = ["application", "routes"]

logger = logging.getLogger(__name__)

HOT: Final[tuple[Hot, ...]] = (
    ("POST", re.compile(r"/v3/endpoints/([^/]+)/submit"), tasks.submit),
    ("POST", re.compile(r"/v2/batch_status"), tasks.batch_status),
    ("GET", re.compile(r"/v2/tasks/([^/]+)"), tasks.task),
)


def routes() -> list[HTTPRouteHandler]:
    """All of them. The published answers are 200 whatever was done."""
    ok: Any = {"status_code": 200}
    return [
        get("/healthz")(about.healthz),
        get("/v2/version")(about.service_version),
        get("/v2/get_amqp_result_connection_url")(tasks.result_queue),
        # endpoints
        post(["/v3/endpoints", "/v2/endpoints"], **ok)(endpoints.register_endpoint),
        put(["/v3/endpoints/{endpoint_id:str}", "/v2/endpoints/{endpoint_id:str}"])(endpoints.register_endpoint_again),
        get("/v2/endpoints")(endpoints.list_endpoints),
        get("/v2/endpoints/{endpoint_id:str}")(endpoints.describe_endpoint),
        get("/v2/endpoints/{endpoint_id:str}/status")(endpoints.endpoint_status),
        get("/v3/endpoints/{endpoint_id:str}/allowed_functions")(endpoints.allowed_functions),
        post("/v3/endpoints/{endpoint_id:str}/lock", **ok)(endpoints.lock_endpoint),
        delete("/v2/endpoints/{endpoint_id:str}", **ok)(endpoints.delete_endpoint),
        # functions
        post(["/v3/functions", "/v2/functions"], **ok)(functions.register_function),
        get("/v2/functions/{function_id:str}")(functions.read_function),
        delete("/v2/functions/{function_id:str}", **ok)(functions.delete_function),
        # tasks
        post("/v3/endpoints/{endpoint_id:str}/submit", **ok)(_submit),
        post("/v2/batch_status", **ok)(_batch_status),
        get("/v2/tasks/{task_id:str}")(_task),
        get("/v2/taskgroup/{taskgroup_id:str}")(tasks.task_group),
    ]


def application(uses: Uses, authenticator: Authenticator) -> ASGI:
    """What a server serves."""
    from afield import __version__

    litestar = Litestar(
        routes(),
        dependencies={
            "caller": Provide(_caller, sync_to_thread=False),
            "uses": Provide(_uses, sync_to_thread=False),
            "wire": Provide(_wire, sync_to_thread=False),
        },
        exception_handlers={Exception: _say_no},
        openapi_config=OpenAPIConfig(title="Afield", version=__version__),
        logging_config=None,
        # The edge counts.
        request_max_body_size=None,
    )
    return Edge(cast("ASGI", litestar), authenticator, uses, HOT)


def _caller(request: Request[Any, Any, Any]) -> Caller:
    return cast("Caller", request.scope["state"]["caller"])


def _uses(request: Request[Any, Any, Any]) -> Uses:
    return cast("Uses", request.scope["state"]["uses"])


def _wire(request: Request[Any, Any, Any]) -> int:
    return cast("int", request.scope["state"]["wire"])


def _say_no(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    refusal = as_refusal(error)
    if refusal is None:
        request_id = new_id()
        logger.error("request %s: %s %s failed", request_id, request.method, request.url.path, exc_info=error)
        refusal = internal_error(request_id)
    return Response(body_of(refusal), status_code=refusal.status, media_type="application/json")


async def _submit(endpoint_id: str, data: SubmitRequest) -> SubmitResponse:
    """Accept tasks for an endpoint, all or none. With the header Idempotency-Key it can be repeated safely."""
    raise NotImplementedError(endpoint_id, data)


async def _batch_status(data: BatchStatusRequest) -> BatchStatus:
    """What became of many tasks."""
    raise NotImplementedError(data)


async def _task(task_id: str) -> TaskDocument:
    """What became of one task."""
    raise NotImplementedError(task_id)

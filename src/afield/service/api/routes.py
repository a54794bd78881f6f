"""Every route on one screen (reference: wire contract section 3.2): method, path, handler, what it takes and gives.

The most frequent ones come first, for that is the order in which they are looked at.
"""

from __future__ import annotations

from typing import Any, Final

from afield.service.api import about, endpoints, functions, tasks
from afield.service.api.answers import no_such_method, no_such_route
from afield.service.api.ask import Ask
from afield.service.api.openapi import document
from afield.service.api.route import Route
from afield.service.domain.refusals import Refusal
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

__all__ = ["ROUTES", "find"]


async def description(_ask: Ask) -> dict[str, Any]:
    """The routes, in OpenAPI's form."""
    return document(ROUTES, about.API_VERSION)


_DONE: Final = dict[str, int]

# fmt: off
ROUTES: Final[tuple[Route, ...]] = (
    Route("POST", "/v3/endpoints/{endpoint_id}/submit", tasks.submit, takes=SubmitRequest, gives=SubmitResponse),
    Route("POST", "/v2/batch_status", tasks.batch_status, takes=BatchStatusRequest, gives=BatchStatus),
    Route("GET", "/v2/tasks/{task_id}", tasks.task, gives=TaskDocument),
    Route("GET", "/v2/taskgroup/{taskgroup_id}", tasks.group, gives=TaskGroupDocument),
    Route("GET", "/v2/get_amqp_result_connection_url", tasks.result_queue, gives=ResultQueue,
          query=("task_group_id",)),
    Route("POST", "/v2/tasks/cancel", tasks.cancel, takes=CancelRequest, gives=CancelAnswer),
    Route("GET", "/v2/tasks", tasks.listing, gives=TaskList, query=(*tasks.LISTED_BY, "limit")),

    Route("POST", "/v3/functions", functions.register, takes=FunctionRegistration, gives=FunctionRegistered),
    Route("POST", "/v2/functions", functions.register, takes=FunctionRegistration, gives=FunctionRegistered),
    Route("GET", "/v2/functions", functions.listing, gives=FunctionList, query=("search", "before", "limit")),
    Route("GET", "/v2/functions/{function_id}", functions.read, gives=FunctionDocument),
    Route("DELETE", "/v2/functions/{function_id}", functions.delete, gives=_DONE),

    Route("GET", "/v2/endpoints", endpoints.listing, gives=list[EndpointSummary], query=("role", "search")),
    Route("GET", "/v2/endpoints/{endpoint_id}", endpoints.describe, gives=EndpointDocument),
    Route("GET", "/v2/endpoints/{endpoint_id}/status", endpoints.status, gives=EndpointStatus),
    Route("GET", "/v3/endpoints/{endpoint_id}/allowed_functions", endpoints.allowed_functions, gives=AllowedFunctions),
    Route("POST", "/v3/endpoints", endpoints.register, takes=EndpointRegistration, gives=EndpointRegistered),
    Route("PUT", "/v3/endpoints/{endpoint_id}", endpoints.register_again,
          takes=EndpointRegistration, gives=EndpointRegistered),
    Route("POST", "/v3/endpoints/{endpoint_id}/lock", endpoints.lock, gives=LockResponse),
    Route("DELETE", "/v2/endpoints/{endpoint_id}", endpoints.delete, gives=_DONE),

    Route("GET", "/v2/version", about.version, gives=VersionInfo | str, query=("service",), is_open=True),
    Route("GET", "/healthz", about.healthz, gives=dict[str, str], is_open=True),
    Route("GET", "/openapi.json", description, gives=dict[str, Any]),
)
# fmt: on


def find(method: str, path: str) -> tuple[Route, tuple[str, ...]] | Refusal:
    """The route, and its parameters; or what to say where there is none."""
    others = False
    for route in ROUTES:
        found = route.match(path)
        if found is not None:
            if route.method == method:
                return route, found.groups()
            others = True
    return no_such_method(method, path) if others else no_such_route(path)

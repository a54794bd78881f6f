"""Every route on one screen (reference: wire contract section 3.2): method, path, handler, what it takes and gives.

The most frequent ones come first, for that is the order in which they are looked at.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any, Final

from afield.service.api import (
    about,
    accounts,
    clients,
    endpoints,
    functions,
    older,
    people_groups,
    people_policies,
    personal_tokens,
    sharing,
    task_groups,
    task_record,
    tasks,
)
from afield.service.api.answers import no_such_method, no_such_route
from afield.service.api.ask import Ask
from afield.service.api.oauth_routes import OAUTH_ROUTES
from afield.service.api.openapi import document
from afield.service.api.openapi_forms import described
from afield.service.api.route import Route
from afield.service.api.upstream_routes import UPSTREAM_ROUTES
from afield.service.auth.oauth.scopes import ANY_AUTH, COMPUTE
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
    Ready,
    ResultQueue,
    SubmitRequest,
    SubmitResponse,
    TaskDocument,
    TaskGroupDocument,
    TaskList,
    VersionInfo,
)
from afield.wire.rest_accounts import (
    Account,
    AccountChange,
    AccountList,
    AccountWish,
    NewPassword,
    OutsideIdentity,
    PasswordWish,
)
from afield.wire.rest_logins import ClientList, ClientWish, NewClient, NewToken, TokenList, TokenWish, WhoAmI
from afield.wire.rest_older import FlatSubmit, FlatSubmitAnswer, LockedUntil
from afield.wire.rest_people import (
    Grant,
    GrantList,
    GrantWish,
    Group,
    GroupChange,
    GroupList,
    GroupWish,
    Invitation,
    InvitationAnswer,
    InvitationShown,
    InvitationWish,
    MemberWish,
    Policy,
    PolicyList,
    PolicyWish,
)
from afield.wire.rest_task_groups import TaskGroupTimes, TaskGroupWish
from afield.wire.rest_tasks import TaskHistory

__all__ = ["ROUTES", "find"]


@cache
def _described() -> dict[str, Any]:
    # It takes a fifth of a second, and does not change.
    whole = document([route for route in ROUTES if route.is_listed], about.API_VERSION)
    whole["paths"] |= described(route for route in ROUTES if not route.is_listed)
    return whole


async def description(_ask: Ask) -> dict[str, Any]:
    """The routes, in OpenAPI's form."""
    return await asyncio.to_thread(_described)


_DONE: Final = dict[str, int]

# fmt: off
ROUTES: Final[tuple[Route, ...]] = (
    Route("POST", "/v3/endpoints/{endpoint_id}/submit", tasks.submit, takes=SubmitRequest, gives=SubmitResponse,
          is_repeated=True),
    Route("POST", "/v2/batch_status", tasks.batch_status, takes=BatchStatusRequest, gives=BatchStatus),
    Route("GET", "/v2/tasks/{task_id}", tasks.task, gives=TaskDocument),
    Route("GET", "/v2/taskgroup/{taskgroup_id}", tasks.group, gives=TaskGroupDocument),
    Route("GET", "/v2/get_amqp_result_connection_url", tasks.result_queue, gives=ResultQueue,
          query=("task_group_id",)),
    Route("POST", "/afield/v1/tasks/cancel", tasks.cancel, takes=CancelRequest, gives=CancelAnswer),
    Route("GET", "/afield/v1/tasks", tasks.listing, gives=TaskList, query=(*tasks.LISTED_BY, "limit")),
    Route("GET", "/afield/v1/tasks/{task_id}", task_record.record, gives=TaskHistory),
    Route("POST", "/afield/v1/taskgroups", task_groups.make, takes=TaskGroupWish, gives=TaskGroupTimes),
    Route("GET", "/afield/v1/taskgroups/{taskgroup_id}", task_groups.read, gives=TaskGroupTimes),
    Route("PUT", "/afield/v1/taskgroups/{taskgroup_id}", task_groups.change,
          takes=TaskGroupWish, gives=TaskGroupTimes),

    Route("POST", "/v3/functions", functions.register, takes=FunctionRegistration, gives=FunctionRegistered),
    Route("POST", "/v2/functions", functions.register, takes=FunctionRegistration, gives=FunctionRegistered),
    Route("GET", "/afield/v1/functions", functions.listing, gives=FunctionList,
          query=("search", "before", "limit")),
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
    Route("DELETE", "/afield/v1/endpoints/{endpoint_id}/lock", endpoints.unlock, gives=LockResponse),
    Route("DELETE", "/v2/endpoints/{endpoint_id}", endpoints.delete, gives=_DONE),

    Route("POST", "/v2/submit", older.submit_flat, takes=FlatSubmit, gives=FlatSubmitAnswer, is_repeated=True),
    Route("POST", "/v2/endpoints/{endpoint_id}/lock", older.lock_until, gives=LockedUntil),

    Route("GET", "/afield/v1/endpoints/{endpoint_id}/grants", sharing.grants, gives=GrantList),
    Route("PUT", "/afield/v1/endpoints/{endpoint_id}/grants", sharing.share, takes=GrantWish, gives=Grant),
    Route("DELETE", "/afield/v1/endpoints/{endpoint_id}/grants/{principal}/{principal_id}", sharing.unshare,
          gives=_DONE),

    Route("GET", "/afield/v1/groups", people_groups.listing, gives=GroupList),
    Route("POST", "/afield/v1/groups", people_groups.make, takes=GroupWish, gives=Group),
    Route("GET", "/afield/v1/groups/{group_id}", people_groups.describe, gives=Group),
    Route("PUT", "/afield/v1/groups/{group_id}", people_groups.change, takes=GroupChange, gives=Group),
    Route("DELETE", "/afield/v1/groups/{group_id}", people_groups.delete, gives=_DONE),
    Route("PUT", "/afield/v1/groups/{group_id}/members/{identity_id}", people_groups.set_member,
          takes=MemberWish, gives=Group),
    Route("DELETE", "/afield/v1/groups/{group_id}/members/{identity_id}", people_groups.remove_member, gives=_DONE),
    Route("POST", "/afield/v1/groups/{group_id}/invitations", people_groups.invite,
          takes=InvitationWish, gives=Invitation),
    Route("POST", "/afield/v1/invitations", people_groups.accept, takes=InvitationAnswer, gives=Group),
    Route("GET", "/afield/v1/invitations/{code}", people_groups.show_invitation, gives=InvitationShown, is_open=True),
    Route("DELETE", "/afield/v1/invitations/{code}", people_groups.take_back_invitation, gives=_DONE),

    Route("GET", "/afield/v1/policies", people_policies.listing, gives=PolicyList),
    Route("POST", "/afield/v1/policies", people_policies.make, takes=PolicyWish, gives=Policy),
    Route("GET", "/afield/v1/policies/{policy_id}", people_policies.describe, gives=Policy),
    Route("PUT", "/afield/v1/policies/{policy_id}", people_policies.replace, takes=PolicyWish, gives=Policy),
    Route("DELETE", "/afield/v1/policies/{policy_id}", people_policies.delete, gives=_DONE),

    Route("GET", "/afield/v1/whoami", personal_tokens.whoami, gives=WhoAmI, scopes=ANY_AUTH | {COMPUTE}),
    Route("GET", "/afield/v1/tokens", personal_tokens.listing, gives=TokenList),
    Route("POST", "/afield/v1/tokens", personal_tokens.make, takes=TokenWish, gives=NewToken),
    Route("DELETE", "/afield/v1/tokens/{token_id}", personal_tokens.revoke, gives=_DONE),
    Route("GET", "/afield/v1/clients", clients.listing, gives=ClientList),
    Route("POST", "/afield/v1/clients", clients.make, takes=ClientWish, gives=NewClient),
    Route("DELETE", "/afield/v1/clients/{client_id}", clients.delete, gives=_DONE),

    Route("GET", "/afield/v1/accounts", accounts.listing, gives=AccountList, query=("username",)),
    Route("POST", "/afield/v1/accounts", accounts.make, takes=AccountWish, gives=NewPassword),
    Route("GET", "/afield/v1/accounts/{identity_id}", accounts.describe, gives=Account),
    Route("PUT", "/afield/v1/accounts/{identity_id}", accounts.change, takes=AccountChange, gives=Account),
    Route("POST", "/afield/v1/accounts/{identity_id}/password", accounts.reset_password,
          takes=PasswordWish, gives=NewPassword),
    Route("POST", "/afield/v1/accounts/{identity_id}/links", accounts.link, takes=OutsideIdentity, gives=Account),
    Route("DELETE", "/afield/v1/accounts/{identity_id}/links", accounts.unlink, takes=OutsideIdentity, gives=Account),

    Route("GET", "/v2/version", about.version, gives=VersionInfo | str, query=("service",), is_open=True),
    Route("GET", "/health", about.health, gives=dict[str, str], is_open=True),
    Route("GET", "/healthz", about.health, gives=dict[str, str], is_open=True),
    Route("GET", "/ready", about.ready, gives=Ready, is_open=True),
    Route("GET", "/metrics", about.metrics, gives=str, opens=about.metrics_are_open),
    Route("GET", "/openapi.json", description, gives=dict[str, Any]),

    *OAUTH_ROUTES,
    *UPSTREAM_ROUTES,
)
# fmt: on


def find(method: str, path: str) -> tuple[Route, tuple[str, ...]] | Refusal:
    """The route, and its parameters; or what to say where there is none."""
    others = []
    method = "GET" if method == "HEAD" else method  # the server sends no body then (RFC 9110, section 9.3.2)
    for route in ROUTES:
        found = route.match(path)
        if found is not None:
            if route.method == method:
                return route, found.groups()
            others.append(route.method)
    return no_such_method(method, path, others) if others else no_such_route(path)

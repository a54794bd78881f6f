"""Every route, everybody, every kind of thing: who is let through. A route that has no row here fails.

Each question is asked of a world of its own, for what is deleted is gone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from afield.ids import new_id
from afield.service.api.edge import Edge
from afield.service.api.routes import ROUTES
from afield.service.auth.tokens import digest_of
from afield.service.domain.caller import Caller
from afield.service.domain.people import (
    AccountRecord,
    ClientRecord,
    GrantRecord,
    GrantRole,
    LinkRecord,
    MemberRecord,
    MemberRole,
    Principal,
    TeamRecord,
    TokenKind,
    TokenRecord,
)
from afield.wire.rest import FunctionRegistration
from afield.wire.rest_people import InvitationWish, PolicyWish

from .conftest import ADA, PAYLOAD, World, identity, registration

pytestmark = pytest.mark.anyio


def person(name: str, number: int) -> Caller:
    return Caller(identity(name, number))


#: Who asks. Of what there is, ``o`` owns everything; the others are as they are called, towards what knows such people.
PEOPLE: dict[str, Caller] = {
    "o": ADA,
    "l": Caller(identity("ada2", 3), linked=(ADA.identity,)),
    "a": person("admin", 4),
    "m": person("manager", 5),
    "r": person("runner", 6),
    "v": person("viewer", 7),
    "t": person("teammate", 8),
    "x": person("stranger", 9),
    "p": Caller(identity("operator", 2), is_admin=True),
}
EVERYBODY = "".join(PEOPLE)
NOWHERE = "0192d3a0-0000-7000-8000-000000000000"


class Door:
    """The edge, and a world behind it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.edge = Edge(world.uses, self)

    async def authenticate(self, authorization: str | None) -> Caller | None:
        return None if authorization is None else PEOPLE.get(authorization.removeprefix("Bearer token-"))

    async def ask(
        self, who: str | None, method: str, path: str, body: Any = None, *, accept: str = "*/*"
    ) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        headers = [(b"accept", accept.encode())]
        headers += [] if who is None else [(b"authorization", f"Bearer token-{who}".encode())]
        scope = {
            "type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers,
            "client": ("127.0.0.1", 1), "scheme": "http", "server": ("127.0.0.1", 5000), "root_path": "",
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.edge(scope, receive, send)
        raw = sent[1]["body"]
        kind = dict(sent[0]["headers"])[b"content-type"]
        return sent[0]["status"], json.loads(raw) if raw and kind.startswith(b"application/json") else raw


# -- things ------------------------------------------------------------------------------------------------------------


async def endpoint(world: World, kind: str) -> str:
    said: dict[str, Any] = {"admins": [PEOPLE["a"].id], "public": kind == "public", "multi_user": kind == "mapped"}
    wire = 1 if kind == "published" else 2
    registered = await world.uses.register_endpoint.new(ADA, registration(wire, **said))
    if kind in {"shared", "published"}:
        await put_team(world)
        roles = (("m", GrantRole.MANAGE), ("r", GrantRole.RUN), ("v", GrantRole.VIEW))
        for letter, role in roles:
            grant = GrantRecord(registered.endpoint_id, Principal.IDENTITY, PEOPLE[letter].id, role, 1.0)
            await world.store.people.put_grant(grant)
        grant = GrantRecord(registered.endpoint_id, Principal.TEAM, TEAM, GrantRole.RUN, 1.0)
        await world.store.people.put_grant(grant)
    return registered.endpoint_id


TEAM = "0192d3a0-0000-7000-8000-00000000000a"


async def put_team(world: World) -> str:
    await world.store.people.put_team(TeamRecord(TEAM, "team", 1.0))
    await world.store.people.put_member(MemberRecord(TEAM, ADA.id, MemberRole.MANAGER, 1.0))
    await world.store.people.put_member(MemberRecord(TEAM, PEOPLE["t"].id, MemberRole.MEMBER, 2.0))
    return TEAM


async def function(world: World, kind: str) -> str:
    await put_team(world)
    return await world.function(public=kind == "public", group=TEAM if kind == "group" else None)


async def task(world: World) -> tuple[str, str]:
    """A task and its group."""
    core = await world.core(online=False)
    function_id = await world.function()
    accepted = await world.submit(core, function_id)
    return accepted.tasks[function_id][0], accepted.task_group_id


async def policy(world: World) -> str:
    return (await world.uses.policies.make(ADA, PolicyWish("any"))).id


async def code(world: World) -> str:
    return (await world.uses.invitations.make(ADA, await put_team(world), InvitationWish())).code


# -- rows --------------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """One kind of thing behind a route.

    :param may: who is let through
    :param else_: the status for all others; for some, another one
    :param values: of the path's parameters, made in a fresh world; ``query`` is appended, ``body`` sent
    :param through: whether an answer 200 lets through; where strangers' things are left out or told as unknown
    """

    may: str
    else_: int | Mapping[str, int]
    values: Callable[[World], Awaitable[dict[str, Any]]]
    through: Callable[[Any, dict[str, Any]], bool] = field(default=lambda _answer, _values: True)

    def status(self, letter: str) -> int:
        if letter in self.may:
            return 200
        return self.else_ if isinstance(self.else_, int) else self.else_.get(letter, self.else_["*"])


def on_endpoint(see_or: str, body: Any = None, **may: str) -> dict[str, Case]:
    """Cases for the kinds of endpoints; who may, by kind, and for kinds that are not told as for ``see_or``."""

    def values(kind: str) -> Callable[[World], Awaitable[dict[str, Any]]]:
        async def make(world: World) -> dict[str, Any]:
            return {"endpoint_id": await endpoint(world, kind), "body": body}

        return make

    kinds = ("private", "shared", "public", "mapped", "published")
    return {kind: Case(may.get(kind, see_or), 403, values(kind)) for kind in kinds}


SEE = {"shared": "olamrvt", "published": "olamrvt", "public": EVERYBODY, "mapped": EVERYBODY}


def submits() -> dict[str, Case]:
    def values(endpoint_kind: str, function_kind: str) -> Callable[[World], Awaitable[dict[str, Any]]]:
        async def make(world: World) -> dict[str, Any]:
            tasks = {await function(world, function_kind): [PAYLOAD]}
            return {"endpoint_id": await endpoint(world, endpoint_kind), "body": {"tasks": tasks}}

        return make

    may = {
        ("private", "public"): "ol",
        ("shared", "public"): "olmrt",
        ("published", "public"): "ol",
        ("public", "public"): "ol",
        ("mapped", "public"): EVERYBODY,
        ("mapped", "group"): "olt",
        ("mapped", "private"): "ol",
        ("shared", "group"): "olt",
    }
    return {f"{a} endpoint, {b} function": Case(who, 403, values(a, b)) for (a, b), who in may.items()}


def on_function(**may: str) -> dict[str, Case]:
    def values(kind: str) -> Callable[[World], Awaitable[dict[str, Any]]]:
        async def make(world: World) -> dict[str, Any]:
            return {"function_id": await function(world, kind)}

        return make

    return {kind: Case(who, 403, values(kind)) for kind, who in may.items()}


async def _task(world: World) -> dict[str, Any]:
    task_id, group_id = await task(world)
    return {"task_id": task_id, "taskgroup_id": group_id, "body": {"task_ids": [task_id]}}


async def _group_times(world: World) -> dict[str, Any]:
    return await _task(world) | {"body": {"retention_s": 3600}}


async def _group_queue(world: World) -> dict[str, Any]:
    return {"query": f"task_group_id={(await task(world))[1]}"}


def flat_submits() -> dict[str, Case]:
    """The same in the form of older clients, where the endpoint is in the body."""

    def flat(given: Callable[[World], Awaitable[dict[str, Any]]]) -> Callable[[World], Awaitable[dict[str, Any]]]:
        async def make(world: World) -> dict[str, Any]:
            values = await given(world)
            body = values["body"]
            [(function_id, payloads)] = body.pop("tasks").items()
            return {"body": body | {"tasks": [[function_id, values["endpoint_id"], one] for one in payloads]}}

        return make

    cases = submits() | {"a task group": Case("ol", 403, _submit_into_group)}
    return {name: dataclasses.replace(case, values=flat(case.values)) for name, case in cases.items()}


async def _submit_into_group(world: World) -> dict[str, Any]:
    tasks = {await function(world, "public"): [PAYLOAD]}
    body = {"tasks": tasks, "task_group_id": (await task(world))[1]}
    return {"endpoint_id": await endpoint(world, "mapped"), "body": body}


def _named_task(answer: Any, values: dict[str, Any]) -> bool:
    return answer["results"][values["task_id"]]["status"] not in {"unknown", "failed"}


def on_team(may: str, member: int = 403, body: Any = None) -> dict[str, Case]:
    async def values(world: World) -> dict[str, Any]:
        return {"group_id": await put_team(world), "identity_id": PEOPLE["t"].id, "body": body}

    return {"group": Case(may, {"t": member, "*": 404}, values)}


async def _code(world: World) -> dict[str, Any]:
    one = await code(world)
    return {"code": one, "body": {"code": one}}


async def _policy(world: World) -> dict[str, Any]:
    return {"policy_id": await policy(world), "body": {"name": "other"}}


async def _token(world: World) -> dict[str, Any]:
    text = await world.uses.oauth.tokens.issue(ADA.id, "mine", kind=TokenKind.PERSONAL)
    record = await world.store.people.token(digest_of(text))
    assert record is not None
    return {"token_id": record.digest.hex()[:16]}


async def _client(world: World) -> dict[str, Any]:
    client_id = new_id()
    await world.store.people.put_client(ClientRecord(client_id, "robot", ADA.id, 1.0))
    return {"client_id": client_id}


def _account(body: Any = None) -> Callable[[World], Awaitable[dict[str, Any]]]:
    async def make(world: World) -> dict[str, Any]:
        people = world.store.people
        await people.put_account(AccountRecord(ADA.id, "ada", 1.0))
        await people.put_link(LinkRecord("https://idp.example.org", "ada", ADA.id, 1.0))
        return {"identity_id": ADA.id, "body": body}

    return make


async def _nothing(_world: World) -> dict[str, Any]:
    return {}


async def _identity(_world: World) -> dict[str, Any]:
    return {"identity_id": ADA.id}


async def _identities(_world: World) -> dict[str, Any]:
    return {"query": f"ids={ADA.id}"}


async def _granted(world: World) -> dict[str, Any]:
    return {
        "endpoint_id": await endpoint(world, "shared"), "principal": "identity", "principal_id": PEOPLE["r"].id,
    }  # fmt: skip


#: Everybody who is let in may ask, and gets what is theirs; anybody may ask at all.
OWN, OPEN = "own", "open"
#: What is sent on routes of the kind ``own`` that take something.
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v3/functions"): {"function_name": "f", "function_code": "def f(): 1", "serialized": False},
    ("POST", "/v2/functions"): {"function_name": "f", "function_code": "def f(): 1", "serialized": False},
    ("POST", "/afield/v1/taskgroups"): {"retention_s": 3600},
    ("POST", "/v3/endpoints"): {"endpoint_name": "mine"},
    ("POST", "/afield/v1/groups"): {"name": "mine"},
    ("POST", "/afield/v1/tokens"): {"label": "mine"},
    ("POST", "/afield/v1/clients"): {"name": "mine"},
    ("POST", "/afield/v1/policies"): {"name": "mine"},
}
_GRANTS = "/afield/v1/endpoints/{endpoint_id}/grants"
_GROUP = "/afield/v1/groups/{group_id}"
_ACCOUNT = "/afield/v1/accounts/{identity_id}"
_OWN_ACCOUNT = {"o": 403, "l": 403, "*": 404}
_OUTSIDE = {"issuer": "https://idp.example.org", "subject": "ada"}

EXPECTED: dict[tuple[str, str], str | dict[str, Case]] = {
    ("POST", "/v3/endpoints/{endpoint_id}/submit"): submits() | {"a task group": Case("ol", 403, _submit_into_group)},
    ("POST", "/v2/batch_status"): {"a task": Case("ol", 200, _task, _named_task)},
    ("GET", "/v2/tasks/{task_id}"): {"a task": Case("ol", 404, _task)},
    ("GET", "/afield/v1/tasks/{task_id}"): {"a task": Case("ol", 404, _task)},
    ("GET", "/v2/taskgroup/{taskgroup_id}"): {"a task group": Case("ol", 403, _task)},
    ("GET", "/v2/get_amqp_result_connection_url"): {"a task group": Case("ol", 403, _group_queue)},
    ("POST", "/afield/v1/tasks/cancel"): {"a task": Case("ol", 200, _task, _named_task)},
    ("POST", "/afield/v1/taskgroups"): OWN,
    ("GET", "/afield/v1/taskgroups/{taskgroup_id}"): {"a task group": Case("ol", 403, _task)},
    ("PUT", "/afield/v1/taskgroups/{taskgroup_id}"): {"a task group": Case("ol", 403, _group_times)},
    ("GET", "/afield/v1/tasks"): OWN,
    ("POST", "/v3/functions"): OWN,
    ("POST", "/v2/functions"): OWN,
    ("GET", "/afield/v1/functions"): OWN,
    ("GET", "/v2/functions/{function_id}"): on_function(private="ol", group="olt", public=EVERYBODY),
    ("DELETE", "/v2/functions/{function_id}"): on_function(private="ol", group="ol", public="ol"),
    ("GET", "/v2/endpoints"): OWN,
    ("GET", "/v2/endpoints/{endpoint_id}"): on_endpoint("ola", **SEE),
    ("GET", "/v2/endpoints/{endpoint_id}/status"): on_endpoint("ola", **SEE),
    ("GET", "/v3/endpoints/{endpoint_id}/allowed_functions"): on_endpoint("ola", **SEE),
    ("POST", "/v3/endpoints"): OWN,
    ("PUT", "/v3/endpoints/{endpoint_id}"): on_endpoint("ol", {"endpoint_name": "mine"}),
    ("POST", "/v3/endpoints/{endpoint_id}/lock"): on_endpoint("ola", shared="olam", published="olam"),
    ("DELETE", "/afield/v1/endpoints/{endpoint_id}/lock"): on_endpoint("ola", shared="olam", published="olam"),
    ("POST", "/v2/submit"): flat_submits(),
    ("POST", "/v2/endpoints/{endpoint_id}/lock"): on_endpoint("ola", shared="olam", published="olam"),
    ("DELETE", "/v2/endpoints/{endpoint_id}"): on_endpoint("ola", shared="olam", published="olam"),
    ("GET", _GRANTS): on_endpoint("ola", shared="olam", published="olam"),
    ("PUT", _GRANTS): on_endpoint("ol", {"role": "run", "username": "stranger"}, shared="olm", published="olm"),
    ("DELETE", _GRANTS + "/{principal}/{principal_id}"): {"shared": Case("olmr", 403, _granted)},
    ("GET", "/afield/v1/groups"): OWN,
    ("POST", "/afield/v1/groups"): OWN,
    ("GET", _GROUP): on_team("oltp"),
    ("PUT", _GROUP): on_team("olp", body={"name": "other"}),
    ("DELETE", _GROUP): on_team("olp"),
    ("PUT", _GROUP + "/members/{identity_id}"): on_team("olp", body={"role": "manager"}),
    ("DELETE", _GROUP + "/members/{identity_id}"): on_team("oltp"),
    ("POST", _GROUP + "/invitations"): on_team("olp", body={}),
    ("POST", "/afield/v1/invitations"): {"an invitation": Case(EVERYBODY, 404, _code)},
    ("GET", "/afield/v1/invitations/{code}"): OPEN,
    ("DELETE", "/afield/v1/invitations/{code}"): {"an invitation": Case("olp", {"t": 403, "*": 404}, _code)},
    ("GET", "/afield/v1/policies"): OWN,
    ("POST", "/afield/v1/policies"): OWN,
    ("GET", "/afield/v1/policies/{policy_id}"): {"a policy": Case(EVERYBODY, 403, _policy)},
    ("PUT", "/afield/v1/policies/{policy_id}"): {"a policy": Case("olp", 403, _policy)},
    ("DELETE", "/afield/v1/policies/{policy_id}"): {"a policy": Case("olp", 403, _policy)},
    ("GET", "/afield/v1/whoami"): OWN,
    ("GET", "/afield/v1/tokens"): OWN,
    ("POST", "/afield/v1/tokens"): OWN,
    ("DELETE", "/afield/v1/tokens/{token_id}"): {"a token": Case("ol", 404, _token)},
    ("GET", "/afield/v1/clients"): OWN,
    ("POST", "/afield/v1/clients"): OWN,
    ("DELETE", "/afield/v1/clients/{client_id}"): {"a client": Case("olp", 404, _client)},
    ("GET", "/afield/v1/accounts"): {"accounts": Case("p", 403, _account())},
    ("POST", "/afield/v1/accounts"): {"an account": Case("p", 403, _account({"username": "new"}))},
    ("GET", _ACCOUNT): {"an account": Case("olp", 404, _account())},
    ("PUT", _ACCOUNT): {"an account": Case("p", _OWN_ACCOUNT, _account({"disabled": True}))},
    ("POST", _ACCOUNT + "/password"): {"an account": Case("p", _OWN_ACCOUNT, _account({}))},
    ("POST", _ACCOUNT + "/links"): {"an account": Case("p", _OWN_ACCOUNT, _account(_OUTSIDE))},
    ("DELETE", _ACCOUNT + "/links"): {"an account": Case("p", _OWN_ACCOUNT, _account(_OUTSIDE))},
    ("GET", "/v2/oauth2/userinfo"): OWN,
    ("POST", "/v2/oauth2/userinfo"): OWN,
    ("GET", "/v2/api/identities"): {"an identity": Case(EVERYBODY, 403, _identities)},
    ("GET", "/v2/api/identities/{identity_id}/consents"): {"an identity": Case("ol", 403, _identity)},
    ("GET", "/v2/api/projects"): OWN,
    # What comes without a token proves in another way who it is, by a cookie, a code or a client's secret: tests/auth.
    ("POST", "/v2/oauth2/token"): OPEN,
    ("POST", "/v2/oauth2/token/revoke"): OPEN,
    ("POST", "/v2/oauth2/token/introspect"): OPEN,
    ("POST", "/v2/oauth2/device_authorization"): OPEN,
    ("GET", "/.well-known/openid-configuration"): OPEN,
    ("GET", "/.well-known/oauth-authorization-server"): OPEN,
    ("GET", "/jwk.json"): OPEN,
    ("GET", "/v2/oauth2/authorize"): OPEN,
    ("GET", "/v2/web/continue"): OPEN,
    ("GET", "/v2/web/login"): OPEN,
    ("POST", "/v2/web/login"): OPEN,
    ("POST", "/v2/web/consent"): OPEN,
    ("GET", "/v2/web/auth-code"): OPEN,
    ("GET", "/device"): OPEN,
    ("POST", "/device"): OPEN,
    ("POST", "/v2/web/device"): OPEN,
    ("GET", "/v2/web/logout"): OPEN,
    ("POST", "/v2/web/logout"): OPEN,
    ("GET", "/v2/web/invitation"): OPEN,
    ("POST", "/v2/web/invitation"): OPEN,
    ("POST", "/v2/web/group-invitation"): OPEN,
    ("GET", "/v2/web/password"): OPEN,
    ("POST", "/v2/web/password"): OPEN,
    ("GET", "/v2/web/style.css"): OPEN,
    ("GET", "/"): OPEN,
    ("GET", "/login/{provider}"): OPEN,
    ("GET", "/login/{provider}/callback"): OPEN,
    ("GET", "/v2/web/identities"): OPEN,
    ("POST", "/v2/web/identities/link"): OPEN,
    ("POST", "/v2/web/identities/unlink"): OPEN,
    ("GET", "/v2/version"): OPEN,
    ("GET", "/healthz"): OPEN,
    ("GET", "/health"): OPEN,
    ("GET", "/ready"): OPEN,
    # For whom is a setting; where nothing is set, there is no such route: tests/operators.
    ("GET", "/metrics"): {"the numbers": Case("", 404, _nothing)},
    ("GET", "/openapi.json"): OWN,
}


def rows() -> list[Any]:
    found = []
    for route in ROUTES:
        expected = EXPECTED.get((route.method, route.path))
        name = f"{route.method} {route.path}"
        cases = expected.items() if isinstance(expected, dict) else [("", expected)]
        found += [pytest.param(route, case, id=f"{name} {kind}".strip()) for kind, case in cases]
    return found


async def populate(world: World) -> None:
    for letter, caller in PEOPLE.items():
        await world.store.people.put_identity(caller.identity)
        digest = digest_of(f"token-{letter}")
        await world.store.people.put_token(TokenRecord(digest, caller.id, "login", 1.0, kind=TokenKind.ACCESS))


@pytest.fixture
async def door(world: World) -> Door:
    await populate(world)
    return Door(world)


async def in_a_world(letter: str, case: Case, route: Any, limits: Any) -> tuple[int, bool]:
    """Ask in a world of its own; the status, and whether it let through."""
    from afield.service.store.memory import MemoryStore

    world = await World(MemoryStore(), limits).start()
    try:
        await populate(world)
        values = await case.values(world)
        path = route.path.format_map(values) + ("?" + values["query"] if "query" in values else "")
        status, answer = await Door(world).ask(letter, route.method, path, values.get("body"))
        return status, status == 200 and case.through(answer, values)
    finally:
        await world.stop()


@pytest.mark.parametrize(("route", "case"), rows())
async def test_who_is_let_through(route, case, door, limits):
    assert case is not None, f"{route.method} {route.path} has no row in EXPECTED: write who may"
    if case == OPEN:
        assert route.is_open
        return
    if not isinstance(case, Case):
        body = BODIES.get((route.method, route.path))
        for letter in EVERYBODY:
            status, answer = await door.ask(letter, route.method, route.path, body)
            assert status == 200, (letter, answer)
        return
    for letter in EVERYBODY:
        status, through = await in_a_world(letter, case, route, limits)
        assert (letter, through) == (letter, letter in case.may), status
        assert (letter, status) == (letter, case.status(letter))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_nobody_without_a_token_is_let_in(route, door):
    if route.is_open:
        pytest.skip("it is open")
    values = dict.fromkeys(route.parameters, NOWHERE)
    status, answer = await door.ask(None, route.method, route.path.format_map(values), {})
    assert (status, answer["code"]) == (401, "USER_UNAUTHENTICATED")


def test_there_is_a_row_for_every_route_and_none_for_another():
    assert set(EXPECTED) == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize(("route", "case"), [row for row in rows() if isinstance(row.values[1], Case)])
async def test_ids_are_read_and_unknown_ones_are_told(route, case, door):
    """What is no id is refused as such, what is unknown as that."""
    named = [name for name in route.parameters if name not in {"code", "principal", "token_id"}]
    if not named:
        pytest.skip("it has no id in its path")
    values = await case.values(door.world)
    # Whether somebody is known is not told where only one's own may be asked for.
    unknown = 403 if route.path.endswith("/consents") else 404
    for wrong, expected in (("no-id", 400), (NOWHERE, unknown)):
        path = route.path.format_map(values | {named[0]: wrong})
        status, answer = await door.ask("o", route.method, path, values.get("body"))
        assert (status, answer["http_status_code"]) == (expected, expected), answer
        assert wrong in answer["detail"]


async def test_lists_show_what_one_may_see_and_linked_identities_share(door):
    world = door.world
    private, shared = await endpoint(world, "private"), await endpoint(world, "shared")
    public, mapped = await endpoint(world, "public"), await endpoint(world, "mapped")
    seen = {
        letter: [one["uuid"] for one in (await door.ask(letter, "GET", "/v2/endpoints?role=any"))[1]]
        for letter in EVERYBODY
    }
    everything = [private, shared, public, mapped]
    assert [letter for letter in EVERYBODY if seen[letter] == everything] == ["o", "l", "a"]
    assert [letter for letter in EVERYBODY if seen[letter] == everything[1:]] == ["m", "r", "v", "t"]
    assert [letter for letter in EVERYBODY if seen[letter] == everything[2:]] == ["x", "p"]
    mine = [one["uuid"] for one in (await door.ask("l", "GET", "/v2/endpoints"))[1]]
    assert mine == everything
    assert (await door.ask("x", "GET", "/v2/endpoints"))[1] == []


async def test_what_a_linked_identity_made_is_in_ones_lists_page_by_page(door):
    world = door.world
    first = await world.function(ADA)
    second = await world.function(PEOPLE["l"])
    third = await world.function(ADA)
    assert await listed(door, "l", "/afield/v1/functions?limit=2") == ([third, second], second)
    assert await listed(door, "l", f"/afield/v1/functions?limit=2&before={second}") == ([first], None)
    # Who has not said that they are ada does not get what is ada's: the link goes by who is logged in.
    assert await listed(door, "x", "/afield/v1/functions") == ([], None)
    core = await world.core(online=False)
    tasks = [(await world.submit(core, third, caller=who)).tasks[third][0] for who in (ADA, PEOPLE["l"])]
    shown = (await door.ask("l", "GET", "/afield/v1/tasks"))[1]["tasks"]
    assert [one["task_id"] for one in shown] == tasks[::-1]
    assert [one["task_id"] for one in (await door.ask("o", "GET", "/afield/v1/tasks"))[1]["tasks"]] == tasks[:1]


async def listed(door: Door, who: str, path: str) -> tuple[list[str], str | None]:
    answer = (await door.ask(who, "GET", path))[1]
    return [one["function_uuid"] for one in answer["functions"]], answer["next"]


async def test_the_queue_of_a_group_that_a_linked_identity_made_is_told_by_its_owner(door):
    _, group_id = await task(door.world)
    path = f"/v2/get_amqp_result_connection_url?task_group_id={group_id}"
    assert (await door.ask("l", "GET", path))[1]["queue_prefix"] == f"{ADA.id}."
    assert (await door.ask("l", "GET", path.partition("?")[0]))[1]["queue_prefix"] == f"{PEOPLE['l'].id}."


async def test_a_function_id_is_unknown_before_it_is_forbidden(door):
    answer = await door.ask("x", "GET", f"/v2/functions/{new_id()}")
    assert (answer[0], answer[1]["code"]) == (404, "FUNCTION_NOT_FOUND")


def test_the_registration_knows_all_ways_to_share():
    assert {"public", "group", "ha_endpoint_id"} <= set(FunctionRegistration.__struct_fields__)

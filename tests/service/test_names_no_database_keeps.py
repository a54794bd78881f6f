"""Names that databases do not keep, on every route that takes one: refused with a sentence, nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest

from afield.ids import new_id

from .conftest import ADA, World, registration
from .test_access_routes import Door, populate

pytestmark = pytest.mark.anyio

BAD = "a\0b"
KEPT = {"function_name": "f", "function_code": "def f(): 1", "serialized": False}

WISHES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("o", "POST", "/v3/endpoints", {"endpoint_name": BAD}),
    ("o", "POST", "/v3/endpoints", {"endpoint_name": "mine", "display_name": BAD}),
    ("o", "POST", "/v3/functions", KEPT | {"function_name": BAD}),
    ("o", "POST", "/v3/functions", KEPT | {"description": BAD}),
    ("o", "POST", "/afield/v1/groups", {"name": BAD}),
    ("o", "POST", "/afield/v1/groups", {"name": "mine", "description": BAD}),
    ("o", "POST", "/afield/v1/policies", {"name": BAD}),
    ("o", "POST", "/afield/v1/policies", {"name": "mine", "include_domains": [BAD]}),
    ("o", "POST", "/afield/v1/tokens", {"label": BAD}),
    ("o", "POST", "/afield/v1/clients", {"name": BAD}),
    ("p", "POST", "/afield/v1/accounts", {"username": BAD}),
    ("p", "POST", "/afield/v1/accounts", {"username": "new", "name": BAD}),
    ("p", "POST", "/afield/v1/accounts", {"username": "new", "email": BAD}),
]


@pytest.fixture
async def door(world: World) -> Door:
    await populate(world)
    return Door(world)


@pytest.mark.parametrize(("who", "method", "path", "body"), WISHES)
async def test_a_name_with_a_nul_character_is_refused(who, method, path, body, door):
    status, answer = await door.ask(who, method, path, body)
    assert status == answer["http_status_code"] == 422
    assert answer["reason"].endswith((".", "@"))
    people = door.world.store.people
    assert await door.world.store.endpoints() == []
    assert await people.accounts() == []
    assert await people.clients_of(ADA.id) == []


async def test_an_endpoint_that_is_registered_anew_under_such_a_name_stays_as_it_was(door):
    made = await door.world.uses.register_endpoint.new(ADA, registration(display_name="The cluster"))
    path = f"/v3/endpoints/{made.endpoint_id}"
    status, _ = await door.ask("o", "PUT", path, {"endpoint_name": "x", "display_name": BAD})
    assert status == 422
    _, shown = await door.ask("o", "GET", f"/v2/endpoints/{made.endpoint_id}")
    assert shown["display_name"] == "The cluster"


@pytest.mark.parametrize("path", ["/v2/api/identities?usernames=a%00b", "/afield/v1/accounts?username=%00"])
async def test_nobody_is_found_by_such_a_name(path, door):
    status, answer = await door.ask("p", "GET", path)
    assert status == 200
    assert next(iter(answer.values())) == []


async def test_sharing_with_such_a_name_finds_nobody(door):
    made = await door.world.uses.register_endpoint.new(ADA, registration())
    path = f"/afield/v1/endpoints/{made.endpoint_id}/grants"
    for body in ({"role": "run", "username": BAD}, {"role": "run", "identity_id": new_id()}):
        status, _ = await door.ask("o", "PUT", path, body)
        assert status == 404

"""Accounts over HTTP: what an operator gets is a link that works."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from afield.ids import new_id

from .conftest import World
from .test_access_routes import Door, populate

pytestmark = pytest.mark.anyio


@pytest.fixture
async def door(world: World) -> Door:
    await populate(world)
    return Door(world)


async def test_a_new_account_comes_with_a_link_that_leads_to_a_page(door):
    status, made = await door.ask("p", "POST", "/afield/v1/accounts", {"username": "zoé", "name": "Zoé"})
    assert status == 200
    assert made["account"]["has_password"] is False
    link = urlsplit(made["link"])
    assert f"{link.scheme}://{link.netloc}" == "http://localhost"
    status, page = await door.ask(None, "GET", f"{link.path}?{link.query}")
    assert status == 200
    assert "zoé" in page.decode()
    path = f"/afield/v1/accounts/{made['account']['id']}/password"
    status, again = await door.ask("p", "POST", path, {"password": "four words are plenty"})
    assert (status, again["link"], again["account"]["has_password"]) == (200, None, True)
    status, found = await door.ask("p", "GET", "/afield/v1/accounts?username=ZO%C3%89")
    assert (status, [one["id"] for one in found["accounts"]]) == (200, [made["account"]["id"]])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"username": 7}, 400),
        ({"username": ""}, 400),
        ({"username": "x" * 201}, 400),
        ({"username": "ada", "password": "short"}, 422),
        ({"username": "ada", "is_admin": "yes"}, 400),
        ({"username": "a/b"}, 422),
    ],
)
async def test_a_wish_that_is_none_is_refused(body, status, door):
    got, answer = await door.ask("p", "POST", "/afield/v1/accounts", body)
    assert (got, answer["http_status_code"]) == (status, status)
    assert "short" not in str(answer).replace("too short", ""), "what somebody typed as a password is not repeated"
    assert (await door.ask("p", "GET", "/afield/v1/accounts"))[1] == {"accounts": []}


async def test_a_subject_that_is_linked_nowhere_is_told(door):
    _, made = await door.ask("p", "POST", "/afield/v1/accounts", {"username": "ada"})
    outside = {"issuer": "https://idp.example.org", "subject": "7"}
    path = f"/afield/v1/accounts/{made['account']['id']}/links"
    for status, method in ((404, "DELETE"), (200, "POST"), (200, "POST"), (200, "DELETE"), (404, "DELETE")):
        assert (await door.ask("p", method, path, outside))[0] == status
    assert (await door.ask("p", "POST", f"/afield/v1/accounts/{new_id()}/links", outside))[0] == 404
    for wrong in ({"issuer": "", "subject": "7"}, {"issuer": "a" * 801, "subject": "7"}, {"issuer": "https://x"}):
        assert (await door.ask("p", "POST", path, wrong))[0] == 400
    assert (await door.ask("p", "POST", path, outside | {"subject": "a\0"}))[0] == 422

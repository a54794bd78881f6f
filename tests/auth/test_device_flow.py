"""Logging in from a terminal that has no browser (RFC 8628)."""

from __future__ import annotations

import asyncio

import pytest

from afield.service.auth.oauth.clients import DEFAULT_CLIENT
from afield.service.auth.oauth.device import DEVICE_GRANT, normal_user_code
from afield.service.auth.oauth.scopes import COMPUTE

pytestmark = pytest.mark.anyio


async def start(site, **fields):
    said = {"client_id": DEFAULT_CLIENT.id, "scope": f"openid {COMPUTE}"} | fields
    said = {name: value for name, value in said.items() if value is not None}
    return await site.http.post("/v2/oauth2/device_authorization", data=said)


async def poll(site, codes, **fields):
    said = {"grant_type": DEVICE_GRANT, "client_id": DEFAULT_CLIENT.id, "device_code": codes["device_code"]}
    return await site.token(**(said | fields))


async def test_from_the_code_to_tokens(site):
    codes = (await start(site, prefill_named_grant="a notebook")).json()
    assert codes["verification_uri"] == f"{site.url}/device"
    assert (codes["expires_in"], codes["interval"]) == (900, 5)
    assert (await poll(site, codes)).json()["error"] == "authorization_pending"
    person = site.person()
    await person.get("/device")
    await person.submit(user_code=codes["user_code"].lower().replace("-", " "))
    page = await person.log_in()
    assert codes["user_code"] in site.words(page)
    assert "a notebook" in site.words(page)
    assert "Asked from 127.0.0.1" in site.words(page)
    page = await person.submit(decision="allow")
    assert "Connected" in site.words(page)
    site.clock.advance(5)
    document = (await poll(site, codes)).json()
    assert document["scope"].split()[0] == "openid"
    assert document["refresh_token"]
    assert document["id_token"]
    token = document["other_tokens"][0]["access_token"]
    assert (await site.get("/v2/endpoints", token)).status_code == 200
    assert (await poll(site, codes)).json()["error"] == "invalid_grant"  # once


async def test_the_code_in_the_address_is_filled_in_and_still_asked_about(site):
    codes = (await start(site)).json()
    person = site.person()
    page = await person.get(codes["verification_uri_complete"].removeprefix(site.url))
    assert f'value="{codes["user_code"]}"' in page.text
    await person.submit()
    page = await person.log_in()
    assert "Allow this only if you started it yourself" in site.words(page)


async def test_a_person_may_say_no(site):
    codes = (await start(site)).json()
    person = site.person()
    await person.get("/device")
    await person.submit(user_code=codes["user_code"])
    await person.log_in()
    assert "Denied" in site.words(await person.submit(decision="deny"))
    assert (await poll(site, codes)).json()["error"] == "access_denied"


async def test_one_person_answers_once(site):
    await site.account("bob")
    codes = (await start(site)).json()
    people = [site.person(), site.person()]
    for person, name in zip(people, ["ada", "bob"], strict=True):
        await person.get("/device")
        await person.submit(user_code=codes["user_code"])
        await person.log_in(name)
    first, second = [await person.submit(decision="allow") for person in people]
    assert "Connected" in site.words(first)
    assert second.status_code == 400
    token = (await poll(site, codes)).json()["access_token"]
    assert (await site.get("/v2/oauth2/userinfo", token)).json()["username"] == "ada"


async def test_of_many_polls_at_once_one_gets_tokens(site):
    codes = (await start(site)).json()
    person = site.person()
    await person.get("/device")
    await person.submit(user_code=codes["user_code"])
    await person.log_in()
    await person.submit(decision="allow")
    answers = await asyncio.gather(*(poll(site, codes) for _ in range(6)))
    assert sum(answer.status_code == 200 for answer in answers) == 1


async def test_who_polls_too_often_is_slowed_down(site):
    codes = (await start(site)).json()
    assert (await poll(site, codes)).json()["error"] == "authorization_pending"
    assert (await poll(site, codes)).json()["error"] == "slow_down"
    site.clock.advance(6)
    assert (await poll(site, codes)).json()["error"] == "slow_down"  # it is ten seconds now, and fifteen from here
    site.clock.advance(15)
    assert (await poll(site, codes)).json()["error"] == "authorization_pending"


async def test_codes_expire(site):
    codes = (await start(site)).json()
    site.clock.advance(901)
    assert (await poll(site, codes)).json()["error"] == "expired_token"
    person = site.person()
    await person.get("/device")
    page = await person.submit(user_code=codes["user_code"])
    assert page.status_code == 400
    assert "There is no such code" in site.words(page)


async def test_codes_cannot_be_guessed_one_by_one(site):
    person = site.person()
    await person.get("/device")
    for _ in range(30):
        assert (await person.submit(user_code="BCDF-GHJK")).status_code == 400
    page = await person.submit(user_code="BCDF-GHJK")
    assert page.status_code == 429
    codes = (await start(site)).json()
    assert (await person.submit(user_code=codes["user_code"])).status_code == 429
    site.clock.advance(61)
    assert (await person.submit(user_code=codes["user_code"])).status_code == 200


async def test_nobody_fills_the_store_with_codes(site):
    answers = [await start(site) for _ in range(31)]
    assert {answer.status_code for answer in answers[:-1]} == {200}
    assert answers[-1].status_code == 429
    assert answers[-1].headers["retry-after"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"client_id": None}, "invalid_client"),
        ({"client_id": "unknown"}, "invalid_client"),
        ({"scope": None}, "invalid_request"),
        ({"scope": "everything"}, "invalid_scope"),
    ],
)
async def test_a_device_that_asks_for_what_there_is_not(site, wrong, error):
    assert (await start(site, **wrong)).json()["error"] == error


async def test_another_client_gets_nothing_for_the_code(site):
    codes = (await start(site)).json()
    other = await site.client(secret=None)
    assert (await poll(site, codes, client_id=other.id)).json()["error"] == "invalid_grant"
    assert (await poll(site, codes, device_code="unknown")).json()["error"] == "invalid_grant"
    assert (await poll(site, codes, device_code=None)).json()["error"] == "invalid_request"


async def test_a_step_up_works_here_too(site):
    bob = await site.account("bob")
    codes = (await start(site, session_required_identities=bob.id)).json()
    person = site.person()
    await person.get("/device")
    await person.submit(user_code=codes["user_code"])
    page = await person.log_in("ada")
    assert "This needs a login as bob" in site.words(page)


async def test_what_is_typed_means_the_code():
    assert normal_user_code(" bcdf-ghjk ") == "BCDFGHJK"
    assert len(normal_user_code("B" * 1000)) == 9

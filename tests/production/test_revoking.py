"""Two services on one PostgreSQL and one RabbitMQ: what one revokes, the other refuses at once."""

from __future__ import annotations

import asyncio

import pytest

from afield.service.auth.oauth.scopes import COMPUTE
from afield.service.clock import SystemClock
from afield.service.domain.people import TokenKind

pytestmark = [pytest.mark.anyio, pytest.mark.postgres, pytest.mark.rabbitmq]

PATIENCE_S = 30.0
PASSWORD = "four words are plenty"


class Still(SystemClock):
    """Waits as others do, but its time does not pass: what is believed is believed for ever."""

    def __init__(self) -> None:
        self._now = super().now()

    def now(self) -> float:
        return self._now


async def status(site, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    answer = await site.http.get("/v2/endpoints", params={"role": "owner"}, headers=headers)
    return int(answer.status_code)


async def refused(site, token: str) -> None:
    """Return when the news have come."""
    async with asyncio.timeout(PATIENCE_S):
        while await status(site, token) != 401:
            await asyncio.sleep(0)


async def account(site, name: str = "ada") -> tuple[str, str]:
    """Somebody new, with a token."""
    made = await site.post("/afield/v1/accounts", {"username": name, "password": PASSWORD})
    identity_id = made["account"]["id"]
    tokens = site.service._uses.oauth.tokens
    return identity_id, await tokens.issue(identity_id, "laptop", 3600, kind=TokenKind.ACCESS)


async def test_what_one_revokes_the_other_refuses_without_waiting_until_it_believes_it_no_more(site):
    one, two = await site(), await site(clock=Still())
    made = await one.post("/afield/v1/tokens", {"label": "robot"})
    ada, adas = await account(one)
    client = await one.post("/afield/v1/clients", {"name": "robot"})
    client_id = client["client"]["id"]
    fields = {
        "grant_type": "client_credentials",
        "client_id": client["client"]["id"],
        "client_secret": client["secret"],
    }
    given = (await one.http.post("/v2/oauth2/token", data=fields)).json()
    robots = next(each["access_token"] for each in (given, *given["other_tokens"]) if COMPUTE in each["scope"])
    personal = {"grant_type": "client_credentials", "client_id": made["about"]["id"], "client_secret": made["token"]}
    stand_in = (await one.http.post("/v2/oauth2/token", data=personal)).json()["access_token"]
    for token in (made["token"], stand_in, adas, robots):
        assert await status(two, token) == 200
    assert (await one.http.delete(f"/afield/v1/tokens/{made['about']['id']}")).status_code == 200
    await refused(two, made["token"])
    await refused(two, stand_in)
    assert await status(two, adas) == 200
    answer = await one.http.put(f"/afield/v1/accounts/{ada}", json={"disabled": True})
    assert answer.status_code == 200
    await refused(two, adas)
    assert (await one.http.delete(f"/afield/v1/clients/{client_id}")).status_code == 200
    await refused(two, robots)


async def test_who_left_a_group_is_refused_by_the_other_at_once(site):
    one, two = await site(), await site(clock=Still())
    ada, adas = await account(one)
    group = (await one.post("/afield/v1/groups", {"name": "lab"}))["id"]
    member = f"/afield/v1/groups/{group}/members/{ada}"
    headers = {"Authorization": f"Bearer {adas}"}
    assert (await one.http.put(member, json={"role": "member"})).status_code == 200
    registered = await one.register()
    grant = {"group_id": group, "role": "run"}
    shared = await one.http.put(f"/afield/v1/endpoints/{registered.endpoint_id}/grants", json=grant)
    assert shared.status_code == 200, shared.text
    where = f"/v2/endpoints/{registered.endpoint_id}"
    assert (await two.http.get(where, headers=headers)).status_code == 200
    assert (await one.http.delete(member)).status_code == 200
    assert (await two.http.get(where, headers=headers)).status_code == 403

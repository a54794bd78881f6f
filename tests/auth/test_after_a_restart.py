"""What somebody got is still good when the service was stopped and started again."""

from __future__ import annotations

import pytest

from afield.service.auth.oauth.clients import DEFAULT_CLIENT
from afield.service.auth.oauth.device import DEVICE_GRANT
from afield.service.auth.oauth.scopes import COMPUTE

pytestmark = pytest.mark.anyio


async def test_tokens_keys_browsers_and_codes(on_disk):
    async with on_disk() as site:
        person = site.person()
        tokens = await site.tokens()
        code = await person.code()
        cookie = person.http.cookies["afield"]
        said = {"client_id": DEFAULT_CLIENT.id, "scope": COMPUTE}
        device = (await site.http.post("/v2/oauth2/device_authorization", data=said)).json()
        keys = (await site.http.get("/jwk.json")).json()
    async with on_disk() as site:
        assert (await site.get("/v2/endpoints", tokens["compute"])).status_code == 200
        refreshed = await site.token(
            grant_type="refresh_token", client_id=DEFAULT_CLIENT.id, refresh_token=tokens["compute_refresh"]
        )
        assert refreshed.json()["refresh_token"] == tokens["compute_refresh"]
        document = (await site.redeem(code)).json()
        assert document["id_token"]
        assert (await site.http.get("/jwk.json")).json() == keys
        person = site.person()
        person.http.cookies.set("afield", cookie)
        assert "act for you?" in site.words(await person.authorize())
        await person.get("/device")
        await person.submit(user_code=device["user_code"])
        await person.submit(decision="allow")
        polled = await site.token(
            grant_type=DEVICE_GRANT, client_id=DEFAULT_CLIENT.id, device_code=device["device_code"]
        )
        assert polled.json()["scope"] == COMPUTE
        again = await site.redeem(code)
        assert again.json()["error"] == "invalid_grant"
        compute = document["other_tokens"][0]["access_token"]
        assert (await site.get("/v2/endpoints", compute)).status_code == 401

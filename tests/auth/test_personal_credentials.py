"""A personal access token as a client's credentials: whoever shows its id and its text is the person, and no more."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import globus_sdk
import msgspec
import pytest
from globus_sdk.globus_app import ClientApp
from globus_sdk.token_storage import MemoryTokenStorage

from afield.service.auth.oauth.clients import DEFAULT_CLIENT
from afield.service.auth.oauth.scopes import COMPUTE, MANAGE_PROJECTS, OPENID
from afield.service.auth.tokens import digest_of
from afield.service.settings import Limits

pytestmark = pytest.mark.anyio

TOKENS = "/afield/v1/tokens"
PUBLISHED = [COMPUTE, OPENID, MANAGE_PROJECTS]


class Personal:
    """Ada's personal token, and what is asked with it."""

    def __init__(self, site, said) -> None:
        self.site, self.text, self.id = site, said["token"], said["about"]["id"]

    async def ask(self, *, token_id=None, secret=None, grant_type="client_credentials", **form):
        proof = f"{token_id or self.id}:{secret or self.text}"
        headers = {"Authorization": "Basic " + b64encode(proof.encode()).decode()}
        path = f"/v2/oauth2/{form.pop('path', 'token')}"
        return await self.site.http.post(path, data={"grant_type": grant_type, **form}, headers=headers)

    async def access(self, scope=COMPUTE) -> str:
        return (await self.ask(scope=scope)).json()["access_token"]


async def make(site, login=None, **wish) -> Personal:
    login = login or (await site.tokens())["compute"]
    headers = {"Authorization": f"Bearer {login}"}
    answer = await site.http.post(TOKENS, json={"label": "robot", "scopes": PUBLISHED, **wish}, headers=headers)
    assert answer.status_code == 200, answer.text
    return Personal(site, answer.json())


@pytest.fixture
async def ada(site) -> Personal:
    return await make(site)


async def status(site, token, path="/v2/endpoints?role=owner") -> int:
    return (await site.get(path, token)).status_code


class TestWho:
    async def test_the_published_library_is_the_person(self, site, ada, monkeypatch):
        monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{site.url}/")
        monkeypatch.setenv("GLOBUS_SDK_ENVIRONMENT", "local")
        storage = MemoryTokenStorage()
        app = ClientApp(
            "theirs", client_id=ada.id, client_secret=ada.text,
            scope_requirements={"funcx_service": [COMPUTE], "auth.globus.org": [OPENID, MANAGE_PROJECTS]},
            config=globus_sdk.GlobusAppConfig(environment="local", token_storage=storage),
        )  # fmt: skip

        def ask() -> tuple[str, globus_sdk.GlobusHTTPResponse]:
            auth = globus_sdk.AuthClient(authorizer=app.get_authorizer("auth.globus.org"))
            return app.get_authorizer("funcx_service").get_authorization_header(), auth.userinfo()

        header, userinfo = await asyncio.to_thread(ask)
        account = await site.store.people.account("ada")
        assert userinfo["sub"] == account.identity_id
        assert [one["sub"] for one in userinfo["identity_set"]] == [account.identity_id]
        caller = await site.service_tokens.authenticate(header)
        assert caller.id == account.identity_id
        assert caller.is_program
        assert caller.session is None  # no login, so no policy that asks for one is met
        # Its logout takes back what it was given, and not what it was given that for.
        await asyncio.to_thread(app.logout)
        assert await status(site, header.removeprefix("Bearer ")) == 401
        assert await status(site, ada.text) == 200
        app.close()

    async def test_one_resource_server_in_each_answer_and_no_more_tokens_to_come(self, ada):
        document = (await ada.ask(scope=f"{OPENID} {MANAGE_PROJECTS} {OPENID}")).json()
        assert (document["resource_server"], document["scope"]) == ("auth.globus.org", f"{OPENID} {MANAGE_PROJECTS}")
        assert document["other_tokens"] == []
        assert "refresh_token" not in document
        assert "id_token" not in document
        assert (await ada.ask()).json()["scope"] == COMPUTE

    async def test_whoever_asks_with_it_is_told_of_the_personal_token(self, site, ada):
        found = (await site.get("/afield/v1/whoami", await ada.access())).json()
        assert (found["identity"]["username"], found["token"]["id"]) == ("ada", ada.id)
        assert found["token"]["kind"] == "personal"


class TestNoMore:
    async def test_a_scope_that_it_has_not(self, site):
        narrow = await make(site, scopes=[COMPUTE])
        for scope in (OPENID, f"{COMPUTE} {OPENID}", MANAGE_PROJECTS):
            answer = await narrow.ask(scope=scope)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
            assert "was not made for the scope" in answer.json()["error_description"]
        reader = await make(site, scopes=[OPENID])
        assert (await reader.ask(scope=COMPUTE)).json()["error"] == "invalid_scope"
        assert (await reader.ask()).json()["error"] == "invalid_scope"
        assert await status(site, await reader.access(OPENID)) == 403

    async def test_it_may_make_no_others(self, site, ada):
        for token in (await ada.access(), await ada.access(OPENID)):
            headers = {"Authorization": f"Bearer {token}"}
            answer = await site.http.post(TOKENS, json={"label": "another"}, headers=headers)
            assert answer.status_code == 403

    async def test_nor_is_it_a_credential_itself(self, ada):
        token = await ada.access()
        for token_id in (ada.id, DEFAULT_CLIENT.id):
            answer = await ada.ask(token_id=token_id, secret=token)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    async def test_a_login_makes_one_for_all_that_it_was_granted_and_nothing_else(self, site):
        login = (await site.tokens())["compute"]
        await make(site, login)
        headers = {"Authorization": f"Bearer {login}"}
        answer = await site.http.post(TOKENS, json={"label": "x", "scopes": ["email"]}, headers=headers)
        assert answer.status_code == 403
        alone = (await site.redeem(await site.person().code(scope=COMPUTE))).json()["access_token"]
        headers = {"Authorization": f"Bearer {alone}"}
        answer = await site.http.post(TOKENS, json={"label": "x", "scopes": [OPENID]}, headers=headers)
        assert answer.status_code == 403

    async def test_it_neither_counts_nor_shows(self, site, ada):
        for _ in range(Limits().tokens_per_person):
            await ada.access()
        login = (await site.tokens())["compute"]
        await make(site, login)
        found = (await site.get(TOKENS, login)).json()["tokens"]
        assert [one["kind"] for one in found].count("personal") == 2


class TestNoLonger:
    async def test_revoking_the_personal_token_ends_what_stands_for_it_at_once(self, site, ada):
        other = await make(site)
        mine, others = await ada.access(), await other.access()
        assert await status(site, mine) == 200
        login = (await site.tokens())["compute"]
        answer = await site.http.delete(f"{TOKENS}/{ada.id}", headers={"Authorization": f"Bearer {login}"})
        assert answer.status_code == 200
        assert await status(site, mine) == 401
        assert await status(site, others) == 200
        assert (await ada.ask()).json()["error"] == "invalid_client"

    async def test_taking_it_back_as_any_token_does_so_too(self, site, ada):
        mine = await ada.access()
        assert await status(site, mine) == 200
        await site.http.post("/v2/oauth2/token/revoke", data={"token": ada.text})
        assert await status(site, mine) == 401

    async def test_nor_does_one_let_in_that_is_given_at_the_moment_of_revoking(self, site, ada):
        """Whoever has read the personal token and not yet written what stands for it."""
        record = await site.service_tokens.known(digest_of(ada.text))
        await site.service_tokens.revoke(ada.text)
        late, _ = await site.service_tokens.stand_in(record, (COMPUTE,), 3600)
        assert await status(site, late) == 401

    async def test_it_ends_when_the_personal_token_does(self, site):
        short = await make(site, lifetime_s=600)
        document = (await short.ask(scope=COMPUTE)).json()
        assert document["expires_in"] in {599, 600}
        assert await status(site, document["access_token"]) == 200
        site.clock.advance(600)
        assert await status(site, document["access_token"]) == 401
        assert (await short.ask(scope=COMPUTE)).json()["error"] == "invalid_client"

    async def test_it_lasts_no_longer_than_other_access_tokens(self, site):
        endless = await make(site, lifetime_s=None)
        assert (await endless.ask()).json()["expires_in"] == int(site.oauth.times.access_s)

    async def test_what_was_let_in_by_it_ends_with_the_personal_token(self, site, ada):
        ended = []

        async def note(proofs):
            ended.append(set(proofs))

        site.service_tokens.ended = note
        caller = await site.service_tokens.authenticate(f"Bearer {await ada.access()}")
        await site.service_tokens.revoke(ada.text)
        assert ended == [{caller.proof}]


class TestWrongOnes:
    async def test_all_are_answered_as_a_client_that_is_not_known(self, site, ada):
        other = await make(site)
        unknown = (await ada.ask(token_id="0" * 16, secret="x")).json()
        client = (await ada.ask(token_id="11111111-1111-4111-8111-111111111111", secret="x")).json()
        wrong = (await ada.ask(secret="x")).json()
        crossed = (await ada.ask(secret=other.text)).json()
        login = (await ada.ask(secret=(await site.tokens())["compute"])).json()
        assert unknown == client == wrong == crossed == login
        assert unknown["error"] == "invalid_client"

    async def test_an_account_that_is_disabled(self, site, ada):
        mine = await ada.access()
        account = await site.store.people.account("ada")
        await site.store.people.put_account(msgspec.structs.replace(account, disabled_at=1.0))
        await site.service_tokens.doubt()
        assert (await ada.ask()).json()["error"] == "invalid_client"
        assert await status(site, mine) == 401

    async def test_only_for_this_kind_of_grant(self, ada):
        for kind in ("refresh_token", "authorization_code"):
            assert (await ada.ask(grant_type=kind, refresh_token=ada.text)).json()["error"] == "invalid_client"

    async def test_it_takes_back_only_what_is_its_own(self, site, ada):
        other = await make(site)
        mine, others = await ada.access(), await other.access()
        for token in (mine, others):
            assert (await ada.ask(path="token/revoke", token=token)).status_code == 200
        assert (await status(site, mine), await status(site, others)) == (401, 200)

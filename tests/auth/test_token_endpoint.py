"""Tokens for credentials and for refresh tokens, taking them back, and what is asked of them (RFC 6749, 7009, 7662)."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import msgspec
import pytest

from afield.ids import new_id
from afield.service.auth.oauth.clients import DEFAULT_CLIENT
from afield.service.auth.oauth.scopes import COMPUTE, MANAGE_PROJECTS
from afield.service.domain.people import TokenKind

pytestmark = pytest.mark.anyio


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()}


class TestClientCredentials:
    async def test_a_program_acts_as_itself(self, site):
        client = await site.client()
        answer = await site.http.post(
            "/v2/oauth2/token",
            data={"grant_type": "client_credentials", "scope": f"{COMPUTE} {COMPUTE}"},
            headers=basic(client.id, site.secret),
        )
        document = answer.json()
        assert answer.headers["cache-control"] == "no-store"
        assert (document["resource_server"], document["scope"]) == ("funcx_service", COMPUTE)
        assert document["other_tokens"] == []
        assert "refresh_token" not in document
        assert "id_token" not in document
        caller = await site.service_tokens.authenticate(f"Bearer {document['access_token']}")
        assert caller.id == client.id
        assert caller.identity.username == f"{client.id}@clients.auth.globus.org"
        assert caller.session is None
        assert not caller.is_admin

    async def test_one_document_for_each_resource_server(self, site):
        client = await site.client()
        said = {"grant_type": "client_credentials", "client_id": client.id, "client_secret": site.secret}
        document = (await site.token(**said, scope=f"{COMPUTE} openid")).json()
        assert document["resource_server"] == "auth.globus.org"
        assert [one["resource_server"] for one in document["other_tokens"]] == ["funcx_service"]
        assert (await site.token(**said)).json()["scope"] == COMPUTE

    async def test_of_a_program_without_a_secret_there_are_none(self, site):
        answer = await site.token(grant_type="client_credentials", client_id=DEFAULT_CLIENT.id, scope=COMPUTE)
        assert answer.status_code == 400
        assert answer.json()["error"] == "unauthorized_client"

    @pytest.mark.parametrize("secret", ["wrong", "", "\N{SNOWMAN}"])
    async def test_a_wrong_secret(self, site, secret):
        client = await site.client()
        answer = await site.http.post(
            "/v2/oauth2/token", data={"grant_type": "client_credentials"}, headers=basic(client.id, secret)
        )
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
        assert answer.headers["www-authenticate"].startswith("Basic")

    async def test_two_proofs_that_differ(self, site):
        client, other = await site.client(), await site.client()
        answer = await site.http.post(
            "/v2/oauth2/token",
            data={"grant_type": "client_credentials", "client_id": other.id},
            headers=basic(client.id, site.secret),
        )
        assert answer.json()["error"] == "invalid_request"

    @pytest.mark.parametrize(
        "said", ["Basic", "Basic !!!", "Basic /w==", "Basic ADp4", "Basic JTAwOng=", "Digest x", "Bearer x"]
    )
    async def test_a_header_that_is_no_proof(self, site, said):
        answer = await site.http.post(
            "/v2/oauth2/token", data={"grant_type": "client_credentials"}, headers={"Authorization": said}
        )
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"

    async def test_a_client_that_is_disabled_or_gone_is_out_at_once(self, site):
        client = await site.client()
        said = {"grant_type": "client_credentials", "client_id": client.id, "client_secret": site.secret}
        token = (await site.token(**said)).json()["access_token"]
        assert (await site.get("/v2/endpoints", token)).status_code == 200
        await site.store.people.put_client(msgspec.structs.replace(client, disabled_at=1.0))
        site.clock.advance(6)
        assert (await site.get("/v2/endpoints", token)).status_code == 401
        assert (await site.token(**said)).status_code == 401
        await site.store.people.delete_client(client.id)
        assert (await site.token(**said)).status_code == 401


class TestRefreshing:
    async def test_gives_a_new_token_for_the_same_and_says_the_old_one_again(self, site):
        tokens = await site.tokens()
        answer = await refresh(site, tokens["compute_refresh"])
        document = answer.json()
        assert document["refresh_token"] == tokens["compute_refresh"]
        assert (document["resource_server"], document["scope"]) == ("funcx_service", COMPUTE)
        assert document["other_tokens"] == []
        assert document["access_token"] != tokens["compute"]
        for token in (document["access_token"], tokens["compute"]):
            assert (await site.get("/v2/endpoints", token)).status_code == 200
        openid = (await refresh(site, tokens["openid_refresh"])).json()
        assert openid["scope"].split() == ["openid", MANAGE_PROJECTS]

    async def test_works_after_the_access_token_expired(self, site):
        tokens = await site.tokens()
        site.clock.advance(172_801)
        assert (await site.get("/v2/endpoints", tokens["compute"])).status_code == 401
        token = (await refresh(site, tokens["compute_refresh"])).json()["access_token"]
        assert (await site.get("/v2/endpoints", token)).status_code == 200

    async def test_works_as_long_as_it_is_used(self, site):
        token = (await site.tokens())["compute_refresh"]
        for _ in range(3):
            site.clock.advance(170 * 86_400)
            assert (await refresh(site, token)).status_code == 200
        site.clock.advance(181 * 86_400)
        assert (await refresh(site, token)).json()["error"] == "invalid_grant"

    async def test_may_ask_for_less_never_for_more(self, site):
        token = (await site.tokens())["openid_refresh"]
        assert (await refresh(site, token, scope="openid")).json()["scope"] == "openid"
        assert (await refresh(site, token, scope=f"openid {COMPUTE}")).json()["error"] == "invalid_scope"
        assert (await refresh(site, token, scope="nonsense")).json()["error"] == "invalid_scope"

    async def test_is_for_the_client_that_it_was_given_to(self, site):
        token = (await site.tokens())["compute_refresh"]
        other = await site.client(secret=None)
        assert (await refresh(site, token, client_id=other.id)).json()["error"] == "invalid_grant"

    async def test_is_not_done_with_an_access_token(self, site):
        token = (await site.tokens())["compute"]
        assert (await refresh(site, token)).json()["error"] == "invalid_grant"

    async def test_a_refresh_token_lets_nobody_in(self, site):
        token = (await site.tokens())["compute_refresh"]
        assert (await site.get("/v2/endpoints", token)).status_code == 401

    async def test_of_who_was_disabled_brings_nothing(self, site):
        token = (await site.tokens())["compute_refresh"]
        account = await site.store.people.account("ada")
        await site.store.people.put_account(msgspec.structs.replace(account, disabled_at=1.0))
        assert (await refresh(site, token)).json()["error"] == "invalid_grant"

    async def test_many_at_once_all_get_one(self, site):
        token = (await site.tokens())["compute_refresh"]
        answers = await asyncio.gather(*(refresh(site, token) for _ in range(10)))
        assert {answer.json()["refresh_token"] for answer in answers} == {token}


async def refresh(site, token, **fields):
    said = {"grant_type": "refresh_token", "client_id": DEFAULT_CLIENT.id, "refresh_token": token}
    return await site.token(**(said | fields))


class TestRevoking:
    async def test_an_access_token_ends_alone_and_at_once(self, site):
        tokens = await site.tokens()
        assert (await site.get("/v2/endpoints", tokens["compute"])).status_code == 200
        answer = await revoke(site, tokens["compute"])
        assert (answer.status_code, answer.json()) == (200, {"active": False})
        assert (await site.get("/v2/endpoints", tokens["compute"])).status_code == 401
        assert (await refresh(site, tokens["compute_refresh"])).status_code == 200

    async def test_a_refresh_token_ends_with_all_of_its_login(self, site):
        tokens, other = await site.tokens(), await site.tokens()
        assert (await site.get("/v2/endpoints", tokens["compute"])).status_code == 200
        await revoke(site, tokens["compute_refresh"])
        assert (await site.get("/v2/endpoints", tokens["compute"])).status_code == 401
        assert (await site.get("/v2/oauth2/userinfo", tokens["openid"])).status_code == 401
        assert (await site.get("/v2/endpoints", other["compute"])).status_code == 200

    async def test_says_the_same_of_one_that_there_is_not(self, site):
        assert (await revoke(site, "nothing")).json() == {"active": False}

    async def test_another_clients_token_stays(self, site):
        tokens = await site.tokens()
        client = await site.client()
        answer = await site.http.post(
            "/v2/oauth2/token/revoke", data={"token": tokens["compute"]}, headers=basic(client.id, site.secret)
        )
        assert answer.status_code == 200
        assert (await site.get("/v2/endpoints", tokens["compute"])).status_code == 200

    async def test_a_client_that_is_none_is_told_so(self, site):
        answer = await revoke(site, "x", client_id=new_id())
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def revoke(site, token, client_id=DEFAULT_CLIENT.id):
    return await site.http.post("/v2/oauth2/token/revoke", data={"token": token, "client_id": client_id})


class TestIntrospection:
    async def test_tells_a_program_what_a_token_is_good_for(self, site):
        tokens = await site.tokens()
        said = (await introspect(site, tokens["compute"], include="identity_set,session_info")).json()
        assert said["active"] is True
        assert said["scope"] == COMPUTE
        assert said["client_id"] == DEFAULT_CLIENT.id
        assert said["username"] == "ada"
        assert said["identity_set"] == [said["sub"]]
        assert said["session_info"]["authentications"][said["sub"]]["auth_time"] > 0
        assert said["exp"] - said["iat"] == 172_800
        assert "funcx_service" in said["aud"]

    @pytest.mark.parametrize("token", ["nothing", "compute_refresh", "revoked", "expired"])
    async def test_of_others_it_says_that_they_are_not_active_and_no_more(self, site, token):
        tokens = await site.tokens()
        if token == "revoked":
            await revoke(site, tokens["compute"])
        if token == "expired":
            site.clock.advance(172_801)
        said = tokens.get(token, token if token == "nothing" else tokens["compute"])
        assert (await introspect(site, said)).json() == {"active": False}

    async def test_is_for_programs_with_a_secret(self, site):
        token = (await site.tokens())["compute"]
        answer = await site.http.post("/v2/oauth2/token/introspect", data={"token": token})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        said = {"token": token, "client_id": DEFAULT_CLIENT.id}
        answer = await site.http.post("/v2/oauth2/token/introspect", data=said)
        assert answer.json()["error"] == "unauthorized_client"


async def introspect(site, token, **fields):
    client = await site.client()
    said = {"token": token} | fields
    return await site.http.post("/v2/oauth2/token/introspect", data=said, headers=basic(client.id, site.secret))


class TestBadRequests:
    """Each is told in the shape of RFC 6749, section 5.2."""

    @pytest.mark.parametrize("path", ["/token", "/token/revoke", "/token/introspect", "/device_authorization"])
    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            ({"json": {"grant_type": "password"}}, 400),
            ({"content": b"grant_type=x"}, 400),
            ({"content": b"\xff\xfe", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
            ({"content": b"a=%ff", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
            ({"content": b"a=%00", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
            ({"content": b"a=1&a=2", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
            ({"data": {str(number): "x" for number in range(500)}}, 400),
            ({"data": {"grant_type": "x" * 200_000}}, 413),
            ({}, 400),
        ],
    )
    async def test_what_is_no_form(self, site, path, request_, status):
        answer = await site.http.post(f"/v2/oauth2{path}", **request_)
        assert answer.status_code == status
        assert answer.json()["error"] == "invalid_request"
        assert set(answer.json()) == {"error", "error_description"}
        assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize(
        "grant", ["password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "\N{SNOWMAN}"]
    )
    async def test_a_grant_that_there_is_not(self, site, grant):
        answer = await site.token(grant_type=grant, client_id=DEFAULT_CLIENT.id)
        assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")

    @pytest.mark.parametrize(
        ("grant", "absent"), [("authorization_code", "code"), ("refresh_token", "refresh_token"), (None, "grant_type")]
    )
    async def test_what_is_absent_is_named(self, site, grant, absent):
        answer = await site.token(grant_type=grant, client_id=DEFAULT_CLIENT.id)
        assert answer.json()["error"] == "invalid_request"
        assert absent in answer.json()["error_description"]

    @pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/v2/web/login", "/device"])
    async def test_a_host_that_is_none(self, site, path):
        answer = await site.http.get(path, headers={"Host": "evil/<script>"})
        assert answer.status_code < 500
        assert "evil" not in answer.text

    async def test_a_host_that_is_none_on_a_route_with_a_token(self, site):
        headers = {"Host": "evil/<script>", "Authorization": f"Bearer {site.running.token}"}
        answer = await site.http.post("/afield/v1/accounts", json={"username": "x"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "REQUEST_MALFORMED")

    async def test_other_methods_are_refused(self, site):
        answer = await site.get("/v2/oauth2/token", site.running.token)
        assert answer.status_code == 405


class TestWhatATokenIsGoodFor:
    async def test_one_for_identities_reaches_no_tasks(self, site):
        tokens = await site.tokens()
        answer = await site.get("/v2/endpoints", tokens["openid"])
        assert answer.status_code == 403
        assert answer.json()["code"] == "ConsentRequired"
        assert answer.json()["authorization_parameters"] == {"required_scopes": [COMPUTE]}
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]

    async def test_one_for_tasks_reaches_no_identities(self, site):
        tokens = await site.tokens()
        assert (await site.get("/v2/oauth2/userinfo", tokens["compute"])).status_code == 403

    @pytest.mark.parametrize("said", ["", "Bearer", "Bearer garbage", "Basic x", "Bearer \t x"])
    async def test_what_is_no_token(self, site, said):
        for path in ("/v2/oauth2/userinfo", "/v2/endpoints", "/v2/api/identities", "/v2/api/projects"):
            answer = await site.http.get(path, headers={"Authorization": said})
            assert answer.status_code == 401
            assert answer.json()["code"] == "USER_UNAUTHENTICATED"
            assert answer.headers["www-authenticate"] == "Bearer"

    async def test_the_owners_token_of_the_start_is_good_for_all(self, site):
        assert (await site.get("/v2/endpoints", site.running.token)).status_code == 200
        said = (await site.get("/v2/oauth2/userinfo", site.running.token)).json()
        assert said["sub"] == site.running.owner.id
        caller = await site.service_tokens.authenticate(f"Bearer {site.running.token}")
        assert caller.is_admin

    async def test_an_operators_token_says_so_and_others_do_not(self, site):
        boss = await site.account("boss", is_admin=True)
        ada = await site.store.people.account("ada")
        for identity_id, is_admin in ((boss.id, True), (ada.identity_id, False)):
            token = await site.service_tokens.issue(identity_id, "t", kind=TokenKind.PERSONAL, scopes=(COMPUTE,))
            caller = await site.service_tokens.authenticate(f"Bearer {token}")
            assert caller.is_admin is is_admin
            assert caller.scopes == {COMPUTE}

    async def test_groups_and_linked_identities_come_along(self, site):
        from afield.service.domain.people import MemberRecord, MemberRole, TeamRecord

        one, two = await site.account("one", person_id="p"), await site.account("two", person_id="p")
        await site.store.people.put_team(TeamRecord("t", "Team", 1.0))
        await site.store.people.put_member(MemberRecord("t", two.id, MemberRole.MEMBER, 1.0))
        token = await site.service_tokens.issue(one.id, "t", kind=TokenKind.PERSONAL)
        caller = await site.service_tokens.authenticate(f"Bearer {token}")
        assert [other.id for other in caller.linked] == [two.id]
        assert caller.teams == {"t"}

    async def test_what_changes_is_known_within_seconds(self, site):
        ada = await site.store.people.account("ada")
        token = await site.service_tokens.issue(ada.identity_id, "t", kind=TokenKind.PERSONAL)
        assert (await site.get("/v2/endpoints", token)).status_code == 200
        await site.store.people.put_account(msgspec.structs.replace(ada, disabled_at=1.0))
        site.clock.advance(5)
        assert (await site.get("/v2/endpoints", token)).status_code == 401

    async def test_who_revokes_while_it_is_looked_up_is_heeded(self, site):
        """A look that began before the revocation is not believed after it."""
        ada = await site.store.people.account("ada")
        token = await site.service_tokens.issue(ada.identity_id, "t", kind=TokenKind.PERSONAL)
        people, asked, go_on = site.store.people, asyncio.Event(), asyncio.Event()
        memberships = people.memberships

        async def slow(identity_ids):
            asked.set()
            await go_on.wait()
            return await memberships(identity_ids)

        people.memberships = slow
        looking = asyncio.ensure_future(site.service_tokens.authenticate(f"Bearer {token}"))
        await asked.wait()
        people.memberships = memberships
        await site.service_tokens.revoke(token)
        go_on.set()
        await looking
        assert await site.service_tokens.authenticate(f"Bearer {token}") is None


class TestIdentities:
    async def test_by_ids_and_by_usernames(self, site):
        tokens = await site.tokens()
        bob = await site.account("bob")
        found = (await site.get(f"/v2/api/identities?ids={bob.id},{new_id()}", tokens["openid"])).json()["identities"]
        assert [(one["username"], one["name"], one["email"]) for one in found] == [("bob", "Bob", None)]
        found = (await site.get("/v2/api/identities?usernames=ADA,nobody", tokens["openid"])).json()["identities"]
        assert [(one["username"], one["email"]) for one in found] == [("ada", "ada@example.org")]
        said = (await site.get("/v2/api/identities?usernames=ada&include=identity_provider", tokens["compute"])).json()
        assert said["included"]["identity_providers"] == [{"id": "local", "name": "This service"}]

    @pytest.mark.parametrize("query", ["", "?ids=x", "?ids=a&usernames=b", "?usernames=" + "a," * 300])
    async def test_what_cannot_be_looked_up(self, site, query):
        answer = await site.get(f"/v2/api/identities{query}", site.running.token)
        assert answer.status_code == 400
        assert answer.json()["code"] in {"REQUEST_MALFORMED", "INVALID_UUID"}

    async def test_ones_own_consents(self, site):
        tokens = await site.tokens()
        ada = await site.store.people.account("ada")
        found = (await site.get(f"/v2/api/identities/{ada.identity_id}/consents", tokens["openid"])).json()["consents"]
        assert {one["scope_name"] for one in found} == {"openid", COMPUTE, MANAGE_PROJECTS}
        assert {one["client"] for one in found} == {DEFAULT_CLIENT.id}
        assert (await site.get(f"/v2/api/identities/{new_id()}/consents", tokens["openid"])).status_code == 403
        assert (await site.get("/v2/api/identities/x/consents", tokens["openid"])).status_code == 400

    async def test_projects_are_none(self, site):
        tokens = await site.tokens()
        assert (await site.get("/v2/api/projects", tokens["openid"])).json() == {"projects": []}

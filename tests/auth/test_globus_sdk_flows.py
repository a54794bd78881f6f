"""The published client library, unmodified, against a service that is up: each flow that it has."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import globus_sdk
import pytest
from globus_sdk.globus_app import ClientApp, UserApp
from globus_sdk.login_flows import CommandLineLoginFlowManager
from globus_sdk.token_storage import MemoryTokenStorage
from globus_sdk.token_storage.validating_token_storage.errors import IdentityMismatchError

from afield.service.auth.oauth.clients import DEFAULT_CLIENT
from afield.service.auth.oauth.scopes import COMPUTE, MANAGE_PROJECTS

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _its_address(site, monkeypatch):
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{site.url}/")
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_COMPUTE", f"{site.url}/")
    monkeypatch.setenv("GLOBUS_SDK_ENVIRONMENT", "local")


async def consented(site, url: str, username: str = "ada") -> str:
    """Follow a link as a person does; the code on the page, or in the address."""
    person = site.person()
    page = await person.get(url.removeprefix(site.url))
    if page.url.path == "/v2/web/login":
        page = await person.log_in(username)
    page = await person.submit(decision="allow")
    where = page.headers["location"] if page.status_code == 303 else str(page.url)
    return parse_qs(urlsplit(where).query)["code"][0]


async def test_a_native_program_with_a_code_to_paste(site):
    client = globus_sdk.NativeAppAuthClient(DEFAULT_CLIENT.id)
    client.oauth2_start_flow(["openid", COMPUTE], refresh_tokens=True)
    code = await consented(site, client.oauth2_get_authorize_url(prompt="login"))
    answer = await asyncio.to_thread(client.oauth2_exchange_code_for_tokens, code)
    by_server = answer.by_resource_server
    assert set(by_server) == {"auth.globus.org", "funcx_service"}
    assert COMPUTE in by_server["funcx_service"]["scope"].split()
    claims = await asyncio.to_thread(answer.decode_id_token)
    ada = await site.store.people.account("ada")
    assert claims["sub"] == ada.identity_id
    assert claims["aud"] == DEFAULT_CLIENT.id
    assert claims["iss"] == site.url
    token = by_server["funcx_service"]["refresh_token"]
    refreshed = await asyncio.to_thread(client.oauth2_refresh_token, token)
    assert refreshed.by_resource_server["funcx_service"]["refresh_token"] == token
    await asyncio.to_thread(client.oauth2_revoke_token, token)
    with pytest.raises(globus_sdk.AuthAPIError) as refused:
        await asyncio.to_thread(client.oauth2_refresh_token, token)
    assert refused.value.http_status == 400


async def test_a_web_program_with_a_secret(site):
    kept = await site.client("https://app.example.org/back")
    client = globus_sdk.ConfidentialAppAuthClient(kept.id, site.secret)
    client.oauth2_start_flow("https://app.example.org/back", ["openid", COMPUTE], state="mine", refresh_tokens=True)
    code = await consented(site, client.oauth2_get_authorize_url())
    answer = await asyncio.to_thread(client.oauth2_exchange_code_for_tokens, code)
    token = answer.by_resource_server["funcx_service"]["access_token"]
    said = await asyncio.to_thread(client.oauth2_token_introspect, token, include="identity_set")
    assert said["active"]
    assert said["identity_set"] == [said["sub"]]
    refreshed = await asyncio.to_thread(
        client.oauth2_refresh_token, answer.by_resource_server["auth.globus.org"]["refresh_token"]
    )
    assert refreshed["resource_server"] == "auth.globus.org"
    await asyncio.to_thread(client.oauth2_revoke_token, token)
    assert not (await asyncio.to_thread(client.oauth2_token_introspect, token))["active"]


async def test_a_program_that_acts_for_itself(site):
    kept = await site.client()
    app = ClientApp(
        "a program", client_id=kept.id, client_secret=site.secret, scope_requirements={"funcx_service": [COMPUTE]},
        config=globus_sdk.GlobusAppConfig(environment="local", token_storage=MemoryTokenStorage()),
    )  # fmt: skip
    auth = globus_sdk.AuthClient(app=app)

    def ask() -> tuple[Any, Any]:
        header = app.get_authorizer("funcx_service").get_authorization_header()
        return header, auth.userinfo()

    header, userinfo = await asyncio.to_thread(ask)
    assert userinfo["sub"] == kept.id
    assert [one["sub"] for one in userinfo["identity_set"]] == [kept.id]
    caller = await site.service_tokens.authenticate(header)
    assert caller.id == kept.id
    app.close()


class Pasting(CommandLineLoginFlowManager):
    """A person who follows the link in a browser and pastes the code."""

    site: Any = None
    loop: Any = None
    asked: list[str]
    username = "ada"

    def print_authorize_url(self, authorize_url: str) -> None:
        self.asked.append(authorize_url)

    def prompt_for_code(self) -> str:
        coming = consented(self.site, self.asked[-1], self.username)
        return asyncio.run_coroutine_threadsafe(coming, self.loop).result()


def user_app(site, storage) -> tuple[UserApp, Pasting]:
    flow = Pasting(globus_sdk.NativeAppAuthClient(DEFAULT_CLIENT.id), request_refresh_tokens=True)
    flow.site, flow.loop, flow.asked = site, asyncio.get_running_loop(), []
    app = UserApp(
        "an app", client_id=DEFAULT_CLIENT.id, scope_requirements={"funcx_service": [COMPUTE]},
        config=globus_sdk.GlobusAppConfig(
            environment="local", request_refresh_tokens=True, login_flow_manager=flow, token_storage=storage
        ),
    )  # fmt: skip
    return app, flow


class TestAnAppForPeople:
    async def test_logs_in_once_for_all_that_published_programs_need(self, site):
        app, flow = user_app(site, MemoryTokenStorage())
        await asyncio.to_thread(app.login)
        header = app.get_authorizer("funcx_service").get_authorization_header()
        assert (await site.get("/v2/endpoints", header.removeprefix("Bearer "))).status_code == 200
        # The endpoint and whoami ask for this; without the grant up front, that would be a second login.
        auth = globus_sdk.AuthClient(
            app=app, app_scopes=[globus_sdk.Scope("openid"), globus_sdk.Scope(MANAGE_PROJECTS)]
        )
        said = await asyncio.to_thread(auth.userinfo)
        found = await asyncio.to_thread(auth.get_identities, ids=said["sub"])
        assert found["identities"][0]["username"] == "ada"
        assert found["identities"][0]["email"] == "ada@example.org"
        projects = await asyncio.to_thread(auth.get_projects)
        assert projects["projects"] == []
        consents = await asyncio.to_thread(auth.get_consents, said["sub"])
        assert consents.to_forest()
        assert len(flow.asked) == 1
        app.close()

    async def test_renews_by_itself_after_an_expiry_and_again_in_the_next_process(self, site):
        storage = MemoryTokenStorage()
        app, flow = user_app(site, storage)
        await asyncio.to_thread(app.login)
        for _ in range(2):
            site.clock.advance(172_801)
            app, _ = user_app(site, storage)  # what is stored is all that the next process has
            auth = globus_sdk.AuthClient(app=app, app_scopes=[globus_sdk.Scope("openid")])
            assert (await asyncio.to_thread(auth.userinfo))["preferred_username"] == "ada"
        assert len(flow.asked) == 1
        app.close()

    async def test_logs_out_and_its_tokens_are_no_good_any_more(self, site):
        storage = MemoryTokenStorage()
        app, _ = user_app(site, storage)
        await asyncio.to_thread(app.login)
        token = app.get_authorizer("funcx_service").get_authorization_header().removeprefix("Bearer ")
        await asyncio.to_thread(app.logout)
        assert (await site.get("/v2/endpoints", token)).status_code == 401

    async def test_steps_up_as_a_refusal_asks(self, site):
        from globus_sdk.gare import GlobusAuthorizationParameters

        app, flow = user_app(site, MemoryTokenStorage())
        await asyncio.to_thread(app.login)
        ada = await site.store.people.account("ada")
        asked = GlobusAuthorizationParameters(
            prompt="login", session_message="Show who you are", session_required_identities=[ada.identity_id],
            session_required_single_domain=[], session_required_mfa=None,
        )  # fmt: skip
        await asyncio.to_thread(app.login, auth_params=asked)
        assert f"session_required_identities={ada.identity_id}" in flow.asked[-1]
        app.close()

    async def test_refuses_another_person_in_the_same_storage(self, site):
        await site.account("bob")
        storage = MemoryTokenStorage()
        app, flow = user_app(site, storage)
        await asyncio.to_thread(app.login)
        flow.username = "bob"
        with pytest.raises(IdentityMismatchError):
            await asyncio.to_thread(app.login, force=True)
        app.close()


async def test_a_program_that_waits_on_its_own_machine_for_the_browser(site):
    """RFC 8252: any port, and state comes back."""
    from globus_sdk.login_flows import LocalServerLoginFlowManager

    client = globus_sdk.NativeAppAuthClient(DEFAULT_CLIENT.id)
    flow = LocalServerLoginFlowManager(client, request_refresh_tokens=True)
    opened: list[str] = []
    is_open = threading.Event()

    def run() -> Any:
        with flow.background_local_server() as server:
            host, port = server.socket.getsockname()
            redirect_uri = f"http://{host}:{port}"
            client.oauth2_start_flow(["openid", COMPUTE], redirect_uri=redirect_uri, refresh_tokens=True)
            opened.append(client.oauth2_get_authorize_url())
            is_open.set()
            code = server.wait_for_code()
        server.server_close()
        return client.oauth2_exchange_code_for_tokens(code)

    running = asyncio.ensure_future(asyncio.to_thread(run))
    await asyncio.to_thread(is_open.wait)
    person = site.person()
    await person.get(opened[0].removeprefix(site.url))
    await person.log_in()
    back = await person.submit(decision="allow")
    await person.http.get(back.headers["location"])
    assert "funcx_service" in (await running).by_resource_server

"""GitHub's shape: OAuth 2.0 without OpenID Connect, where an API says who came, and nothing says when."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest
from aiohttp import web

from afield.ids import new_id
from afield.service.domain.people import PolicyRecord
from afield.service.settings import ProviderSettings

pytestmark = pytest.mark.anyio


class GitHub:
    """As https://docs.github.com/en/apps/oauth-apps describes it: errors come with status 200, ids are numbers."""

    def __init__(self) -> None:
        self.user = {"id": 583231, "login": "octocat", "name": None, "email": "octocat@lab.example.org"}
        self.organizations = [{"login": "afield-lab"}]
        self.error: str | None = None
        self.asked: dict[str, str] = {}

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/login/oauth/authorize", self._authorize)
        app.router.add_post("/login/oauth/access_token", self._token)
        app.router.add_get("/user", self._user)
        app.router.add_get("/user/orgs", self._organizations)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        place = web.TCPSite(self.runner, "127.0.0.1", 0)
        await place.start()
        here = f"http://127.0.0.1:{place._server.sockets[0].getsockname()[1]}"
        self.settings = ProviderSettings(
            name="github",
            kind="github",
            client_id="Iv1.abc",
            client_secret="a secret",
            authorization_url=f"{here}/login/oauth/authorize",
            token_url=f"{here}/login/oauth/access_token",
            userinfo_url=f"{here}/user",
        )

    async def _authorize(self, request):
        self.asked = dict(request.query)
        self.code = secrets.token_hex(10)
        where = f"{self.asked['redirect_uri']}?code={self.code}&state={self.asked['state']}"
        return web.Response(status=302, headers={"location": where})

    async def _token(self, request):
        form = await request.post()
        if self.error or form["code"] != self.code:
            said = {"error": self.error or "bad_verification_code", "error_description": "It is incorrect or expired."}
            return web.json_response(said)
        assert (form["client_id"], form["client_secret"]) == ("Iv1.abc", "a secret")
        assert request.headers["accept"] == "application/json"
        return web.json_response({"access_token": "gho_x", "scope": "read:user", "token_type": "bearer"})

    async def _user(self, request):
        assert request.headers["authorization"] == "Bearer gho_x"
        return web.json_response(self.user)

    async def _organizations(self, request):
        assert request.headers["authorization"] == "Bearer gho_x"
        return web.json_response(self.organizations)


@pytest.fixture
async def github():
    github = GitHub()
    await github.start()
    yield github
    await github.runner.cleanup()


async def come(site, **query):
    person = site.person()
    await person.authorize(**query)
    await person.click("Log in with GitHub")
    return person


async def test_who_comes_is_their_number_and_not_their_name(serve, github):
    site = await serve(github.settings)
    person = await come(site)
    assert github.asked["scope"] == "read:user"
    said = await site.userinfo(person)
    assert said["username"] == said["name"] == "octocat@github.com"
    assert said["last_authentication"] == 0
    assert (await site.people.link("https://github.com", "583231")).identity_id == said["sub"]
    github.user["login"] = "octodog"
    again = await site.userinfo(await come(site))
    assert (again["sub"], again["username"]) == (said["sub"], "octodog@github.com")
    # Who takes the name that became free is somebody else.
    github.user |= {"id": 7, "login": "octocat"}
    assert (await site.userinfo(await come(site)))["sub"] != said["sub"]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        ("bad_verification_code", 400, "does not take the code that your browser brought (It is incorrect or expired)"),
        (
            "incorrect_client_credentials",
            502,
            "does not let this service ask who you are (incorrect_client_credentials)",
        ),
    ],
)
async def test_errors_come_with_a_good_status(serve, github, error, status, words):
    site = await serve(github.settings)
    github.error = error
    person = await come(site)
    assert words in site.words(person.page)
    assert person.page.status_code == status
    assert await site.people.link("https://github.com", "583231") is None


async def test_only_members_of_an_organisation(serve, github):
    site = await serve(replace(github.settings, require={"organizations": ("afield-lab", "other")}))
    assert "act for you?" in site.words((await come(site)).page)
    assert github.asked["scope"] == "read:user read:org"
    github.organizations, github.user["id"] = [{"login": "strangers"}], 7
    person = await come(site)
    assert person.page.status_code == 403
    assert "not that you belong to those who may come from there (organizations)" in site.words(person.page)
    assert await site.people.link("https://github.com", "7") is None


@pytest.mark.parametrize("user", [[], {}, {"id": None}, {"id": True}, {"id": ""}, {"id": 1.5}])
async def test_nobody_comes_without_a_number(serve, github, user):
    site = await serve(github.settings)
    github.user = user
    person = await come(site)
    assert person.page.status_code == 502
    assert "does not say who you are" in site.words(person.page)


async def test_it_is_no_help_where_the_time_of_a_login_matters(serve, github):
    site = await serve(github.settings)
    policy = PolicyRecord(new_id(), "x", "Fresh", 1.0, session_s=600)
    await site.people.put_policy(policy)
    for query in ({"prompt": "login"}, {"session_required_policies": policy.id}):
        person = await come(site, **query)
        assert person.page.status_code == 403
        assert "GitHub does not say when anybody logged in" in site.words(person.page)
        assert github.asked == {}

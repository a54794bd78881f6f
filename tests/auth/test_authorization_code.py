"""From a link to tokens: what each party sees, and every way in which somebody might cheat (RFC 6749, 7636, 8252)."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import msgspec
import pytest

from afield.ids import new_id
from afield.service.auth.oauth.clients import DEFAULT_CLIENT
from afield.service.auth.oauth.scopes import COMPUTE, MANAGE_PROJECTS

pytestmark = pytest.mark.anyio


async def test_from_a_link_to_tokens(site):
    person = site.person()
    page = await person.authorize()
    assert page.url.path == "/v2/web/login"
    page = await person.log_in()
    assert "The Python SDK or the command line asks to be allowed to" in site.words(page)
    assert "Run functions" in site.words(page)
    assert "logged in as ada" in site.words(page)
    back = await person.submit(decision="allow")
    assert back.headers["location"].startswith(f"{site.loopback}?")
    said = site.said_back(back)
    assert said["state"] == "s-1"
    document = (await site.redeem(said["code"])).json()
    assert document["resource_server"] == "auth.globus.org"
    assert document["scope"].split() == ["openid", MANAGE_PROJECTS]
    assert document["token_type"] == "Bearer"
    assert document["expires_in"] == 172_800
    [compute] = document["other_tokens"]
    assert (compute["resource_server"], compute["scope"]) == ("funcx_service", COMPUTE)
    assert document["refresh_token"] != compute["refresh_token"]
    assert (await site.get("/v2/endpoints", compute["access_token"])).status_code == 200
    assert (await site.get("/v2/oauth2/userinfo", document["access_token"])).json()["preferred_username"] == "ada"


async def test_who_is_logged_in_is_asked_for_consent_alone(site):
    person = site.person()
    await person.code()
    page = await person.authorize()
    assert page.url.path == "/v2/web/continue"
    assert "act for you?" in site.words(page)


async def test_who_says_no_sends_the_program_a_no(site):
    person = site.person()
    await person.authorize()
    await person.log_in()
    said = site.said_back(await person.submit(decision="deny"))
    assert said["error"] == "access_denied"
    assert said["state"] == "s-1"


async def test_without_offline_access_there_is_no_refresh_token(site):
    code = await site.person().code(access_type="online")
    document = (await site.redeem(code)).json()
    assert "refresh_token" not in document
    assert "refresh_token" not in document["other_tokens"][0]


async def test_scopes_that_are_asked_for_twice_are_granted_once(site):
    code = await site.person().code(scope=f"{COMPUTE} {COMPUTE}")
    document = (await site.redeem(code)).json()
    assert document["scope"] == COMPUTE
    assert document["other_tokens"] == []
    assert "id_token" not in document


class TestTheCodeThatIsPasted:
    async def test_is_shown_and_works(self, site):
        person, here = site.person(), f"{site.url}/v2/web/auth-code"
        await person.authorize(redirect_uri=here)
        await person.log_in()
        page = await person.submit(decision="allow")
        assert page.url.path == "/v2/web/auth-code"
        code = page.url.params["code"]
        assert f"{code} It works once, within 5 minutes" in site.words(page)
        site.clock.advance(200)  # a person takes longer than a program
        assert (await site.redeem(code, redirect_uri=here)).status_code == 200

    async def test_by_another_name_of_the_service_stays_on_the_one_that_the_browser_uses(self, site):
        """A tunnel, say: the program knows it as localhost:5000."""
        person, there = site.person(), "http://localhost:5000/v2/web/auth-code"
        await person.authorize(redirect_uri=there)
        await person.log_in()
        page = await person.submit(decision="allow")
        assert str(page.url).startswith(site.url)
        assert (await site.redeem(page.url.params["code"], redirect_uri=there)).status_code == 200

    async def test_what_is_said_in_the_address_is_never_markup(self, site):
        page = await site.person().get("/v2/web/auth-code", code="<script>alert(1)</script>")
        assert "<script" not in page.text
        assert "&lt;script&gt;" in page.text

    async def test_no_is_told_there_too(self, site):
        person = site.person()
        await person.authorize(redirect_uri=f"{site.url}/v2/web/auth-code")
        await person.log_in()
        page = await person.submit(decision="deny")
        assert "The person said no." in site.words(page)


class TestACode:
    async def test_works_once_and_the_second_time_ends_what_the_first_gave(self, site):
        code = await site.person().code()
        document = (await site.redeem(code)).json()
        compute = document["other_tokens"][0]
        again = await site.redeem(code)
        assert again.status_code == 400
        assert again.json()["error"] == "invalid_grant"
        assert (await site.get("/v2/endpoints", compute["access_token"])).status_code == 401
        refreshed = await site.token(
            grant_type="refresh_token", refresh_token=compute["refresh_token"], client_id=DEFAULT_CLIENT.id
        )
        assert refreshed.json()["error"] == "invalid_grant"

    async def test_of_many_who_bring_it_at_once_none_keeps_tokens(self, site):
        code = await site.person().code()
        answers = await asyncio.gather(*(site.redeem(code) for _ in range(8)))
        assert sum(answer.status_code == 200 for answer in answers) <= 1
        for answer in answers:
            if answer.status_code == 200:
                token = answer.json()["other_tokens"][0]["access_token"]
                assert (await site.get("/v2/endpoints", token)).status_code == 401

    async def test_lives_for_a_minute(self, site):
        code = await site.person().code()
        site.clock.advance(61)
        answer = await site.redeem(code)
        assert answer.json()["error"] == "invalid_grant"
        assert "expired" in answer.json()["error_description"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"code_verifier": "w" * 43},
            {"code_verifier": None},
            {"code_verifier": "too short"},
            {"code_verifier": "ü" * 43},
            {"redirect_uri": "http://127.0.0.1:45678/elsewhere"},
            {"redirect_uri": None},
            {"code": "never-given"},
            {"code": "\N{SNOWMAN}"},
        ],
    )
    async def test_comes_with_what_it_was_asked_for(self, site, wrong):
        code = await site.person().code()
        answer = await site.redeem(**({"code": code} | wrong))
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_grant"

    async def test_is_for_the_client_that_asked(self, site):
        other = await site.client(secret=None)
        answer = await site.redeem(await site.person().code(), client_id=other.id)
        assert answer.json()["error"] == "invalid_grant"

    async def test_of_a_program_with_a_secret_takes_the_secret(self, site):
        client = await site.client("https://app.example.org/back")
        there = {"client_id": client.id, "redirect_uri": "https://app.example.org/back"}
        code = await site.person().code(**there, code_challenge=None, code_challenge_method=None)
        answer = await site.redeem(code, **there, code_verifier=None)
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
        assert (await site.redeem(code, **there, code_verifier=None, client_secret=site.secret)).status_code == 200

    async def test_that_was_asked_for_without_a_challenge_takes_no_verifier(self, site):
        """Else somebody who strips the challenge of a request is not noticed (RFC 9700 section 4.8.2)."""
        client = await site.client("https://app.example.org/back")
        there = {"client_id": client.id, "redirect_uri": "https://app.example.org/back"}
        code = await site.person().code(**there, code_challenge=None, code_challenge_method=None)
        answer = await site.redeem(code, **there, client_secret=site.secret)
        assert answer.json()["error"] == "invalid_grant"


class TestConsent:
    async def test_of_a_program_with_a_secret_is_asked_for_once(self, site):
        client = await site.client("https://app.example.org/back")
        there = {"client_id": client.id, "redirect_uri": "https://app.example.org/back"}
        person = site.person()
        await person.code(**there)
        assert "code" in site.said_back(await person.authorize(**there))
        more = await person.authorize(**there, scope=f"openid email {COMPUTE}")
        assert "act for you?" in site.words(more)

    async def test_names_how_the_program_calls_itself_as_text(self, site):
        person = site.person()
        await person.authorize(prefill_named_grant="<b>app</b> on lab")
        page = await person.log_in()
        assert "&lt;b&gt;app&lt;/b&gt; on lab" in page.text

    async def test_leads_only_where_the_program_is(self, site):
        person = site.person()
        await person.authorize()
        page = await person.log_in()
        policy = page.headers["content-security-policy"]
        assert "form-action 'self' http://127.0.0.1:45678" in policy
        assert "script-src" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["cache-control"] == "no-store"


class TestWhatIsToldToThePersonAlone:
    """Where the client or the address is wrong, nobody is sent anywhere."""

    @pytest.mark.parametrize(
        "uri",
        [
            "https://evil.example.org/",
            "http://127.0.0.1.evil.example.org/",
            "http://evil.example.org:80@127.0.0.1/",
            "http://127.0.0.1:80@evil.example.org/",
            "http://user@127.0.0.1/",
            "https://127.0.0.1/",
            "//evil.example.org/",
            "javascript:alert(1)",
            "data:text/html,hello",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1/\\evil",
            "http://127.0.0.1/#fragment",
            "http://evil.example.org/v2/web/auth-code",
            "x" * 3000,
            None,
        ],
    )
    async def test_an_address_that_is_not_registered(self, site, uri):
        answer = await site.person().authorize(redirect_uri=uri)
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "That did not work" in site.words(answer)

    @pytest.mark.parametrize(
        "uri",
        [
            "https://app.example.org/back/",
            "https://app.example.org/back?x=1",
            "https://app.example.org/BACK",
            "https://app.example.org:443/back",
            "https://sub.app.example.org/back",
            "http://127.0.0.1:1/",
        ],
    )
    async def test_one_that_is_nearly_registered(self, site, uri):
        client = await site.client("https://app.example.org/back")
        answer = await site.person().authorize(client_id=client.id, redirect_uri=uri)
        assert answer.status_code == 400

    async def test_a_native_program_that_registered_a_path_is_held_to_it(self, site):
        client = await site.client("http://127.0.0.1/back", secret=None)
        good = await site.person().authorize(client_id=client.id, redirect_uri="http://127.0.0.1:7777/back")
        assert good.url.path == "/v2/web/login"
        bad = await site.person().authorize(client_id=client.id, redirect_uri="http://127.0.0.1:7777/other")
        assert bad.status_code == 400

    @pytest.mark.parametrize("client_id", ["01900000-0000-7000-8000-000000000000", "no id", "", None])
    async def test_a_client_that_is_not_known(self, site, client_id):
        assert (await site.person().authorize(client_id=client_id)).status_code == 400

    async def test_a_client_that_is_disabled(self, site):
        client = await site.client("https://app.example.org/back")
        await site.store.people.put_client(msgspec.structs.replace(client, disabled_at=2.0))
        answer = await site.person().authorize(client_id=client.id, redirect_uri="https://app.example.org/back")
        assert answer.status_code == 400

    async def test_parameters_that_are_there_twice(self, site):
        answer = await site.http.get(f"/v2/oauth2/authorize?client_id={DEFAULT_CLIENT.id}&client_id=other")
        assert answer.status_code == 400
        assert "client_id is there twice" in site.words(answer)

    async def test_a_host_that_is_none(self, site):
        answer = await site.http.get(
            "/v2/oauth2/authorize", params=site.authorization(), headers={"Host": "evil/<script>"}
        )
        assert answer.status_code == 400
        assert "evil" not in answer.text


class TestWhatIsToldToTheProgram:
    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": None}, "invalid_request"),
            ({"scope": "everything"}, "invalid_scope"),
            ({"scope": None}, "invalid_request"),
            ({"scope": "offline_access"}, "invalid_request"),
            ({"code_challenge": None}, "invalid_request"),
            ({"code_challenge": "short"}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"code_challenge_method": None}, "invalid_request"),
            ({"access_type": "sometimes"}, "invalid_request"),
            ({"prompt": "maybe"}, "invalid_request"),
            ({"prompt": "none consent"}, "invalid_request"),
            ({"max_age": "-1"}, "invalid_request"),
            ({"session_required_mfa": "perhaps"}, "invalid_request"),
            ({"session_required_identities": ",".join(["a"] * 50)}, "invalid_request"),
        ],
    )
    async def test_with_its_state(self, site, wrong, error):
        said = site.said_back(await site.person().authorize(**wrong))
        assert said["error"] == error
        assert said["state"] == "s-1"
        assert said["error_description"]

    async def test_but_not_with_a_state_that_is_too_long(self, site):
        said = site.said_back(await site.person().authorize(state="x" * 5000))
        assert said["error"] == "invalid_request"
        assert "state" not in said

    async def test_a_policy_that_there_is_not(self, site):
        said = site.said_back(await site.person().authorize(session_required_policies=new_id()))
        assert said["error"] == "invalid_request"

    async def test_prompt_none_asks_nobody_anything(self, site):
        person = site.person()
        assert site.said_back(await person.authorize(prompt="none"))["error"] == "login_required"
        await person.code()
        assert site.said_back(await person.authorize(prompt="none"))["error"] == "consent_required"
        client = await site.client("https://app.example.org/back")
        there = {"client_id": client.id, "redirect_uri": "https://app.example.org/back"}
        await person.code(**there)
        assert "code" in site.said_back(await person.authorize(**there, prompt="none"))

    async def test_prompt_consent_asks_for_what_was_consented_to_before(self, site):
        person, client = site.person(), await site.client("https://app.example.org/back")
        there = {"client_id": client.id, "redirect_uri": "https://app.example.org/back"}
        await person.code(**there)
        assert "code" in site.said_back(await person.authorize(**there))
        page = await person.authorize(**there, prompt="consent")
        assert "Let a program act for you?" in site.words(page)
        assert "code" in site.said_back(await person.submit(decision="allow"))
        site.clock.advance(10)
        page = await person.authorize(**there, prompt="login consent")
        assert page.url.path == "/v2/web/login"
        page = await person.log_in()
        assert "Let a program act for you?" in site.words(page)
        assert site.said_back(await person.submit(decision="deny"))["error"] == "access_denied"


class TestForms:
    async def test_without_their_proof_do_nothing(self, site):
        person = site.person()
        await person.authorize()
        answer = await person.log_in()
        answer = await person.submit(decision="allow", proof="forged")
        assert answer.status_code == 400
        assert "location" not in answer.headers

    async def test_with_the_proof_of_another_browser_do_nothing(self, site):
        attacker, victim = site.person(), site.person()
        await attacker.authorize()
        await attacker.log_in()
        await victim.authorize()
        await victim.log_in()
        victim.page = attacker.page  # a page of the attacker's makes the victim's browser send this
        answer = await victim.submit(decision="allow")
        assert answer.status_code == 400

    async def test_with_a_forged_errand_do_nothing(self, site):
        person = site.person()
        await person.authorize()
        await person.log_in()
        errand = person.page.url.params["errand"]
        for forged in (errand[:-2] + "AA", "A" * 40, "", "ü", "AAAA", errand + "A", "x" * 60_000):
            answer = await person.submit(decision="allow", errand=forged)
            assert answer.status_code == 400, forged
            assert "location" not in answer.headers

    async def test_with_an_old_errand_do_nothing(self, site):
        person = site.person()
        await person.authorize()
        await person.log_in()
        site.clock.advance(3601)
        answer = await person.submit(decision="allow")
        assert answer.status_code == 400

    async def test_of_who_is_no_longer_logged_in_ask_for_the_login(self, site):
        person = site.person()
        await person.authorize()
        await person.log_in()
        page = person.page
        await person.get("/v2/web/logout")
        await person.submit()
        person.page = page
        assert (await person.submit(decision="allow")).status_code == 400

    @pytest.mark.parametrize("path", ["/v2/web/login", "/v2/web/consent", "/device", "/v2/web/device"])
    async def test_of_a_wrong_kind_or_size_are_refused(self, site, path):
        assert (await site.http.post(path, json={})).status_code == 400
        assert (await site.http.post(path)).status_code == 400
        assert (await site.http.post(path, data={"a": "x" * 100_000})).status_code == 413
        assert (await site.http.post(path, data={str(n): "x" for n in range(500)})).status_code == 400

    async def test_paths_of_the_login_lead_nowhere_else(self, site):
        for path in ("/v2/web/continue", "/v2/web/login"):
            answer = await site.person().get(path, errand="https://evil.example.org/")
            assert answer.status_code == 400
            assert urlsplit(answer.headers.get("location", "")).netloc == ""

"""What hostile people, programs and strangers try at the authorization server; most of it worked once."""

from __future__ import annotations

import asyncio
from urllib.parse import quote, urlsplit

import pytest

from afield.service.auth.oauth.attempts import network_of
from afield.service.auth.oauth.clients import DEFAULT_CLIENT
from afield.service.auth.oauth.problems import OAuthError
from afield.service.auth.oauth.scopes import COMPUTE
from afield.service.auth.oauth.sealed import Seal
from afield.service.domain.people import TokenKind

pytestmark = pytest.mark.anyio


async def answer_to(site, path: str) -> bytes:
    """All that the service says to one request, byte by byte."""
    parts = urlsplit(site.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
    said = await reader.read()
    writer.close()
    await writer.wait_closed()
    return said


class TestWhatAnErrandCarries:
    @pytest.mark.parametrize("more", ["\r\nSet-Cookie: afield=" + "A" * 43, "\r\n", "\n", ";", "%", " "])
    async def test_nothing_can_be_hung_on_to_it(self, site, more):
        """It goes into the address of the next page; what a lenient decoder skips went along, line ends and all."""
        for state in ("s", "ss", "sss"):  # one of them needs no filling at its end
            away = await site.http.get("/v2/oauth2/authorize", params=site.authorization(state=state))
            errand = away.headers["location"].partition("errand=")[2]
            filled = errand + "=" * (-len(errand) % 4)
            said = await answer_to(site, f"/v2/web/continue?errand={quote(filled + more, safe='')}")
            assert said.startswith(b"HTTP/1.1 400 ")
            assert b"set-cookie: afield=aaa" not in said.lower()

    def test_only_what_was_closed_opens(self):
        seal = Seal(b"secret")
        text = seal.close("errand", "content", 10.0)
        assert seal.open("errand", text, str, 0.0) == "content"
        for other in (text + "=", text + "\n", " " + text, text[:5] + "!" + text[5:], text + "\u00e4", ""):
            assert seal.open("errand", other, str, 0.0) is None


class TestWhoMayAdministrate:
    async def make(self, site, token: str, username: str):
        headers = {"Authorization": f"Bearer {token}"}
        return await site.http.post("/afield/v1/accounts", headers=headers, json={"username": username})

    async def admin(self, site):
        return await site.account("root", is_admin=True)

    async def test_whoever_logged_in_with_the_command(self, site):
        root = await self.admin(site)
        token = await site.service_tokens.issue(
            root.id,
            "a login",
            60,
            kind=TokenKind.ACCESS,
            client_id=DEFAULT_CLIENT.id,
            scopes=(COMPUTE,),
        )
        assert (await self.make(site, token, "eve")).status_code == 200

    async def test_no_program_that_was_allowed_to_run_functions(self, site):
        """Nobody is asked whether a program may administrate the service, so none may."""
        root, program = await self.admin(site), await site.client("https://evil.example/back")
        token = await site.service_tokens.issue(
            root.id, "evil", 60, kind=TokenKind.ACCESS, client_id=program.id, scopes=(COMPUTE,)
        )
        answer = await self.make(site, token, "eve")
        assert (answer.status_code, await site.oauth.people.account("eve")) == (403, None)

    async def test_no_personal_token_makes_what_outlives_it(self, site):
        root = await self.admin(site)
        token = await site.service_tokens.issue(root.id, "ci", 60, kind=TokenKind.PERSONAL, scopes=(COMPUTE,))
        answer = await self.make(site, token, "eve")
        assert (answer.status_code, answer.json()["code"]) == (403, "LOGIN_REQUIRED")
        ada = await site.oauth.people.account("ada")
        path, headers = f"/afield/v1/accounts/{ada.identity_id}", {"Authorization": f"Bearer {token}"}
        outside = {"issuer": "https://e.example", "subject": "1"}
        for way, body in (("password", {"password": site.password}), ("links", outside)):
            answer = await site.http.post(f"{path}/{way}", headers=headers, json=body)
            assert answer.status_code == 403
        assert (await site.http.put(path, headers=headers, json={"is_admin": True})).status_code == 403
        assert await site.oauth.people.account("ada") == ada
        assert (await site.get("/afield/v1/accounts", token)).status_code == 200  # it may look


class TestWhatIsTakenBackStaysTaken:
    async def test_a_refresh_that_crosses_with_a_revocation_brings_nothing_back(self, site, monkeypatch):
        tokens = await site.tokens()
        issuer = site.oauth.token_endpoint._issuer
        access, made = issuer.access, []

        async def meanwhile_revoked(*arguments):
            await site.http.post("/v2/oauth2/token/revoke", data={"token": tokens["compute_refresh"]})
            made.append(await access(*arguments))
            return made[-1]

        monkeypatch.setattr(issuer, "access", meanwhile_revoked)
        said = {"grant_type": "refresh_token", "client_id": DEFAULT_CLIENT.id}
        answer = await site.token(**said, refresh_token=tokens["compute_refresh"])
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        monkeypatch.undo()
        assert (await site.token(**said, refresh_token=tokens["compute_refresh"])).status_code == 400
        assert (await site.get("/afield/v1/tasks", made[0]["access_token"])).status_code == 401

    async def test_changing_a_password_does_not_undo_that_the_account_was_disabled(self, site, monkeypatch):
        person, people = site.person(), site.oauth.people
        await person.get("/v2/web/login")
        await person.log_in()
        await person.get("/v2/web/password")
        hashed = site.oauth.passwords.hash

        async def meanwhile_disabled(password):
            account = await people.account("ada")
            await people.put_account(type(account)(account.identity_id, "ada", 1.0, account.password, 2.0))
            return await hashed(password)

        monkeypatch.setattr(site.oauth.passwords, "hash", meanwhile_disabled)
        page = await person.submit(old=site.password, new="some other words", again="some other words")
        assert page.status_code == 403
        assert (await people.account("ada")).disabled_at == 2.0

    async def test_an_older_link_sets_no_password_once_there_is_another(self, site):
        invitations, people = site.oauth.invitations, site.oauth.people
        ada = await people.account("ada")
        older, newer = await invitations.make(ada.identity_id), await invitations.make(ada.identity_id)
        assert await invitations.set_password(newer, "some other words") is not None
        assert await invitations.account(older) is None
        assert await invitations.set_password(older, "the thief's words") is None
        person = site.person()
        await person.get("/v2/web/login")
        assert "You are ada" in site.words(await person.log_in("ada", "some other words"))


class TestGuessing:
    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("", ""),
            ("unknown", "unknown"),
        ],
    )
    def test_who_has_one_address_of_a_network_has_all(self, address, network):
        assert network_of(address) == network

    async def test_another_address_of_the_same_network_is_no_new_start(self, site):
        for number in range(30):
            await site.oauth.devices.start(
                DEFAULT_CLIENT, {"scope": COMPUTE}, f"2001:db8::{number:x}", "http://localhost/device"
            )
        with pytest.raises(OAuthError, match="Too many of these from one address"):
            await site.oauth.devices.start(DEFAULT_CLIENT, {"scope": COMPUTE}, "2001:db8::ffff", "http://x/device")


async def test_the_page_for_consent_says_where_it_sends_people(site):
    """Anybody may call a program as they like; where it is, they cannot choose."""
    program = await site.client("https://evil.example/back")
    person = site.person()
    await person.authorize(client_id=program.id, redirect_uri="https://evil.example/back")
    page = await person.log_in()
    assert "Sends you to https://evil.example" in site.words(page)

"""Local accounts: in and out, guessing, invitations, passwords."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from afield.service.auth.oauth.attempts import Attempts
from afield.service.auth.passwords import Passwords, check_new_password
from afield.service.domain.proxies import Proxies
from afield.service.domain.refusals import Refusal

pytestmark = pytest.mark.anyio


async def test_in_and_out(site):
    person = site.person()
    page = await person.get("/v2/web/login")
    assert "You are ada on this service" in site.words(await person.log_in())
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    page = await person.get("/v2/web/logout")
    assert "Log out?" in site.words(page)  # a link alone logs nobody out
    assert "Logged out" in site.words(await person.submit())
    assert (await person.authorize()).url.path == "/v2/web/login"


async def test_a_login_gives_the_browser_another_cookie(site):
    """Whoever planted the one before has nothing of it."""
    person = site.person()
    await person.get("/v2/web/login")
    before = person.http.cookies["afield"]
    await person.log_in()
    after = person.http.cookies["afield"]
    assert before != after
    attacker = site.person()
    attacker.http.cookies.set("afield", before)
    assert (await attacker.authorize()).url.path == "/v2/web/login"


async def test_a_login_ends_after_its_time(site):
    person = site.person()
    await person.code()
    site.clock.advance(12 * 3600 + 1)
    assert (await person.authorize()).url.path == "/v2/web/login"


async def test_names_are_the_same_in_upper_and_lower_case(site):
    person = site.person()
    await person.get("/v2/web/login")
    assert "You are ada" in site.words(await person.log_in(" ADA "))


@pytest.mark.parametrize(
    ("username", "password"),
    [("ada", "wrong"), ("nobody", "wrong"), ("", ""), ("ada", ""), ("\N{SNOWMAN}" * 500, "x" * 5000), ("pending", "")],
)
async def test_a_wrong_login_says_the_same_whatever_is_wrong(site, username, password):
    await site.account("pending", password=None)
    person = site.person()
    await person.get("/v2/web/login")
    page = await person.log_in(username, password)
    assert page.status_code == 403
    assert "That is not the username and password of an account here" in site.words(page)


async def test_who_is_disabled_is_out_at_once_with_the_same_words(site):
    person = site.person()
    await person.code()
    account = await site.store.people.account("ada")
    await site.store.people.put_account(msgspec.structs.replace(account, disabled_at=1.0))
    assert (await person.authorize()).url.path == "/v2/web/login"
    page = await person.log_in()
    assert page.status_code == 403
    assert "That is not the username and password of an account here" in site.words(page)


async def test_an_unknown_name_costs_as_much_as_a_known_one(site):
    """Each try hashes once: what a stop-watch would see, without one."""
    hashed = []

    class Counting(Passwords):
        def _compare(self, kept, password):
            hashed.append(kept is not None)
            return super()._compare(kept, password)

    site.oauth.login._passwords = Counting()
    person = site.person()
    await person.get("/v2/web/login")
    await person.log_in("ada", "wrong")
    await person.log_in("nobody", "wrong")
    assert hashed == [True, False]


class TestTheFrontPage:
    async def test_it_says_how_to_use_the_service_and_leads_on(self, site):
        person = site.person()
        page = await person.get("/")
        assert f"afield login --service {site.url}" in site.words(page)
        assert 'href="/v2/web/login"' in page.text
        await person.get("/v2/web/login")
        await person.log_in()
        page = await person.get("/")
        assert all(f'href="{path}"' in page.text for path in ("/device", "/v2/web/identities", "/v2/web/logout"))


class TestGuessing:
    async def test_one_name_has_ten_tries_in_a_quarter_of_an_hour(self, site):
        person = site.person()
        await person.get("/v2/web/login")
        for _ in range(10):
            assert (await person.log_in("ada", "wrong")).status_code == 403
        page = await person.log_in()  # even with the right one
        assert page.status_code == 429
        assert int(page.headers["retry-after"]) <= 901
        assert "Try again in 15 minutes" in site.words(page)
        site.clock.advance(901)
        assert "You are ada" in site.words(await person.log_in())

    async def test_tries_at_once_are_as_many(self, site):
        person = site.person()
        await person.get("/v2/web/login")
        data = person_fields(person) | {"username": "ada", "password": "wrong"}
        answers = await asyncio.gather(*(person.http.post("/v2/web/login", data=data) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [403] * 10 + [429] * 10

    async def test_a_good_login_takes_back_what_was_counted(self, site):
        for _ in range(3):
            person = site.person()
            await person.get("/v2/web/login")
            for _ in range(6):
                await person.log_in("ada", "wrong")
            assert "You are ada" in site.words(await person.log_in())

    async def test_names_that_there_are_not_are_counted_too(self, site):
        person = site.person()
        await person.get("/v2/web/login")
        answers = [await person.log_in("nobody", "wrong") for _ in range(11)]
        assert answers[-1].status_code == 429

    async def test_who_says_where_they_come_from_is_not_believed(self, site):
        """Else each try would come from another address."""
        person = site.person()
        await person.get("/v2/web/login")
        site.oauth.login._by_address = Attempts(3, 60.0)
        for number in range(4):
            person.http.headers["X-Forwarded-For"] = f"192.0.2.{number}"
            answer = await person.log_in(f"name{number}", "wrong")
        assert answer.status_code == 429

    async def test_a_load_balancer_is(self, site):
        person = site.person()
        await person.get("/v2/web/login")
        site.oauth.login._by_address = Attempts(3, 60.0)
        site.oauth.proxies = Proxies(["127.0.0.0/8"])
        for number in range(5):
            person.http.headers["X-Forwarded-For"] = f"203.0.113.1, 192.0.2.{number}"
            assert (await person.log_in(f"name{number}", "wrong")).status_code == 403


def person_fields(person):
    return dict(person.form_of(person.page.text))


class TestAttempts:
    async def test_the_oldest_try_leaves_first(self):
        attempts = Attempts(2, 10.0)
        attempts.count("a", 0.0)
        attempts.count("a", 4.0)
        assert attempts.wait_s("a", 5.0) == 5.0
        assert attempts.wait_s("b", 5.0) == 0.0
        assert attempts.wait_s("a", 10.0) == 0.0
        attempts.count("a", 10.0)
        assert attempts.wait_s("a", 10.0) == 4.0
        attempts.forgive("a")
        assert attempts.wait_s("a", 10.0) == 0.0

    async def test_what_is_kept_is_bounded(self):
        attempts = Attempts(1, 10.0)
        for number in range(25_000):
            attempts.count(str(number), 0.0)
        assert len(attempts._times) == 20_000
        assert attempts.wait_s("24999", 1.0) > 0


class TestInvitations:
    async def test_a_link_sets_a_password_once(self, site):
        identity = await site.account("new", password=None)
        ticket = await site.oauth.invitations.make(identity.id)
        person = site.person()
        page = await person.get("/v2/web/invitation", ticket=ticket)
        assert "Welcome: set a password This is for the account new" in site.words(page)
        page = await person.submit(new="correct horse", again="another horse")
        assert "not the same" in site.words(page)
        page = await person.submit(new="short", again="short")
        assert "too short" in site.words(page)
        page = await person.submit(new="correct horse", again="correct horse")
        assert "Your password is set" in site.words(page)
        await person.get("/v2/web/login")
        assert "You are new" in site.words(await person.log_in("new", "correct horse"))
        page = await person.get("/v2/web/invitation", ticket=ticket)
        assert page.status_code == 404
        assert "works no more" in site.words(page)

    async def test_a_link_expires_and_cannot_be_invented(self, site):
        identity = await site.account("new", password=None)
        ticket = await site.oauth.invitations.make(identity.id, 60.0)
        site.clock.advance(61)
        for said in (ticket, "", "x" * 500, "\N{SNOWMAN}"):
            assert (await site.person().get("/v2/web/invitation", ticket=said)).status_code == 404

    async def test_a_code_of_another_kind_is_no_invitation(self, site):
        code = await site.person().code()
        assert (await site.person().get("/v2/web/invitation", ticket=code)).status_code == 404


class TestChangingThePassword:
    async def test_takes_the_old_one_and_logs_other_browsers_out(self, site):
        here, there = site.person(), site.person()
        await here.code()
        await there.code()
        await here.get("/v2/web/password")
        page = await here.submit(old="wrong", new="correct horse", again="correct horse")
        assert "Your password so far is another one" in site.words(page)
        page = await here.submit(old=site.password, new="correct horse", again="correct horse")
        assert "Your password is set" in site.words(page)
        assert "act for you?" in site.words(await here.authorize())
        assert (await there.authorize()).url.path == "/v2/web/login"

    async def test_may_end_what_programs_may_do(self, site):
        tokens = await site.tokens()
        person = site.person()
        await person.code()
        await person.get("/v2/web/password")
        await person.submit(old=site.password, new="correct horse", again="correct horse", revoke="yes")
        assert (await site.get("/v2/endpoints", tokens["compute"])).status_code == 401

    async def test_is_for_who_is_logged_in(self, site):
        assert (await site.person().get("/v2/web/password")).url.path == "/v2/web/login"


class TestPasswords:
    async def test_what_is_kept_opens_nothing_and_is_argon2id(self):
        passwords = Passwords()
        kept = await passwords.hash("correct horse")
        assert kept.startswith("$argon2id$")
        assert await passwords.verify(kept, "correct horse")
        assert not await passwords.verify(kept, "correct horses")
        assert not await passwords.verify(None, "correct horse")
        assert not await passwords.verify("no hash", "correct horse")
        assert not passwords.needs_rehash(kept)

    @pytest.mark.parametrize(
        "password",
        [
            "short", "x" * 1001, "aaaaaaaaaaaa", "Ada-Lovelace", "Lovelace1815", "password123", "P@ssw0rd123!",
            "1234567890", "0987654321", "qwertyuiop", "abcdefghijkl", "123qweasdzxc", "1q2w3e4r5t6y", "hunter2hunter2",
            "afield-2024!", "Sunshine99!!",
        ],
    )  # fmt: skip
    async def test_which_nobody_may_have(self, password):
        with pytest.raises(Refusal) as refused:
            check_new_password(password, "ada-lovelace")
        assert refused.value.status == 422

    @pytest.mark.parametrize(
        "password",
        ["four words are plenty", "x7Kp2mQz9L", "password-less summer evenings", "ада ест кашу", "ada at sea in 1815"],
    )
    async def test_which_somebody_may(self, password):
        check_new_password(password, "ada-lovelace")


async def test_behind_https_the_cookie_says_so(secure_site):
    page = await secure_site.http.get("/v2/web/login")
    cookie = page.headers["set-cookie"]
    assert cookie.startswith("__Host-afield=")
    assert "; Secure" in cookie
    said = (await secure_site.http.get("/.well-known/openid-configuration")).json()
    assert said["issuer"] == "https://compute.example.org"

"""A stored login opens its service for as long as the service lets it, in one program and in several at once."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from msgspec.structs import replace

from afield import Client
from afield.errors import ConfigurationError
from afield.sdk.login import stored
from afield.sdk.login.needed import LoginEnded
from afield.sdk.login.renewing import StoredAuthorizer
from afield.sdk.login.source import find_authorizer, keep_token
from afield.sdk.login.stored import StoredLogin, StoredToken
from afield.sdk.retry import TryAgain
from afield.service.domain.people import TokenKind

DAY = 86_400.0


def opened_by(site, header):
    answer = site.browser().http.get("/afield/v1/whoami", headers={"Authorization": header})
    return answer.json()["identity"]["username"] if answer.status_code == 200 else answer.status_code


def access_tokens(site):
    return [one for one in site.tokens(site.ada.id) if one.kind is TokenKind.ACCESS and "openid" not in one.scopes]


@pytest.fixture
def login(site):
    return site.log_in()


@pytest.fixture
def authorizer(site, login):
    return StoredAuthorizer(login, site.environ, site.clock.now)


def test_a_token_that_lasts_is_used_as_it_is(site, login, authorizer):
    site.clock.advance(2 * DAY - 120)
    assert authorizer.ready() == authorizer.get_authorization_header() == f"Bearer {login.compute.access_token}"
    assert len(access_tokens(site)) == 1


def test_a_token_is_renewed_before_it_ends_and_long_after(site, login, authorizer):
    site.clock.advance(2 * DAY - 30)
    assert authorizer.ready() is None
    second = authorizer.get_authorization_header()
    assert second != f"Bearer {login.compute.access_token}"
    assert opened_by(site, second) == "ada"
    site.clock.advance(30 * DAY)
    third = authorizer.get_authorization_header()
    assert opened_by(site, third) == "ada"
    assert opened_by(site, second) == 401
    kept = stored.read(site.url, site.environ)
    assert f"Bearer {kept.compute.access_token}" == third
    assert kept.compute.refresh_token == login.compute.refresh_token
    assert kept.username == "ada"


def test_a_client_goes_on_with_the_next_token(site, login):
    """Through HTTP, with a token that the service does not take any more though the clock here says that it lasts."""
    with Client(service_url=site.url, authorizer=find_authorizer(site.url, site.environ)) as client:
        assert client.get_endpoints() == []
        site.clock.advance(3 * DAY)
        assert client.get_endpoints() == []
    assert stored.read(site.url, site.environ).compute.access_token != login.compute.access_token


def test_several_requests_that_are_refused_at_once_cost_one_token(site, authorizer):
    site.clock.advance(3 * DAY)
    frozen = StoredAuthorizer(stored.read(site.url, site.environ), site.environ, lambda: site.clock.now() - 3 * DAY)
    before = len(access_tokens(site))
    threads = [threading.Thread(target=frozen.handle_missing_authorization) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(access_tokens(site)) == before + 1
    assert opened_by(site, frozen.get_authorization_header()) == "ada"


def test_a_login_that_was_revoked_says_so_and_what_to_do(site, authorizer):
    [family] = {one.family for one in site.tokens(site.ada.id)}
    site.call(site.store.people.delete_tokens(family=family))
    with pytest.raises(
        LoginEnded, match=rf"the login of ada at {site.url} has expired or was revoked.*run `afield login --service"
    ) as caught:
        authorizer.handle_missing_authorization()
    assert caught.value.http_status == 401
    assert str(caught.value).count("afield logout") == 1


def test_a_login_of_a_disabled_account_says_why(site, authorizer):
    [account] = site.asking().get("/afield/v1/accounts", dict, username="ada")["accounts"]
    site.asking().put(f"/afield/v1/accounts/{account['id']}", {"disabled": True}, dict)
    with pytest.raises(LoginEnded, match="revoked"):
        authorizer.handle_missing_authorization()


def test_a_refresh_token_that_was_not_used_for_too_long(site, authorizer):
    site.clock.advance(200 * DAY)
    with pytest.raises(LoginEnded, match="has expired or was revoked"):
        authorizer.get_authorization_header()


def test_a_login_that_was_ended_in_another_terminal(site, authorizer):
    stored.forget(site.url, site.environ)
    with pytest.raises(LoginEnded, match="was ended on this machine"):
        authorizer.handle_missing_authorization()


def test_nobody_goes_on_as_somebody_else(site, authorizer):
    site.account("bob")
    site.log_in("bob")
    with pytest.raises(LoginEnded, match=r"somebody else's \(bob\)"):
        authorizer.handle_missing_authorization()


def test_a_service_that_is_away_costs_no_login(site, login):
    """Its last minute is used; then it is tried again, and nothing is forgotten."""
    away = replace(login, service_url="http://127.0.0.1:9")
    stored.keep(away, site.environ)
    authorizer = StoredAuthorizer(away, site.environ, site.clock.now)
    site.clock.advance(2 * DAY - 30)
    assert authorizer.get_authorization_header() == f"Bearer {login.compute.access_token}"
    site.clock.advance(60)
    with pytest.raises(TryAgain):
        authorizer.get_authorization_header()
    assert stored.read("http://127.0.0.1:9", site.environ) == away


def test_a_token_that_was_only_kept(site):
    keep_token(site.url, site.running.token, site.environ)
    authorizer = find_authorizer(site.url, site.environ)
    assert authorizer.get_authorization_header() == f"Bearer {site.running.token}"
    with pytest.raises(LoginEnded, match="is not taken any more"):
        authorizer.handle_missing_authorization()
    ended = StoredLogin(service_url=site.url, tokens={"funcx_service": StoredToken("x", 0.0, 10.0)})
    stored.keep(ended, site.environ)
    with pytest.raises(LoginEnded, match="has expired"):
        StoredAuthorizer(ended, site.environ, lambda: 11.0).get_authorization_header()


def test_a_home_that_cannot_be_written_still_has_a_login(site, login, tmp_path, monkeypatch):
    """As in a container: what is renewed there serves that program alone."""
    folder = stored.user_dir(site.environ) / "logins"

    def refuse(*_):
        raise ConfigurationError("read-only")

    monkeypatch.setattr(stored, "keep", refuse)
    site.clock.advance(3 * DAY)
    authorizer = StoredAuthorizer(login, site.environ, site.clock.now)
    assert opened_by(site, authorizer.get_authorization_header()) == "ada"
    monkeypatch.undo()
    assert stored.read(site.url, site.environ) == login
    assert folder.exists()


# -- several programs --------------------------------------------------------------------------------------------------

PROGRAM = """
import os, sys, time
from afield.sdk.login import stored
from afield.sdk.login.renewing import StoredAuthorizer
ahead = float(sys.argv[2])
authorizer = StoredAuthorizer(stored.read(sys.argv[1]), os.environ, lambda: time.time() + ahead)
print("ready", flush=True)
sys.stdin.readline()
print(authorizer.get_authorization_header(), flush=True)
"""


HOLDER = """
import sys
from afield.sdk.login import stored
with stored.locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def program(site, text, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", text, site.url, *arguments], env=site.environ | {"PATH": ""}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_programs_that_renew_at_the_same_moment_get_one_token(site, login, tmp_path):
    site.clock.advance(2 * DAY - 10)
    before = len(access_tokens(site))
    programs = [program(site, PROGRAM, str(site.clock.ahead)) for _ in range(4)]
    for one in programs:
        assert one.stdout.readline() == "ready\n"
    for one in programs:
        one.stdin.write("now\n")
        one.stdin.flush()
    headers = {one.communicate(timeout=60)[0].strip() for one in programs}
    assert [one.returncode for one in programs] == [0] * 4
    [header] = headers
    assert opened_by(site, header) == "ada"
    assert len(access_tokens(site)) == before + 1


def test_a_program_that_is_killed_while_it_renews_keeps_nobody_out(site, login):
    """The lock ends with its process."""
    holder = program(site, HOLDER)
    assert holder.stdout.readline() == "held\n"
    site.clock.advance(3 * DAY)
    found = []
    authorizer = StoredAuthorizer(login, site.environ, site.clock.now)
    waiting = threading.Thread(target=lambda: found.append(authorizer.get_authorization_header()))
    waiting.start()
    holder.kill()
    holder.communicate()
    waiting.join(60)
    assert opened_by(site, found[0]) == "ada"

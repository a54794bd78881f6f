"""Logging in by a browser, a device's code and a pasted code, against a real service and with real pages."""

from __future__ import annotations

import http.client
import stat
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from afield import Client
from afield.errors import ServiceError, ServiceUnreachable
from afield.sdk.login import stored
from afield.sdk.login.client_credentials import COMPUTE_SCOPE
from afield.sdk.login.code_flow import by_browser
from afield.sdk.login.interactive import Way, choose_way, log_in, native_client
from afield.sdk.login.loopback import LoopbackPage
from afield.sdk.login.person import has_browser
from afield.sdk.login.pkce import challenge_of, new_verifier
from afield.sdk.login.places import Wish, find_places
from afield.sdk.login.source import find_authorizer, find_url
from afield.sdk.login.tokens import DEFAULT_CLIENT, TokenRefused
from afield.service.auth.oauth.pkce import check_verifier


@pytest.mark.parametrize("way", list(Way))
def test_somebody_logs_in_and_their_programs_are_they(site, way):
    person = site.person()
    login = log_in(site.url, person, way, environ=site.environ, now=site.clock.now, sleep=person.confirm)
    assert (login.username, login.name, login.identity_id) == ("ada", "Ada", site.ada.id)
    assert stored.read(site.url, site.environ) == login
    assert find_url(environ=site.environ) == site.url
    authorizer = find_authorizer(site.url, site.environ)
    with Client(service_url=site.url, authorizer=authorizer) as client:
        client.version_check()
        assert client.get_endpoints() == []
    assert login.compute.scope == COMPUTE_SCOPE
    assert login.compute.refresh_token
    path = next((stored.user_dir(site.environ) / "logins").glob("*.json"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_page_at_the_end_says_that_it_may_be_closed(site):
    person = site.person()
    log_in(site.url, person, Way.BROWSER, environ=site.environ)
    person.threads[0].join()
    assert "You may close this page" in person.browser.page.text
    assert urlsplit(str(person.browser.page.url)).hostname == "127.0.0.1"


def test_without_a_browser_the_address_is_there_to_be_opened_by_hand(site):
    person = site.person()
    person.has_browser = False
    opened = []

    def tell(text):
        opened.append(threading.Thread(target=person.browser.visit, args=(site.addresses(text)[0],)))
        opened[0].start()
        person.told.append(text)

    person.tell = tell
    assert log_in(site.url, person, Way.BROWSER, environ=site.environ).username == "ada"
    opened[0].join()
    assert "No browser could be started" in person.words


@pytest.mark.parametrize("way", [Way.BROWSER, Way.DEVICE])
def test_who_says_no_is_not_logged_in(site, way):
    person = site.person()
    person.browser.decision = "deny"
    with pytest.raises(TokenRefused, match="said no") as caught:
        log_in(site.url, person, way, environ=site.environ, sleep=person.confirm)
    assert caught.value.code == "access_denied"
    assert stored.read(site.url, site.environ) is None


def test_a_wrong_password_stays_on_the_page_and_brings_nothing(site):
    person = site.person()
    person.browser.password = "not that one at all"
    places = find_places(site.url)
    visited = []

    def visit(address):
        browser = person.browser
        page = browser._follow(browser.http.get(address))
        visited.append(page)
        visited.append(browser.submit(username="ada", password=browser.password))
        return True

    person.open = visit
    wish = Wish(DEFAULT_CLIENT, ("openid", COMPUTE_SCOPE), {})
    with pytest.raises(ServiceError, match=r"nobody logged in within.*--device"):
        by_browser(places, person, wish, site.clock.now, patience_s=0.0)
    assert visited[1].status_code == 403
    assert "not the username and password" in visited[1].text


def test_a_code_that_is_none(site):
    person = site.person()
    person.ask = lambda prompt: "mistyped"
    with pytest.raises(TokenRefused, match="not known") as caught:
        log_in(site.url, person, Way.PASTE, environ=site.environ)
    assert caught.value.code == "invalid_grant"
    person.ask = lambda prompt: ""
    with pytest.raises(ServiceError, match="no code was given"):
        log_in(site.url, person, Way.PASTE, environ=site.environ)


def test_a_code_that_is_too_old(site):
    person = site.person()
    ask = person.ask

    def late(prompt):
        code = ask(prompt)
        site.clock.advance(301)
        return code

    person.ask = late
    with pytest.raises(TokenRefused, match="has expired"):
        log_in(site.url, person, Way.PASTE, environ=site.environ, now=site.clock.now)


# -- a device's code ---------------------------------------------------------------------------------------------------


def test_a_device_waits_as_long_as_it_is_told(site):
    """Twice nobody has confirmed; once it was asked too early, by another clock, and is told to slow down."""
    person, pauses = site.person(), []

    def sleep(seconds):
        pauses.append(seconds)
        site.clock.advance(seconds if len(pauses) != 2 else 0.1)
        if len(pauses) == 4:
            person.confirm(seconds)

    login = log_in(site.url, person, Way.DEVICE, environ=site.environ, now=site.clock.now, sleep=sleep)
    assert login.username == "ada"
    assert pauses == [5.0, 5.0, 10.0, 10.0]


def test_a_code_that_nobody_confirms_ends(site):
    person = site.person()
    with pytest.raises(ServiceError, match=r"nobody confirmed the code \w{4}-\w{4} within 15 minutes.*Start again"):
        log_in(
            site.url,
            person,
            Way.DEVICE,
            environ=site.environ,
            now=site.clock.now,
            sleep=site.clock.advance,
        )
    assert stored.read(site.url, site.environ) is None


def test_a_code_that_only_the_service_knows_to_be_over_ends_too(site):
    def sleep(seconds):
        site.clock.advance(1000)

    with pytest.raises(ServiceError, match="nobody confirmed"):
        log_in(site.url, site.person(), Way.DEVICE, environ=site.environ, now=lambda: 0.0, sleep=sleep)


# -- where nobody answers as expected ---------------------------------------------------------------------------------


def test_addresses_at_which_nobody_can_log_in(site):
    person = site.person()
    with pytest.raises(ServiceUnreachable, match=r"127\.0\.0\.1:9 cannot be reached for a login"):
        log_in("http://127.0.0.1:9", person, environ=site.environ)
    with pytest.raises(ServiceError, match=r"nobody can log in at .*answers 40\d.*Afield service"):
        log_in(f"{site.url}/below", person, environ=site.environ)
    with pytest.raises(ServiceError, match="not the address of a service"):
        log_in("file:///etc/passwd", person, environ=site.environ)


def test_a_login_replaces_the_one_before_and_revokes_it(site):
    before = site.log_in()
    after = site.log_in()
    assert stored.read(site.url, site.environ) == after
    stored.keep(before, {"AFIELD_USER_DIR": f"{site.environ['AFIELD_USER_DIR']}-other"})
    answer = site.browser().http.get(
        "/afield/v1/whoami", headers={"Authorization": f"Bearer {before.compute.access_token}"}
    )
    assert answer.status_code == 401
    assert site.asking("ada").send("GET", "/afield/v1/whoami", dict)["identity"]["username"] == "ada"


# -- the page on this machine ------------------------------------------------------------------------------------------


def fetch(page, path):
    parts = urlsplit(page.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_only_this_login_ends_it():
    with LoopbackPage("s-1") as page:
        answers = []

        def visit():
            path = urlsplit(page.url).path
            answers.append(fetch(page, "/favicon.ico"))
            answers.append(fetch(page, f"{path}?code=stolen&state=s-2"))
            answers.append(fetch(page, f"{path}?code=stolen"))
            answers.append(fetch(page, f"{path}?code=mine&state=s-1"))

        visitor = threading.Thread(target=visit)
        visitor.start()
        assert page.wait(30) == {"code": "mine", "state": "s-1"}
        visitor.join()
    assert [status for status, _ in answers] == [404, 400, 400, 200]
    assert "close this page" in answers[-1][1]
    assert "mine" not in answers[-1][1]


def test_a_page_to_which_nobody_comes():
    with LoopbackPage("s") as page:
        assert page.wait(0.0) is None


# -- which way, and as which program ----------------------------------------------------------------------------------


def test_the_way_that_suits():
    assert choose_way({"DISPLAY": ":0", "SSH_CONNECTION": "1.2.3.4"}) is Way.DEVICE
    assert choose_way({}) is Way.DEVICE
    assert not has_browser({"WAYLAND_DISPLAY": "0", "SSH_TTY": "/dev/pts/1"})


def test_the_program_that_somebody_lets_in():
    assert native_client({}) == DEFAULT_CLIENT
    assert native_client({"GLOBUS_COMPUTE_CLIENT_ID": "mine"}) == "mine"
    assert native_client({"GLOBUS_COMPUTE_CLIENT_ID": "mine", "GLOBUS_COMPUTE_CLIENT_SECRET": "s"}) == DEFAULT_CLIENT


def test_what_is_asked_of_the_service(site):
    """The parameters of RFC 6749, 7636 and of the published step-up, as they reach the page."""
    seen = []

    def opened(address):
        seen.append(parse_qs(urlsplit(address).query))
        return False

    person = site.person()
    person.open = opened
    wish = Wish(DEFAULT_CLIENT, ("openid", COMPUTE_SCOPE), {"session_required_mfa": "True"})
    with pytest.raises(ServiceError, match="nobody logged in"):
        by_browser(find_places(site.url), person, wish, site.clock.now, patience_s=0.0)
    [query] = seen
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"][0].startswith("http://127.0.0.1:")
    assert query["access_type"] == ["offline"]
    assert query["session_required_mfa"] == ["True"]
    assert len(query["state"][0]) >= 16


def test_the_proof_is_the_one_that_services_check():
    verifier = new_verifier()
    check_verifier(challenge_of(verifier), verifier)  # raises if it were not
    assert 43 <= len(verifier) <= 128

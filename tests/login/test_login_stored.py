"""What is kept of logins, in which order it counts, and how it ends."""

from __future__ import annotations

import stat
import subprocess
import sys

import pytest

from afield import Client
from afield.errors import ComputeAPIError, ConfigurationError
from afield.sdk.login import known, stored
from afield.sdk.login.client_credentials import ClientCredentials
from afield.sdk.login.ending import log_out
from afield.sdk.login.known import KnownService
from afield.sdk.login.renewing import StoredAuthorizer
from afield.sdk.login.source import BearerToken, find_authorizer, find_url
from afield.sdk.login.stored import StoredLogin, StoredToken

URL = "http://127.0.0.1:5000"


@pytest.fixture
def environ(tmp_path):
    return {"AFIELD_USER_DIR": str(tmp_path)}


def login(url=URL, token="kept", **more):
    return StoredLogin(service_url=url, tokens={"funcx_service": StoredToken(token, 1.0)}, **more)


def test_one_file_for_each_service_for_its_owner_only(environ, tmp_path):
    path = stored.keep(login(), environ)
    other = stored.keep(login("https://compute.example.org"), environ)
    assert {path.name, other.name} == {"127.0.0.1_5000.json", "compute.example.org_443.json"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stored.read("http://localhost:5000/", environ) == login()
    assert stored.read("http://localhost:5001", environ) is None
    assert stored.read("http://compute.example.org:443", environ) is None
    stored.keep(login(token="next"), environ)
    assert stored.read(URL, environ).compute.access_token == "next"
    assert sorted(one.name for one in path.parent.iterdir()) == ["127.0.0.1_5000.json", "compute.example.org_443.json"]
    assert stored.forget(URL, environ)
    assert not stored.forget(URL, environ)


def test_what_cannot_be_kept_or_read_is_told(environ, tmp_path):
    path = stored.keep(login(), environ)
    path.write_text("{")
    with pytest.raises(ConfigurationError, match=r"holds no login.*remove it.*afield login --service"):
        stored.read(URL, environ)
    assert stored.all_logins(environ) == []
    (tmp_path / "elsewhere").write_text("a file")
    with pytest.raises(ConfigurationError, match=r"cannot be kept.*AFIELD_USER_DIR"):
        stored.keep(login(), {"AFIELD_USER_DIR": str(tmp_path / "elsewhere")})


def test_of_a_secret_that_cannot_be_kept_nothing_is_left(environ, tmp_path):
    running = KnownService(service_url=URL, token="running", pid=1, started_at=1.0)
    for folder, keep in (
        (tmp_path / "services", lambda: known.publish(running, tmp_path)),
        (tmp_path / "logins", lambda: stored.keep(login(), environ)),
    ):
        (folder / "127.0.0.1_5000.json").mkdir(parents=True)
        with pytest.raises(ConfigurationError, match=r"cannot be kept.*Name a directory of yours with AFIELD_USER_DIR"):
            keep()
        assert [one.name for one in folder.iterdir()] == ["127.0.0.1_5000.json"]


def test_the_order_in_which_logins_count(environ, tmp_path):
    assert find_authorizer(URL, environ) is None
    known.publish(KnownService(service_url=URL, token="running", pid=1, started_at=1.0), tmp_path)
    assert isinstance(find_authorizer(URL, environ), BearerToken)
    stored.keep(login(username="ada"), environ)
    assert isinstance(find_authorizer(URL, environ), StoredAuthorizer)
    pair = {"AFIELD_CLIENT_ID": "me", "AFIELD_CLIENT_SECRET": "s"}
    assert isinstance(find_authorizer(URL, environ | pair), ClientCredentials)
    given = find_authorizer(URL, environ | pair | {"AFIELD_TOKEN": "t"})
    assert given.get_authorization_header() == "Bearer t"


def test_a_client_that_was_kept_is_that_client(environ):
    stored.keep(StoredLogin(service_url=URL, client_id="me", client_secret="s"), environ)
    found = find_authorizer(URL, environ)
    assert isinstance(found, ClientCredentials)
    assert found.client_id == "me"


def test_the_service_where_somebody_has_logged_in(environ, tmp_path):
    stored.keep(login("https://one.example.org"), environ)
    assert find_url(environ=environ) == "https://one.example.org"
    stored.keep(login("https://two.example.org"), environ)
    with pytest.raises(ConfigurationError, match=r"logged in at several.*one.*two|logged in at several.*two.*one"):
        find_url(environ=environ)
    # What was started here goes before: nobody has to log out for `afield up`.
    known.publish(KnownService(service_url=URL, token="running", pid=1, started_at=1.0), tmp_path)
    assert find_url(environ=environ) == URL


def test_without_any_login_it_is_said_what_to_do(site, monkeypatch, tmp_path):
    monkeypatch.setenv("AFIELD_USER_DIR", str(tmp_path / "nothing"))
    monkeypatch.delenv("AFIELD_TOKEN", raising=False)
    with (
        Client(service_url=site.url, do_version_check=False) as client,
        pytest.raises(ComputeAPIError, match=rf"no login is known.*run `afield login --service {site.url}`"),
    ):
        client.get_endpoints()


def test_logging_out_revokes_and_forgets(site):
    kept = site.log_in()
    ended = log_out(site.url, site.environ)
    assert ended.login == kept
    assert ended.trouble is None
    assert site.tokens(site.ada.id) == []
    assert stored.read(site.url, site.environ) is None
    assert log_out(site.url, site.environ) is None


def test_logging_out_of_a_service_that_is_away(environ):
    stored.keep(login("http://127.0.0.1:9", client_id="x"), environ)
    ended = log_out("http://127.0.0.1:9", environ)
    assert "cannot be reached to log out" in ended.trouble
    assert stored.read("http://127.0.0.1:9", environ) is None


def test_a_token_that_was_only_kept_is_not_revoked(site):
    stored.keep(login(site.url, site.running.token), site.environ)
    assert log_out(site.url, site.environ).trouble is None
    assert site.asking().get("/afield/v1/whoami", dict)["is_admin"]


def test_a_client_logs_out(site, monkeypatch):
    monkeypatch.setenv("AFIELD_USER_DIR", site.environ["AFIELD_USER_DIR"])
    monkeypatch.delenv("AFIELD_TOKEN", raising=False)
    site.log_in()
    with Client(service_url=site.url) as client:
        assert client.get_endpoints() == []
        client.logout()
    assert site.tokens(site.ada.id) == []
    stored.keep(login("http://127.0.0.1:9", client_id="x"), site.environ)
    with pytest.warns(UserWarning, match="could not be revoked"):
        Client(service_url="http://127.0.0.1:9").logout()


def test_importing_stays_light():
    """Nothing of logging in is loaded before somebody logs in."""
    program = (
        "import sys, afield\nafield.Client(service_url='http://127.0.0.1:9', token='t')\n"
        "print([m for m in sys.modules if m in ('http.server', 'urllib.request', 'webbrowser', 'aiohttp', 'typer')])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"

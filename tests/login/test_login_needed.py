"""When a service asks for another login: what a program is told, and what happens where somebody is there to log in."""

from __future__ import annotations

import pickle
import shlex

import globus_sdk
import pytest
from msgspec.structs import replace

from afield import Client
from afield.errors import ComputeAPIError
from afield.sdk.login import stored
from afield.sdk.login.client_credentials import ClientCredentials
from afield.sdk.login.interactive import Attended, Way
from afield.sdk.login.needed import LoginNeeded, login_command, query_of, scopes_of
from afield.sdk.login.questions import Questions
from afield.sdk.login.source import find_authorizer, relogin
from afield.sdk.login_manager import LoginManager

PARAMETERS = {
    "session_message": "Show who you are",
    "session_required_identities": ["a1", "b2"],
    "session_required_policies": ["p"],
    "session_required_single_domain": ["example.org"],
    "session_required_mfa": True,
    "required_scopes": ["some scope"],
    "prompt": "login",
}


@pytest.fixture
def protected(site):
    """An endpoint of ada's on which only who has logged in within the last hour may run, and a function."""
    ask = site.asking("ada")
    policy = ask.post("/afield/v1/policies", {"name": "fresh", "session_s": 3600.0}, dict)
    endpoint = {"endpoint_name": "e", "metadata": {"afield_wire": 2}, "authentication_policy": policy["id"]}
    endpoint_id = ask.post("/v3/endpoints", endpoint, dict)["endpoint_id"]
    function = {"function_name": "f", "function_code": "def f(): pass", "serialized": False}
    function_id = ask.post("/v3/functions", function, dict)["function_uuid"]
    return endpoint_id, function_id, policy["id"]


def run(client, protected):
    endpoint_id, function_id, _ = protected
    return client.run(endpoint_id=endpoint_id, function_id=function_id)


def test_a_program_is_told_what_to_type(site, protected):
    site.log_in()
    with Client(service_url=site.url, authorizer=find_authorizer(site.url, site.environ)) as client:
        run(client, protected)
        site.clock.advance(3700)
        with pytest.raises(LoginNeeded) as caught:
            run(client, protected)
    error = caught.value
    assert error.http_status == 403
    assert error.parameters["session_required_policies"] == [protected[2]]
    assert error.command in str(error)
    words = shlex.split(error.command)
    assert words[:4] == ["afield", "login", "--service", site.url]
    assert words[-4:] == ["--session-required-policy", protected[2], "--prompt", "login"]
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.parameters, str(copy)) == (error.parameters, str(error))


def test_a_login_as_it_was_asked_lets_the_same_program_go_on(site, protected):
    site.log_in()
    with Client(service_url=site.url, authorizer=find_authorizer(site.url, site.environ)) as client:
        site.clock.advance(3700)
        with pytest.raises(LoginNeeded) as caught:
            run(client, protected)
        site.log_in(parameters=caught.value.parameters)
        # It reads the new login when the old one's token is refused, as it is now revoked.
        site.clock.advance(10)
        assert run(client, protected)


def test_who_asked_for_it_logs_in_on_the_way(site, protected):
    person = site.person()
    site.log_in()
    attended = Attended(site.url, person, Way.PASTE, site.environ)
    with Client(service_url=site.url, authorizer=attended) as client:
        site.clock.advance(3700)
        assert run(client, protected)
    assert "Policy 'fresh' asks that ada has logged in" in person.words
    assert person.words.count("copy the code") == 1


def test_another_login_that_does_not_help_is_asked_for_once(site, protected):
    """Bob logs in, as he may, but may not run there."""
    site.account("bob")
    person = site.person("bob")
    site.log_in("bob")
    site.call(site.store.people.put_policy(replace(site.call(site.store.people.policy(protected[2])), session_s=None)))
    attended = Attended(site.url, person, Way.PASTE, site.environ)
    with (
        Client(service_url=site.url, authorizer=attended) as client,
        pytest.raises(ComputeAPIError, match="may not run tasks on"),
    ):
        run(client, protected)
    assert person.told == []


def test_a_login_that_has_ended_is_made_anew_where_somebody_is_there(site):
    person = site.person()
    attended = Attended(site.url, person, Way.PASTE, site.environ)
    with Client(service_url=site.url, authorizer=attended) as client:
        assert client.get_endpoints() == []
        assert person.words.count("copy the code") == 1
        site.call(site.store.people.delete_tokens(identity_id=site.ada.id))
        site.clock.advance(10)
        assert client.get_endpoints() == []
    assert "has expired or was revoked" in person.words
    assert person.words.count("copy the code") == 2


# -- login managers ---------------------------------------------------------------------------------------------------


@pytest.fixture
def at_a_desktop(site, monkeypatch):
    monkeypatch.setenv("AFIELD_USER_DIR", site.environ["AFIELD_USER_DIR"])
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("BROWSER", "/bin/true")
    for name in ("AFIELD_TOKEN", "SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.filterwarnings("ignore:Client.login_manager")
def test_a_login_manager_has_somebody_log_in_once(site, at_a_desktop):
    person = site.person()
    manager = LoginManager(person=person)
    with Client(service_url=site.url, login_manager=manager) as client:
        assert client.get_endpoints() == []
        assert len(person.threads) == 1
    # What was kept serves the next program, which asks nobody.
    with Client(service_url=site.url) as client:
        assert client.get_endpoints() == []
    with Client(service_url=site.url, login_manager=LoginManager(person=person)) as client:
        assert client.get_endpoints() == []
        client.logout()
    assert len(person.threads) == 1
    assert stored.read(site.url, site.environ) is None
    assert site.tokens(site.ada.id) == []


@pytest.mark.filterwarnings("ignore:Client.login_manager")
def test_a_login_manager_does_not_stand_in_for_a_token(site, at_a_desktop):
    person = site.person()
    at_a_desktop.setenv("AFIELD_TOKEN", site.running.token)
    with Client(service_url=site.url, login_manager=LoginManager(person=person)) as client:
        assert client.get_endpoints() == []
    assert person.told == []


@pytest.mark.filterwarnings("ignore:Client.(login_manager|force_login)")
def test_with_nobody_there_nobody_is_asked(site, at_a_desktop):
    for more in ({}, {"login_manager": LoginManager()}, {"force_login": True}):
        with (
            Client(service_url=site.url, do_version_check=False, **more) as client,
            pytest.raises(ComputeAPIError, match="afield login --service"),
        ):
            client.get_endpoints()


def test_an_application_of_globus_sdk_logs_in_as_the_service_asks(site):
    made = site.asking("ada").post("/afield/v1/clients", {"name": "program"}, dict)

    class Auth(globus_sdk.ConfidentialAppAuthClient):
        base_url = f"{site.url}/"

    class App(globus_sdk.ClientApp):
        asked = ()

        def login(self, *, auth_params=None, force=False):
            self.asked = (*self.asked, auth_params)

    login_client = Auth(made["client"]["id"], made["secret"])
    app = App("test", login_client=login_client, config=globus_sdk.GlobusAppConfig(token_storage="memory"))
    with Client(service_url=site.url, app=app) as client:
        policy = client.create_policy("fresh", session_s=3600.0)
        endpoint = {"endpoint_name": "e", "metadata": {"afield_wire": 2}, "authentication_policy": policy["id"]}
        credentials = ClientCredentials(site.url, made["client"]["id"], made["secret"])
        endpoint_id = Questions(site.url, credentials).post("/v3/endpoints", endpoint, dict)["endpoint_id"]
        function_id = client.register_source_code("def f(): pass", "f")
        # A program cannot log in, so that does not help; it is tried once.
        with pytest.raises(LoginNeeded):
            client.run(endpoint_id=endpoint_id, function_id=function_id)
    [asked] = app.asked
    assert asked.session_required_policies == [policy["id"]]


def test_the_words_for_it():
    assert shlex.split(login_command("https://x.example.org", PARAMETERS)) == [
        "afield", "login", "--service", "https://x.example.org",
        "--session-required-identity", "a1", "--session-required-identity", "b2",
        "--session-required-policy", "p", "--session-required-single-domain", "example.org",
        "--scope", "some scope", "--session-required-mfa", "--prompt", "login",
    ]  # fmt: skip
    assert query_of(PARAMETERS) == {
        "session_required_identities": "a1,b2",
        "session_required_policies": "p",
        "session_required_single_domain": "example.org",
        "session_required_mfa": "True",
        "session_message": "Show who you are",
        "prompt": "login",
    }
    assert scopes_of(PARAMETERS) == ["some scope"]
    assert query_of({"session_required_policies": "one", "session_required_mfa": None}) == {
        "session_required_policies": "one"
    }


def test_who_has_nobody_beside_it_is_not_asked():
    assert relogin(None) is None
    assert relogin(globus_sdk.AccessTokenAuthorizer("t")) is None

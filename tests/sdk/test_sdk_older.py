"""What scripts of older generations say: it works, and a warning at their line says what to write now."""

from __future__ import annotations

import uuid
import warnings

import pytest

from afield import Client
from afield.errors import ComputeAPIError, InvalidId
from afield.sdk.login_manager import AuthorizerLoginManager, ComputeScopeBuilder, LoginManager, LoginManagerProtocol
from afield.sdk.web_client import WebClient

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
OTHER = "00000000-0000-0000-0000-000000000001"
URL = "http://127.0.0.1:1"


def show(*args, **kwargs):
    return args, kwargs


@pytest.fixture
def function_id(client):
    return client.register_function(show)


@pytest.fixture
def warned():
    """The deprecations that were told, all of them; each names this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
    assert {(each.category, each.filename) for each in caught} <= {(DeprecationWarning, __file__)}


def results(client, answer):
    states = client.get_batch_result(answer)
    return [states[task_id]["result"] for task_id in answer]


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_that_names_the_endpoint_with_each_call(client, function_id, warned):
    batch = client.create_batch()
    for x in range(5):
        batch.add(x, endpoint_id=ENDPOINT, function_id=function_id)
    answer = client.batch_run(batch)
    assert results(client, answer) == [((x,), {}) for x in range(5)]
    assert client.get_batch_result(answer).keys() == set(answer)
    assert isinstance(answer, list)
    assert answer["tasks"] == {function_id: list(answer)}
    assert answer["endpoint_id"] == ENDPOINT
    assert answer["task_group_id"] == client.session_task_group_id
    texts = {str(each.message) for each in warned}
    assert len(texts) == 2
    assert any("batch.add(function_id, args=(...), kwargs={...})" in text for text in texts)
    assert any("batch_run(endpoint_id, batch)" in text for text in texts)


def test_a_batch_that_takes_the_function_then_the_endpoint(client, function_id, warned):
    batch = client.create_batch()
    batch.add(function_id, ENDPOINT, args=(1,))
    batch.add(function_id, uuid.UUID(ENDPOINT), (2,), {"a": 3})
    batch.add(function_id, endpoint_id=ENDPOINT, kwargs={"b": 4})
    batch.add(function_id=function_id, endpoint_id=ENDPOINT, args=[5])
    batch.add(function_id, ENDPOINT)
    assert len(warned) == 5
    assert results(client, client.batch_run(batch=batch)) == [
        ((1,), {}),
        ((2,), {"a": 3}),
        ((), {"b": 4}),
        ((5,), {}),
        ((), {}),
    ]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((1,), {"args": 2}),
        ((), {"args": "text"}),
        ((), {"x": 1, "kwargs": 2}),
        (((1,),), {"kwargs": {"a": 1}}),
    ],
)
def test_all_other_arguments_are_the_functions(client, function_id, warned, args, kwargs):
    batch = client.create_batch()
    batch.add(*args, endpoint_id=ENDPOINT, function_id=function_id, **kwargs)
    assert results(client, client.batch_run(batch)) == [(args, kwargs)]


def test_a_batch_for_several_endpoints(client, service, function_id, warned):
    batch = client.create_batch()
    for x, endpoint in enumerate([ENDPOINT, OTHER, ENDPOINT]):
        batch.add(x, endpoint_id=endpoint, function_id=function_id)
    answer = client.batch_run(batch)
    assert results(client, answer) == [((0,), {}), ((1,), {}), ((2,), {})]
    assert [service.tasks_by_id[task_id].endpoint_id for task_id in answer] == [ENDPOINT, OTHER, ENDPOINT]
    assert set(answer["tasks"][function_id]) == set(answer)
    assert answer["task_group_id"] == client.session_task_group_id
    with pytest.raises(KeyError, match="several endpoints"):
        answer["endpoint_id"]
    assert [each["endpoint_id"] for each in answer.answers] == [ENDPOINT, OTHER]


def test_what_was_accepted_before_a_refusal_is_told(client, service, function_id, warned):
    batch = client.create_batch()
    batch.add(1, endpoint_id=ENDPOINT, function_id=function_id)
    batch.add(2, endpoint_id=OTHER, function_id=function_id)

    def accept_one(function, task):
        service.troubles["submit"].append(ComputeAPIError(403, "ENDPOINT_ACCESS_FORBIDDEN", "not yours"))

    service.work = accept_one
    with pytest.raises(ComputeAPIError, match="not yours") as refused:
        client.batch_run(batch)
    [accepted] = service.tasks_by_id
    assert refused.value.__notes__ == [f"accepted for other endpoints before that: {accepted}"]


def test_batches_that_cannot_be_sent_so(client, service, function_id, warned):
    batch = client.create_batch()
    with pytest.raises(ValueError, match="empty"):
        client.batch_run(batch)
    batch.add(1, endpoint_id=ENDPOINT, function_id=function_id)
    with pytest.raises(ValueError, match=f"holds calls for {ENDPOINT}"):
        client.batch_run(OTHER, batch)
    assert client.batch_run(ENDPOINT, batch)["endpoint_id"] == ENDPOINT
    batch.add(function_id, (1,))
    with pytest.raises(ValueError, match="does not say where"):
        client.batch_run(batch)
    with pytest.raises(InvalidId, match="endpoint"):
        batch.add(1, endpoint_id="x", function_id=function_id)
    assert len(service.submits) == 1


def test_the_present_form_warns_of_nothing(client, function_id, warned):
    batch = client.create_batch()
    batch.add(function_id, (1,), {"endpoint": 2})
    client.batch_run(ENDPOINT, batch)
    client.batch_run(endpoint_id=ENDPOINT, batch=batch)
    client.run(endpoint_id=ENDPOINT, function_id=function_id)
    assert warned == []


def test_a_warning_is_shown_once_for_each_place(client, function_id):
    batch = client.create_batch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for x in range(3):
            batch.add(x, endpoint_id=ENDPOINT, function_id=function_id)
            batch.add(x, endpoint_id=OTHER, function_id=function_id)
    assert len({each.lineno for each in caught}) == len(caught) == 2


# -- arguments --------------------------------------------------------------------------------------------------------


def test_arguments_that_mean_nothing_any_more(warned):
    Client(service_url=URL, force_login=True, http_timeout=10, funcx_home="/tmp", asynchronous=False)
    assert [str(each.message).partition(":")[0] for each in warned] == [
        "Client(force_login=...) is from an older generation",
        "Client() takes no http_timeout any more",
        "Client() takes no funcx_home any more",
        "Client() takes no asynchronous any more",
    ]


def test_arguments_that_have_another_name(warned):
    client = Client(funcx_service_address=URL, task_group_id=uuid.UUID(ENDPOINT))
    assert client.service_url == URL
    assert client.session_task_group_id == ENDPOINT
    assert ["write service_url" in str(warned[0].message), "create_batch" in str(warned[1].message)] == [True, True]
    with pytest.raises(ValueError, match="token and fx_authorizer exclude"):
        Client(service_url=URL, token="t", fx_authorizer=object())


def test_what_cannot_be_had_any_more_is_refused():
    with pytest.raises(TypeError, match="await the futures"):
        Client(service_url=URL, asynchronous=True)


def test_a_function_is_registered_with_arguments_of_old(client, warned):
    function_id = client.register_function(show, function_name="f", container_uuid=None, searchable=True)
    assert client.get_function(function_id)["function_name"] == "show"
    assert len(warned) == 3


# -- login managers ---------------------------------------------------------------------------------------------------


class Authorizer:
    def __init__(self, header):
        self.header = header

    def get_authorization_header(self):
        return self.header


class Manager:
    """As a program of that time would have it."""

    def __init__(self, authorizer):
        self.authorizer, self.calls = authorizer, []

    def get_auth_client(self):
        raise AssertionError("nobody needs it")

    def get_web_client(self, *, base_url):
        self.calls.append(base_url)
        return WebClient(base_url=base_url, authorizer=self.authorizer)

    def ensure_logged_in(self):
        self.calls.append("ensure_logged_in")
        return True

    def logout(self):
        self.calls.append("logout")


@pytest.fixture
def said(serve_routes, in_loop):
    """Asks a real server for its version; which Authorization it was sent."""

    def ask(**given):
        from aiohttp import web

        seen = []

        async def version(request):
            names = ("api", "min_sdk_version", "min_ep_version", "min_endpoint_version")
            return web.json_response(dict.fromkeys(names, "4.0.0"))

        server = serve_routes([web.get("/v2/version", version)], seen)
        url = in_loop(server.__aenter__)
        try:
            with Client(service_url=url, **given) as client:
                client.version_check()
        finally:
            in_loop(lambda: server.__aexit__(None, None, None))
        return {request.headers.get("Authorization") for request in seen}, url

    return ask


def test_a_login_manager_says_who_is_asking(said, warned):
    manager = Manager(Authorizer("Bearer of old"))
    assert isinstance(manager, LoginManagerProtocol)
    headers, url = said(login_manager=manager)
    assert headers == {"Bearer of old"}
    assert manager.calls == ["ensure_logged_in", url]
    assert "write authorizer" in str(warned[0].message)


def test_a_login_manager_is_asked_to_log_out(warned):
    manager = Manager(Authorizer("x"))
    Client(service_url=URL, login_manager=manager).logout()
    assert manager.calls[-1] == "logout"


def test_an_authorizer_by_its_older_name(said, warned):
    assert said(fx_authorizer=Authorizer("Bearer fx"))[0] == {"Bearer fx"}


def test_the_published_login_managers(said, warned, monkeypatch):
    given = AuthorizerLoginManager({ComputeScopeBuilder.resource_server: Authorizer("Bearer by server"), "x": None})
    assert said(login_manager=given)[0] == {"Bearer by server"}
    given = AuthorizerLoginManager({Client.FUNCX_SCOPE: Authorizer("Bearer by scope")})
    assert said(login_manager=given)[0] == {"Bearer by scope"}
    with pytest.raises(ValueError, match="funcx_service"):
        AuthorizerLoginManager({"other": None}).ensure_logged_in()
    monkeypatch.setenv("AFIELD_TOKEN", "from-the-environment")
    assert said(login_manager=LoginManager())[0] == {"Bearer from-the-environment"}


def test_login_managers_that_are_none(warned):
    with pytest.raises(TypeError, match=r"ensure_logged_in\(\), and object has none"):
        Client(service_url=URL, login_manager=object())
    with pytest.raises(TypeError, match="no authorizer"):
        Client(service_url=URL, login_manager=Manager(None))
    with pytest.raises(ValueError, match="exclude"):
        Client(service_url=URL, login_manager=Manager(Authorizer("x")), token="t")

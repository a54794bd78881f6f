"""What an endpoint says to a service before its queues, and what it makes of the answers."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from afield.endpoint.host import registration
from afield.endpoint.host.directory import Identity, endpoint_directory
from afield.endpoint.settings import ManagerSettings
from afield.errors import ComputeAPIError, ConfigurationError
from afield.sdk.login.client_credentials import PAIRS
from afield.wire.commands import ReadQueue
from afield.wire.rest import EndpointDocument, EndpointRegistered

pytestmark = pytest.mark.anyio

ID = "0192d3a0-0000-7000-8000-00000000000c"
OTHER = "0192d3a0-0000-7000-8000-00000000000d"
ME = "0192d3a0-0000-7000-8000-0000000000aa"


class Answers:
    """The part of a transport that endpoints use; it answers with ``gives``, or refuses."""

    url = "http://service"

    def __init__(self, parts, gives=ID, refuses=None):
        self.gives, self.refuses, self.parts = gives, refuses, parts
        self.asked = []

    async def register_endpoint(self, request, endpoint_id):
        self.asked.append((request, endpoint_id))
        self._refuse()
        beats = self.parts.credentials_for("amqp://x").heartbeat_queue_info
        return EndpointRegistered(self.gives, ReadQueue("amqp://x", "commands", "q"), beats, beats)

    async def endpoint(self, endpoint_id):
        return EndpointDocument(endpoint_id, "mine", ME)

    async def delete_endpoint(self, endpoint_id):
        self._refuse()
        return {"result": 302}

    def _refuse(self):
        if self.refuses is not None:
            raise self.refuses


@pytest.fixture
def mine(tmp_path):
    directory = endpoint_directory("mine", tmp_path)
    directory.path.mkdir(parents=True)
    return directory


def request(directory, **settings):
    return registration.registration(directory, ManagerSettings(**settings), "engine: {}", {"type": "object"})


async def test_a_first_time(mine, parts):
    transport = Answers(parts)
    registered = await registration.register(transport, mine, request(mine, public=True))
    assert registered.endpoint_id == ID
    assert registered.owners == {ME}
    [(said, wanted)] = transport.asked
    assert wanted is None
    assert (said.endpoint_name, said.display_name, said.public, said.multi_user) == ("mine", "mine", True, False)
    assert said.metadata["afield_wire"] == 2
    assert said.metadata["user_config_template"] == "engine: {}"
    assert said.metadata["user_config_schema"] == {"type": "object"}
    assert {"hostname", "python_version", "endpoint_version", "local_user"} <= set(said.metadata)
    assert mine.identity() == Identity(ID, "http://service")


async def test_it_stays_who_it_was(mine, parts):
    mine.keep_identity(Identity(OTHER))
    transport = Answers(parts, gives=OTHER)
    assert (await registration.register(transport, mine, request(mine))).endpoint_id == OTHER
    assert transport.asked[0][1] == OTHER


async def test_an_id_that_was_asked_for_is_got_or_told(mine, parts):
    transport = Answers(parts)
    with pytest.raises(ConfigurationError, match=f"as {ID} and not as {OTHER}"):
        await registration.register(transport, mine, request(mine), OTHER)
    assert mine.identity() is None


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "USER_UNAUTHENTICATED", "does not take the token"),
        (404, "ENDPOINT_NOT_FOUND", f"knows no endpoint {OTHER}.*endpoint.json"),
        (423, "ENDPOINT_LOCKED", "keeps this endpoint out for a while: because"),
    ],
)
async def test_refusals_say_what_to_do(mine, parts, status, code, said):
    mine.keep_identity(Identity(OTHER))
    with pytest.raises(ConfigurationError, match=said):
        await registration.register(
            Answers(parts, refuses=ComputeAPIError(status, code, "because")), mine, request(mine)
        )


async def test_other_refusals_speak_for_themselves(mine, parts):
    refusal = ComputeAPIError(409, "CONFLICT", "it runs elsewhere")
    with pytest.raises(ComputeAPIError, match="it runs elsewhere"):
        await registration.register(Answers(parts, refuses=refusal), mine, request(mine))


async def test_deleting_what_is_not_there_is_fine(parts):
    assert await registration.delete(Answers(parts), ID)
    gone = Answers(parts, refuses=ComputeAPIError(404, "ENDPOINT_NOT_FOUND", "gone"))
    assert not await registration.delete(gone, ID)
    with pytest.raises(ConfigurationError, match="token"):
        await registration.delete(Answers(parts, refuses=ComputeAPIError(401, "X", "no")), ID)
    with pytest.raises(ComputeAPIError):
        await registration.delete(Answers(parts, refuses=ComputeAPIError(403, "X", "no")), ID)


class _Asked(BaseHTTPRequestHandler):
    """A service that gives a client its token, and writes down who deletes endpoints."""

    def do_POST(self):
        pair = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        self.server.asked.append((self.path, pair))
        self._answer({"access_token": "fresh", "expires_in": 3600})

    def do_DELETE(self):
        self.server.asked.append((self.path, self.headers["Authorization"]))
        self._answer({"result": 302})

    def _answer(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def asked_service():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Asked)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", server.asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """An environment that says nothing of anybody."""
    for name in ("AFIELD_TOKEN", "AFIELD_SERVICE_URL", *(name for pair in PAIRS for name in pair)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AFIELD_USER_DIR", str(tmp_path))
    return monkeypatch


@pytest.mark.parametrize(("id_name", "secret_name"), PAIRS)
async def test_a_client_logs_in_by_itself(nobody, asked_service, id_name, secret_name):
    url, asked = asked_service
    nobody.setenv(id_name, "who")
    nobody.setenv(secret_name, "proof")
    async with registration.open_transport(registration.find_service(ManagerSettings(service_url=url))) as transport:
        assert await registration.delete(transport, ID)
    assert asked == [("/v2/oauth2/token", "who:proof"), (f"/v2/endpoints/{ID}", "Bearer fresh")]


async def test_a_token_goes_before_a_client(nobody, asked_service):
    url, asked = asked_service
    nobody.setenv("AFIELD_CLIENT_ID", "who")
    nobody.setenv("AFIELD_CLIENT_SECRET", "proof")
    nobody.setenv("AFIELD_TOKEN", "mine")
    async with registration.open_transport(registration.find_service(ManagerSettings(service_url=url))) as transport:
        assert await registration.delete(transport, ID)
    assert asked == [(f"/v2/endpoints/{ID}", "Bearer mine")]


async def test_half_a_client_and_nobody_are_told(nobody):
    settings = ManagerSettings(service_url="http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"no token for the service http://127\.0\.0\.1:9.*_SECRET"):
        registration.find_service(settings)
    nobody.setenv("AFIELD_CLIENT_ID", "who")
    with pytest.raises(ConfigurationError, match="AFIELD_CLIENT_SECRET is not"):
        registration.find_service(settings)

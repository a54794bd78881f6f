"""The HTTP edge, over real sockets."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import httpx2
import pytest

from afield.service.app import Running, Service
from afield.service.settings import Limits, Settings

pytestmark = pytest.mark.anyio

#: Of nothing. A constant, so that every process that runs tests names them alike.
NOWHERE = "01900000-0000-7000-8000-000000000000"
PAYLOAD = "2\nar2\nkw"
SOURCE = {"function_name": "f", "function_code": "def f(): return 'ä'", "serialized": False}


@pytest.fixture
def limits() -> Limits:
    return Limits(request_bytes=100_000, payload_bytes=50_000, function_bytes=50_000, start_wait_s=5)


@pytest.fixture
async def running(tmp_path, limits) -> AsyncIterator[Running]:
    service = Service()
    yield await service.start(
        Settings(data_dir=tmp_path / "data", port=0, amqp_port=0, database="memory:", limits=limits)
    )
    await service.stop()


@pytest.fixture
async def http(running) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {running.token}"}
    async with httpx2.AsyncClient(
        base_url=running.service_url, headers=headers, trust_env=False, verify=False
    ) as client:
        yield client


async def make(http: httpx2.AsyncClient, **said) -> tuple[str, str]:
    """A function and an endpoint that has not reported yet."""
    function = await http.post("/v3/functions", json=SOURCE)
    metadata = {"hostname": "lab", "local_user": "ada", "user_config_template": "engine: x"}
    endpoint = await http.post("/v3/endpoints", json={"endpoint_name": "e", "metadata": metadata} | said)
    return function.json()["function_uuid"], endpoint.json()["endpoint_id"]


def check_refusal(answer: httpx2.Response, status: int, code: str, about: Sequence[str] = ()) -> str:
    """The published body of an error (wire contract, section 3.1); what it says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["status"] == "Failed"
    assert body["code"] == code
    assert body["http_status_code"] == status
    assert body["error_args"] == list(about)
    assert body["detail"] == body["reason"]
    assert isinstance(body["detail"], str)
    assert body["detail"]
    return body["detail"]


async def raw(running: Running, request: bytes) -> bytes:
    """Send bytes, hang up our half, read all that comes."""
    parts = urlsplit(running.service_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    await writer.drain()
    writer.write_eof()
    got = await reader.read()
    writer.close()
    await writer.wait_closed()
    return got


class TestVersion:
    async def test_bare_it_is_a_json_string(self, running):
        async with httpx2.AsyncClient(base_url=running.service_url, trust_env=False, verify=False) as nobody:
            answer = await nobody.get("/v2/version")
        assert answer.status_code == 200
        assert isinstance(answer.json(), str)

    async def test_with_all_it_says_who_may_come(self, running):
        async with httpx2.AsyncClient(base_url=running.service_url, trust_env=False, verify=False) as nobody:
            body = (await nobody.get("/v2/version", params={"service": "all"})).json()
        assert body["min_sdk_version"] <= "4.19.0"
        assert body["min_ep_version"] <= "4.19.0"
        assert body["min_endpoint_version"] == body["min_ep_version"]
        assert body["afield"]

    async def test_it_lives(self, running):
        async with httpx2.AsyncClient(base_url=running.service_url, trust_env=False, verify=False) as nobody:
            assert (await nobody.get("/healthz")).json() == {"status": "ok"}

    async def test_a_proxys_form_of_a_request_is_understood(self, running):
        """Published clients behind http_proxy send absolute targets (wire contract, section 1.1)."""
        got = await raw(
            running, b"GET http://localhost:5000/v2/version?service=all HTTP/1.1\r\nHost: localhost:5000\r\n\r\n"
        )
        assert got.startswith(b"HTTP/1.1 200")
        assert b"min_sdk_version" in got


class TestWhoIsAsking:
    @pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}])
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v2/endpoints"), ("POST", "/v3/endpoints"), ("PUT", f"/v3/endpoints/{NOWHERE}"),
            ("GET", f"/v2/endpoints/{NOWHERE}"), ("GET", f"/v2/endpoints/{NOWHERE}/status"),
            ("GET", f"/v3/endpoints/{NOWHERE}/allowed_functions"), ("POST", f"/v3/endpoints/{NOWHERE}/lock"),
            ("DELETE", f"/v2/endpoints/{NOWHERE}"), ("POST", f"/v3/endpoints/{NOWHERE}/submit"),
            ("POST", "/v3/functions"), ("GET", f"/v2/functions/{NOWHERE}"), ("DELETE", f"/v2/functions/{NOWHERE}"),
            ("GET", f"/v2/tasks/{NOWHERE}"), ("POST", "/v2/batch_status"), ("GET", f"/v2/taskgroup/{NOWHERE}"),
            ("POST", "/afield/v1/tasks/cancel"), ("GET", "/afield/v1/tasks"), ("GET", "/afield/v1/functions"),
            ("GET", "/v2/get_amqp_result_connection_url"), ("GET", "/nowhere"), ("GET", "/openapi.json"),
        ],
    )  # fmt: skip
    async def test_nobody_gets_anything(self, running, header, method, path):
        """Not even from the same machine."""
        async with httpx2.AsyncClient(
            base_url=running.service_url, headers=header, trust_env=False, verify=False
        ) as nobody:
            said = check_refusal(await nobody.request(method, path), 401, "USER_UNAUTHENTICATED")
        assert "AFIELD_TOKEN" in said


class TestMalformed:
    @pytest.mark.parametrize(
        "path", ["/v3/functions", "/v3/endpoints", f"/v3/endpoints/{NOWHERE}/submit", "/v2/batch_status"]
    )
    @pytest.mark.parametrize(
        "body", [b"", b"{", b'{"tasks": {"a"', b"\xff\xfe", b"[]", b"null", b"7", b'"x"', b"{}", b"[" * 20_000]
    )
    async def test_a_body_that_is_none(self, http, path, body):
        check_refusal(await http.post(path, content=body), 400, "REQUEST_MALFORMED")

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("/v3/functions", SOURCE | {"function_name": 7}, "function_name"),
            ("/v3/functions", {"function_name": "f"}, "function_code"),
            ("/v3/functions", SOURCE | {"public": "perhaps"}, "public"),
            ("/v3/endpoints", {"endpoint_name": "e", "metadata": []}, "metadata"),
            ("/v3/endpoints", {}, "endpoint_name"),
            (f"/v3/endpoints/{NOWHERE}/submit", {"tasks": {"x": "y"}}, "tasks"),
            (f"/v3/endpoints/{NOWHERE}/submit", {"tasks": {}, "task_group_id": 7}, "task_group_id"),
            ("/v2/batch_status", {"task_ids": "x"}, "task_ids"),
            ("/v2/batch_status", {}, "task_ids"),
        ],
    )
    async def test_the_field_that_is_wrong_is_named(self, http, path, body, field):
        assert field in check_refusal(await http.post(path, json=body), 400, "REQUEST_MALFORMED")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v2/tasks/x"), ("GET", "/v2/functions/x"), ("GET", "/v2/endpoints/x"), ("GET", "/v2/taskgroup/x"),
            ("GET", "/v2/endpoints/x/status"), ("POST", "/v3/endpoints/x/lock"), ("DELETE", "/v2/endpoints/x"),
            ("GET", "/v3/endpoints/x/allowed_functions"), ("DELETE", "/v2/functions/x"),
        ],
    )  # fmt: skip
    async def test_what_is_no_uuid_is_told(self, http, method, path):
        said = check_refusal(await http.request(method, path), 400, "INVALID_UUID")
        assert "'x' is not a" in said

    async def test_ids_inside_a_submit_too(self, http):
        function_id, endpoint_id = await make(http)
        for where, body in ((endpoint_id, {"tasks": {"x": [PAYLOAD]}}), ("x", {"tasks": {function_id: [PAYLOAD]}})):
            answer = await http.post(f"/v3/endpoints/{where}/submit", json=body)
            check_refusal(answer, 400, "INVALID_UUID")

    async def test_nulls_are_absent(self, http):
        function_id, endpoint_id = await make(http)
        body = {"tasks": {function_id: [PAYLOAD]}, "user_endpoint_config": None, "resource_specification": None,
                "task_group_id": None, "user_runtime": None, "result_serializers": None}  # fmt: skip
        assert (await http.post(f"/v3/endpoints/{endpoint_id}/submit", json=body)).status_code == 200

    async def test_unknown_fields_are_left_alone(self, http):
        assert (await http.post("/v3/functions", json=SOURCE | {"from_the_future": 1})).status_code == 200

    async def test_no_such_route_and_no_such_method(self, http):
        check_refusal(await http.get("/v2/nowhere"), 404, "ROUTE_NOT_FOUND")
        check_refusal(await http.delete("/v2/batch_status"), 405, "METHOD_NOT_ALLOWED")

    async def test_a_request_that_ends_too_early_hurts_nobody(self, running, http):
        head = "POST /v3/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
        head += f"Authorization: Bearer {running.token}\r\n\r\n"
        await raw(running, head.encode() + b'{"function_name"')
        await raw(running, b"GET /v2/ver")
        await raw(running, b"\x16\x03\x01\x02\x00nonsense\r\n\r\n")
        assert (await http.get("/v2/endpoints")).status_code == 200


class TestTooLarge:
    async def test_a_body_that_says_so(self, http):
        answer = await http.post("/v3/functions", content=b"x" * 100_001)
        check_refusal(answer, 413, "BATCH_RUN_TOO_LARGE")

    @pytest.mark.parametrize("path", ["/v3/functions", f"/v3/endpoints/{NOWHERE}/submit"])
    async def test_a_body_that_does_not(self, http, path):
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(101):
                yield b"x" * 1000

        check_refusal(await http.post(path, content=chunks()), 413, "BATCH_RUN_TOO_LARGE")

    async def test_a_payload(self, http):
        function_id, endpoint_id = await make(http)
        payload = "60000\n" + "x" * 60_000 + "0\n"
        answer = await http.post(f"/v3/endpoints/{endpoint_id}/submit", json={"tasks": {function_id: [payload]}})
        check_refusal(answer, 413, "TASK_PAYLOAD_TOO_LARGE")

    async def test_a_function(self, http):
        answer = await http.post("/v3/functions", json=SOURCE | {"function_code": "#" * 60_000})
        check_refusal(answer, 413, "FUNCTION_TOO_LARGE")


class TestFunctions:
    async def test_source_is_packed_and_read_again(self, http):
        function_id = (await http.post("/v3/functions", json=SOURCE | {"meta": {"python_version": "3.11"}})).json()[
            "function_uuid"
        ]
        assert str(uuid.UUID(function_id)) == function_id
        shown = (await http.get(f"/v2/functions/{function_id}")).json()
        inner = f"st\nf:{SOURCE['function_code']}"
        assert shown["function_code"] == f"{len(inner)}\n{inner}"
        assert (shown["function_uuid"], shown["function_name"]) == (function_id, "f")
        assert shown["metadata"] == {"python_version": "3.11"}

    async def test_what_a_serializer_packed_stays_as_it_is(self, http):
        body = {"function_name": "g", "function_code": "6\n01\nabc", "serialized": True, "description": "it does"}
        function_id = (await http.post("/v3/functions", json=body)).json()["function_uuid"]
        shown = (await http.get(f"/v2/functions/{function_id}")).json()
        assert shown["function_code"] == "6\n01\nabc"
        assert shown["description"] == "it does"

    @pytest.mark.parametrize(
        "body",
        [{"function_name": "", "function_code": "6\n01\nabc"}, {"function_name": "g", "function_code": "7\n01\nabc"}],
    )
    async def test_what_cannot_be_is_refused(self, http, body):
        check_refusal(await http.post("/v3/functions", json=body), 422, "SEMANTICALLY_INVALID")

    async def test_a_deleted_one_is_gone(self, http):
        function_id, _ = await make(http)
        assert (await http.delete(f"/v2/functions/{function_id}")).json() == {"result": 302}
        check_refusal(await http.get(f"/v2/functions/{function_id}"), 404, "FUNCTION_NOT_FOUND")
        check_refusal(await http.delete(f"/v2/functions/{function_id}"), 404, "FUNCTION_NOT_FOUND")


class TestEndpoints:
    async def test_registered_described_listed_deleted(self, http, running):
        _, endpoint_id = await make(http, display_name="Mine", public=False, high_assurance=False)
        path = f"/v2/endpoints/{endpoint_id}"
        shown = (await http.get(path)).json()
        assert (shown["uuid"], shown["name"], shown["display_name"]) == (endpoint_id, "e", "Mine")
        assert shown["user_config_template"] == "engine: x"
        [listed] = (await http.get("/v2/endpoints")).json()
        assert {
            "uuid": endpoint_id,
            "name": "e",
            "display_name": "Mine",
            "owner": running.owner.id,
        }.items() <= listed.items()
        assert (await http.get("/v2/endpoints", params={"role": "any"})).json() == [listed]
        status = (await http.get(f"{path}/status")).json()
        assert status["status"] == "offline"
        assert set(status["details"]) == {
            "total_workers",
            "idle_workers",
            "pending_tasks",
            "outstanding_tasks",
            "managers",
        }
        allowed = (await http.get(f"/v3/endpoints/{endpoint_id}/allowed_functions")).json()
        assert allowed == {"endpoint_id": endpoint_id, "restricted": False, "functions": []}
        assert (await http.delete(path)).json() == {"result": 302}
        check_refusal(await http.get(path), 404, "ENDPOINT_NOT_FOUND")

    async def test_locked_it_may_not_come_back_yet(self, http):
        _, endpoint_id = await make(http)
        answer = (await http.post(f"/v3/endpoints/{endpoint_id}/lock")).json()
        assert answer["endpoint_id"] == endpoint_id
        assert isinstance(answer["lock_expiration_timestamp"], float)
        again = await http.put(f"/v3/endpoints/{endpoint_id}", json={"endpoint_name": "e"})
        check_refusal(again, 423, "RESOURCE_LOCKED")

    async def test_again_under_its_id(self, http):
        _, endpoint_id = await make(http)
        again = await http.put(f"/v3/endpoints/{endpoint_id}", json={"endpoint_name": "renamed", "metadata": {}})
        assert again.json()["endpoint_id"] == endpoint_id
        assert (await http.get(f"/v2/endpoints/{endpoint_id}")).json()["name"] == "renamed"
        nobody = await http.put(f"/v3/endpoints/{NOWHERE}", json={"endpoint_name": "e"})
        check_refusal(nobody, 404, "ENDPOINT_NOT_FOUND")

    async def test_another_role_is_told(self, http):
        check_refusal(await http.get("/v2/endpoints?role=boss"), 400, "REQUEST_MALFORMED")


class TestTasks:
    async def test_accepted_while_the_endpoint_is_away(self, http):
        function_id, endpoint_id = await make(http)
        answer = await http.post(
            f"/v3/endpoints/{endpoint_id}/submit", json={"tasks": {function_id: [PAYLOAD] * 2}, "create_queue": True}
        )
        assert answer.status_code == 200
        accepted = answer.json()
        assert set(accepted) == {"request_id", "task_group_id", "endpoint_id", "tasks"}
        [one, two] = accepted["tasks"][function_id]
        assert (await http.get(f"/v2/tasks/{one}")).json() == {"task_id": one, "status": "waiting-for-ep"}
        statuses = (await http.post("/v2/batch_status", json={"task_ids": [one, two]})).json()
        assert statuses["response"] == "batch"
        assert {one: "waiting-for-ep", two: "waiting-for-ep"} == {
            k: v["status"] for k, v in statuses["results"].items()
        }
        group = (await http.get(f"/v2/taskgroup/{accepted['task_group_id']}")).json()
        assert group["taskgroup_id"] == accepted["task_group_id"]
        assert [task["id"] for task in group["tasks"]] == [one, two]

    async def test_repeated_with_the_same_key(self, http):
        function_id, endpoint_id = await make(http)
        body = {"tasks": {function_id: [PAYLOAD]}}
        path = f"/v3/endpoints/{endpoint_id}/submit"
        first = await http.post(path, json=body, headers={"Idempotency-Key": "k"})
        assert (await http.post(path, json=body, headers={"Idempotency-Key": "k"})).json() == first.json()
        assert (await http.post(path, json=body, headers={"Idempotency-Key": "l"})).json() != first.json()

    async def test_unknown_ones(self, http):
        unknown = NOWHERE
        check_refusal(await http.get(f"/v2/tasks/{unknown}"), 404, "TASK_NOT_FOUND")
        check_refusal(await http.get(f"/v2/taskgroup/{unknown}"), 404, "TASK_GROUP_NOT_FOUND")
        check_refusal(
            await http.post(f"/v3/endpoints/{unknown}/submit", json={"tasks": {unknown: [PAYLOAD]}}),
            404,
            "ENDPOINT_NOT_FOUND",
        )

    async def test_where_the_results_are(self, http, running):
        answer = (await http.get("/v2/get_amqp_result_connection_url")).json()
        assert answer["queue_prefix"] == f"{running.owner.id}."
        assert answer["connection_url"].startswith(f"amqp://sdk.{running.owner.id}.")
        assert f"@127.0.0.1:{running.amqp_port}/%2F" in answer["connection_url"]


async def test_every_route_is_described(http):
    """Also those that are answered before the framework sees them."""
    document = (await http.get("/openapi.json")).json()
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert {
        ("POST", "/v3/endpoints/{endpoint_id}/submit"), ("POST", "/v2/batch_status"), ("GET", "/v2/tasks/{task_id}"),
        ("POST", "/v3/endpoints"), ("PUT", "/v3/endpoints/{endpoint_id}"), ("GET", "/v2/taskgroup/{taskgroup_id}"),
        ("POST", "/v3/endpoints/{endpoint_id}/lock"), ("GET", "/v3/endpoints/{endpoint_id}/allowed_functions"),
        ("POST", "/v3/functions"), ("GET", "/v2/functions/{function_id}"), ("DELETE", "/v2/functions/{function_id}"),
        ("GET", "/v2/endpoints"), ("GET", "/v2/endpoints/{endpoint_id}"), ("GET", "/v2/endpoints/{endpoint_id}/status"),
        ("DELETE", "/v2/endpoints/{endpoint_id}"), ("GET", "/v2/version"),
        ("GET", "/v2/get_amqp_result_connection_url"), ("POST", "/afield/v1/tasks/cancel"), ("GET", "/afield/v1/tasks"),
        ("GET", "/afield/v1/functions"),
    } <= described  # fmt: skip
    assert "submit" in json.dumps(document["paths"]["/v3/endpoints/{endpoint_id}/submit"]["post"]).lower()

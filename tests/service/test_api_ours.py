"""What is ours of the routes, over real sockets: cancel, lists, and what a submit brings and gets beside the tasks."""

from __future__ import annotations

import httpx2
import pytest

from .test_api import NOWHERE, PAYLOAD, SOURCE, check_refusal, http, limits, make, running

__all__ = ["http", "limits", "running"]  # fixtures

pytestmark = pytest.mark.anyio

OURS = {"X-Afield-Wire": "2"}


async def submit(http: httpx2.AsyncClient, endpoint_id: str, tasks: dict, headers: dict | None = None, **said) -> dict:
    body = {"tasks": tasks, "create_queue": True} | said
    answer = await http.post(f"/v3/endpoints/{endpoint_id}/submit", json=body, headers=OURS | (headers or {}))
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestSubmit:
    async def test_the_first_one_needs_no_other_request(self, http, running):
        _, endpoint_id = await make(http)
        key = {"Idempotency-Key": "k"}
        said = {"functions": {"f": SOURCE}, "options": {"label": "Night run", "timeout_s": None}}
        first, second = [await submit(http, endpoint_id, {"f": [PAYLOAD]}, key, **said) for _ in range(2)]
        assert first.keys() == {
            "request_id", "task_group_id", "endpoint_id", "tasks", "functions", "result_queue", "min_sdk_version",
            "payload_bytes",
        }  # fmt: skip
        assert first["result_queue"]["queue_prefix"] == f"{running.owner.id}."
        assert (first["functions"], first["tasks"]) == (second["functions"], second["tasks"])
        shown = (await http.get(f"/v2/functions/{first['functions']['f']}")).json()
        assert shown["function_name"] == "f"

    async def test_what_is_not_there_is_refused_for_programs_too(self, http):
        function_id, endpoint_id = await make(http)
        body = {"tasks": {function_id: [PAYLOAD]}, "options": {"timeout_s": 3, "gpus": 1}}
        answer = await http.post(f"/v3/endpoints/{endpoint_id}/submit", json=body, headers=OURS)
        check_refusal(answer, 422, "OPTIONS_NOT_SUPPORTED", about=["timeout", "gpus"])

    @pytest.mark.parametrize(
        "options", [{"timeout_s": 0}, {"retries": -1}, {"cores": 0}, {"memory": 2**63}, {"gpus": "all"}, {"label": 7}]
    )
    async def test_options_that_cannot_be_are_told(self, http, options):
        function_id, endpoint_id = await make(http)
        body = {"tasks": {function_id: [PAYLOAD]}, "options": options}
        answer = await http.post(f"/v3/endpoints/{endpoint_id}/submit", json=body, headers=OURS)
        assert next(iter(options)) in check_refusal(answer, 400, "REQUEST_MALFORMED")

    async def test_a_name_that_no_database_keeps_is_told(self, http):
        function_id, endpoint_id = await make(http)
        answer = await http.post("/v3/functions", json=SOURCE | {"function_name": "a\0b"})
        check_refusal(answer, 422, "SEMANTICALLY_INVALID")
        body = {"tasks": {function_id: [PAYLOAD]}, "options": {"label": "a\0b"}}
        answer = await http.post(f"/v3/endpoints/{endpoint_id}/submit", json=body, headers=OURS)
        check_refusal(answer, 422, "SEMANTICALLY_INVALID")


class TestCancel:
    async def test_what_waits_ends(self, http):
        function_id, endpoint_id = await make(http, metadata={"afield_wire": 2})
        accepted = await submit(http, endpoint_id, {function_id: [PAYLOAD]})
        [task_id] = accepted["tasks"][function_id]
        answer = await http.post("/afield/v1/tasks/cancel", json={"task_ids": [task_id, NOWHERE, "x"]}, headers=OURS)
        assert answer.json() == {
            "results": {task_id: {"status": "cancelled"}, NOWHERE: {"status": "unknown"}, "x": {"status": "unknown"}}
        }
        shown = (await http.get(f"/v2/tasks/{task_id}", headers=OURS)).json()
        assert (shown["status"], shown["error_code"]) == ("cancelled", "TaskCancelled")
        assert shown["since"] == float(shown["completion_t"])
        published = (await http.get(f"/v2/tasks/{task_id}")).json()
        assert published["status"] == "failed"
        assert published["exception"] == shown["exception"] != ""
        assert "since" not in published

    async def test_a_body_that_is_none(self, http):
        for body in ({}, {"task_ids": "x"}, {"task_ids": [], "running": "perhaps"}):
            check_refusal(await http.post("/afield/v1/tasks/cancel", json=body), 400, "REQUEST_MALFORMED")


class TestLists:
    async def test_tasks(self, http):
        function_id, endpoint_id = await make(http, metadata={"afield_wire": 2})
        said = {"options": {"label": "Night run"}}
        accepted = await submit(http, endpoint_id, {function_id: [PAYLOAD] * 3}, **said)
        old, middle, new = accepted["tasks"][function_id]
        page = (await http.get("/afield/v1/tasks", params={"limit": 2})).json()
        assert [task["task_id"] for task in page["tasks"]] == [new, middle]
        one = page["tasks"][0]
        assert (one["status"], one["label"], one["function_name"]) == ("waiting-for-ep", "Night run", "f")
        assert (one["function_id"], one["task_group_id"]) == (function_id, accepted["task_group_id"])
        rest = (await http.get("/afield/v1/tasks", params={"limit": 2, "before": page["next"]})).json()
        assert [task["task_id"] for task in rest["tasks"]] == [old]
        assert rest["next"] is None
        narrow = {"status": "pending", "endpoint_id": endpoint_id, "function_id": function_id, "search": "NIGHT",
                  "task_group_id": accepted["task_group_id"]}  # fmt: skip
        assert len((await http.get("/afield/v1/tasks", params=narrow)).json()["tasks"]) == 3
        assert (await http.get("/afield/v1/tasks?status=failed")).json() == {"tasks": [], "next": None}
        assert len((await http.get("/afield/v1/tasks?status=&search=&before=&limit=")).json()["tasks"]) == 3

    async def test_functions_and_endpoints(self, http):
        function_id, endpoint_id = await make(http)
        listed = (await http.get("/afield/v1/functions", params={"search": "f"})).json()
        assert [each["function_uuid"] for each in listed["functions"]] == [function_id]
        assert listed["next"] is None
        assert "function_code" not in listed["functions"][0]
        for search, found in (("LAB", [endpoint_id]), ("nowhere", [])):
            answer = await http.get("/v2/endpoints", params={"search": search, "role": "any"})
            assert [each["uuid"] for each in answer.json()] == found

    @pytest.mark.parametrize("path", ["/afield/v1/tasks", "/afield/v1/functions"])
    @pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", "1.5", "²", "9" * 5000])
    async def test_a_limit_that_is_none(self, http, path, limit):
        said = check_refusal(await http.get(path, params={"limit": limit}), 400, "REQUEST_MALFORMED")
        assert "from 1 to 1,000" in said

    async def test_other_values_that_cannot_be(self, http):
        check_refusal(await http.get("/afield/v1/tasks?status=done"), 400, "REQUEST_MALFORMED")
        for name in ("before", "endpoint_id", "function_id", "task_group_id"):
            check_refusal(await http.get(f"/afield/v1/tasks?{name}=x"), 400, "INVALID_UUID")
        check_refusal(await http.get("/afield/v1/functions?before=x"), 400, "INVALID_UUID")


async def test_the_queue_of_a_group_is_made_ready_for_who_asks(http):
    function_id, endpoint_id = await make(http)
    accepted = await submit(http, endpoint_id, {function_id: [PAYLOAD]})
    path = "/v2/get_amqp_result_connection_url"
    answer = await http.get(path, params={"task_group_id": accepted["task_group_id"]}, headers=OURS)
    assert answer.json().keys() == {"queue_prefix", "connection_url"}
    check_refusal(await http.get(f"{path}?task_group_id={NOWHERE}"), 404, "TASK_GROUP_NOT_FOUND")
    check_refusal(await http.get(f"{path}?task_group_id=x"), 400, "INVALID_UUID")


async def test_they_are_described(http):
    paths = (await http.get("/openapi.json")).json()["paths"]
    tasks = {one["name"] for one in paths["/afield/v1/tasks"]["get"]["parameters"]}
    assert tasks == {"status", "endpoint_id", "function_id", "task_group_id", "search", "before", "limit"}
    assert paths["/afield/v1/tasks/cancel"]["post"]["requestBody"]
    assert {one["name"] for one in paths["/afield/v1/functions"]["get"]["parameters"]} == {"search", "before", "limit"}
    assert {one["name"] for one in paths["/v2/endpoints"]["get"]["parameters"]} == {"role", "search"}

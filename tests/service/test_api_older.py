"""What the first published clients ask under other names, over real sockets (what newer ones ask: test_api.py)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.service.test_api import NOWHERE, PAYLOAD, SOURCE, check_refusal, http, limits, make, running

pytestmark = pytest.mark.anyio

__all__ = ["http", "limits", "running"]  # fixtures

GROUP = "17ac39ab-752c-41ed-8204-3f78fb8c7433"


class TestSubmit:
    async def test_tasks_come_back_in_the_order_of_the_request(self, http):
        one, endpoint_id = await make(http)
        other = (await http.post("/v3/functions", json=SOURCE | {"function_name": "g"})).json()["function_uuid"]
        tasks = [[function_id, endpoint_id, PAYLOAD] for function_id in (one, other, one)]
        body = {"task_group_id": GROUP, "create_websocket_queue": True, "tasks": tasks}
        answer = (await http.post("/v2/submit", json=body)).json()
        assert answer["task_group_id"] == GROUP
        assert {done["http_status_code"] for done in answer["results"]} == {200}
        ids = [done["task_uuid"] for done in answer["results"]]
        listed = (await http.get("/afield/v1/tasks")).json()["tasks"]
        by_id = {task["task_id"]: task["function_id"] for task in listed}
        assert [by_id[task_id] for task_id in ids] == [one, other, one]
        assert len(set(ids)) == 3
        group = (await http.get(f"/v2/taskgroup/{GROUP}")).json()
        assert {task["id"] for task in group["tasks"]} == set(ids)

    @pytest.mark.parametrize(("endpoints", "why"), [([], "has no tasks"), ([NOWHERE, GROUP], "for 2 endpoints")])
    async def test_a_batch_is_for_one_endpoint(self, http, endpoints, why):
        body = {"task_group_id": GROUP, "tasks": [[NOWHERE, endpoint_id, PAYLOAD] for endpoint_id in endpoints]}
        said = check_refusal(await http.post("/v2/submit", json=body), 422, "SEMANTICALLY_INVALID")
        assert why in said


class TestEndpoints:
    async def test_a_lock_says_until_when_in_words(self, http):
        _, endpoint_id = await make(http)
        answer = (await http.post(f"/v2/endpoints/{endpoint_id}/lock", json={})).json()
        assert answer["endpoint_id"] == endpoint_id
        assert datetime.fromisoformat(answer["lock_expiration_timestamp"]) > datetime.now(UTC)
        again = await http.put(f"/v3/endpoints/{endpoint_id}", json={"endpoint_name": "e"})
        check_refusal(again, 423, "RESOURCE_LOCKED")

    @pytest.mark.parametrize(
        ("metadata", "about", "advice"),
        [
            ({"endpoint_version": "2.34.0", "user_config_template": "x"}, ["2.34.0", "3.1.0"], "install a newer"),
            ({"endpoint_version": "3.16.1"}, ["3.16.1"], "--multi-user"),
        ],
    )
    async def test_one_that_could_not_work_is_told_so(self, http, metadata, about, advice):
        body = {"endpoint_name": "e", "metadata": metadata}
        for answer in (
            await http.post("/v3/endpoints", json=body),
            await http.put(f"/v3/endpoints/{NOWHERE}", json=body),
        ):
            assert advice in check_refusal(answer, 400, "ENDPOINT_OUTDATED", about)

    @pytest.mark.parametrize(
        "metadata",
        [
            {"endpoint_version": "3.1.1", "user_config_template": "x"},
            {"endpoint_version": "4.19.0", "user_config_template": None},
            {"endpoint_version": "0.1.0", "afield_wire": 2},
            {},
        ],
    )
    async def test_others_are_welcome(self, http, metadata):
        answer = await http.post("/v3/endpoints", json={"endpoint_name": "e", "metadata": metadata})
        assert answer.json()["command_queue_info"]


async def test_who_compiled_a_function_has_had_two_names(http):
    for name in ("meta", "metadata"):
        registered = (await http.post("/v3/functions", json=SOURCE | {name: {"python_version": "3.8.18"}})).json()
        function = (await http.get(f"/v2/functions/{registered['function_uuid']}")).json()
        assert function["metadata"] == {"python_version": "3.8.18"}

"""Every route by its own description: requests made from it, good ones and bad ones, to a service that runs.

No request may make the service stumble, and each answer is as described: status, type and shape.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

schemathesis = pytest.importorskip("schemathesis")

from schemathesis.checks import not_a_server_error  # noqa: E402 - after it is known to be there
from schemathesis.generation import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from afield.service.api.openapi import document  # noqa: E402
from afield.service.api.routes import ROUTES  # noqa: E402
from afield.service.app import Running, Service  # noqa: E402
from afield.service.settings import Limits, Settings  # noqa: E402

#: For each route, good ones and bad ones. More find more: AFIELD_TEST_EXAMPLES=500 makes a night's run.
EXAMPLES = int(os.environ.get("AFIELD_TEST_EXAMPLES", "8"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SCHEMA = schemathesis.openapi.from_dict(document([route for route in ROUTES if route.is_listed], "test"))
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Running]:
    """A service in a thread of its own, for the requests here wait."""
    said = Settings(data_dir=tmp_path_factory.mktemp("data"), port=0, amqp_port=0, limits=Limits(start_wait_s=0.05))
    up, down = threading.Event(), threading.Event()
    found: list[Running] = []

    async def serve() -> None:
        service = Service()
        found.append(await service.start(said))
        up.set()
        await asyncio.to_thread(down.wait)
        await service.stop()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert up.wait(30)
    yield found[0]
    down.set()
    thread.join(30)


@pytest.fixture(scope="module")
def known(running) -> dict[str, str]:
    """What there is, so that requests about it get further than to say that there is none."""
    import httpx2

    with httpx2.Client(
        base_url=running.service_url, headers={"Authorization": f"Bearer {running.token}"}, trust_env=False
    ) as http:
        source = {"function_name": "f", "function_code": "def f(): pass", "serialized": False}
        function_id = http.post("/v3/functions", json=source).json()["function_uuid"]
        endpoint = http.post("/v3/endpoints", json={"endpoint_name": "e"}).json()["endpoint_id"]
        group = http.post("/afield/v1/groups", json={"name": "g"}).json()["id"]
        policy = http.post("/afield/v1/policies", json={"name": "p"}).json().get("id", endpoint)
        return {
            "function_id": function_id,
            "endpoint_id": endpoint,
            "group_id": group,
            "policy_id": policy,
            "identity_id": running.owner.id,
        }


def can_be_wrong(label: str) -> bool:
    """Whether there is anything that a request of this kind can get wrong: any text is a fine text."""
    method, _, path = label.partition(" ")
    said = SCHEMA.raw_schema["paths"][path][method.lower()]
    return "requestBody" in said or any(set(one["schema"]) > {"type"} for one in said.get("parameters", ()))


CASES = [pytest.param(label, GenerationMode.POSITIVE, id=f"good {label}") for label in OPERATIONS]
CASES += [
    pytest.param(label, GenerationMode.NEGATIVE, id=f"bad {label}") for label in OPERATIONS if can_be_wrong(label)
]


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_what_is_described_is_so(running, known, label, mode):
    operation = OPERATIONS[label]
    headers = {"Authorization": f"Bearer {running.token}"}

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode), use_known=st.booleans())
    def ask(case, use_known):
        if use_known and case.path_parameters:
            case.path_parameters |= {name: known[name] for name in case.path_parameters if name in known}
        case.call_and_validate(base_url=running.service_url, headers=headers, checks=CHECKS)

    ask()

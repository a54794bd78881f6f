"""What only clients and endpoints of ours use of a submit: options, functions that come along, care about versions."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import msgspec
import pytest

from afield.ids import new_id
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits
from afield.wire.messages import CallOptions
from afield.wire.rest import FunctionRegistration, SubmitRequest

pytestmark = pytest.mark.anyio


@pytest.fixture
def limits() -> Limits:
    return Limits(function_bytes=100)


async def refused(awaitable) -> Refusal:
    with pytest.raises(Refusal) as info:
        await awaitable
    return info.value


class TestCallOptions:
    async def test_they_travel_with_the_tasks_and_are_kept(self, world):
        core, user, function_id = await world.ready()
        options = CallOptions(timeout_s=3, retries=2, retry_on=("builtins.OSError",), priority=5, label="mine")
        accepted = await world.submit(core, function_id, 2, options=options)
        assert [(await user.tasks.get()).options for _ in range(2)] == [options] * 2
        stored = await world.store.waiting_tasks(user.id)
        assert {record.options.call for record in stored} == {options}
        assert {record.id for record in stored} == set(accepted.tasks[function_id])

    async def test_tasks_without_any_carry_none(self, world):
        core, user, function_id = await world.ready()
        await world.submit(core, function_id)
        assert (await user.tasks.get()).options is None

    async def test_a_published_endpoint_is_not_given_what_it_would_ignore(self, world):
        core, user, function_id = await world.ready(wire=1)
        refusal = await refused(world.submit(core, function_id, options=CallOptions(timeout_s=3)))
        assert (refusal.code, refusal.about) == ("OPTIONS_NOT_SUPPORTED", ["timeout"])
        assert await world.store.waiting_counts() == {}
        await world.submit(core, function_id, options=CallOptions(label="mine"))
        assert (await user.tasks.get()).options is None  # its envelope has no place for a label


def registration(**said: Any) -> FunctionRegistration:
    return FunctionRegistration(**({"function_name": "g", "function_code": "def g(): 2", "serialized": False} | said))


def along(world, *, payloads: int = 1, wire: int = 2, key: str | None = None, **said: Any):
    """A submit that brings its function along."""
    request = world.request("mine", payloads, **({"functions": {"mine": registration()}} | said))
    return lambda core: world.uses.submit(world.ada, core.id, request, wire=wire, key=key)


class TestFunctionsThatComeAlong:
    async def test_one_request_is_enough(self, world):
        core, user, known = await world.ready()
        request = SubmitRequest(
            {"mine": [world.payload] * 2, known: [world.payload]}, create_queue=True, functions={"mine": registration()}
        )
        answer = world.answer(await world.uses.submit(world.ada, core.id, request, wire=2))
        assert answer.functions.keys() == {"mine"}
        assert list(answer.tasks) == ["mine", known]
        tasks = [await user.tasks.get() for _ in range(3)]
        assert [task.task_id for task in tasks] == answer.tasks["mine"] + answer.tasks[known]
        assert [task.function_id for task in tasks] == [answer.functions["mine"]] * 2 + [known]
        assert tasks[0].code == b"15\nst\ng:def g(): 2"
        kept = await world.uses.functions.read(world.ada, answer.functions["mine"])
        assert (kept.function_name, kept.function_code) == ("g", "15\nst\ng:def g(): 2")
        again = await world.submit(core, answer.functions["mine"])
        assert (await user.tasks.get()).task_id == again.tasks[answer.functions["mine"]][0]

    async def test_the_answer_brings_what_its_client_needs_next(self, world):
        core, user, _ = await world.ready()
        await user.report(python_version="3.12.1")
        answer = world.answer(await along(world)(core))
        assert answer.python_version == "3.12.1"
        assert answer.min_sdk_version
        assert answer.result_queue.queue_prefix == f"{world.ada.id}."
        connection = await world.broker.connect(answer.result_queue.connection_url)
        await connection.consume(answer.result_queue.queue_prefix + answer.task_group_id, print)

    async def test_who_does_not_ask_for_the_queue_gets_no_way_there(self, world):
        core, _, _ = await world.ready()
        assert world.answer(await along(world, create_queue=False)(core)).result_queue is None

    async def test_published_clients_get_the_published_answer(self, world):
        core, user, function_id = await world.ready()
        await user.report(python_version="3.12.1")
        body = await world.uses.submit(world.ada, core.id, world.request(function_id, 1), wire=1, key="k")
        assert msgspec.json.decode(body).keys() == {"request_id", "task_group_id", "endpoint_id", "tasks"}

    async def test_repeated_it_is_registered_once_and_the_way_to_the_results_is_fresh(self, world):
        core, _, _ = await world.ready()
        kept = []
        add_tasks = world.store.add_tasks

        async def noting(tasks, submit=None, functions=(), **options):
            kept.append(submit.response)
            await add_tasks(tasks, submit, functions, **options)

        world.store.add_tasks = noting
        submit = along(world, key="k")
        first = world.answer(await submit(core))
        world.clock.advance(7)
        second = world.answer(await submit(core))
        assert (second.functions, second.tasks, second.request_id) == (first.functions, first.tasks, first.request_id)
        assert second.result_queue.connection_url != first.result_queue.connection_url
        assert len((await world.uses.lists.functions(world.ada)).functions) == 2  # and the one of ready()
        assert all(b"connection_url" not in response for response in kept)
        assert len(kept) == 2  # the second was turned away by the store

    async def test_a_service_that_was_started_again_knows_it(self, world):
        core, _, _ = await world.ready()
        first = world.answer(await along(world, key="k")(core))
        again = await type(world)(world.store, world.limits).start()
        second = world.answer(await along(again, key="k")(core))
        assert (second.functions, second.tasks) == (first.functions, first.tasks)
        assert second.result_queue is not None
        await again.stop()

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ({"function_name": ""}, "SEMANTICALLY_INVALID"),
            ({"function_code": "7\nab", "serialized": True}, "SEMANTICALLY_INVALID"),
            ({"function_code": "#" * 101}, "FUNCTION_TOO_LARGE"),
        ],
    )
    async def test_what_cannot_be_registered_cannot_come_along(self, world, said, code):
        core, _, _ = await world.ready()
        refusal = await refused(along(world, functions={"mine": registration(**said)})(core))
        assert refusal.code == code
        assert await world.store.waiting_counts() == {}

    async def test_of_a_refused_submit_nothing_is_registered(self, world):
        core, _, known = await world.ready()
        nowhere = new_id()
        request = SubmitRequest({"mine": [world.payload], nowhere: [world.payload]}, functions={"mine": registration()})
        refusal = await refused(world.uses.submit(world.ada, core.id, request, wire=2))
        assert refusal.code == "FUNCTION_NOT_FOUND"
        [only] = (await world.uses.lists.functions(world.ada)).functions
        assert only.function_uuid == known

    async def test_an_endpoint_with_a_list_of_functions_runs_no_new_one(self, world):
        core = await world.core(allowed_functions=[], online=False)
        refusal = await refused(along(world)(core))
        assert refusal.code == "FUNCTION_NOT_PERMITTED"
        assert "mine" in refusal.message

    async def test_a_client_that_does_not_say_that_it_is_ours_is_refused(self, world):
        core, _, _ = await world.ready()
        assert (await refused(along(world, wire=1)(core))).code == "REQUEST_MALFORMED"


class TestPython:
    runtime: ClassVar = {"python": {"version_tuple": [3, 11, 4]}}
    compiled: ClassVar = {"serde_identifier": "01", "python_version": "3.11.4"}

    async def test_compiled_code_that_the_workers_cannot_read_is_refused(self, world):
        core, user, _ = await world.ready()
        await user.report(python_version="3.12.1")
        compiled = registration(function_code="6\n01\nabc", serialized=True, meta=self.compiled)
        refusal = await refused(along(world, functions={"mine": compiled})(core))
        assert (refusal.code, refusal.about) == ("PYTHON_MISMATCH", ["3.12.1", "mine"])
        assert await world.store.waiting_counts() == {}
        assert len((await world.uses.lists.functions(world.ada)).functions) == 1

    async def test_the_process_that_comes_up_for_it_has_the_say(self, world):
        """The core endpoint runs another Python than the workers."""
        core = await world.core(metadata={"afield_wire": 2, "python_version": "3.12.1"})
        compiled = registration(function_code="6\n01\nabc", serialized=True, meta=self.compiled)
        submitting = asyncio.ensure_future(along(world, functions={"mine": compiled})(core))
        await (await core.start()).report(python_version="3.11.9")
        answer = world.answer(await submitting)
        assert answer.python_version == "3.11.9"

    async def test_published_clients_are_left_alone(self, world):
        """They would fail all of their Executor."""
        core, user, _ = await world.ready()
        await user.report(python_version="3.12.1")
        function_id = await world.function(meta=self.compiled)
        assert (await world.submit(core, function_id, wire=1)).tasks
        refusal = await refused(world.submit(core, function_id, wire=2))
        assert refusal.about == ["3.12.1", function_id]

    async def test_compiled_arguments(self, world):
        function_id = await world.function()
        same = await world.core(online=False, metadata={"afield_wire": 2, "python_version": "3.11.2"})
        asked = {"compiled": True, "user_runtime": self.runtime}
        assert (await world.submit(same, function_id, **asked)).tasks
        away = await world.core(online=False, metadata={"afield_wire": 2, "python_version": "3.12.1"})
        refusal = await refused(world.submit(away, function_id, **asked))
        assert refusal.about == ["3.12.1"]

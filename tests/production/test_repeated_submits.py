"""Two services on one PostgreSQL: published clients' repetitions are recognised at any, without a key."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx2
import pytest

from .conftest import PAYLOAD

pytestmark = [pytest.mark.anyio, pytest.mark.rabbitmq, pytest.mark.postgres]

PATIENCE_S = 30.0
DYING = Path(__file__).parent / "programs" / "dying_service.py"


class Submitter:
    """Sends the same bytes, as often as it is asked."""

    def __init__(self, core_id: str, function_id: str) -> None:
        self.path = f"/v3/endpoints/{core_id}/submit"
        self.body = json.dumps({"tasks": {function_id: [PAYLOAD]}, "create_queue": True}).encode()
        self.function_id = function_id

    async def send(self, http: httpx2.AsyncClient) -> httpx2.Response:
        return await http.post(self.path, content=self.body, headers={"Content-Type": "application/json"})

    async def submit(self, http: httpx2.AsyncClient) -> str:
        """The task."""
        answer = await self.send(http)
        assert answer.status_code == 200, answer.text
        [task_id] = answer.json()["tasks"][self.function_id]
        return task_id


async def tasks_in(database: str) -> set[str]:
    connection = await asyncpg.connect(database)
    rows = await connection.fetch("SELECT id FROM tasks")
    await connection.close()
    return {str(UUID(bytes=row[0])) for row in rows}


@pytest.mark.parametrize("where", ["committed", "queued"])
async def test_what_a_killed_service_did_not_answer_is_recognised_at_another(
    site, tmp_path, postgres_url, node, vhost, where
):
    one = await site()
    core, function_id = await one.core(), await one.function()
    submitter = Submitter(core.id, function_id)
    data = tmp_path / "dying"
    data.mkdir()
    (data / "secret").write_text("5e" * 32)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(DYING), where, str(data), postgres_url, f"amqp://guest:guest@127.0.0.1:{node.port}/{vhost}",
        node.api, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    url = json.loads(await process.stdout.readline())["service_url"]
    async with httpx2.AsyncClient(base_url=url, headers=one.http.headers, timeout=PATIENCE_S) as http:
        with pytest.raises(httpx2.TransportError):
            await submitter.send(http)
    assert await process.wait() == -9
    [lost] = await tasks_in(postgres_url)

    assert await submitter.submit(one.http) == lost
    assert await tasks_in(postgres_url) == {lost}
    another = await submitter.submit(one.http)  # that one was answered: the next is meant
    assert await tasks_in(postgres_url) == {lost, another}
    if where == "committed":
        return  # they are put into the queue by whoever is on duty, after a while
    await core.report()
    user = await core.start()
    await user.report()
    assert sorted(task.task_id for task in await user.take(2)) == sorted([lost, another])
    await one.stop()
    assert user.peer.deliveries.empty()


async def test_one_that_is_under_way_at_another_is_joined(site, postgres_url):
    one, two = await site(), await site()
    core, function_id = await one.core(), await one.function()
    await core.report()
    await asyncio.gather(one.until(core.id, "online"), two.until(core.id, "online"))
    submitter = Submitter(core.id, function_id)
    first = asyncio.ensure_future(submitter.send(one.http))
    user = await core.start()  # for it the first one waits
    first.cancel()
    repeats = one.service._uses.repeats
    async with asyncio.timeout(PATIENCE_S):
        while not repeats.strayed:
            await asyncio.sleep(0)
    again = asyncio.ensure_future(submitter.submit(two.http))
    await user.report()
    task_id = await again
    [task] = await user.take(1)
    assert task.task_id == task_id
    await one.stop()  # what it had under way is over then
    assert await tasks_in(postgres_url) == {task_id}
    assert user.peer.deliveries.empty()


async def test_equal_submits_that_are_meant_stay_apart(site, postgres_url):
    one, two = await site(), await site()
    core, function_id = await one.core(), await one.function()
    submitter = Submitter(core.id, function_id)
    both = await asyncio.gather(*(submitter.submit(each.http) for each in (one, two) * 5))
    assert len(set(both)) == 10
    await two.stop()  # its life has ended; but it had answered
    both.append(await submitter.submit(one.http))
    assert len(set(both)) == 11
    assert await tasks_in(postgres_url) == set(both)

"""The parts that are only there when everything is: a running `afield up`, asked over HTTP, and used by an Executor."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from afield.ids import new_id
from afield.sdk.transport.http import HttpTransport
from afield.wire.rest import FunctionRegistration, SubmitRequest
from benchmarks.breakdown.parts import Amount, Figure, batches, code_of_same, payload_of, timed_async
from benchmarks.peers.afield import Afield
from benchmarks.work import same

__all__ = ["ROLES", "Whole"]

#: What runs -> what its command line holds; what holds none of it is the caller.
ROLES = {
    "caller": "\0",
    "service, endpoint's manager": "-m afield up",
    "user endpoint's agent": "-m afield.endpoint.agent",
    "workers": "-m afield.worker",
}

Ask = Callable[[HttpTransport], Awaitable[Figure]]


class Whole:
    """One `afield up` for all of them."""

    def __init__(self, running: Afield) -> None:
        self.running = running
        (known,) = (running.directory / "services").iterdir()
        self.service = json.loads(Path(known).read_text())

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Whole]:
        """With two workers, as in the comparison."""
        running = Afield()
        running.start(2)
        try:
            yield cls(running)
        finally:
            running.stop()

    def http(self, amount: Amount) -> Figure:
        """The smallest request: what HTTP itself takes, both ends together."""

        async def ask(transport: HttpTransport) -> Figure:
            async def many() -> None:
                for _ in range(0, amount.tasks, amount.batch):
                    await transport.version()

            return await timed_async(amount, many, lambda _: transport.version())

        return asyncio.run(self._asked(ask))

    def submit(self, amount: Amount) -> Figure:
        """A submit, from the request to the answer: permissions, commit, and the tasks are on their way.

        The endpoint runs them meanwhile, on the same machine; so this is more than the service alone would take.
        """

        async def ask(transport: HttpTransport) -> Figure:
            code, payload = code_of_same().decode(), payload_of(7).decode()
            function = (await transport.register_function(FunctionRegistration("same", code))).function_uuid
            endpoint = str(self.service["endpoint_id"])

            async def send(count: int) -> None:
                answer = await transport.submit(endpoint, SubmitRequest({function: [payload] * count}), new_id())
                if len(answer.tasks[function]) != count:
                    raise RuntimeError("the service did not accept what was submitted")

            async def many() -> None:
                for batch in batches([""] * amount.tasks, amount.batch):
                    await send(len(batch))

            return await timed_async(amount, many, lambda _: send(1))

        return asyncio.run(self._asked(ask))

    def executor(self, amount: Amount) -> Figure:
        """Everything together, as in the comparison."""
        running = self.running
        running.gather(running.submit_all(same, range(100)))
        taken = []
        for i in range(amount.calls):
            began = time.perf_counter_ns()
            running.gather([running.submit(same, i)])
            taken.append((time.perf_counter_ns() - began) / 1e3)
        began = time.perf_counter_ns()
        running.gather(running.submit_all(same, range(amount.tasks)))
        return Figure((time.perf_counter_ns() - began) / amount.tasks / 1e3, sorted(taken)[len(taken) // 2])

    def cpu(self, amount: Amount) -> dict[str, Figure]:
        """The same again, as CPU time of each kind of process: noise on the machine touches it least."""
        running = self.running
        before = _cpu_by_role()
        for i in range(amount.calls):
            running.gather([running.submit(same, i)])
        between = _cpu_by_role()
        running.gather(running.submit_all(same, range(amount.tasks)))
        after = _cpu_by_role()
        return {
            role: Figure(
                (after[role] - between[role]) / amount.tasks * 1e6, (between[role] - before[role]) / amount.calls * 1e6
            )
            for role in ROLES
        }

    async def _asked(self, ask: Ask) -> Figure:
        async def authorization() -> str:
            return f"Bearer {self.service['token']}"

        transport = HttpTransport(self.service["service_url"], authorization, "afield-benchmarks")
        try:
            return await ask(transport)
        finally:
            await transport.close()


def _cpu_by_role() -> dict[str, float]:
    """Seconds so far."""
    found = dict.fromkeys(ROLES, 0.0)
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        command = " ".join(process.cmdline())
        role = next((role for role, part in ROLES.items() if part in command), "caller")
        times = process.cpu_times()
        found[role] += times.user + times.system
    return found

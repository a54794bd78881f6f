"""What a measured part is, and the clocks that all of them use."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from afield.serialize import ComputeSerializer
from afield.wire.messages import Result, Task, Transition
from benchmarks.work import same

__all__ = [
    "Amount",
    "Figure",
    "Part",
    "batches",
    "code_of_same",
    "payload_of",
    "results",
    "tasks",
    "timed",
    "timed_async",
]

_serializer = ComputeSerializer()


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of everything.

    :param tasks: how many go through a part together
    :param batch: how many ride in one request, message or commit
    :param calls: how many go through it alone, one after the other
    """

    tasks: int
    batch: int
    calls: int


@dataclass(frozen=True, slots=True)
class Figure:
    """What one part takes, in microseconds for each task.

    :param many: when many come together; None: it has no such way
    :param alone: from its start to its end for a task that comes alone, the median; None: likewise
    """

    many: float | None
    alone: float | None


@dataclass(frozen=True, slots=True)
class Part:
    """One stop on a task's way.

    :param name: for people
    :param where: the file that does it, below ``src/afield``
    :param measure: does it
    :param share: whether it is a share of the whole; False: it contains others
    """

    name: str
    where: str
    measure: Callable[[Amount], Figure]
    share: bool = True


def timed(amount: Amount, work: Callable[[int], object], alone: Callable[[int], object] | None = None) -> Figure:
    """Time ``work`` for each of many tasks, and ``alone`` (or the same) call by call."""
    one = alone or work
    for i in range(min(100, amount.calls)):
        one(i)
    taken = []
    for i in range(amount.calls):
        began = time.perf_counter_ns()
        one(i)
        taken.append(time.perf_counter_ns() - began)
    gc.collect()
    began = time.perf_counter_ns()
    for i in range(amount.tasks):
        work(i)
    return Figure((time.perf_counter_ns() - began) / amount.tasks / 1e3, statistics.median(taken) / 1e3)


async def timed_async(
    amount: Amount, many: Callable[[], Awaitable[object]], alone: Callable[[int], Awaitable[object]]
) -> Figure:
    """Time ``many``, which takes all tasks through, and ``alone``, which takes one."""
    for i in range(min(20, amount.calls)):
        await alone(-1 - i)
    taken = []
    for i in range(amount.calls):
        began = time.perf_counter_ns()
        await alone(i)
        taken.append(time.perf_counter_ns() - began)
    gc.collect()
    began = time.perf_counter_ns()
    await many()
    return Figure((time.perf_counter_ns() - began) / amount.tasks / 1e3, statistics.median(taken) / 1e3)


def code_of_same() -> bytes:
    """The work, as it is registered."""
    return _serializer.pack_buffers([_serializer.serialize(same)]).encode()


def payload_of(number: int) -> bytes:
    """The arguments of one call, as they travel."""
    return _serializer.pack_buffers([_serializer.serialize((number,)), _serializer.serialize({})]).encode()


def tasks(ids: Sequence[str], function_id: str = "0192f3a0-0000-7000-8000-00000000000f") -> list[Task]:
    """One no-op for each id."""
    code, payload = code_of_same(), payload_of(7)
    return [Task(task_id, function_id, code, payload) for task_id in ids]


def results(ids: Sequence[str]) -> list[Result]:
    """What an endpoint says of each."""
    value = _serializer.serialize(7).encode()
    details = {"os": "Linux-6.1-x86_64", "python_version": "3.11.7", "dill_version": "0.4.0", "endpoint_id": ids[0]}
    steps = (
        Transition(time.time_ns(), "execution-start", "worker"),
        Transition(time.time_ns(), "execution-end", "worker"),
    )
    return [Result(task_id, value, None, details, steps) for task_id in ids]


def batches(ids: Sequence[str], size: int) -> list[Sequence[str]]:
    """The ids, ``size`` at a time."""
    return [ids[at : at + size] for at in range(0, len(ids), size)]

"""When time is over, on a loop whose time is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from afield.endpoint.engines.deadlines import Deadlines


class Clock(asyncio.SelectorEventLoop):
    """A loop that does not wait: its time goes on to that of the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def turn(self, to: float) -> None:
        """Let time pass."""
        self.now = to
        self.call_soon(self.stop)
        self.run_forever()


def with_clock(test: Callable[[Clock, Deadlines, list[int]], None]) -> None:
    loop = Clock()
    rung: list[int] = []
    asyncio.set_event_loop(loop)
    made: list[Deadlines] = []
    loop.call_soon(lambda: made.append(Deadlines(rung.append)))
    loop.turn(100.0)
    try:
        test(loop, made[0], rung)
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def during(loop: Clock, do: Callable[[], None]) -> None:
    loop.call_soon(do)
    loop.turn(loop.now)


def test_each_rings_once_at_its_time():
    def test(loop: Clock, deadlines: Deadlines, rung: list[int]) -> None:
        for worker, at in ((1, 103.0), (2, 101.0), (3, 102.0)):
            during(loop, partial(deadlines.set, worker, at))
        loop.turn(100.9)
        assert rung == []
        loop.turn(101.0)
        assert rung == [2]
        loop.turn(102.5)
        assert rung == [2, 3]
        loop.turn(200.0)
        assert rung == [2, 3, 1]

    with_clock(test)


def test_the_next_job_of_a_worker_has_a_time_of_its_own_or_none():
    def test(loop: Clock, deadlines: Deadlines, rung: list[int]) -> None:
        during(loop, partial(deadlines.set, 1, 101.0))
        during(loop, partial(deadlines.set, 1, 105.0))
        during(loop, partial(deadlines.set, 2, 102.0))
        during(loop, partial(deadlines.set, 2, None))
        loop.turn(104.0)
        assert rung == []
        loop.turn(105.0)
        assert rung == [1]

    with_clock(test)


def test_after_clear_nothing_rings():
    def test(loop: Clock, deadlines: Deadlines, rung: list[int]) -> None:
        during(loop, partial(deadlines.set, 1, 101.0))
        during(loop, deadlines.clear)
        loop.turn(200.0)
        assert rung == []

    with_clock(test)

"""What every way of being several services must do: one suite for :mod:`afield.service.together`.

Subclass :class:`TogetherConformance` in a test file and give it a fixture ``seat`` that makes open replicas around one
table, the first of which is on duty before it is given away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from afield.service.together.base import MOST_BYTES, News, Together

__all__ = ["Seat", "TogetherConformance"]

Seat = Callable[[], Awaitable[Together]]

#: Nothing here takes longer, in seconds; it only bounds a hang.
_PATIENCE_S: Final = 30.0


def _ear(replica: Together, topic: str) -> asyncio.Queue[News]:
    heard: asyncio.Queue[News] = asyncio.Queue()
    replica.listen(topic, heard.put_nowait)
    return heard


async def _soon(heard: asyncio.Queue[News]) -> News:
    async with asyncio.timeout(_PATIENCE_S):
        return await heard.get()


class _Together:
    async def test_news_reach_all_others_in_order(self, seat: Seat) -> None:
        one, two, three = await seat(), await seat(), await seat()
        mine, ears = _ear(one, "start"), [_ear(two, "start"), _ear(three, "start")]
        for number in range(50):
            one.tell(News("start", f"{number}", "é"))
        two.tell(News("start", "mine"))
        for ear in ears[1:]:
            heard = [await _soon(ear) for _ in range(51)]
            assert [news.about for news in heard if news.about != "mine"] == [f"{n}" for n in range(50)]
        assert [(await _soon(ears[0])).about for _ in range(50)] == [f"{n}" for n in range(50)]
        assert await _soon(mine) == News("start", "mine")
        assert mine.empty()

    async def test_a_topic_is_heard_by_who_listens_to_it(self, seat: Seat) -> None:
        one, two = await seat(), await seat()
        ear = _ear(two, "wish")
        one.tell(News("start", "a"))
        one.tell(News("wish", "b"))
        assert (await _soon(ear)).about == "b"

    async def test_long_news_are_cut(self, seat: Seat) -> None:
        one, two = await seat(), await seat()
        ear = _ear(two, "start")
        one.tell(News("start", "a", "ü" * 10_000))
        text = (await _soon(ear)).text
        assert text is not None
        assert text.startswith("üüü")
        assert len(text.encode()) <= MOST_BYTES

    async def test_what_was_said_is_heard_without_the_teller(self, seat: Seat) -> None:
        one, two = await seat(), await seat()
        assert two.hears
        ear = _ear(two, "doubt")
        async with asyncio.timeout(_PATIENCE_S):
            await one.all_said()  # nothing is to be said
            one.tell(News("doubt", "a"))
            await one.all_said()
            two.tell(News("doubt", "mine"))
            await asyncio.gather(two.all_said(), two.all_said())
        await one.close()
        assert (await _soon(ear)).about == "a"
        assert ear.empty()
        async with asyncio.timeout(_PATIENCE_S):
            await one.all_said()  # who has left does not wait

    async def test_one_is_on_duty_and_another_after_it(self, seat: Seat) -> None:
        one, two = await seat(), await seat()
        assert (one.on_duty, two.on_duty) == (True, False)
        await one.close()
        await one.close()
        async with asyncio.timeout(_PATIENCE_S):
            await two.take_duty()
        assert (one.on_duty, two.on_duty) == (False, True)

    async def test_one_at_a_time(self, seat: Seat) -> None:
        one, two = await seat(), await seat()
        order: list[str] = []
        inside = asyncio.Event()

        async def late() -> None:
            await inside.wait()
            async with two.alone("endpoint"):
                order.append("late")

        waiting = asyncio.ensure_future(late())
        async with one.alone("endpoint"):
            inside.set()
            async with two.alone("another"):
                order.append("another")
            order.append("early")
        await asyncio.wait_for(waiting, _PATIENCE_S)
        assert order == ["another", "early", "late"]

    async def test_a_key_is_free_after_an_error(self, seat: Seat) -> None:
        one, two = await seat(), await seat()
        with suppress(LookupError):
            async with one.alone("endpoint"):
                raise LookupError
        async with asyncio.timeout(_PATIENCE_S), two.alone("endpoint"):
            pass


class TogetherConformance(_Together):
    """All of it."""

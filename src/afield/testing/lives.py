"""What every way of knowing which replicas live must do: one suite for :mod:`afield.service.together.lives`.

Subclass :class:`LivesConformance` in a test file and give it a fixture ``begin`` that begins lives on one store, and a
fixture ``kill`` that ends one as if its process were killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from afield.service.together.lives import Lives

__all__ = ["Begin", "Kill", "LivesConformance"]

Begin = Callable[[], Awaitable[Lives]]
Kill = Callable[[Lives], Awaitable[None]]

#: Nothing here takes longer, in seconds; it only bounds a hang.
_PATIENCE_S: Final = 30.0


class _Lives:
    async def test_lives_go_on_until_they_end(self, begin: Begin) -> None:
        one, two = await begin(), await begin()
        assert one.life != two.life
        assert await one.ended([one.life, two.life]) == frozenset()
        await two.close()
        await two.close()
        assert await one.ended([one.life, two.life]) == {two.life}

    async def test_who_never_lived_has_ended(self, begin: Begin) -> None:
        one = await begin()
        assert await one.ended(["of another day"]) == {"of another day"}
        assert await one.ended([]) == frozenset()

    async def test_who_was_killed_has_ended(self, begin: Begin, kill: Kill) -> None:
        one, two = await begin(), await begin()
        await kill(two)
        async with asyncio.timeout(_PATIENCE_S):
            while await one.ended([two.life]) != {two.life}:  # noqa: ASYNC110 - nobody tells it
                await asyncio.sleep(0)
        assert await one.ended([one.life]) == frozenset()

    async def test_many_may_ask_at_once(self, begin: Begin) -> None:
        one, two, three = await begin(), await begin(), await begin()
        await three.close()
        lives = [one.life, two.life, three.life]
        assert set(await asyncio.gather(*(one.ended(lives) for _ in range(50)))) == {frozenset({three.life})}


class LivesConformance(_Lives):
    """All of it."""

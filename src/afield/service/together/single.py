"""A service that is the only one: always on duty, and nobody to tell."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from afield.service.together.base import Listener, News

__all__ = ["Single"]

_NOTHING: Final = nullcontext()


class Single:
    """A :class:`~afield.service.together.base.Together` of one. Who shares its process locks by other means."""

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    def tell(self, news: News) -> None:
        """There is nobody."""

    async def all_said(self) -> None:
        """At once."""

    @property
    def hears(self) -> bool:
        """Always: there is nothing to miss."""
        return True

    def listen(self, topic: str, listener: Listener) -> None:
        """Nobody will say anything."""

    def on_missed(self, listener: Callable[[], None]) -> None:
        """Nothing can be missed."""

    @property
    def on_duty(self) -> bool:
        """Always."""
        return True

    async def take_duty(self) -> None:
        """At once."""

    def alone(self, key: str) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 - the seam's signature
        """Always."""
        return _NOTHING

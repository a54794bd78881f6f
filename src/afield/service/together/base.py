"""SEAM: several services ("replicas") on one store and one broker, behind a load balancer: any request may reach any.

What every implementation promises, and ``afield.testing.together`` checks:

- *News* reach all other replicas, after they have been told, in the order in which one replica told them; never the one
  that told. They say that something in the store has changed, or what somebody may be waiting for. They may be lost
  when the hearer's connection is: then ``hears`` is False for that while, ``missed`` is called at its end, and whoever
  hangs on news looks into the store. When the teller's is lost, they are told later, and perhaps twice.
- *Duty*: of all replicas at most one is on duty at a time, and soon after it is gone another is. While a connection is
  being lost two may believe it for some seconds; so what is done on duty may be done twice without harm.
- *One at a time*: of all who ask for the same key, one has it until it lets go or is gone.
- A service that is alone pays nothing for any of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import msgspec

__all__ = ["MOST_BYTES", "Listener", "News", "Together"]

#: News are short: no more than this many bytes of text, in UTF-8.
MOST_BYTES: Final = 4_000


class News(msgspec.Struct, frozen=True):
    """Something that other replicas should know.

    :param topic: what it is about; who listens to it knows what the rest means
    :param about: whom it is about, an id
    :param text: more of it; cut to :data:`MOST_BYTES`
    """

    topic: str
    about: str
    text: str | None = None


Listener = Callable[[News], None]


class Together(Protocol):
    """One replica's view of all."""

    async def open(self) -> None:
        """Join.

        :raises DataDirectoryError: that cannot be
        """

    async def close(self) -> None:
        """Leave; the duty passes to another. Twice is fine."""

    def tell(self, news: News) -> None:
        """Tell all other replicas. Does not wait."""

    async def all_said(self) -> None:
        """Return when what was told so far is on its way: others hear it although this replica ends now.

        Takes as long as that cannot be said, so bound it.
        """

    @property
    def hears(self) -> bool:
        """Whether news reach this replica just now, as far as it knows. While they do not, it must not believe what
        others may have made untrue.
        """

    def listen(self, topic: str, listener: Listener) -> None:
        """Hear what others tell about a topic. The listener must not block."""

    def on_missed(self, listener: Callable[[], None]) -> None:
        """Hear that news may have been lost."""

    @property
    def on_duty(self) -> bool:
        """Whether it is this replica's turn to do what one must do."""

    async def take_duty(self) -> None:
        """Return when this replica is on duty."""

    def alone(self, key: str) -> AbstractAsyncContextManager[None]:
        """Have this key to oneself for the length of an ``async with`` block."""

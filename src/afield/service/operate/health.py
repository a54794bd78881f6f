"""Whether the service can do its work, found out by trying each part of it.

Two questions, for two who ask. *Does the process answer?* A supervisor asks that, and starts it anew if not; so the
answer must not depend on anything else, or a database that is away for a minute would have all replicas killed. *Can
work be sent here?* A load balancer asks that; there each part is tried, with a time limit, and the parts that fail are
named.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Part", "PartFailed", "Readiness"]

logger = logging.getLogger(__name__)

#: Seconds that a part may take to answer.
PATIENCE_S: Final = 3.0


class PartFailed(Exception):  # noqa: N818 - says what it is
    """A part is not well. The text is shown to everybody: it holds no addresses and no secrets."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that the service cannot work without.

    :param name: for people and programs: ``store``, ``broker``, ``loops``
    :param probe: tries it; raises when it is not well
    """

    name: str
    probe: Callable[[], Awaitable[object]]


class Readiness:
    """Tries all parts when it is asked. Whoever asks meanwhile gets the same answer, so that asking costs little.

    :param parts: what to try
    :param patience_s: how long each may take
    """

    def __init__(self, parts: Sequence[Part] = (), patience_s: float = PATIENCE_S) -> None:
        self._parts = parts
        self._patience_s = patience_s
        self._looking: asyncio.Task[dict[str, str | None]] | None = None

    async def look(self) -> dict[str, str | None]:
        """For each part, what is wrong with it; None: it is well."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> dict[str, str | None]:
        said = await asyncio.gather(*map(self._try, self._parts))
        return {part.name: wrong for part, wrong in zip(self._parts, said, strict=True)}

    async def _try(self, part: Part) -> str | None:
        try:
            async with asyncio.timeout(self._patience_s):
                await part.probe()
        except TimeoutError:
            return f"no answer within {self._patience_s:g} s"
        except PartFailed as failed:
            return str(failed)
        except Exception as error:
            logger.warning("%s is not well", part.name, exc_info=error)
            return type(error).__name__
        return None

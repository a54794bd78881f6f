"""Whether an answer has somebody to go to: what tells a submit that is repeated from one that is meant twice.

A connection says nothing between a request and its answer, but that it is gone. So while a submit without a key is
worked on, somebody listens for just that; from the moment in which the answer is written, nobody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import blake2b
from typing import Any, Final

from afield.service.use.repeats import Keyless

__all__ = ["Unheard", "digest_of"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

#: From this many bytes on, a body's digest is made in another thread.
_MANY: Final = 1_000_000


async def digest_of(identity_id: str, path: str, wire: int, body: bytes) -> bytes:
    """What is the same for a request and its repetition, and for nobody else's."""
    digest = blake2b(f"{identity_id}\n{wire}\n{path}\n".encode("utf-8", "surrogatepass"), digest_size=16)
    if len(body) < _MANY:
        digest.update(body)
    else:
        await asyncio.to_thread(digest.update, body)
    return digest.digest()


class Unheard:
    """One submit without a key, until it is answered.

    :param keyless: what is known of it
    :param receive: as the server gave it, with the body taken out
    """

    def __init__(self, keyless: Keyless, receive: Receive) -> None:
        self.keyless = keyless
        self._listening = asyncio.ensure_future(self._listen(receive))
        request = asyncio.current_task()
        if request is not None:
            request.add_done_callback(lambda _: self._listening.cancel())  # however it ends

    def answered(self, status: int) -> None:
        """The answer is about to be written."""
        self._listening.cancel()
        self.keyless.answered(status)

    async def _listen(self, receive: Receive) -> None:
        if (await receive())["type"] == "http.disconnect":
            self.keyless.gone()

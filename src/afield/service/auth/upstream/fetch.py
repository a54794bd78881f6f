"""Asking a provider over HTTP. A slow one, a broken one and one that says too much are told from one that answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from afield.service.auth.upstream.problems import unreachable

__all__ = ["Fetch"]

_MOST_BYTES: Final = 1_000_000


class Fetch:
    """Asks, on connections that are kept. Proxies are taken from the environment, as every program does."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Hang up. May be repeated."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def json(
        self,
        title: str,
        url: str,
        timeout_s: float,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """The status of an answer, and what is in it; None where that is no JSON.

        :param title: of the provider, for messages
        :param form: what is sent; None: nothing, by GET
        :raises LoginFailed: there is no answer, or an error of its own
        """
        if self._session is None:
            # Cookies would make one person's requests depend on another's.
            self._session = aiohttp.ClientSession(trust_env=True, cookie_jar=aiohttp.DummyCookieJar())
        try:
            # Nobody is sent elsewhere with a secret in hand, so redirects are answers like others.
            async with self._session.request(
                "GET" if form is None else "POST",
                url,
                data=form,
                headers={"accept": "application/json", **(headers or {})},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                status, body = response.status, await _body(response)
        except TimeoutError as error:
            raise unreachable(title, f"did not answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(title, "cannot be reached from here") from error
        if status >= 500:
            raise unreachable(title, f"answered with an error of its own (status {status})")
        if body is None:
            raise unreachable(title, "answered with more than anybody can mean")
        try:
            return status, json.loads(body)
        except (ValueError, RecursionError):
            return status, None


async def _body(response: aiohttp.ClientResponse) -> bytes | None:
    parts, size = [], 0
    async for part in response.content.iter_chunked(65_536):
        parts.append(part)
        size += len(part)
        if size > _MOST_BYTES:
            return None
    return b"".join(parts)

"""Every store keeps every promise of the seam."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from afield.service.store.base import Store
from afield.testing.store import CHECKS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_promise(store: Store, check: Callable[[Store], Awaitable[None]]) -> None:
    await check(store)

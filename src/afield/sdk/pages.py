"""Long lists, asked for page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from afield.sdk.checks import whole

__all__ = ["PAGE", "paged"]

#: Entries that are asked for at once.
PAGE: Final = 100


def paged(
    page: Callable[[str | None, int], tuple[list[Any], str | None]], limit: int | None
) -> Iterator[dict[str, Any]]:
    """What all pages hold, as dictionaries.

    :param page: asks for one: from where the last one ended, and how many at most; gives records and where it ended
    :param limit: how many in all; None: all there are
    :raises TypeError: ``limit`` is no whole number
    :raises ValueError: it is less than 1
    """
    if limit is not None:
        whole("limit is how many to list at most, or None for all; it", limit, 1, 1 << 62)
    return _entries(page, limit)


def _entries(
    page: Callable[[str | None, int], tuple[list[Any], str | None]], limit: int | None
) -> Iterator[dict[str, Any]]:
    # Apart, so that the check above happens at the call and not at the first step.
    left, before = limit, None
    while left is None or left > 0:
        records, before = page(before, PAGE if left is None else min(PAGE, left))
        for record in records[:left]:
            yield msgspec.structs.asdict(record)
        if before is None:
            return
        if left is not None:
            left -= len(records)

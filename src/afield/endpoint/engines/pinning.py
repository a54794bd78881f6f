"""PURE: which processors each worker is bound to. The words are Parsl's, for owners write them for both engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from afield.errors import ConfigurationError

__all__ = ["PINNINGS", "share_of"]

#: What ``cpu_affinity`` may be.
PINNINGS: Final = ("none", "block", "alternating")


def share_of(pinning: str, rank: int, workers: int, processors: Sequence[int]) -> frozenset[int]:
    """The processors of one worker.

    ``block`` gives neighbours, which often share a cache; ``alternating`` deals them out in turn, so that a worker has
    some of each socket. Every processor is somebody's; where there are more workers than processors, some share one.

    :param rank: the worker's place, from 0
    :param workers: how many there are
    :param processors: their numbers, in order
    :returns: empty: all of them
    :raises ConfigurationError: there is no such way
    """
    if pinning not in PINNINGS:
        raise ConfigurationError(f"engine.cpu_affinity {pinning} is not one of {', '.join(PINNINGS)}")
    if pinning == "none":
        return frozenset()
    count = len(processors)
    if workers >= count:
        return frozenset({processors[rank % count]})
    if pinning == "alternating":
        return frozenset(processors[rank::workers])
    return frozenset(processors[rank * count // workers : (rank + 1) * count // workers])

"""Whether workers can report to this endpoint, as far as is known.

Theory. Workers connect back to say which bundle they have taken, and to be told to stop a job. A network may forbid it,
or hiccough. Where they cannot, everything still runs, only worse: each job travels alone, and none that runs can be
ended. So after some failures in a row nobody is asked to connect any more, and much later it is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from afield.endpoint.engines.parsl.loads import Loads
from afield.worker.bundle_records import Door

__all__ = ["Channel"]

logger = logging.getLogger("afield.endpoint")

#: Bundles in a row whose workers could not reach us, until we do without.
_UNREACHED_MOST: Final = 3
#: Seconds until we try again.
_AGAIN_S: Final = 600.0


class Channel:
    """What is believed of it.

    :param ports: at which workers connect, the first and the one behind the last
    :param loads: are told whether workers are heard
    :ivar door: how they reach us; None: they are not asked to
    :ivar why_not: a sentence; empty: they are
    """

    def __init__(self, ports: tuple[int, int], loads: Loads[Any]) -> None:
        self._ports, self._loads = ports, loads
        self.door: Door | None = None
        self.why_not = ""
        self._unreached = 0

    def open(self, door: Door) -> None:
        """Workers can report, as far as is known."""
        self.door, self._unreached, self.why_not = door, 0, ""
        self._loads.heard = True

    def reached(self) -> None:
        """A worker has connected."""
        self._unreached = 0

    def unreached(self, why: str, *, is_any_heard: bool, later: Callable[..., object]) -> None:
        """A worker could not connect. It may be one among many, or the network may have hiccoughed.

        :param is_any_heard: others are connected
        :param later: called with seconds, and with what is to be called then, and its argument
        """
        self._unreached += 1
        if self.door is not None and (not is_any_heard or self._unreached >= _UNREACHED_MOST):
            later(_AGAIN_S, self.open, self.door)
            self.give_up(why)

    def give_up(self, why: str) -> None:
        """Workers cannot say what they do: each job travels alone, and what runs cannot be ended."""
        self.door, self.why_not = None, f"workers cannot report to this endpoint ({why})"
        self._loads.heard = False
        logger.warning(
            "%s: tasks travel one by one, which is slow for short ones, and one that runs cannot be cancelled. Let "
            "workers reach this machine on ports %s to %s",
            self.why_not,
            *self._ports,
        )

"""What every broker must do: one suite for all implementations of :mod:`afield.broker.base`.

Subclass :class:`BrokerConformance` in a test file and give it a fixture ``broker`` of :class:`BrokerUnderTest`. Tests
wait for what they expect; where something must *not* happen, they wait for a later thing that must.
"""

from __future__ import annotations

from afield.testing.broker.delivering import _Delivering
from afield.testing.broker.ending import _ConfirmingOnAck, _Ending
from afield.testing.broker.routing import _Refusing, _Routing
from afield.testing.broker.under_test import BrokerUnderTest, Inbox, done, message, raises, turn

__all__ = ["BrokerConformance", "BrokerUnderTest", "Inbox", "done", "message", "raises", "turn"]


class BrokerConformance(_Delivering, _Routing, _Refusing, _Ending, _ConfirmingOnAck):
    """All of it."""

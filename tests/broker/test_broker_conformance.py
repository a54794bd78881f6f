"""The same promises, kept by every broker."""

from __future__ import annotations

import pytest

from afield.testing.broker import BrokerConformance

pytestmark = pytest.mark.anyio


class TestBroker(BrokerConformance):
    """On memory, on our own broker through sockets and from within, and on RabbitMQ."""

"""RabbitMQ, administered as a service does, keeps the promises that every broker keeps."""

from __future__ import annotations

import pytest

from afield.testing.broker import BrokerConformance

pytestmark = [pytest.mark.anyio, pytest.mark.rabbitmq]


class TestRabbitMQ(BrokerConformance):
    """With classic and with quorum queues."""

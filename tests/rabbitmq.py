"""A RabbitMQ for tests alone, which may stop it and empty it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from afield.testing.rabbitmq_node import RabbitNode, rabbitmq_is_installed, rabbitmq_node

__all__ = ["directory_of_a_node", "own_node"]


@contextmanager
def directory_of_a_node() -> Iterator[Path]:
    """Where one may keep what it has: a short path, for Erlang. Skips where RabbitMQ is not installed."""
    if not rabbitmq_is_installed():
        pytest.skip("needs RabbitMQ and Erlang on this machine (Debian: rabbitmq-server); it need not run")
    directory = Path(tempfile.mkdtemp(prefix="afield-rabbit-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def own_node() -> Iterator[RabbitNode]:
    """One with the management API, that runs as long as somebody is in here."""
    with directory_of_a_node() as directory, rabbitmq_node(directory) as running:
        yield running

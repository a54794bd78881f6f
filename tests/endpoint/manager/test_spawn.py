"""A user endpoint's process may do what it likes with what it holds of its manager."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from afield.endpoint.agent.orders import Refresh, Start
from afield.endpoint.manager.spawn import Child, launched
from afield.endpoint.settings import UserSettings

pytestmark = pytest.mark.anyio

#: Ends, and leaves somebody behind who holds all that it held.
HELD = """
import os, signal
child = os.fork()
if not child:
    os.setsid()
    signal.pause()
print(child, flush=True)
os._exit(7)
"""
DEAF = (sys.executable, "-c", "import signal; signal.pause()")


async def test_the_end_of_a_process_is_known_though_others_hold_its_pipes():
    pipe = asyncio.subprocess.PIPE
    process = await launched((sys.executable, "-c", HELD), stdin=pipe, stdout=pipe, stderr=pipe)
    holder = int(await process.stdout.readline())
    try:
        process.stdin.write(b"x" * 1_000_000)  # which nobody will ever read
        async with asyncio.timeout(10):
            assert await process.wait() == 7
            assert await process.stderr.read() == b""
    finally:
        os.kill(holder, signal.SIGKILL)


async def test_who_does_not_listen_is_not_told_more_and_more(tmp_path, parts):
    credentials = parts.credentials_for("memory:")
    child = Child(Start("deaf", str(tmp_path), UserSettings(), credentials, {}), tmp_path / "log")
    running = asyncio.create_task(child.run({}, DEAF))
    begun = asyncio.Event()
    child.started = begun.set
    await begun.wait()
    for _ in range(2000):
        child.say(Refresh(credentials))
    waiting = child._process.stdin.transport.get_write_buffer_size()
    child.kill()
    assert await running == -signal.SIGKILL
    assert 0 < waiting < 512 * 1024

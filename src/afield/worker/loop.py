"""The life of a worker process: take a job, run it, answer, until the engine closes the channel.

One thread, and one job at a time. What permits are for is written in ``afield.endpoint.engines.schedule``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter_ns

from afield.worker.frames import PERMIT, WORD_MOST, Frames, header

__all__ = ["send", "serve"]


def serve(channel: int, permits: int, run: Callable[[bytes], bytes]) -> None:
    """Run jobs until the other end closes the channel.

    :param channel: a stream socket, blocking
    :param permits: the reading end of the pipe of permits, non-blocking
    :param run: an encoded Job to an encoded Outcome; never raises
    :raises OSError: the engine is gone, or somebody closed our files
    """
    frames = Frames()
    # A permit that was taken, and whose job is still on its way.
    odd: int | None = None
    while count := os.readv(channel, [frames.space()]):
        for epoch, job in frames.filled(count):
            permit = _take(permits) if odd is None else odd
            if permit != epoch:
                odd = permit
                continue
            odd = None
            began = perf_counter_ns()
            outcome = run(job)
            # Answered before the next permit is taken: so the engine knows of a dead worker which job it had begun.
            send(channel, min((perf_counter_ns() - began) // 1000, WORD_MOST), outcome)


def send(channel: int, word: int, body: bytes) -> None:
    """Send one frame, whole.

    :raises OSError: nobody reads any more
    """
    head = header(len(body), word)
    size = len(head)
    sent = os.writev(channel, (head, body))
    if sent < size:
        sent += _send_all(channel, head[sent:])
    if sent < size + len(body):
        _send_all(channel, memoryview(body)[sent - size :])


def _send_all(channel: int, data: bytes | memoryview) -> int:
    """Send all of it; returns how much that was."""
    sent = 0
    while sent < len(data):
        sent += os.write(channel, data[sent:])
    return sent


def _take(permits: int) -> int | None:
    """One permit; None: there is none."""
    try:
        data = os.read(permits, 4)
    except BlockingIOError:
        return None
    return int(PERMIT.unpack(data)[0]) if data else None

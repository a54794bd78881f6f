"""What HTEX calls in its workers: a bundle of jobs in, an answer out, bytes both ways.

The worker process of HTEX holds one child, ``python -m afield.worker``, from bundle to bundle, and has it run the jobs.
So whatever a job does to its process costs that job only; the child is replaced, and the bundle goes on.
"""

from __future__ import annotations

import signal
from functools import cache

import msgspec

from afield.worker.bundle_channel import Channel, ChannelLost, open_channel
from afield.worker.bundle_children import ChildHolder, NoChild
from afield.worker.bundle_records import Answer, Bundle, Door, Go, Say, decode_bundle
from afield.worker.bundle_run import BundleRun
from afield.worker.environment import version_of

__all__ = ["run"]

#: Seconds that the engine may take to say that a bundle may begin. It does nothing else in between.
_GO_WITHIN_S = 60.0

_encode = msgspec.msgpack.Encoder().encode
_go = msgspec.msgpack.Decoder(Go).decode


def run(data: bytes) -> bytes:
    """Run a bundle.

    :param data: an encoded :class:`~afield.worker.bundle_records.Bundle`
    :returns: an encoded :class:`~afield.worker.bundle_records.Answer`
    """
    bundle = decode_bundle(data, _parsl(), version_of("afield"))
    if isinstance(bundle, str):
        return _encode(Answer(bundle))
    return _encode(_resident().run(bundle))


class Resident:
    """What a worker keeps between bundles: its child, and its channel to the engine."""

    def __init__(self) -> None:
        self._children = ChildHolder()
        self._channel: Channel | None = None
        # Parsl and batch schedulers end workers so. It calls us in its main thread, as handlers of signals must be set.
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._children.leave())

    def run(self, bundle: Bundle) -> Answer:
        """Run one bundle."""
        everything = list(range(len(bundle.jobs)))
        try:
            self._children.have_one(bundle.working_dir)
        except NoChild as error:
            return Answer(str(error), bundle.number)
        without: list[int] = []
        if bundle.door is not None:
            try:
                channel = self._reach(bundle.door)
                go = self._ask(channel, bundle.number)
            except ChannelLost as error:
                self._drop()
                return Answer("", bundle.number, [], everything, unreachable=str(error))
            if go is None:
                return Answer("", bundle.number, [], everything)
            without = go.without
        run = BundleRun(bundle, without, self._children, self._channel)
        answer = run.run()
        if run.channel is None:
            self._drop()
        return answer

    def _reach(self, door: Door) -> Channel:
        """The channel to this engine, opened if there is none."""
        if self._channel is not None and self._channel.door != door:
            self._drop()
        if self._channel is None:
            self._channel = open_channel(door)
        return self._channel

    def _ask(self, channel: Channel, number: int) -> Go | None:
        """May this bundle begin? None: it may not."""
        channel.say(Say.TAKEN, _encode(number))
        while True:
            word, body = channel.wait(_GO_WITHIN_S)
            if word == Say.GO and (go := _go(body)).number == number:
                return go
            if word == Say.BACK and msgspec.msgpack.decode(body) == number:
                return None
            # Anything else was about an earlier bundle.

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


@cache
def _resident() -> Resident:
    return Resident()


@cache
def _parsl() -> str:
    """The version of Parsl here. HTEX has it loaded already."""
    from parsl.version import VERSION

    return str(VERSION)

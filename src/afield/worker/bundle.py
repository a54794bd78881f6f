"""What HTEX calls in its workers: a bundle of jobs in, an answer out, bytes both ways.

The worker process of HTEX holds one child, ``python -m afield.worker``, from bundle to bundle, and has it run the jobs.
So whatever a job does to its process costs that job only; the child is replaced, and the bundle goes on.
"""

from __future__ import annotations

import signal
from functools import cache

import msgspec

from afield.wire.jobs import decode_job, encode_job
from afield.worker.bundle_channel import Channel, ChannelLost, open_channel
from afield.worker.bundle_children import ChildHolder, NoChild
from afield.worker.bundle_records import GIVE_BACK_AFTER_S, Answer, Bundle, Door, Go, Say, decode_bundle
from afield.worker.bundle_run import BundleRun
from afield.worker.environment import version_of
from afield.worker.launchers import variables

__all__ = ["Resident", "run"]

#: Seconds that the engine may take to say that a bundle may begin. It does nothing else in between.
_GO_WITHIN_S = 60.0

_encode = msgspec.msgpack.Encoder().encode
_go = msgspec.msgpack.Decoder(Go).decode
_number = msgspec.msgpack.Decoder(int).decode


def run(data: bytes) -> bytes:
    """Run a bundle.

    :param data: an encoded :class:`~afield.worker.bundle_records.Bundle`
    :returns: an encoded :class:`~afield.worker.bundle_records.Answer`
    """
    bundle = decode_bundle(data, _parsl(), version_of("afield"))
    if isinstance(bundle, str):
        return _encode(Answer(bundle))
    if given := variables():
        bundle = _with(given, bundle)
    return _encode(_resident().run(bundle))


def _with(given: dict[str, str], bundle: Bundle) -> Bundle:
    """The bundle, whose jobs find these variables in their environment: their child began before these were set."""
    replace = msgspec.structs.replace
    jobs = [
        replace(parcel, body=encode_job(replace(decode_job(parcel.body), environment=given))) for parcel in bundle.jobs
    ]
    return replace(bundle, jobs=jobs)


class Resident:
    """What a worker keeps between bundles: its child, and its channel to the engine.

    :param give_back_after_s: seconds until a bundle gives back what has not begun
    """

    def __init__(self, give_back_after_s: float = GIVE_BACK_AFTER_S) -> None:
        self._give_back_after_s = give_back_after_s
        #: those that run the jobs
        self.children = ChildHolder()
        self._channel: Channel | None = None

    def run(self, bundle: Bundle) -> Answer:
        """Run one bundle."""
        everything = list(range(len(bundle.jobs)))
        try:
            self.children.have_one(bundle.working_dir)
        except NoChild as error:
            return Answer(str(error), bundle.number)
        without: list[int] = []
        if bundle.door is not None:
            try:
                go = self._ask(bundle.door, bundle.number)
            except ChannelLost as error:
                return Answer("", bundle.number, [], everything, unreachable=str(error))
            if go is None:
                return Answer("", bundle.number, [], everything)
            without = go.without
        run = BundleRun(bundle, without, self.children, self._channel, self._give_back_after_s)
        answer = run.run()
        if run.channel is None:
            self._drop()
        return answer

    def _ask(self, door: Door, number: int) -> Go | None:
        """May this bundle begin? None: it may not.

        :raises ChannelLost: the engine cannot be reached, or does not answer
        """
        if self._channel is not None and self._channel.door == door:
            try:
                return _ask(self._channel, number)
            except ChannelLost:
                pass  # it may have broken long ago, unnoticed
        self._drop()
        self._channel = open_channel(door)
        try:
            return _ask(self._channel, number)
        except ChannelLost:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _ask(channel: Channel, number: int) -> Go | None:
    channel.say(Say.TAKEN, _encode(number))
    while True:
        word, body = channel.wait(_GO_WITHIN_S)
        if word == Say.GO and (go := _go(body)).number == number:
            return go
        if word == Say.BACK and _number(body) == number:
            return None
        # Anything else was about an earlier bundle.


@cache
def _resident() -> Resident:
    resident = Resident()
    # Parsl and batch schedulers end workers so. Parsl calls us in its main thread, as handlers of signals must be set.
    signal.signal(signal.SIGTERM, lambda _number, _frame: resident.children.leave())
    return resident


@cache
def _parsl() -> str:
    """The version of Parsl here. HTEX has it loaded already."""
    from parsl.version import VERSION

    return str(VERSION)

"""One bundle on its way through a worker of HTEX: its jobs go to the child all at once, and what they become is noted.

Meanwhile four things may happen, and whichever comes first is dealt with:

* the child answers, or dies. Of its unanswered jobs the one that had begun is lost; the others go to the next child.
* the engine says that one job is to be stopped. All permits are taken back, so that nothing else can be hit.
* the time of the running job is over: likewise.
* the bundle takes longer than :data:`~afield.worker.bundle_records.GIVE_BACK_AFTER_S`: what is done is delivered
  through the control channel, and what has not begun is given back. So nothing waits for a job that turned out long.

If the pool of workers that this process belongs to ends, so does this process: nobody would hear of its answers.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Final

import msgspec

from afield.wire.jobs import decode_job, encode_job
from afield.worker.bundle_channel import Channel, ChannelLost
from afield.worker.bundle_children import ChildHolder, NoChild
from afield.worker.bundle_records import GIVE_BACK_AFTER_S, Answer, Bundle, Entry, Fate, Part, Say, StopOne
from afield.worker.child import ChildFault, how_it_ended

__all__ = ["BundleRun"]

_ALL: Final = 1 << 14
_encode = msgspec.msgpack.Encoder().encode
_stop = msgspec.msgpack.Decoder(StopOne).decode
_NUMBER: Final = msgspec.msgpack.Decoder(int).decode


class BundleRun:
    """One bundle being run.

    :param without: places of jobs that nobody wants
    :param channel: to the engine; None: there is none
    :param give_back_after_s: seconds until it gives back what has not begun
    """

    def __init__(
        self,
        bundle: Bundle,
        without: list[int],
        children: ChildHolder,
        channel: Channel | None,
        give_back_after_s: float = GIVE_BACK_AFTER_S,
    ) -> None:
        self._give_back_after_s = give_back_after_s
        self._bundle = bundle
        self._children = children
        #: None: there is none, or no longer
        self.channel = channel
        # Not sent, in order; sent and not answered, oldest first.
        self._todo = deque(index for index in range(len(bundle.jobs)) if index not in without)
        self._held: deque[int] = deque()
        self._given_back = list(without)
        self._entries: list[Entry] = []
        # Told in a part, and not known to have arrived.
        self._told: Part | None = None
        self._since = 0.0
        self._began = time.monotonic()
        # A job may go to the child that had relied on the code of one that did not go.
        self._codeless = bool(without)
        self._manager = _pid_file(os.getppid())

    def run(self) -> Answer:
        """Run it to its end."""
        try:
            self._hear()
            while self._todo or self._held:
                if self._todo and not self._held:
                    self._send()
                self._wait()
        except NoChild as error:
            return Answer(str(error), self._bundle.number, self._final(), [*self._given_back, *self._todo])
        finally:
            if self._manager is not None:
                os.close(self._manager)
        return Answer("", self._bundle.number, self._final(), self._given_back)

    def _final(self) -> list[Entry]:
        """What the answer tells: all that the engine may not have heard yet."""
        if self._told is not None:
            self._given_back += self._told.given_back
            return [*self._told.entries, *self._entries]
        return self._entries

    def _send(self) -> None:
        """Hand all that waits to the child."""
        if self._codeless:
            self._with_code()
        self._codeless = True
        self._children.child.send(self._children.next_epoch(), [self._bundle.jobs[index].body for index in self._todo])
        self._held.extend(self._todo)
        self._todo.clear()
        self._since = time.monotonic()

    def _wait(self) -> None:
        """Deal with whatever happens first."""
        child = self._children.child
        poll = select.poll()
        poll.register(child.socket, select.POLLIN | (select.POLLOUT if child.unsent else 0))
        for other in (self.channel, self._manager):
            if other is not None:
                poll.register(other, select.POLLIN)
        happened = dict(poll.poll(self._patience_ms()))
        if self._manager is not None and self._manager in happened:
            self._children.end(self._running())
            os._exit(1)
        if child.socket.fileno() in happened:
            if happened[child.socket.fileno()] & select.POLLOUT:
                child.flush()
            if happened[child.socket.fileno()] & ~select.POLLOUT:
                self._read()
        if self.channel is not None and self.channel.fileno() in happened:
            self._hear()
        self._look_at_clock()

    def _patience_ms(self) -> float | None:
        """How long nothing needs to be done."""
        times = []
        if self.channel is not None and self._has_news():
            times.append(self._began + self._give_back_after_s)
        if (limit := self._limit()) is not None:
            times.append(self._since + limit)
        if not times:
            return None
        # Rounded up: too early is of no use.
        return max(0.0, (min(times) - time.monotonic()) * 1000 + 1)

    def _has_news(self) -> bool:
        # While nothing runs, the answer itself is about to tell.
        return self._told is None and bool(self._held) and (len(self._held) > 1 or bool(self._todo or self._entries))

    def _limit(self) -> float | None:
        """Seconds that the running job may take."""
        if not self._held:
            return None
        asked, allowed = self._bundle.jobs[self._held[0]].timeout_s, _time_limit()
        return min((limit for limit in (asked, allowed) if limit is not None), default=None)

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        if self._held and (limit := self._limit()) is not None and now >= self._since + limit:
            by_endpoint = limit != self._bundle.jobs[self._held[0]].timeout_s
            self._interrupt(self._held[0], Fate.TIMEOUT, _encode((limit, by_endpoint)))
        if self.channel is not None and self._has_news() and now >= self._began + self._give_back_after_s:
            self._take_back()
            self._deliver(self.channel)

    def _deliver(self, channel: Channel) -> None:
        """Tell what is done, and give back what has not begun."""
        part = Part(self._bundle.number, self._entries, list(self._todo))
        try:
            channel.say(Say.PART, _encode(part))
        except ChannelLost:
            self.channel = None
            return
        self._told = part
        self._entries = []
        self._todo.clear()

    # the child

    def _read(self) -> None:
        """It answered, or it has ended."""
        try:
            answers = self._children.child.read()
        except ChildFault as error:
            self._lost(str(error))
            return
        if answers is None:
            self._lost("")
            return
        now = time.monotonic()
        for run_us, outcome in answers:
            if not self._held:
                self._lost("it answered more often than it was asked: a task made a copy of it")
                return
            self._note(self._held.popleft(), Fate.DONE, outcome, run_us)
            self._since = now

    def _note(self, index: int, fate: Fate, body: bytes, run_us: int = 0) -> None:
        self._entries.append(Entry(index, fate, run_us, body, self._children.child.pid))

    def _lost(self, why: str) -> None:
        """The child has ended, or must.

        :param why: what it did; empty: it has ended by itself
        """
        child = self._children.child
        self._put_back(child.take_back(_ALL))
        index = self._held.popleft() if self._held else None
        task_id = None if index is None else self._bundle.jobs[index].task_id
        if task_id is not None:
            child.end_launchers(task_id)
        if not why:
            why = how_it_ended(child.reap())
        if index is not None:
            self._note(index, Fate.DIED, why.encode())
        self._children.end(task_id)
        self._renew()

    def _renew(self) -> None:
        """Have another child, which has nothing."""
        # A permit may have been taken for a job whose beginning was not told: what is still held, has not begun.
        self._todo.extendleft(reversed(self._held))
        self._held.clear()
        if self._todo:
            self._children.have_one(self._bundle.working_dir)

    def _with_code(self) -> None:
        """Give the first waiting job of each function its code."""
        code = {}
        for parcel in self._bundle.jobs:
            job = decode_job(parcel.body)
            if job.code is not None:
                code[job.digest] = job.code
        for index in self._todo:
            parcel = self._bundle.jobs[index]
            job = decode_job(parcel.body)
            if job.code is None and job.digest in code:
                body = encode_job(msgspec.structs.replace(job, code=code[job.digest]))
                self._bundle.jobs[index] = msgspec.structs.replace(parcel, body=body)
            code.pop(job.digest, None)

    def _take_back(self) -> None:
        """Have the child begin nothing more."""
        self._put_back(self._children.child.take_back(_ALL))

    def _put_back(self, count: int) -> None:
        """The youngest of those that were sent wait again."""
        for _ in range(min(count, len(self._held))):
            self._todo.appendleft(self._held.pop())

    def _interrupt(self, index: int, fate: Fate, body: bytes = b"") -> None:
        """End a job, whether or not it has begun, unless it has just ended by itself."""
        self._take_back()
        self._read()
        if index in self._todo:
            self._todo.remove(index)
            self._note(index, fate, body)
        elif self._held and self._held[0] == index:
            self._note(self._held.popleft(), fate, body)
            self._children.end(self._bundle.jobs[index].task_id)
            self._renew()

    def _running(self) -> str | None:
        return self._bundle.jobs[self._held[0]].task_id if self._held else None

    # the engine

    def _hear(self) -> None:
        """It said something, or is gone. If it is gone, the bundle goes on: HTEX brings the answer home."""
        if self.channel is None:
            return
        try:
            said = self.channel.heard()
        except ChannelLost as error:
            print(f"afield: the endpoint is not heard any more: {error}", file=sys.stderr)
            self.channel = None
            return
        for word, body in said:
            if word == Say.GOT and _NUMBER(body) == self._bundle.number:
                self._told = None if self._told is None else Part(self._bundle.number, [], [])
            elif word == Say.STOP and (stop := _stop(body)).number == self._bundle.number:
                self._interrupt(stop.index, Fate.STOPPED)


def _time_limit() -> float | None:
    """The longest that a task may run here: ``GC_TASK_TIMEOUT`` in the workers' environment, in seconds."""
    with suppress(ValueError):
        return float(os.environ.get("GC_TASK_TIMEOUT") or 0) or None
    return None


def _pid_file(pid: int) -> int | None:
    """A file that tells when a process ends; None: this system has none."""
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None

"""A bundle in a worker, with a real child and a real control channel, without HTEX around it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from afield.endpoint.engines.parsl.doorkeeper import Doorkeeper, Guest
from afield.endpoint.engines.parsl.packing import pack, versions
from afield.testing.jobs import Gate, append, echo, end_process, kill_process, packed_job, value_of
from afield.wire.jobs import Job, decode_job
from afield.worker import bundle as in_worker
from afield.worker.bundle import Resident
from afield.worker.bundle_channel import ChannelLost, open_channel
from afield.worker.bundle_records import (
    Answer,
    Bundle,
    Door,
    Fate,
    Go,
    Part,
    Say,
    StopOne,
    decode_bundle,
)
from afield.worker.frames import header

pytestmark = pytest.mark.anyio

PARSL = in_worker._parsl()
MINE = versions(PARSL, "1.2.3")
encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


def bundle_of(*jobs: Job, door: Door | None = None, number: int = 1, directory: Path | None = None) -> Bundle:
    found = decode_bundle(pack(number, jobs, MINE, door, str(directory) if directory else None), PARSL, "1.2.3")
    assert isinstance(found, Bundle)
    return found


@pytest.fixture
def worker():
    # Longer than it takes to begin a few short jobs on a busy machine.
    resident = Resident(give_back_after_s=0.5)
    yield resident
    if resident.children._child is not None:
        resident.children.end(None)
    resident._drop()


class Engine:
    """The other end: lets everything begin, and writes down what workers say."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.left: asyncio.Queue[bool] = asyncio.Queue()
        self.guest: Guest | None = None
        self.without: list[int] = []
        self.lets_begin = True

    def guest_came(self, guest: Guest) -> None:
        self.guest = guest

    def guest_said(self, guest: Guest, word: int, body: bytes) -> None:
        if word == Say.TAKEN and self.lets_begin:
            guest.say(Say.GO, encode(Go(decode(body), self.without)))
        elif word == Say.TAKEN:
            guest.say(Say.BACK, body)
        elif word == Say.PART:
            guest.say(Say.GOT, encode(decode(body, type=Part).number))
        self.said.put_nowait((word, body))

    def guest_left(self, guest: Guest, *, died: bool) -> None:
        self.left.put_nowait(died)

    async def part(self) -> Part:
        while True:
            word, body = await self.said.get()
            if word == Say.PART:
                return decode(body, type=Part)

    def stop_job(self, number: int, index: int) -> None:
        assert self.guest is not None
        self.guest.say(Say.STOP, encode(StopOne(number, index)))


@asynccontextmanager
async def listening(*, encrypted: bool = True) -> AsyncIterator[tuple[Engine, Door]]:
    engine = Engine()
    keeper = Doorkeeper(engine)
    door = await keeper.open(bind="127.0.0.1", addresses=["127.0.0.1"], ports=(54000, 55000), encrypted=encrypted)
    assert isinstance(door, Door)
    try:
        yield engine, door
    finally:
        await keeper.close()


def values(answer: Answer) -> dict[int, object]:
    return {entry.index: value_of(entry.body) for entry in answer.entries if entry.fate == Fate.DONE}


def test_everybody_gets_their_own_answer(worker):
    answer = worker.run(bundle_of(*(packed_job(echo, n) for n in range(200))))
    assert values(answer) == {n: n for n in range(200)}
    assert (answer.refusal, answer.given_back, answer.unreachable) == ("", [], "")


def test_code_travels_once(worker):
    bundle = bundle_of(*(packed_job(echo, n) for n in range(3)), packed_job(str, 3))
    assert [decode_job(parcel.body).code is not None for parcel in bundle.jobs] == [True, False, False, True]


def test_a_crash_in_the_middle_costs_one_job_and_the_next_child_gets_the_code(worker, tmp_path):
    trace = tmp_path / "trace"
    jobs = [packed_job(append, str(trace), str(n)) for n in range(30)]
    jobs[10] = packed_job(kill_process, int(signal.SIGKILL))
    jobs[20] = packed_job(end_process, 7)
    answer = worker.run(bundle_of(*jobs))
    died = {entry.index: entry.body.decode() for entry in answer.entries if entry.fate == Fate.DIED}
    assert died == {10: "it was killed by signal SIGKILL (9)", 20: "it ended with exit code 7"}
    assert len(values(answer)) == 28
    assert trace.read_text().split() == [str(n) for n in range(30) if n not in (10, 20)]


def test_time_is_measured_for_each_job(worker, tmp_path):
    gate = Gate(tmp_path)
    slow = msgspec.structs.replace(gate.job(), timeout_s=0.2)
    answer = worker.run(bundle_of(packed_job(echo, 0), slow, packed_job(echo, 2)))
    assert values(answer) == {0: 0, 2: 2}
    (stopped,) = [entry for entry in answer.entries if entry.fate != Fate.DONE]
    assert (stopped.index, stopped.fate, decode(stopped.body)) == (1, Fate.TIMEOUT, [0.2, False])


def test_the_limit_of_the_workers_environment_holds(worker, tmp_path, monkeypatch):
    monkeypatch.setenv("GC_TASK_TIMEOUT", "0.2")
    answer = worker.run(bundle_of(Gate(tmp_path).job()))
    assert [decode(entry.body) for entry in answer.entries] == [[0.2, True]]


def test_a_directory_that_cannot_be_made_is_told(worker, tmp_path):
    (tmp_path / "file").write_text("")
    answer = worker.run(bundle_of(packed_job(echo, 1), directory=tmp_path / "file" / "below"))
    assert "cannot start the process that runs tasks" in answer.refusal
    assert "Not a directory" in answer.refusal


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (versions("1999.1.1", "1.2.3"), "pip install parsl==1999.1.1"),
        (msgspec.structs.replace(MINE, bundle=99), "pip install 'afield[parsl]==1.2.3'"),
        (msgspec.structs.replace(MINE, job=99), "pip install 'afield[parsl]==1.2.3'"),
    ],
)
def test_another_version_is_told_with_what_mends_it(theirs, told):
    answer = decode(in_worker.run(pack(1, [packed_job(echo, 1)], theirs, None, None)), type=Answer)
    assert told in answer.refusal
    assert answer.entries == []


@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_long_job_keeps_nobody_waiting(worker, tmp_path, encrypted):
    gate = Gate(tmp_path)
    jobs = [packed_job(echo, 0), packed_job(echo, 1), gate.job(), packed_job(echo, 3), packed_job(echo, 4)]
    async with listening(encrypted=encrypted) as (engine, door):
        running = asyncio.create_task(asyncio.to_thread(worker.run, bundle_of(*jobs, door=door)))
        part = await engine.part()
        assert {entry.index: value_of(entry.body) for entry in part.entries} == {0: 0, 1: 1}
        assert part.given_back == [3, 4]
        assert not running.done()
        gate.open()
        answer = await running
        assert [entry.index for entry in answer.entries] == [2]


async def test_one_job_is_stopped_and_the_others_run(worker, tmp_path):
    gate, trace = Gate(tmp_path), tmp_path / "trace"
    async with listening() as (engine, door):
        bundle = bundle_of(gate.job(), door=door)
        running = asyncio.create_task(asyncio.to_thread(worker.run, bundle))
        await gate.has_begun()
        engine.stop_job(1, 0)
        (entry,) = (await running).entries
        assert entry.fate == Fate.STOPPED
        engine.without = [0]
        jobs = [packed_job(append, str(trace), str(n)) for n in range(3)]
        answer = await asyncio.to_thread(worker.run, bundle_of(*jobs, door=door, number=2))
        assert [entry.index for entry in answer.entries] == [1, 2]
        assert trace.read_text().split() == ["1", "2"]


async def test_what_may_not_begin_does_not(worker, tmp_path):
    trace = tmp_path / "trace"
    async with listening() as (engine, door):
        engine.lets_begin = False
        answer = await asyncio.to_thread(worker.run, bundle_of(packed_job(append, str(trace), "x"), door=door))
        assert (answer.entries, answer.given_back) == ([], [0])
        assert not trace.exists()


async def test_a_connection_that_broke_is_made_anew(worker):
    async with listening() as (engine, door):
        first = await asyncio.to_thread(worker.run, bundle_of(packed_job(echo, 1), door=door))
        assert engine.guest is not None
        engine.guest.close()
        second = await asyncio.to_thread(worker.run, bundle_of(packed_job(echo, 2), door=door, number=2))
        assert (values(first), values(second)) == ({0: 1}, {0: 2})


async def test_a_worker_that_takes_leave_has_not_died(worker):
    async with listening() as (engine, door):
        await asyncio.to_thread(worker.run, bundle_of(packed_job(echo, 1), door=door))
        await asyncio.to_thread(worker._drop)
        assert await engine.left.get() is False


@pytest.mark.parametrize("encrypted", [True, False])
async def test_one_that_ends_without_a_word_has(encrypted):
    async with listening(encrypted=encrypted) as (engine, door):
        channel = await asyncio.to_thread(open_channel, door)
        channel._socket.close()
        assert await engine.left.get() is True


def test_nobody_there_is_told_and_nothing_has_begun(worker):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        door = Door(("127.0.0.1",), taken.getsockname()[1], b"secret", tls=False)
        answer = worker.run(bundle_of(packed_job(echo, 1), packed_job(echo, 2), door=door))
    assert "Connection refused" in answer.unreachable
    assert (answer.entries, answer.given_back) == ([], [0, 1])


@pytest.mark.parametrize("encrypted", [True, False])
async def test_who_does_not_know_the_secret_is_not_let_in(encrypted):
    async with listening(encrypted=encrypted) as (engine, door):
        with pytest.raises(ChannelLost):
            await asyncio.to_thread(open_channel, msgspec.structs.replace(door, secret=b"another"))
        assert engine.guest is None


async def test_a_stranger_who_sends_rubbish_is_shown_out():
    async with listening(encrypted=False) as (engine, door):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        rest = await reader.read()
        assert rest.count(b"HTTP") == 0
        assert engine.guest is None
        writer.close()


async def test_no_room_is_made_for_a_stranger_who_promises_much():
    async with listening(encrypted=False) as (_engine, door), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(header(1 << 30, Say.HELLO))
        await reader.read()
        writer.close()


async def test_strangers_at_the_door_keep_no_worker_out(caplog):
    async with listening(encrypted=False) as (engine, door):
        strangers = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(300)]
        async with asyncio.timeout(10):
            await strangers[0][0].read()
        channel = await asyncio.to_thread(open_channel, door)
        assert engine.guest is not None
        for _, writer in strangers[-64:]:
            writer.write(b"rubbish, and more of it\r\n")
        async with asyncio.timeout(10):
            for reader, _ in strangers[-64:]:
                await reader.read()
        for _, writer in strangers:
            writer.close()
        channel.close()
    assert 1 <= caplog.text.count("it is not a worker's") <= 7, "nobody fills the log by knocking"

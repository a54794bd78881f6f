"""The worker's side of the channel, with real sockets and pipes, and the process with a hand-held engine."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from afield.testing.jobs import Gate, echo, packed_job, value_of
from afield.wire.jobs import JOB_VERSION, Job, encode_job
from afield.worker.frames import PERMIT, Frames, Hello, header
from afield.worker.loop import serve


class Channel:
    """The engine's end."""

    def __init__(self) -> None:
        self.socket, self.theirs = socket.socketpair()
        self.socket.settimeout(60)
        self.permits, self.permit = os.pipe()
        os.set_blocking(self.permits, False)
        self.frames = Frames()
        self.arrived: list[tuple[int, bytes]] = []

    def send(self, *bodies: bytes, epoch: int = 0, permits: int | None = None) -> None:
        os.write(self.permit, PERMIT.pack(epoch) * (len(bodies) if permits is None else permits))
        self.socket.sendall(b"".join(header(len(body), epoch) + body for body in bodies))

    def receive(self) -> bytes:
        while not self.arrived:
            count = self.socket.recv_into(self.frames.space())
            if not count:
                raise EOFError
            self.arrived += self.frames.filled(count)
        return self.arrived.pop(0)[1]

    def close(self) -> None:
        for end in (self.socket, self.theirs):
            end.close()
        for end in (self.permits, self.permit):
            os.close(end)


@pytest.fixture
def channel() -> Iterator[Channel]:
    channel = Channel()
    yield channel
    channel.close()


@contextmanager
def serving(channel: Channel) -> Iterator[None]:
    """A worker that answers each job with its own text, in capitals."""
    thread = Thread(target=serve, args=(channel.theirs.fileno(), channel.permits, bytes.upper))
    thread.start()
    try:
        yield
    finally:
        channel.socket.shutdown(socket.SHUT_WR)
        thread.join(60)
        assert not thread.is_alive()


def test_jobs_are_answered_in_order_until_the_channel_is_closed(channel: Channel):
    with serving(channel):
        channel.send(b"a", b"b")
        channel.send(b"c")
        assert [channel.receive() for _ in range(3)] == [b"A", b"B", b"C"]


def test_a_job_without_permit_is_skipped(channel: Channel):
    with serving(channel):
        channel.send(b"a", b"recalled", b"recalled too", permits=1)
        assert channel.receive() == b"A"
        channel.send(b"d", epoch=1)
        assert channel.receive() == b"D"


def test_a_recalled_job_does_not_run_on_the_permit_of_a_later_one(channel: Channel):
    # All is there before the worker looks for the first time.
    channel.send(b"a", b"recalled", permits=1)
    channel.send(b"c", b"d", epoch=1)
    channel.send(b"recalled", epoch=2, permits=0)
    channel.send(b"e", epoch=3)
    with serving(channel):
        assert [channel.receive() for _ in range(4)] == [b"A", b"C", b"D", b"E"]


def test_an_answer_larger_than_the_channel_arrives_whole(channel: Channel):
    with serving(channel):
        sender = Thread(target=channel.send, args=(b"x" * 3_000_000, b"y"))
        sender.start()
        assert channel.receive() == b"X" * 3_000_000
        assert channel.receive() == b"Y"
        sender.join()


def test_frames_come_out_whole_however_they_came_in():
    bodies = [b"", b"a", b"b" * 300_000, b"c" * 7]
    stream = b"".join(header(len(body), word) + body for word, body in enumerate(bodies))
    for step in (1, 7, 65536, len(stream)):
        if step == 1:
            text, expected = stream[:13], [(0, b""), (1, b"")][:1]
        else:
            text, expected = stream, list(enumerate(bodies))
        frames, found = Frames(), []
        while text:
            space = frames.space()
            count = min(step, len(space), len(text))
            space[:count] = text[:count]
            del space
            text = text[count:]
            found += frames.filled(count)
        assert found == expected


@pytest.mark.parametrize("what", [b"\xff" * 12, b"Hello, world", bytes(12), header((1 << 31) + 1, 0)])
def test_what_is_no_frame_is_refused(what: bytes):
    frames = Frames()
    frames.space()[:12] = what
    with pytest.raises(ValueError, match=r"frame|it begins with"):
        frames.filled(12)


# the process


@contextmanager
def process(channel: Channel, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    life, ours = os.pipe()
    with log.open("ab") as file:
        pass_fds = (channel.theirs.fileno(), channel.permits, file.fileno(), life)
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "afield.worker", *map(str, pass_fds)],
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
        )
    os.close(life)
    channel.theirs.close()
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()
        os.close(ours)


def ends(worker: subprocess.Popen[bytes]) -> int:
    return worker.wait(60)


def test_a_worker_says_hello_works_and_ends(channel: Channel, tmp_path: Path):
    with process(channel, tmp_path / "log") as worker:
        hello = msgspec.msgpack.decode(channel.receive(), type=Hello)
        assert hello == Hello(JOB_VERSION, worker.pid, sys.version.split()[0])
        job = packed_job(echo, "hi")
        channel.send(encode_job(job))
        assert value_of(channel.receive()) == "hi"
        # From here on it has the function.
        fields = [getattr(packed_job(echo, "ho"), name) for name in Job.__struct_fields__]
        fields[3] = None
        channel.send(encode_job(Job(*fields)))
        assert value_of(channel.receive()) == "ho"
        channel.socket.shutdown(socket.SHUT_WR)
        assert ends(worker) == 0


def speak() -> None:
    import sys

    print("to you")
    print("and to you", file=sys.stderr)


def test_what_a_task_prints_is_in_the_log_at_once(channel: Channel, tmp_path: Path):
    with process(channel, tmp_path / "log"):
        channel.receive()
        channel.send(encode_job(packed_job(speak)))
        channel.receive()
        assert (tmp_path / "log").read_text() == "to you\nand to you\n"


def leave_a_fork(begun, opened):
    import os
    from pathlib import Path

    pid = os.fork()
    if not pid:
        Path(begun).write_bytes(b"!")
        os.read(os.open(opened, os.O_RDONLY), 1)
        os._exit(0)
    return pid


@pytest.mark.anyio
async def test_a_fork_does_not_keep_the_channel_open(channel: Channel, tmp_path: Path):
    gate = Gate(tmp_path)
    with process(channel, tmp_path / "log") as worker:
        channel.receive()
        channel.send(encode_job(packed_job(leave_a_fork, *gate._paths)))
        child = value_of(channel.receive())
        await gate.has_begun()
        worker.kill()
        with pytest.raises(EOFError):
            channel.receive()
        gate.open()
        assert child != worker.pid


def see_descriptors():
    import subprocess

    found = subprocess.run(["ls", "-l", "/proc/self/fd"], check=True, capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if "socket:" in line]


def read_standard_input():
    import sys

    return sys.stdin.read()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_programs_that_a_task_starts_do_not_inherit_the_channel(channel: Channel, tmp_path: Path):
    with process(channel, tmp_path / "log"):
        channel.receive()
        channel.send(encode_job(packed_job(see_descriptors)), encode_job(packed_job(read_standard_input)))
        assert value_of(channel.receive()) == []
        assert value_of(channel.receive()) == ""


def leave_a_thread(opened):
    import os
    from threading import Thread

    Thread(target=lambda: os.read(os.open(opened, os.O_RDONLY), 1)).start()


def leave_a_word_at_the_end(path):
    import atexit
    from pathlib import Path

    atexit.register(Path(path).write_text, "bye")


def test_it_ends_in_spite_of_threads_and_runs_exit_handlers(channel: Channel, tmp_path: Path):
    gate = Gate(tmp_path)
    with process(channel, tmp_path / "log") as worker:
        channel.receive()
        channel.send(encode_job(packed_job(leave_a_thread, gate._paths[1])))
        channel.send(encode_job(packed_job(leave_a_word_at_the_end, str(tmp_path / "bye"))))
        channel.receive()
        channel.receive()
        channel.socket.shutdown(socket.SHUT_WR)
        assert ends(worker) == 0
    assert (tmp_path / "bye").read_text() == "bye"


def test_an_interrupt_ends_it_visibly(channel: Channel, tmp_path: Path):
    with process(channel, tmp_path / "log") as worker:
        channel.receive()
        channel.send(encode_job(packed_job(echo, 1)))
        channel.receive()
        worker.send_signal(signal.SIGINT)
        assert ends(worker) == -signal.SIGINT


PARENT = """
import os, socket, subprocess, sys
from afield.worker.frames import PERMIT, header
job = sys.stdin.buffer.read()
ours, theirs = socket.socketpair()
permits, permit = os.pipe()
os.set_blocking(permits, False)
life, ours_too = os.pipe()
worker = subprocess.Popen(
    [sys.executable, "-P", "-m", "afield.worker", str(theirs.fileno()), str(permits), "2", str(life)],
    pass_fds=(theirs.fileno(), permits, life), stdout=subprocess.DEVNULL)
theirs.close()
os.write(permit, PERMIT.pack(0))
ours.sendall(header(len(job), 0) + job)
print(worker.pid, flush=True)
ours.recv(1)
while ours.recv(65536): pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent ended")
@pytest.mark.anyio
async def test_it_ends_with_its_engine_even_in_the_middle_of_a_job(tmp_path: Path):
    gate = Gate(tmp_path)
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(encode_job(gate.job()))
        parent.stdin.close()
        worker = os.pidfd_open(int(parent.stdout.readline()))
        await gate.has_begun()
        parent.kill()
        readable, _, _ = select.select([worker], [], [], 60)
        assert readable
        os.close(worker)

"""What an agent leaves on disk for its next life."""

from __future__ import annotations

import resource
import signal

import pytest

from afield.endpoint.agent.journal import Journal
from afield.endpoint.agent.outbox import Outbox
from afield.wire import codec
from afield.wire.messages import ErrorDetails, Result


def test_a_journal_is_read_again(tmp_path):
    journal = Journal(tmp_path / "begun")
    journal.mark_begun(["a", "b", "c", "d"])
    journal.mark_settled(["b"])
    journal.mark_never_begun(["c", "d"])
    journal.mark_begun(["d"])
    journal.close()
    again = Journal(tmp_path / "begun")
    assert again.begun == {"a": 1, "d": 1}
    assert again.settled == ("b",)
    again.close()


def test_a_journal_counts_how_often_a_task_was_begun(tmp_path):
    journal = Journal(tmp_path / "begun")
    for _ in range(3):
        journal.mark_begun(["often", "given back", "done"])
    journal.mark_never_begun(["given back", "never"])
    journal.mark_settled(["done"])
    journal.mark_begun(["never"])
    journal.close()
    again = Journal(tmp_path / "begun")
    assert again.begun == {"often": 3, "given back": 2, "never": 1}
    again.compact(again.begun, again.settled)
    again.close()
    once_more = Journal(tmp_path / "begun")
    assert (once_more.begun, once_more.settled) == (again.begun, ("done",))
    once_more.close()


def test_a_line_that_a_crash_cut_off_never_counted(tmp_path):
    path = tmp_path / "begun"
    path.write_bytes(b"+a\n+b")
    journal = Journal(path)
    assert journal.begun == {"a": 1}
    journal.mark_begun(["c"])
    journal.close()
    again = Journal(path)
    assert again.begun == {"a": 1, "c": 1}
    again.close()


def test_a_compacted_journal_says_the_same(tmp_path):
    journal = Journal(tmp_path / "begun")
    journal.mark_begun([f"task{i}" for i in range(60_000)])
    assert journal.long
    journal.compact(begun={"x": 2}, settled=["y"])
    assert not journal.long
    journal.mark_begun(["z"])
    journal.sync()
    journal.close()
    assert (tmp_path / "begun").read_text() == "+x\n+x\n-y\n+z\n"
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


class SmallDisk(Journal):
    """On a disk with room for so many bytes more."""

    room = 0

    def _append(self, sign, task_ids):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.path.stat().st_size + self.room, hard))
        try:
            super()._append(sign, task_ids)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, before)


def test_a_disk_that_fills_up_takes_all_lines_or_none(tmp_path):
    journal = SmallDisk(tmp_path / "begun")
    journal.room = 100
    journal.mark_begun(["a"])
    journal.room = 7
    with pytest.raises(OSError, match="too large"):
        journal.mark_begun(["bbb", "ccc"])
    journal.mark_settled(["aaaaaaaaaaaa"])
    journal.room = 100
    journal.mark_begun(["d"])
    journal.close()
    assert (tmp_path / "begun").read_text() == "+a\n+d\n"


def test_a_journal_that_cannot_be_written_anew_stays_as_it_is(tmp_path, caplog):
    journal = Journal(tmp_path / "begun")
    journal.mark_begun(["a", "b"])
    (tmp_path / "begun.new").mkdir()
    journal.compact(begun={"b": 1}, settled=["a"])
    assert "stays long" in caplog.text
    journal.mark_begun(["c"])
    journal.close()
    assert (tmp_path / "begun").read_text() == "+a\n+b\n+c\n"


def test_an_outbox_keeps_the_message_itself(tmp_path):
    results = [Result("a", b"1", exception=b"\x00"), Result("b", b"text", ErrorDetails("X", "y"))]
    outbox = Outbox(tmp_path / "outbox")
    outbox.keep(5, results)
    again = Outbox(tmp_path / "outbox")
    assert again.load() == ({5: ("a", "b")}, [])
    assert codec.decode(again.body(5)) == results
    again.drop(5)
    again.drop(5)
    assert again.load() == ({}, [])


def test_a_broken_file_is_told_and_put_aside(tmp_path):
    (tmp_path / "00000002.results").write_bytes(b"\x02nonsense")
    (tmp_path / "00000003.part").write_bytes(b"half")
    found, [complaint] = Outbox(tmp_path).load()
    assert found == {}
    assert "00000002.broken" in complaint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000002.broken"]


def test_a_disk_that_refuses_is_told(tmp_path):
    outbox = Outbox(tmp_path / "outbox")
    (tmp_path / "outbox").rmdir()
    with pytest.raises(OSError, match="outbox"):
        outbox.keep(1, [Result("a", b"1")])

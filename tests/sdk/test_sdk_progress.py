"""Progress: what is counted, what is shown where, and that nothing stays behind."""

from __future__ import annotations

import concurrent.futures
import io
import os
import subprocess
import sys
import textwrap
import threading
import types

import pytest

from afield import ComputeFuture, progress
from afield.sdk import display
from afield.sdk.display import Lines, Notebook, Rewritten, Silent, Tally, WithRich, pick_display
from afield.sdk.progress import Bar

WAIT = 20


class Terminal(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Makes stderr one. (To be called in the test itself, for capturing puts its own there before.)"""

    def make():
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return make


@pytest.fixture
def without_rich(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)


@pytest.fixture(autouse=True)
def no_bar_stays():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "afield-progress"]
    assert display._terminal.acquire(blocking=False)
    display._terminal.release()


def ended(*values):
    """Futures that have ended: with a value, an exception, or (None) cancelled."""
    found = []
    for value in values:
        future = concurrent.futures.Future()
        if value is None:
            future.cancel()
        elif isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)
        found.append(future)
    return found


def double(x):
    return 2 * x


def invert(x):
    return 1 // x


# -- in words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tally", "now", "said"),
    [
        (Tally(10, "", 0.0), 0.0, "0/10 done"),
        (Tally(10, "", 0.0), 5.0, "0/10 done"),
        (Tally(100, "", 0.0, done=18, failed=2), 10.0, "20/100 done, 2 failed, 2.0/s, 0:40 left"),
        (Tally(100, "", 5.0, done=1), 3605.0, "1/100 done, 1.0/h, 99:00:00 left"),
        (Tally(4, "", 0.0, done=4), 65.0, "4/4 done, 3.7/min, took 1:05"),
        (Tally(None, "", 0.0, done=30), 10.0, "30 done, 3.0/s, 0:10 so far"),
        (Tally(0, "", 0.0), 0.0, "0/0 done, took 0:00"),
        (Tally(3, "", 0.0, done=5), 1.0, "5/3 done, 5.0/s, took 0:01"),
    ],
)
def test_a_tally_in_words(tally, now, said):
    assert tally.said(now) == said


def test_a_tally_as_a_line():
    tally = Tally(4, "nightly", 0.0, done=1)
    assert tally.line(1.0, bar=True) == "nightly: [######..................] 1/4 done, 1.0/s, 0:03 left"
    assert tally.line(1.0, bar=False) == "nightly: 1/4 done, 1.0/s, 0:03 left"
    assert Tally(None, "", 0.0).line(0.0, bar=True) == "0 done, 0:00 so far"


# -- where -----------------------------------------------------------------------------------------------------------


def test_a_line_of_a_terminal_is_rewritten_and_left_clean():
    stream = Terminal()
    shown = Rewritten(stream)
    shown.draw(Tally(2, "a longer label", 0.0), 0.0)
    shown.draw(Tally(2, "short", 0.0, done=1), 0.5)
    shown.end(Tally(2, "short", 0.0, done=2), 1.0)
    first, second, last = stream.getvalue().split("\r")[1:]
    assert first.startswith("a longer label: [....")
    assert second.startswith("short: [####")
    assert len(second) >= len(first)  # nothing of it shows behind
    assert last.rstrip(" \n").endswith("2/2 done, 2.0/s, took 0:01")
    assert last.endswith("\n")


def test_a_line_never_wraps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    Rewritten(stream).draw(Tally(2, "x" * 100, 0.0), 0.0)
    assert len(stream.getvalue()) == 30  # 29 columns, and the way back to the first


def test_a_log_gets_a_line_only_when_something_has_changed():
    stream = io.StringIO()
    shown = Lines(stream)
    tally = Tally(3, "", 0.0, done=1)
    shown.draw(tally, 10.0)
    shown.draw(tally, 20.0)
    tally.failed = 2
    shown.draw(tally, 30.0)
    shown.end(tally, 31.0)
    assert stream.getvalue().splitlines() == [
        "1/3 done, 6.0/min, 0:20 left",
        "3/3 done, 2 failed, 6.0/min, took 0:30",
        "3/3 done, 2 failed, 5.8/min, took 0:31",
    ]


def test_rich_draws_it_and_gives_the_cursor_back(terminal):
    stream = terminal()
    shown = pick_display()
    assert isinstance(shown, WithRich)
    shown.draw(Tally(4, "[red]x", 0.0, done=1), 1.0)
    shown.end(Tally(4, "[red]x", 0.0, done=3, failed=1), 2.0)
    shown.release()
    text = stream.getvalue()
    assert "[red]x" in text
    assert "4/4 done, 1 failed" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert sys.stderr is stream


def test_what_fits_the_place_is_picked(monkeypatch, terminal, without_rich):
    terminal()
    shown = pick_display()
    assert isinstance(shown, Rewritten)
    assert isinstance(pick_display(), Lines)  # two would write over one another
    shown.release()
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(pick_display(), Lines)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(pick_display(), Lines)
    sys.stderr.close()
    assert isinstance(pick_display(), Silent)
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(pick_display(), Silent)


def test_a_notebook_gets_one_output_that_changes(monkeypatch):
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown[-1] = bundle

    def show(bundle, raw, display_id):
        shown.append(bundle)
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = show
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    place = pick_display()
    assert isinstance(place, Notebook)
    place.draw(Tally(2, "<b>", 0.0), 0.0)
    place.end(Tally(2, "<b>", 0.0, done=2), 1.0)
    (bundle,) = shown
    assert bundle["text/plain"].endswith("2/2 done, 2.0/s, took 0:01")
    assert bundle["text/html"].startswith('<div>&lt;b&gt; <progress max=1 value="1.0000">')
    ipython.get_ipython = types.SimpleNamespace  # the shell of a terminal
    assert not isinstance(pick_display(), Notebook)


# -- the bar ---------------------------------------------------------------------------------------------------------


def test_futures_come_as_they_complete_and_are_counted(capsys):
    first, second = concurrent.futures.Future(), concurrent.futures.Future()
    found = progress([first, second, first, *ended(3, ValueError("oh"), None)], "nightly")
    assert {next(found).cancelled() for _ in range(3)} == {True, False}
    second.set_result(2)
    assert next(found) is second
    first.set_result(1)
    assert next(found) is first
    with pytest.raises(StopIteration):
        next(found)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("nightly: 5/5 done, 2 failed")


def test_results_that_nobody_has_looked_at_stay_unopened(capsys):
    class Sealed:
        failed = True

        def open(self):
            raise AssertionError("nobody asked")

    future = ComputeFuture()
    future.set_sealed(Sealed())
    assert list(progress([future])) == [future]
    assert "1/1 done, 1 failed" in capsys.readouterr().err


def test_nothing_to_wait_for(capsys):
    assert list(progress([])) == []
    assert "0/0 done" in capsys.readouterr().err


def test_it_wants_futures(capsys):
    with pytest.raises(TypeError, match="number 2 is 5"):
        progress([*ended(1), 5])
    with pytest.raises(TypeError, match="label should be text or None, and is 7"):
        progress([], 7)
    assert capsys.readouterr().err == ""


def test_leaving_half_way_leaves_the_line(terminal, without_rich):
    stream = terminal()

    def loop():
        for _ in progress(ended(1, 2, 3)):
            raise KeyError

    with pytest.raises(KeyError):
        loop()
    assert stream.getvalue().endswith("\n")
    assert "3/3 done" in stream.getvalue()


def test_nothing_is_shown_and_nothing_fails_when_stderr_is_closed(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert len(list(progress(ended(1, 2)))) == 2


def test_a_stderr_that_goes_away_meanwhile_is_no_error(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    found = progress(ended(1, 2))
    next(found)
    stream.close()
    assert len(list(found)) == 1


def test_it_draws_while_it_goes(terminal, without_rich):
    stream = terminal()
    drawn = threading.Event()

    class Watched(Rewritten):
        every_s = 0.001

        def draw(self, tally, now):
            super().draw(tally, now)
            if tally.ended:
                drawn.set()

    assert display._terminal.acquire(blocking=False)
    bar = Bar(2, "x", Watched(stream))
    bar.ended(failed=False)
    assert drawn.wait(WAIT)
    assert "1/2 done" in stream.getvalue()
    bar.close()
    bar.close()


# -- map -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 4])
def test_map_counts_calls(executor, capsys, chunksize):
    assert list(executor.map(double, range(10), progress=True, chunksize=chunksize)) == [2 * x for x in range(10)]
    assert capsys.readouterr().err.splitlines()[-1].startswith("double: 10/10 done")
    executor.options(label="mine").map(double, iter(range(10)), progress=True, total=20).close()
    assert capsys.readouterr().err.splitlines()[-1].startswith("mine: ")


def test_map_says_what_failed_and_leaves_the_line(executor, terminal, without_rich):
    stream = terminal()
    with pytest.raises(ZeroDivisionError):
        list(executor.map(invert, [0], progress=True))
    assert "invert: [########################] 1/1 done, 1 failed" in stream.getvalue()
    assert stream.getvalue().endswith("\n")


def test_the_length_of_the_input_is_the_total(executor, capsys):
    list(executor.map(pow, range(5), iter(range(9)), progress=True))
    list(executor.map(double, iter(range(4)), progress=True))
    with pytest.raises(OSError):
        executor.map(double, broken(), progress=True)
    shown = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in shown] == ["pow: 5/5 done", "double: 4 done", "double: 0 done"]


def broken():
    raise OSError
    yield


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
@pytest.mark.parametrize("rich", [True, False])
def test_a_program_that_dies_leaves_its_terminal_in_order(rich):
    """The loop's exception keeps the iterator, and so the bar, until the very end."""
    import pty

    program = """
        import concurrent.futures, sys
        if not {rich}:
            sys.modules["rich.console"] = None
        from afield import progress

        future = concurrent.futures.Future()
        future.set_result(1)
        found = progress([future])
        next(found)
        raise RuntimeError("and out")
    """
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program).format(rich=rich)],
            stderr=theirs, check=False, timeout=60, env=os.environ | {"TERM": "xterm"},
        )  # fmt: skip
        text = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1
    assert "RuntimeError: and out" in text
    assert "1/1 done" in text
    if rich:
        assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    else:
        assert text.endswith("\n")

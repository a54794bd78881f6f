"""What may never answer keeps nobody waiting."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from afield.endpoint.manager.enquiry import Enquiry

pytestmark = pytest.mark.anyio


@pytest.fixture
def silent():
    """A question without an answer, until the test is over."""
    over = threading.Event()
    yield over
    over.set()


async def test_an_answer_and_a_failure_arrive():
    enquiry = Enquiry(1, 30)
    assert await enquiry.ask(lambda: 3) == 3
    with pytest.raises(KeyError):
        await enquiry.ask(lambda: {}["x"])
    assert await enquiry.ask(threading.get_ident) != threading.get_ident()


async def test_what_hangs_takes_no_more_threads_than_it_may_and_all_is_well_when_it_is_over(silent):
    enquiry = Enquiry(2, 0.05)
    before = threading.active_count()
    for _ in range(4):
        with pytest.raises(TimeoutError):
            await enquiry.ask(silent.wait)
    assert threading.active_count() <= before + 2
    silent.set()
    while True:  # the threads end in their own time
        try:
            assert await enquiry.ask(lambda: "here") == "here"
        except TimeoutError:
            continue
        break


async def test_who_gives_up_leaves_room_behind(silent):
    enquiry = Enquiry(1, 30)
    asked = asyncio.create_task(enquiry.ask(silent.wait))
    waiting = asyncio.create_task(enquiry.ask(lambda: 1))
    await asyncio.sleep(0)
    waiting.cancel()
    asked.cancel()
    await asyncio.wait([asked, waiting])
    silent.set()
    assert await enquiry.ask(lambda: 2) == 2


def test_a_process_ends_while_something_hangs():
    program = """
import asyncio, threading
from afield.endpoint.manager.enquiry import Enquiry
async def main():
    try:
        await Enquiry(1, 0.01).ask(threading.Event().wait)
    except TimeoutError:
        print("told")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "told\n", "")

"""What belongs to a process: its start, its end, Ctrl-C and forks. Each script is a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.e2e

PRELUDE = """
import sys, os, threading
from afield import Client, Executor
from afield.sdk.retry import Pace
from afield.sdk.transport.memory import MemoryService, call_here
ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
service = MemoryService()
client = Client(transport=service, connector=service.broker)
def double(x):
    return 2 * x
"""

#: An endpoint that takes its time: results come a little after the submit, from a timer in the service's loop.
SLOW = """
import asyncio
def later(function, task):
    async def end():
        await service.finish(call_here(function, task))
    asyncio.get_running_loop().call_later(0.3, lambda: asyncio.ensure_future(end()))
service.work = later
"""


def start(script, *, prelude=PRELUDE, **options):
    code = prelude + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def run(script, **options):
    with start(script, **options) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_importing_and_constructing_starts_no_thread_and_loads_no_http():
    code, out, err = run(
        """
        import sys, threading
        from afield import Client, Executor
        client = Client(service_url="http://127.0.0.1:1", token="t")
        ex = Executor(client=client)
        print(threading.active_count(), {"aiohttp", "pika", "dill"} & set(sys.modules))
        """,
        prelude="",
    )
    assert (code, out, err) == (0, "1 set()\n", "")


def test_a_script_without_shutdown_still_gets_its_results():
    code, out, err = run(
        SLOW
        + """
ex = Executor(ENDPOINT, client=client)
for x in range(3):
    ex.submit(double, x).add_done_callback(lambda f: print(f.result(), flush=True))
"""
    )
    assert sorted(out.split()) == ["0", "2", "4"]
    assert (code, err) == (0, "")


def test_what_a_callback_submits_at_the_end_is_waited_for_too():
    code, out, err = run(
        SLOW
        + """
ex = Executor(ENDPOINT, client=client)
def again(future):
    ex.submit(double, future.result()).add_done_callback(lambda f: print(f.result(), flush=True))
ex.submit(double, 10).add_done_callback(again)
"""
    )
    assert (code, out, err) == (0, "40\n", "")


def test_a_shutdown_that_does_not_wait_is_not_waited_for_at_the_end_but_everything_is_sent():
    code, out, err = run(
        """
        import atexit
        service.work = lambda function, task: None
        ex = Executor(ENDPOINT, client=client)
        for x in range(300):
            ex.submit(double, x)
        ex.shutdown(wait=False)
        atexit.register(lambda: print(len(service.tasks_by_id)))
        """
    )
    assert (code, out, err) == (0, "300\n", "")


def test_wishes_to_cancel_are_sent_before_the_program_ends():
    code, out, err = run(
        """
        import atexit
        service.work = lambda function, task: None
        ex = Executor(ENDPOINT, client=client)
        # Few, for the service runs in this loop, and a step that takes long is told in this mode.
        futures = [ex.submit(double, x) for x in range(30)]
        ex.shutdown(wait=False)
        print(any(future.cancel(timeout=0) for future in futures[:1]))
        ex.client.session().cancel_all(futures[0].origin, running=True)
        atexit.register(lambda: print({str(task.state) for task in service.tasks_by_id.values()} <= {"cancelled"}))
        """
    )
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "True"


def test_an_exception_in_the_block_waits_and_is_shown():
    code, _, err = run(SLOW + "with Executor(ENDPOINT, client=client) as ex:\n    ex.submit(double, 1)\n    1 / 0\n")
    assert code == 1
    assert "ZeroDivisionError" in err
    assert "Exception ignored" not in err


@pytest.mark.parametrize(
    "waiting",
    [
        "future.result()",
        "concurrent.futures.wait([future])",
        "list(concurrent.futures.as_completed([future]))",
        "future.cancel(None)",
        "ex.shutdown()",
        "sys.exit()",
    ],
)
def test_ctrl_c_ends_the_program(waiting):
    script = f"""
import concurrent.futures, signal
service.work = lambda function, task: None
service.stop = lambda task, running: None
with Executor(ENDPOINT, client=client) as ex:
    future = ex.submit(double, 1)
    concurrent.futures.wait([ex.submit(double, 2)], 0)
    client.session().run(client.session().pump.flush)
    print("waiting", flush=True)
    {waiting}
"""
    with start(script) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode in (1, 0, -signal.SIGINT, 130)


def test_who_catches_ctrl_c_at_the_end_of_the_block_is_not_kept_waiting_at_the_end_of_the_program():
    script = """
service.work = lambda function, task: None
try:
    with Executor(ENDPOINT, client=client) as ex:
        future = ex.submit(double, 1)
        client.session().run(client.session().pump.flush)
        print("waiting", flush=True)
except KeyboardInterrupt:
    sys.exit(5)
"""
    with start(script) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 5


def test_ctrl_c_in_an_asyncio_program():
    script = """
import asyncio
service.work = lambda function, task: None
async def main():
    with Executor(ENDPOINT, client=client) as ex:
        future = asyncio.wrap_future(ex.submit(double, 1))
        print("waiting", flush=True)
        await future
asyncio.run(main())
"""
    with start(script) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in err


def test_connections_that_are_being_closed_at_the_end_are_closed():
    code, out, err = run(
        """
        import asyncio
        class Slow(MemoryService):
            async def close(self):
                for _ in range(100):
                    await asyncio.sleep(0)
                print("closed", flush=True)
        slow = Slow()
        client = Client(transport=slow, connector=slow.broker)
        Executor(ENDPOINT, client=client).submit(double, 2).result(20)
        del client  # its connections are let go of in the background
        """
    )
    assert (code, out, err) == (0, "closed\n", "")


def test_ctrl_c_while_the_interpreter_ends():
    script = """
import atexit
service.work = lambda function, task: None
future = Executor(ENDPOINT, client=client).submit(double, 1)
client.session().run(client.session().pump.flush)
print("leaving", flush=True)
"""
    with start(script) as process:
        assert process.stdout.readline() == "leaving\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_afresh_and_leaves_its_parents_things_alone():
    code, out, err = run(
        """
        import concurrent.futures, warnings
        from afield.errors import ComputeError
        service.work = lambda function, task: None
        ex = Executor(ENDPOINT, client=client)
        finished = ex.submit(double, 1)
        open_, waited = ex.submit(double, 2), ex.submit(double, 3)
        session = client.session()
        session.run(session.pump.flush)
        async def finish(*futures):
            for future in futures:
                task = service.tasks_by_id[future.task_id]
                await service.finish(call_here(service.functions[task.function_id], task))
        session.run(finish, finished)
        finished.result(20)
        waited._condition.acquire()  # a thread that does not exist in the child holds it
        holder = threading.Thread(target=lambda: None)
        child = os.fork()
        if not child:
            try:
                assert finished.result() == 2
                for future in (open_, waited):
                    assert not future.cancel(), "it is not the child's"
                    try:
                        future.result(20)
                        raise SystemExit("no error")
                    except ComputeError as error:
                        assert "forked" in str(error), error
                assert concurrent.futures.wait([open_, waited], 20).not_done == set()
                own = MemoryService()
                with Client(transport=own, connector=own.broker) as mine, Executor(ENDPOINT, client=mine) as again:
                    assert again.submit(double, 21).result(20) == 42
                group, service.work = ex.task_group_id, call_here
                assert ex.submit(double, 4).result(20) == 8
                assert ex.task_group_id != group, "parent and child would steal each other's results"
                print("child is well", flush=True)
                os._exit(0)
            except BaseException:
                import traceback
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
        waited._condition.release()
        assert os.waitpid(child, 0)[1] == 0
        session.run(finish, open_, waited)
        assert (open_.result(20), waited.result(20)) == (4, 6)
        service.work = call_here
        assert ex.submit(double, 5).result(20) == 10
        ex.shutdown()
        print("parent is well")
        """
    )
    assert (code, out, err) == (0, "child is well\nparent is well\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_ends_in_the_ordinary_way_waits_for_nothing_of_its_parents():
    code, out, err = run(
        """
        service.work = lambda function, task: None
        future = Executor(ENDPOINT, client=client).submit(double, 1)
        session = client.session()
        session.run(session.pump.flush)
        child = os.fork()
        if not child:
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        async def finish():
            for task in service.tasks_by_id.values():
                await service.finish(call_here(service.functions[task.function_id], task))
        session.run(finish)
        print(future.result(20))
        """
    )
    assert (code, out, err) == (0, "2\n", "")

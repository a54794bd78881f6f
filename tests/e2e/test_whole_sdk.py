"""What a user of the SDK can rely on, through a real service, endpoint and workers."""

from __future__ import annotations

import textwrap

import pytest

pytestmark = pytest.mark.e2e


def run(up, text: str, *arguments: str, **environment: str) -> list[str]:
    return up.script(textwrap.dedent(text), *arguments, **environment).splitlines()


WAIT = """
import os, sys, time
from pathlib import Path

def until(path):
    import time
    from pathlib import Path
    while not Path(path).exists():
        time.sleep(0.01)
"""


def test_cancel_reaches_a_task_wherever_it_is(up, tmp_path):
    printed = run(up, WAIT + f"""
from concurrent.futures import CancelledError, wait
from afield import Client, Executor, TaskState

def hold(begun, go):
    import time
    from pathlib import Path
    Path(begun).write_text("")
    while not Path(go).exists():
        time.sleep(0.01)

begun, go = {str(tmp_path / "begun")!r}, {str(tmp_path / "go")!r}
with Executor() as ex:
    # as many as there are workers, then more: some run, some wait at the endpoint
    held = [ex.submit(hold, begun + str(n), go) for n in range(40)]
    until(begun + "0")
    running = held[0]
    while running.state != TaskState.RUNNING:   # it is told, nobody asks
        time.sleep(0.01)
    waiting = held[-1]
    assert waiting.cancel() and waiting.cancelled() and waiting.state == TaskState.CANCELLED
    assert running.cancel() and running.state == TaskState.CANCELLED
    try:
        running.result()
    except CancelledError:
        print("running: cancelled")
    assert not Path(begun + "39").exists()
    client = Client()
    assert client.get_task(waiting.task_id)["status"] == "cancelled"
    assert client.get_task(running.task_id)["status"] == "cancelled"
    # by somebody else: another client of the same person
    client.cancel_tasks([held[1].task_id])
    try:
        held[1].result(60)
    except CancelledError:
        print("by another: cancelled")
    ex.shutdown(wait=False, cancel_futures=True)
    # As long as those that began hold their workers, no other can begin.
    while not all(held[n].done() or Path(begun + str(n)).exists() for n in range(40)):
        time.sleep(0.01)
    Path(go).write_text("")
    done, pending = wait(held, 60)
    ran = [n for n in range(2, 40) if not held[n].cancelled()]
    # What had not begun never will; what had begun went on to its end.
    print("rest:", not pending, ran == [n for n in range(2, 40) if Path(begun + str(n)).exists()], len(ran) < 10)
""")  # fmt: skip
    assert printed == ["running: cancelled", "by another: cancelled", "rest: True True True"]


def test_a_timeout_ends_everything_that_the_task_started(up, tmp_path):
    printed = run(up, f"""
import os, time
from afield import Executor, TaskTimeout

def start_many(path):
    import subprocess, time
    child = subprocess.Popen(["sleep", "300"])
    command = ["setsid", "sh", "-c", "sleep 300 >/dev/null 2>&1 & echo $!"]
    daemon = subprocess.run(command, capture_output=True, text=True)
    with open(path, "w") as file:
        file.write(f"{{child.pid}} {{daemon.stdout.strip()}}")
    time.sleep(300)

with Executor() as ex:
    future = ex.options(timeout=1.5).submit(start_many, {str(tmp_path / "pids")!r})
    try:
        future.result()
    except TaskTimeout as error:
        print(str(error).strip().splitlines()[0])
    pids = [int(pid) for pid in open({str(tmp_path / "pids")!r}).read().split()]
    print(*pids)
    print(ex.submit(pow, 2, 3).result())
""")  # fmt: skip
    assert "1.5" in printed[0]
    assert [alive(int(pid)) for pid in printed[1].split()] == [False, False]
    assert printed[2] == "8"


def test_retries_after_a_lost_worker_and_after_chosen_exceptions(up, tmp_path):
    printed = run(up, f"""
from afield import Client, Executor, WorkerLost

def die_at_first(path, how):
    import os
    from pathlib import Path
    tries = Path(path)
    count = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("x" * (count + 1))
    if count < 2:
        if how == "die":
            os._exit(1)
        raise FileNotFoundError(count)
    return count

place = {str(tmp_path)!r}
with Executor() as ex:
    view = ex.options(retries=2, backoff=0.05, label="again and again")
    future = view.submit(die_at_first, place + "/a", "die")
    print(future.result(), future.attempt)
    # OSError stands for its subclass FileNotFoundError
    other = ex.options(retries=2, backoff=0.05, retry_on=OSError).submit(die_at_first, place + "/b", "raise")
    print(other.result())
    once = view.submit(die_at_first, place + "/c", "raise")
    print(type(once.exception()).__mro__[1].__name__, len(open(place + "/c").read()))
    never = ex.submit(die_at_first, place + "/d", "die")
    print(isinstance(never.exception(), WorkerLost), len(open(place + "/d").read()))
client = Client()
attempts = client.get_task(other.task_id)["details"]["attempts"]
print(len(attempts), "FileNotFoundError" in attempts[0]["error"])
print([task["task_id"] for task in client.list_tasks(search="again and")] == [once.task_id, future.task_id])
""")  # fmt: skip
    assert printed[0].startswith("2 ")
    assert printed[1] == "2"
    assert printed[2].endswith(" 1")
    assert printed[3:] == ["True 1", "2 True", "True"]


def test_priority_goes_first(up, tmp_path):
    printed = run(up, WAIT + f"""
from afield import Executor

def hold(begun, go):
    import time
    from pathlib import Path
    Path(begun).write_text("")
    while not Path(go).exists():
        time.sleep(0.01)

def note(path, what):
    with open(path, "a") as file:
        file.write(what + "\\n")

place = {str(tmp_path)!r}
with Executor(user_endpoint_config={{"max_workers": 1}}) as ex:
    first = ex.submit(hold, place + "/begun", place + "/go")
    until(place + "/begun")
    futures = [ex.submit(note, place + "/order", f"low {{n}}") for n in range(300)]
    urgent = ex.options(priority=5).submit(note, place + "/order", "urgent")
    while urgent.state < "waiting-for-l" or futures[-1].task_id is None:
        time.sleep(0.01)
    Path(place + "/go").write_text("")
order = open(place + "/order").read().split("\\n")
print(order.index("urgent") < 150, len(order))
""")  # fmt: skip
    assert printed == ["True 302"]


def test_futures_as_arguments_and_why_one_failed(up):
    printed = run(up, """
from afield import DependencyFailed, Executor

def add(*numbers):
    return sum(numbers)

def total(tree):
    return sum(tree["a"]) + tree["b"][0]

def fail():
    raise ValueError("no data")

with Executor() as here, Executor() as there:
    a, b = here.submit(add, 1, 2), here.submit(add, 3)
    print(there.submit(total, {"a": [a, b, 10], "b": (a,)}).result())
    chain = a
    for _ in range(50):
        chain = there.submit(add, chain, 1)
    print(chain.result())
    try:
        there.submit(add, here.submit(fail), a).result()
    except DependencyFailed as error:
        print(type(error.__cause__).__name__, isinstance(error.__cause__, ValueError))
    print(list(there.map(add, [a, b], [b, a])))
""")  # fmt: skip
    assert printed[:2] == ["19", "53"]
    assert printed[2].endswith("True")
    assert printed[3] == "[6, 6]"


def test_an_endless_map_has_a_window(up):
    printed = run(up, """
import itertools
from afield import Executor

taken = 0

def numbers():
    global taken
    for n in itertools.count():
        taken += 1
        yield n

with Executor() as ex:
    squares = ex.map(lambda x: x * x, numbers(), buffersize=20)
    print(list(itertools.islice(squares, 30)) == [n * n for n in range(30)], taken <= 51)
    squares.close()
    print(sorted(ex.map(abs, range(-500, 0), chunksize=50, ordered=False)) == list(range(1, 501)))
""")  # fmt: skip
    assert printed == ["True True", "True"]


def test_a_script_as_people_write_it(up):
    printed = run(up, """
import enum
import math as m
import statistics
from collections import namedtuple
from dataclasses import dataclass
from pathlib import PurePosixPath

from afield import Executor

FACTOR = 3
Pair = namedtuple("Pair", "left right")

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

@dataclass
class Point:
    x: float
    y: float
    def length(self):
        return m.hypot(self.x, self.y)

class Far(Point):
    def length(self):
        return super().length() * FACTOR

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)

def everything(point, colour, pair):
    names = [PurePosixPath("a") / "b", Colour.BLUE.name, colour is Colour.RED]
    return Far(point.x, point.y), names, even(10), factorial(10), statistics.mean(pair), Pair(pair.right, pair.left)

with Executor() as ex:
    far, names, is_even, product, mean, pair = ex.submit(everything, Point(3, 4), Colour.RED, Pair(1, 2)).result()
    print(type(far) is Far, far.length(), names, is_even, product, mean, pair, type(pair) is Pair)
    print(ex.submit(lambda c: c, [Colour.BLUE]).result()[0] is Colour.BLUE)
""")  # fmt: skip
    assert printed[0] == ("True 15.0 [PurePosixPath('a/b'), 'BLUE', True] True 3628800 1.5 Pair(left=2, right=1) True")
    assert printed[1] == "True"


def test_a_module_that_the_worker_lacks_is_named_with_the_endpoint(up, tmp_path):
    (up.user_dir / "only_here.py").write_text("def double(x):\n    return 2 * x\n")
    printed = run(up, """
import sys
import only_here
from afield import Executor

def indirectly(x):
    return only_here.double(x)

with Executor() as ex:
    for function in (only_here.double, indirectly):
        error = ex.submit(function, 1).exception()
        print("only_here" in str(error), str(ex.endpoint_id) in str(error), isinstance(error, ModuleNotFoundError))
""")  # fmt: skip
    assert [line.split()[:2] for line in printed] == [["True", "True"]] * 2


def test_shell_functions(up, tmp_path):
    printed = run(up, f"""
from afield import Executor, ShellFunction, ShellResult

with Executor() as ex:
    result = ex.submit(ShellFunction("echo {{what}} | awk '{{print $1}}'"), what="it's; echo no").result()
    print(type(result) is ShellResult, result.stdout.strip(), result.returncode)
    slow = ShellFunction("sleep 300 & echo $! > {{file}}; wait", walltime=0.5, return_dict=True)
    print(ex.submit(slow, file={str(tmp_path / "pid")!r}).result()["returncode"])
    try:
        ex.submit(ShellFunction("echo {{what}}"), oops=1)
    except TypeError as error:
        print("oops" in str(error))
""")  # fmt: skip
    assert printed == ["True it's; 0", "124", "True"]
    assert not alive(int((tmp_path / "pid").read_text()))


def alive(pid: int) -> bool:
    from pathlib import Path

    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and " Z " not in stat.read_text()


def test_a_rejected_submit_leaves_the_executor_usable(up):
    printed = run(up, """
import uuid
from afield import ComputeAPIError, Executor

with Executor() as ex:
    good = ex.submit(pow, 2, 3)
    there = ex.endpoint_id
    ex.endpoint_id = uuid.uuid4()
    bad = [ex.submit(pow, 2, 3) for _ in range(3)]
    ex.endpoint_id = there
    after = ex.submit(pow, 2, 4)
    print(good.result(), after.result(), {type(each.exception()) for each in bad} == {ComputeAPIError})
""")  # fmt: skip
    assert printed == ["8 16 True"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("timeout=0", "timeout"),
        ("timeout='1'", "timeout"),
        ("retries=-1", "retries"),
        ("retry_on=3", "retry_on"),
        ("resources={'core': 1}", "core"),
        ("resources={'memory': '2 apples'}", "memory"),
        ("priority=1.5", "priority"),
        ("label=3", "label"),
        ("user_endpoint_config={'a': object()}", "user_endpoint_config"),
    ],
)
def test_bad_options_are_named_before_anything_is_sent(up, options, says):
    printed = run(up, f"""
from afield import Client, Executor
ex = Executor(client=Client(service_url="http://127.0.0.1:1", token="t"))
try:
    ex.options({options})
except (TypeError, ValueError) as error:
    print(error)
""")  # fmt: skip
    assert says in printed[0]


def test_asyncio(up):
    printed = run(up, """
import asyncio
from afield import Executor

def sleep(seconds):
    import time
    time.sleep(seconds)

async def main():
    async with Executor() as ex:
        print(await ex.submit(pow, 2, 3), await asyncio.gather(*(ex.submit(abs, -x) for x in range(3))))
        late = ex.submit(sleep, 300)
        try:
            async with asyncio.timeout(0.3):
                await late
        except TimeoutError:
            print("too late")
        while not late.done():
            await asyncio.sleep(0.01)
        print(late.cancelled())

asyncio.run(main())
""")  # fmt: skip
    assert printed == ["8 [0, 1, 2]", "too late", "True"]

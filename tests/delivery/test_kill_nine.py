"""Every part is killed with SIGKILL at each step of a task's way, and comes back. None is lost, none runs twice against
the rules, no future hangs.

The rules: a task without retries runs at most once, and if it succeeds it ran exactly once; one with a retry may run
once more, and only when its worker or endpoint was lost. Where a part dies is exact: it dies inside the program, at a
seam (see programs/), or when a task has said that it runs.
"""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from afield.errors import EndpointLost, WorkerLost

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

#: Nothing takes longer; it only bounds a hang.
PATIENCE_S = 30
PLAIN, RETRIED = 1, 2


def leave_a_mark(place: str, number: int, *, wait: bool) -> int:
    """The task: write down that it runs, say so, and wait at the gate."""
    import os
    from pathlib import Path

    with Path(place, "runs").open("a") as runs:
        runs.write(f"{number}\n")
    with Path(place, "marks").open("w") as marks:
        marks.write(f"{os.getpid()}\n")
    if wait:
        Path(place, "gate").open().close()
    return number


def leave_a_mark_and_die(place: str, number: int) -> object:
    """A task whose worker dies while it packs the result."""
    from pathlib import Path

    with Path(place, "runs").open("a") as runs:
        runs.write(f"{number}\n")

    class Deadly:
        def __reduce__(self) -> tuple[object, ...]:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)
            return (object, ())

    return Deadly()


class Cell:
    """One cell of the matrix: two tasks, one that may run once and one that may be run again."""

    def __init__(self, site, witness, config, *, wait, function=leave_a_mark):
        self.site, self.witness = site, witness
        self.executor = site.executor(config)
        options = {"wait": wait} if function is leave_a_mark else {}
        again = self.executor.options(retries=1, backoff=0)
        self.plain = self.executor.submit(function, witness.place, PLAIN, **options)
        self.retried = again.submit(function, witness.place, RETRIED, **options)

    def outcomes(self):
        """What became of both: the number, or the class of what was raised. No future hangs."""
        found = []
        for future in (self.plain, self.retried):
            error = future.exception(PATIENCE_S)
            found.append(future.result() if error is None else type(error))
        self.executor.shutdown()
        return found

    def runs(self):
        counted = self.witness.runs()
        return counted[PLAIN], counted[RETRIED]


STEPS_OF_THE_SERVICE = [
    "service: submit read, not committed",
    "service: tasks committed, not queued, not answered",
    "service: tasks queued, not answered",
    "service: result here, not committed",
    "service: result committed, not handed to its client",
    "service: result committed and handed over, its endpoint not told",
    "service: result taken by its client, not written down",
]


@pytest.mark.parametrize("step", STEPS_OF_THE_SERVICE)
def test_the_service_dies(site, witness, step):
    site.arm(step)
    cell = Cell(site, witness, "service", wait=False)
    site.reached(step)
    site.service.died()
    site.service.start()
    assert cell.outcomes() == [PLAIN, RETRIED]
    assert cell.runs() == (1, 1)


def test_the_service_dies_while_a_task_runs(site, witness):
    cell = Cell(site, witness, "service", wait=True)
    witness.saw(1)
    site.service.kill()
    site.service.start()
    witness.open_gate()
    assert cell.outcomes() == [PLAIN, RETRIED]
    assert cell.runs() == (1, 1)


@pytest.mark.parametrize(
    ("step", "plain", "most"),
    [
        ("agent: task here, not written down", PLAIN, 1),
        ("agent: task written down, not begun", EndpointLost, 1),
        ("agent: result here, not sent", EndpointLost, 2),
        ("agent: result confirmed, not written down", PLAIN, 2),
        ("agent: result written down, task not acknowledged", PLAIN, 2),
    ],
)
def test_the_user_endpoint_dies(site, witness, step, plain, most):
    site.arm(step)
    cell = Cell(site, witness, step, wait=False)
    site.reached(step)
    assert cell.outcomes() == [plain, RETRIED]
    ran, ran_again = cell.runs()
    assert ran == (0 if step == "agent: task written down, not begun" else 1)
    assert 1 <= ran_again <= most


def test_the_user_endpoint_dies_while_a_task_runs(site, witness):
    cell = Cell(site, witness, "agent running", wait=True)
    [worker] = witness.saw(1)
    site.agent_of(worker).kill()
    witness.open_gate()
    assert cell.outcomes() == [EndpointLost, RETRIED]
    assert cell.runs()[0] == 1
    assert 1 <= cell.runs()[1] <= 2


def test_the_user_endpoint_dies_with_results_on_its_disk(site, witness):
    cell = Cell(site, witness, "agent disk", wait=True)
    witness.saw(1)
    site.arm("agent: result on disk, service away")
    site.service.kill()
    witness.open_gate()
    site.reached("agent: result on disk, service away")
    site.service.start()
    assert cell.outcomes() == [PLAIN, RETRIED]
    assert cell.runs()[0] == 1
    assert 1 <= cell.runs()[1] <= 2


def test_the_manager_dies_with_a_command_in_its_hands(site, witness):
    site.arm("manager: command here, nothing started")
    cell = Cell(site, witness, "manager", wait=False)
    site.reached("manager: command here, nothing started")
    site.manager.died()
    site.manager.start()
    assert cell.outcomes() == [PLAIN, RETRIED]
    assert cell.runs() == (1, 1)


def test_the_manager_dies_while_a_task_runs(site, witness):
    """Its user endpoints end too, and give what runs a little time."""
    cell = Cell(site, witness, "manager running", wait=True)
    witness.saw(1)
    site.manager.kill()
    witness.open_gate()
    assert cell.plain.result(PATIENCE_S) == PLAIN
    site.manager.start()
    assert cell.outcomes() == [PLAIN, RETRIED]
    assert cell.runs() == (1, 1)


def test_the_whole_endpoint_dies_while_a_task_runs(site, witness):
    cell = Cell(site, witness, "tree", wait=True)
    witness.saw(1)
    site.kill_tree()
    witness.open_gate()
    site.manager.start()
    assert cell.outcomes() == [EndpointLost, RETRIED]
    assert cell.runs()[0] == 1
    assert 1 <= cell.runs()[1] <= 2


def test_everything_dies_while_a_task_runs(site, witness):
    cell = Cell(site, witness, "everything", wait=True)
    witness.saw(1)
    site.service.kill()
    site.kill_tree()
    witness.open_gate()
    site.service.start()
    site.manager.start()
    assert cell.outcomes() == [EndpointLost, RETRIED]
    assert cell.runs()[0] == 1
    assert 1 <= cell.runs()[1] <= 2


def test_a_worker_dies_while_a_task_runs(site, witness):
    cell = Cell(site, witness, "worker", wait=True)
    [worker] = witness.saw(1)
    os.kill(worker, signal.SIGKILL)
    witness.open_gate()
    assert cell.outcomes() == [WorkerLost, RETRIED]
    assert cell.runs() == (1, 1)


def test_a_worker_dies_with_a_task_that_may_run_again(site, witness):
    executor = site.executor("worker again").options(retries=1, backoff=0)
    future = executor.submit(leave_a_mark, witness.place, RETRIED, wait=True)
    [worker] = witness.saw(1)
    os.kill(worker, signal.SIGKILL)
    witness.open_gate()
    assert future.result(PATIENCE_S) == RETRIED
    assert witness.runs() == {RETRIED: 2}


def test_a_worker_dies_with_the_result_in_its_hands(site, witness):
    cell = Cell(site, witness, "worker result", wait=False, function=leave_a_mark_and_die)
    assert cell.outcomes() == [WorkerLost, WorkerLost]
    assert cell.runs() == (1, 2)


def test_an_idle_worker_dies(site, witness):
    executor = site.executor("worker idle")
    assert executor.submit(leave_a_mark, witness.place, 0, wait=False).result(PATIENCE_S) == 0
    [worker] = witness.saw(1)
    process = psutil.Process(worker)
    process.kill()
    process.wait(PATIENCE_S)
    cell = Cell(site, witness, "worker idle", wait=False)
    assert cell.outcomes() == [PLAIN, RETRIED]
    assert cell.runs() == (1, 1)

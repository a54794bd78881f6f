"""Who has which node of a block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.worker.launchers import variables
from afield.worker.nodes import Partition

NAMES = ["a", "b", "c", "d"]


def test_tasks_have_nodes_of_their_own_and_are_not_overtaken():
    nodes: Partition[str] = Partition(NAMES[:2])
    assert nodes.ask(1, 1, "one") == [("one", ["a"])]
    assert nodes.ask(2, 1, "two") == [("two", ["b"])]
    assert nodes.ask(3, 2, "both") == []
    assert nodes.ask(4, 1, "late") == []
    assert nodes.end(1) == []  # late does not overtake both
    assert nodes.end(2) == [("both", ["a", "b"])]
    assert nodes.end(3) == [("late", ["a"])]


def test_an_end_may_be_told_twice():
    nodes: Partition[str] = Partition(NAMES[:1])
    nodes.ask(1, 1, "one")
    assert nodes.end(1) == []
    assert nodes.end(1) == []
    assert nodes.ask(2, 1, "two") == [("two", ["a"])]
    assert nodes.ask(3, 1, "three") == []


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 30)), max_size=30))
def test_all_begin_in_order_and_nobody_shares(wishes):
    """Whoever ends when: each task gets what it asked for, in the order of asking."""
    nodes: Partition[int] = Partition(NAMES)
    begun: list[int] = []
    running: dict[int, list[str]] = {}

    def begin(granted):
        for task, mine in granted:
            assert len(mine) == wishes[task][0]
            running[task] = mine
            begun.append(task)
            used = [name for names in running.values() for name in names]
            assert len(used) == len(set(used))

    def end(which):
        task = list(running)[which % len(running)]
        del running[task]
        begin(nodes.end(task))

    for task, (count, which) in enumerate(wishes):
        begin(nodes.ask(task, count, task))
        if running and which % 2:
            end(which)
    while running:
        end(0)
    assert begun == list(range(len(wishes)))


def test_what_a_task_is_told():
    """All that Parsl's worker has set for it, and only where it has."""
    worker = {"PARSL_WORKER_RANK": "0", "PATH": "/bin"}
    assert variables(worker) == {}
    own = {"PARSL_MPI_NODELIST": "a,b", "PARSL_MPI_PREFIX": "mpiexec -n 2", "PARSL_NUM_NODES": "2"}
    assert variables(worker | own) == own


def test_the_nodes_of_a_job(monkeypatch, tmp_path):
    """By the scheduler's word; and a job that has fewer than it should have ends with a reason."""
    pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")
    from afield.worker.mpi_pool import nodes_of_block

    for name in ("SLURM_NODELIST", "PBS_NODEFILE"):
        monkeypatch.delenv(name, raising=False)
    assert nodes_of_block(1) == ("localhost",)
    with pytest.raises(SystemExit, match="neither SLURM_NODELIST nor PBS_NODEFILE"):
        nodes_of_block(2)
    file = tmp_path / "nodes"
    file.write_text("n1\nn2\n\n")
    monkeypatch.setenv("PBS_NODEFILE", str(file))
    assert nodes_of_block(2) == ("n1", "n2")
    file.write_text("n1\nn1\nn2\nn2\n")
    assert nodes_of_block(2) == ("n1", "n2"), "as often as there are to be ranks"
    file.write_text("n1\nn1\n")
    assert nodes_of_block(2) == ("n1", "n1"), "two that are parts of one machine"
    file.write_text("n1\nn2\n")
    with pytest.raises(SystemExit, match=r"has 2 nodes \(n1, n2\), and engine.provider.nodes_per_block says 3"):
        nodes_of_block(3)

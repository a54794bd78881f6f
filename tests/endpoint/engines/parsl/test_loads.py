"""Which job is where, whatever happens to workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from afield.endpoint.engines.parsl.loads import Loads


@dataclass(eq=False)
class Job:
    digest: bytes
    item: Any = None
    runs: int = 0
    #: answered, lost or withdrawn
    over: list[str] = field(default_factory=list)


def loads_with(count: int, *, quick: bool = True) -> tuple[Loads[Job], list[Job]]:
    loads: Loads[Job] = Loads(lambda job: job.digest)
    if quick:
        loads.estimates.ran(b"f", 1e-5)
    jobs = [Job(b"f") for _ in range(count)]
    for job in jobs:
        job.item = loads.submit(job, 100)
    return loads, jobs


def out(loads: Loads[Job], workers: int) -> list[list[Job]]:
    """All that may be handed over now."""
    found = []
    while (load := loads.next_load(workers=workers, possible=workers)) is not None:
        found.append([item.job for item in load.items])
    return found


def test_a_lone_job_goes_at_once_and_alone():
    loads, jobs = loads_with(1)
    assert out(loads, 0) == [jobs]


def test_few_jobs_are_shared_out():
    loads, jobs = loads_with(8)
    bundles = out(loads, 4)
    assert max(map(len, bundles)) == 1
    assert list(chain(*bundles)) == jobs


def test_where_each_job_travels_alone_nothing_travels_twice():
    """It waits at its destination for what it needs there."""
    loads: Loads[Job] = Loads(lambda job: job.digest, alone=True)
    loads.estimates.ran(b"f", 1e-5)
    for _ in range(50):
        loads.submit(Job(b"f"), 100)
    assert {len(bundle) for bundle in out(loads, 2)} == {1}
    assert [loads.overdue() for _ in range(5)] == [[]] * 5


def test_many_jobs_travel_together_in_order():
    loads, jobs = loads_with(1000)
    bundles = out(loads, 2)
    assert len(bundles) == 5
    assert list(chain(*bundles)) == jobs[: sum(map(len, bundles))]
    assert max(map(len, bundles)) > 100


def test_without_word_from_workers_every_job_travels_alone():
    loads, jobs = loads_with(100)
    loads.heard = False
    assert out(loads, 3) == [[job] for job in jobs[:7]]


def test_of_a_lost_load_that_nobody_had_taken_every_job_waits_again():
    loads, jobs = loads_with(3)
    load = loads.next_load(workers=0, possible=0)
    assert load is not None
    assert loads.lose(load.number) == []
    assert loads.waiting == 3
    again = loads.next_load(workers=0, possible=0)
    assert again is not None
    assert again.items[0].job is jobs[0]


def test_a_younger_bundle_gives_way_to_an_older_one():
    loads, _ = loads_with(600)
    first = loads.next_load(workers=1, possible=1)
    second = loads.next_load(workers=1, possible=1)
    assert first is not None
    assert second is not None
    loads.give_back(first.number, list(first.open))
    assert loads.may_begin(second.number, 1) is None
    loads.give_back(second.number, list(second.open))
    again = loads.next_load(workers=1, possible=1)
    assert again is not None
    assert again.items[0].number == 0
    assert loads.may_begin(again.number, 1) is again


def test_what_nobody_takes_travels_again_and_is_begun_once():
    loads, jobs = loads_with(1)
    swallowed = loads.next_load(workers=1, possible=1)
    assert swallowed is not None
    assert [loads.overdue(), loads.overdue()] == [[], []]
    assert loads.overdue() == [swallowed]
    loads.give_back(swallowed.number, list(swallowed.open))
    again = loads.next_load(workers=1, possible=1)
    assert again is not None
    assert again.items[0].job is jobs[0]
    assert loads.may_begin(swallowed.number, 1) is None
    assert loads.may_begin(again.number, 1) is again
    assert [loads.overdue() for _ in range(5)] == [[]] * 5


class Life(RuleBasedStateMachine):
    """Jobs are submitted, carried, run, given back, withdrawn and lost in any order; none is lost sight of, none runs
    twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loads: Loads[Job] = Loads(lambda job: job.digest)
        self.loads.estimates.ran(b"f", 1e-5)
        self.jobs: list[Job] = []

    def some(self, data: st.DataObject, *, taken: bool) -> Any:
        found = [load for load in self.loads.loads if load.taken == taken]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(count=st.integers(1, 30))
    def submit(self, count: int) -> None:
        for _ in range(count):
            job = Job(b"f")
            job.item = self.loads.submit(job, 10)
            self.jobs.append(job)

    @rule(workers=st.integers(0, 3))
    def hand_over(self, workers: int) -> None:
        while self.loads.next_load(workers=workers, possible=1) is not None:
            pass

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        load = self.some(data, taken=False)
        if load is not None:
            begun = self.loads.may_begin(load.number, 7)
            if begun is None:
                self.loads.give_back(load.number, list(load.open))

    @rule(data=st.data(), again=st.booleans())
    def answer(self, data: st.DataObject, again: bool) -> None:
        load = self.some(data, taken=True)
        if load is not None:
            index = data.draw(st.sampled_from(list(load.open)))
            item = self.loads.settle(load.number, index)
            item.job.runs += 1
            item.job.over.append("answered")
            if again:
                assert self.loads.settle(load.number, index) is None

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        load = self.some(data, taken=True)
        if load is not None:
            self.loads.give_back(load.number, data.draw(st.lists(st.sampled_from(range(len(load.items))), unique=True)))

    @rule(data=st.data(), taken=st.booleans())
    def lose(self, data: st.DataObject, taken: bool) -> None:
        load = self.some(data, taken=taken)
        if load is not None:
            for job in self.loads.lose(load.number):
                job.runs += 1
                job.over.append("lost")

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        living = [job for job in self.jobs if not job.over]
        if living:
            job = data.draw(st.sampled_from(living))
            if self.loads.leave(job.item):
                job.over.append("withdrawn")

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert self.loads.outstanding == sum(not job.over for job in self.jobs)
        assert all(len(job.over) <= 1 and job.runs <= 1 for job in self.jobs)
        assert all(job.runs == 0 for job in self.jobs if job.over == ["withdrawn"])

    def teardown(self) -> None:
        for load in list(self.loads.loads):
            self.loads.give_back(load.number, list(load.open))
        assert self.loads.drain() == [job for job in self.jobs if not job.over]
        assert self.loads.outstanding == 0


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

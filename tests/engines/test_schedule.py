"""Who gets what, against a model of workers, channels and pipes that does every step in any order."""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from afield.endpoint.engines.line import Needs
from afield.endpoint.engines.pace import AHEAD_MOST, HORIZON_S
from afield.endpoint.engines.schedule import BYTES_AHEAD_MOST, Schedule


class ModelWorker:
    """What a worker process does, one system call at a time (see afield.worker.loop.serve)."""

    def __init__(self) -> None:
        self.pipe: deque[int] = deque()
        self.channel: deque[tuple[int, str]] = deque()
        self.odd: int | None = None
        self.running: str | None = None
        self.answers: deque[str] = deque()
        self.begun = 0

    def step(self) -> str | None:
        """One job forward. Returns the job that it begins."""
        if self.running is not None:
            self.answers.append(self.running)
            self.running = None
            return None
        if not self.channel:
            return None
        epoch, job = self.channel.popleft()
        permit = self.odd if self.odd is not None else self.pipe.popleft() if self.pipe else None
        if permit != epoch:
            self.odd = permit
            return None
        self.odd = None
        self.running = job
        self.begun += 1
        return job


class Engine(RuleBasedStateMachine):
    """Everything that can happen, in any order."""

    numbers = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        self.schedule: Schedule[str] = Schedule(("0", "1"))
        self.items = {}
        self.workers: dict[int, ModelWorker] = {}
        self.now = 0.0
        self.jobs = 0
        self.begun: list[str] = []
        self.settled: set[str] = set()

    def act(self) -> None:
        self.look()
        if self.schedule.blocked:
            self.look()
        if (unfit := self.schedule.unfit) is not None:
            assert not self.workers[unfit].pipe, "it does nothing"
            assert self.schedule.held(unfit) == 0
            assert self.schedule.left(unfit, 0) == []
            self.workers[unfit] = ModelWorker()
            self.schedule.joined(unfit)
            self.act()
        for worn in list(self.schedule.worn):
            assert self.workers[worn].begun == self.most, "it may not have more, and does not get less"
            assert not self.workers[worn].pipe
            assert self.schedule.left(worn, 0) == []
            self.workers[worn] = ModelWorker()
            self.schedule.joined(worn)
            self.act()

    def look(self) -> None:
        while (recall := self.schedule.recall(self.now)) is not None:
            assert recall.most < self.schedule.held(recall.worker), "a robbery leaves the oldest"
            self.take_back(recall.worker, recall.most)
        for batch in self.schedule.assign(self.now):
            worker = self.workers[batch.worker]
            for item in batch.items:
                assert item.needs is None or self.schedule.oldest(batch.worker) is item.job, "not sent ahead"
            # Permits first; a worker may run between the two.
            worker.pipe.extend([batch.epoch] * len(batch.items))
            worker.channel.extend((batch.epoch, item.job) for item in batch.items)

    def take_back(self, number: int, count: int) -> None:
        pipe = self.workers[number].pipe
        taken = min(count, len(pipe))
        for _ in range(taken):
            pipe.popleft()
        self.schedule.recalled(number, taken)

    @initialize(target=numbers, count=st.integers(1, 3), most=st.sampled_from([None, None, 1, 2, 7]))
    def workers_join(self, count: int, most: int | None):
        self.most = most
        self.schedule = Schedule(("0", "1"), most)
        for number in range(count):
            self.workers[number] = ModelWorker()
            self.schedule.joined(number)
        return multiple(*range(count))

    @rule(count=st.integers(1, 50), size=st.sampled_from([10, BYTES_AHEAD_MOST // 3, BYTES_AHEAD_MOST]))
    def submit(self, count: int, size: int) -> None:
        for _ in range(count):
            job = f"job {self.jobs}"
            self.jobs += 1
            self.items[job] = self.schedule.submit(job, size)
        self.act()

    @rule(cores=st.integers(1, 9), gpus=st.integers(0, 2))
    def submit_with_needs(self, cores: int, gpus: int) -> None:
        job = f"job {self.jobs}"
        self.jobs += 1
        self.items[job] = self.schedule.submit(job, 10, Needs(min(cores, len(self.workers)), gpus))
        self.act()

    @rule(number=numbers, steps=st.integers(1, 80))
    def worker_works(self, number: int, steps: int) -> None:
        for _ in range(steps):
            if (job := self.workers[number].step()) is not None:
                assert job not in self.begun, "a job begins once"
                assert job not in self.settled
                assert self.most is None or self.workers[number].begun <= self.most
                self.begun.append(job)

    @rule(number=numbers, run_s=st.sampled_from([0.0, 1e-4, 0.005, 0.5]))
    def engine_reads(self, number: int, run_s: float) -> None:
        answers = self.workers[number].answers
        while answers:
            job = answers.popleft()
            assert self.schedule.answered(number, run_s, self.now) == job, "answers come in the order of jobs"
            self.settle(job)
        self.act()

    @rule(target=numbers, number=consumes(numbers))
    def worker_dies(self, number: int):
        self.engine_reads(number, 0.0)
        worker = self.workers.pop(number)
        lost = self.schedule.left(number, len(worker.pipe))
        assert len(lost) <= 1
        for job in lost:
            # It had begun; or the worker died with the permit in its hand.
            assert worker.running == job or (worker.running is None and worker.odd is not None)
            self.settle(job)
        if worker.running is not None:
            assert worker.running in lost, "a job that may have had effects is not run again"
        self.workers[number + 10] = ModelWorker()
        self.schedule.joined(number + 10)
        self.act()
        return number + 10

    @rule(number=numbers)
    def engine_takes_all_back(self, number: int) -> None:
        """Cancelling does that."""
        self.take_back(number, 1000)
        self.act()

    @rule(data=st.data())
    def cancel_waiting(self, data: st.DataObject) -> None:
        waiting = sorted(job for job, item in self.items.items() if item.worker is None)
        if waiting:
            job = data.draw(st.sampled_from(waiting))
            self.schedule.remove(self.items[job])
            self.settle(job)
            self.act()

    @rule(seconds=st.sampled_from([0.001, HORIZON_S * 2]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    def settle(self, job: str) -> None:
        assert job not in self.settled
        self.settled.add(job)
        del self.items[job]

    @invariant()
    def nothing_is_lost(self) -> None:
        assert len(self.items) == self.schedule.waiting + self.schedule.sent
        free = self.schedule.idle > 0
        assert not (free and self.schedule.waiting) or self.schedule.blocked, "nobody idles while something could begin"

    @invariant()
    def nobody_has_what_another_has(self) -> None:
        sent = [item for item in self.items.values() if item.worker is not None]
        needs = [item.needs for item in sent if item.needs is not None]
        devices = [name for need in needs for name in need.devices]
        assert sorted([*devices, *self.schedule._free]) == ["0", "1"]
        assert all(len(need.devices) == need.gpus for need in needs)
        busy = {item.worker for item in sent}
        assert len(busy) + sum(need.cores - 1 for need in needs) <= len(self.workers)

    @rule(number=numbers, steps=st.integers(1, 80))
    def worker_works_between(self, number: int, steps: int) -> None:
        """The engine hears of it before anything else happens."""
        self.worker_works(number, steps)
        self.engine_reads(number, 1e-4)

    @invariant()
    def permits_are_of_one_epoch(self) -> None:
        assert all(len(set(worker.pipe)) <= 1 for worker in self.workers.values())

    def teardown(self) -> None:
        """Left alone, everything ends, except what one worker runs that never ends."""
        stuck = min(self.workers, default=None)
        if len(self.workers) > 1 and stuck is not None:
            self.work_without(stuck)
            assert self.schedule.waiting == 0 or self.schedule.blocked or self.schedule.idle == 0
            assert self.schedule.held(stuck) <= 1, "nothing is stranded behind a job that never ends"
        self.work_without(None)
        assert not self.items

    def work_without(self, stuck: int | None) -> None:
        for _ in range(2 * self.jobs + 10):
            for number in list(self.workers):
                if number != stuck:
                    self.worker_works(number, 200)
                self.engine_reads(number, 0.0)


Engine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestSchedule = Engine.TestCase


def quick(schedule: Schedule[int]) -> None:
    """Make it believe that jobs are short."""
    schedule.joined(99)
    for _ in range(40):
        schedule.submit(-1, 1)
        schedule.assign(0.0)
        schedule.answered(99, 0.0, 0.0)
    assert schedule.left(99, 0) == []
    assert schedule.pace.ahead == AHEAD_MOST


def sent(schedule: Schedule[int], now: float = 0.0) -> dict[int, list[int]]:
    return {batch.worker: [item.job for item in batch.items] for batch in schedule.assign(now)}


def test_at_first_one_job_per_worker_and_one_ahead():
    schedule: Schedule[int] = Schedule()
    for number in (1, 2):
        schedule.joined(number)
    for job in range(10):
        schedule.submit(job, 1)
    assert sent(schedule) == {1: [0, 2], 2: [1, 3]}


def test_short_jobs_go_ahead_in_turn():
    schedule: Schedule[int] = Schedule()
    quick(schedule)
    for number in (1, 2):
        schedule.joined(number)
    for job in range(100):
        schedule.submit(job, 1)
    assert sent(schedule) == {1: list(range(0, 66, 2)), 2: list(range(1, 66, 2))}
    assert schedule.waiting == 34


def test_no_long_job_goes_ahead():
    schedule: Schedule[int] = Schedule()
    schedule.joined(1)
    for job in range(3):
        schedule.submit(job, 1)
    assert sent(schedule) == {1: [0, 1]}
    schedule.answered(1, 5.0, 5.0)
    schedule.answered(1, 5.0, 10.0)
    for job in range(3, 6):
        schedule.submit(job, 1)
    assert sent(schedule) == {1: [2]}


def test_large_jobs_do_not_pile_up_in_channels():
    schedule: Schedule[int] = Schedule()
    quick(schedule)
    schedule.joined(1)
    for job in range(9):
        schedule.submit(job, BYTES_AHEAD_MOST // 2)
    assert sent(schedule) == {1: [0, 1]}


def test_an_idle_worker_robs_the_one_that_has_most():
    schedule: Schedule[int] = Schedule()
    quick(schedule)
    for number in (1, 2, 3):
        schedule.joined(number)
    for job in range(13):
        schedule.submit(job, 1)
    assert sent(schedule) == {1: [0, 3, 6, 9, 12], 2: [1, 4, 7, 10], 3: [2, 5, 8, 11]}
    for _ in range(4):
        schedule.answered(3, 0.0, 0.0)
    assert schedule.recall(0.0) == (1, 2)
    schedule.recalled(1, 2)
    assert schedule.recall(0.0) is None
    assert sent(schedule) == {3: [9, 12]}


def test_what_is_stranded_behind_a_long_job_goes_before_younger_jobs():
    schedule: Schedule[int] = Schedule()
    quick(schedule)
    for number in (1, 2):
        schedule.joined(number)
    for job in range(4):
        schedule.submit(job, 1)
    assert sent(schedule) == {1: [0, 2], 2: [1, 3]}
    for job in range(4, 100):
        schedule.submit(job, 1)
    now = HORIZON_S * 3
    schedule.answered(2, 0.0, now)
    assert schedule.recall(now) == (1, 1)
    schedule.recalled(1, 1)
    assert schedule.recall(now) is None
    assert sent(schedule, now)[2][:2] == [2, 4]
    assert schedule.held(1) == 1, "nothing goes behind a long job"


def test_a_dead_worker_costs_the_job_that_had_begun_and_the_others_go_first():
    schedule: Schedule[int] = Schedule()
    quick(schedule)
    schedule.joined(1)
    for job in range(40):
        schedule.submit(job, 1)
    assert sent(schedule) == {1: list(range(33))}
    schedule.answered(1, 0.0, 0.0)
    assert schedule.left(1, 31) == [1]
    schedule.joined(2)
    assert sent(schedule) == {2: list(range(2, 35))}


def test_drain_gives_what_waits_in_order():
    schedule: Schedule[int] = Schedule()
    schedule.joined(1)
    items = [schedule.submit(job, 1) for job in range(5)]
    assert sent(schedule) == {1: [0, 1]}
    schedule.recalled(1, 1)
    schedule.remove(items[3])
    assert schedule.drain() == [1, 2, 4]
    assert (schedule.waiting, schedule.sent) == (0, 1)


def test_a_wide_job_waits_at_the_head_and_nobody_overtakes_it():
    schedule: Schedule[str] = Schedule()
    quick(schedule)
    for number in (1, 2, 3):
        schedule.joined(number)
    schedule.submit("first", 1)
    assert sent(schedule) == {1: ["first"]}
    schedule.submit("wide", 1, Needs(cores=3))
    schedule.submit("later", 1)
    assert sent(schedule) == {}
    assert schedule.idle == 2
    schedule.answered(1, 0.0, 0.0)
    assert sent(schedule) == {2: ["wide"]}
    assert (schedule.idle, schedule.begun) == (0, 1)
    schedule.answered(2, 0.0, 0.0)
    assert sent(schedule) == {3: ["later"]}


def test_the_shares_of_a_wide_job_are_free_again_when_its_worker_dies():
    schedule: Schedule[str] = Schedule()
    for number in (1, 2, 3):
        schedule.joined(number)
    schedule.submit("wide", 1, Needs(cores=3))
    assert sent(schedule) == {1: ["wide"]}
    assert schedule.left(1, 0) == ["wide"]
    assert schedule.idle == 2


def test_a_job_that_lacks_accelerators_lets_others_pass_and_then_goes_first():
    schedule: Schedule[str] = Schedule(("a", "b"))
    for number in range(4):
        schedule.joined(number)
    items = {name: schedule.submit(name, 1, needs) for name, needs in (
        ("both", Needs(gpus=2)), ("one", Needs(gpus=1)), ("another", Needs(gpus=1)), ("none", None),
    )}  # fmt: skip
    assert sent(schedule) == {0: ["both"], 1: ["none"]}
    assert items["both"].needs is not None
    assert items["both"].needs.devices == ("a", "b")
    assert schedule.aside == 2
    for _ in range(3):
        schedule.submit("more", 1)
    assert sent(schedule) == {2: ["more"], 3: ["more"], 1: ["more"]}
    schedule.answered(0, 0.0, 0.0)
    assert sent(schedule) == {}
    assert schedule.unfit == 0, "it may still be bound to both"
    assert schedule.left(0, 0) == []
    schedule.joined(4)
    assert sent(schedule) == {4: ["one"]}
    assert (schedule.waiting, schedule.aside) == (1, 1)


def test_a_worker_that_has_had_its_jobs_gets_no_more_and_nothing_is_taken_back_from_it():
    schedule: Schedule[int] = Schedule(most=3)
    schedule.joined(1)
    for job in range(5):
        schedule.submit(job, 1)
    for expected in ({1: [0, 1]}, {1: [2]}, {}):
        assert sent(schedule) == expected
        schedule.answered(1, 1e-4, 0.0)
    assert schedule.worn == {1}
    assert schedule.begun == 0
    assert sent(schedule) == {}
    assert schedule.left(1, 0) == []
    schedule.joined(2)
    assert sent(schedule) == {2: [3, 4]}
    assert schedule.worn == set()


def test_a_worker_gets_the_accelerators_that_it_had_or_is_replaced():
    schedule: Schedule[str] = Schedule(("a", "b"))
    for number in (1, 2):
        schedule.joined(number)

    def devices(job: str) -> tuple[int | None, tuple[str, ...]]:
        item = schedule.submit(job, 1, Needs(gpus=1))
        schedule.assign(0.0)
        assert item.needs is not None
        return item.worker, item.needs.devices

    assert devices("x") == (1, ("a",))
    assert devices("y") == (2, ("b",))
    schedule.answered(2, 0.0, 0.0)
    schedule.answered(1, 0.0, 0.0)
    assert devices("x") == (2, ("b",)), "idle for longer, and what it had is free"
    schedule.answered(2, 0.0, 0.0)
    both = schedule.submit("both", 1, Needs(gpus=2))
    assert sent(schedule) == {}
    assert schedule.unfit == 1
    schedule.joined(3)
    assert schedule.left(1, 0) == []
    assert sent(schedule) == {3: ["both"]}
    assert both.needs is not None
    assert both.needs.devices == ("a", "b")
    assert schedule.unfit is None

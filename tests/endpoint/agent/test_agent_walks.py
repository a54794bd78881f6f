"""An agent through any life and any number of lives: what must be true whatever happens in whatever order."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from afield.endpoint.agent import commands as do
from afield.endpoint.agent import events as on
from afield.endpoint.agent.core import AgentCore
from afield.endpoint.agent.tasks import History, Policy
from afield.states import TERMINAL
from afield.wire.messages import CallOptions, Cancel, ErrorDetails, Result, Task


class World:
    """A broker, an engine, a disk, a clock and a service around one agent, which may die at any time."""

    def __init__(self, draw):
        self.draw = draw
        self.tasks = {
            name: Task(name, "f", b"", b"", options=draw.choice(
                [None, CallOptions(retries=draw.randint(0, 2)), CallOptions(retries=1, priority=draw.randint(-1, 1))]
            ))
            for name in "abcdefgh"
        }  # fmt: skip
        names = list(self.tasks)
        self.queue = [names[at : at + 2] for at in range(0, len(names), 2)]
        self.control = []
        #: wishes that somebody will have
        self.ahead = [
            [Cancel(draw.choice(names), draw.random() < 0.7) for _ in range(draw.randint(1, 2))]
            for _ in range(draw.randint(0, 6))
        ]
        #: tags -> what is delivered and not acknowledged
        self.out, self.control_out = {}, {}
        self.journal, self.outbox = [], {}
        self.begun = Counter()
        self.results = {}
        self.born()

    def born(self):
        """A new life reads what the earlier ones left."""
        begun, settled = Counter(), {}
        for sign, name in self.journal:
            if sign == "-":
                del begun[name]
                settled[name] = True
            else:
                begun[name] += 1 if sign == "+" else -1
        kept = {number: tuple(result.task_id for result in batch) for number, batch in self.outbox.items()}
        left = {name: count for name, count in begun.items() if count > 0}
        self.core = AgentCore(Policy(idle_soft=0, notices=True), History(left, tuple(settled), kept))
        self.up = self.over = False
        self.tag = 0
        self.engine, self.cancelled, self.running = {}, set(), set()
        self.batches, self.keeping, self.timers = {}, {}, []
        self.wanted, self.finished = set(), set()
        self.feed(on.CapacityIs(2))

    def dies(self):
        """With everything that was in memory; the broker puts back what it had out."""
        self.put_back()
        self.born()

    def put_back(self):
        self.queue = list(self.out.values()) + self.queue
        self.control = list(self.control_out.values()) + self.control
        self.out, self.control_out = {}, {}
        self.up = False

    # what the agent does

    def feed(self, event):
        for command in self.core.handle(event):
            getattr(self, "do_" + type(command).__name__, self.ignore)(command)

    def ignore(self, command):
        assert isinstance(command, do.Tell | do.SendHeartbeat), command

    def do_Run(self, command):
        for task in command.tasks:
            name = task.task_id
            assert name not in self.wanted, "it was cancelled before it began"
            assert name not in self.finished
            self.journal.append(("+", name))
            self.begun[name] += 1
            allowed = 1 + (task.options.retries if task.options else 0)
            assert self.begun[name] <= allowed, f"{name} began {self.begun[name]} times"
            self.engine[name] = task
        assert len(self.engine) <= 2

    def do_CancelJob(self, command):
        name = command.task_id
        if name in self.engine:
            refuses = name in self.running and (not command.running or self.draw.random() < 0.3)
            if refuses:
                self.wanted.discard(name)
                self.timers.append(on.CancelImpossible(name, "no" if command.running else "", 1))
            else:
                self.cancelled.add(name)

    def do_MarkNeverBegun(self, command):
        for name in command.task_ids:
            self.journal.append(("~", name))
            self.begun[name] -= 1

    def do_MarkSettled(self, command):
        self.journal += [("-", name) for name in command.task_ids]
        assert set(command.task_ids) <= set(self.results)

    def do_Publish(self, command):
        assert self.up
        self.batches[command.number] = command.results
        self.finished.update(result.task_id for result in command.results)

    def do_PublishKept(self, command):
        assert self.up
        self.batches[command.number] = self.outbox[command.number]

    def do_Keep(self, command):
        self.keeping[command.number] = command.results
        self.finished.update(result.task_id for result in command.results)

    def do_DropKept(self, command):
        del self.outbox[command.number]

    def do_Acknowledge(self, command):
        for tag in command.tags:
            assert set(self.out.pop(tag)) <= set(self.results), "acknowledged before it was safe"

    def do_AcknowledgeCancels(self, command):
        for tag in command.tags:
            del self.control_out[tag]

    def do_StartPause(self, command):
        self.timers.append(on.PauseOver(command.task_id, command.begun))

    def do_StartLook(self, _):
        assert self.up
        assert not any(isinstance(timer, on.LookDue) for timer in self.timers)
        self.timers.append(on.LookDue((), 0))

    def do_Notify(self, command):
        for notice in command.notices:
            assert notice.state not in TERMINAL
            assert notice.task_id not in self.finished
            assert 1 <= notice.attempt <= 3
        self.timers.append(on.NoticesGone())

    def do_StartGrace(self, _):
        self.timers.append(on.GraceOver())

    def do_StartFlush(self, _):
        self.timers.append(on.FlushOver())

    def do_StopEngine(self, _):
        lost = [self.failure(name) for name in self.engine if name in self.running]
        untouched = [self.failure(name) for name in self.engine if name not in self.running]
        self.engine.clear()
        self.timers += [on.TasksFinished(lost, untouched), on.EngineStopped()]

    def do_SayGoodbye(self, _):
        self.timers.append(on.GoodbyeSaid())

    def do_Exit(self, _):
        self.over = True

    # what happens to it

    def failure(self, name, code="WorkerLost"):
        return Result(name, b"gone", ErrorDetails(code, "gone"))

    def connects(self):
        if not self.up:
            self.up, self.tag = True, 0
            self.feed(on.ConnectionUp())
            for _ in range(len(self.control)):
                self.wish_arrives()

    def connection_breaks(self):
        if self.up:
            self.put_back()
            self.feed(on.ConnectionDown())
            for number in list(self.batches):
                self.batch_fails(number)

    def somebody_wishes(self):
        if self.ahead:
            self.control.append(self.ahead.pop())

    def wish_arrives(self):
        if self.up and self.control:
            self.tag += 1
            cancels = self.control_out[self.tag] = self.control.pop(0)
            self.wanted.update(
                one.task_id for one in cancels
                if one.running and one.task_id not in self.engine and one.task_id not in self.finished
            )  # fmt: skip
            self.feed(on.CancelsArrived(self.tag, cancels))

    def tasks_arrive(self):
        if self.up and self.queue:
            self.tag += 1
            names = self.out[self.tag] = self.queue.pop(0)
            self.feed(on.TasksArrived(self.tag, [self.tasks[name] for name in names]))

    def job_begins(self):
        if waiting := [name for name in self.engine if name not in self.running]:
            self.running.add(self.draw.choice(waiting))

    def job_ends(self):
        if self.engine:
            name = self.draw.choice(list(self.engine))
            del self.engine[name]
            self.running.discard(name)
            result = Result(name, b"done") if self.draw.random() < 0.5 else self.failure(name)
            if name in self.cancelled:
                self.cancelled.discard(name)
                result = self.failure(name, "TaskCancelled")
            self.feed(on.TasksFinished([result], at=1))

    def batch_arrives(self):
        if self.batches and self.up:
            number = self.draw.choice(list(self.batches))
            for result in self.batches.pop(number):
                self.results.setdefault(result.task_id, result)
            self.feed(on.BatchConfirmed(number))

    def batch_fails(self, number=None):
        if self.batches:
            number = number or self.draw.choice(list(self.batches))
            for result in self.batches.pop(number):
                if self.draw.random() < 0.5:  # it arrived, and nobody knows
                    self.results.setdefault(result.task_id, result)
            self.feed(on.BatchFailed(number))

    def journal_is_compacted(self):
        begun, settled = self.core.names()
        self.journal = [("+", name) for name, count in begun.items() for _ in range(count)]
        self.journal += [("-", name) for name in settled]

    def disk_answers(self):
        if self.keeping:
            number, results = self.keeping.popitem()
            self.outbox[number] = results
            self.feed(on.BatchKept(number))

    def timer(self):
        if self.timers:
            event = self.timers.pop(0)
            if isinstance(event, on.LookDue):
                event = on.LookDue(list(self.running), 1)
            self.feed(event)

    def stop(self):
        self.feed(on.StopRequested("x", 1.0))

    USUAL = (connects, tasks_arrive, job_begins, job_ends, batch_arrives, disk_answers, timer,
             somebody_wishes, wish_arrives)  # fmt: skip
    STEPS = (*USUAL * 4, journal_is_compacted, connection_breaks, stop, dies)

    def left(self):
        """Messages that were not acknowledged."""
        return [*self.queue, *self.out.values(), *self.ahead, *self.control, *self.control_out.values()]

    def step(self, steps=STEPS):
        self.draw.choice(steps)(self)
        if self.over:
            self.dies()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**64))
def test_whatever_happens_every_task_ends_and_none_begins_more_often_than_it_may(seed):
    world = World(random.Random(seed))
    for _ in range(world.draw.randint(10, 150)):
        world.step()
    for _ in range(5000):
        if set(world.results) == set(world.tasks) and not world.left():
            break
        world.step(World.USUAL)
        if world.batches and not world.up:
            world.batch_fails()
    assert set(world.results) == set(world.tasks)
    assert not world.left()
    codes = {result.error.code for result in world.results.values() if result.error}
    assert codes <= {"WorkerLost", "EndpointLost", "TaskCancelled"}

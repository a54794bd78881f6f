"""What may be forgotten and what may not."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from afield.endpoint.agent.ledger import Ledger, Phase


def deliver(ledger, tag, *names):
    ledger.begin_delivery(tag)
    fresh = []
    for name in names:
        if not ledger.came_again(tag, name):
            ledger.add(tag, name, Phase.WAITING)
            fresh.append(name)
    return fresh, ledger.end_delivery(tag)


def test_settled_tasks_are_forgotten_one_day():
    ledger = Ledger(remembered=2)
    for tag, name in enumerate("abc"):
        deliver(ledger, tag, name)
        ledger.settle([name])
    assert [ledger.settled(name) for name in "abc"] == [False, True, True]


def test_a_settled_task_of_an_open_delivery_is_not_forgotten():
    ledger = Ledger(remembered=1)
    deliver(ledger, 1, "a", "long")
    ledger.settle(["a"])
    for tag, name in enumerate("bcdef", start=2):
        deliver(ledger, tag, name)
        ledger.settle([name])
    assert ledger.settled("a")
    ledger.disconnect()
    for tag, name in enumerate("ghijk", start=2):
        deliver(ledger, tag, name)
        ledger.settle([name])
    assert deliver(ledger, 1, "a", "long") == ([], [])
    assert ledger.settle(["long"]) == (["long"], [1])


@given(st.integers(0, 2**32))
def test_nothing_runs_twice_and_everything_is_acknowledged(seed):
    """Whatever is delivered, settled and torn down in whatever order."""
    draw = random.Random(seed)
    ledger, ran, settled = Ledger(remembered=3), [], set()
    queue = [[f"{message}.{i}" for i in range(draw.randint(1, 3))] for message in range(6)]
    unacknowledged: dict[int, list[str]] = {}
    tag = 0

    def acknowledge(tags):
        for one in tags:
            assert set(unacknowledged.pop(one)) <= settled

    while queue or unacknowledged:
        step = draw.choice(["deliver", "settle", "settle", "disconnect"])
        if step == "deliver" and queue:
            tag += 1
            unacknowledged[tag] = queue.pop(0)
            fresh, tags = deliver(ledger, tag, *unacknowledged[tag])
            ran += fresh
            acknowledge(tags)
        elif step == "settle":
            held, _ = ledger.names()
            if held:
                name = draw.choice(sorted(held))
                settled.add(name)
                acknowledge(ledger.settle([name])[1])
            elif not queue:
                assert not unacknowledged
        elif step == "disconnect":
            ledger.disconnect()
            queue = list(unacknowledged.values()) + queue
            unacknowledged.clear()
            tag = 0
    assert len(ran) == len(set(ran))
    assert len(ledger) == 0


def test_what_a_next_life_has_to_know():
    ledger = Ledger()
    deliver(ledger, 1, "early", "long")
    ledger.settle(["early"])
    many = [f"t{i}" for i in range(3000)]
    for tag, name in enumerate(many, start=2):
        deliver(ledger, tag, name)
        ledger.settle([name])
    assert ledger.names() == (["long"], ["early", *many])
    held, settled = ledger.names(certain=True)
    assert held == ["long"]
    assert settled[0] == "early", "its delivery is open, so it will come again"
    assert settled[1:] == many[-1000:]

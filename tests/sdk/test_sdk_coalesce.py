"""What goes out together: rules by example, and in any order of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afield.sdk.coalesce import Coalescer, Group, Lane, Options, halves
from afield.wire.messages import CallOptions


def lane(group=None, endpoint="e", **options):
    return Lane(group or Group("g"), endpoint, Options(**options))


def test_the_first_goes_at_once_and_what_comes_meanwhile_goes_with_the_next():
    c, here = Coalescer(), lane()
    c.offer(here, 1, 10, 128)
    assert c.take() == (here, [1])
    c.offer(here, 2, 10, 128)
    c.offer(here, 3, 10, 128)
    assert c.take() is None
    c.finished(here)
    assert c.take() == (here, [2, 3])
    c.finished(here)
    assert c.take() is None


def test_a_batch_has_its_number():
    c, here = Coalescer(), lane()
    for call in range(5):
        c.offer(here, call, 1, 2)
    assert c.take() == (here, [0, 1])
    c.finished(here)
    assert c.take() == (here, [2, 3])


def test_a_batch_has_its_bytes_and_what_is_larger_goes_alone():
    c, here = Coalescer(most_bytes=100), lane()
    for call, size in enumerate((60, 60, 500, 1, 1)):
        c.offer(here, call, size, 128)
    taken = []
    while batch := c.take():
        taken.append(batch[1])
        c.finished(here)
    assert taken == [[0], [1], [2], [3, 4]]


def test_lanes_do_not_wait_for_each_other():
    c, group = Coalescer(), Group("g")
    one, other = lane(group, "one"), lane(group, "other")
    c.offer(one, 1, 1, 128)
    c.offer(other, 2, 1, 128)
    assert c.take() == (one, [1])
    assert c.take() == (other, [2])


def test_until_a_group_has_its_name_one_request_of_it_is_under_way():
    c, group = Coalescer(), Group()
    one, other, elsewhere = lane(group, "one"), lane(group, "other"), lane(Group(), "one")
    for each in (one, other, elsewhere):
        c.offer(each, each.endpoint_id, 1, 128)
    assert c.take()[0] is one
    assert c.take()[0] is elsewhere
    assert c.take() is None
    group.id = "named"
    c.finished(one)
    assert c.take()[0] is other


def test_lanes_with_other_options_are_other_lanes():
    group = Group("g")
    assert lane(group) == lane(group)
    assert lane(group) != lane(group, user_endpoint_config=b'{"a":1}')
    assert lane(group) == lane(group, call=CallOptions())
    assert lane(group, call=CallOptions(retries=1)) == lane(group, call=CallOptions(retries=1))
    assert lane(group) != lane(group, call=CallOptions(retries=1))
    assert lane(Group("g")) != lane(Group("g"))


def test_dropping_what_waits_leaves_the_lane_usable():
    c, here = Coalescer(), lane()
    c.offer(here, 1, 1, 1)
    c.offer(here, 2, 1, 1)
    assert c.take() == (here, [1])
    assert c.drop(here) == [2]
    c.finished(here)
    assert c.take() is None
    assert list(c.waiting()) == []
    c.offer(here, 3, 1, 1)
    assert c.drop(here) == [3]
    c.offer(here, 4, 1, 1)
    assert c.take() == (here, [4])


def test_halves_keep_the_order():
    assert halves([1, 2, 3]) == ([1], [2, 3])


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(0, 3), st.integers(0, 120)),
        st.just(("take",)),
        st.tuples(st.just("finish"), st.integers(0, 9)),
    ),
    max_size=80,
)


@given(EVENTS)
def test_nothing_is_lost_doubled_reordered_or_held_back(events):  # noqa: C901 - a model
    group, unnamed = Group("g"), Group()
    lanes = [lane(group, "a"), lane(group, "b"), lane(unnamed, "a"), lane(unnamed, "b")]
    c = Coalescer(most_bytes=100)
    offered = {each: [] for each in lanes}
    sizes, left, flying, number = {}, {each: [] for each in lanes}, [], 0

    def take():
        batch = c.take()
        if batch is None:
            busy = set(flying)
            naming = {each.group for each in flying if each.group.id is None}
            for each in lanes:  # whatever still waits has a reason to
                if len(left[each]) < len(offered[each]):
                    assert each in busy or each.group in naming
            return False
        at, calls = batch
        assert calls
        assert at not in flying
        assert at.group.id is not None or at.group not in {each.group for each in flying}
        assert len(calls) <= 3
        assert len(calls) == 1 or sum(sizes[call] for call in calls) <= 100
        left[at] += calls
        flying.append(at)
        return True

    def finish(which):
        at = flying.pop(which % len(flying))
        if at.group is unnamed and unnamed.id is None:
            unnamed.id = "named"
        c.finished(at)

    for event in events:
        if event[0] == "offer":
            at = lanes[event[1]]
            sizes[number] = event[2]
            offered[at].append(number)
            c.offer(at, number, event[2], 3)
            number += 1
        elif event[0] == "take":
            take()
        elif flying:
            finish(event[1])
    while take() or flying:
        while take():
            pass
        finish(0)
    assert left == offered

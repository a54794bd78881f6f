"""The order in which tasks go to the engine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afield.endpoint.agent.line import Line
from afield.wire.messages import CallOptions, Task


def task(name, priority=None):
    return Task(name, "f", b"", b"", options=None if priority is None else CallOptions(priority=priority))


def names(tasks):
    return [one.task_id for one in tasks]


def test_higher_priority_first_and_equal_ones_in_order_of_arrival():
    line = Line()
    for number, priority in enumerate([None, 5, -1, 0, 5, -1, 9]):
        line.add(task(str(number), priority))
    assert names(line.take(2)) == ["6", "1"]
    line.add(task("late", 5))
    assert names(line.take(4)) == ["4", "late", "0", "3"]
    assert names(line.take(9)) == ["2", "5"]
    assert len(line) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.one_of(st.none(), st.integers(-2, 2))),
            st.tuples(st.just("take"), st.integers(0, 4)),
            st.tuples(st.just("remove"), st.integers(0, 30)),
            st.tuples(st.just("clear"), st.none()),
        ),
        max_size=40,
    )
)
def test_it_is_a_list_sorted_by_priority(steps):
    line, model, count = Line(), [], 0
    for step, argument in steps:
        if step == "add":
            line.add(task(str(count), argument))
            model.append((-(argument or 0), count))
            count += 1
        elif step == "take":
            model.sort()
            assert names(line.take(argument)) == [str(number) for _, number in model[:argument]]
            del model[:argument]
        elif step == "remove":
            found = [entry for entry in model if entry[1] == argument]
            assert (line.remove(str(argument)) is not None) == bool(found)
            model = [entry for entry in model if entry not in found]
        else:
            line.clear()
            model.clear()
        assert len(line) == len(model)

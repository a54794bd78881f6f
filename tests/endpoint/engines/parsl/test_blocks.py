"""When blocks that die are not asked for any more, and when they are again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afield.endpoint.breaker import Breaker
from afield.endpoint.engines.parsl.blocks import Blocks, refusal
from afield.endpoint.engines.parsl.phases import BEGAN, PREPARED, End

LIMIT, SOON_S, PAUSE_S = 3, 30.0, 600.0
#: The end of one whose script had no Python.
DIED = End(output=f"{BEGAN} n1\n{PREPARED}\nbash: line 5: python3: command not found\n")


def make():
    return Blocks(LIMIT, SOON_S, PAUSE_S)


def die(blocks, *names, now=0.0, end=DIED):
    """Each is asked for and dies at once; whether the last one stopped it."""
    stopped = False
    for name in names:
        blocks.asked(name, now)
        stopped = blocks.ended(name, end, now)
    return stopped


def test_a_few_deaths_in_a_row_stop_it():
    blocks = make()
    assert not die(blocks, "0", "1")
    assert blocks.may_ask(5, 0.0) == 5
    assert blocks.hopeless(0.0) is None
    assert die(blocks, "2")
    assert blocks.may_ask(5, PAUSE_S - 1) == 0
    why = refusal(blocks.hopeless(1.0))
    assert "3 blocks in a row" in why
    assert 'in the phase "interpreter"' in why
    assert "python3: command not found" in why
    assert "afield endpoint clear" in why


def test_a_block_that_worked_ends_the_row():
    blocks = make()
    die(blocks, "0", "1")
    blocks.asked("2", 0.0)
    blocks.seen(["2"], 10.0)
    blocks.seen(["2"], 10.0 + SOON_S)
    assert not blocks.ended("2", End(), 1000.0), "it had worked, so its end is none to count"
    assert not die(blocks, "3", "4", now=1000.0)
    assert die(blocks, "5", now=1000.0)


def test_one_whose_workers_were_there_for_a_moment_died():
    blocks = make()
    for name in ("0", "1", "2"):
        blocks.asked(name, 0.0)
        blocks.seen([name], 10.0)
        blocks.seen([name], 10.0 + SOON_S - 1)
        blocks.ended(name, End(output="Killed"), 100.0)
    assert 'in the phase "run"' in blocks.hopeless(100.0).why


def test_one_that_works_does_not_hide_a_node_on_which_all_die():
    blocks = make()
    blocks.asked("good", 0.0)
    for now in range(0, 1000, 10):
        blocks.seen(["good"], float(now))
    for name in ("0", "1", "2"):
        blocks.asked(name, 1000.0)
        blocks.seen(["good"], 1000.0)
        blocks.ended(name, DIED, 1000.0)
    assert blocks.may_ask(1, 1000.0) == 0
    assert blocks.hopeless(1000.0) is None, "tasks wait for the one that lives"


def test_tasks_wait_for_blocks_that_wait_in_the_queue():
    blocks = make()
    blocks.asked("waiting", 0.0)
    assert die(blocks, "0", "1", "2")
    assert blocks.hopeless(1.0) is None
    assert blocks.may_ask(1, 1.0) == 0
    blocks.ended("waiting", DIED, 2.0)
    assert blocks.hopeless(2.0).deaths == 4


def test_after_the_pause_one_block_tries():
    blocks = make()
    die(blocks, "0", "1", "2")
    later = PAUSE_S + 1
    assert blocks.hopeless(later) is None, "whoever submits now makes it try"
    assert blocks.may_ask(5, later) == 1
    blocks.asked("3", later)
    assert blocks.may_ask(5, later) == 0
    assert blocks.ended("3", DIED, later + 1)
    assert blocks.hopeless(later + PAUSE_S).deaths == 4
    assert blocks.may_ask(5, later + 1 + PAUSE_S) == 1


def test_a_try_that_works_ends_it():
    blocks = make()
    die(blocks, "0", "1", "2")
    blocks.asked("3", PAUSE_S)
    blocks.seen(["3"], PAUSE_S + 5)
    assert blocks.may_ask(5, PAUSE_S + 5) == 0
    blocks.seen(["3"], PAUSE_S + 5 + SOON_S)
    assert blocks.may_ask(5, PAUSE_S + 5 + SOON_S) == 5
    assert blocks.status(PAUSE_S + 100) == {}


def test_an_old_block_that_dies_is_not_the_one_that_tries():
    blocks = make()
    blocks.asked("old", 0.0)
    die(blocks, "0", "1", "2")
    blocks.asked("3", PAUSE_S)
    assert not blocks.ended("old", DIED, PAUSE_S + 1)
    assert blocks.may_ask(1, PAUSE_S + 1) == 0, "the try goes on"
    assert blocks.hopeless(PAUSE_S + 1) is None


def test_what_the_engine_ends_itself_is_no_death():
    blocks = make()
    for name in map(str, range(10)):
        blocks.asked(name, 0.0)
        blocks.released(name)
        assert not blocks.ended(name, DIED, 0.0)
    assert blocks.may_ask(5, 0.0) == 5


def test_a_try_that_the_engine_ends_itself_is_followed_by_another():
    blocks = make()
    die(blocks, "0", "1", "2")
    blocks.asked("3", PAUSE_S)
    blocks.released("3")
    assert blocks.may_ask(5, PAUSE_S + 1) == 1


def test_the_owner_clears_it():
    blocks = make()
    die(blocks, "0", "1", "2")
    assert blocks.status(5.0)["blocks_stopped"]["deaths"] == 3
    assert blocks.status(5.0)["last_block_death"]["phase"] == "interpreter"
    blocks.clear()
    assert blocks.may_ask(5, 1.0) == 5
    assert blocks.status(5.0) == {}
    assert not die(blocks, "3", "4")


def test_a_limit_of_nought_never_stops():
    blocks = Blocks(0, SOON_S, PAUSE_S)
    assert not die(blocks, *map(str, range(50)))
    assert blocks.may_ask(2, 0.0) == 2


def test_what_is_open_outlives_its_process():
    before = make()
    die(before, "0", "1", "2", now=50.0)
    after = make()
    after.breaker.restore(before.breaker.open)
    assert after.may_ask(1, 60.0) == 0
    assert after.hopeless(60.0) == before.hopeless(60.0)
    assert after.may_ask(3, 50.0 + PAUSE_S) == 1


def test_a_scheduler_that_refuses_is_told_of():
    blocks = make()
    said = "sbatch: error: invalid partition specified: nowhere"
    die(blocks, "0", "1", "2", end=End(refused=True, said=said))
    why = blocks.hopeless(0.0).why
    assert 'in the phase "queue"' in why
    assert said in why


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 4)),
        st.tuples(st.just("die"), st.integers(0, 9)),
        st.tuples(st.just("see"), st.integers(0, 9)),
        st.tuples(st.just("release"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.integers(1, 400)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_it_neither_runs_away_nor_stops_for_ever(steps):
    blocks, now, number = make(), 0.0, 0
    for what, how in steps:
        alive = blocks.alive
        one = alive[how % len(alive)] if alive else "none"
        if what == "ask":
            was_open = blocks.breaker.open is not None
            allowed = blocks.may_ask(how, now)
            assert allowed <= (1 if was_open else how)
            for _ in range(allowed):
                blocks.asked(str(number), now)
                number += 1
        elif what == "die":
            blocks.ended(one, DIED, now)
        elif what == "see":
            blocks.seen([one], now)
        elif what == "release":
            blocks.released(one)
        else:
            now += how
        if blocks.hopeless(now) is not None:
            assert not blocks.alive
            assert blocks.may_ask(1, now) == 0
            assert blocks.hopeless(now + PAUSE_S) is None
        if not blocks.alive:
            assert blocks.may_ask(1, now + PAUSE_S) == 1, "with nothing alive, a pause is the longest that it stops"


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5))
def test_it_opens_exactly_when_a_row_of_deaths_is_long_enough(deaths, limit):
    breaker, row = Breaker(limit, 10.0), 0
    for died in deaths:
        breaker.starts()
        if died:
            breaker.died("it died", 0.0)
            row += 1
        else:
            breaker.works()
            row = 0
        assert (breaker.open is not None) == (row >= limit)

"""User endpoints that die at once, again and again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afield.endpoint.manager.runaway import Runaways

LIMIT, SOON_S, PAUSE_S = 3, 60.0, 300.0
NAME = "uep.c.u"


def made():
    return Runaways(LIMIT, SOON_S, PAUSE_S)


def die(runaways, times, now=0.0, name=NAME, lived_s=1.0):
    for _ in range(times):
        runaways.starts(name)
        runaways.ended(name, lived_s, "exit status 1: no module named x", now)


def test_a_few_deaths_in_a_row_stop_it():
    runaways = made()
    die(runaways, LIMIT - 1)
    assert runaways.refusal(NAME, 0.0) is None
    die(runaways, 1)
    refusal = runaways.refusal(NAME, 10.0)
    assert "died 3 times in a row" in refusal
    assert "no module named x" in refusal
    assert "290 s" in refusal
    assert runaways.refusal("another", 10.0) is None


def test_after_the_pause_one_start_tries():
    runaways = made()
    die(runaways, LIMIT)
    assert runaways.refusal(NAME, PAUSE_S) is None
    die(runaways, 1, PAUSE_S)
    assert "died 4 times" in runaways.refusal(NAME, PAUSE_S + 1)


def test_one_that_lived_long_enough_begins_anew():
    runaways = made()
    die(runaways, LIMIT - 1)
    assert not runaways.ended(NAME, SOON_S, "killed by signal 9", 100.0)
    die(runaways, LIMIT - 1, 200.0)
    assert runaways.refusal(NAME, 200.0) is None


def test_one_that_ended_well_says_nothing():
    runaways = made()
    die(runaways, LIMIT - 1)
    runaways.ended(NAME, 1.0, None, 0.0)
    die(runaways, 1)
    assert runaways.refusal(NAME, 1.0) is not None
    runaways.starts(NAME)
    runaways.ended(NAME, 1.0, None, PAUSE_S)
    assert runaways.refusal(NAME, PAUSE_S) is None, "the next may try"


def test_the_owner_clears_it():
    runaways = made()
    die(runaways, LIMIT)
    die(runaways, LIMIT, name="another")
    runaways.clear([NAME])
    assert runaways.refusal(NAME, 0.0) is None
    assert list(runaways.stopped) == ["another"]
    runaways.clear()
    assert runaways.stopped == {}


def test_it_outlives_its_process():
    before, after = made(), made()
    die(before, LIMIT)
    after.restore(before.stopped)
    assert after.refusal(NAME, 10.0) == before.refusal(NAME, 10.0)


def test_names_from_elsewhere_take_no_more_than_so_much_memory():
    runaways = made()
    for number in range(2000):
        die(runaways, LIMIT, name=str(number))
    assert len(runaways.stopped) == 1000
    assert "1999" in runaways.stopped


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 2 * SOON_S), st.floats(0, PAUSE_S)), max_size=30))
def test_it_never_stops_for_longer_than_a_pause(lives):
    runaways, now = made(), 0.0
    for bad, lived_s, gap_s in lives:
        now += gap_s
        if runaways.refusal(NAME, now) is None:
            runaways.starts(NAME)
            now += lived_s
            runaways.ended(NAME, lived_s, "it died" if bad else None, now)
        assert runaways.refusal(NAME, now + PAUSE_S) is None

"""When workers are started."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afield.endpoint.engines.births import PAUSE_S, TRIES, Births
from afield.endpoint.engines.known import KnownCode
from afield.endpoint.engines.pace import AHEAD_MOST, Pace
from afield.wire.jobs import Outcome, encode_outcome
from afield.worker.functions import FunctionCache


def born(births: Births, now: float = 0.0) -> int:
    count = births.missing(now)
    for _ in range(count):
        births.started()
    return count


def test_a_worker_that_worked_is_replaced_at_once_however_often_it_dies():
    births = Births(2)
    assert born(births) == 2
    for _ in range(100):
        births.did_well()
        births.ended(0.0, useless=False)
        assert born(births) == 1


def test_after_several_useless_ones_there_is_a_pause_and_then_one():
    births = Births(4)
    assert born(births) == 4
    for _ in range(TRIES):
        births.ended(1.0, useless=True)
    assert births.given_up
    assert born(births, 1.0 + PAUSE_S * 0.99) == 0
    assert births.pause_s(2.0) == PAUSE_S - 1.0
    assert born(births, 1.0 + PAUSE_S) == 1
    assert born(births, 1000.0) == 0, "one at a time"
    births.ended(2000.0, useless=True)
    assert born(births, 2000.0) == 0
    assert born(births, 2000.0 + PAUSE_S) == 1
    births.did_well()
    assert born(births, 2000.0 + PAUSE_S) == 2


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=60))
def test_starts_of_useless_workers_are_bounded(lives: list[tuple[bool, float]]):
    births, now, started_useless_since_well = Births(2), 0.0, 0
    born(births)
    for well, seconds in lives:
        now += seconds
        if births.alive:
            if well:
                births.did_well()
                started_useless_since_well = 0
            births.ended(now, useless=not well)
        started_useless_since_well += born(births, now)
        assert births.alive <= 2
        assert started_useless_since_well <= TRIES + 2 + now / PAUSE_S


# which code a worker has


def outcome(error_code: str | None) -> bytes:
    from afield.worker.environment import details

    return encode_outcome(Outcome("t", b"data", error_code, "", None, 1, 2, details()))


WELL, BADLY = outcome(None), outcome("RemoteExecutionError")


class Serializer:
    """Reads anything."""

    def deserialize(self, text: str) -> object:
        return len

    def assert_deserializer_allowed(self, strategy: object) -> None:
        pass


@given(st.data(), st.integers(1, 60))
def test_what_the_engine_believes_to_be_there_is_there(data: st.DataObject, kept: int):
    """Against the worker's own cache, with as many jobs on their way as there may ever be."""
    capacity = AHEAD_MOST + kept
    known, cache = KnownCode(capacity), FunctionCache(capacity)
    on_their_way: list[tuple[bytes, bool, bool]] = []
    for digest in data.draw(st.lists(st.integers(0, 2 * capacity), max_size=4 * capacity)):
        name = digest.to_bytes(16, "big")
        on_their_way.append((name, name in known, data.draw(st.booleans())))
        if len(on_their_way) > AHEAD_MOST:
            name, without_code, well = on_their_way.pop(0)
            # Raises where the code is missing.
            cache.get(name, None if without_code else b"4\nst\nf", Serializer())  # type: ignore[arg-type]
            known.answered(name, WELL if well else BADLY)


def test_code_that_never_went_well_is_sent_again():
    known = KnownCode()
    known.answered(b"f", BADLY)
    assert b"f" not in known
    known.answered(b"f", WELL)
    assert b"f" in known
    known.answered(b"f", BADLY)
    assert b"f" in known


def test_pace_follows_the_latest_jobs():
    pace = Pace()
    assert pace.ahead == 1
    for _ in range(20):
        pace.ran(0.0001)
    assert pace.ahead == AHEAD_MOST
    pace.ran(10.0)
    assert pace.ahead == 0

"""How many jobs travel together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afield.endpoint.engines.parsl.bundles import BUNDLE_BYTES, BUNDLE_MOST, BUNDLE_S, Estimates, fill, most_bundles

SIZES = st.lists(st.tuples(st.floats(1e-5, 1.0), st.integers(0, 2 * BUNDLE_BYTES)), min_size=1, max_size=400)


@given(SIZES, st.integers(1, 400))
def test_a_bundle_of_several_is_short_and_small(sizes, share):
    count = fill(sizes, share)
    assert 1 <= count <= min(len(sizes), share, BUNDLE_MOST)
    if count > 1:
        assert sum(seconds for seconds, _ in sizes[:count]) <= BUNDLE_S
        assert sum(size for _, size in sizes[:count]) <= BUNDLE_BYTES


@given(SIZES, st.integers(1, 400))
def test_a_bundle_is_no_smaller_than_it_must_be(sizes, share):
    count = fill(sizes, share)
    if count < min(len(sizes), share, BUNDLE_MOST):
        more = sizes[: count + 1]
        assert sum(seconds for seconds, _ in more) > BUNDLE_S or sum(size for _, size in more) > BUNDLE_BYTES


def test_what_nobody_knows_travels_alone():
    estimates = Estimates()
    assert fill([(estimates.of(b"new"), 10)] * 50, share=50) == 1


def test_an_estimate_rises_at_once_and_falls_slowly():
    estimates = Estimates()
    for _ in range(10):
        estimates.ran(b"f", 1e-4)
    assert estimates.of(b"f") < 1e-3
    estimates.ran(b"f", 1.0)
    assert estimates.of(b"f") >= 1.0
    estimates.ran(b"f", 1e-4)
    assert estimates.of(b"f") > 0.5
    for _ in range(60):
        estimates.ran(b"f", 1e-4)
    assert estimates.of(b"f") < 1e-3


def test_each_function_has_its_own():
    estimates = Estimates()
    estimates.ran(b"quick", 1e-5)
    estimates.ran(b"slow", 10.0)
    assert estimates.of(b"quick") < 1e-3
    assert estimates.of(b"slow") >= 10
    assert estimates.together > 100


def test_functions_are_forgotten_before_there_are_too_many():
    estimates = Estimates()
    for number in range(5000):
        estimates.ran(b"%d" % number, 1e-5)
    assert estimates.of(b"0") >= BUNDLE_S
    assert estimates.of(b"4999") < 1e-3


def test_long_jobs_wait_with_us_and_short_ones_before_the_workers():
    assert most_bundles(workers=8, possible=8, expected=60.0) == 8
    assert most_bundles(workers=8, possible=8, expected=0.001) == 17
    assert most_bundles(workers=0, possible=64, expected=0.001) == 64
    assert most_bundles(workers=0, possible=0, expected=0.001) == 1

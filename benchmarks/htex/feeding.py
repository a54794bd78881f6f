"""What is measured of an engine, the same for both. Needs nothing that is not in the standard library."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["WORKERS", "measure"]

WORKERS = 2


def measure(run: Callable[[Sequence[int]], list[Any]], began: float, version: str) -> None:
    """Measure, and print one line of JSON.

    :param run: runs the function that does nothing with each of these, all submitted together; their results in order
    :param began: when the engine was started, by ``time.monotonic``
    """
    tasks, calls = map(int, sys.argv[1:3])
    _check(run([0]), [0])
    cold = time.monotonic() - began
    # Both workers warm, and an engine that learns has learned.
    numbers = list(range(max(200, tasks // 10)))
    _check(run(numbers), numbers)
    alone = []
    for number in range(calls):
        start = time.perf_counter()
        _check(run([number]), [number])
        alone.append((time.perf_counter() - start) * 1e3)
    numbers = list(range(tasks))
    start = time.perf_counter()
    results = run(numbers)
    took = time.perf_counter() - start
    _check(results, numbers)
    found = {
        "throughput": tasks / took,
        "latency_p50": statistics.median(alone),
        "cold": cold,
        "version": version,
    }
    print(json.dumps(found), flush=True)


def _check(found: list[Any], expected: list[int]) -> None:
    """A figure for wrong results is worth nothing."""
    if found != expected:
        raise SystemExit(f"wrong results: {str(found)[:100]} instead of {str(expected)[:100]}")

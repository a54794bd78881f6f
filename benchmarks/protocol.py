"""One way to measure for everybody.

A peer is a file in ``benchmarks/peers``: an :class:`Adapter` and a call of :func:`main`. It runs as a process of its
own under its own interpreter, which has that system and psutil, and nothing of Afield (except Afield's). This file
drives the adapter, so the same work is measured by the same code, and prints one JSON object per line::

    {"measure": "throughput", "value": 1520.3}
    {"fact": "version", "value": "parsl 2026.10.26"}

Every result is checked; a wrong one ends the run.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

from benchmarks.processes import adopt_orphans, cpu_seconds, memory_mb
from benchmarks.work import same

__all__ = ["MEASURES", "PAYLOAD_BYTES", "Adapter", "main"]

#: What there is to measure -> unit, whether more is better, what it is.
MEASURES: dict[str, tuple[str, bool, str]] = {
    "throughput": ("tasks/s", True, "no-ops submitted together and gathered"),
    "cpu": ("µs/task", False, "CPU of all processes together during the throughput run"),
    "latency_p50": ("ms", False, "one call after the other, median"),
    "latency_p99": ("ms", False, "the same, 99th percentile"),
    "transfer": ("MB/s", True, "1 MiB in and the same back, one direction counted"),
    "cold": ("s", False, "from the start of the client's process to the first result"),
    "memory_rss": ("MB", False, "resident size of all processes but the client, idle"),
    "memory_pss": ("MB", False, "the same with shared pages counted once"),
}

PAYLOAD_BYTES = 1024 * 1024
WARM_UP_CALLS = 30


class Adapter:
    """How to use one system. Everything a subclass does not say is done in the obvious way."""

    def start(self, workers: int) -> None:
        """Make it ready to take work; ``workers`` processes with one task at a time each."""
        raise NotImplementedError

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """Hand over one call; what :meth:`gather` takes."""
        raise NotImplementedError

    def submit_all(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Sequence[Any]:
        """Hand over many calls, in the fastest way that this system documents for tasks."""
        return [self.submit(function, argument) for argument in arguments]

    def may_call(self) -> None:
        """Wait until one more lone call is not held back by the system's own limit of requests, if it has one."""

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        """Wait for all and return their results in order."""
        return [handle.result() for handle in handles]

    def stop(self) -> None:
        """End it; afterwards nothing of it runs."""
        raise NotImplementedError

    def version(self) -> str:
        """Its name and version."""
        raise NotImplementedError


class Run:
    """One repetition: start, measure what was asked for, stop."""

    def __init__(self, adapter: Adapter, options: argparse.Namespace, out: TextIO) -> None:
        self.adapter, self.options, self.out = adapter, options, out
        self.wanted = set(options.only or MEASURES)

    def say(self, measure: str, value: float) -> None:
        """One line, if somebody wants to know."""
        if measure in self.wanted:
            print(json.dumps({"measure": measure, "value": value}), file=self.out, flush=True)

    def call(self, argument: Any) -> Any:
        """One call, there and back."""
        return self.adapter.gather([self.adapter.submit(same, argument)])[0]

    def __call__(self) -> None:
        """Everything in an order in which nothing spoils the next: memory before the big payloads."""
        self.adapter.start(self.options.workers)
        try:
            check(self.call("first"), "first")
            self.say("cold", (time.monotonic_ns() - self.options.born) / 1e9)
            print(json.dumps({"fact": "version", "value": self.adapter.version()}), file=self.out, flush=True)
            self.adapter.gather(self.adapter.submit_all(same, range(WARM_UP_CALLS)))
            self.latency()
            self.memory()
            self.throughput()
            self.transfer()
        finally:
            self.adapter.stop()

    def latency(self) -> None:
        """Call after call."""
        if not {"latency_p50", "latency_p99"} & self.wanted:
            return
        taken = []
        for i in range(self.options.calls):
            self.adapter.may_call()
            began = time.perf_counter_ns()
            check(self.call(i), i)
            taken.append((time.perf_counter_ns() - began) / 1e6)
        taken.sort()
        self.say("latency_p50", taken[len(taken) // 2])
        self.say("latency_p99", taken[min(len(taken) - 1, len(taken) * 99 // 100)])

    def memory(self) -> None:
        """What it holds while it has nothing to do."""
        _, rss, pss = memory_mb()
        self.say("memory_rss", rss)
        if pss is not None:
            self.say("memory_pss", pss)

    def throughput(self) -> None:
        """Many at once."""
        if not {"throughput", "cpu"} & self.wanted:
            return
        tasks = self.options.tasks
        gc.collect()
        cpu, began = cpu_seconds(), time.perf_counter()
        results = self.adapter.gather(self.adapter.submit_all(same, range(tasks)))
        took = time.perf_counter() - began
        self.say("cpu", (cpu_seconds() - cpu) / tasks * 1e6)
        check(results, list(range(tasks)))
        self.say("throughput", tasks / took)

    def transfer(self) -> None:
        """Large values. All are different, so that nobody can send one for all."""
        if "transfer" not in self.wanted:
            return
        values = [i.to_bytes(8, "big") + os.urandom(PAYLOAD_BYTES - 8) for i in range(self.options.transfers)]
        began = time.perf_counter()
        results = self.adapter.gather(self.adapter.submit_all(same, values))
        took = time.perf_counter() - began
        check(results, values)
        self.say("transfer", len(values) * PAYLOAD_BYTES / took / 1e6)


def check(found: object, expected: object) -> None:
    """A figure for wrong results is worth nothing."""
    if found != expected:
        raise SystemExit(f"wrong result: {str(found)[:100]} instead of {str(expected)[:100]}")


def main(adapter: Adapter) -> None:
    """Run one repetition as the command line says. Only the JSON lines go to standard output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--transfers", type=int, default=100)
    parser.add_argument("--born", type=int, default=time.monotonic_ns(), help="when this process was started")
    parser.add_argument("--only", nargs="*", choices=list(MEASURES))
    # Whatever the system under test and its processes print goes to standard error instead.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    adopt_orphans()
    with out:
        Run(adapter, parser.parse_args(), out)()
    sys.stderr.flush()

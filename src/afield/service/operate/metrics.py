"""The service in numbers, in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/).

What happens often is counted as it happens (:mod:`.meter`). What there is, is looked up when somebody asks. To count
what waits is to look at all of it; so a count that took long is used again until fifty times as long has passed, and
being watched costs the database two percent of its time, however much waits there.

``prometheus_client`` writes the format. It is imported with this file, and this file when numbers are first asked for.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from afield.broker.base import Connection
from afield.errors import BrokerError
from afield.service.clock import Clock
from afield.service.domain.liveness import is_online
from afield.service.domain.names import HEARTBEATS, RESULTS
from afield.service.domain.records import WaitingTasks
from afield.service.operate.meter import Meter
from afield.service.operate.tally import Tally
from afield.service.store.base import Store
from afield.states import TERMINAL, TaskState

__all__ = ["CONTENT_TYPE", "Metrics", "Numbers", "families"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: How many endpoints are shown one by one: those with the most waiting tasks.
_MOST_ENDPOINTS: Final = 20

#: A count is used again until this many times as long as it took has passed.
_THRIFT: Final = 50.0


@dataclass(frozen=True, slots=True)
class Numbers:
    """What there is at one moment.

    :param version: of Afield
    :param now: unix time in seconds
    :param parts: for each part of the service, what is wrong with it; None: it is well
    :param waiting: tasks that have not ended; None: that could not be found out, as with all below
    :param core_of: for each user endpoint that has some, its core endpoint
    :param endpoints: how many core endpoints there are, by whether they are online
    :param user_endpoints: the same of user endpoints
    :param queues: how many messages wait in the service's own queues
    """

    version: str
    now: float
    parts: Mapping[str, str | None]
    waiting: Sequence[WaitingTasks] | None = None
    core_of: Mapping[str, str] = field(default_factory=dict)
    endpoints: Mapping[bool, int] | None = None
    user_endpoints: Mapping[bool, int] | None = None
    queues: Mapping[str, int] = field(default_factory=dict)


class Metrics:
    """Answers with the numbers of this moment.

    :param connection: the service's own, to the broker
    :param elapsed: seconds on a clock that nobody sets
    """

    def __init__(
        self,
        version: str,
        store: Store,
        connection: Connection,
        *,
        meter: Meter,
        clock: Clock,
        elapsed: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._version, self._store, self._connection = version, store, connection
        self._meter, self._clock, self._elapsed = meter, clock, elapsed
        self._waiting: Sequence[WaitingTasks] = ()
        self._good_until = float("-inf")
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        GCCollector(registry=self._process)

    async def text(self, parts: Mapping[str, str | None]) -> bytes:
        """All of them.

        :param parts: what was found out about each part. Of one that is not well nothing is asked
        """
        numbers = await self._numbers(parts)
        registry = CollectorRegistry()
        registry.register(_Once([*families(numbers), *_counted(self._meter)]))
        return generate_latest(registry) + generate_latest(self._process)

    async def _numbers(self, parts: Mapping[str, str | None]) -> Numbers:
        now = self._clock.now()
        numbers = Numbers(self._version, now, parts, queues=await self._queues(parts))
        if parts.get("store") is not None:
            return numbers
        cores, users = await self._store.endpoints(), await self._store.user_endpoints()
        return Numbers(
            self._version,
            now,
            parts,
            waiting=await self._what_waits(),
            core_of={user.id: user.endpoint_id for user in users},
            endpoints=_by(is_online(one, now) for one in cores),
            user_endpoints=_by(is_online(one, now) for one in users),
            queues=numbers.queues,
        )

    async def _what_waits(self) -> Sequence[WaitingTasks]:
        begin = self._elapsed()
        if begin >= self._good_until:
            self._waiting = await self._store.waiting_by_state()
            end = self._elapsed()
            self._good_until = end + _THRIFT * (end - begin)
        return self._waiting

    async def _queues(self, parts: Mapping[str, str | None]) -> dict[str, int]:
        if parts.get("broker") is not None:
            return {}
        try:
            return {name: await self._connection.waiting(name) for name in (RESULTS, HEARTBEATS)}
        except BrokerError:
            return {}  # it went away this moment; that it is not well is told by the next look


def families(numbers: Numbers) -> Iterator[Metric]:
    """What there is."""
    yield InfoMetricFamily("afield_build", "Version", {"version": numbers.version, "python": platform.python_version()})
    healthy = GaugeMetricFamily("afield_part_healthy", "Whether a part of the service is well", labels=["part"])
    for part, wrong in numbers.parts.items():
        healthy.add_metric([part], float(wrong is None))
    yield healthy
    queues = GaugeMetricFamily("afield_queue_messages", "Messages that wait for the service itself", labels=["queue"])
    for name, count in numbers.queues.items():
        queues.add_metric([name], count)
    yield queues
    for name, kinds in (("afield_endpoints", numbers.endpoints), ("afield_user_endpoints", numbers.user_endpoints)):
        if kinds is not None:
            there = GaugeMetricFamily(name, "Endpoints that are known", labels=["status"])
            there.add_metric(["online"], kinds.get(True, 0))
            there.add_metric(["offline"], kinds.get(False, 0))
            yield there
    if numbers.waiting is not None:
        yield from _tasks(numbers, numbers.waiting)


def _tasks(numbers: Numbers, waiting: Sequence[WaitingTasks]) -> Iterator[Metric]:
    tasks = GaugeMetricFamily("afield_tasks", "Tasks that have not ended", labels=["state"])
    oldest = GaugeMetricFamily("afield_oldest_task_age_seconds", "Age of the oldest of them", labels=["state"])
    for state in TaskState:
        if state in TERMINAL or state is TaskState.UNSENT:
            continue
        some = [one for one in waiting if one.state is state]
        tasks.add_metric([state], sum(one.count for one in some))
        oldest.add_metric([state], max((numbers.now - one.oldest_at for one in some), default=0.0))
    yield tasks
    yield oldest
    depth: dict[str, int] = {}
    since: dict[str, float] = {}
    for one in waiting:
        if one.state is TaskState.WAITING_FOR_ENDPOINT:
            core = numbers.core_of.get(one.user_endpoint_id, "gone")
            depth[core] = depth.get(core, 0) + one.count
            since[core] = min(since.get(core, one.oldest_at), one.oldest_at)
    depths = GaugeMetricFamily(
        "afield_endpoint_queue_tasks", "Tasks that wait for an endpoint; those with the most", labels=["endpoint_id"]
    )
    ages = GaugeMetricFamily("afield_endpoint_queue_age_seconds", "Age of the oldest of them", labels=["endpoint_id"])
    for core in sorted(depth, key=lambda core: (-depth[core], core))[:_MOST_ENDPOINTS]:
        depths.add_metric([core], depth[core])
        ages.add_metric([core], numbers.now - since[core])
    yield depths
    yield ages


def _counted(meter: Meter) -> Iterator[Metric]:
    """What happened."""
    statuses = CounterMetricFamily("afield_http_requests", "Requests answered", labels=["method", "route", "status"])
    for (method, route, status), count in meter.statuses.items():
        statuses.add_metric([method, route, str(status)], count)
    yield statuses
    yield _histogram(
        "afield_http_request_duration_seconds",
        "From a request's head to its answer",
        ["method", "route"],
        meter.requests.items(),
    )
    yield _histogram(
        "afield_task_duration_seconds",
        "From a task's acceptance to its result being kept",
        ["outcome"],
        [((outcome,), tally) for outcome, tally in meter.tasks.items()],
    )


def _histogram(
    name: str, meaning: str, labels: Sequence[str], tallies: Iterable[tuple[tuple[str, ...], Tally]]
) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for values, tally in tallies:
        buckets = [("+Inf" if bound == float("inf") else repr(bound), count) for bound, count in tally.cumulative()]
        family.add_metric(values, buckets, tally.total)
    return family


def _by(kinds: Iterable[bool]) -> dict[bool, int]:
    found: dict[bool, int] = {}
    for kind in kinds:
        found[kind] = found.get(kind, 0) + 1
    return found


class _Once(Collector):
    """Families that were made already."""

    def __init__(self, made: Sequence[Metric]) -> None:
        self._made = made

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._made

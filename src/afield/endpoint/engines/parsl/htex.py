"""Parsl's HighThroughputExecutor as an engine uses it: made from an owner's keys, started, scaled, ended.

There is no DataFlowKernel: nothing of Parsl but the executor, its provider and the thread that scales. That thread asks
how many tasks there are; ours is the number of jobs, however few bundles they travel in.
"""

from __future__ import annotations

import inspect
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import zmq
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.executor import HTEXFuture
from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.job_status_poller import JobStatusPoller
from parsl.jobs.states import JobStatus
from parsl.version import VERSION

from afield.endpoint.engines.parsl.classes import Maker
from afield.endpoint.engines.parsl.containers import KEEPER, KEEPER_TEXT, POOL, keeps, pool_command, wrapped
from afield.endpoint.engines.parsl.interchange import COMMAND
from afield.endpoint.engines.parsl.losses import InterchangeGone
from afield.endpoint.settings.engines import HtexSettings

__all__ = ["VERSION", "BlockWatch", "FedHtex", "Owner", "forget_keys", "make_htex", "make_poller", "tidy_up"]

#: Milliseconds between two looks whether the interchange lives, while it is asked or sent something.
_LOOK_MS: Final = 500

#: Keys of the record that are parameters of the executor under the same name.
_SAME: Final = (
    "loopback_address", "worker_port", "worker_port_range", "interchange_port_range", "worker_debug",
    "cores_per_worker", "mem_per_worker", "max_workers_per_node", "cpu_affinity", "prefetch_capacity",
    "worker_logdir_root", "encrypted",
)  # fmt: skip
#: Likewise, and Parsl wants whole numbers.
_WHOLE: Final = ("heartbeat_threshold", "heartbeat_period", "drain_period", "poll_period", "address_probe_timeout")
#: Parsl's processes wake when something arrives. To look more often than this, in milliseconds, only costs.
_POLL_PERIOD: Final = 200
#: Below the user endpoint's directory.
_RUN: Final = "parsl"
_RUN_BEFORE: Final = "parsl.before"


class BlockWatch(Protocol):
    """Who may keep blocks from being asked for. What says nothing else is called by the thread that scales."""

    def mark(self, provider: Any) -> None:
        """Have the provider's jobs write how far they come. Before the first is asked for."""

    def may_ask(self, wanted: int) -> int:
        """How many of ``wanted`` further blocks may be asked for."""

    def asked(self, executor: BlockProviderExecutor, block_ids: list[str]) -> None:
        """These were asked for. If the scheduler refused one, its status says so at the next look."""

    def released(self, block_ids: list[str]) -> None:
        """The engine itself ended these."""

    def looked(self, statuses: Mapping[str, JobStatus], connected: set[str]) -> None:
        """Somebody looked, as every few seconds.

        :param statuses: of all blocks that were ever asked for
        :param connected: blocks whose workers are connected now
        """

    def hopeless(self) -> str | None:
        """Why a task that waits will not run, for its submitter; None: it may. Cheap, and called by the event loop."""

    def status(self) -> dict[str, Any]:
        """For heartbeats: empty while all is well. Called by the event loop."""


class Owner(Protocol):
    """Whose executor it is. All are called by the thread that scales."""

    def demand(self) -> int:
        """Jobs that are not finished."""

    def looked(self, managers: list[dict[str, Any]], statuses: Mapping[str, JobStatus]) -> None:
        """Somebody looked.

        :param managers: pools of workers, as the interchange describes them
        :param statuses: of all blocks
        """

    def interchange_ended(self, exit_code: int) -> None:
        """Parsl's interchange has ended, and with it everything that was on its way."""


class FedHtex(HighThroughputExecutor):
    """Fed by an engine."""

    owner: Owner
    watch: BlockWatch | None = None
    #: seconds between two questions to the scheduler; None: what Parsl takes
    status_period: float | None = None

    @property
    def status_polling_interval(self) -> float:
        """As often as the owner wants it."""
        return self.status_period or float(super().status_polling_interval)

    @property
    def pools_per_block(self) -> int:
        """One on each node."""
        return 1 if self.provider is None else int(self.provider.nodes_per_block)

    @property
    def workers_per_pool(self) -> int:
        """As far as the configuration says."""
        return int(self.workers_per_node)

    def outstanding(self) -> int:
        """Jobs, not bundles."""
        return self.owner.demand()

    @property
    def interchange_lives(self) -> bool:
        """Whether a question would be answered."""
        return self.interchange_proc is not None and self.interchange_proc.poll() is None

    def connected_managers(self) -> list[dict[str, Any]]:
        """None, if nobody is there to ask."""
        return self._ask("MANAGERS")

    def connected_blocks(self) -> list[str]:
        """None, if nobody is there to ask."""
        return self._ask("CONNECTED_BLOCKS")

    def _hold_manager(self, manager_id: str) -> None:
        """Have it get no more tasks."""
        self._ask(["HOLD_MANAGER", manager_id])

    def submit_payload(self, context: dict[str, Any], buffer: bytes) -> HTEXFuture:
        """As Parsl's, which would wait for ever where nobody is connected.

        :raises InterchangeGone: it has not left
        """
        self.outgoing_q.zmq_socket.setsockopt(zmq.SNDTIMEO, _LOOK_MS)
        while self.interchange_lives:
            try:
                return super().submit_payload(context, buffer)
            except zmq.Again:
                self.tasks.pop(self._task_counter)
        raise InterchangeGone

    def _ask(self, question: str | list[str]) -> list[Any]:
        """What the interchange answers; nothing, if it is gone or ends over it: then Parsl waits for ever."""
        client = self.command_client
        with client._lock:  # noqa: SLF001 - whoever else asks holds it
            if not client.ok or not self._awaits(zmq.POLLOUT):
                return []
            with suppress(zmq.Again):  # it went in this moment
                client.zmq_socket.send_pyobj(question, flags=zmq.NOBLOCK)
                if self._awaits(zmq.POLLIN):
                    found: list[Any] = client.zmq_socket.recv_pyobj()
                    return found
                client.ok = False
            return []

    def _awaits(self, what: int) -> bool:
        """Wait until the interchange can be written to, or has answered; False: it has ended."""
        while self.interchange_lives:
            if self.command_client.zmq_socket.poll(_LOOK_MS, what):
                return True
        return False

    def scale_out_facade(self, n: int) -> list[str]:
        """Ask for blocks, as many as may be."""
        allowed = n if self.watch is None else self.watch.may_ask(n)
        if allowed < 1:
            return []
        before = set(self._status)
        block_ids = super().scale_out_facade(allowed)
        if self.watch is not None:
            self.watch.asked(self, [block_id for block_id in self._status if block_id not in before])
        return block_ids

    def scale_in_facade(self, n: int, max_idletime: float | None = None) -> list[str]:
        """End blocks."""
        block_ids = super().scale_in_facade(n, max_idletime)
        if self.watch is not None and block_ids:
            self.watch.released(block_ids)
        return block_ids

    def poll_facade(self) -> None:
        """Look how blocks are."""
        if not self.interchange_lives:
            assert self.interchange_proc is not None
            self.owner.interchange_ended(self.interchange_proc.returncode)
            return
        super().poll_facade()
        managers = self.connected_managers()
        if self.watch is not None:
            self.watch.looked(self._status, {manager["block_id"] for manager in managers})
        self.owner.looked(managers, self._status)


def _check_affinity(settings: HtexSettings, maker: Maker) -> None:
    """Parsl's workers would end one by one, without a word to anybody.

    :raises ConfigurationError: there are fewer processors than workers to bind to them
    """
    if settings.cpu_affinity != "none" and settings.cores_per_worker < 1:
        raise maker.error(
            "engine.cpu_affinity",
            f"engine.cpu_affinity {settings.cpu_affinity} binds each worker to processors of its own, and with "
            f"engine.cores_per_worker {settings.cores_per_worker:g} several share one: leave one of them out",
        )


def make_htex(
    settings: HtexSettings,
    directory: Path,
    places: Mapping[str, str],
    owner: Owner,
    *,
    kind: type[FedHtex] = FedHtex,
    pool: str = POOL,
    **more: Any,
) -> FedHtex:
    """The executor, not started.

    :param directory: the user endpoint's
    :param places: key path -> ``file, line N``
    :param kind: what to make, with those of the usual parameters that it has
    :param pool: the module that is a pool of workers, and arguments of its own
    :param more: further parameters
    :raises ConfigurationError: it cannot be made; with file, line and key
    """
    maker = Maker(places)
    provider = maker.make("engine.provider", settings.provider or {"type": "LocalProvider"})
    blocks = (provider.min_blocks, provider.init_blocks, provider.max_blocks)
    if not (0 <= blocks[0] <= blocks[2] and 0 <= blocks[1] <= blocks[2]):
        raise maker.error(
            "engine.provider", "engine.provider: min_blocks and init_blocks should be from 0 up to max_blocks, and "
            "are {}, {} and {}".format(*blocks),
        )  # fmt: skip
    values: dict[str, Any] = {name: getattr(settings, name) for name in _SAME}
    for name in _WHOLE:
        number = getattr(settings, name)
        values[name] = None if number is None else max(1, round(number))
    values["poll_period"] = max(_POLL_PERIOD, values["poll_period"])
    address = settings.address
    values |= {
        "label": settings.label or settings.type,
        "provider": provider,
        "address": maker.make("engine.address", address) if isinstance(address, Mapping) else address,
        "available_accelerators": _accelerators(settings),
        "block_error_handler": False,
    }
    known = inspect.signature(kind).parameters
    _check_affinity(settings, maker)
    if settings.heartbeat_threshold <= settings.heartbeat_period:
        raise maker.error(
            "engine.heartbeat_threshold",
            f"engine.heartbeat_threshold ({settings.heartbeat_threshold:g} s) should be some times "
            f"engine.heartbeat_period ({settings.heartbeat_period:g} s), or every node soon counts as lost",
        )
    htex: FedHtex = maker.call("engine", kind, {name: values[name] for name in values if name in known} | more)
    htex.owner = owner
    htex.status_period = settings.block_status_period
    htex._check_python_mismatch = False  # noqa: SLF001 - published: minor versions may differ; workers check the rest
    htex.interchange_launch_cmd = list(COMMAND)
    contained = settings.container_type is not None
    prepared = bool(getattr(provider, "worker_init", ""))
    command = pool_command(htex.launch_cmd, sys.executable, contained=contained, prepared=prepared, pool=pool)
    if settings.container_type is not None:
        command = wrapped(
            command, settings.container_type, settings.container_uri, settings.container_cmd_options, str(directory)
        )
    if keeps(settings.container_type):
        (directory / KEEPER).write_text(KEEPER_TEXT)
    htex.launch_cmd = command
    htex.run_dir = str(directory / _RUN)
    provider.script_dir = str(directory / _RUN / "submit_scripts")
    return htex


def make_poller(settings: HtexSettings, places: Mapping[str, str], executor: FedHtex) -> Callable[[], JobStatusPoller]:
    """What starts the thread that scales.

    :raises ConfigurationError: a key of ``job_status_kwargs`` or ``strategy`` is wrong
    """
    maker = Maker(places)
    values: dict[str, Any] = {"strategy": settings.strategy or "simple", "max_idletime": 120.0, "strategy_period": 5.0}
    for name, value in (settings.job_status_kwargs or {}).items():
        if name not in values:
            path = f"engine.job_status_kwargs.{name}"
            raise maker.error(path, f"nobody knows the key {path}: there are {', '.join(values)}")
        values[name] = value
    path = "engine.job_status_kwargs" if settings.job_status_kwargs else "engine.strategy"
    _check_strategy(maker, path, values)

    def start() -> JobStatusPoller:
        poller = _PromptPoller(**values)
        poller.add_executors([executor])
        return poller

    return start


class _PromptPoller(JobStatusPoller):
    """Begins with the executor; Parsl's would begin with none, and come to it a whole period later."""

    def __init__(self, **values: Any) -> None:
        self._has_executor = threading.Event()
        super().__init__(**values)

    def add_executors(self, executors: Sequence[BlockProviderExecutor]) -> None:
        """It may begin."""
        super().add_executors(executors)
        self._has_executor.set()

    def poll(self) -> None:
        """Look once."""
        self._has_executor.wait()
        super().poll()


def _check_strategy(maker: Maker, path: str, values: Mapping[str, Any]) -> None:
    """Before there is a thread that would only write its trouble to a log."""
    from parsl.jobs.strategy import Strategy

    for name in ("max_idletime", "strategy_period"):
        if isinstance(values[name], bool) or not isinstance(values[name], int | float) or values[name] <= 0:
            raise maker.error(f"{path}.{name}", f"{path}.{name} should be a number of seconds above 0")
    try:
        Strategy(strategy=values["strategy"], max_idletime=values["max_idletime"])
    except (KeyError, TypeError) as error:
        raise maker.error(
            f"{path}.strategy",
            f"{path} {values['strategy']!r} is no strategy: write simple, htex_auto_scale, init_simple or none",
        ) from error


def tidy_up(directory: Path) -> None:
    """Before a start: keep what the life before wrote, which its owner may want to read, and nothing older.

    :raises OSError: the directory cannot be used
    """
    run, before = directory / _RUN, directory / _RUN_BEFORE
    if run.exists():
        shutil.rmtree(before, ignore_errors=True)
        run.rename(before)
    (run / "submit_scripts").mkdir(parents=True)


def forget_keys(executor: FedHtex) -> None:
    """After the end: nobody needs the keys of its connections any more."""
    shutil.rmtree(Path(executor.logdir) / "certificates", ignore_errors=True)


def _accelerators(settings: HtexSettings) -> list[str]:
    found = settings.available_accelerators
    return [str(name) for name in (range(found) if isinstance(found, int) else found)]

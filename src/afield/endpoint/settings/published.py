"""PURE: ways of writing an ``engine`` block that published endpoints know, or knew, and what they mean here.

Their loader hands whatever stands in the block to a class, so that files in use hold keys of
``concurrent.futures``, of Parsl and of engines that are gone. A key means here what it meant there; one that cannot is
named in a warning that says what holds instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from afield.endpoint.settings.kinds import Positive, Text
from afield.endpoint.settings.reading import check, shown
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.marked import Document

__all__ = ["GONE", "OLD_ENGINES", "UNUSED", "plain_block", "plain_places"]

_STARTED: Final = "how workers are started, the endpoint knows"
_BEFORE: Final = "what is to happen before tasks run belongs in endpoint_setup or in the provider's worker_init"

#: Keys of engines that have no effect here -> what holds instead.
UNUSED: Final[Mapping[str, str]] = {
    "encrypted": "no traffic of this engine leaves the machine",
    "endpoint_id": "the service says it",
    "heartbeat_period_s": "heartbeat_period says it, outside this block",
    "initargs": _BEFORE,
    "initializer": _BEFORE,
    "interchange_launch_cmd": _STARTED,
    "launch_cmd": _STARTED,
    "managed": "the endpoint always scales the blocks that it asked for",
    "manager_selector": "who gets the next tasks is whoever has the most room",
    "mp_context": "workers are always processes of their own, never copies of the endpoint",
    "remote_monitoring_radio": "the endpoint watches its tasks itself",
    "storage_access": "Parsl moves no files here; what tasks need travels in their arguments",
}

#: Keys that published engines refuse too -> what to write.
GONE: Final[Mapping[str, str]] = {
    "enable_mpi_mode": "is no key any more: choose the type GlobusMPIEngine",
    "max_workers": "is no key of this engine: write max_workers_per_node",
    "max_workers_per_manager": "is no key any more: write max_workers_per_node",
    "worker_mode": "is no key any more: remove it, and see container_type for containers",
}

_HTEX: Final = "; it has become GlobusComputeEngine, which takes the same provider"
#: Names of engines that are gone -> a hint, for the end of a sentence.
OLD_ENGINES: Final[Mapping[str, str]] = {"HighThroughputEngine": _HTEX, "HighThroughputExecutor": _HTEX}

#: Classes that an ``executor`` block may name; the engine's type says which it is.
_EXECUTORS: Final = frozenset({"HighThroughputExecutor", "MPIExecutor"})
#: Engines whose keys may stand in an ``executor`` block.
_ON_PARSL: Final = frozenset({"GlobusComputeEngine", "GlobusMPIEngine"})
#: Classes of strategies that are gone -> their names now.
_STRATEGIES: Final = {"SimpleStrategy": "simple", "KubeSimpleStrategy": "simple"}


#: What makes an environment for workers of published endpoints.
_FOREIGN_WORKERS: Final = re.compile(r"\binstall\b[^\n]*\bglobus-compute-endpoint\b")


class _Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """The ``strategy`` block of endpoints before version 3, as far as it still means something."""

    #: the class
    type: Text = "SimpleStrategy"
    #: seconds after which an idle block ends
    max_idletime: Positive | None = None
    #: seconds between two looks
    interval: Positive | None = None


def plain_block(document: Document, block: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """An ``engine`` block with one way of writing things, and warnings.

    :raises ConfigurationError: something in it makes no sense; with file, line and key
    """
    values, warnings = dict(block), list[str]()
    if values.get("type") not in _ON_PARSL:
        return values, warnings
    if values.get("executor") is not None:
        values = _without_executor(document, values)
    if isinstance(values.get("strategy"), dict):
        warnings += _plain_strategy(document, values)
    warnings += _foreign_workers(document, values.get("provider"))
    handler = values.get("block_error_handler")
    if handler is not None and not isinstance(handler, bool):
        where = document.at(("engine", "block_error_handler"))
        warnings.append(
            f"{where}: engine.block_error_handler counts as true: blocks that keep dying are not asked for again, and "
            "block_deaths_most says how many it takes"
        )
        values["block_error_handler"] = True
    return values, warnings


def _foreign_workers(document: Document, provider: object) -> list[str]:
    """A warning if the workers' environment is one for published endpoints, as their default template makes it."""
    commands = provider.get("worker_init") if isinstance(provider, dict) else None
    if not isinstance(commands, str) or _FOREIGN_WORKERS.search(commands) is None:
        return []
    where = document.at(("engine", "provider", "worker_init"))
    warning = (
        f"{where}: engine.provider.worker_init installs globus-compute-endpoint, from a package index on the network, "
        "and workers here need afield[parsl] instead. Until it installs that, tasks run in the endpoint's own Python, "
        "without what worker_init installs beside it"
    )
    return [warning]


def plain_places(lines: Mapping[tuple[str | int, ...], int]) -> dict[str, int]:
    """Where the keys of an ``engine`` block stand, as :func:`plain_block` has them: ``engine.address`` -> line."""
    found = {".".join(map(str, path)): line for path, line in lines.items() if path[0] == "engine"}
    inner = "engine.executor."
    lifted = {"engine." + path.removeprefix(inner): line for path, line in found.items() if path.startswith(inner)}
    return lifted | found


def _without_executor(document: Document, values: dict[str, Any]) -> dict[str, Any]:
    """The keys of an ``executor`` block beside the others."""
    inner = values.pop("executor")
    where = document.at(("engine", "executor"))
    if not isinstance(inner, dict):
        raise ConfigurationError(f"{where}: engine.executor should be a block of keys, and is {shown(inner)}")
    inner = dict(inner)
    kind = inner.pop("type", None)
    if kind is not None and kind not in _EXECUTORS:
        raise ConfigurationError(
            f"{document.at(('engine', 'executor', 'type'))}: engine.executor.type {shown(kind)} is none of "
            f"{', '.join(sorted(_EXECUTORS))}; an executor of your own is the type ExecutorEngine"
        )
    twice = sorted(inner.keys() & values.keys())
    if twice:
        raise ConfigurationError(
            f"{document.at(('engine', 'executor', twice[0]))}: engine.executor.{twice[0]} is also set in "
            f"engine.{twice[0]}; keep one of them"
        )
    return values | inner


def _plain_strategy(document: Document, values: dict[str, Any]) -> list[str]:
    """Put an old ``strategy`` block where it belongs now; warnings."""
    path = ("engine", "strategy")
    ignored = "scaling has no such key any more"
    read, warnings = check(
        _Strategy, document, path, values.pop("strategy"), unused={"threshold": ignored, "prefetch": ignored}
    )
    kind = read.get("type", "SimpleStrategy")
    scaling = {
        "strategy": _STRATEGIES.get(kind, kind),
        "max_idletime": read.get("max_idletime"),
        "strategy_period": read.get("interval"),
    }
    given = values.get("job_status_kwargs")
    if given is None or isinstance(given, dict):  # else somebody else complains
        values["job_status_kwargs"] = {k: v for k, v in scaling.items() if v is not None} | (given or {})
    return warnings
